//! Reading the files of test vectors.

#![allow(dead_code, reason = "each test looks at other parts")]

use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;

/// One vector of any of the files; the fields a file does not have stay empty.
#[derive(Deserialize)]
pub(crate) struct Vector {
    /// Its name.
    pub(crate) id: String,
    /// What kind of octets these are.
    #[serde(default)]
    pub(crate) layer: String,
    /// The octets.
    pub(crate) hex: String,
    /// The UDP payload, where `hex` is a whole frame.
    #[serde(default)]
    pub(crate) udp_payload: Option<String>,
    /// The test of the peer it was taken from.
    #[serde(default)]
    pub(crate) test: String,
    /// What a decoder must find.
    #[serde(default)]
    pub(crate) fields: Map<String, Value>,
}

impl Vector {
    /// The LISP octets.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text = self.udp_payload.as_ref().unwrap_or(&self.hex);
        hex::decode(text).unwrap_or_else(|error| panic!("{}: {error}", self.id))
    }
}

/// The vectors of one file, `None` where it is absent.
pub(crate) fn load(path: &Path) -> Option<Vec<Vector>> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The vectors of a file in `testdata`.
pub(crate) fn ours(name: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    load(&path).expect("testdata is part of the crate")
}
