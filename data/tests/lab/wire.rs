//! Frames as they are on a cable: sent and seen by packet sockets.
#![expect(unsafe_code, reason = "nix cannot name the interface a packet socket is bound to")]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use weft_packet::ip::checksum::set_ipv4;

use super::Lab;
use super::fast::index;
use super::packets::marker;

/// One end of a cable.
pub(crate) struct Wire(File);

impl Lab {
    /// A small packet from a host at A to its router, behind a tag.
    pub(crate) fn frame(&self, tag: &[u8], destination: [u8; 4]) -> Vec<u8> {
        let mac = |node: &str, device: &str| {
            let (said, _) = self.run(node, &format!("cat /sys/class/net/{device}/address"));
            let octets = said.trim().split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap());
            octets.collect::<Vec<_>>()
        };
        // A marker without its options, so that the program takes it.
        let packet = marker([10, 1, 0, 2], destination, 1);
        let mut packet = [&packet[..20], &packet[24..]].concat();
        packet[..4].copy_from_slice(&[0x45, 0, 0, 28]);
        set_ipv4(&mut packet[..20]);
        [&mac("xa", "h0"), &mac("ha", "e0"), tag, &[0x08, 0x00], &packet].concat()
    }

    /// A packet socket on a device.
    pub(crate) fn wire(&self, node: &str, device: &str) -> Wire {
        self.within(node, || {
            let (family, kind) = (AddressFamily::Packet, SockType::Raw);
            let all = SockProtocol::EthAll;
            let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, all).unwrap();
            bind(&socket, index(device)).unwrap();
            setsockopt(&socket, sockopt::RcvBuf, &(8 << 20)).unwrap();
            setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(10, 0)).unwrap();
            Wire(File::from(socket))
        })
    }
}

impl Wire {
    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: &[u8]) {
        while let Err(error) = self.0.write(frame) {
            // A full device queue empties.
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
            std::thread::yield_now();
        }
    }

    /// The next frame that comes or goes; `None` when there was none for ten seconds.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 1 << 16];
        let length = self.0.read(&mut frame).ok()?;
        frame.truncate(length);
        Some(frame)
    }
}

fn bind(socket: &OwnedFd, interface: u32) -> std::io::Result<()> {
    // SAFETY: the structure is of integers alone, of which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET.try_into().unwrap();
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
    address.sll_ifindex = interface.try_into().unwrap();
    let length = size_of_val(&address).try_into().unwrap();
    // SAFETY: the descriptor is open, and the address lives through the call and is as long as
    // said.
    let code = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
