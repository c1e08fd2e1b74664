//! Secrets: where they may come from, and that nothing shows them.

use std::fs;

use insta::assert_snapshot;
use weft_manage::config::{UplinkNames, check, diff, lines};

use super::{refused, sound};

const SECRET: &str = "correct horse battery staple";

/// An xTR whose key is written as `key`.
fn site(key: &str) -> String {
    format!(
        r#"
[locator-set.wan]
rlocs = [{{ interface = "eth0" }}]

[etr]
locator-set = "wan"

[[etr.map-server]]
address = "198.51.100.2"
key = {key}

[[etr.database-mapping]]
eid-prefix = "192.168.1.0/24"
"#
    )
}

#[test]
fn key_file_that_is_not_there() {
    assert_snapshot!(refused(&site("{ file = \"missing.key\" }")), @r#"
error: cannot read the key file ./missing.key: No such file or directory (os error 2)
   ╭▸ weft.toml:10:7
   │
10 │ key = { file = "missing.key" }
   ╰╴      ━━━━━━━━━━━━━━━━━━━━━━━━ named here
"#);
}

#[test]
fn environment_variable_that_is_not_set() {
    assert_snapshot!(refused(&site("{ env = \"WEFT_TEST_NO_SUCH_KEY\" }")), @r#"
error: environment variable `WEFT_TEST_NO_SUCH_KEY` is not set
   ╭▸ weft.toml:10:7
   │
10 │ key = { env = "WEFT_TEST_NO_SUCH_KEY" }
   ╰╴      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ the key is taken from it
"#);
}

#[test]
fn key_from_two_places_or_from_none() {
    assert_snapshot!(refused(&site("{ file = \"a.key\", env = \"KEY\" }")), @r#"
error: a key needs exactly one of `file`, `env` and `credential`
   ╭▸ weft.toml:10:7
   │
10 │ key = { file = "a.key", env = "KEY" }
   ╰╴      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ here
"#);
    assert_snapshot!(refused(&site("{ }")), @r#"
error: a key needs exactly one of `file`, `env` and `credential`
   ╭▸ weft.toml:10:7
   │
10 │ key = { }
   ╰╴      ━━━ here
"#);
    assert_snapshot!(refused(&site("\"\"")), @r#"
error: the key is empty
   ╭▸ weft.toml:10:7
   │
10 │ key = **
   ╰╴      ━━ here
"#);
}

#[test]
fn key_file_is_read_beside_the_configuration_without_its_line_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ms.key"), format!("{SECRET}\r\nnot the key\n")).unwrap();
    let file = folder.path().join("weft.toml");
    fs::write(&file, site("{ file = \"ms.key\" }")).unwrap();
    let (config, report) = check(&file, &mut UplinkNames::default());
    let etr = config.unwrap_or_else(|| panic!("{report}")).lisp.etr.unwrap();
    assert_eq!(etr.map_servers[0].key.expose(), SECRET.as_bytes());
}

#[test]
fn nothing_shows_a_secret() {
    let mut names = UplinkNames::default();
    let config = sound(&site(&format!("\"{SECRET}\"")), &mut names);
    let other = sound(&site("\"another secret\""), &mut names);
    let shown = lines(&config, &names);
    let key = shown.iter().find(|line| line.path == "etr.map-server.198.51.100.2.key").unwrap();
    assert!(key.value.starts_with("\u{2026} (set "), "{}", key.value);
    let changes = diff(&config, &other, &names);
    let everything = format!("{shown:?} {config:?} {changes:?}");
    for word in [SECRET, "battery", "another"] {
        assert!(!everything.contains(word), "{word} is in {everything}");
    }
}

#[test]
fn reports_cover_secrets_in_the_lines_they_quote() {
    let report = refused(&format!(
        r#"
[[etr.map-server]]
address = "198.51.100.2"
kay = "{SECRET}"

[[etr.map-server]]
address = "198.51.100.3"
key = {{ text = "{SECRET}" }}
"#
    ));
    assert!(!report.contains("battery"), "{report}");
    assert_snapshot!(report, @r#"
error: `etr.map-server` needs `key`
  ╭▸ weft.toml:2:1
  │
2 │ [[etr.map-server]]
  │ ━━━━━━━━━━━━━━━━━━ in this table
  ╰╴
help: add: key = { file = "ms.key" }

error: `kay` is not a key of `etr.map-server`
  ╭▸ weft.toml:4:1
  │
4 │ kay = ******************************
  │ ━━━
  ╰╴
help: did you mean `key`?

error: a key needs exactly one of `file`, `env` and `credential`
  ╭▸ weft.toml:8:7
  │
8 │ key = { text = ****************************** }
  ╰╴      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ here

error: `text` is not a key of `key`
  ╭▸ weft.toml:8:9
  │
8 │ key = { text = ****************************** }
  │         ━━━━
  ╰╴
help: known here: credential, env, file
"#);
}

#[test]
fn keys_that_are_not_even_toml_are_covered_too() {
    let report = refused(&format!("[[etr.map-server]]\nkey = \"{SECRET}\n"));
    assert!(!report.contains("battery"), "{report}");
    assert_snapshot!(report, @r#"
error: not valid TOML: invalid basic string, expected `"`
  ╭▸ weft.toml:2:36
  │
2 │ key = *****************************
  ╰╴                                   ━ here
"#);
}
