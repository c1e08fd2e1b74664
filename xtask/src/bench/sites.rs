//! The quickstart network, measured: with checks of ours, and what their report says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::Tools;
use crate::run::{Result, root};
use crate::setup;

/// Addresses of the host of site 2.
pub(super) const H2: [&str; 2] = ["192.168.2.10", "2001:db8:b::10"];

/// The quickstart network with other checks; `preference` goes to the locators of site 1.
pub(super) fn lab_file(
    tools: &Tools,
    name: &str,
    preference: &str,
    checks: &str,
) -> Result<PathBuf> {
    let quickstart = root().join("labs/quickstart.toml");
    let text = fs::read_to_string(&quickstart).map_err(|e| format!("quickstart.toml: {e}"))?;
    let network = text.split("[[check]]").next().unwrap_or_default();
    let plain = "{ interface = \"x1-isp2\" }";
    if !network.contains(plain) {
        return Err("quickstart.toml: the locators of site 1 are written differently".into());
    }
    let second = format!("{{ interface = \"x1-isp2\"{preference} }}");
    let path = tools.folder.join(format!("{name}.toml"));
    fs::write(&path, network.replace(plain, &second) + checks)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// Runs the checks of a lab; gives the report whether they pass or not.
pub(super) fn lab_test(tools: &Tools, file: &Path) -> Result<Value> {
    let mut test = setup::as_root(&tools.weft)?;
    test.args(["lab", "test", "--json"]).arg(file).stderr(Stdio::inherit());
    let out = test.output().map_err(|error| format!("weft lab test: {error}"))?;
    let report: Value = serde_json::from_slice(&out.stdout)
        .map_err(|error| format!("weft lab test: {}: {error}", out.status))?;
    match report.pointer("/labs/0/error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(report),
    }
}

/// A figure of a check in a report, of the first piece of evidence of that kind.
pub(super) fn evidence(report: &Value, check: &str, kind: &str, figure: &str) -> Result<f64> {
    let list = |value: &Value, path: &str| {
        value.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let checks = list(report, "/labs/0/checks");
    let check_report = checks.iter().find(|report| report["name"] == check);
    let all = check_report.map(|report| list(report, "/evidence")).unwrap_or_default();
    let is_it = |item: &&Value| item["of"].as_str().is_some_and(|of| of.starts_with(kind));
    let found = all.iter().find(is_it).and_then(|item| item[figure].as_f64());
    found.ok_or_else(|| {
        let failures = check_report.map_or(&Value::Null, |report| &report["failures"]);
        format!("check `{check}` gives no {figure} of {kind}: {failures}")
    })
}
