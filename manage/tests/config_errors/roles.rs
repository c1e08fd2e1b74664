//! Configurations of whole roles, as operators of other releases write them.

use std::fs;
use std::path::Path;

use weft_manage::config::{UplinkNames, check};

/// Checks a role's file out of a collection that may lie beside the project. What this version
/// does not know is cut from `without` on.
fn role(name: &str, keys: &[&str], without: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/config").join(name);
    let Ok(text) = fs::read_to_string(&file) else {
        eprintln!("skipped: {} is not there", file.display());
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for key in keys {
        fs::write(folder.path().join(key), "secret\n").unwrap();
    }
    let text = text.split_once(without).map_or(text.as_str(), |(before, _)| before);
    let copy = folder.path().join(name);
    fs::write(&copy, text).unwrap();
    let (config, report) = check(&copy, &mut UplinkNames::default());
    assert!(config.is_some(), "{report}");
}

#[test]
fn xtr() {
    role("xtr.toml", &["ms1.key"], "[nothing]");
}

#[test]
fn map_server() {
    role("map-server.toml", &["site1.key", "mobile.key"], "[map-server.nat]");
}

#[test]
fn proxy() {
    role("proxy.toml", &[], "[nothing]");
}
