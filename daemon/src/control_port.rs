//! UDP 4342: control messages in and out, with the local address and uplink they use.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use weft_packet::lisp::CONTROL_PORT;

/// The control sockets: one for each address listened on.
#[derive(Debug)]
pub(crate) struct ControlPort {
    sockets: Vec<ControlSocket>,
}

/// One bound socket.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    socket: UdpSocket,
    bound: IpAddr,
}

/// A datagram that came in.
#[derive(Debug)]
pub(crate) struct Received {
    /// Who sent it.
    pub from: SocketAddr,
    /// The local address it came to.
    pub to: IpAddr,
    /// Its payload.
    pub bytes: Vec<u8>,
}

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} UDP {CONTROL_PORT}: {source} (is another LISP router running?)"
)]
pub struct Error {
    address: IpAddr,
    source: io::Error,
}

impl ControlPort {
    /// Opens the port on these addresses; on all of both families when there are none.
    pub(crate) fn open(addresses: &[IpAddr]) -> Result<Self, Error> {
        const ALL: [IpAddr; 2] =
            [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = if addresses.is_empty() { &ALL } else { addresses };
        let sockets = addresses
            .iter()
            .map(|&bound| {
                ControlSocket::open(bound).map_err(|source| Error { address: bound, source })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { sockets })
    }

    /// Waits until something came, and takes up to `most` datagrams.
    pub(crate) async fn receive(&self, most: usize) -> io::Result<Vec<Received>> {
        let waits = self.sockets.iter().map(|socket| Box::pin(socket.receive(most)));
        futures_util::future::select_all(waits).await.0
    }

    /// Sends a datagram. `from` and `interface` pin where it leaves; routing chooses otherwise.
    /// A full socket buffer loses it as a full queue on the way would; peers repeat themselves.
    pub(crate) fn send(
        &self,
        from: Option<IpAddr>,
        interface: Option<u32>,
        to: SocketAddr,
        bytes: &[u8],
    ) -> io::Result<()> {
        let fits = |socket: &&ControlSocket| {
            socket.bound.is_ipv6() == to.is_ipv6()
                && (socket.bound.is_unspecified() || from.is_none_or(|ip| ip == socket.bound))
        };
        let socket = self
            .sockets
            .iter()
            .find(fits)
            .ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        socket.send(from, interface.unwrap_or(0), to, bytes)
    }
}

impl ControlSocket {
    fn open(bound: IpAddr) -> io::Result<Self> {
        let socket =
            Socket::new(Domain::for_address((bound, 0).into()), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if bound.is_ipv6() {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        // Room for a burst of registrations; the kernel's limit may cut it.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &(8 << 20));
        socket.bind(&SockAddr::from(SocketAddr::new(bound, CONTROL_PORT)))?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, bound })
    }

    async fn receive(&self, most: usize) -> io::Result<Vec<Received>> {
        loop {
            self.socket.readable().await?;
            let mut taken = Vec::new();
            while taken.len() < most {
                match self.socket.try_io(Interest::READABLE, || receive_one(&self.socket)) {
                    Ok(received) => taken.extend(received),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What came back for a datagram of ours (port unreachable and the like).
                    Err(_) if taken.is_empty() => {}
                    Err(_) => break,
                }
            }
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    fn send(
        &self,
        from: Option<IpAddr>,
        interface: u32,
        to: SocketAddr,
        bytes: &[u8],
    ) -> io::Result<()> {
        let payload = [IoSlice::new(bytes)];
        let address = SockaddrStorage::from(to);
        let descriptor = self.socket.as_raw_fd();
        let index = i32::try_from(interface).unwrap_or(0);
        let v4;
        let v6;
        let control = match from {
            Some(IpAddr::V4(ip)) => {
                v4 = libc::in_pktinfo {
                    ipi_ifindex: index,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                Some(ControlMessage::Ipv4PacketInfo(&v4))
            }
            Some(IpAddr::V6(ip)) => {
                v6 = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    ipi6_ifindex: interface,
                };
                Some(ControlMessage::Ipv6PacketInfo(&v6))
            }
            None => None,
        };
        let control = control.as_slice();
        sendmsg(descriptor, &payload, control, MsgFlags::MSG_DONTWAIT, Some(&address))?;
        Ok(())
    }
}

/// Takes one datagram; `None` for one whose sender or destination the kernel does not tell.
fn receive_one(socket: &UdpSocket) -> io::Result<Option<Received>> {
    let mut buffer = [0; 9216];
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let (length, from, to) = {
        let mut payload = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut payload,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let to = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            _ => None,
        });
        (message.bytes, message.address.as_ref().and_then(socket_address), to)
    };
    let (Some(from), Some(to)) = (from, to) else { return Ok(None) };
    Ok(buffer.get(..length).map(|bytes| Received { from, to, bytes: bytes.to_vec() }))
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    let v6 = storage.as_sockaddr_in6()?;
    Some(SocketAddrV6::new(v6.ip(), v6.port(), 0, v6.scope_id()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_port_names_address_and_likely_cause() {
        let source = io::Error::from(io::ErrorKind::AddrInUse);
        let error = Error { address: Ipv4Addr::LOCALHOST.into(), source };
        assert!(error.to_string().starts_with("cannot listen on 127.0.0.1 UDP 4342"), "{error}");
    }
}
