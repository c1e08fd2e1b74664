//! From a device to the underlay: what a worker does with packets the kernel routed to us.

use std::io::IoSlice;

use nix::errno::Errno;
use weft_fib::{DropReason, Forwarding, Hop, Lookup, Reader, Tables};
use weft_packet::addr::InstanceId;
use weft_packet::ip::checksum::Sum;
use weft_packet::ip::icmp::Problem;
use weft_packet::ip::{self, Header};

use super::hold::{Eid, Held};
use super::icmp::Subject;
use super::offload::{PartialChecksum, VirtioHeader};
use super::outbox::{NotSegmented, Span};
use super::socket::Envelope;
use super::worker::Worker;
use crate::pipeline::data_header::Head;
use crate::pipeline::{self, Outer};

/// A packet or super-packet from a device, in the outbox.
#[derive(Clone, Copy)]
struct Packet {
    instance: InstanceId,
    /// The device, by its place in [`Worker::devices`].
    device: usize,
    virtio: VirtioHeader,
    span: Span,
}

impl Worker {
    /// Reads a batch from a device and sends it on. False when the device is gone.
    pub(super) fn serve_device(&mut self, reader: &Reader, device: usize) -> bool {
        let Some(instance) = self.devices.instance(device) else { return true };
        let Some(tables) = reader.enter() else { return true };
        let (mut alive, mut drained, mut taken) = (true, false, 0);
        for _ in 0..BATCH {
            let Some(queue) = self.devices.queue(device) else { break };
            let Some(room) = self.outbox.vacant() else { break };
            let read = queue.read(room);
            taken += usize::from(read.is_ok());
            match read {
                Ok(length) => {
                    self.placement.carried(length);
                    match self.outbox.keep(length) {
                        Some((virtio, span)) => {
                            self.forward(&tables, Packet { instance, device, virtio, span });
                        }
                        None => self.ledger.drop(DropReason::Malformed, instance, &[], 1, self.now),
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {
                    drained = true;
                    break;
                }
                Err(error) => {
                    tracing::warn!(%instance, %error, "TUN device cannot be read");
                    alive = false;
                    break;
                }
            }
        }
        drop(tables);
        self.pace.took(taken, drained);
        self.send();
        alive
    }

    /// Sends what is in the outbox, and tells hosts and the control plane what was learnt.
    pub(super) fn send(&mut self) {
        self.outbox.send(&self.senders, &self.ledger.counters);
        if !self.outbox.failures.is_empty() || !self.outbox.learnt.is_empty() {
            self.unsent();
        }
    }

    /// Forwards the packets held for EIDs that a mapping came for.
    pub(super) fn release(&mut self, reader: &Reader, eids: &[Eid]) {
        let Some(tables) = reader.enter() else { return };
        for eid in eids {
            self.release_one(&tables, eid);
        }
        drop(tables);
        self.send();
    }

    /// Drops a packet that waited in vain.
    pub(super) fn hold_ended(&mut self, eid: Eid, held: &Held) {
        let (reason, packet) = (DropReason::HoldTimeout, &held.packet[..]);
        let packets = held.virtio.packets(packet.len());
        self.ledger.drop(reason, eid.instance, packet, packets, self.now);
        if let Ok(header) = Header::read(packet) {
            let subject = Subject { instance: eid.instance, packet, header: &header };
            self.icmp.refuse(&self.devices, subject, reason, self.now);
        }
    }

    fn forward(&mut self, tables: &Tables, packet: Packet) {
        let octets = self.outbox.octets(packet.span);
        let Ok(header) = Header::read(octets) else {
            return self.discard(packet, DropReason::Malformed);
        };
        if let Some(reason) = pipeline::unforwardable(&header) {
            return self.discard(packet, reason);
        }
        let lookup = tables.lookup(packet.instance, header.source, header.destination);
        let eid = Eid { instance: packet.instance, address: header.destination };
        if self.hold.contains(&eid) && !matches!(lookup.forwarding, Forwarding::Resolve) {
            // A mapping came between two packets of an EID: those that waited go first.
            let octets = octets.to_vec();
            self.release_one(tables, &eid);
            let Some(span) = self.admit(&octets) else { return };
            return self.carry(Packet { span, ..packet }, &header, lookup);
        }
        self.carry(packet, &header, lookup);
    }

    /// Does with a packet what the tables say.
    fn carry(&mut self, packet: Packet, header: &Header, lookup: Lookup<'_>) {
        match lookup.forwarding {
            Forwarding::Encapsulate(group) => {
                let hash = header.flow_hash(self.outbox.octets(packet.span));
                match group.pick(hash) {
                    Ok(hop) => {
                        let sent = self.encapsulate(packet, header, hash, hop);
                        if sent > 0 {
                            lookup.count(sent, header.length as u64);
                            hop.count(sent);
                        }
                    }
                    Err(reason) => self.refuse(packet, header, reason),
                }
            }
            // The kernel has only the site's own subnets in a bound instance.
            Forwarding::Native if packet.instance != InstanceId::DEFAULT => {
                self.refuse(packet, header, DropReason::NoNativeRoute);
            }
            Forwarding::Native => {
                lookup.count(packet.virtio.packets(header.length), header.length as u64);
                self.forward_natively(packet, header);
            }
            Forwarding::Resolve => self.hold_packet(packet, header),
            Forwarding::Local => self.refuse(packet, header, DropReason::LocalUndeliverable),
            Forwarding::Drop(reason) => self.refuse(packet, header, reason),
        }
    }

    /// Forwards the packets held for an EID, but for those whose sources have to wait on.
    fn release_one(&mut self, tables: &Tables, eid: &Eid) {
        let Some(device) = self.devices.of(eid.instance) else { return };
        let waits = |held: &Held| {
            let Ok(header) = Header::read(&held.packet) else { return false };
            let lookup = tables.lookup(eid.instance, header.source, eid.address);
            matches!(lookup.forwarding, Forwarding::Resolve)
        };
        for held in self.hold.take(eid, |held| !waits(held)) {
            let Some(span) = self.admit(&held.packet) else { continue };
            self.ledger.counters.released.add(held.virtio.packets(held.packet.len()));
            let packet = Packet { instance: eid.instance, device, virtio: held.virtio, span };
            self.forward(tables, packet);
        }
    }

    /// Copies a packet into the outbox, which is sent first if it is full.
    fn admit(&mut self, octets: &[u8]) -> Option<Span> {
        self.outbox.admit(octets).or_else(|| {
            self.send();
            self.outbox.admit(octets)
        })
    }

    fn hold_packet(&mut self, packet: Packet, header: &Header) {
        let eid = Eid { instance: packet.instance, address: header.destination };
        if self.limits.packets_per_eid == 0 {
            self.ask_about(eid, header.source);
            return self.discard(packet, DropReason::HoldEidFull);
        }
        let octets = &self.outbox.octets(packet.span)[..header.length];
        let packets = packet.virtio.packets(octets.len());
        let held = Held { virtio: packet.virtio, packet: octets.into() };
        let (ledger, now) = (&mut self.ledger, self.now);
        let added = self.hold.add(eid, header.source, held, &self.limits, now, |eid, evicted| {
            let packets = evicted.virtio.packets(evicted.packet.len());
            ledger.drop(DropReason::HoldFull, eid.instance, &evicted.packet, packets, now);
        });
        match added {
            Ok(()) => self.ledger.counters.held.add(packets),
            Err(reason) => self.discard(packet, reason),
        }
    }

    /// Gives the packet back to the kernel, which routes it on. Its way through us is no hop: the
    /// kernel decremented the TTL once already and will again.
    fn forward_natively(&mut self, packet: Packet, header: &Header) {
        let octets = self.outbox.octets_mut(packet.span);
        ip::set_ttl(octets, header.ttl.saturating_add(1));
        let virtio = packet.virtio.to_bytes();
        let Some(queue) = self.devices.queue(packet.device) else { return };
        let octets = self.outbox.octets(packet.span);
        let pieces = [IoSlice::new(&virtio), IoSlice::new(octets)];
        if queue.write(&pieces).is_ok() {
            let packets = packet.virtio.packets(header.length);
            self.ledger.counters.native.add(header.is_ipv6(), packets, header.length as u64);
        } else {
            self.discard(packet, DropReason::DeliverFailed);
        }
    }

    /// Puts the packet into the outbox's messages. Gives how many packets it became; 0 when it
    /// was dropped, which has been counted.
    fn encapsulate(&mut self, packet: Packet, header: &Header, hash: u32, hop: &Hop) -> u64 {
        let Some(sender) = self.senders.pick(hop.remote.is_ipv6(), hash) else {
            self.refuse(packet, header, DropReason::NoUsableUplink);
            return 0;
        };
        if packet.virtio.segmentation.is_none() {
            let octets = self.outbox.octets_mut(packet.span);
            if !complete_checksum(&mut octets[..header.length], packet.virtio.checksum) {
                self.discard(packet, DropReason::Malformed);
                return 0;
            }
            if let Some(limit) = self.options.mss_clamp.limit(hop.mtu, header.is_ipv6()) {
                ip::clamp_mss(octets, header, limit);
            }
        }
        let outer = Outer::of(header, self.options.ttl, self.options.dscp);
        let envelope = Envelope {
            sender,
            remote: hop.remote,
            encapsulation: hop.encapsulation,
            local: hop.local,
            interface: hop.interface,
            ttl: outer.ttl,
            traffic_class: outer.traffic_class,
            instance: packet.instance,
            inner_ipv6: header.is_ipv6(),
        };
        let head = Head::of(hop.encapsulation, packet.instance, header.is_ipv6());
        let mtu = if self.options.path_mtu_discovery { usize::from(hop.mtu) } else { usize::MAX };
        match self.put(packet, header, mtu, head, envelope) {
            Ok(packets) => packets,
            Err(NotSegmented::Malformed) => {
                self.discard(packet, DropReason::Malformed);
                0
            }
            Err(NotSegmented::TooBig) => {
                self.too_big(packet, header, hop.mtu);
                0
            }
        }
    }

    /// Puts a packet that fits into the outbox's messages, whole, in segments or in fragments.
    fn put(
        &mut self,
        packet: Packet,
        header: &Header,
        mtu: usize,
        head: Head,
        envelope: Envelope,
    ) -> Result<u64, NotSegmented> {
        let Packet { span, virtio, .. } = packet;
        let tried = match virtio.segmentation {
            None if header.length <= mtu => {
                self.outbox.add(span, header.length, head, envelope);
                return Ok(1);
            }
            None => Err(NotSegmented::TooBig),
            Some(segmentation) => {
                self.outbox.add_segments(span, header, segmentation, mtu, head, envelope)
            }
        };
        if tried != Err(NotSegmented::TooBig) {
            return tried;
        }
        if header.dont_fragment {
            return Err(NotSegmented::TooBig);
        }
        let segmentation = virtio.segmentation;
        let split = self.outbox.add_fragments(span, header, segmentation, mtu, head, envelope);
        if split { Ok(virtio.packets(header.length)) } else { Err(NotSegmented::TooBig) }
    }

    /// Drops a packet and tells its sender what fits.
    fn too_big(&mut self, packet: Packet, header: &Header, mtu: u16) {
        let octets = self.outbox.octets(packet.span);
        let subject = Subject { instance: packet.instance, packet: octets, header };
        self.icmp.answer(&self.devices, subject, Problem::TooBig(mtu), self.now);
        self.discard(packet, DropReason::TooBig);
    }

    /// Drops a packet and tells its sender, where the reason is one for the sender.
    fn refuse(&mut self, packet: Packet, header: &Header, reason: DropReason) {
        let octets = self.outbox.octets(packet.span);
        let subject = Subject { instance: packet.instance, packet: octets, header };
        self.icmp.refuse(&self.devices, subject, reason, self.now);
        self.discard(packet, reason);
    }

    fn discard(&mut self, packet: Packet, reason: DropReason) {
        let octets = self.outbox.octets(packet.span);
        let packets = packet.virtio.packets(octets.len());
        self.ledger.drop(reason, packet.instance, octets, packets, self.now);
    }

    /// What the kernel did not send is counted; what was too big for a path it has learnt of, the
    /// sender is told.
    fn unsent(&mut self) {
        self.report_learnt();
        for failure in &self.outbox.failures {
            let (envelope, now) = (&failure.envelope, self.now);
            let reason = match failure.error {
                Errno::EMSGSIZE => DropReason::TooBig,
                _ => DropReason::SendFailed,
            };
            self.ledger.drop(reason, envelope.instance, &failure.packet, 1, now);
            let mtu = self.senders.path_mtu(envelope.remote);
            let header = Header::read(&failure.packet);
            if let (DropReason::TooBig, Some(mtu), Ok(header)) = (reason, mtu, header) {
                let subject = Subject {
                    instance: envelope.instance,
                    packet: &failure.packet,
                    header: &header,
                };
                let overhead = envelope.encapsulation.overhead(envelope.remote);
                let problem = Problem::TooBig(mtu.saturating_sub(overhead));
                self.icmp.answer(&self.devices, subject, problem, now);
            }
        }
        self.outbox.learnt.clear();
    }
}

/// Computes the checksum the kernel left to us; false when it is not in the packet.
fn complete_checksum(packet: &mut [u8], partial: Option<PartialChecksum>) -> bool {
    let Some(PartialChecksum { start, offset }) = partial else { return true };
    let Some(covered) = packet.get_mut(usize::from(start)..) else { return false };
    let sum = Sum::ZERO.with(covered).udp_checksum();
    match covered.get_mut(usize::from(offset)..).and_then(<[u8]>::first_chunk_mut) {
        Some(field) => {
            *field = sum.to_be_bytes();
            true
        }
        None => false,
    }
}

/// Packets read before they are sent: enough to fill messages, few enough to stay in the cache.
const BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_checksums_are_completed() {
        // UDP 1 → 2 with one octet; the field holds the sum of the pseudo header.
        let mut packet = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0, 1, 0, 2, 0, 9, 0, 0, 7]);
        let header = Header::read(&packet).unwrap();
        let pseudo = Sum::pseudo_header(header.source, header.destination, 17, 9);
        packet[26..28].copy_from_slice(&pseudo.folded().to_be_bytes());
        assert!(complete_checksum(&mut packet, Some(PartialChecksum { start: 20, offset: 6 })));
        assert!(pseudo.with(&packet[20..]).is_right());
        for (start, offset) in [(20, 8), (29, 0), (30, 0), (u16::MAX, u16::MAX)] {
            assert!(!complete_checksum(&mut packet, Some(PartialChecksum { start, offset })));
        }
        assert!(complete_checksum(&mut packet, None));
    }
}
