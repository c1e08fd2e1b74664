//! Making sockets.
#![expect(unsafe_code, reason = "several socket options of UDP have no safe form")]
#![expect(clippy::cast_possible_truncation, reason = "sizes of kernel structures, which fit")]

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{SockaddrIn, SockaddrStorage, getsockname};

use super::address::Address;
use super::errors::PathMtu;
use crate::tun::options::Options;

/// A socket that receives encapsulated packets; every worker has its own share of each port.
#[derive(Debug)]
pub(in crate::tun) struct Receiver {
    fd: OwnedFd,
    /// The port its datagrams were sent to.
    pub(in crate::tun) port: u16,
    /// Whether they come over IPv6.
    pub(in crate::tun) ipv6: bool,
    /// What the kernel had dropped in total when it last said.
    pub(in crate::tun) overflow: u32,
}

impl Receiver {
    /// Sockets for all ports and families; IPv4 only where the kernel has no IPv6. If the
    /// ports are steered, sockets are bound to `private` ports of the loopback interface instead,
    /// which the first worker finds and all share.
    pub(in crate::tun) fn open_all(
        options: &Options,
        private: &mut PrivatePorts,
    ) -> Result<Vec<Self>, (String, u16, io::Error)> {
        let mut receivers = Vec::new();
        for ipv6 in [false, true] {
            for port in options.ports() {
                let to =
                    if options.steered { private.place(ipv6, port) } else { (any(ipv6), port) };
                match Self::open(to, port, options) {
                    Ok(receiver) => {
                        private.found(&receiver).map_err(|error| (what(to), port, error))?;
                        receivers.push(receiver);
                    }
                    Err(error) if ipv6 && is_missing(&error) => {}
                    Err(error) => return Err((what(to), port, error)),
                }
            }
        }
        Ok(receivers)
    }

    /// Whether the kernel joins datagrams of a sender.
    pub(in crate::tun) fn set_gro(&self, on: bool) -> io::Result<()> {
        set(&self.fd, libc::SOL_UDP, libc::UDP_GRO, on.into())
    }

