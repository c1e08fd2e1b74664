//! The error queue of the sending sockets: how large a packet the path to a locator carries.
#![expect(unsafe_code, reason = "recvmsg takes a structure of pointers")]
#![expect(clippy::cast_possible_truncation, reason = "sizes of kernel structures, which fit")]

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::address::Address;
use super::control::{Control, control_length};

/// The largest outer packet the path to a locator carries, as a router on the way or our own
/// kernel said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tun) struct PathMtu {
    pub(in crate::tun) rloc: IpAddr,
    pub(in crate::tun) mtu: u16,
}

impl PathMtu {
    /// Takes the errors off the queue of a socket and adds what they say to `learnt`.
    pub(super) fn learn(fd: BorrowedFd<'_>, learnt: &mut Vec<Self>) {
        for _ in 0..MOST_ERRORS {
            match next_error(fd) {
                Taken::Size(path) if !learnt.contains(&path) => learnt.push(path),
                Taken::Size(_) | Taken::Other => {}
                Taken::Nothing => return,
            }
        }
    }

    /// What an error says. Routers can be made to lie, so values below what every path carries
    /// are ignored (RFC 8201 §4, and 576 for IPv4). The kernel has already checked that the
    /// packet an ICMP error quotes was sent from our socket.
    fn read(rloc: IpAddr, error: &[u8]) -> Option<Self> {
        // struct sock_extended_err: errno, origin, type, code, padding, info, data.
        let number = u32::from_ne_bytes(*error.first_chunk()?);
        let info = u32::from_ne_bytes(*error.get(8..)?.first_chunk()?);
        let smallest = if rloc.is_ipv6() { 1280 } else { 576 };
        let mtu = u16::try_from(info).ok()?;
        (number == libc::EMSGSIZE.unsigned_abs() && mtu >= smallest).then_some(Self { rloc, mtu })
    }
}

/// What was on the error queue.
enum Taken {
    /// An error about size.
    Size(PathMtu),
    /// Any other error.
    Other,
    /// No more errors.
    Nothing,
}

/// Takes one error off the queue.
fn next_error(fd: BorrowedFd<'_>) -> Taken {
    let mut destination = Address::default();
    let mut control = Control::EMPTY;
    let mut quoted = [0; 64];
    let mut piece = libc::iovec { iov_base: quoted.as_mut_ptr().cast(), iov_len: quoted.len() };
    // SAFETY: `msghdr` is plain data, for which all zero octets are a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = destination.as_mut_ptr();
    header.msg_namelen = Address::LENGTH as libc::socklen_t;
    header.msg_iov = &raw mut piece;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr();
    header.msg_controllen = Control::CAPACITY as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points to buffers of the lengths given that live through the call.
    if unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) } < 0 {
        return Taken::Nothing;
    }
    let error = control.messages(control_length(&header)).find_map(|message| {
        let is_error = matches!(
            message,
            (libc::IPPROTO_IP, libc::IP_RECVERR, _) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, _)
        );
        is_error.then_some(message.2)
    });
    let size = destination.ip().zip(error).and_then(|(rloc, error)| PathMtu::read(rloc, error));
    size.map_or(Taken::Other, Taken::Size)
}

/// A bound on the work done at once.
const MOST_ERRORS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(number: i32, info: u32) -> Vec<u8> {
        let mut octets = number.to_ne_bytes().to_vec();
        octets.extend([2, 3, 4, 0]);
        octets.extend(info.to_ne_bytes());
        octets
    }

    #[test]
    fn only_sizes_a_path_can_have_are_learnt() {
        let v4 = IpAddr::from([192, 0, 2, 1]);
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let read = |rloc, number, info| PathMtu::read(rloc, &error(number, info)).map(|p| p.mtu);
        assert_eq!(read(v4, libc::EMSGSIZE, 1400), Some(1400));
        assert_eq!(read(v4, libc::EMSGSIZE, 575), None);
        assert_eq!(read(v6, libc::EMSGSIZE, 1279), None);
        assert_eq!(read(v6, libc::EMSGSIZE, 1280), Some(1280));
        assert_eq!(read(v4, libc::ECONNREFUSED, 1400), None);
        assert_eq!(read(v4, libc::EMSGSIZE, 70_000), None);
        assert_eq!(PathMtu::read(v4, &[0; 11]), None);
    }
}
