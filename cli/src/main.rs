//! The command: one binary, `weft`. It is the daemon (`weft run`), the window into it (every
//! noun), and the tools around it (`lab`, `decode`, `config check`).

mod arguments;
mod client;
mod config;
mod decode;
mod exit;
mod lab;
mod machine;
mod manual;
mod ping;
mod run;
mod show;
mod table;
mod trace;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = arguments::Weft::parse_from(arguments::without_show(std::env::args_os()));
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => end.report(),
    }
}

fn dispatch(weft: arguments::Weft) -> exit::Outcome {
    use arguments::Noun;
    let global = weft.global;
    match weft.noun {
        Noun::Run(run) => run::run(&run, &global),
        Noun::Config(verb) => config::config(verb, &global),
        Noun::Decode(decode) => decode::run(&decode, &global),
        Noun::Lab(lab) => lab::run(lab),
        Noun::Doctor(machine) => machine::doctor(&machine, &global),
        Noun::Cleanup { machine, pin_path } => {
            machine::cleanup(&machine, pin_path.as_deref(), &global)
        }
        Noun::Ping(ping) => ping::ping(&ping, &global),
        Noun::Trace(trace) => trace::trace(&trace, &global),
        Noun::Completions { shell } => manual::completions(shell),
        Noun::Man { directory } => manual::man(&directory),
        shown => show::show(shown, &global),
    }
}
