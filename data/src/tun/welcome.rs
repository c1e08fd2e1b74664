//! What a packet passed, for those behind it: packets that come together are most often of one
//! flow, and what was asked of the first need not be asked of the others.

use std::net::IpAddr;

use weft_packet::addr::InstanceId;
use weft_packet::ip::{Header, protocol};

use crate::pipeline::data_header::LONGEST;

/// What a packet passed; others with the same addresses behind the same outer header pass too.
#[derive(Clone, Debug)]
pub(super) struct Welcome {
    /// The instance it belongs to.
    pub(super) instance: InstanceId,
    /// What its IP header says, as received.
    pub(super) header: Header,
    /// The device it goes to, and whether UDP super-packets may be written to it.
    pub(super) device: usize,
    pub(super) takes_udp: bool,
    /// What preceded it and its IP header, as received; `None` where others cannot be told by
    /// them.
    known: Option<([u8; LONGEST], [u8; V6])>,
    /// Octets of what preceded it.
    head: usize,
}

impl Welcome {
    /// `octets` are the packet with what preceded it, and `packet` without; `header` is of it.
    pub(super) fn new(
        instance: InstanceId,
        header: Header,
        (octets, packet): (&[u8], &[u8]),
        device: usize,
        takes_udp: bool,
    ) -> Self {
        let head = octets.len().saturating_sub(packet.len());
        // Extension headers and options may end elsewhere in the next packet.
        let transport = if header.is_ipv6() { V6 } else { V4 };
        let plain = header.transport == transport
            && matches!(header.protocol, protocol::TCP | protocol::UDP);
        let known = || {
            let (mut before, mut ip) = ([0; LONGEST], [0; V6]);
            before.get_mut(..head)?.copy_from_slice(octets.get(..head)?);
            ip[..transport].copy_from_slice(packet.get(..transport)?);
            Some((before, ip))
        };
        Self { instance, header, device, takes_udp, known: plain.then(known).flatten(), head }
    }

    /// The length of a packet, here with what precedes it, whose header differs from `header` in
    /// nothing else; `None` when that cannot be told without reading it.
    pub(super) fn recognise(&self, octets: &[u8]) -> Option<usize> {
        let (before, ip) = self.known.as_ref()?;
        let (head, packet) = octets.split_at_checked(self.head)?;
        if before.get(..self.head)? != head {
            return None;
        }
        let ipv6 = self.header.is_ipv6();
        let length = if ipv6 { length_v6(ip, packet) } else { length_v4(ip, packet) };
        length.filter(|length| *length <= packet.len())
    }

    /// True when a packet of this instance and these addresses passes as this one did.
    pub(super) fn admits(&self, instance: InstanceId, source: IpAddr, destination: IpAddr) -> bool {
        self.instance == instance
            && self.header.source == source
            && self.header.destination == destination
    }
}

/// The length of a packet if all but length, identification and checksum are as known.
fn length_v4(known: &[u8; V6], packet: &[u8]) -> Option<usize> {
    let (known, ip): (&[u8; V4], &[u8; V4]) = (known.first_chunk()?, packet.first_chunk()?);
    let same = known[..2] == ip[..2] && known[6..10] == ip[6..10] && known[12..] == ip[12..];
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    (same && length >= V4).then_some(length)
}

/// The length of a packet if all but that is as known.
fn length_v6(known: &[u8; V6], packet: &[u8]) -> Option<usize> {
    let ip: &[u8; V6] = packet.first_chunk()?;
    let same = known[..4] == ip[..4] && known[6..] == ip[6..];
    let length = u16::from_be_bytes([ip[4], ip[5]]);
    same.then_some(V6 + usize::from(length))
}

/// Octets of an IP header without options.
const V4: usize = 20;
const V6: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::data_header::Head;
    use proptest::prelude::*;
    use weft_fib::Encapsulation;

    fn welcome(octets: &[u8], head: usize) -> Option<Welcome> {
        let packet = &octets[head..];
        let header = Header::read(packet).ok()?;
        Some(Welcome::new(InstanceId::DEFAULT, header, (octets, packet), 0, true))
    }

    /// A TCP packet in a tunnel, with this many octets behind the IP header, and where it begins.
    fn packet(encapsulation: Encapsulation, ipv6: bool, payload: u8) -> (Vec<u8>, usize) {
        let head = Head::of(encapsulation, InstanceId::new(7).unwrap(), ipv6);
        let mut octets = head.to_vec();
        if ipv6 {
            octets.extend([0x60, 0, 0, 0, 0, payload, protocol::TCP, 64]);
            octets.extend([[0xfd; 16], [0xfe; 16]].concat());
        } else {
            octets.extend([0x45, 0, 0, 20 + payload, 0, 9, 0x40, 0, 64, protocol::TCP, 1, 2]);
            octets.extend([10, 1, 0, 2, 10, 2, 0, 2]);
        }
        octets.extend(vec![7; payload.into()]);
        (octets, head.len())
    }

    #[test]
    fn the_next_packet_of_a_flow_is_recognised() {
        for encapsulation in [Encapsulation::Lisp, Encapsulation::Vxlan] {
            for ipv6 in [false, true] {
                let (octets, head) = packet(encapsulation, ipv6, 100);
                let first = welcome(&octets, head).unwrap();
                let (next, _) = packet(encapsulation, ipv6, 30);
                let length = next.len() - head;
                assert_eq!(first.recognise(&next), Some(length));
                let header = Header { length, ..first.header };
                assert_eq!(header, Header::read(&next[head..]).unwrap());
                assert_eq!(first.recognise(&next[..next.len() - 1]), None, "cut short");
                let mut other = next.clone();
                other[head - 1] ^= 1;
                assert_eq!(first.recognise(&other), None, "behind another header");
            }
        }
    }

    #[test]
    fn what_can_be_recognised_only_by_reading_on_is_not() {
        let (mut options, head) = packet(Encapsulation::Lisp, false, 100);
        options[8] = 0x46;
        assert_eq!(welcome(&options, head).unwrap().recognise(&options), None);
        let mut zeros = [0; 28];
        zeros[11] = 20;
        assert_eq!(welcome(&options, head).unwrap().recognise(&zeros), None);
        let (mut extended, head) = packet(Encapsulation::Lisp, true, 100);
        extended[14] = 0;
        assert_eq!(welcome(&extended, head).unwrap().recognise(&extended), None);
        let (mut echo, head) = packet(Encapsulation::Lisp, false, 100);
        echo[17] = protocol::ICMP;
        assert_eq!(welcome(&echo, head).unwrap().recognise(&echo), None);
    }

    proptest! {
        #[test]
        fn recognised_is_what_reads_alike(
            ipv6: bool, vxlan: bool,
            changes in prop::collection::vec((0usize..60, any::<u8>()), 0..3),
        ) {
            let encapsulation = if vxlan { Encapsulation::Vxlan } else { Encapsulation::Lisp };
            let (first, head) = packet(encapsulation, ipv6, 100);
            let mut next = first.clone();
            for (at, octet) in changes {
                next[at] = octet;
            }
            let welcome = welcome(&first, head).unwrap();
            let read = Header::read(&next[head..]);
            if let Some(length) = welcome.recognise(&next) {
                prop_assert_eq!(Ok(Header { length, ..welcome.header }), read);
                prop_assert_eq!(&first[..head], &next[..head]);
            } else {
                let ends = head + if ipv6 { 40 } else { 20 };
                prop_assert!(read.is_err() || next[..ends] != first[..ends]);
            }
        }
    }
}
