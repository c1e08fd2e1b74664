//! The Ethernet header in front of an IP packet in VXLAN (RFC 7348 §5).

use crate::addr::Mac;
use crate::wire::{Error, Reader};

/// An Ethernet header without VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
    /// To whom.
    pub destination: Mac,
    /// From whom.
    pub source: Mac,
    /// What follows.
    pub ether_type: EtherType,
}

/// What follows an Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtherType {
    /// 0x0800.
    Ipv4,
    /// 0x86dd.
    Ipv6,
    /// Any other number, also that of a VLAN tag.
    Other(u16),
}

impl EthernetHeader {
    /// Octets on the wire.
    pub const LEN: usize = 14;

    /// Splits a frame into header and payload.
    pub fn split(frame: &[u8]) -> Result<(Self, &[u8]), Error> {
        let mut r = Reader::new(frame);
        let header = Self {
            destination: Mac(r.array("Ethernet destination")?),
            source: Mac(r.array("Ethernet source")?),
            ether_type: EtherType::from_number(r.u16("EtherType")?),
        };
        Ok((header, r.rest()))
    }

    /// The octets on the wire.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        octets[..6].copy_from_slice(&self.destination.0);
        octets[6..12].copy_from_slice(&self.source.0);
        octets[12..].copy_from_slice(&self.ether_type.number().to_be_bytes());
        octets
    }
}

impl EtherType {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Ipv4 => 0x0800,
            Self::Ipv6 => 0x86dd,
            Self::Other(number) => number,
        }
    }

    /// What a number on the wire means.
    pub const fn from_number(number: u16) -> Self {
        match number {
            0x0800 => Self::Ipv4,
            0x86dd => Self::Ipv6,
            _ => Self::Other(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        let frame = [2, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60];
        let (header, payload) = EthernetHeader::split(&frame).unwrap();
        let destination = Mac([2, 0, 0, 0, 0, 1]);
        let source = Mac([3, 0, 0, 0, 0, 2]);
        assert_eq!(header, EthernetHeader { destination, source, ether_type: EtherType::Ipv6 });
        assert_eq!(payload, [0x60]);
        assert_eq!(header.to_bytes(), frame[..14]);
        assert!(source.is_group() && !destination.is_group());
        assert!(EthernetHeader::split(&frame[..13]).is_err());
        assert_eq!(EtherType::from_number(0x0806), EtherType::Other(0x0806), "ARP");
    }
}
