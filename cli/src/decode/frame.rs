//! From a captured frame to the UDP datagram in it.

use std::net::SocketAddr;

use weft_packet::ip::{Fragment, Header, protocol};
use weft_packet::wire::{Error, Reader};

/// A UDP datagram and its ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Its payload; the error says why it is not all there.
    pub(super) payload: Result<&'a [u8], Error>,
}

/// The datagram of a frame; `None` for frames without one and link types we do not know.
pub(super) fn datagram(link: u16, frame: &[u8]) -> Option<Datagram<'_>> {
    let packet = ip_packet(link, frame).ok()??;
    // A header that claims more than was captured still tells its ends.
    let (header, whole) = match Header::read(packet) {
        Ok(header) => (header, true),
        Err(_) => (header_of_cut(packet)?, false),
    };
    if header.protocol != protocol::UDP || header.fragment == Fragment::Later {
        return None;
    }
    let mut r = Reader::new(packet.get(header.transport..header.length)?);
    let [source, destination, length] = [r.u16(UDP).ok()?, r.u16(UDP).ok()?, r.u16(UDP).ok()?];
    r.u16(UDP).ok()?;
    let payload = if header.fragment == Fragment::First {
        Err(Error::Refused("fragment of a datagram"))
    } else if !whole {
        Err(Error::Refused("not captured as a whole"))
    } else {
        match usize::from(length).checked_sub(8) {
            Some(length) => r.bytes(length, "UDP datagram"),
            None => Err(Error::Invalid("UDP length", length.into())),
        }
    };
    Some(Datagram {
        source: (header.source, source).into(),
        destination: (header.destination, destination).into(),
        payload,
    })
}

/// The header of a packet of which less was captured than it has.
fn header_of_cut(packet: &[u8]) -> Option<Header> {
    let mut shortened = packet.to_vec();
    let octets = u16::try_from(packet.len()).ok()?;
    match packet.first()? >> 4 {
        4 => shortened.get_mut(2..4)?.copy_from_slice(&octets.to_be_bytes()),
        6 => shortened.get_mut(4..6)?.copy_from_slice(&octets.checked_sub(40)?.to_be_bytes()),
        _ => return None,
    }
    Header::read(&shortened).ok()
}

/// What the link carries, when that is IP.
fn ip_packet(link: u16, frame: &[u8]) -> Result<Option<&[u8]>, Error> {
    let mut r = Reader::new(frame);
    match link {
        LINK_ETHERNET => {
            r.bytes(12, "Ethernet addresses")?;
            skip_tags(&mut r)
        }
        LINK_LINUX_SLL => {
            r.bytes(14, "Linux header")?;
            skip_tags(&mut r)
        }
        LINK_LINUX_SLL2 => {
            let kind = r.u16("Linux header")?;
            r.bytes(18, "Linux header")?;
            Ok(is_ip(kind).then(|| r.rest()))
        }
        LINK_RAW | LINK_RAW_BSD | LINK_RAW_OPENBSD | LINK_IPV4 | LINK_IPV6 => Ok(Some(frame)),
        _ => Ok(None),
    }
}

/// What an Ethernet type announces, behind up to two VLAN tags.
pub(super) fn skip_tags<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Error> {
    for _ in 0..=2 {
        match r.u16("Ethernet type")? {
            VLAN | PROVIDER_VLAN => r.u16("VLAN tag")?,
            kind => return Ok(is_ip(kind).then(|| r.rest())),
        };
    }
    Ok(None)
}

fn is_ip(kind: u16) -> bool {
    matches!(kind, 0x0800 | 0x86dd)
}

const UDP: &str = "UDP header";
const VLAN: u16 = 0x8100;
const PROVIDER_VLAN: u16 = 0x88a8;

const LINK_ETHERNET: u16 = 1;
const LINK_RAW_BSD: u16 = 12;
const LINK_RAW_OPENBSD: u16 = 14;
const LINK_RAW: u16 = 101;
const LINK_LINUX_SLL: u16 = 113;
const LINK_IPV4: u16 = 228;
const LINK_IPV6: u16 = 229;
const LINK_LINUX_SLL2: u16 = 276;
