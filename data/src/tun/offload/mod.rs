//! Super-packets: many packets of a flow under one header, as the kernel's segmentation and
//! receive offloads pass them through a TUN device.

mod coalesce;
mod segment;
mod virtio;

pub(super) use coalesce::{Coalescer, LONGEST_HEADERS, SuperPacket};
pub(super) use segment::Segments;
pub(super) use virtio::{PartialChecksum, Segmentation, VirtioHeader};
