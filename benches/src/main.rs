//! What `cargo xtask bench` runs: the load generator of the data-plane rows, a data plane with a
//! full table, and the control-plane rows. Each prints one JSON object.

mod blast;
mod connect;
mod fill;
mod mapping_system;

use std::process::ExitCode;

const HELP: &str = "\
Usage: weft-bench send ADDRESS PORT SECONDS PAYLOAD [DESTINATIONS]
       weft-bench receive ADDRESS PORT SECONDS
       weft-bench listen ADDRESS PORT
       weft-bench connect ADDRESS PORT
       weft-bench fill DEVICE LOCAL REMOTE LOCAL-EID REMOTE-EID PREFIXES HOST-PORT UPLINK PINS
       weft-bench register | request | memory
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["send", rest @ ..] => blast::send(rest),
        ["receive", rest @ ..] => blast::receive(rest),
        ["listen", rest @ ..] => connect::listen(rest),
        ["connect", rest @ ..] => connect::connect(rest),
        ["fill", rest @ ..] => fill::fill(rest),
        ["register"] => mapping_system::register(),
        ["request"] => mapping_system::request(),
        ["memory"] => mapping_system::memory(),
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

/// A word of the command line.
fn parse<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("`{word}` cannot be read"))
}
