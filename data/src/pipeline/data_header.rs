//! The eight octets between UDP and the inner packet: LISP (RFC 9300 §5.1), LISP-GPE (RFC 9305)
//! and VXLAN-GPE.
//!
//! We send no nonce, no locator status bits and no versions, which leaves the instance and, for
//! the GPE forms, the protocol. A receiver takes any of the forms its port allows.

use weft_fib::{DropReason, Encapsulation};
use weft_packet::addr::InstanceId;
use weft_packet::lisp::VXLAN_GPE_PORT;

/// Octets of every form.
pub const LENGTH: usize = 8;

/// The header in front of a packet of `instance`.
pub fn to_bytes(encapsulation: Encapsulation, instance: InstanceId, ipv6: bool) -> [u8; LENGTH] {
    let [_, high, middle, low] = instance.get().to_be_bytes();
    let instance_flag = if instance == InstanceId::DEFAULT { 0 } else { I };
    let protocol = if ipv6 { IPV6 } else { IPV4 };
    let (flags, protocol) = match encapsulation {
        Encapsulation::Lisp => (instance_flag, 0),
        Encapsulation::LispGpe => (instance_flag | P, protocol),
        Encapsulation::VxlanGpe => (I | P, protocol),
    };
    [flags, 0, 0, protocol, high, middle, low, 0]
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
    let head: &[u8; LENGTH] = octets.first_chunk().ok_or(DropReason::BadHeader)?;
    let flags = head[0];
    let instance = if flags & I == 0 {
        InstanceId::DEFAULT
    } else {
        InstanceId::new(u32::from_be_bytes([0, head[4], head[5], head[6]]))
            .ok_or(DropReason::BadHeader)?
    };
    if instance == InstanceId::CONTROL {
        return Err(DropReason::UnexpectedControl);
    }
    let with_protocol =
        if port == VXLAN_GPE_PORT { vxlan_gpe_protocol(flags)? } else { lisp_protocol(flags)? };
    let ipv6 = match (with_protocol, head[3]) {
        (false, _) => None,
        (true, IPV4) => Some(false),
        (true, IPV6) => Some(true),
        (true, _) => return Err(DropReason::UnknownProtocol),
    };
    Ok(Said { instance, ipv6 })
}

/// True when the protocol field counts (RFC 9305 §3: then there are no nonce and no versions).
fn lisp_protocol(flags: u8) -> Result<bool, DropReason> {
    let gpe = flags & P != 0;
    let encrypted = flags & KK != 0;
    if encrypted || (gpe && flags & (N | E | V) != 0) {
        return Err(DropReason::BadHeader);
    }
    Ok(gpe)
}

/// Without P the payload is Ethernet; OAM packets are for no one here.
fn vxlan_gpe_protocol(flags: u8) -> Result<bool, DropReason> {
    match flags {
        _ if flags & VXLAN_GPE_VERSION != 0 => Err(DropReason::BadHeader),
        _ if flags & P == 0 || flags & VXLAN_GPE_OAM != 0 => Err(DropReason::UnknownProtocol),
        _ => Ok(true),
    }
}

/// Nonce present.
const N: u8 = 0x80;
/// Echo-nonce request.
const E: u8 = 0x20;
/// Map-versions present.
const V: u8 = 0x10;
/// Instance-ID, or VNI, present.
const I: u8 = 0x08;
/// Next protocol present.
const P: u8 = 0x04;
/// Which key the payload is encrypted with (RFC 8061).
const KK: u8 = 0x03;
const VXLAN_GPE_VERSION: u8 = 0x30;
const VXLAN_GPE_OAM: u8 = 0x01;
/// Next protocol, the same in both GPE forms.
const IPV4: u8 = 1;
const IPV6: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weft_packet::lisp::DATA_PORT;

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
            (DATA_PORT, [0x84, 0, 0, 1, 0, 0, 0, 0], DropReason::BadHeader),
            (DATA_PORT, [0x01, 0, 0, 0, 0, 0, 0, 0], DropReason::BadHeader),
            (DATA_PORT, [4, 0, 0, 3, 0, 0, 0, 0], DropReason::UnknownProtocol),
            (VXLAN_GPE_PORT, [8, 0, 0, 0, 0, 0, 7, 0], DropReason::UnknownProtocol),
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
