//! What `cargo xtask bench` runs: the load generator of the data-plane rows, and the control-plane
//! rows. Each prints one JSON object.

mod blast;
mod mapping_system;

use std::process::ExitCode;

const HELP: &str = "\
Usage: weft-bench send ADDRESS PORT SECONDS PAYLOAD [DESTINATIONS]
       weft-bench receive ADDRESS PORT SECONDS
       weft-bench register | request | memory
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["send", rest @ ..] => blast::send(rest),
        ["receive", rest @ ..] => blast::receive(rest),
        ["register"] => Ok(mapping_system::register()),
        ["request"] => Ok(mapping_system::request()),
        ["memory"] => Ok(mapping_system::memory()),
        _ => Err(HELP.to_owned()),
    };
    match result {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
