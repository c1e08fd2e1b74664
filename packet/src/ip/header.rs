//! What a packet says about itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::protocol;
use crate::wire::{Error, Reader};

/// The fields of an IPv4 or IPv6 header a tunnel router acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Octets of the whole packet, by its own length field; never more than were given.
    pub length: usize,
    /// Where the transport header starts: behind IPv4 options or IPv6 extension headers.
    pub transport: usize,
    /// What starts there. Of an IPv6 packet whose extension headers cannot be followed, the
    /// header that could not.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Routers must not fragment it; always true for IPv6.
    pub dont_fragment: bool,
    /// Which part of a fragmented packet it is.
    pub fragment: Fragment,
}

/// Which part of a fragmented packet a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// It is whole.
    Whole,
    /// The first fragment: the transport header is there, its payload is not complete.
    First,
    /// A later fragment, without transport header.
    Later,
}

impl Header {
    /// Reads the header of `packet`, which may have padding behind it. Lengths are checked
    /// against the octets given; the IPv4 header checksum is not.
    pub fn read(packet: &[u8]) -> Result<Self, Error> {
        match packet.first().map(|octet| octet >> 4) {
            Some(4) => Self::read_v4(packet),
            Some(6) => Self::read_v6(packet),
            Some(version) => Err(Error::Invalid("IP version", version.into())),
            None => Err(Error::Truncated("IP header")),
        }
    }

    /// True for IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.destination.is_ipv6()
    }

    /// The source and destination port, where there are any.
    pub fn ports(&self, packet: &[u8]) -> Option<(u16, u16)> {
        if self.fragment != Fragment::Whole || !HAS_PORTS.contains(&self.protocol) {
            return None;
        }
        let [a, b, c, d] = *packet.get(self.transport..self.length)?.first_chunk()?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// A hash that is equal for all packets of a flow: of addresses, protocol and ports; without
    /// ports for fragments, so that all of a packet take one way.
    pub fn flow_hash(&self, packet: &[u8]) -> u32 {
        flow_hash(self.source, self.destination, self.protocol, self.ports(packet))
    }

    fn read_v4(packet: &[u8]) -> Result<Self, Error> {
        let head: &[u8; 20] = packet.first_chunk().ok_or(Error::Truncated("IPv4 header"))?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let transport = usize::from(head[0] & 0x0f) * 4;
        if transport < head.len() || transport > length {
            return Err(Error::Invalid("IPv4 header length", transport as u64));
        }
        if length > packet.len() {
            return Err(Error::Truncated("IPv4 packet"));
        }
        let flags = u16::from_be_bytes([head[6], head[7]]);
        Ok(Self {
            source: Ipv4Addr::new(head[12], head[13], head[14], head[15]).into(),
            destination: Ipv4Addr::new(head[16], head[17], head[18], head[19]).into(),
            length,
            transport,
            protocol: head[9],
            ttl: head[8],
            traffic_class: head[1],
            dont_fragment: flags & 0x4000 != 0,
            fragment: match (flags & 0x1fff, flags & 0x2000 != 0) {
                (0, false) => Fragment::Whole,
                (0, true) => Fragment::First,
                _ => Fragment::Later,
            },
        })
    }

    fn read_v6(packet: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(packet);
        let word = r.u32("IPv6 header")?;
        let length = usize::from(r.u16("IPv6 payload length")?) + 40;
        let next = r.u8("IPv6 next header")?;
        let ttl = r.u8("IPv6 hop limit")?;
        let source = r.ipv6("IPv6 source")?.into();
        let destination = r.ipv6("IPv6 destination")?.into();
        let payload = packet.get(40..length).ok_or(Error::Truncated("IPv6 packet"))?;
        let (protocol, offset, fragment) = follow_extensions(next, payload);
        Ok(Self {
            source,
            destination,
            length,
            transport: 40 + offset,
            protocol,
            ttl,
            traffic_class: (word >> 20 & 0xff) as u8,
            dont_fragment: true,
            fragment,
        })
    }
}

/// The hash of a flow: of addresses, protocol and, where it has them, ports.
pub fn flow_hash(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: Option<(u16, u16)>,
) -> u32 {
    let ports = ports.map_or(0, |(a, b)| u64::from(a) << 16 | u64::from(b));
    let hash = mix(u64::from(protocol) << 32 | ports, 0);
    let hash = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            mix(u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits()), hash)
        }
        (source, destination) => {
            let mut hash = hash;
            for address in [source, destination] {
                let IpAddr::V6(address) = address else { continue };
                let [high, low] = halves(address);
                hash = mix(low, mix(high, hash));
            }
            hash
        }
    };
    (hash >> 32) as u32
}

/// Walks the extension headers (RFC 8200 §4) of `payload`, the first being of type `next`.
/// Gives the header they end at, its offset, and what a fragment header said.
fn follow_extensions(mut next: u8, payload: &[u8]) -> (u8, usize, Fragment) {
    let mut offset = 0;
    let mut fragment = Fragment::Whole;
    for _ in 0..MOST_EXTENSIONS {
        let Some(head) = payload.get(offset..).and_then(<[u8]>::first_chunk::<4>) else { break };
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (usize::from(head[1]) + 1) * 8,
            AUTHENTICATION => (usize::from(head[1]) + 2) * 4,
            FRAGMENT => 8,
            _ => break,
        };
        if offset + length > payload.len() {
            break;
        }
        let is_fragment = next == FRAGMENT;
        next = head[0];
        offset += length;
        if is_fragment {
            let field = u16::from_be_bytes([head[2], head[3]]);
            fragment = match (field & 0xfff8, field & 1) {
                (0, 0) => Fragment::Whole,
                (0, _) => Fragment::First,
                _ => return (next, offset, Fragment::Later),
            };
        }
    }
    (next, offset, fragment)
}

