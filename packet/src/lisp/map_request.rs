//! Map-Request: who serves this EID? Also probes, SMRs and subscriptions (RFC 9301 §5.2).

use super::{Address, Eid, MappingRecord};
use crate::addr::{Nonce, SiteId, XtrId};

/// Asks for mappings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapRequest {
    /// A: the ETR itself shall answer, no proxy.
    pub authoritative: bool,
    /// P: an RLOC-probe.
    pub probe: bool,
    /// S: solicits a Map-Request.
    pub smr: bool,
    /// p: sent by a PITR.
    pub pitr: bool,
    /// s: sent because of an SMR.
    pub smr_invoked: bool,
    /// L: the sender is another xTR of the receiver's site.
    pub local_xtr: bool,
    /// D: do not answer.
    pub no_reply: bool,
    /// Repeated in the answer.
    pub nonce: Nonce,
    /// The EID whose packet caused this; [`Address::None`] in probes and refreshes.
    pub source_eid: Address,
    /// Where the answer may go, 1 to 32.
    pub itr_rlocs: Vec<Address>,
    /// What is asked, at least one.
    pub eids: Vec<RequestedEid>,
    /// M: the mapping of the source EID, for the receiver to verify and keep.
    pub mapping: Option<MappingRecord>,
    /// I: who asks (RFC 9437); needed to subscribe.
    pub xtr: Option<(XtrId, SiteId)>,
}

/// One question of a Map-Request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedEid {
    /// N: notify me of changes (RFC 9437).
    pub subscribe: bool,
    /// The EID, or the prefix to be refreshed or probed.
    pub eid: Eid,
}
