//! Messages of any content a router could send.

#![allow(dead_code, unused_imports, reason = "each test draws other values")]

mod address;
mod message;

pub(crate) use address::{address, eid};
pub(crate) use message::{data_header, message};
