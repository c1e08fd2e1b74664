//! The octets between UDP and the inner packet, as far as a plane for IP packets cares.
//!
//! We send no nonce, no locator status bits and no versions, which leaves the instance and, for
//! the GPE forms, the protocol. A receiver takes any of the forms its port allows and ignores
//! what we do not send (RFC 9300 §5.1, RFC 9305 §3).
//!
//! In VXLAN an Ethernet header follows (RFC 7348 §5). Between routers of IP packets its addresses
//! say nothing: the destination is what Cisco's fabrics use for every router, and as source a
//! constant does, other than that destination, as the kernel's device drops what seems to come
//! from itself. A receiver takes any destination but a group.

use std::ops::Deref;

use weft_fib::{DropReason, Encapsulation};
use weft_packet::addr::{InstanceId, Mac};
use weft_packet::lisp::VXLAN_PORT;
use weft_packet::lisp::data::{
    DataHeader, EtherType, EthernetHeader, LispGpeHeader, LispHeader, NextProtocol, VxlanGpeHeader,
    VxlanHeader,
};

/// The octets in front of an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    octets: [u8; LONGEST],
    length: usize,
}

impl Head {
    /// What stands in front of a packet of `instance`.
    pub fn of(encapsulation: Encapsulation, instance: InstanceId, ipv6: bool) -> Self {
        let next = if ipv6 { NextProtocol::Ipv6 } else { NextProtocol::Ipv4 };
        let vni = instance.into();
        let header = match encapsulation {
            Encapsulation::Lisp => DataHeader::Lisp(LispHeader::of(instance)),
            Encapsulation::LispGpe => DataHeader::LispGpe(LispGpeHeader::of(instance, next)),
            Encapsulation::VxlanGpe => DataHeader::VxlanGpe(VxlanGpeHeader::of(vni, next)),
            Encapsulation::Vxlan => DataHeader::Vxlan(VxlanHeader { vni, policy: None }),
        };
        let mut octets = [0; LONGEST];
        let (head, frame) = octets.split_at_mut(DataHeader::LEN);
        head.copy_from_slice(&header.to_bytes());
        if encapsulation == Encapsulation::Vxlan {
            let ether_type = if ipv6 { EtherType::Ipv6 } else { EtherType::Ipv4 };
            let ethernet =
                EthernetHeader { destination: INNER_DESTINATION, source: INNER_SOURCE, ether_type };
            frame.copy_from_slice(&ethernet.to_bytes());
        }
        Self { octets, length: encapsulation.head().into() }
    }
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// Octets in front of an inner packet that came to `port`.
pub const fn length(port: u16) -> usize {
    match port {
        VXLAN_PORT => LONGEST,
        _ => DataHeader::LEN,
    }
}

/// What they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The instance, 0 where it names none.
    pub instance: InstanceId,
    /// Whether IPv6 follows; `None` where only the packet itself tells.
    pub ipv6: Option<bool>,
}

/// Splits a datagram that came to `port` into what precedes the inner packet, which is [`length`]
/// octets, and that packet.
pub fn read(port: u16, octets: &[u8]) -> Result<(Said, &[u8]), DropReason> {
    let (header, rest) = DataHeader::split(port, octets).map_err(|_| DropReason::BadHeader)?;
    let instance = header.instance();
    match header {
        _ if instance == InstanceId::CONTROL => return Err(DropReason::UnexpectedControl),
        // The payload is encrypted (RFC 8061), and we have no keys.
        DataHeader::Lisp(LispHeader { key_id: 1.., .. })
        | DataHeader::LispGpe(LispGpeHeader { key_id: 1.., .. }) => {
            return Err(DropReason::BadHeader);
        }
        // About the tunnel, and not for a host.
        DataHeader::VxlanGpe(VxlanGpeHeader { oam: true, .. }) => {
            return Err(DropReason::UnknownProtocol);
        }
        _ => {}
    }
    let (ipv6, packet) = match header.next_protocol() {
        None => (None, rest),
        Some(NextProtocol::Ipv4) => (Some(false), rest),
        Some(NextProtocol::Ipv6) => (Some(true), rest),
        Some(NextProtocol::Ethernet) if port == VXLAN_PORT => {
            let (ipv6, packet) = read_ethernet(rest)?;
            (Some(ipv6), packet)
        }
        Some(_) => return Err(DropReason::UnknownProtocol),
    };
    Ok((Said { instance, ipv6 }, packet))
}

/// Whether an IPv6 packet follows the Ethernet header of a frame, or an IPv4 packet; and that
/// packet.
fn read_ethernet(frame: &[u8]) -> Result<(bool, &[u8]), DropReason> {
    let (header, packet) = EthernetHeader::split(frame).map_err(|_| DropReason::BadHeader)?;
    let ipv6 = match header.ether_type {
        EtherType::Ipv4 => false,
        EtherType::Ipv6 => true,
        // Also ARP: there is nobody to find between two routers.
        EtherType::Other(_) => return Err(DropReason::UnknownProtocol),
    };
    if header.destination.is_group() { Err(DropReason::Multicast) } else { Ok((ipv6, packet)) }
}

/// Octets of the longest form.
pub const LONGEST: usize = DataHeader::LEN + EthernetHeader::LEN;

