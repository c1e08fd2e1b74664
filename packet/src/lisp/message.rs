//! Any control message: the first four bits say which (RFC 9301 §5.1).

use super::{Encapsulated, MapNotify, MapRegister, MapReply, MapRequest};
use super::info::Info;
use super::map_referral::MapReferral;

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 1.
    MapRequest(MapRequest),
    /// Type 2.
    MapReply(MapReply),
    /// Type 3.
    MapRegister(MapRegister),
    /// Types 4 and 5.
    MapNotify(MapNotify),
    /// Type 6.
    MapReferral(MapReferral),
    /// Type 7.
    Info(Info),
    /// Type 8.
    Encapsulated(Encapsulated),
    /// Type 15 (RFC 8113).
    Extension {
        /// 12 bits.
        sub_type: u16,
        /// The 16 bits beside the sub-type.
        specific: u16,
        /// What follows.
        body: Vec<u8>,
    },
}
