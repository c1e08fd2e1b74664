//! From the underlay to a device: what a worker does with encapsulated packets.

use std::net::IpAddr;
use std::ops::Range;

use nix::errno::Errno;
use weft_fib::{DropReason, Forwarding, Reader, Tables};
use weft_packet::addr::InstanceId;
use weft_packet::ip::{self, Header};

use super::device::Queue;
use super::offload::{PartialChecksum, missing};
use super::options::Options;
use super::socket::{Datagram, MESSAGES};
use super::welcome::Welcome;
use super::worker::Worker;
use crate::pipeline::{self, MssClamp, data_header};

/// Why a packet was not accepted, and the instance it named.
type Refusal = (DropReason, InstanceId);

impl Worker {
    /// Receives a batch from a socket and delivers it.
    pub(super) fn serve_receiver(&mut self, reader: &Reader, receiver: usize) {
        let socket = &mut self.receivers[receiver];
        let port = socket.port;
        match self.inbox.receive(socket) {
            Ok((messages, lost)) => {
                self.pace.took(messages, messages < MESSAGES);
                if lost > 0 {
                    self.ledger.counters.dropped(DropReason::ReceiveOverflow, lost.into());
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            Err(error) => {
                tracing::debug!(port, %error, "cannot receive");
                return;
            }
        }
        let Some(tables) = reader.enter() else { return };
        for n in 0..self.inbox.datagrams().len() {
            let datagram = self.inbox.datagrams()[n].clone();
            self.placement.carried(datagram.range.len());
            let accepted = self.accept_all(&tables, port, &datagram);
            if accepted > 0 {
                tables.received(datagram.local, datagram.remote, accepted);
            }
        }
        drop(tables);
        self.deliver();
    }

    /// Takes the packets that came with one outer header. Gives how many were accepted.
    fn accept_all(&mut self, tables: &Tables, port: u16, datagram: &Datagram) -> u64 {
        let mut accepted = 0;
        let mut start = datagram.range.start;
        let mut welcome = None;
        let (size, cut) = self.layout(port, datagram);
        loop {
            let end = (start + size).min(datagram.range.end);
            match self.accept(tables, port, datagram, (start..end, cut), &mut welcome) {
                Ok(packets) => accepted += packets,
                Err((reason, instance)) => {
                    let head = match reason {
                        DropReason::BadHeader | DropReason::UnexpectedControl => start,
                        _ => (start + data_header::length(port)).min(end),
                    };
                    let octets = &self.inbox.octets[head..end];
                    self.ledger.drop(reason, instance, octets, 1, self.now);
                }
            }
            if end == datagram.range.end {
                return accepted;
            }
            start = end;
        }
    }

    /// Octets of each datagram, and how to cut the packet in it. The kernel gives one size for
    /// what it joined and for a UDP super-packet that was sent to us in one datagram; that it is
    /// one the inner length tells.
    fn layout(&self, port: u16, datagram: &Datagram) -> (usize, Option<usize>) {
        let Datagram { ref range, segment, .. } = *datagram;
        if segment >= range.len() {
            return (range.len(), None);
        }
        let head = data_header::length(port);
        let inner = self.inbox.octets[range.clone()].get(head..);
        match inner.map(Header::read) {
            Some(Ok(header)) if head + header.length == range.len() => (range.len(), Some(segment)),
            _ => (segment, None),
        }
    }

    /// Checks the packet in `range` and queues it for its device; gives how many packets it
    /// leaves as. `cut` is how the kernel cuts it, if it told; `welcome` is what the packet
    /// before it passed: most often it is of the same flow.
    fn accept(
        &mut self,
        tables: &Tables,
        port: u16,
        datagram: &Datagram,
        (range, cut): (Range<usize>, Option<usize>),
        welcome: &mut Option<Welcome>,
    ) -> Result<u64, Refusal> {
        let octets = &self.inbox.octets[range.clone()];
        let known = welcome.as_ref().and_then(|known| Some((known, known.recognise(octets)?)));
        let (passed, length) = if let Some(recognised) = known {
            recognised
        } else {
            let passed = self.check(tables, port, datagram.remote, octets, welcome.as_ref())?;
            let passed = welcome.insert(passed);
            (&*passed, passed.header.length)
        };
        let Welcome { instance, mut header, device, takes_udp, .. } = *passed;
        header.length = length;
        let refuse = |reason| (reason, instance);
        let start = range.start + data_header::length(port);
        let range = start..start + header.length;
        let packet = &mut self.inbox.octets[range.clone()];
        let dscp_back = self.options.dscp_back;
        pipeline::leave(packet, &mut header, datagram.outer, dscp_back).map_err(refuse)?;
        let largest = || largest(tables, &self.options, instance, packet, &header);
        let lacks = missing(packet, &header, cut, largest);
        if cut.is_some() && (lacks.segmentation.is_none() || !takes_udp) {
            return Err(refuse(DropReason::Malformed));
        }
        let clamp = self.options.mss_clamp;
        if let Some(limit) = mss_limit(tables, clamp, instance, packet, &header) {
            clamp_mss(packet, &header, limit, lacks.checksum);
        }
        self.coalescer.add(&self.inbox.octets, range, &header, lacks, device, takes_udp);
        Ok(lacks.packets(header.length))
    }

    /// May a packet, here with what precedes it, come out of the tunnel, and to which device?
    fn check(
        &self,
        tables: &Tables,
        port: u16,
        remote: IpAddr,
        octets: &[u8],
        before: Option<&Welcome>,
    ) -> Result<Welcome, Refusal> {
        let (said, packet) =
            data_header::read(port, octets).map_err(|reason| (reason, InstanceId::DEFAULT))?;
        let refuse = |reason| (reason, said.instance);
        let header = read_inner(packet, said.ipv6).map_err(refuse)?;
        let (device, takes_udp) = match before {
            Some(before)
                if before.admits(said.instance, header.source, header.destination)
                    && header.ttl > 0 =>
            {
                (before.device, before.takes_udp)
            }
            _ => self.find_device(tables, said.instance, &header, remote).map_err(refuse)?,
        };
        Ok(Welcome::new(said.instance, header, (octets, packet), device, takes_udp))
    }

    /// The device for packets with these inner addresses from this locator, and whether it takes
    /// UDP super-packets.
    fn find_device(
        &self,
        tables: &Tables,
        instance: InstanceId,
        header: &Header,
        remote: IpAddr,
    ) -> Result<(usize, bool), DropReason> {
        let (Some(device), true) = (self.devices.of(instance), tables.serves(instance)) else {
            return Err(DropReason::UnknownInstance);
        };
        if let Some(reason) = pipeline::unforwardable(header) {
            return Err(reason);
        }
        if !self.options.decapsulate_any && !tables.is_local(instance, header.destination) {
            return Err(DropReason::NotLocalEid);
        }
        let between = (header.source, header.destination);
        let matches = || tables.source_matches(instance, between, remote);
        if !self.options.source_check.accepts(matches) {
            return Err(DropReason::SourceRejected);
        }
        Ok((device, self.devices.queue(device).is_some_and(Queue::takes_udp)))
    }

    /// Writes what was accepted to the devices.
    fn deliver(&mut self) {
        let Self { delivery, coalescer, inbox, devices, ledger, now, .. } = self;
        let octets = &inbox.octets;
        delivery.write(octets, coalescer.super_packets(), devices, |packet, result| {
            ledger.counters.deliveries.add(1);
            let packets = packet.packets();
            if result.is_ok() {
                ledger.counters.decapsulated.add(packet.ipv6, packets, packet.bytes());
            } else {
                let instance = devices.instance(packet.device).unwrap_or_default();
                let first = &octets[packet.first()];
                ledger.drop(DropReason::DeliverFailed, instance, first, packets, *now);
            }
        });
        coalescer.clear();
    }
}

/// Reads the inner header; `ipv6` is what the data header said.
fn read_inner(packet: &[u8], ipv6: Option<bool>) -> Result<Header, DropReason> {
    match packet.first().map(|octet| octet >> 4) {
        Some(4 | 6) => {}
        Some(_) if ipv6.is_none() => return Err(DropReason::UnknownProtocol),
        _ => return Err(DropReason::Malformed),
    }
    let header = Header::read(packet).map_err(|_| DropReason::Malformed)?;
    match ipv6 {
        Some(ipv6) if ipv6 != header.is_ipv6() => Err(DropReason::Malformed),
        _ => Ok(header),
    }
}

/// The largest MSS a SYN may announce that came out of the tunnel: what fits on the way back.
fn mss_limit(
    tables: &Tables,
    clamp: MssClamp,
    instance: InstanceId,
    packet: &[u8],
    header: &Header,
) -> Option<u16> {
    if clamp == MssClamp::Off || !ip::is_syn(packet, header) {
        return None;
    }
    clamp.limit(mtu_back(tables, instance, packet, header), header.is_ipv6())
}

/// Lowers the MSS of a SYN. A checksum that is still to be computed does not cover it yet.
fn clamp_mss(packet: &mut [u8], header: &Header, limit: u16, unfinished: Option<PartialChecksum>) {
    let at = unfinished.map(|field| usize::from(field.start) + usize::from(field.offset));
    let field = at.and_then(|at| packet.get(at..)?.first_chunk::<2>().copied());
    ip::clamp_mss(packet, header, limit);
    if let Some((at, field)) = at.zip(field) {
        packet[at..at + field.len()].copy_from_slice(&field);
    }
}

/// The largest packet a TCP super-packet of unknown segments is cut to. Its sender made them no
/// larger than the hosts here asked for, and no larger than the tunnel carries, which most likely
/// carries as much the other way.
fn largest(
    tables: &Tables,
    options: &Options,
    instance: InstanceId,
    packet: &[u8],
    header: &Header,
) -> usize {
    let smallest = if header.is_ipv6() { SMALLEST_V6 } else { SMALLEST_V4 };
    let site = options.site_mtus.get(&instance).map_or(smallest, |&mtu| mtu.max(smallest));
    usize::from(site.min(mtu_back(tables, instance, packet, header)).max(smallest))
}

/// The largest packet that fits on the way back to the source of a packet.
fn mtu_back(tables: &Tables, instance: InstanceId, packet: &[u8], header: &Header) -> u16 {
    match tables.lookup(instance, header.destination, header.source).forwarding {
        Forwarding::Encapsulate(group) => {
            group.pick(header.flow_hash(packet)).map_or(u16::MAX, |hop| hop.mtu)
        }
        _ => u16::MAX,
    }
}

/// A packet with the segment that every TCP must accept: 536 octets over IPv4, 1220 over IPv6.
const SMALLEST_V4: u16 = 576;
const SMALLEST_V6: u16 = 1280;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_header_and_the_packet_must_agree() {
        let mut v4 = [0; 20];
        v4[..4].copy_from_slice(&[0x45, 0, 0, 20]);
        assert!(read_inner(&v4, None).is_ok() && read_inner(&v4, Some(false)).is_ok());
        assert_eq!(read_inner(&v4, Some(true)), Err(DropReason::Malformed));
        assert_eq!(read_inner(&[0x10; 40], None), Err(DropReason::UnknownProtocol));
        assert_eq!(read_inner(&[0x10; 40], Some(false)), Err(DropReason::Malformed));
        assert_eq!(read_inner(&[], None), Err(DropReason::Malformed));
    }
}
