//! Map-Referral: a DDT node says whom to ask next (RFC 8111 §6.4).

/// Answers a Map-Request with D set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapReferral {}
