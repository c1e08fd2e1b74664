//! Receiving many datagrams with few system calls: `recvmmsg`, each message up to 64 equal
//! datagrams of one sender (`UDP_GRO`).
#![expect(unsafe_code, reason = "recvmmsg takes structures of pointers")]
#![expect(clippy::cast_possible_truncation, reason = "sizes of kernel structures, which fit")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::address::Address;
use super::control::{Control, control_length, integer};
use super::open::Receiver;
use crate::pipeline::Arrival;

/// Room for one batch of received datagrams.
pub(in crate::tun) struct Inbox {
    /// The octets received.
    pub(in crate::tun) octets: Box<[u8]>,
    addresses: Vec<Address>,
    controls: Vec<Control>,
    datagrams: Vec<Datagram>,
    /// What the kernel said it has dropped in total.
    overflow: Option<u32>,
}

/// One or more datagrams that came with the same outer header.
#[derive(Clone, Debug)]
pub(in crate::tun) struct Datagram {
    /// Where in [`Inbox::octets`] their payload is.
    pub(in crate::tun) range: Range<usize>,
    /// Octets of each but the last.
    pub(in crate::tun) segment: usize,
    /// The outer source.
    pub(in crate::tun) remote: IpAddr,
    /// The outer destination.
    pub(in crate::tun) local: IpAddr,
    /// The other outer fields.
    pub(in crate::tun) outer: Arrival,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            octets: vec![0; SLOT * MESSAGES].into(),
            addresses: vec![Address::default(); MESSAGES],
            controls: vec![Control::EMPTY; MESSAGES],
            datagrams: Vec::with_capacity(MESSAGES),
            overflow: None,
        }
    }
}

impl Inbox {
    /// Receives what is there, replacing the batch before. Gives how many messages there were
    /// and how many datagrams the kernel had to drop since the last call; fewer messages than
    /// [`MESSAGES`] mean that the socket is empty.
    pub(in crate::tun) fn receive(&mut self, socket: &mut Receiver) -> nix::Result<(usize, u32)> {
        self.datagrams.clear();
        // SAFETY: `iovec` and `mmsghdr` are plain data, for which all zero octets are a value.
        let (mut pieces, mut headers): ([libc::iovec; MESSAGES], [libc::mmsghdr; MESSAGES]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let slots = self.octets.chunks_exact_mut(SLOT);
        let beside = self.addresses.iter_mut().zip(&mut self.controls);
        for (((header, piece), slot), (address, control)) in
            headers.iter_mut().zip(&mut pieces).zip(slots).zip(beside)
        {
            piece.iov_base = slot.as_mut_ptr().cast();
            piece.iov_len = LARGEST;
            header.msg_hdr.msg_name = address.as_mut_ptr();
            header.msg_hdr.msg_namelen = Address::LENGTH as libc::socklen_t;
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr();
            header.msg_hdr.msg_controllen = Control::CAPACITY as _;
        }
        // SAFETY: every header points to an address, a control buffer and a slot of `self.octets`
        // of the lengths given, all distinct, which nobody touches until the call returns.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                MESSAGES as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = Errno::result(count)?.unsigned_abs() as usize;
        for (n, header) in headers.iter().enumerate().take(count) {
            self.arrived(n, header.msg_len as usize, control_length(&header.msg_hdr));
        }
        let overflow = self.overflow.take().unwrap_or(socket.overflow);
        let lost = overflow.wrapping_sub(std::mem::replace(&mut socket.overflow, overflow));
        Ok((count, lost))
    }

    /// The batch, and the octets it points into.
    pub(in crate::tun) fn datagrams(&self) -> &[Datagram] {
        &self.datagrams
    }

    /// Reads what came beside message `n`. Without an address it is no datagram, and is skipped.
    fn arrived(&mut self, n: usize, length: usize, control: usize) {
        let Some(remote) = self.addresses[n].ip() else { return };
        let start = n * SLOT;
        let mut datagram = Datagram {
            range: start..start + length.min(LARGEST),
            segment: length.max(1),
            remote,
            local: Ipv4Addr::UNSPECIFIED.into(),
            outer: Arrival { ttl: 255, traffic_class: 0 },
        };
        for (level, kind, data) in self.controls[n].messages(control) {
            let number = || integer(data).unwrap_or(0);
            match (level, kind) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    if let Some(local) = data.get(8..).and_then(<[u8]>::first_chunk::<4>) {
                        datagram.local = Ipv4Addr::from(*local).into();
                    }
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    if let Some(local) = data.first_chunk::<16>() {
                        datagram.local = Ipv6Addr::from(*local).into();
                    }
                }
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    datagram.outer.ttl = (number() & 0xff).unsigned_abs() as u8;
                }
                (libc::IPPROTO_IP, libc::IP_TOS) => {
                    datagram.outer.traffic_class = data.first().copied().unwrap_or(0);
                }
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    datagram.outer.traffic_class = (number() & 0xff).unsigned_abs() as u8;
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    datagram.segment = usize::try_from(number()).unwrap_or(0).max(1);
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    self.overflow = Some(number().cast_unsigned());
                }
                _ => {}
            }
        }
        self.datagrams.push(datagram);
    }
}

/// Messages of one batch.
pub(in crate::tun) const MESSAGES: usize = 32;
/// The largest payload, of one datagram or of many.
const LARGEST: usize = 65_535;
/// Slots start on different cache sets.
const SLOT: usize = 65_536 + 64 * 13;
