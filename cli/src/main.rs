//! The command: one binary, `weft`.

fn main() {}
