//! What routers on the way say of packets that were too big for them.
//!
//! The kernel hands such an ICMP error to the socket that sent the packet. What the fast path sent
//! no socket has sent, so we listen for these errors ourselves (RFC 1191 §4, RFC 8201 §4). A
//! router, or whoever claims to be one, can lie: who takes the word has to check that it is about a
//! locator in use.
#![expect(unsafe_code, reason = "the filters of ICMP sockets have no safe form")]

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use weft_data::tun::Upcall;
use weft_packet::lisp::{DATA_PORT, VXLAN_GPE_PORT, VXLAN_PORT};
use weft_packet::wire::Reader;

/// Listens in the network namespace of the calling thread as long as it runs.
pub(crate) fn watch(found: impl Fn(Upcall) -> bool + Clone + Send + 'static) -> io::Result<()> {
    listen(open(false)?, false, found.clone())?;
    // A kernel without IPv6 has no such errors.
    match open(true) {
        Ok(socket) => listen(socket, true, found),
        Err(_) => Ok(()),
    }
}

fn listen(
    socket: Socket,
    ipv6: bool,
    found: impl Fn(Upcall) -> bool + Send + 'static,
) -> io::Result<()> {
    // A raw socket is read like one of UDP.
    let socket = UdpSocket::from_std(socket.into())?;
    tokio::spawn(async move {
        let mut buffer = [0; LONGEST];
        loop {
            let length = match socket.recv(&mut buffer).await {
                Ok(length) => length,
                Err(error) => {
                    tracing::warn!(%error, "cannot read what routers say of large packets");
                    return;
                }
            };
            let message = buffer.get(..length).unwrap_or_default();
            let told = if ipv6 { of_icmpv6(message) } else { of_icmp(message) };
            if let Some((rloc, mtu)) = told {
                // A full queue loses it; the next packet that is too big tells it again.
                found(Upcall::PathMtu { rloc, mtu });
            }
        }
    });
    Ok(())
}

/// A socket that gets errors about size, and nothing else.
fn open(ipv6: bool) -> io::Result<Socket> {
    let (domain, protocol) =
        if ipv6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if ipv6 {
        let mut refused = [u32::MAX; 8];
        refused[0] &= !(1 << PACKET_TOO_BIG);
        set(&socket, libc::SOL_ICMPV6, ICMP_FILTER, &refused)?;
    } else {
        set(&socket, libc::SOL_RAW, ICMP_FILTER, &!(1_u32 << UNREACHABLE))?;
    }
    Ok(socket)
}

fn set<T>(socket: &Socket, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open, and the kernel reads `length` octets of a value that lives
    // through the call.
    let code = unsafe {
        let value = std::ptr::from_ref(value).cast();
        libc::setsockopt(socket.as_raw_fd(), level, option, value, length)
    };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The locator and the size of which an IPv4 packet with an ICMP message tells (RFC 1191 §4).
fn of_icmp(packet: &[u8]) -> Option<(IpAddr, u16)> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let mut r = Reader::new(packet.get(header..)?);
    let [kind, code, ..]: [u8; 6] = r.array("ICMP header").ok()?;
    let mtu = r.u16("next-hop MTU").ok()?;
    if (kind, code) != (UNREACHABLE, FRAGMENTATION_NEEDED) || mtu < 576 {
        return None;
    }
    let quoted = r.rest();
    let header = usize::from(quoted.first()? & 0xf) * 4;
    let rloc = *quoted.get(16..)?.first_chunk::<4>()?;
    let sent = *quoted.get(9)? == UDP && is_ours(quoted.get(header..)?);
    sent.then_some((IpAddr::from(rloc), mtu))
}

/// The same of an ICMPv6 message (RFC 8201 §4).
fn of_icmpv6(message: &[u8]) -> Option<(IpAddr, u16)> {
    let mut r = Reader::new(message);
    let [kind, ..]: [u8; 4] = r.array("ICMPv6 header").ok()?;
    let mtu = u16::try_from(r.u32("MTU").ok()?).ok()?;
    if kind != PACKET_TOO_BIG || mtu < 1280 {
        return None;
    }
    let quoted = r.rest();
    let rloc = *quoted.get(24..)?.first_chunk::<16>()?;
    let sent = *quoted.get(6)? == UDP && is_ours(quoted.get(40..)?);
    sent.then_some((IpAddr::from(rloc), mtu))
}

/// True for the UDP header of an encapsulated packet.
fn is_ours(udp: &[u8]) -> bool {
    let Some([_, _, high, low]) = udp.first_chunk() else { return false };
    DATA_PORTS.contains(&u16::from_be_bytes([*high, *low]))
}

const UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;
const UDP: u8 = 17;
/// LISP and LISP-GPE, VXLAN-GPE, VXLAN.
const DATA_PORTS: [u16; 3] = [DATA_PORT, VXLAN_GPE_PORT, VXLAN_PORT];
/// `ICMP_FILTER` of `linux/icmp.h`, and `ICMPV6_FILTER` too.
const ICMP_FILTER: i32 = 1;
/// Enough for all that is read of a message.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// An ICMP message in an IPv4 header, about a UDP packet to 198.51.100.7.
    fn icmp(mtu: u16, port: u16) -> Vec<u8> {
        let mut packet = vec![0x45; 20];
        packet.extend([UNREACHABLE, FRAGMENTATION_NEEDED, 0, 0, 0, 0]);
        packet.extend(mtu.to_be_bytes());
        packet.extend([0x45, 0, 5, 220, 0, 0, 64, 0, 64, UDP, 0, 0]);
        packet.extend([192, 0, 2, 1, 198, 51, 100, 7, 0xc0, 1]);
        packet.extend(port.to_be_bytes());
        packet.extend([0; 4]);
        packet
    }

    #[test]
    fn size_is_told_of_the_locator_the_packet_was_sent_to() {
        let rloc = IpAddr::from([198, 51, 100, 7]);
        assert_eq!(of_icmp(&icmp(1400, 4341)), Some((rloc, 1400)));
        assert_eq!(of_icmp(&icmp(1400, 4789)), Some((rloc, 1400)));
        assert_eq!(of_icmp(&icmp(1400, 53)), None, "none of our packets");
        assert_eq!(of_icmp(&icmp(68, 4341)), None, "no path is so narrow");
        let whole = icmp(1400, 4790);
        assert!((0..whole.len() - 4).all(|length| of_icmp(&whole[..length]).is_none()));
    }

    #[test]
    fn ipv6_routers_tell_too() {
        let rloc: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
        let mut message = vec![PACKET_TOO_BIG, 0, 0, 0, 0, 0, 5, 120];
        message.extend([0x60, 0, 0, 0, 0, 100, UDP, 64]);
        message.extend([0; 16]);
        message.extend(rloc.octets());
        message.extend([0xc0, 1, 16, 245, 0, 0, 0, 0]);
        assert_eq!(of_icmpv6(&message), Some((IpAddr::from(rloc), 1400)));
        message[7] = 0;
        message[6] = 5;
        assert_eq!(of_icmpv6(&message).map(|(_, mtu)| mtu), Some(1280));
        message[6] = 4;
        assert_eq!(of_icmpv6(&message), None);
    }
}
