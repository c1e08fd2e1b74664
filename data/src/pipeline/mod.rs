//! What happens to a packet at the two ends of a tunnel, whatever plane carries it.
//!
//! The rules of RFC 9300 §5.3 and §7 for TTL, DSCP, ECN and size, the octets between UDP
//! and the inner packet, and which packets a router may forward at all. Functions only: planes
//! bring the packets and do the I/O.

pub mod data_header;
mod entrance;
mod exit;
mod policy;

pub use entrance::{Outer, unforwardable};
pub use exit::{Arrival, leave};
pub use policy::{Dscp, MssClamp, SourceCheck, Ttl};
