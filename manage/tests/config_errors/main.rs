//! What operators are told about configurations that are wrong: whole reports, as they see them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod difference;
mod files;
mod mapping_system;
mod references;
mod roles;
mod secrets;
mod syntax;
mod values;

use weft_manage::config::{Config, UplinkNames, check_text};

/// The report of a configuration that must be refused.
fn refused(text: &str) -> String {
    let (config, report) = check_text("weft.toml", text, &mut UplinkNames::default());
    assert!(config.is_none(), "this must be refused:\n{text}");
    report.to_string()
}

/// The report of a configuration that is accepted all the same.
fn accepted(text: &str) -> String {
    let (config, report) = check_text("weft.toml", text, &mut UplinkNames::default());
    assert!(config.is_some(), "this must be accepted:\n{report}");
    report.to_string()
}

/// A configuration that must be flawless.
fn sound(text: &str, names: &mut UplinkNames) -> Config {
    let (config, report) = check_text("weft.toml", text, names);
    assert!(report.problems().is_empty(), "{report}");
    config.expect("there are no problems")
}
