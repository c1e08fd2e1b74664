//! The configuration: TOML as people write it, parsed into what each part of the router is told.
//!
//! `load` reads the file (and `conf.d/*.toml` beside it), reports every error at once, each with
//! file, line, caret and remedy, and returns a [`Config`] in which every reference is resolved.

mod diff;
mod document;
mod mask;
mod read;
mod reference;
mod report;
mod resolved;
mod section;
mod show;

use std::path::Path;

pub use diff::{Change, diff};
pub use reference::{REFERENCE, example, example_roles, explain, suggest};
pub use report::{Place, Problem, Report, Severity, Source};
pub use show::{Line, lines};

pub use resolved::{
    Config, DataPlane, Driver, FirstPacket, Instance, Log, LogFormat, Management, MssClamp, Node,
    OnExit, OnTooBig, SourceCheck, Uplink, UplinkNames, UplinkPlace,
};

/// Reads a configuration file. Errors come all at once; warnings are lost (see [`check`]).
pub fn load(path: &Path, names: &mut UplinkNames) -> Result<Config, Report> {
    let (config, report) = check(path, names);
    config.ok_or(report)
}

/// Reads a configuration file and says everything that can be said of it, on this machine: of
/// interfaces it does not have, too. The configuration is there unless something was an error.
pub fn check(path: &Path, names: &mut UplinkNames) -> (Option<Config>, Report) {
    let mut report = Report::default();
    let root = document::read(path, &mut report);
    let folder = path.parent().unwrap_or(Path::new("."));
    let present = read::present_interfaces();
    let config =
        root.and_then(|root| read::read(&root, folder, present.as_deref(), names, &mut report));
    report.sort();
    (config.filter(|_| report.errors() == 0), report)
}

/// As [`check`], of a text and apart from any machine; secrets in files are looked for in the
/// working folder.
pub fn check_text(name: &str, text: &str, names: &mut UplinkNames) -> (Option<Config>, Report) {
    let mut report = Report::default();
    let root = document::parse(name, text, &mut report);
    let config = root.and_then(|root| read::read(&root, Path::new("."), None, names, &mut report));
    report.sort();
    (config.filter(|_| report.errors() == 0), report)
}
