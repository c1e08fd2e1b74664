//! Load generators and control-plane benchmarks.

fn main() {}
