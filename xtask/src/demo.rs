//! `cargo xtask demo`.

use crate::run::Result;

pub(crate) fn demo() -> Result {
    Err("not yet".into())
}
