//! The IP and UDP headers around an encapsulated control message (RFC 9301 §5.8).

use crate::ip::checksum::Sum;
use crate::ip::protocol;
use crate::wire::{Error, Reader, Writer};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A UDP datagram with its addresses.
pub(super) struct Inner<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) hops: u8,
    pub(super) payload: &'a [u8],
}

/// Takes one IP packet with a UDP datagram in it. Lengths must agree from the outside in; the UDP
/// checksum must be right where it is not zero. The IPv4 header checksum is not looked at: the
/// outer checksum covers it, and the UDP checksum covers what matters of it.
pub(super) fn read<'a>(r: &mut Reader<'a>) -> Result<Inner<'a>, Error> {
    let (source, destination, hops, mut r) = match r.peek().first() {
        None => return Err(Error::Truncated("inner IP header")),
        Some(octet) if octet >> 4 == 4 => read_ipv4(r)?,
        Some(octet) if octet >> 4 == 6 => read_ipv6(r)?,
        Some(octet) => return Err(Error::Invalid("inner IP version", (octet >> 4).into())),
    };
    let datagram = r.peek();
    let [source_port, destination_port] = [r.u16(UDP)?, r.u16(UDP)?];
    let length = usize::from(r.u16(UDP)?);
    let checksum = r.u16(UDP)?;
    let Some(datagram) = datagram.get(..length).filter(|datagram| datagram.len() >= UDP_LEN) else {
        return Err(Error::Invalid("inner UDP length", length as u64));
    };
    if checksum != 0 && !udp_sum(source, destination, datagram).is_right() {
        return Err(Error::Invalid("inner UDP checksum", checksum.into()));
    }
    Ok(Inner {
        source: (source, source_port).into(),
        destination: (destination, destination_port).into(),
        hops,
        payload: r.bytes(length - UDP_LEN, UDP)?,
    })
}

type Headers<'a> = (IpAddr, IpAddr, u8, Reader<'a>);

fn read_ipv4<'a>(r: &mut Reader<'a>) -> Result<Headers<'a>, Error> {
    const WHAT: &str = "inner IPv4 header";
    let whole = r.remaining();
    let [first, _, length @ .., _, _] = r.array::<6>(WHAT)?;
    let length = usize::from(u16::from_be_bytes(length));
    let fragment = r.u16(WHAT)?;
    let [hops, protocol, _, _] = r.array(WHAT)?;
    let source = r.ipv4(WHAT)?;
    let destination = r.ipv4(WHAT)?;
    let header = usize::from(first & 0xf) * 4;
    let options =
        header.checked_sub(20).ok_or(Error::Invalid("inner IHL", (first & 0xf).into()))?;
    if length < header || length > whole {
        return Err(Error::Invalid("inner IPv4 total length", length as u64));
    }
    r.bytes(options, WHAT)?;
    if fragment & 0x3fff != 0 {
        return Err(Error::Refused("inner packet is a fragment"));
    }
    if protocol != protocol::UDP {
        return Err(Error::Invalid("inner protocol", protocol.into()));
    }
    Ok((source.into(), destination.into(), hops, r.within(length - header, WHAT)?))
}

fn read_ipv6<'a>(r: &mut Reader<'a>) -> Result<Headers<'a>, Error> {
    const WHAT: &str = "inner IPv6 header";
    r.u32(WHAT)?;
    let length = r.u16(WHAT)?;
    let [protocol, hops] = r.array(WHAT)?;
    let source = r.ipv6(WHAT)?;
    let destination = r.ipv6(WHAT)?;
    if usize::from(length) > r.remaining() {
        return Err(Error::Invalid("inner IPv6 payload length", length.into()));
    }
    if protocol != protocol::UDP {
        return Err(Error::Invalid("inner protocol", protocol.into()));
    }
    Ok((source.into(), destination.into(), hops, r.within(length.into(), WHAT)?))
}

/// Appends an IP packet whose UDP payload `body` writes. Addresses of two families are written as
/// IPv6, the IPv4 one mapped.
pub(super) fn write(
    source: SocketAddr,
    destination: SocketAddr,
    hops: u8,
    w: &mut Writer,
    body: impl FnOnce(&mut Writer),
) {
    let (from, to) = one_family(source.ip(), destination.ip());
    let ip_at = w.len();
    match from {
        IpAddr::V4(_) => {
            w.u16(0x4500).u16(0).u16(0).u16(DO_NOT_FRAGMENT).u8(hops).u8(protocol::UDP).u16(0);
        }
        IpAddr::V6(_) => {
            w.u32(6 << 28).u16(0).u8(protocol::UDP).u8(hops);
        }
    }
    w.ip(from).ip(to);
    let udp_at = w.len();
    w.u16(source.port()).u16(destination.port()).u16(0).u16(0);
    body(w);
    let saturated = |octets: usize| u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes();
    let udp_length = w.len() - udp_at;
    w.patch(udp_at + 4, saturated(udp_length));
    let sum = udp_sum(from, to, w.as_bytes().get(udp_at..).unwrap_or_default());
    w.patch(udp_at + 6, sum.udp_checksum().to_be_bytes());
    if from.is_ipv4() {
        w.patch(ip_at + 2, saturated(w.len() - ip_at));
        let header = w.as_bytes().get(ip_at..udp_at).unwrap_or_default();
        w.patch(ip_at + 10, Sum::ZERO.with(header).checksum().to_be_bytes());
    } else {
        w.patch(ip_at + 4, saturated(udp_length));
    }
}

fn one_family(source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
    let mapped = |ip| -> Ipv6Addr {
        match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        }
    };
    if source.is_ipv4() == destination.is_ipv4() {
        (source, destination)
    } else {
        (mapped(source).into(), mapped(destination).into())
    }
}

fn udp_sum(source: IpAddr, destination: IpAddr, datagram: &[u8]) -> Sum {
    Sum::pseudo_header(source, destination, protocol::UDP, datagram.len()).with(datagram)
}

const UDP: &str = "inner UDP header";
const UDP_LEN: usize = 8;
const DO_NOT_FRAGMENT: u16 = 0x4000;
