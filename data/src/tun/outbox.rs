//! One batch of packets on their way to locators.
//!
//! Packets are read straight into the outbox and stay there until they are sent; what is written
//! for them (outer headers, headers of segments, fragments) is kept beside them. Packets that
//! may travel together (equal [`Envelope`], equal size) are gathered into one message while the
//! batch fills, however flows are mixed: one open message for each envelope.

use std::net::IpAddr;

use nix::errno::Errno;
use weft_packet::ip::{Header, fragment};

use super::counters::WorkerCounters;
use super::offload::{Segmentation, Segments, VirtioHeader};
use super::socket::{Batch, Envelope, PathMtu, Senders};
use crate::pipeline::data_header::{self, Head};

/// One batch of packets on their way to locators.
pub(super) struct Outbox {
    /// Packets as they came from devices, each behind room for what stands in front of it.
    packets: Box<[u8]>,
    filled: usize,
    /// What was written for them.
    made: Vec<u8>,
    messages: Vec<Message>,
    /// How many of `messages` are in use; the others keep their allocations.
    used: usize,
    /// The open message of an envelope, by hash; one more than its index, 0 = none.
    open: Box<[u16; SLOTS]>,
    /// Interfaces that cannot segment, found out by trying.
    unsegmented: Vec<u32>,
    /// What was not sent, of the last batch.
    pub(super) failures: Vec<Failure>,
    /// What was learnt about path MTUs while sending.
    pub(super) learnt: Vec<PathMtu>,
}

/// Where octets of a batch are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    at: usize,
    length: usize,
    made: bool,
}

/// An encapsulated packet: its head with what was written behind it, then what follows
/// from somewhere else.
#[derive(Clone, Copy, Debug)]
struct Datagram {
    head: Span,
    body: Span,
}

/// Datagrams that leave with one entry of a system call.
struct Message {
    envelope: Envelope,
    datagrams: Vec<Datagram>,
    /// Octets of each datagram but the last.
    segment: usize,
    bytes: usize,
    /// A shorter datagram was added, or a limit reached.
    closed: bool,
}

/// An encapsulated packet that was not sent.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) envelope: Envelope,
    /// The inner packet.
    pub(super) packet: Vec<u8>,
    pub(super) error: Errno,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            packets: vec![0; CAPACITY].into(),
            filled: 0,
            made: Vec::new(),
            messages: Vec::new(),
            used: 0,
            open: Box::new([0; SLOTS]),
            unsegmented: Vec::new(),
            failures: Vec::new(),
            learnt: Vec::new(),
        }
    }
}

impl Outbox {
    /// Room for the next packet and its virtio header; `None` when the batch must be sent first.
    pub(super) fn vacant(&mut self) -> Option<&mut [u8]> {
        let start = self.filled + LEAD;
        self.packets.get_mut(start..start + LARGEST)
    }

    /// Keeps the first octets of [`Self::vacant`], a virtio header and a packet. `None` when
    /// they are not even that.
    pub(super) fn keep(&mut self, length: usize) -> Option<(VirtioHeader, Span)> {
        let at = self.filled + ROOM;
        let packet = length.checked_sub(VirtioHeader::LENGTH)?;
        let virtio = self.packets.get(self.filled + LEAD..)?.first_chunk()?;
        let virtio = VirtioHeader::read(virtio)?;
        self.filled = (at + packet).next_multiple_of(16);
        Some((virtio, Span { at, length: packet, made: false }))
    }

    /// Copies a packet in; `None` when the batch must be sent first.
    pub(super) fn admit(&mut self, packet: &[u8]) -> Option<Span> {
        let room = self.vacant()?.get_mut(VirtioHeader::LENGTH..)?;
        room.get_mut(..packet.len())?.copy_from_slice(packet);
        let at = self.filled + ROOM;
        self.filled = (at + packet.len()).next_multiple_of(16);
        Some(Span { at, length: packet.len(), made: false })
    }

    /// The octets of a packet.
    pub(super) fn octets(&self, span: Span) -> &[u8] {
        let from: &[u8] = if span.made { &self.made } else { &self.packets };
        &from[span.at..span.at + span.length]
    }

    /// The octets of a packet that was kept or admitted.
    pub(super) fn octets_mut(&mut self, span: Span) -> &mut [u8] {
        &mut self.packets[span.at..span.at + span.length]
    }

    /// Sends a packet as it is; `length` octets of it count.
    pub(super) fn add(&mut self, packet: Span, length: usize, outer: Head, envelope: Envelope) {
        // The virtio header in front of the packet has been read; the head takes its room.
        let at = packet.at - outer.len();
        self.packets[at..packet.at].copy_from_slice(&outer);
        let head = Span { at, length: outer.len() + length, made: false };
        self.push(envelope, Datagram { head, body: Span::NONE });
    }

