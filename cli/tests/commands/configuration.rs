//! `weft config` without a router, and `weft run` that does not get that far.

use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;
use serde_json::Value;
use tempfile::TempDir;

use super::{weft, weft_reading};

const GOOD: &str = "[map-resolver]\nmap-servers = [\"192.0.2.1\"]\n";
const BAD: &str = "[map-resolver]\nmap-serves = [\"192.0.2.1\"]\nnegative-ttl = 15\n";
const WARNED: &str = "[itr]\n";

/// A file, and the folder it lives in as long as the test.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weft.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn good_file_is_valid() {
    let (_folder, path) = file(GOOD);
    let ended = weft(&["config", "check", path.to_str().unwrap()]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, format!("{}: valid, 0 warnings\n", path.display()));
}

#[test]
fn bad_file_ends_with_3_and_says_everything() {
    let (folder, path) = file(BAD);
    let ended = weft(&["config", "check", path.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (3, ""));
    let said = ended.err.replace(&format!("{}/", folder.path().display()), "");
    assert_snapshot!(said, @r#"
error: `map-serves` is not a key of `map-resolver`
  ╭▸ weft.toml:2:1
  │
2 │ map-serves = ["192.0.2.1"]
  │ ━━━━━━━━━━
  ╰╴
help: did you mean `map-servers`?

error: `map-resolver.negative-ttl` must be a duration such as "30s", not a number
  ╭▸ weft.toml:3:16
  │
3 │ negative-ttl = 15
  ╰╴               ━━ here

error: weft.toml: 2 errors, 0 warnings
"#);
}

#[test]
fn missing_file_ends_with_3() {
    let ended = weft(&["config", "check", "/no/such/weft.toml"]);
    assert_eq!(ended.code, 3);
    assert!(ended.err.starts_with("error: cannot read `/no/such/weft.toml`"), "{}", ended.err);
}

#[test]
fn warnings_are_errors_only_if_strict() {
    let (_folder, path) = file(WARNED);
    let path = path.to_str().unwrap();
    let ended = weft(&["config", "check", path]);
    assert_eq!(ended.code, 0);
    assert!(ended.err.starts_with("warning: this ITR has nobody to ask"), "{}", ended.err);
    assert!(ended.out.ends_with("valid, 1 warning\n"), "{}", ended.out);
    assert_eq!(weft(&["config", "check", "--strict", path]).code, 3);
}

#[test]
fn programs_read_problems_as_json() {
    let (_folder, path) = file(BAD);
    let ended = weft(&["config", "check", "--json", path.to_str().unwrap()]);
    assert_eq!((ended.code, ended.err.as_str()), (3, ""));
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(said["valid"], false);
    let problem = &said["problems"][0];
    assert_eq!(problem["severity"], "error");
    assert_eq!(problem["help"], "did you mean `map-servers`?");
    assert_eq!(problem["at"][0], format!("{}:2", path.display()));

    let (_folder, path) = file(GOOD);
    let ended = weft(&["config", "check", "--json", path.to_str().unwrap()]);
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &said["valid"]), (0, &Value::Bool(true)));
}

#[test]
fn interface_that_is_not_there_is_warned_of_with_its_line() {
    let (folder, path) = file("[locator-set.wan]\nrlocs = [{ interface = \"weft-none\" }]\n");
    let ended = weft(&["config", "check", path.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let said = ended.err.replace(&format!("{}/", folder.path().display()), "");
    let warning = said.split_once("there are: ").expect("it lists what there is").0;
    assert!(warning.contains("warning: this machine has no interface `weft-none`"), "{said}");
    assert!(warning.contains("weft.toml:2:24"), "{said}");
    assert!(warning.contains("━━━━━━━━━━━"), "{said}");
}

#[test]
fn examples_are_valid_as_they_are() {
    for role in ["xtr", "map-server", "proxy", "vpn"] {
        let example = weft(&["config", "example", role]);
        assert_eq!(example.code, 0, "{role}");
        let checked = weft_reading(&example.out, &["config", "check", "-"]);
        assert_eq!(checked.code, 0, "{role}: {}", checked.err);
    }
}

#[test]
fn unknown_role_names_those_there_are() {
    let ended = weft(&["config", "example", "router"]);
    assert_eq!(ended.code, 2);
    assert_snapshot!(ended.err, @r#"
error: no example for `router`
help: there are: xtr, map-server, proxy, vpn, reference
"#);
}

#[test]
fn keys_are_explained() {
    let ended = weft(&["config", "explain", "etr.map-server.algorithm"]);
    assert_eq!(ended.code, 0);
    assert_snapshot!(ended.out, @r#"
etr.map-server.algorithm
    hmac-sha-256-128, hmac-sha-1-96 or hmac-sha-256-128-hkdf.
    default: algorithm = "hmac-sha-256-128"
"#);
    let ended = weft(&["config", "explain", "etr.mapserver.algorithm"]);
    assert_eq!(ended.code, 2);
    assert_snapshot!(ended.err, @r#"
error: `etr.mapserver.algorithm` is not a key of weft.toml
help: did you mean `etr.map-server.algorithm`?
"#);
}

#[test]
fn what_a_file_says_is_shown_with_its_defaults() {
    let (_folder, path) = file(GOOD);
    let path = path.to_str().unwrap();
    let ended = weft(&["config", "show", "map-resolver", "--file", path]);
    assert_eq!(ended.code, 0);
    assert_snapshot!(ended.out, @r#"
map-resolver.map-servers = ["192.0.2.1"]
map-resolver.negative-ttl = "15m"
"#);
    let ended = weft(&["config", "show", "map-resolver.negative-ttl", "--file", path, "--json"]);
    let line: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(line["path"], "map-resolver.negative-ttl");
    assert_eq!(line["value"], "\"15m\"");
}

#[test]
fn router_does_not_start_with_a_bad_file() {
    let (_folder, path) = file(BAD);
    let ended = weft(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!((ended.code, ended.out.as_str()), (3, ""));
    assert!(ended.err.contains("did you mean `map-servers`?"), "{}", ended.err);
}
