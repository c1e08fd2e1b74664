//! Joins packets of a flow into super-packets, so that the kernel behind the device handles a
//! burst at the cost of one packet: what generic receive offload does for a network card.
//!
//! Packets are joined only if cutting the result gives them back: same headers, consecutive TCP
//! sequence numbers or equal UDP sizes, right checksums. Order within a flow is kept: a packet
//! that cannot join closes what it could not join.
#![expect(
    clippy::cast_possible_truncation,
    reason = "sequence numbers wrap; a super-packet fits 16 bits"
)]

use std::net::IpAddr;
use std::ops::Range;

use weft_packet::ip::checksum::{Sum, set_ipv4};
use weft_packet::ip::{Fragment, Header, length_field, protocol};

use super::virtio::{PartialChecksum, Segmentation, Transport, VirtioHeader};
use super::{TCP_CHECKSUM, UDP_CHECKSUM};

/// The packets of one batch on their way to devices, in order. They stay in the buffer they were
/// received into, which every method is given.
#[derive(Default)]
pub(in crate::tun) struct Coalescer {
    supers: Vec<SuperPacket>,
    /// How many of `supers` are in use; the others keep their allocations.
    used: usize,
    /// The open super-packet of a flow, by hash; one more than its index, 0 = none.
    open: Table,
}

/// Packets to be written to a device at once; most often one.
#[derive(Default)]
pub(in crate::tun) struct SuperPacket {
    /// The device to write to, as its caller numbers it.
    pub(in crate::tun) device: usize,
    /// Whether the inner packets are IPv6.
    pub(in crate::tun) ipv6: bool,
    /// The first packet.
    first: Range<usize>,
    /// What it lacks.
    lacks: VirtioHeader,
    /// What its headers say; `None` when nothing can join.
    flow: Option<Flow>,
    /// Payload of the packets that joined.
    joined: Vec<Range<usize>>,
    /// Octets of payload of all packets.
    bytes: usize,
}

/// What decides whether a packet may join.
#[derive(Clone, Copy)]
struct Flow {
    transport: usize,
    payload: usize,
    tcp: bool,
    /// Octets of payload of the first packet.
    size: usize,
    /// The sequence number behind the last packet.
    next: u32,
    /// The checksums of the first packet were found right.
    verified: bool,
    /// The transport checksum is still to be computed.
    unfinished: bool,
    /// Nothing can join any more.
    closed: bool,
    /// The last packet that joined had PSH set.
    pushed: bool,
}

impl Coalescer {
    /// Forgets the batch.
    pub(in crate::tun) fn clear(&mut self) {
        self.used = 0;
        self.open.clear();
    }

    /// Adds a packet for `device`; `range` is where in `buffer` it is, `header` is of it and
    /// `lacks` says what has to be added to it. UDP is joined only if `udp` says the device takes
    /// it.
    pub(in crate::tun) fn add(
        &mut self,
        buffer: &[u8],
        range: Range<usize>,
        header: &Header,
        lacks: VirtioHeader,
        device: usize,
        udp: bool,
    ) {
        let packet = &buffer[range.clone()];
        let flow = Flow::of(packet, header, lacks).filter(|flow| flow.tcp || udp);
        let slot = (header.flow_hash(packet) as usize ^ device) % SLOTS;
        if let (Some(flow), Some(index)) = (flow, self.open.get(slot)) {
            let open = &mut self.supers[index];
            if open.device == device && open.join(buffer, range.clone(), header, flow) {
                return;
            }
        }
        let index = self.used;
        self.used += 1;
        if index == self.supers.len() {
            self.supers.push(SuperPacket::default());
        }
        self.supers[index].start(device, header.is_ipv6(), range, lacks, flow);
        self.open.set(slot, index);
    }

    /// What is to be written, in order.
    pub(in crate::tun) fn super_packets(&self) -> &[SuperPacket] {
        &self.supers[..self.used]
    }
}

impl SuperPacket {
    fn start(
        &mut self,
        device: usize,
        ipv6: bool,
        first: Range<usize>,
        lacks: VirtioHeader,
        flow: Option<Flow>,
    ) {
        self.device = device;
        self.ipv6 = ipv6;
        self.bytes = flow.map_or(0, |flow| flow.size);
        self.first = first;
        self.lacks = lacks;
        self.flow = flow;
        self.joined.clear();
    }

    /// How many packets it holds.
    pub(in crate::tun) fn packets(&self) -> u64 {
        self.lacks.packets(self.first.len()) + self.joined.len() as u64
    }

