//! Usage, completions, manual pages.

use std::fs;

use super::weft;

/// Every command with its verbs.
const NOUNS: &[&[&str]] = &[
    &["run"],
    &["config"],
    &["config", "check"],
    &["config", "show"],
    &["config", "diff"],
    &["config", "reload"],
    &["config", "explain"],
    &["config", "example"],
    &["status"],
    &["map-cache"],
    &["map-cache", "flush"],
    &["database"],
    &["registration"],
    &["registration", "now"],
    &["rloc"],
    &["rloc", "probe"],
    &["map-server"],
    &["map-server", "site"],
    &["map-server", "registration"],
    &["map-server", "refused"],
    &["map-resolver"],
    &["interface"],
    &["counters"],
    &["monitor"],
    &["lig"],
    &["trace"],
    &["doctor"],
    &["cleanup"],
    &["ping"],
    &["decode"],
    &["lab"],
    &["completions"],
    &["man"],
];

#[test]
fn help_of_every_command_tells_its_usage() {
    for words in NOUNS {
        let ended = weft(&[words, &["--help"][..]].concat());
        assert_eq!(ended.code, 0, "{words:?}");
        let usage = format!("Usage: weft {}", words.join(" "));
        assert!(ended.out.contains(&usage), "{words:?}: {}", ended.out);
    }
}

#[test]
fn list_of_commands_here_is_complete() {
    let ended = weft(&["--help"]);
    let listed = ended.out.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in listed.take_while(|line| !line.is_empty()) {
        let noun = line.split_whitespace().next().unwrap();
        assert!(noun == "help" || NOUNS.iter().any(|words| words[0] == noun), "{noun}");
    }
    assert!(ended.out.contains("Exit codes: 0 done or healthy"), "{}", ended.out);
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_was_meant() {
    let ended = weft(&["map-cahce"]);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(ended.err.contains("'map-cache'"), "{}", ended.err);
    assert_eq!(weft(&["status", "--chekc"]).code, 2);
    assert_eq!(weft(&[]).code, 2);
}

#[test]
fn version_is_told() {
    let ended = weft(&["--version"]);
    assert_eq!((ended.code, ended.out), (0, format!("weft {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = weft(&["completions", shell]);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{shell}");
        assert!(ended.out.contains("map-cache"), "{shell}");
    }
    assert_eq!(weft(&["completions", "cmd.exe"]).code, 2);
}

#[test]
fn manual_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let ended = weft(&["man", pages.to_str().unwrap()]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    for words in NOUNS {
        let page = pages.join(format!("weft-{}.1", words.join("-")));
        let text = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
        assert!(text.contains(".SH SYNOPSIS"), "{}", page.display());
    }
    let nowhere = pages.join("weft.1/below");
    assert_eq!(weft(&["man", nowhere.to_str().unwrap()]).code, 1);
}
