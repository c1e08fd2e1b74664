//! Mapping records, locators, authentication, and the words of the numbers in them.

use super::{Tree, address};
use crate::addr::{SiteId, XtrId};
use crate::lisp::{
    Action, Algorithm, Authentication, Eid, Locator, MappingRecord, ReferralAction, ReferralRecord,
    Signature, Ttl,
};
use std::fmt;

impl fmt::Display for Action {
    /// The name RFC 9301 §5.4 gives.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoAction => "No-Action",
            Self::NativelyForward => "Natively-Forward",
            Self::SendMapRequest => "Send-Map-Request",
            Self::DropNoReason => "Drop/No-Reason",
            Self::DropPolicyDenied => "Drop/Policy-Denied",
            Self::DropAuthFailure => "Drop/Auth-Failure",
            Self::Unassigned6 => "unassigned 6",
            Self::Unassigned7 => "unassigned 7",
        })
    }
}

impl fmt::Display for ReferralAction {
    /// The name RFC 8111 §6.4 gives.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NodeReferral => "NODE-REFERRAL",
            Self::MsReferral => "MS-REFERRAL",
            Self::MsAck => "MS-ACK",
            Self::MsNotRegistered => "MS-NOT-REGISTERED",
            Self::DelegationHole => "DELEGATION-HOLE",
            Self::NotAuthoritative => "NOT-AUTHORITATIVE",
            Self::Unassigned6 => "unassigned 6",
            Self::Unassigned7 => "unassigned 7",
        })
    }
}

impl fmt::Display for Algorithm {
    /// The name RFC 9301 §12.5 gives.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::HmacSha1 => f.pad("HMAC-SHA-1-96-None"),
            Self::HmacSha256 => f.pad("HMAC-SHA-256-128-None"),
            Self::HmacSha256Hkdf => f.pad("HMAC-SHA256-128+HKDF-SHA256"),
            Self::Unknown(number) => write!(f, "unknown {number}"),
        }
    }
}

/// A record's life time.
pub(super) fn ttl(label: &'static str, ttl: Ttl) -> Tree {
    match ttl {
        Ttl::RECEIVER_DECIDES => Tree::text(label, "receiver decides"),
        Ttl(minutes) => Tree::number(label, minutes),
    }
}

/// EID and mask length.
pub(super) fn eid(eid: &Eid) -> [Tree; 2] {
    [address::address("EID", &eid.address), Tree::number("EID mask-len", eid.mask_len)]
}

/// A mapping.
pub(super) fn record(label: &'static str, record: &MappingRecord) -> Tree {
    let [address, mask_len] = eid(&record.eid);
    Tree::node(
        label,
        vec![
            ttl("Record TTL (minutes)", record.ttl),
            mask_len,
            Tree::text("ACT", record.action),
            Tree::flag("Authoritative (A)", record.authoritative),
            Tree::number("Map-Version Number", record.version),
            address,
            Tree::list("Locators", record.locators.iter().map(locator)),
        ],
    )
}

/// The mappings of a message.
pub(super) fn records(records: &[MappingRecord]) -> Tree {
    Tree::list("Records", records.iter().map(|item| record("Record", item)))
}

fn locator(locator: &Locator) -> Tree {
    Tree::node(
        "Locator",
        vec![
            address::address("RLOC", &locator.address),
            Tree::number("Priority", locator.priority),
            Tree::number("Weight", locator.weight),
            Tree::number("M Priority", locator.multicast_priority),
            Tree::number("M Weight", locator.multicast_weight),
            Tree::flag("Local (L)", locator.local),
            Tree::flag("Probed (p)", locator.probed),
            Tree::flag("Reachable (R)", locator.reachable),
        ],
    )
}

/// A delegation.
pub(super) fn referral(record: &ReferralRecord) -> Tree {
    let [address, mask_len] = eid(&record.eid);
    Tree::node(
        "Record",
        vec![
            ttl("Record TTL (minutes)", record.ttl),
            mask_len,
            Tree::text("ACT", record.action),
            Tree::flag("Authoritative (A)", record.authoritative),
            Tree::flag("Incomplete (I)", record.incomplete),
            Tree::number("Map-Version Number", record.version),
            address,
            Tree::list("Referrals", record.referrals.iter().map(locator)),
            Tree::list("Signatures", record.signatures.iter().map(signature)),
        ],
    )
}

fn signature(signature: &Signature) -> Tree {
    Tree::node(
        "Signature",
        vec![
            ttl("Original Record TTL (minutes)", signature.original_ttl),
            Tree::number("Signature Expiration", signature.expiration),
            Tree::number("Signature Inception", signature.inception),
            Tree::number("Key Tag", signature.key_tag),
            Tree::number("Sig-Algorithm", signature.algorithm),
            Tree::octets("Signature", &signature.signature),
        ],
    )
}

/// Who vouches for a message.
pub(super) fn authentication(label: &'static str, authentication: &Authentication) -> Tree {
    let Authentication { key_id, algorithm, data } = authentication;
    Tree::node(
        label,
        vec![
            Tree::number("Key ID", *key_id),
            Tree::text("Algorithm ID", format_args!("{algorithm} ({})", algorithm.number())),
            Tree::number("Authentication Data Length", data.len() as u64),
            Tree::octets("Authentication Data", data),
        ],
    )
}

/// The ids at the end of a message, none where it has none.
pub(super) fn ids(ids: Option<(XtrId, SiteId)>) -> Vec<Tree> {
    ids.map_or_else(Vec::new, |(xtr_id, site_id)| {
        vec![
            Tree::text("xTR-ID", xtr_id),
            Tree::text("Site-ID", format_args!("{:016x}", site_id.0)),
        ]
    })
}
