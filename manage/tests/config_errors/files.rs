//! The file, and `conf.d` beside it.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use weft_manage::config::{Config, UplinkNames, check};

/// Writes files, reads `weft.toml`, and tells with paths relative to the folder.
fn read(files: &[(&str, &str)]) -> (Option<Config>, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (config, report) = check(&folder.path().join("weft.toml"), &mut UplinkNames::default());
    let prefix = format!("{}/", folder.path().display());
    (config, report.to_string().replace(&prefix, ""))
}

const SITE: &str = r#"
[locator-set.wan]
rlocs = [{ interface = "lo" }]

[etr]
locator-set = "wan"
record-ttl = "1h"

[[etr.database-mapping]]
eid-prefix = "192.168.1.0/24"
"#;

#[test]
fn file_that_is_not_there() {
    let (config, report) = read(&[]);
    assert!(config.is_none());
    assert_snapshot!(report, @"error: cannot read `weft.toml`: No such file or directory (os error 2)");
}

#[test]
fn tables_merge_and_lists_append_in_the_order_of_names() {
    let mapping = |prefix| format!("[[etr.database-mapping]]\neid-prefix = \"{prefix}\"\n");
    let (second, third) = (mapping("192.168.2.0/24"), mapping("192.168.3.0/24"));
    let (config, report) = read(&[
        ("weft.toml", SITE),
        ("conf.d/20-third.toml", &third),
        ("conf.d/10-second.toml", &second),
        ("conf.d/30-timers.toml", "[etr]\nregister-interval = \"20s\"\n"),
        ("conf.d/README", "not read, since it is no .toml"),
    ]);
    let etr = config.unwrap_or_else(|| panic!("{report}")).lisp.etr.unwrap();
    let eids: Vec<_> = etr.database.iter().map(|mapping| mapping.eid.prefix.to_string()).collect();
    assert_eq!(eids, ["192.168.1.0/24", "192.168.2.0/24", "192.168.3.0/24"]);
    assert_eq!(etr.register_interval.as_secs(), 20);
}

#[test]
fn value_set_twice_names_both_places() {
    let (config, report) =
        read(&[("weft.toml", SITE), ("conf.d/ttl.toml", "[etr]\nrecord-ttl = \"2h\"\n")]);
    assert!(config.is_none());
    assert_snapshot!(report, @r#"
error: `etr.record-ttl` is set twice
  ╭▸ conf.d/ttl.toml:2:14
  │
2 │ record-ttl = "2h"
  │              ━━━━ set again here
  │
  ⸬  weft.toml:7:14
  │
7 │ record-ttl = "1h"
  │              ──── first set here
  ╰╴
help: remove one of them
"#);
}

#[test]
fn list_cannot_become_a_table() {
    let (config, report) =
        read(&[("weft.toml", SITE), ("conf.d/one.toml", "[etr.database-mapping]\nvpn = \"a\"\n")]);
    assert!(config.is_none());
    assert_snapshot!(report, @r#"
error: `etr.database-mapping` is set twice
  ╭▸ conf.d/one.toml:1:1
  │
1 │ [etr.database-mapping]
  │ ━━━━━━━━━━━━━━━━━━━━━━ set again here
  │
  ⸬  weft.toml:9:1
  │
9 │ [[etr.database-mapping]]
  │ ──────────────────────── first set here
  ╰╴
help: write [[etr.database-mapping]] to add to the list
"#);
}

#[test]
fn errors_name_the_file_they_are_in() {
    let (config, report) = read(&[
        ("weft.toml", SITE),
        ("conf.d/mapping.toml", "[[etr.database-mapping]]\neid-prefix = \"192.168.1.0/24\"\n"),
        ("conf.d/node.toml", "[node]\nnmae = \"site1\"\n"),
    ]);
    assert!(config.is_none());
    assert_snapshot!(report, @r#"
error: 192.168.1.0/24 is given twice
  ╭▸ conf.d/mapping.toml:1:1
  │
1 │ [[etr.database-mapping]]
  │ ━━━━━━━━━━━━━━━━━━━━━━━━ this one
  │
  ⸬  weft.toml:9:1
  │
9 │ [[etr.database-mapping]]
  ╰╴──────────────────────── and this

error: `nmae` is not a key of `node`
  ╭▸ conf.d/node.toml:2:1
  │
2 │ nmae = "site1"
  │ ━━━━
  ╰╴
help: known here: name, site-id, xtr-id
"#);
}

#[test]
fn interfaces_this_machine_lacks_are_warned_of() {
    let site = SITE.replace("\"lo\" }", "\"weft-missing0\" }, { interface = \"lo\" }");
    let vpn = "[vpn.red]\ninstance-id = 7\ninterfaces = [\"weft-missing1\", \"weft-missing0\"]\n";
    let (config, report) = read(&[("weft.toml", &site), ("conf.d/vpn.toml", vpn)]);
    assert!(config.is_some(), "a warning is no error: {report}");
    // What the machine has differs from one to the next.
    let report: Vec<_> = report
        .lines()
        .map(|line| line.split_once("there are: ").map_or(line, |(before, _)| before).trim_end())
        .collect();
    let report = report.join("\n");
    assert_snapshot!(report, @r#"
warning: this machine has no interface `weft-missing1`
  ╭▸ conf.d/vpn.toml:3:15
  │
3 │ interfaces = ["weft-missing1", "weft-missing0"]
  │               ━━━━━━━━━━━━━━━
  ╰╴
help:

warning: this machine has no interface `weft-missing0`
  ╭▸ conf.d/vpn.toml:3:32
  │
3 │ interfaces = ["weft-missing1", "weft-missing0"]
  │                                ━━━━━━━━━━━━━━━
  ╰╴
help:

warning: this machine has no interface `weft-missing0`
  ╭▸ weft.toml:3:24
  │
3 │ rlocs = [{ interface = "weft-missing0" }, { interface = "lo" }]
  │                        ━━━━━━━━━━━━━━━
  ╰╴
help:
"#);
}

#[test]
fn configuration_folder_may_be_the_working_folder() {
    let (config, report) = check(Path::new("no-such-weft.toml"), &mut UplinkNames::default());
    assert!(config.is_none());
    assert!(report.to_string().contains("cannot read `no-such-weft.toml`"), "{report}");
}