    /// Octets of all its packets, each with its headers.
    pub(in crate::tun) fn bytes(&self) -> u64 {
        let joined = self.joined.iter().map(|payload| payload.len() as u64).sum::<u64>();
        let headers = match self.lacks.segmentation {
            Some(segmentation) => usize::from(segmentation.headers),
            None => self.flow.map_or(0, |flow| flow.payload),
        };
        self.first.len() as u64 + joined + (self.packets() - 1) * headers as u64
    }

    /// What a packet that is written as it is lacks.
    pub(in crate::tun) fn lacks(&self) -> VirtioHeader {
        self.lacks
    }

    /// The first packet.
    pub(in crate::tun) fn first(&self) -> Range<usize> {
        self.first.clone()
    }

    /// Headers for all its packets, written to `out`, and how to cut it; the payload follows in
    /// [`Self::payload`]. `None` when it is one packet, to be written as it is.
    pub(in crate::tun) fn headers<'a>(
        &self,
        buffer: &[u8],
        out: &'a mut [u8; LONGEST_HEADERS],
    ) -> Option<(VirtioHeader, &'a [u8])> {
        let flow = self.flow.filter(|_| !self.joined.is_empty())?;
        let out = &mut out[..flow.payload];
        out.copy_from_slice(&buffer[self.first.start..][..flow.payload]);
        let (ip, upper) = out.split_at_mut(flow.transport);
        let upper_length = upper.len() + self.bytes;
        if self.ipv6 {
            ip[4..6].copy_from_slice(&length_field(upper_length));
        } else {
            let length = length_field(ip.len() + upper_length);
            ip[2..4].copy_from_slice(&length);
            set_ipv4(ip);
        }
        let field = if flow.tcp {
            upper[13] |= if flow.pushed { PSH } else { 0 };
            TCP_CHECKSUM
        } else {
            upper[4..6].copy_from_slice(&length_field(upper_length));
            UDP_CHECKSUM
        };
        let protocol = if flow.tcp { protocol::TCP } else { protocol::UDP };
        let header = Header::read(&buffer[self.first.clone()]).ok()?;
        let partial = Sum::pseudo_header(header.source, header.destination, protocol, upper_length);
        upper[field..field + 2].copy_from_slice(&partial.folded().to_be_bytes());
        let virtio = VirtioHeader {
            checksum: Some(PartialChecksum { start: flow.transport as u16, offset: field as u16 }),
            segmentation: Some(Segmentation {
                transport: match (flow.tcp, self.ipv6) {
                    (false, _) => Transport::Udp,
                    (true, false) => Transport::TcpV4,
                    (true, true) => Transport::TcpV6,
                },
                cwr: false,
                headers: flow.payload as u16,
                size: flow.size as u16,
            }),
        };
        Some((virtio, out))
    }

    /// Where the payload of its packets is, in order.
    pub(in crate::tun) fn payload(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let headers = self.flow.map_or(0, |flow| flow.payload);
        let first = self.first.start + headers..self.first.end;
        std::iter::once(first).chain(self.joined.iter().cloned())
    }

    /// Takes the packet in `range` if it continues this one; closes this one otherwise.
    fn join(&mut self, buffer: &[u8], range: Range<usize>, header: &Header, new: Flow) -> bool {
        let Some(flow) = &mut self.flow else { return false };
        let first = &buffer[self.first.clone()];
        let packet = &buffer[range.clone()];
        let fits = !flow.closed
            && new.payload == flow.payload
            && new.size <= flow.size
            && flow.payload + self.bytes + new.size <= LARGEST
            && self.joined.len() + 2 <= if flow.tcp { MOST_SEGMENTS } else { MOST_DATAGRAMS }
            && flow.continues(first, packet, header, self.joined.len() + 1);
        if !fits {
            flow.closed = true;
            return false;
        }
        let right = |packet, of: &Flow| checksums_are_right(packet, header, of);
        let verified = flow.verified || right(first, flow);
        if !verified || !right(packet, &new) {
            flow.closed = true;
            return false;
        }
        flow.verified = true;
        flow.next = flow.next.wrapping_add(new.size as u32);
        flow.pushed = new.pushed;
        flow.closed = new.closed || new.size < flow.size;
        self.bytes += new.size;
        self.joined.push(range.start + flow.payload..range.end);
        true
    }
}

