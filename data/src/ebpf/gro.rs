//! Devices that make the kernel join tunnelled TCP streams.
//!
//! Packets come from a network card as they were on the wire. Generic receive offload joins those
//! of a stream before anybody looks at them, but inside a UDP tunnel only where a tunnel device
//! owns the port. A VXLAN-GPE device understands LISP-GPE, too: the headers have the same form
//! (RFC 9305 §3), and the offload asks for the next protocol alone; VXLAN needs a plain one. No
//! packet ever goes through the device: it has no network identifiers, so what it gets it drops,
//! also when a router that died has left it behind.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// A device, in the network namespace it was made in. Dropping it removes it.
pub(super) struct Device {
    name: &'static str,
    stays: bool,
}

impl Device {
    /// Makes the device own `port`, for VXLAN-GPE if `generic` and otherwise for VXLAN. One that an
    /// earlier process left there stays: packets that are being joined would be lost with it.
    pub(super) fn create(name: &'static str, port: u16, generic: bool) -> io::Result<Self> {
        if find(name)?.is_some_and(|(_, device)| device.contains(&InfoVxlan::Port(port))) {
            return Ok(Self { name, stays: false });
        }
        remove(name)?;
        let mut message = named(name);
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        let mut device = vec![
            InfoVxlan::CollectMetadata(true),
            InfoVxlan::Learning(false),
            InfoVxlan::Vnifilter(true),
            InfoVxlan::Port(port),
        ];
        device.extend(generic.then_some(InfoVxlan::Gpe));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vxlan),
            LinkInfo::Data(InfoData::Vxlan(device)),
        ]));
        request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)?;
        Ok(Self { name, stays: false })
    }

    /// Leaves the device behind, for the program that goes on.
    pub(super) fn leave(mut self) {
        self.stays = true;
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if !self.stays
            && let Err(error) = remove(self.name)
        {
            tracing::warn!(device = self.name, %error, "a device stays");
        }
    }
}

/// Removes the device, if there is one and it is what we make.
pub(super) fn remove(name: &str) -> io::Result<()> {
    let Some((index, _)) = find(name)? else { return Ok(()) };
    let mut message = LinkMessage::default();
    message.header.index = index;
    match request(RouteNetlinkMessage::DelLink(message), 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other.map(drop),
    }
}

/// The kernel's number of the device and what it is like, if there is one. What only has its name
/// is not it.
fn find(name: &str) -> io::Result<Option<(u32, Vec<InfoVxlan>)>> {
    let link = match request(RouteNetlinkMessage::GetLink(named(name)), 0) {
        Ok(Some(RouteNetlinkMessage::NewLink(link))) => link,
        Ok(_) => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
        Err(error) => return Err(error),
    };
    let index = link.header.index;
    let device = link.attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(info) => info.into_iter().find_map(|info| match info {
            LinkInfo::Data(InfoData::Vxlan(device)) => Some(device),
            _ => None,
        }),
        _ => None,
    });
    let ours = |device: &Vec<_>| device.contains(&InfoVxlan::Vnifilter(true));
    Ok(device.filter(ours).map(|device| (index, device)))
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

/// Asks the kernel for something, and gives what it answers besides an acknowledgement.
fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<Option<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&octets, 0)?;
    let (reply, _) = socket.recv_from_full()?;
    let reply = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&reply);
    match reply.map_err(io::Error::other)?.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
        _ => Ok(None),
    }
}
