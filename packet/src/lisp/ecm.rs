//! Encapsulated Control Message: a message within IP and UDP headers of its own (RFC 9301 §5.8).

use super::Message;
use std::net::SocketAddr;

/// A control message that travels through the mapping system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encapsulated {
    /// S: LISP-SEC or RTR authentication data, kept as it came (RFC 9303, NAT draft).
    pub security: Option<Vec<u8>>,
    /// D: the sender wants a Map-Referral.
    pub ddt: bool,
    /// E: a Map-Server forwards this to an ETR.
    pub to_etr: bool,
    /// M: a Map-Resolver forwards this to a Map-Server.
    pub to_map_server: bool,
    /// R (NAT draft, bit 9): an RTR shall process it.
    pub rtr: bool,
    /// N (NAT draft, bit 10): an RTR relayed it.
    pub relayed: bool,
    /// Inner source: address and UDP port the answer goes to.
    pub source: SocketAddr,
    /// Inner destination: the EID asked for, port 4342.
    pub destination: SocketAddr,
    /// Inner TTL or hop limit.
    pub hops: u8,
    /// What is carried.
    pub message: Box<Message>,
}