    /// Sends the packets of a super-packet if none is larger than `mtu`.
    pub(super) fn add_segments(
        &mut self,
        packet: Span,
        header: &Header,
        segmentation: Segmentation,
        mtu: usize,
        outer: Head,
        envelope: Envelope,
    ) -> Result<u64, NotSegmented> {
        let octets = &self.packets[packet.at..packet.at + packet.length];
        let segments =
            Segments::new(octets, header, segmentation).ok_or(NotSegmented::Malformed)?;
        if segments.largest() > mtu {
            return Err(NotSegmented::TooBig);
        }
        let (first, length) = (self.made.len(), outer.len() + segments.header_length());
        for n in 0..segments.count() {
            self.made.extend_from_slice(&outer);
            segments.write_header(n, &mut self.made);
        }
        let count = segments.count();
        let bodies: (usize, usize) = (segments.payload(0).start, segments.payload(0).len());
        for n in 0..count {
            let head = Span { at: first + n * length, length, made: true };
            let start = bodies.0 + n * bodies.1;
            let size = bodies.1.min(header.length - start);
            let body = Span { at: packet.at + start, length: size, made: false };
            self.push(envelope, Datagram { head, body });
        }
        Ok(count as u64)
    }

    /// Sends an IPv4 packet in fragments of at most `mtu` octets; false when it must not be
    /// split. The packets of a super-packet are split one by one.
    pub(super) fn add_fragments(
        &mut self,
        packet: Span,
        header: &Header,
        segmentation: Option<Segmentation>,
        mtu: usize,
        outer: Head,
        envelope: Envelope,
    ) -> bool {
        let octets = &self.packets[packet.at..packet.at + packet.length];
        let wholes = match segmentation {
            None => vec![octets.to_vec()],
            Some(segmentation) => {
                let Some(segments) = Segments::new(octets, header, segmentation) else {
                    return false;
                };
                let whole = |n| {
                    let mut packet = Vec::new();
                    segments.write_header(n, &mut packet);
                    packet.extend_from_slice(&octets[segments.payload(n)]);
                    packet
                };
                (0..segments.count()).map(whole).collect()
            }
        };
        wholes.iter().all(|whole| {
            let Ok(header) = Header::read(whole) else { return false };
            let mut spans = Vec::new();
            let made = &mut self.made;
            let split = fragment::split(whole, &header, mtu, |head, payload| {
                let at = made.len();
                made.extend_from_slice(&outer);
                made.extend_from_slice(head);
                made.extend_from_slice(payload);
                spans.push(Span { at, length: made.len() - at, made: true });
            });
            for head in spans {
                self.push(envelope, Datagram { head, body: Span::NONE });
            }
            split
        })
    }

    /// Sends the batch, counts what left, and makes room for the next. What did not leave is in
    /// `failures` until the next call.
    pub(super) fn send(&mut self, senders: &Senders, counters: &WorkerCounters) {
        self.failures.clear();
        let mut order: Vec<usize> = (0..self.used).collect();
        order.sort_by_key(|&index| self.messages[index].envelope.sender);
        let mut rest = &order[..];
        while let Some(&first) = rest.first() {
            let sender = self.messages[first].envelope.sender;
            let run = rest.partition_point(|&index| self.messages[index].envelope.sender == sender);
            self.send_run(sender, &rest[..run], senders, counters);
            rest = &rest[run..];
        }
        for message in &mut self.messages[..self.used] {
            message.datagrams.clear();
        }
        if self.used > 0 {
            self.open.fill(0);
        }
        self.used = 0;
        self.made.clear();
        self.made.shrink_to(LARGEST_MADE);
        self.filled = 0;
    }

    /// Adds a datagram to the open message of its envelope, or opens one.
    fn push(&mut self, envelope: Envelope, datagram: Datagram) {
        let length = datagram.head.length + datagram.body.length;
        let slot = slot(&envelope);
        if let Some(index) = usize::from(self.open[slot]).checked_sub(1) {
            let message = &mut self.messages[index];
            if message.takes(&envelope, length) {
                message.datagrams.push(datagram);
                message.bytes += length;
                message.closed = length < message.segment;
                return;
            }
        }
        let closed = self.unsegmented.contains(&envelope.interface);
        let index = self.used;
        self.used += 1;
        self.open[slot] = u16::try_from(self.used).unwrap_or(0);
        match self.messages.get_mut(index) {
            Some(message) => {
                message.envelope = envelope;
                message.datagrams.push(datagram);
                (message.segment, message.bytes, message.closed) = (length, length, closed);
            }
            None => self.messages.push(Message {
                envelope,
                datagrams: vec![datagram],
                segment: length,
                bytes: length,
                closed,
            }),
        }
    }

