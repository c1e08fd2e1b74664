//! The lab files that come with weft can be read: nothing in them is misspelt.

use std::path::Path;

use weft_lab::{file, test};

#[test]
fn every_lab_file_is_right_and_says_what_it_is_about() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs");
    let files = test::files_in(&folder).expect("the labs are beside the crate");
    assert!(files.iter().any(|path| path.ends_with("quickstart.toml")));
    for path in files {
        let labs = file::read(&path, false).unwrap_or_else(|error| panic!("{error}"));
        for lab in labs {
            assert!(!lab.about.is_empty(), "{}: no `about`", path.display());
            assert!(!lab.checks.is_empty(), "{}: no checks", path.display());
            assert!(!lab.about.contains("${"), "{}: a word is not replaced", path.display());
        }
    }
}
