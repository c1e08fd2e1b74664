//! The packets we carry: IPv4 and IPv6 headers, and the little of TCP, UDP and ICMP a tunnel
//! router must understand.
//!
//! [`Header`] is what a packet says about itself, read once. The other functions edit a packet
//! in place and keep its checksums right, or make new packets from it: [`fragment`] and the
//! errors of [`icmp`]. Nothing here keeps state, and no input panics.

pub mod checksum;
pub mod ecn;
pub mod fragment;
mod header;
pub mod icmp;
mod rewrite;
mod scope;

pub use header::{Fragment, Header, flow_hash};
pub use rewrite::{clamp_mss, is_syn, set_traffic_class, set_ttl};
pub use scope::Scope;

/// A 16-bit length field. Packets longer than it can express do not exist; it would saturate.
pub fn length_field(octets: usize) -> [u8; 2] {
    u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes()
}

/// Protocol numbers of the headers this module knows.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
}