fn halves(address: Ipv6Addr) -> [u64; 2] {
    let bits = address.to_bits();
    [(bits >> 64) as u64, (bits & 0xffff_ffff_ffff_ffff) as u64]
}

/// Spreads every input bit over all output bits (the finalizer of SplitMix64): 64-bit arithmetic
/// only, because the program in the kernel does the same.
fn mix(value: u64, hash: u64) -> u64 {
    let value = value ^ hash;
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// TCP, UDP, DCCP, SCTP and UDP-Lite: ports are the first four octets.
const HAS_PORTS: [u8; 5] = [protocol::TCP, protocol::UDP, 33, 132, 136];
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
/// Enough for every order RFC 8200 §4.1 recommends.
const MOST_EXTENSIONS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 10.1.0.2 → 10.2.0.2, UDP 1000 → 2000, four octets of payload, DF, TTL 63, DSCP 46.
    const V4: [u8; 32] = [
        0x45, 0xb8, 0x00, 0x20, 0x12, 0x34, 0x40, 0x00, 0x3f, 0x11, 0x00, 0x00, 10, 1, 0, 2, 10, 2,
        0, 2, 0x03, 0xe8, 0x07, 0xd0, 0x00, 0x0c, 0x00, 0x00, 1, 2, 3, 4,
    ];

    fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x6b, 0x80, 0, 0];
        packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        packet.extend([next, 64]);
        packet.extend("fd00:1::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("fd00:2::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(payload);
        packet
    }

    #[test]
    fn reads_ipv4() {
        let header = Header::read(&V4).unwrap();
        assert_eq!(header.destination, "10.2.0.2".parse::<IpAddr>().unwrap());
        assert_eq!((header.ttl, header.traffic_class, header.dont_fragment), (63, 0xb8, true));
        assert_eq!((header.length, header.transport), (32, 20));
        assert_eq!(header.ports(&V4), Some((1000, 2000)));
    }

    #[test]
    fn padding_is_not_part_of_the_packet() {
        let mut padded = V4.to_vec();
        padded.extend([0xff; 14]);
        assert_eq!(Header::read(&padded).unwrap().length, 32);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(Header::read(&V4[..31]), Err(Error::Truncated("IPv4 packet")));
        let mut short_header = V4;
        short_header[0] = 0x44;
        assert!(Header::read(&short_header).is_err());
        let mut options_beyond_the_end = V4;
        options_beyond_the_end[0] = 0x4f;
        assert!(Header::read(&options_beyond_the_end).is_err());
        assert_eq!(Header::read(&[]), Err(Error::Truncated("IP header")));
        assert_eq!(Header::read(&[0x50; 64]), Err(Error::Invalid("IP version", 5)));
    }

    #[test]
    fn follows_ipv6_extension_headers() {
        let hop_by_hop_then_udp = [17, 0, 5, 2, 0, 0, 0, 0, 0x03, 0xe8, 0x07, 0xd0, 0, 8, 0, 0];
        let packet = v6(HOP_BY_HOP, &hop_by_hop_then_udp);
        let header = Header::read(&packet).unwrap();
        assert_eq!((header.protocol, header.transport), (protocol::UDP, 48));
        assert_eq!(header.traffic_class, 0xb8);
        assert_eq!(header.ports(&packet), Some((1000, 2000)));
    }

    #[test]
    fn fragments_of_a_packet_hash_alike() {
        let first = v6(FRAGMENT, &[17, 0, 0, 1, 0, 0, 0, 9, 0x03, 0xe8, 0x07, 0xd0, 0, 8, 0, 0]);
        let later = v6(FRAGMENT, &[17, 0, 0, 8, 0, 0, 0, 9, 0xaa, 0xbb, 0xcc, 0xdd]);
        let (a, b) = (Header::read(&first).unwrap(), Header::read(&later).unwrap());
        assert_eq!((a.fragment, b.fragment), (Fragment::First, Fragment::Later));
        assert_eq!(a.flow_hash(&first), b.flow_hash(&later));
    }

    #[test]
    fn hash_tells_flows_apart() {
        let hash = |ports: [u8; 4]| {
            let mut packet = V4;
            packet[20..24].copy_from_slice(&ports);
            Header::read(&packet).unwrap().flow_hash(&packet)
        };
        let mut seen: Vec<u32> = (0..=255).map(|n| hash([n, 1, 2, 3]) % 16).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 16, "256 flows reach each of 16 sockets");
        assert_eq!(hash([1, 2, 3, 4]), hash([1, 2, 3, 4]));
    }

    #[test]
    fn hash_is_the_one_the_kernel_program_computes() {
        let hash = |source: &str, destination: &str, protocol, ports| {
            flow_hash(source.parse().unwrap(), destination.parse().unwrap(), protocol, ports)
        };
        assert_eq!(hash("10.1.0.2", "10.2.0.2", 1, None), 0x0d32_28e7);
        assert_eq!(hash("fd00:1::2", "fd00:2::2", 17, Some((1000, 2000))), 0xbf6a_d304);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(mut packet: Vec<u8>, version in 0u8..16) {
            if let Some(first) = packet.first_mut() {
                *first = *first & 0x0f | version << 4;
            }
            if let Ok(header) = Header::read(&packet) {
                prop_assert!(header.transport <= header.length && header.length <= packet.len());
                header.flow_hash(&packet);
            }
        }
    }
}
