//! ICMP errors (RFC 792, RFC 1812 §4.3, RFC 4443) about packets a tunnel router cannot carry.

use std::net::IpAddr;

use super::checksum::{self, Sum};
use super::header::{Fragment, Header};

use super::protocol;
use super::scope::Scope;
use crate::wire::Writer;

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Larger than this many octets, and must not be fragmented.
    TooBig(u16),
    /// There is no route to its destination.
    NoRoute,
    /// Its destination cannot be reached, although there is a route.
    HostUnreachable,
    /// A policy forbids it.
    Prohibited,
}

/// The error that tells the sender of `packet` about `problem`, as a whole IP packet from
/// `source`; where `source` is `None` or of the other family, from the address the packet was
/// sent to. `None` when an error must not be sent: about ICMP errors, later fragments, and
/// packets from or to anything but one host (RFC 1812 §4.3.2.7, RFC 4443 §2.4). `header` is of
/// `packet`.
pub fn error(
    packet: &[u8],
    header: &Header,
    problem: Problem,
    source: Option<IpAddr>,
) -> Option<Vec<u8>> {
    let whole = packet.get(..header.length)?;
    let unicast = |address| Scope::of(address) == Scope::Unicast;
    if header.fragment == Fragment::Later
        || !unicast(header.source)
        || !unicast(header.destination)
        || is_error(whole, header)
    {
        return None;
    }
    let source = source
        .filter(|address| address.is_ipv6() == header.is_ipv6())
        .unwrap_or(header.destination);
    Some(match (source, header.source) {
        (IpAddr::V4(_), IpAddr::V4(_)) => error_v4(whole, header, problem, source),
        _ => error_v6(whole, header, problem, source),
    })
}

fn error_v4(packet: &[u8], header: &Header, problem: Problem, source: IpAddr) -> Vec<u8> {
    let (code, mtu) = match problem {
        Problem::NoRoute => (0, 0),
        Problem::HostUnreachable => (1, 0),
        Problem::TooBig(mtu) => (4, mtu),
        Problem::Prohibited => (13, 0),
    };
    let quoted = &packet[..packet.len().min(LARGEST_V4 - 28)];
    let mut w = Writer::default();
    w.u8(0x45).u8(PRECEDENCE).u16(bounded(28 + quoted.len())).u32(0);
    w.u8(64).u8(protocol::ICMP).u16(0).ip(source).ip(header.source);
    w.u8(3).u8(code).u16(0).u16(0).u16(mtu).bytes(quoted);
    let mut octets = w.into_bytes();
    checksum::set_ipv4(&mut octets[..20]);
    let sum = Sum::ZERO.with(&octets[20..]).checksum();
    octets[22..24].copy_from_slice(&sum.to_be_bytes());
    octets
}

fn error_v6(packet: &[u8], header: &Header, problem: Problem, source: IpAddr) -> Vec<u8> {
    let (kind, code, mtu) = match problem {
        Problem::NoRoute => (1, 0, 0),
        Problem::Prohibited => (1, 1, 0),
        Problem::HostUnreachable => (1, 3, 0),
        Problem::TooBig(mtu) => (2, 0, mtu),
    };
    let quoted = &packet[..packet.len().min(LARGEST_V6 - 48)];
    let length = 8 + quoted.len();
    let mut w = Writer::default();
    w.u32(6 << 28).u16(bounded(length)).u8(protocol::ICMPV6).u8(64).ip(source).ip(header.source);
    w.u8(kind).u8(code).u16(0).u32(mtu.into()).bytes(quoted);
    let mut octets = w.into_bytes();
    let sum = Sum::pseudo_header(source, header.source, protocol::ICMPV6, length);
    let sum = sum.with(&octets[40..]).checksum();
    octets[42..44].copy_from_slice(&sum.to_be_bytes());
    octets
}

