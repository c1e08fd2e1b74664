//! Map-Register: an ETR tells its Map-Server which EIDs it serves (RFC 9301 §5.6).

use super::{Authentication, MappingRecord};
use crate::addr::{Nonce, SiteId, XtrId};

/// Registers mappings. The authentication covers the whole message; see [`super::auth`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapRegister {
    /// P: the Map-Server shall answer for us.
    pub proxy_reply: bool,
    /// S: we can do LISP-SEC.
    pub security: bool,
    /// E: EID-notify, from a first-hop router to its site's xTR.
    pub eid_notify: bool,
    /// T: the record TTL is the registration's life time (else 3 minutes).
    pub use_ttl: bool,
    /// a: merge with what other xTRs of the site registered.
    pub merge: bool,
    /// R (bit 22): reserved in RFC 9301, "mobile node" before.
    pub mobile_node: bool,
    /// M: send me a Map-Notify.
    pub want_notify: bool,
    /// Strictly increasing per xTR and key.
    pub nonce: Nonce,
    /// Who vouches for the message.
    pub authentication: Authentication,
    /// What is registered.
    pub records: Vec<MappingRecord>,
    /// I: which xTR of which site.
    pub xtr: Option<(XtrId, SiteId)>,
}
