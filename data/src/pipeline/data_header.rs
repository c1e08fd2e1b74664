//! The eight octets between UDP and the inner packet, as far as a plane for IP packets cares.
//!
//! We send no nonce, no locator status bits and no versions, which leaves the instance and, for
//! the GPE forms, the protocol. A receiver takes any of the forms its port allows and ignores
//! what we do not send (RFC 9300 §5.1, RFC 9305 §3).

use weft_fib::{DropReason, Encapsulation};
use weft_packet::addr::InstanceId;
use weft_packet::lisp::data::{
    DataHeader, LispGpeHeader, LispHeader, NextProtocol, VxlanGpeHeader,
};

/// Octets of every form.
pub const LENGTH: usize = DataHeader::LEN;

/// The header in front of a packet of `instance`.
pub fn to_bytes(encapsulation: Encapsulation, instance: InstanceId, ipv6: bool) -> [u8; LENGTH] {
    let next = if ipv6 { NextProtocol::Ipv6 } else { NextProtocol::Ipv4 };
    let header = match encapsulation {
        Encapsulation::Lisp => DataHeader::Lisp(LispHeader::of(instance)),
        Encapsulation::LispGpe => DataHeader::LispGpe(LispGpeHeader::of(instance, next)),
        Encapsulation::VxlanGpe => DataHeader::VxlanGpe(VxlanGpeHeader::of(instance.into(), next)),
    };
    header.to_bytes()
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The instance, 0 where it names none.
    pub instance: InstanceId,
    /// Whether IPv6 follows; `None` where only the packet itself tells.
    pub ipv6: Option<bool>,
}

/// Reads the header of a datagram that came to `port`; the inner packet follows it.
pub fn read(port: u16, octets: &[u8]) -> Result<Said, DropReason> {
    let (header, _) = DataHeader::split(port, octets).map_err(|_| DropReason::BadHeader)?;
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
    let ipv6 = match header.next_protocol() {
        None => None,
        Some(NextProtocol::Ipv4) => Some(false),
        Some(NextProtocol::Ipv6) => Some(true),
        Some(_) => return Err(DropReason::UnknownProtocol),
    };
    Ok(Said { instance, ipv6 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weft_packet::lisp::{DATA_PORT, VXLAN_GPE_PORT};

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
            assert_eq!(to_bytes(encapsulation, instance, ipv6), octets);
            let read = read(encapsulation.port(), &octets);
            assert_eq!(read, Ok(Said { instance, ipv6: said }));
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
        let octets = [0xc8, 1, 2, 3, 0, 0, 7, 0xff];
        assert_eq!(read(DATA_PORT, &octets), Ok(Said { instance: SEVEN, ipv6: None }));
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets: Vec<u8>, gpe: bool) {
            let _ = read(if gpe { VXLAN_GPE_PORT } else { DATA_PORT }, &octets);
        }
    }
}
