//! The headers of UDP port 4341: LISP (RFC 9300 §5.1) and LISP-GPE (RFC 9305 §3).

use super::{NextProtocol, low_half, low_octet};
use crate::addr::InstanceId;
use crate::wire::{bit, flag};

/// The LISP header (RFC 9300 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LispHeader {
    /// What the 24 bits behind the flags carry.
    pub nonce: NonceField,
    /// I: the instance; without it the default one is meant.
    pub instance: Option<InstanceId>,
    /// L: locator-status-bits, 8 of them beside an instance, else 32.
    pub locator_status: Option<u32>,
    /// KK: which key encrypts the packet, 1 to 3; 0 none (RFC 8061 §3).
    pub key_id: u8,
}

/// The use of the 24 bits behind the flags of a LISP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonceField {
    /// N = V = 0: none.
    #[default]
    Unused,
    /// N: a nonce.
    Nonce {
        /// 24 bits.
        nonce: u32,
        /// E: send it back.
        echo: bool,
    },
    /// V: the Map-Versions of both ends (RFC 9302 §4). With N set too, N counts.
    Versions {
        /// Of the mapping of the inner source, 12 bits.
        source: u16,
        /// Of the mapping of the inner destination, 12 bits.
        destination: u16,
    },
}

/// The LISP-GPE header (RFC 9305 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LispGpeHeader {
    /// What follows.
    pub next: NextProtocol,
    /// I: the instance.
    pub instance: Option<InstanceId>,
    /// L: locator-status-bits, as in [`LispHeader`].
    pub locator_status: Option<u32>,
    /// KK, as in [`LispHeader`].
    pub key_id: u8,
}

impl LispHeader {
    /// A header that says nothing but the instance.
    pub const fn of(instance: InstanceId) -> Self {
        let instance = if instance.get() == 0 { None } else { Some(instance) };
        Self { nonce: NonceField::Unused, instance, locator_status: None, key_id: 0 }
    }

    pub(super) const fn read(first: u32, second: u32) -> Self {
        let nonce = if bit(first, 0) {
            NonceField::Nonce { nonce: first & BITS_24, echo: bit(first, 2) }
        } else if bit(first, 3) {
            NonceField::Versions {
                source: low_half(first >> 12 & 0xfff),
                destination: low_half(first & 0xfff),
            }
        } else {
            NonceField::Unused
        };
        Self {
            nonce,
            instance: read_instance(first, second),
            locator_status: read_locator_status(first, second),
            key_id: low_octet(first >> 24 & 3),
        }
    }

    pub(super) const fn words(self) -> (u32, u32) {
        let nonce = match self.nonce {
            NonceField::Unused => 0,
            NonceField::Nonce { nonce, echo } => flag(0, true) | flag(2, echo) | nonce & BITS_24,
            NonceField::Versions { source, destination } => {
                flag(3, true) | (source as u32 & 0xfff) << 12 | destination as u32 & 0xfff
            }
        };
        let (flags, second) = instance_words(self.instance, self.locator_status, self.key_id);
        (nonce | flags, second)
    }
}

impl LispGpeHeader {
    /// A header that says nothing but the instance and what follows.
    pub const fn of(instance: InstanceId, next: NextProtocol) -> Self {
        let LispHeader { instance, locator_status, key_id, .. } = LispHeader::of(instance);
        Self { next, instance, locator_status, key_id }
    }

    pub(super) const fn read(first: u32, second: u32) -> Self {
        Self {
            next: NextProtocol::from_number(low_octet(first)),
            instance: read_instance(first, second),
            locator_status: read_locator_status(first, second),
            key_id: low_octet(first >> 24 & 3),
        }
    }

    pub(super) const fn words(self) -> (u32, u32) {
        let (flags, second) = instance_words(self.instance, self.locator_status, self.key_id);
        (flag(5, true) | self.next.number() as u32 | flags, second)
    }
}

const fn read_instance(first: u32, second: u32) -> Option<InstanceId> {
    if bit(first, 4) { InstanceId::new(second >> 8) } else { None }
}

const fn read_locator_status(first: u32, second: u32) -> Option<u32> {
    match (bit(first, 1), bit(first, 4)) {
        (false, _) => None,
        (true, true) => Some(second & 0xff),
        (true, false) => Some(second),
    }
}

/// The flags L, I and K, and the second word.
const fn instance_words(
    instance: Option<InstanceId>,
    locator_status: Option<u32>,
    key_id: u8,
) -> (u32, u32) {
    let flags =
        flag(1, locator_status.is_some()) | flag(4, instance.is_some()) | (key_id as u32 & 3) << 24;
    let status = match locator_status {
        Some(status) => status,
        None => 0,
    };
    match instance {
        Some(instance) => (flags, instance.get() << 8 | status & 0xff),
        None => (flags, status),
    }
}

const BITS_24: u32 = 0x00ff_ffff;
