//! The headers of VXLAN-GPE and VXLAN with group policy (RFC 7348 §5 and drafts).

use super::{DataHeader, NextProtocol, low_half, low_octet};
use crate::addr::Vni;
use crate::wire::{Error, bit, flag};

/// The VXLAN-GPE header, version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VxlanGpeHeader {
    /// What follows.
    pub next: NextProtocol,
    /// I: the network.
    pub vni: Option<Vni>,
    /// B: a frame for many receivers.
    pub bum: bool,
    /// O: not for a host, but about the tunnel.
    pub oam: bool,
}

/// The VXLAN header (RFC 7348 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VxlanHeader {
    /// The network.
    pub vni: Vni,
    /// G: the group of the source (VXLAN group policy draft).
    pub policy: Option<GroupPolicy>,
}

/// The group policy extension of VXLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPolicy {
    /// Group Policy ID, elsewhere called security group tag.
    pub group: u16,
    /// D: do not learn the source.
    pub dont_learn: bool,
    /// A: policy was applied already.
    pub applied: bool,
}

impl VxlanGpeHeader {
    /// A header that says nothing but the network and what follows.
    pub const fn of(vni: Vni, next: NextProtocol) -> Self {
        Self { next, vni: Some(vni), bum: false, oam: false }
    }

    pub(super) const fn read(first: u32, second: u32) -> Result<DataHeader, Error> {
        let version = first >> 28 & 3;
        if version != 0 {
            return Err(Error::Invalid("VXLAN-GPE version", version as u64));
        }
        if !bit(first, 5) {
            return Err(Error::Refused("VXLAN-GPE without next protocol"));
        }
        Ok(DataHeader::VxlanGpe(Self {
            next: NextProtocol::from_number(low_octet(first)),
            vni: if bit(first, 4) { Vni::new(second >> 8) } else { None },
            bum: bit(first, 6),
            oam: bit(first, 7),
        }))
    }

    pub(super) const fn words(self) -> (u32, u32) {
        let (instance, second) = match self.vni {
            Some(vni) => (flag(4, true), vni.get() << 8),
            None => (0, 0),
        };
        let flags = instance | flag(5, true) | flag(6, self.bum) | flag(7, self.oam);
        (flags | self.next.number() as u32, second)
    }
}

impl VxlanHeader {
    pub(super) const fn read(first: u32, second: u32) -> Result<DataHeader, Error> {
        match Vni::new(second >> 8) {
            Some(vni) if bit(first, 4) => {
                let policy = if bit(first, 0) {
                    Some(GroupPolicy {
                        group: low_half(first),
                        dont_learn: bit(first, 9),
                        applied: bit(first, 12),
                    })
                } else {
                    None
                };
                Ok(DataHeader::Vxlan(Self { vni, policy }))
            }
            _ => Err(Error::Refused("VXLAN without VNI")),
        }
    }

    pub(super) const fn words(self) -> (u32, u32) {
        let policy = match self.policy {
            Some(policy) => {
                flag(0, true)
                    | flag(9, policy.dont_learn)
                    | flag(12, policy.applied)
                    | policy.group as u32
            }
            None => 0,
        };
        (flag(4, true) | policy, self.vni.get() << 8)
    }
}
