//! Messages of any content a router could send.

mod address;
mod message;

pub(crate) use address::{address, eid};
pub(crate) use message::{data_header, message};