    /// Sends messages of one socket.
    fn send_run(
        &mut self,
        sender: u16,
        run: &[usize],
        senders: &Senders,
        counters: &WorkerCounters,
    ) {
        let Some(fd) = senders.get(sender) else { return };
        let mut batch = Batch::default();
        for &index in run {
            let message = &self.messages[index];
            let many = message.datagrams.len() > 1;
            let segment = u16::try_from(message.segment).ok().filter(|_| many);
            let pieces = message.datagrams.iter().flat_map(|d| d.pieces(&self.packets, &self.made));
            batch.add(&message.envelope, segment, pieces);
        }
        let (mut done, mut tried_again, mut refused) = (0, false, Vec::new());
        while let Some(&index) = run.get(done) {
            counters.sends.add(1);
            match batch.send(fd, done) {
                Ok(sent) => {
                    for &index in &run[done..(done + sent).min(run.len())] {
                        self.messages[index].count(counters);
                    }
                    done += sent.max(1);
                    tried_again = false;
                }
                // What an earlier packet met is told to the next one: take it off and try again.
                Err(error) if !tried_again && !is_full(error) => {
                    senders.learn(sender, &mut self.learnt);
                    tried_again = true;
                }
                Err(error) => {
                    refused.push((index, error));
                    done += 1;
                    tried_again = false;
                }
            }
        }
        drop(batch);
        for (index, error) in refused {
            self.refused(index, error, senders, counters);
        }
    }

    /// A message was refused. If it was for being many datagrams at once, sends them one by one.
    fn refused(
        &mut self,
        index: usize,
        error: Errno,
        senders: &Senders,
        counters: &WorkerCounters,
    ) {
        let message = &self.messages[index];
        let envelope = message.envelope;
        let datagrams = message.datagrams.clone();
        let Some(fd) = senders.get(envelope.sender) else { return };
        let mut failed: Vec<(usize, Errno)> = Vec::new();
        if datagrams.len() == 1 || is_full(error) {
            failed.extend((0..datagrams.len()).map(|n| (n, error)));
        } else {
            for (n, datagram) in datagrams.iter().enumerate() {
                let mut batch = Batch::default();
                batch.add(&envelope, None, datagram.pieces(&self.packets, &self.made));
                counters.sends.add(1);
                match batch.send(fd, 0) {
                    Ok(_) => {
                        let length = datagram.head.length + datagram.body.length;
                        let inner = (length - usize::from(envelope.encapsulation.head())) as u64;
                        counters.encapsulated.add(envelope.inner_ipv6, 1, inner);
                    }
                    Err(error) => {
                        senders.learn(envelope.sender, &mut self.learnt);
                        failed.push((n, error));
                    }
                }
            }
            // Without checksum offload the kernel refuses to segment.
            if matches!(error, Errno::EIO | Errno::EINVAL) && failed.is_empty() {
                self.unsegmented.push(envelope.interface);
            }
        }
        for (n, error) in failed {
            let pieces = datagrams[n].pieces(&self.packets, &self.made);
            let octets = pieces.flatten().skip(envelope.encapsulation.head().into());
            let packet = octets.copied().collect();
            self.failures.push(Failure { envelope, packet, error });
        }
    }
}

/// Why a super-packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSegmented {
    /// It is none.
    Malformed,
    /// Its packets are larger than fits.
    TooBig,
}

impl Span {
    const NONE: Self = Self { at: 0, length: 0, made: false };
}

impl Datagram {
    fn pieces<'a>(self, packets: &'a [u8], made: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        [self.head, self.body].into_iter().filter(|span| span.length > 0).map(move |span| {
            let from = if span.made { made } else { packets };
            &from[span.at..span.at + span.length]
        })
    }
}

impl Message {
    fn takes(&self, envelope: &Envelope, length: usize) -> bool {
        !self.closed
            && length <= self.segment
            && self.datagrams.len() < MOST_SEGMENTS
            && self.bytes + length <= LARGEST_MESSAGE
            && self.envelope == *envelope
    }

    fn count(&self, counters: &WorkerCounters) {
        let packets = self.datagrams.len();
        let head = usize::from(self.envelope.encapsulation.head());
        let inner = self.bytes - packets * head;
        counters.encapsulated.add(self.envelope.inner_ipv6, packets as u64, inner as u64);
    }
}

/// True when the kernel had no room, which trying again at once does not change.
fn is_full(error: Errno) -> bool {
    matches!(error, Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM)
}

