//! Echo requests on a raw socket, and the three answers that matter: the echo, "too big", and
//! "unreachable". RFC 792, RFC 4443, RFC 1191.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// A raw socket for echoes to one destination.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) socket: Socket,
    destination: IpAddr,
    identifier: u16,
    cookie: u64,
    size: usize,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The echo of the request with this number, intact or not.
    Reply { number: u64, intact: bool },
    /// A router cannot pass on our packet: largest size it could.
    TooBig { mtu: u32 },
    /// A router or host refuses.
    Unreachable { code: u8 },
}

/// Cookie and number stand at the front of the payload.
pub(super) const SMALLEST: usize = 16;

const ECHO_HEADER: usize = 8;

impl Echo {
    /// Opens the socket in the namespace of the calling thread. `df` means that nothing on the way
    /// may fragment, whatever path MTU is known already.
    pub(super) fn open(
        destination: IpAddr,
        identifier: u16,
        cookie: u64,
        size: usize,
        df: bool,
    ) -> io::Result<Self> {
        let (domain, protocol) = match destination {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(4 << 20)?;
        set_fragmentation(&socket, destination, df)?;
        Ok(Self { socket, destination, identifier, cookie, size: size.max(SMALLEST) })
    }

    /// Sends the request with this number.
    pub(super) fn send(&self, number: u64) -> io::Result<()> {
        let kind = if self.destination.is_ipv4() { 8 } else { 128 };
        let mut packet = vec![kind, 0, 0, 0];
        packet.extend(self.identifier.to_be_bytes());
        packet.extend(number.to_be_bytes().last_chunk::<2>().copied().unwrap_or_default());
        packet.extend(self.payload(number));
        if self.destination.is_ipv4() {
            let checksum = checksum(&packet);
            packet[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        let to = SockAddr::from(SocketAddr::new(self.destination, 0));
        self.socket.send_to(&packet, &to).map(|_| ())
    }

    /// What the packet in `bytes`, as read from the socket, means to us.
    pub(super) fn parse(&self, bytes: &[u8]) -> Option<Answer> {
        let icmp = match self.destination {
            IpAddr::V4(_) => bytes.get(ipv4_header_length(bytes)?..)?,
            IpAddr::V6(_) => bytes,
        };
        let (kind, code) = (*icmp.first()?, *icmp.get(1)?);
        match (self.destination, kind, code) {
            (IpAddr::V4(_), 0, _) | (IpAddr::V6(_), 129, _) => self.reply(icmp),
            (IpAddr::V4(_), 3, 4) => {
                let mtu = u16::from_be_bytes(*icmp.get(6..8)?.first_chunk()?);
                self.quoted(icmp)?.then_some(Answer::TooBig { mtu: mtu.into() })
            }
            (IpAddr::V6(_), 2, _) => {
                let mtu = u32::from_be_bytes(*icmp.get(4..8)?.first_chunk()?);
                self.quoted(icmp)?.then_some(Answer::TooBig { mtu })
            }
            (IpAddr::V4(_), 3, _) | (IpAddr::V6(_), 1, _) => {
                self.quoted(icmp)?.then_some(Answer::Unreachable { code })
            }
            _ => None,
        }
    }

    fn reply(&self, icmp: &[u8]) -> Option<Answer> {
        let payload = icmp.get(ECHO_HEADER..)?;
        let cookie = u64::from_be_bytes(*payload.first_chunk()?);
        let number = u64::from_be_bytes(*payload.get(8..)?.first_chunk()?);
        let ours = icmp.get(4..6)? == self.identifier.to_be_bytes() && cookie == self.cookie;
        ours.then(|| Answer::Reply { number, intact: payload == self.payload(number) })
    }

    /// Does an error quote a packet of ours? Its first octets are an IP header and our request's.
    fn quoted(&self, icmp: &[u8]) -> Option<bool> {
        let quote = icmp.get(ECHO_HEADER..)?;
        let request = match self.destination {
            IpAddr::V4(_) => quote.get(ipv4_header_length(quote)?..)?,
            // a fragment header may stand in between
            IpAddr::V6(_) if quote.get(6) == Some(&44) => quote.get(48..)?,
            IpAddr::V6(_) => quote.get(40..)?,
        };
        Some(request.get(4..6)? == self.identifier.to_be_bytes())
    }

    fn payload(&self, number: u64) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.size);
        payload.extend(self.cookie.to_be_bytes());
        payload.extend(number.to_be_bytes());
        let filler = (0_u8..=255).cycle().skip(usize::from(number.to_be_bytes()[7]));
        payload.extend(filler.take(self.size - SMALLEST));
        payload
    }
}

/// With `df` every packet leaves whole and may not be fragmented, also when the path is known to be
/// too narrow for it; without, it may be fragmented by us and, with IPv4, on the way.
#[expect(unsafe_code, reason = "socket options that no safe wrapper offers")]
fn set_fragmentation(socket: &Socket, destination: IpAddr, df: bool) -> io::Result<()> {
    let (level, option, value) = match (destination, df) {
        (IpAddr::V4(_), true) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        (IpAddr::V4(_), false) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT),
        (IpAddr::V6(_), true) => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
        }
        (IpAddr::V6(_), false) => return Ok(()),
    };
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the option is an int, and `value` is one that lives until the call returns.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if destination.is_ipv6() {
        setsockopt(socket, sockopt::Ipv6DontFrag, &true)?;
    }
    Ok(())
}

fn ipv4_header_length(packet: &[u8]) -> Option<usize> {
    Some(usize::from(packet.first()? & 0x0f) * 4)
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs the right to open raw sockets, which tests that build networks need anyway.
    fn echo(destination: &str) -> Option<Echo> {
        Echo::open(destination.parse().unwrap(), 7, 0xc001, 32, false).ok()
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        // the example of RFC 1071 §3
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0xff]), !0xff00);
    }

    #[test]
    fn an_echo_is_ours_only_with_our_identifier_and_cookie() {
        let Some(echo) = echo("127.0.0.1") else { return };
        let mut packet = vec![0x45; 20];
        packet.extend([0, 0, 0, 0, 0, 7, 0, 1]);
        packet.extend(echo.payload(1));
        assert_eq!(echo.parse(&packet), Some(Answer::Reply { number: 1, intact: true }));
        let last = packet.len() - 1;
        packet[last] ^= 1;
        assert_eq!(echo.parse(&packet), Some(Answer::Reply { number: 1, intact: false }));
        packet[25] = 8;
        assert_eq!(echo.parse(&packet), None);
    }

    #[test]
    fn too_big_tells_the_mtu_of_a_quoted_request_of_ours() {
        let Some(echo) = echo("::1") else { return };
        let mut packet = vec![2, 0, 0, 0, 0, 0, 0x05, 0x78];
        packet.extend([0x60, 0, 0, 0, 0, 0, 58, 64]);
        packet.extend([0; 32]);
        packet.extend([128, 0, 0, 0, 0, 7, 0, 1]);
        assert_eq!(echo.parse(&packet), Some(Answer::TooBig { mtu: 1400 }));
        assert_eq!(echo.parse(&packet[..40]), None);
    }
}