/// To whom frames inside VXLAN are addressed.
const INNER_DESTINATION: Mac = Mac([0xba, 0x25, 0xcd, 0xf4, 0xad, 0x38]);
/// From whom they are: an address of local administration, "weft" in its middle.
const INNER_SOURCE: Mac = Mac([0x02, b'w', b'e', b'f', b't', 0x00]);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weft_packet::lisp::{DATA_PORT, VXLAN_GPE_PORT};

    const PORTS: [u16; 3] = [DATA_PORT, VXLAN_GPE_PORT, VXLAN_PORT];
    const SEVEN: InstanceId = InstanceId::new(7).unwrap();

    #[test]
    fn what_is_sent_is_understood() {
        use Encapsulation::{Lisp, LispGpe, VxlanGpe};
        for (encapsulation, instance, ipv6, octets, said) in [
            (Lisp, InstanceId::DEFAULT, false, [0, 0, 0, 0, 0, 0, 0, 0], None),
            (Lisp, SEVEN, true, [8, 0, 0, 0, 0, 0, 7, 0], None),
            (LispGpe, InstanceId::DEFAULT, false, [4, 0, 0, 1, 0, 0, 0, 0], Some(false)),
            (LispGpe, SEVEN, true, [12, 0, 0, 2, 0, 0, 7, 0], Some(true)),
            (VxlanGpe, InstanceId::DEFAULT, true, [12, 0, 0, 2, 0, 0, 0, 0], Some(true)),
        ] {
            assert_eq!(*Head::of(encapsulation, instance, ipv6), octets);
            let read = read(encapsulation.port(), &octets);
            assert_eq!(read, Ok((Said { instance, ipv6: said }, &[][..])));
        }
    }

    /// A VXLAN header of instance 7 and the Ethernet header of one to this destination.
    fn vxlan(destination: u8, ether_type: [u8; 2]) -> Vec<u8> {
        let mut octets = vec![8, 0, 0, 0, 0, 0, 7, 0, destination, 0x25, 0xcd, 0xf4, 0xad, 0x38];
        octets.extend([0x02, b'w', b'e', b'f', b't', 0x00]);
        octets.extend(ether_type);
        octets
    }

    #[test]
    fn vxlan_carries_frames() {
        for (ipv6, ether_type) in [(false, [0x08, 0x00]), (true, [0x86, 0xdd])] {
            let head = Head::of(Encapsulation::Vxlan, SEVEN, ipv6);
            assert_eq!(*head, vxlan(0xba, ether_type));
            assert_eq!(head.len(), length(VXLAN_PORT));
            let said = Ok((Said { instance: SEVEN, ipv6: Some(ipv6) }, &[][..]));
            assert_eq!(read(VXLAN_PORT, &head), said);
            let mut other = vxlan(0x02, ether_type);
            assert_eq!(read(VXLAN_PORT, &other), said, "to any station");
            other[..4].copy_from_slice(&[0x88, 0x48, 0x12, 0x34]);
            assert_eq!(read(VXLAN_PORT, &other), said, "a group policy is ignored");
            other[0] = 0;
            assert_eq!(read(VXLAN_PORT, &other), Err(DropReason::BadHeader), "no VNI");
        }
        for (octets, reason) in [
            (vxlan(0xff, [0x08, 0x06]), DropReason::UnknownProtocol),
            (vxlan(0xba, [0x81, 0x00]), DropReason::UnknownProtocol),
            (vxlan(0x33, [0x86, 0xdd]), DropReason::Multicast),
            (vxlan(0xba, [0x08, 0x00])[..21].to_vec(), DropReason::BadHeader),
        ] {
            assert_eq!(read(VXLAN_PORT, &octets), Err(reason), "{octets:02x?}");
        }
    }

    #[test]
    fn lengths_are_those_of_the_forwarding_table() {
        use Encapsulation::{Lisp, LispGpe, Vxlan, VxlanGpe};
        for encapsulation in [Lisp, LispGpe, VxlanGpe, Vxlan] {
            let head = Head::of(encapsulation, SEVEN, false);
            assert_eq!(head.len(), usize::from(encapsulation.head()));
            assert_eq!(head.len(), length(encapsulation.port()));
        }
    }

    #[test]
    fn refusals_have_reasons() {
        for (port, octets, reason) in [
            (DATA_PORT, [8, 0, 0, 0, 0xff, 0xff, 0xff, 0], DropReason::UnexpectedControl),
            (DATA_PORT, [0x01, 0, 0, 0, 0, 0, 0, 0], DropReason::BadHeader),
            (DATA_PORT, [4, 0, 0, 3, 0, 0, 0, 0], DropReason::UnknownProtocol),
            (VXLAN_GPE_PORT, [8, 0, 0, 0, 0, 0, 7, 0], DropReason::BadHeader),
            (VXLAN_GPE_PORT, [13, 0, 0, 1, 0, 0, 7, 0], DropReason::UnknownProtocol),
            (VXLAN_GPE_PORT, [0x1c, 0, 0, 1, 0, 0, 7, 0], DropReason::BadHeader),
        ] {
            assert_eq!(read(port, &octets), Err(reason), "{octets:02x?}");
        }
        assert_eq!(read(DATA_PORT, &[0; 7]), Err(DropReason::BadHeader));
    }

    #[test]
    fn nonce_and_status_bits_are_ignored() {
        let octets = [0xc8, 1, 2, 3, 0, 0, 7, 0xff, 0x45];
        let said = Said { instance: SEVEN, ipv6: None };
        assert_eq!(read(DATA_PORT, &octets), Ok((said, &octets[8..])));
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets: Vec<u8>, port in prop::sample::select(&PORTS[..])) {
            let _ = read(port, &octets);
        }
    }
}