/// Where the open message of an envelope is remembered. Envelopes that collide close each
/// other's, which costs only speed.
fn slot(envelope: &Envelope) -> usize {
    let remote = match envelope.remote {
        IpAddr::V4(a) => a.to_bits(),
        IpAddr::V6(a) => {
            a.octets().as_chunks().0.iter().fold(0, |mixed, &word| mixed ^ u32::from_be_bytes(word))
        }
    };
    let fields = u32::from(envelope.sender)
        | u32::from(envelope.ttl) << 8
        | u32::from(envelope.traffic_class) << 16
        | u32::from(envelope.inner_ipv6) << 24;
    let mixed = (remote ^ envelope.instance.get().rotate_left(11)).wrapping_mul(0x9e37_79b1)
        ^ fields.wrapping_mul(0x85eb_ca6b);
    mixed as usize >> 16 & (SLOTS - 1)
}

/// Several super-packets, or hundreds of small packets.
const CAPACITY: usize = 1 << 19;
/// Unused octets in front of each packet and its virtio header, so that there is room for the
/// longest head. A multiple of what packets are aligned to.
const LEAD: usize = 16;
const ROOM: usize = LEAD + VirtioHeader::LENGTH;
const _: () = assert!(ROOM >= data_header::LONGEST);
/// The largest packet with its virtio header.
const LARGEST: usize = 65_535 + VirtioHeader::LENGTH + 16;
/// What is kept of a large buffer between batches.
const LARGEST_MADE: usize = 1 << 20;
/// `UDP_MAX_SEGMENTS` of older kernels.
const MOST_SEGMENTS: usize = 64;
/// The largest UDP payload over IPv4.
const LARGEST_MESSAGE: usize = 65_507;
const SLOTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use weft_fib::Encapsulation;
    use weft_packet::addr::InstanceId;

    fn head(encapsulation: Encapsulation) -> Head {
        Head::of(encapsulation, InstanceId::DEFAULT, false)
    }

    fn envelope(last: u8) -> Envelope {
        Envelope {
            sender: 0,
            remote: IpAddr::from([192, 0, 2, last]),
            encapsulation: Encapsulation::Lisp,
            local: IpAddr::from([192, 0, 2, 254]),
            interface: 0,
            ttl: 63,
            traffic_class: 0,
            instance: InstanceId::DEFAULT,
            inner_ipv6: false,
        }
    }

    fn sizes(outbox: &Outbox) -> Vec<Vec<usize>> {
        let length = |d: &Datagram| d.head.length + d.body.length;
        outbox.messages[..outbox.used]
            .iter()
            .map(|m| m.datagrams.iter().map(length).collect())
            .collect()
    }

    #[test]
    fn mixed_flows_still_share_messages() {
        let mut outbox = Outbox::default();
        for n in 0..6 {
            let span = outbox.admit(&[0x45; 100]).unwrap();
            outbox.add(span, 100, head(Encapsulation::Lisp), envelope(n % 2));
        }
        assert_eq!(sizes(&outbox), [[108, 108, 108], [108, 108, 108]]);
    }

    #[test]
    fn heads_of_all_lengths_have_room_in_front_of_a_packet() {
        let mut outbox = Outbox::default();
        for encapsulation in [Encapsulation::Vxlan, Encapsulation::Lisp, Encapsulation::Vxlan] {
            let span = outbox.admit(&[0x45; 100]).unwrap();
            let envelope = Envelope { encapsulation, ..envelope(1) };
            outbox.add(span, 100, head(encapsulation), envelope);
        }
        assert_eq!(sizes(&outbox), [[122], [108], [122]]);
        for message in &outbox.messages[..outbox.used] {
            let pieces = message.datagrams[0].pieces(&outbox.packets, &outbox.made);
            let octets: Vec<u8> = pieces.flatten().copied().collect();
            let head = head(message.envelope.encapsulation);
            assert_eq!(octets, [&head[..], &[0x45; 100]].concat());
        }
    }

    #[test]
    fn a_shorter_packet_closes_and_a_longer_one_opens() {
        let mut outbox = Outbox::default();
        for length in [100, 100, 60, 100, 200] {
            let span = outbox.admit(&[0x45; 200]).unwrap();
            outbox.add(span, length, head(Encapsulation::Lisp), envelope(1));
        }
        assert_eq!(sizes(&outbox), [vec![108, 108, 68], vec![108], vec![208]]);
    }

    #[test]
    fn messages_stay_below_the_kernels_limits() {
        let mut outbox = Outbox::default();
        for _ in 0..130 {
            let span = outbox.admit(&[0x45; 20]).unwrap();
            outbox.add(span, 20, head(Encapsulation::Lisp), envelope(1));
        }
        assert_eq!(sizes(&outbox).iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 2]);
    }

    #[test]
    fn the_batch_is_full_before_a_packet_could_be_cut() {
        let mut outbox = Outbox::default();
        let mut admitted = 0;
        let largest = vec![0; 65_535];
        while outbox.admit(&largest).is_some() {
            admitted += 1;
        }
        assert!(outbox.vacant().is_none() && admitted >= 4);
    }
}
