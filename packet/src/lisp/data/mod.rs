//! The data header of LISP, LISP-GPE, VXLAN-GPE and VXLAN: eight octets behind UDP.
//!
//! The UDP port says which layout it is, and on 4341 the P bit tells LISP-GPE from LISP (RFC 9300
//! §5.1, RFC 9305 §3, RFC 7348 §5, the drafts of VXLAN-GPE and VXLAN group policy). Reading and
//! writing take no memory. Reserved bits are ignored and sent as zero; fields whose flag is not
//! set have no value here.

mod ethernet;
mod lisp;
mod vxlan;

use super::{DATA_PORT, VXLAN_GPE_PORT, VXLAN_PORT};
use crate::addr::InstanceId;
use crate::wire::{Error, Reader, bit};

pub use ethernet::{EtherType, EthernetHeader};
pub use lisp::{LispGpeHeader, LispHeader, NonceField};
pub use vxlan::{GroupPolicy, VxlanGpeHeader, VxlanHeader};

/// The header of an encapsulated packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataHeader {
    /// UDP 4341, P = 0: an IP packet follows.
    Lisp(LispHeader),
    /// UDP 4341, P = 1.
    LispGpe(LispGpeHeader),
    /// UDP 4790.
    VxlanGpe(VxlanGpeHeader),
    /// UDP 4789: an Ethernet frame follows.
    Vxlan(VxlanHeader),
}

/// What follows a header that says so (RFC 9305 §3, VXLAN-GPE draft).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextProtocol {
    /// 1.
    Ipv4,
    /// 2.
    Ipv6,
    /// 3.
    Ethernet,
    /// 4: Network Service Header (RFC 8300).
    Nsh,
    /// 0x80 to 0xff: a shim header; see [`skip_shims`].
    Shim(u8),
    /// Any other number.
    Other(u8),
}

impl DataHeader {
    /// Octets on the wire.
    pub const LEN: usize = 8;

    /// Reads the header of a packet that came to UDP `port`. A port that carries no data is
    /// refused, as are VXLAN without VNI, VXLAN-GPE without next protocol and its later versions.
    pub const fn from_bytes(port: u16, bytes: [u8; Self::LEN]) -> Result<Self, Error> {
        let [a, b, c, d, second @ ..] = bytes;
        let (first, second) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(second));
        match port {
            DATA_PORT if bit(first, 5) => Ok(Self::LispGpe(LispGpeHeader::read(first, second))),
            DATA_PORT => Ok(Self::Lisp(LispHeader::read(first, second))),
            VXLAN_GPE_PORT => VxlanGpeHeader::read(first, second),
            VXLAN_PORT => VxlanHeader::read(first, second),
            _ => Err(Error::Invalid("data port", port as u64)),
        }
    }

    /// Splits the payload of a UDP datagram that came to `port` into header and packet.
    pub fn split(port: u16, datagram: &[u8]) -> Result<(Self, &[u8]), Error> {
        let mut r = Reader::new(datagram);
        let header = Self::from_bytes(port, r.array("data header")?)?;
        Ok((header, r.rest()))
    }

    /// The octets on the wire.
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let (first, second) = match self {
            Self::Lisp(header) => header.words(),
            Self::LispGpe(header) => header.words(),
            Self::VxlanGpe(header) => header.words(),
            Self::Vxlan(header) => header.words(),
        };
        ((first as u64) << 32 | second as u64).to_be_bytes()
    }

    /// The UDP port that says this layout.
    pub const fn port(self) -> u16 {
        match self {
            Self::Lisp(_) | Self::LispGpe(_) => DATA_PORT,
            Self::VxlanGpe(_) => VXLAN_GPE_PORT,
            Self::Vxlan(_) => VXLAN_PORT,
        }
    }

    /// The instance the packet belongs to; a VNI names the instance of the same number. Headers
    /// that name none mean the default instance.
    pub const fn instance(self) -> InstanceId {
        let number = match self {
            Self::Lisp(LispHeader { instance: Some(instance), .. })
            | Self::LispGpe(LispGpeHeader { instance: Some(instance), .. }) => instance.get(),
            Self::VxlanGpe(VxlanGpeHeader { vni: Some(vni), .. })
            | Self::Vxlan(VxlanHeader { vni, .. }) => vni.get(),
            _ => 0,
        };
        match InstanceId::new(number) {
            Some(instance) => instance,
            None => InstanceId::DEFAULT,
        }
    }

    /// What follows; `None` for plain LISP, where the first four bits of the packet say whether
    /// it is IPv4 or IPv6.
    pub const fn next_protocol(self) -> Option<NextProtocol> {
        match self {
            Self::Lisp(_) => None,
            Self::LispGpe(header) => Some(header.next),
            Self::VxlanGpe(header) => Some(header.next),
            Self::Vxlan(_) => Some(NextProtocol::Ethernet),
        }
    }
}

