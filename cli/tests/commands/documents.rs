//! The project's documents stay true: the files they name exist, what they show is what is printed.

use std::path::Path;

use super::weft;

const README: &str = include_str!("../../../README.md");
const ARCHITECTURE: &str = include_str!("../../../ARCHITECTURE.md");
const CONTRIBUTING: &str = include_str!("../../../CONTRIBUTING.md");

/// Folders in which a document names files by their path from the root.
const FOLDERS: [&str; 11] = [
    "packet", "fib", "control", "data", "manage", "daemon", "lab", "cli", "labs", "fuzz", "benches",
];

#[test]
fn files_that_are_named_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut named = 0;
    for document in [README, ARCHITECTURE, CONTRIBUTING] {
        for path in document.split('`').skip(1).step_by(2).filter(|word| is_path(word)) {
            named += 1;
            assert!(root.join(path).exists(), "{path} is named and not there");
        }
    }
    assert!(named > 20, "only {named} paths were found");
}

fn is_path(word: &str) -> bool {
    let folder = word.split_once('/').map(|(folder, _)| folder);
    folder.is_some_and(|folder| FOLDERS.contains(&folder)) && !word.contains([' ', '*'])
}

#[test]
fn readme_shows_the_example_and_the_exit_codes_as_they_are() {
    assert!(README.contains(&weft(&["config", "example", "xtr"]).out));
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = one_line(&weft(&["--help"]).out);
    let (_, codes) = help.split_once("Exit codes: ").expect("help ends with the exit codes");
    assert!(one_line(README).contains(codes), "{codes}");
}
