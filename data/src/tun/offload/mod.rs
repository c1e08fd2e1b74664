//! Super-packets: many packets of a flow under one header, as the kernel's segmentation and
//! receive offloads pass them through a TUN device.

mod coalesce;
mod segment;
mod unfinished;
mod virtio;

pub(super) use coalesce::{Coalescer, LONGEST_HEADERS, SuperPacket};
pub(super) use segment::Segments;
pub(super) use unfinished::missing;
pub(super) use virtio::{PartialChecksum, Segmentation, VirtioHeader};

/// Where the checksum is in a TCP header.
const TCP_CHECKSUM: usize = 16;
/// Where it is in a UDP header.
const UDP_CHECKSUM: usize = 6;
