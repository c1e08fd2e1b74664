//! LISP (RFC 9300, 9301 and the RFCs beside them): one file a message.

mod address;
pub mod auth;
pub mod data;
mod ecm;
mod ids;
mod info;
mod inner;
mod lisp_sec;
mod map_notify;
mod map_referral;
mod map_register;
mod map_reply;
mod map_request;
mod message;
mod record;
mod text;

pub use address::{
    Address, Application, GeoCoordinates, GeoLocation, Lcaf, MacAfi, MulticastInfo, NatTraversal,
    OpaqueKey, PathHop, Replica, SecurityKey, Sexagesimal, SourceDestination, UnknownLcaf,
};
pub use auth::{Algorithm, Authentication};
pub use ecm::Encapsulated;
pub use info::{Info, InfoBody};
pub use lisp_sec::{EcmSecurity, EidAuthentication, EidClaim, MapReplySecurity, OneTimeKey};
pub use map_notify::{MapNotify, NotifyKind};
pub use map_referral::{MapReferral, ReferralAction, ReferralRecord, Signature};
pub use map_register::MapRegister;
pub use map_reply::MapReply;
pub use map_request::{MapRequest, RequestedEid};
pub use message::Message;
pub use record::{Action, Eid, Locator, MappingRecord, Ttl};
pub use text::{Tree, Value};

/// UDP port of encapsulated packets (RFC 9300 §5.1), LISP and LISP-GPE.
pub const DATA_PORT: u16 = 4341;
/// UDP port of all control messages (RFC 9301 §5).
pub const CONTROL_PORT: u16 = 4342;
/// UDP port of VXLAN-GPE.
pub const VXLAN_GPE_PORT: u16 = 4790;
/// UDP port of VXLAN (RFC 7348 §5).
pub const VXLAN_PORT: u16 = 4789;
