//! `cargo xtask bench`.

use crate::run::Result;

pub(crate) fn bench(_words: &[&str]) -> Result {
    Err("not yet".into())
}
