//! Secrets: text, `{ file = … }`, `{ env = … }` or `{ credential = … }`. They are read here and
//! printed nowhere.

use std::path::{Path, PathBuf};

use weft_control::lisp::config::Secret;

use crate::config::document::{Node, Value};
use crate::config::report::Report;
use crate::config::section::Section;

/// Reads the secret `node` says.
pub(super) fn secret(node: &Node, folder: &Path, report: &mut Report) -> Option<Secret> {
    let bytes = match &node.value {
        Value::Text(text) => text.clone().into_bytes(),
        Value::Table(_) => indirect(node, folder, report)?,
        other => {
            let message = format!("a key must be text or {{ file = \"…\" }}, not {}", other.kind());
            report.error(&node.place, message, "here");
            return None;
        }
    };
    if bytes.is_empty() {
        report.error(&node.place, "the key is empty", "here");
        return None;
    }
    Some(Secret::new(bytes))
}

fn indirect(node: &Node, folder: &Path, report: &mut Report) -> Option<Vec<u8>> {
    let mut section = Section::new(node, "key", report)?;
    let file = section.text("file", report);
    let env = section.text("env", report);
    let credential = section.text("credential", report);
    section.finish(report);
    match (file, env, credential) {
        (Some(file), None, None) => read_file(node, &folder.join(file), report),
        (None, Some(variable), None) => {
            let value = std::env::var(variable);
            if value.is_err() {
                let message = format!("environment variable `{variable}` is not set");
                report.error(&node.place, message, "the key is taken from it");
            }
            value.ok().map(String::into_bytes)
        }
        (None, None, Some(name)) => {
            let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
                report.error_with_help(
                    &node.place,
                    format!("credential `{name}` is not there: not started by systemd"),
                    "",
                    Some(format!("add LoadCredential={name}:/path to the unit, or use a file")),
                );
                return None;
            };
            read_file(node, &PathBuf::from(folder).join(name), report)
        }
        _ => {
            let message = "a key needs exactly one of `file`, `env` and `credential`";
            report.error(&node.place, message, "here");
            None
        }
    }
}

/// The first line of a file, without its end.
fn read_file(node: &Node, path: &Path, report: &mut Report) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
            Some(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        }
        Err(error) => {
            let message = format!("cannot read the key file {}: {error}", path.display());
            report.error(&node.place, message, "named here");
            None
        }
    }
}