    fn open(to: (IpAddr, u16), port: u16, options: &Options) -> io::Result<Self> {
        let ipv6 = to.0.is_ipv6();
        let fd = udp_socket(to.0)?;
        set(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        set_buffer(&fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, options.receive_buffer)?;
        set(&fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        if ipv6 {
            set(&fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            set(&fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
            set(&fd, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
            // RFC 9300 §5.3: the checksum may be zero.
            set(&fd, libc::SOL_UDP, UDP_NO_CHECK6_RX, 1)?;
        } else {
            set(&fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
            set(&fd, libc::IPPROTO_IP, libc::IP_RECVTTL, 1)?;
            set(&fd, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
        }
        let receiver = Self { fd, port, ipv6, overflow: 0 };
        receiver.set_gro(options.udp_gro)?;
        bind(&receiver.fd, to.0, to.1)?;
        Ok(receiver)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The ports that sockets of a family for a data port are bound to, where it is somebody else's.
#[derive(Default)]
pub(in crate::tun) struct PrivatePorts(HashMap<(bool, u16), u16>);

impl PrivatePorts {
    fn place(&self, ipv6: bool, port: u16) -> (IpAddr, u16) {
        let loopback = if ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        (loopback, self.0.get(&(ipv6, port)).copied().unwrap_or(0))
    }

    fn found(&mut self, receiver: &Receiver) -> io::Result<()> {
        let bound: SockaddrStorage = getsockname(receiver.fd.as_raw_fd())?;
        let v4 = bound.as_sockaddr_in().map(SockaddrIn::port);
        let found = v4.or_else(|| Some(bound.as_sockaddr_in6()?.port()));
        self.0.extend(found.map(|found| ((receiver.ipv6, receiver.port), found)));
        Ok(())
    }
}

fn any(ipv6: bool) -> IpAddr {
    if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

fn what((address, port): (IpAddr, u16)) -> String {
    format!("UDP socket for {address} port {port}")
}

/// The sockets encapsulated packets leave from. Their ports tell flows apart on the underlay, so
/// all workers share them: a flow keeps its port whichever worker it meets.
#[derive(Debug)]
pub(in crate::tun) struct Senders {
    v4: Vec<OwnedFd>,
    v6: Vec<OwnedFd>,
    /// Path MTUs learnt last. Any worker may be the one that takes an error off a socket, but
    /// the one whose packet met it has to tell the host.
    paths: Mutex<HashMap<IpAddr, u16>>,
}

impl Senders {
    /// Opens `count` sockets of each family the kernel has.
    pub(in crate::tun) fn open(count: usize, buffer: usize) -> Result<Self, (String, io::Error)> {
        let open = |any: IpAddr| {
            let fds = (0..count.max(1)).map(|_| open_sender(any, buffer));
            fds.collect::<io::Result<Vec<_>>>()
                .map_err(|error| (format!("UDP sockets to send from {any}"), error))
        };
        let v4 = open(Ipv4Addr::UNSPECIFIED.into())?;
        let v6 = match open(Ipv6Addr::UNSPECIFIED.into()) {
            Err((_, error)) if is_missing(&error) => Vec::new(),
            opened => opened?,
        };
        Ok(Self { v4, v6, paths: Mutex::default() })
    }

    /// The socket for a flow towards this family; `None` where the kernel lacks the family.
    pub(in crate::tun) fn pick(&self, ipv6: bool, flow_hash: u32) -> Option<u16> {
        let (count, base) = if ipv6 { (self.v6.len(), self.v4.len()) } else { (self.v4.len(), 0) };
        let chosen = (flow_hash as usize).checked_rem(count)?;
        u16::try_from(base + chosen).ok()
    }

    /// The socket [`Self::pick`] chose.
    pub(in crate::tun) fn get(&self, sender: u16) -> Option<BorrowedFd<'_>> {
        let sender = usize::from(sender);
        let fd = self.v4.get(sender).or_else(|| self.v6.get(sender.checked_sub(self.v4.len())?));
        fd.map(AsFd::as_fd)
    }

    /// Every socket with its number.
    pub(in crate::tun) fn iter(&self) -> impl Iterator<Item = (u16, BorrowedFd<'_>)> {
        (0..).zip(self.v4.iter().chain(&self.v6).map(AsFd::as_fd))
    }

    /// Takes every error off the queue of a socket, which also clears the error its next send
    /// would fail with, and adds what they say about path MTUs to `learnt`.
    pub(in crate::tun) fn learn(&self, sender: u16, learnt: &mut Vec<PathMtu>) {
        let Some(fd) = self.get(sender) else { return };
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let known = learnt.len();
        PathMtu::learn(fd, learnt);
        if paths.len() > MOST_PATHS {
            paths.clear();
        }
        paths.extend(learnt[known..].iter().map(|path| (path.rloc, path.mtu)));
    }

    /// The path MTU to a locator, as any worker learnt it last.
    pub(in crate::tun) fn path_mtu(&self, rloc: IpAddr) -> Option<u16> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).get(&rloc).copied()
    }

    /// With path MTU discovery the kernel sets DF and refuses what it knows to be too big;
    /// without, it fragments.
    pub(in crate::tun) fn set_path_mtu_discovery(&self, on: bool) -> io::Result<()> {
        for fd in &self.v4 {
            let mode = if on { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_DONT };
            set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, mode)?;
        }
        for fd in &self.v6 {
            let mode = if on { libc::IPV6_PMTUDISC_DO } else { libc::IPV6_PMTUDISC_DONT };
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, mode)?;
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, on.into())?;
        }
        Ok(())
    }
}

fn open_sender(any: IpAddr, buffer: usize) -> io::Result<OwnedFd> {
    let fd = udp_socket(any)?;
    set_buffer(&fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, buffer)?;
    if any.is_ipv6() {
        set(&fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
    } else {
        set(&fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
    }
    refuse_datagrams(&fd)?;
    bind_to_flow_port(&fd, any)?;
    Ok(fd)
}

/// Nothing is ever received here, and what strangers send must not take the room the kernel
/// needs to queue errors.
fn refuse_datagrams(fd: &OwnedFd) -> io::Result<()> {
    // BPF_RET | BPF_K: keep zero octets.
    let mut program = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 }];
    let filter = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: the option reads a `sock_fprog`; that and its program live through the call.
    let code = unsafe {
        let length = size_of_val(&filter) as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const filter).cast(), length)
    };
    done(code)
}

/// Binds to a free port of the dynamic range (RFC 9300 §5.3, RFC 6335 §6), a random one so that
/// restarts and strangers cannot count on it.
fn bind_to_flow_port(fd: &OwnedFd, any: IpAddr) -> io::Result<()> {
    const FIRST: u16 = 49_152;
    const ATTEMPTS: u16 = 512;
    let start = (RandomState::new().hash_one(fd.as_raw_fd()) & 0xffff) as u16;
    let mut refusal = io::ErrorKind::AddrInUse.into();
    for attempt in 0..ATTEMPTS {
        let port = FIRST | (start.wrapping_add(attempt) & 0x3fff);
        match bind(fd, any, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => refusal = error,
            bound => return bound,
        }
    }
    Err(refusal)
}

fn udp_socket(any: IpAddr) -> io::Result<OwnedFd> {
    let family = if any.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers; a result that is not negative is a descriptor nobody else owns.
    let fd = unsafe {
        let fd = libc::socket(family, kind, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    if any.is_ipv6() {
        set(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    Ok(fd)
}

fn bind(fd: &OwnedFd, address: IpAddr, port: u16) -> io::Result<()> {
    let address = Address::new(address, port);
    // SAFETY: the pointer and length are those of a socket address that lives through the call.
    let code = unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), address.length()) };
    done(code)
}

/// Sets a buffer size, beyond the system's limit where we are allowed to.
fn set_buffer(fd: &OwnedFd, force: libc::c_int, ask: libc::c_int, octets: usize) -> io::Result<()> {
    let octets = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX / 2);
    set(fd, libc::SOL_SOCKET, force, octets).or_else(|_| set(fd, libc::SOL_SOCKET, ask, octets))
}

fn set(
    fd: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option reads as much as it is told, and that is an integer that lives through
    // the call.
    let code = unsafe {
        let length = size_of_val(&value) as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    done(code)
}

/// What a system call that gives no more than this said.
fn done(code: libc::c_int) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// True when the kernel lacks the address family.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Locators whose path MTU is remembered.
const MOST_PATHS: usize = 4096;
/// Accept datagrams without checksum over IPv6 (`linux/udp.h`).
const UDP_NO_CHECK6_RX: libc::c_int = 102;

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{getsockopt, sockopt::UdpGroSegment};
    use weft_packet::lisp::DATA_PORT;

    #[test]
    fn receivers_join_datagrams_when_told_to() {
        let options = Options { udp_gro: false, ..Options::default() };
        let receiver = Receiver::open((any(false), 0), 0, &options).unwrap();
        let joins = || getsockopt(&receiver.fd, UdpGroSegment).unwrap();
        assert!(!joins());
        receiver.set_gro(true).unwrap();
        assert!(joins());
        receiver.set_gro(false).unwrap();
        assert!(!joins());
    }

    #[test]
    fn sockets_of_a_steered_port_are_out_of_reach_and_share_a_port() {
        let mut private = PrivatePorts::default();
        let options = Options { steered: true, ..Options::default() };
        let mut open = || {
            let receiver =
                Receiver::open(private.place(false, DATA_PORT), DATA_PORT, &options).unwrap();
            private.found(&receiver).unwrap();
            getsockname::<SockaddrStorage>(receiver.fd.as_raw_fd()).map(|at| (at, receiver))
        };
        let [(first, _one), (second, _two)] = [open().unwrap(), open().unwrap()];
        assert_eq!(first, second);
        let first = first.as_sockaddr_in().unwrap();
        assert!(first.ip().is_loopback() && first.port() != 0);
    }
}