/// What a length field says of an error; errors stay far below what it can say.
fn bounded(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// True for ICMP errors, and for ICMP messages cut too short to tell.
fn is_error(packet: &[u8], header: &Header) -> bool {
    let kind = packet.get(header.transport).copied();
    match header.protocol {
        // Destination unreachable, source quench, redirect, time exceeded, parameter problem.
        protocol::ICMP => kind.is_none_or(|kind| matches!(kind, 3 | 4 | 5 | 11 | 12)),
        // Errors are below 128 (RFC 4443 §2.1); a redirect (137) is not answered either.
        protocol::ICMPV6 => kind.is_none_or(|kind| kind < 128 || kind == 137),
        _ => false,
    }
}

/// Internetwork control, as RFC 1812 §4.3.2.5 asks of ICMP errors.
const PRECEDENCE: u8 = 0xc0;
/// RFC 1812 §4.3.2.3: quote what fits into 576 octets.
const LARGEST_V4: usize = 576;
/// RFC 4443 §2.4 (c): quote what fits into the minimum IPv6 MTU.
const LARGEST_V6: usize = 1280;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
        let mut packet = vec![0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 63, protocol, 0, 0];
        packet.extend([10, 1, 0, 2, 10, 2, 0, 2]);
        packet.extend(payload);
        packet
    }

    fn v6(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 63];
        packet.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend([0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        packet.extend(payload);
        packet
    }

    fn answer(packet: &[u8], problem: Problem, source: Option<&str>) -> Option<Vec<u8>> {
        let source = source.map(|text| text.parse().unwrap());
        error(packet, &Header::read(packet).unwrap(), problem, source)
    }

    #[test]
    fn fragmentation_needed_tells_the_mtu_and_quotes_the_packet() {
        let packet = v4(protocol::TCP, &[0xab; 1400]);
        let error = answer(&packet, Problem::TooBig(1464), Some("192.0.2.1")).unwrap();
        let header = Header::read(&error).unwrap();
        assert_eq!(header.length, 576);
        assert_eq!(header.source, "192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(header.destination, "10.1.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(error[20..22], [3, 4]);
        assert_eq!(error[24..28], [0, 0, 0x05, 0xb8]);
        assert_eq!(error[28..], packet[..548]);
        assert!(Sum::ZERO.with(&error[..20]).is_right() && Sum::ZERO.with(&error[20..]).is_right());
    }

    #[test]
    fn packet_too_big_tells_the_mtu_and_quotes_the_packet() {
        let packet = v6(protocol::UDP, &[0xcd; 1400]);
        let error = answer(&packet, Problem::TooBig(1444), None).unwrap();
        let header = Header::read(&error).unwrap();
        assert_eq!(header.length, 1280);
        assert_eq!(header.source, "fd00:2::2".parse::<IpAddr>().unwrap(), "nothing better given");
        assert_eq!(error[40..42], [2, 0]);
        assert_eq!(error[44..48], [0, 0, 0x05, 0xa4]);
        assert_eq!(error[48..], packet[..1232]);
        let sum = Sum::pseudo_header(header.source, header.destination, 58, error.len() - 40);
        assert!(sum.with(&error[40..]).is_right());
    }

    #[test]
    fn codes_of_unreachables() {
        let codes = |packet: &[u8], at: usize| {
            [Problem::NoRoute, Problem::HostUnreachable, Problem::Prohibited]
                .map(|problem| answer(packet, problem, None).map(|e| (e[at], e[at + 1])))
        };
        assert_eq!(codes(&v4(17, &[0; 8]), 20), [Some((3, 0)), Some((3, 1)), Some((3, 13))]);
        assert_eq!(codes(&v6(17, &[0; 8]), 40), [Some((1, 0)), Some((1, 3)), Some((1, 1))]);
    }

    #[test]
    fn silence_where_an_error_must_not_be_sent() {
        let quiet = |packet: &[u8]| answer(packet, Problem::NoRoute, None).is_none();
        assert!(quiet(&v4(protocol::ICMP, &[3, 1, 0, 0])), "an ICMP error");
        assert!(!quiet(&v4(protocol::ICMP, &[8, 0, 0, 0])), "an echo request");
        assert!(quiet(&v6(protocol::ICMPV6, &[1, 0, 0, 0])), "an ICMPv6 error");
        assert!(!quiet(&v6(protocol::ICMPV6, &[128, 0, 0, 0])), "an ICMPv6 echo request");
        assert!(quiet(&v4(protocol::ICMP, &[])), "who knows");
        let mut fragment = v4(protocol::UDP, &[0; 8]);
        fragment[7] = 4;
        assert!(quiet(&fragment), "not the first fragment");
        let mut unspecified = v4(protocol::UDP, &[0; 8]);
        unspecified[12..16].fill(0);
        assert!(quiet(&unspecified), "from nobody");
        let mut multicast = v6(protocol::UDP, &[0; 8]);
        multicast[24] = 0xff;
        assert!(quiet(&multicast), "to a group");
    }

    proptest! {
        #[test]
        fn no_octets_panic(packet: Vec<u8>, six: bool) {
            let mut packet = packet;
            if let Some(first) = packet.first_mut() {
                *first = if six { 0x60 } else { 0x45 };
            }
            if let Ok(header) = Header::read(&packet) {
                error(&packet, &header, Problem::NoRoute, None);
            }
        }
    }
}
