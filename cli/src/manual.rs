//! Completions and manual pages, from the same definitions as the command line.

use std::path::Path;

use clap::CommandFactory;

use crate::arguments::Weft;
use crate::exit::{End, NO, Outcome};
use crate::show::out;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Weft::command(), "weft", &mut script);
    out(&String::from_utf8_lossy(&script))
}

/// Writes a page for each command.
pub(crate) fn man(directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Weft::command(), directory))
        .map_err(|error| End::new(NO, format!("cannot write to {}: {error}", directory.display())))
}
