//! LISP (RFC 9300, 9301 and the RFCs beside them): one file a message.

pub mod auth;
mod address;
mod data;
mod ecm;
mod message;
mod info;
mod map_notify;
mod map_referral;
mod map_register;
mod map_reply;
mod map_request;
mod record;

pub use address::{Address, Lcaf, MacAfi};
pub use auth::{Algorithm, Authentication};
pub use ecm::Encapsulated;
pub use map_notify::{MapNotify, NotifyKind};
pub use map_register::MapRegister;
pub use map_reply::MapReply;
pub use map_request::MapRequest;
pub use message::Message;
pub use record::{Action, Eid, Locator, MappingRecord, Ttl};

/// UDP port of encapsulated packets (RFC 9300 §5.1), LISP and LISP-GPE.
pub const DATA_PORT: u16 = 4341;
/// UDP port of all control messages (RFC 9301 §5).
pub const CONTROL_PORT: u16 = 4342;
/// UDP port of VXLAN-GPE.
pub const VXLAN_GPE_PORT: u16 = 4790;
/// UDP port of VXLAN (RFC 7348 §5).
pub const VXLAN_PORT: u16 = 4789;