impl Flow {
    /// What a packet says of itself; `None` when nothing can join it.
    fn of(packet: &[u8], header: &Header, lacks: VirtioHeader) -> Option<Self> {
        let plain = match header.destination {
            IpAddr::V4(_) => header.transport == 20,
            IpAddr::V6(_) => header.transport == 40,
        };
        let tcp = match header.protocol {
            protocol::TCP => true,
            protocol::UDP => false,
            _ => return None,
        };
        if !plain || header.fragment != Fragment::Whole || lacks.segmentation.is_some() {
            return None;
        }
        let upper = packet.get(header.transport..)?;
        let (payload, next, flags) = if tcp {
            let head: &[u8; 20] = upper.first_chunk()?;
            let sequence = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            (header.transport + usize::from(head[12] >> 4) * 4, sequence, head[13])
        } else {
            let head: &[u8; 8] = upper.first_chunk()?;
            let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
            let summed = head[6..8] != [0, 0];
            if length != upper.len() || !summed {
                return None;
            }
            (header.transport + 8, 0, ACK)
        };
        let size = packet.len().checked_sub(payload).filter(|&size| size > 0)?;
        if payload < header.transport + 8 || (flags & !(PSH | ECE)) != ACK {
            return None;
        }
        let pushed = flags & PSH != 0;
        let next = next.wrapping_add(size as u32);
        let closed = pushed;
        Some(Self {
            transport: header.transport,
            payload,
            tcp,
            size,
            next,
            verified: false,
            unfinished: lacks.checksum.is_some(),
            closed,
            pushed,
        })
    }

    /// True when the headers of `packet` are those of the packet after `first` and `n - 1` more.
    fn continues(&self, first: &[u8], packet: &[u8], header: &Header, n: usize) -> bool {
        let (a, b) = (&first[..self.payload], &packet[..self.payload]);
        let ip = if header.is_ipv6() {
            a[..4] == b[..4] && a[6..40] == b[6..40]
        } else {
            // With DF the identification means nothing (RFC 6864 §4.1).
            let identification = |p: &[u8]| u16::from_be_bytes([p[4], p[5]]);
            a[..2] == b[..2]
                && a[6..10] == b[6..10]
                && a[12..20] == b[12..20]
                && (header.dont_fragment
                    || identification(b) == identification(a).wrapping_add(n as u16))
        };
        let (a, b) = (&a[self.transport..], &b[self.transport..]);
        ip && a[..4] == b[..4]
            && (!self.tcp
                || (b[4..8] == self.next.to_be_bytes()
                    && a[8..13] == b[8..13]
                    && (a[13] | PSH) == (b[13] | PSH)
                    && a[14..16] == b[14..16]
                    && a[18..] == b[18..]))
    }
}

/// A packet that joins loses its checksums, so they must have been right. `header` is of a packet
/// of the same flow, `flow` of this one.
fn checksums_are_right(packet: &[u8], header: &Header, flow: &Flow) -> bool {
    let (ip, upper) = packet.split_at(header.transport);
    let protocol = if flow.tcp { protocol::TCP } else { protocol::UDP };
    let pseudo = Sum::pseudo_header(header.source, header.destination, protocol, upper.len());
    (header.is_ipv6() || Sum::ZERO.with(ip).is_right())
        && (flow.unfinished || pseudo.with(upper).is_right())
}

/// The newest super-packet of each flow, by flow hash. Flows that collide close each other's,
/// which costs only speed.
struct Table {
    slots: Box<[u16; SLOTS]>,
    touched: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self { slots: Box::new([0; SLOTS]), touched: false }
    }
}

impl Table {
    fn clear(&mut self) {
        if std::mem::take(&mut self.touched) {
            self.slots.fill(0);
        }
    }

    fn get(&self, slot: usize) -> Option<usize> {
        usize::from(self.slots[slot]).checked_sub(1)
    }

    fn set(&mut self, slot: usize, index: usize) {
        self.touched = true;
        self.slots[slot] = u16::try_from(index + 1).unwrap_or(0);
    }
}

/// IPv6 and the longest TCP header.
pub(in crate::tun) const LONGEST_HEADERS: usize = 40 + 60;
/// What the length fields of IP can express.
const LARGEST: usize = 65_535;
/// Well below the kernel's limit of pieces in one write.
const MOST_SEGMENTS: usize = 512;
/// `UDP_MAX_SEGMENTS` of older kernels, which refuse more.
const MOST_DATAGRAMS: usize = 64;
const SLOTS: usize = 512;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const ECE: u8 = 0x40;

#[cfg(test)]
mod tests;