impl NextProtocol {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 1,
            Self::Ipv6 => 2,
            Self::Ethernet => 3,
            Self::Nsh => 4,
            Self::Shim(number) | Self::Other(number) => number,
        }
    }

    /// The protocol of a number on the wire.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Ipv4,
            2 => Self::Ipv6,
            3 => Self::Ethernet,
            4 => Self::Nsh,
            0x80.. => Self::Shim(number),
            _ => Self::Other(number),
        }
    }
}

/// Steps over the shim headers at the start of `packet`, which come before anything else (RFC
/// 9305 §3), and returns what follows them. More than eight are refused.
pub fn skip_shims(next: NextProtocol, packet: &[u8]) -> Result<(NextProtocol, &[u8]), Error> {
    const SHIMS_MAX: usize = 8;
    let mut next = next;
    let mut r = Reader::new(packet);
    for _ in 0..=SHIMS_MAX {
        if !matches!(next, NextProtocol::Shim(_)) {
            return Ok((next, r.rest()));
        }
        let [_, length, _, number] = r.array("shim header")?;
        r.bytes(usize::from(length) * 4, "shim header")?;
        next = NextProtocol::from_number(number);
    }
    Err(Error::Refused("more than 8 shim headers"))
}

/// The last eight bits of `word`.
const fn low_octet(word: u32) -> u8 {
    let [.., octet] = word.to_be_bytes();
    octet
}

/// The last sixteen bits of `word`.
const fn low_half(word: u32) -> u16 {
    let [.., high, low] = word.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Vni;

    fn lisp(bytes: [u8; 8]) -> LispHeader {
        match DataHeader::from_bytes(DATA_PORT, bytes) {
            Ok(DataHeader::Lisp(header)) => header,
            other => panic!("not LISP: {other:?}"),
        }
    }

    #[test]
    fn nonce_wins_over_versions() {
        let header = lisp([0x90, 0xab, 0xcd, 0xef, 0, 0, 0, 0]);
        assert_eq!(header.nonce, NonceField::Nonce { nonce: 0x00ab_cdef, echo: false });
    }

    #[test]
    fn fields_without_their_flag_have_no_value() {
        let header = lisp([0x20, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(header, LispHeader::default(), "E needs N, the rest needs L or I");
        assert_eq!(DataHeader::Lisp(header).to_bytes(), [0; 8]);
    }

    #[test]
    fn status_bits_shrink_beside_an_instance() {
        assert_eq!(lisp([0x40, 0, 0, 0, 1, 2, 3, 4]).locator_status, Some(0x0102_0304));
        let header = lisp([0x48, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(header.locator_status, Some(4));
        assert_eq!(header.instance, InstanceId::new(0x01_0203));
    }

    #[test]
    fn gpe_ignores_the_nonce_bits() {
        let header = DataHeader::from_bytes(DATA_PORT, [0xb4, 9, 9, 1, 0, 0, 7, 0]);
        let expected = LispGpeHeader::of(InstanceId::DEFAULT, NextProtocol::Ipv4);
        assert_eq!(header, Ok(DataHeader::LispGpe(expected)));
    }

    #[test]
    fn vxlan_needs_what_it_is_for() {
        let decode = DataHeader::from_bytes;
        assert_eq!(decode(VXLAN_PORT, [0; 8]), Err(Error::Refused("VXLAN without VNI")));
        assert_eq!(
            decode(VXLAN_GPE_PORT, [0x1c, 0, 0, 1, 0, 0, 7, 0]),
            Err(Error::Invalid("VXLAN-GPE version", 1))
        );
        assert_eq!(
            decode(VXLAN_GPE_PORT, [0x08, 0, 0, 1, 0, 0, 7, 0]),
            Err(Error::Refused("VXLAN-GPE without next protocol"))
        );
        assert_eq!(decode(4342, [0; 8]), Err(Error::Invalid("data port", 4342)));
    }

    #[test]
    fn vxlan_carries_a_group() {
        let bytes = [0x88, 0x48, 0x12, 0x34, 0, 0, 7, 0];
        let header = DataHeader::from_bytes(VXLAN_PORT, bytes).unwrap();
        let policy = GroupPolicy { group: 0x1234, dont_learn: true, applied: true };
        let vni = Vni::new(7).unwrap();
        assert_eq!(header, DataHeader::Vxlan(VxlanHeader { vni, policy: Some(policy) }));
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(header.instance(), InstanceId::new(7).unwrap());
    }

    #[test]
    fn shims_are_stepped_over() {
        let two = [0, 1, 0, 0x81, 9, 9, 9, 9, 0, 0, 0, 1, 0x45];
        assert_eq!(
            skip_shims(NextProtocol::Shim(0x80), &two),
            Ok((NextProtocol::Ipv4, [0x45].as_slice()))
        );
        assert_eq!(
            skip_shims(NextProtocol::Shim(0x80), &two[..6]),
            Err(Error::Truncated("shim header"))
        );
        assert_eq!(
            skip_shims(NextProtocol::Shim(0x80), &[0, 0, 0, 0x80].repeat(9)),
            Err(Error::Refused("more than 8 shim headers"))
        );
    }
}
