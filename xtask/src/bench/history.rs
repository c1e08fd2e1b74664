//! Figures over time: a file of JSON objects, one a line, each a run: `date` (UTC), `commit` and
//! whether the tree was `clean`, the `weft` that ran, the `machine`, `rounds`, `quick`, and
//! `figures` as `--json` writes them. Runs are only comparable when their machines are.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::figure::{self, Figure};
use super::machine::Machine;
use super::{Effort, Tools};
use crate::run::{Result, output, root};

/// Appends this run.
pub(super) fn append(
    path: &Path,
    figures: &[Figure],
    machine: &Machine,
    tools: &Tools,
    effort: Effort,
) -> Result {
    let date = output(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))?;
    let git = |words: &[&str]| output(Command::new("git").current_dir(root()).args(words));
    // a tree without its history is measured all the same
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).ok();
    let clean = git(&["status", "--porcelain"]).map(|text| text.trim().is_empty()).ok();
    let weft = output(Command::new(&tools.weft).arg("--version"))?;
    let head = json!({
        "date": date.trim(),
        "commit": commit.as_deref().map(str::trim),
        "clean": clean,
        "weft": weft.trim(),
        "machine": machine.json(),
        "rounds": effort.rounds,
        "quick": effort.quick,
    });
    let line = line(head, figures);
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// A run as it is written.
fn line(mut head: Value, figures: &[Figure]) -> String {
    head["figures"] = json!(figure::by_id(figures));
    format!("{head}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_one_line_however_many_figures_it_has() {
        let figures = [
            Figure::new("dataplane.ebpf.tcp1", 1.02, "18 beside 17.6 Gbit/s"),
            Figure::new("dataplane.restart_lost", 0.0, "of 8000\npings"),
        ];
        let line = line(json!({ "date": "2026-11-20T15:00:00Z" }), &figures);
        assert_eq!(line.matches('\n').count(), 1);
        let run: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(run["figures"]["dataplane.ebpf.tcp1"], 1.02);
        assert_eq!(run["figures"]["dataplane.restart_lost"], 0.0);
    }
}
