//! The project's chores. `cargo xtask demo` and `cargo xtask test` are the whole set-up: each
//! installs what it needs and then does its job.

mod bench;
mod bpf;
mod check;
mod demo;
mod janitor;
mod lab;
mod licences;
mod run;
mod setup;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
The project's chores.

Usage: cargo xtask CHORE

  demo            build weft, run the quickstart network, show what it does
                  --weft PATH: of a binary that is built already
  test [WHICH]    everything CI runs; WHICH: check, unit, sim, fuzz, labs
  bench [GROUP]   measure, side by side with the kernel; GROUP: dataplane (or dataplane.forwarding,
                  .wire, .scale, .restart), firstpacket, outage, ms, idle, storm
                  --rounds N, --quick, --weft PATH: of a binary that is built already
                  --json FILE, --history FILE: append a line, --svg FILE: draw a chart
  check           formatting, lints, crate dependencies, licences, the kernel program's object
  bpf             compile the kernel program (needs clang-14)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["demo"] => demo::demo(None),
        ["demo", "--weft", weft] => demo::demo(Some(weft)),
        ["test"] => test::test(None),
        ["test", which] => test::test(Some(which)),
        ["bench", rest @ ..] => bench::bench(rest),
        ["check"] => check::check(),
        ["bpf"] => bpf::build(),
        _ => {
            print!("{HELP}");
            return ExitCode::from(if words.is_empty() || words == ["--help"] { 0 } else { 2 });
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error}");
            ExitCode::FAILURE
        }
    }
}
