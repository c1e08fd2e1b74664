//! Sending many datagrams with few system calls: `sendmmsg`, each message up to 64 equal
//! datagrams (`UDP_SEGMENT`).
#![expect(unsafe_code, reason = "sendmmsg takes structures of pointers")]
#![expect(clippy::cast_possible_truncation, reason = "sizes of kernel structures, which fit")]

use std::marker::PhantomData;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use weft_fib::Encapsulation;
use weft_packet::addr::InstanceId;

use super::address::Address;
use super::control::Control;

/// What datagrams must have in common to travel in one message, and what we count them by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tun) struct Envelope {
    /// The socket, by its number in [`Senders`](super::Senders).
    pub(in crate::tun) sender: u16,
    /// The outer destination, and what is between it and the inner packet.
    pub(in crate::tun) remote: IpAddr,
    pub(in crate::tun) encapsulation: Encapsulation,
    /// The outer source, and the interface to leave by; 0 = as routed.
    pub(in crate::tun) local: IpAddr,
    pub(in crate::tun) interface: u32,
    /// Of the outer header.
    pub(in crate::tun) ttl: u8,
    pub(in crate::tun) traffic_class: u8,
    /// The instance, and whether the inner packets are IPv6.
    pub(in crate::tun) instance: InstanceId,
    pub(in crate::tun) inner_ipv6: bool,
}

impl Envelope {
    fn control(&self, segment: Option<u16>) -> Control {
        let mut control = Control::EMPTY;
        let (ttl, class) = (
            libc::c_int::from(self.ttl).to_ne_bytes(),
            libc::c_int::from(self.traffic_class).to_ne_bytes(),
        );
        match self.local {
            IpAddr::V4(local) => {
                // struct in_pktinfo: interface, source, and an address only used on reception.
                let mut info = [0; 12];
                info[..4].copy_from_slice(&self.interface.to_ne_bytes());
                info[4..8].copy_from_slice(&local.octets());
                control.add(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
                control.add(libc::IPPROTO_IP, libc::IP_TTL, &ttl);
                control.add(libc::IPPROTO_IP, libc::IP_TOS, &class);
            }
            IpAddr::V6(local) => {
                // struct in6_pktinfo: source, interface.
                let mut info = [0; 20];
                info[..16].copy_from_slice(&local.octets());
                info[16..].copy_from_slice(&self.interface.to_ne_bytes());
                control.add(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
                control.add(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &ttl);
                control.add(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class);
            }
        }
        if let Some(segment) = segment {
            control.add(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
        }
        control
    }
}

/// Messages for one socket. The octets they point to live as long as the batch.
#[derive(Default)]
pub(in crate::tun) struct Batch<'a> {
    messages: Vec<Message>,
    pieces: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    octets: PhantomData<&'a [u8]>,
}

struct Message {
    address: Address,
    control: Control,
    first_piece: usize,
}

impl<'a> Batch<'a> {
    /// Adds a message of datagrams of `segment` octets each, the last one perhaps shorter;
    /// `None` for a single datagram. The pieces are its octets in order.
    pub(in crate::tun) fn add(
        &mut self,
        envelope: &Envelope,
        segment: Option<u16>,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) {
        self.messages.push(Message {
            address: Address::new(envelope.remote, envelope.encapsulation.port()),
            control: envelope.control(segment),
            first_piece: self.pieces.len(),
        });
        self.pieces.extend(pieces.map(|piece| libc::iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        }));
    }

    /// Sends messages from number `from` on: how many were sent, or why that one was not.
    pub(in crate::tun) fn send(&mut self, fd: BorrowedFd<'_>, from: usize) -> nix::Result<usize> {
        if self.headers.len() != self.messages.len() {
            self.build_headers();
        }
        let headers = &mut self.headers[from..];
        let count = headers.len() as libc::c_uint;
        // SAFETY: every header points to an address, a control buffer and pieces that `self`
        // owns and does not touch until the call returns; the pieces point to octets that live
        // for `'a`, and the kernel only reads all of them.
        let sent = unsafe {
            libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT)
        };
        Errno::result(sent).map(|sent| sent.unsigned_abs() as usize)
    }

    fn build_headers(&mut self) {
        self.headers.clear();
        let mut end = self.pieces.len();
        for message in self.messages.iter().rev() {
            // SAFETY: `mmsghdr` is plain data, for which all zero octets are a value.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            let pieces = &self.pieces[message.first_piece..end];
            end = message.first_piece;
            header.msg_hdr.msg_name = message.address.as_ptr().cast_mut();
            header.msg_hdr.msg_namelen = message.address.length();
            header.msg_hdr.msg_iov = pieces.as_ptr().cast_mut();
            header.msg_hdr.msg_iovlen = pieces.len() as _;
            header.msg_hdr.msg_control = message.control.as_ptr().cast_mut();
            header.msg_hdr.msg_controllen = message.control.used() as _;
            self.headers.push(header);
        }
        self.headers.reverse();
    }
}
