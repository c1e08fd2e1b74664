//! What a packet passed, for those behind it: packets that come together are most often of one
//! flow, and what was asked of the first need not be asked of the others.

use std::net::IpAddr;

use weft_packet::addr::InstanceId;
use weft_packet::ip::{Header, protocol};

use crate::pipeline::data_header;

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
    /// Its data header and IP header, as received; zeros where others cannot be told by them.
    octets: [u8; V6],
}

impl Welcome {
    /// `octets` are the packet with its data header, `header` is of it.
    pub(super) fn new(
        instance: InstanceId,
        header: Header,
        octets: &[u8],
        device: usize,
        takes_udp: bool,
    ) -> Self {
        let mut welcome = Self { instance, header, device, takes_udp, octets: [0; V6] };
        // Extension headers and options may end elsewhere in the next packet.
        let transport = if header.is_ipv6() { V6 } else { V4 };
        let plain = header.transport + data_header::LENGTH == transport
            && matches!(header.protocol, protocol::TCP | protocol::UDP);
        if let Some(octets) = octets.get(..transport).filter(|_| plain) {
            welcome.octets[..transport].copy_from_slice(octets);
        }
        welcome
    }

    /// The length of a packet, here with its data header, whose header differs from `header` in
    /// nothing else; `None` when that cannot be told without reading it.
    pub(super) fn recognise(&self, octets: &[u8]) -> Option<usize> {
        let ipv6 = self.header.is_ipv6();
        let length = if ipv6 { self.length_v6(octets) } else { self.length_v4(octets) };
        length.filter(|length| data_header::LENGTH + length <= octets.len())
    }

    /// True when a packet of this instance and these addresses passes as this one did.
    pub(super) fn admits(&self, instance: InstanceId, source: IpAddr, destination: IpAddr) -> bool {
        self.instance == instance
            && self.header.source == source
            && self.header.destination == destination
    }

    /// All but length, identification and checksum are the same.
    fn length_v4(&self, octets: &[u8]) -> Option<usize> {
        let (known, octets): (&[u8; V4], &[u8; V4]) =
            (self.octets.first_chunk()?, octets.first_chunk()?);
        let same = known[..10] == octets[..10]
            && known[14..18] == octets[14..18]
            && known[20..] == octets[20..];
        let length = usize::from(u16::from_be_bytes([octets[10], octets[11]]));
        (same && length >= V4 - data_header::LENGTH).then_some(length)
    }

    /// All but the length is the same.
    fn length_v6(&self, octets: &[u8]) -> Option<usize> {
        let (known, octets): (&[u8; V6], &[u8; V6]) = (&self.octets, octets.first_chunk()?);
        let same = known[..12] == octets[..12] && known[14..] == octets[14..];
        let length = u16::from_be_bytes([octets[12], octets[13]]);
        same.then_some(V6 - data_header::LENGTH + usize::from(length))
    }
}

/// Octets of a data header and an IP header without options.
const V4: usize = data_header::LENGTH + 20;
const V6: usize = data_header::LENGTH + 40;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn welcome(octets: &[u8]) -> Option<Welcome> {
        let header = Header::read(&octets[data_header::LENGTH..]).ok()?;
        Some(Welcome::new(InstanceId::DEFAULT, header, octets, 0, true))
    }

    /// A TCP packet behind a data header, with this many octets behind the IP header.
    fn packet(ipv6: bool, payload: u8) -> Vec<u8> {
        let mut octets = vec![8, 0, 0, 0, 0, 0, 7, 0];
        if ipv6 {
            octets.extend([0x60, 0, 0, 0, 0, payload, protocol::TCP, 64]);
            octets.extend([[0xfd; 16], [0xfe; 16]].concat());
        } else {
            octets.extend([0x45, 0, 0, 20 + payload, 0, 9, 0x40, 0, 64, protocol::TCP, 1, 2]);
            octets.extend([10, 1, 0, 2, 10, 2, 0, 2]);
        }
        octets.extend(vec![7; payload.into()]);
        octets
    }

    #[test]
    fn the_next_packet_of_a_flow_is_recognised() {
        for ipv6 in [false, true] {
            let first = welcome(&packet(ipv6, 100)).unwrap();
            let next = packet(ipv6, 30);
            let length = next.len() - 8;
            assert_eq!(first.recognise(&next), Some(length));
            let header = Header { length, ..first.header };
            assert_eq!(header, Header::read(&next[8..]).unwrap());
            assert_eq!(first.recognise(&next[..next.len() - 1]), None, "cut short");
        }
    }

    #[test]
    fn what_can_be_recognised_only_by_reading_on_is_not() {
        let mut options = packet(false, 100);
        options[8] = 0x46;
        assert_eq!(welcome(&options).unwrap().recognise(&options), None);
        let mut extended = packet(true, 100);
        extended[14] = 0;
        assert_eq!(welcome(&extended).unwrap().recognise(&extended), None);
        let mut echo = packet(false, 100);
        echo[17] = protocol::ICMP;
        assert_eq!(welcome(&echo).unwrap().recognise(&echo), None);
    }

    proptest! {
        #[test]
        fn recognised_is_what_reads_alike(ipv6: bool, changes in prop::collection::vec((0usize..60, any::<u8>()), 0..3)) {
            let first = packet(ipv6, 100);
            let mut next = first.clone();
            for (at, octet) in changes {
                next[at] = octet;
            }
            let welcome = welcome(&first).unwrap();
            let read = Header::read(&next[data_header::LENGTH..]);
            if let Some(length) = welcome.recognise(&next) {
                prop_assert_eq!(Ok(Header { length, ..welcome.header }), read);
                prop_assert_eq!(&first[..8], &next[..8]);
            } else {
                let ends = if ipv6 { 48 } else { 28 };
                prop_assert!(read.is_err() || next[..ends] != first[..ends]);
            }
        }
    }
}
