//! Map-Reply: these locators serve that EID (RFC 9301 §5.4).

use super::MappingRecord;
use crate::addr::Nonce;

/// Answers a Map-Request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapReply {
    /// P: answers an RLOC-probe.
    pub probe: bool,
    /// E: the site echoes nonces.
    pub echo_nonce: bool,
    /// S: LISP-SEC authentication data follows the records, kept as it came (RFC 9303).
    pub security: Option<Vec<u8>>,
    /// The request's.
    pub nonce: Nonce,
    /// Usually one; several where more-specifics exist.
    pub records: Vec<MappingRecord>,
}
