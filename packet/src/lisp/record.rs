//! Mapping records: an EID-prefix, how long and how to treat it, and its locators (RFC 9301 §5.4).

use super::address::{Address, Lcaf};
use crate::addr::{EidPrefix, InstanceId, Prefix};
use crate::wire::{Error, Reader, Wire, Writer, counted};
use std::net::IpAddr;
use std::time::Duration;

/// How long a record holds, in minutes as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(pub u32);

impl Ttl {
    /// Remove the mapping now; in a Map-Register: withdraw it.
    pub const REMOVE: Self = Self(0);
    /// The receiver decides (all ones).
    pub const RECEIVER_DECIDES: Self = Self(u32::MAX);

    /// As a duration; `None` where the receiver decides.
    pub fn duration(self) -> Option<Duration> {
        (self != Self::RECEIVER_DECIDES).then(|| Duration::from_secs(u64::from(self.0) * 60))
    }

    /// The least number of minutes that covers `duration`.
    pub fn from_duration(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_secs().div_ceil(60)).unwrap_or(u32::MAX - 1))
    }
}

/// What to do with packets to an EID-prefix without locators (RFC 9301 §5.4, ACT).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Action {
    /// 0: keep the entry, do not encapsulate.
    #[default]
    NoAction = 0,
    /// 1: forward as the packet is.
    NativelyForward = 1,
    /// 2: ask again for each packet, rate-limited.
    SendMapRequest = 2,
    /// 3: drop.
    DropNoReason = 3,
    /// 4: drop, a policy forbids.
    DropPolicyDenied = 4,
    /// 5: drop, an authentication failed.
    DropAuthFailure = 5,
    /// 6: unassigned in RFC 9301, seen in the field; treated as native forwarding.
    Unassigned6 = 6,
    /// 7: unassigned; treated as a drop.
    Unassigned7 = 7,
}

impl Action {
    /// The action of the low three bits of `number`.
    fn from_number(number: u16) -> Self {
        match number & 7 {
            0 => Self::NoAction,
            1 => Self::NativelyForward,
            2 => Self::SendMapRequest,
            3 => Self::DropNoReason,
            4 => Self::DropPolicyDenied,
            5 => Self::DropAuthFailure,
            6 => Self::Unassigned6,
            _ => Self::Unassigned7,
        }
    }
}

/// An EID as records carry it: an address and how many of its bits are significant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eid {
    /// Plain, or within LCAFs.
    pub address: Address,
    /// Of the innermost address; without meaning for LCAFs that carry masks of their own.
    pub mask_len: u8,
}

impl Eid {
    /// As an IP prefix in its instance; `None` for other kinds of EIDs and for instances beyond
    /// 24 bits. Bits behind the mask are cleared.
    pub fn prefix(&self) -> Option<EidPrefix> {
        let (instance, address) = match &self.address {
            Address::Ip(ip) => (InstanceId::DEFAULT, *ip),
            Address::Lcaf(lcaf) => match &**lcaf {
                Lcaf::InstanceId { instance, address: Address::Ip(ip), .. } => {
                    (InstanceId::new(*instance)?, *ip)
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(EidPrefix::new(instance, Prefix::new(address, self.mask_len)?))
    }

    /// Reads the address of an EID whose mask length came before it. Refuses a mask wider than
    /// the address, and an EID nobody understands (RFC 9306 §3).
    pub(super) fn read(r: &mut Reader<'_>, mask_len: u8) -> Result<Self, Error> {
        let address = Address::read(r)?.understood()?;
        if matches!(&address, Address::Lcaf(lcaf) if lcaf.is_unknown()) {
            return Err(Error::Refused("EID of an unknown LCAF type"));
        }
        match address.width() {
            Some(width) if usize::from(mask_len) > width => {
                Err(Error::Invalid("EID mask-len", mask_len.into()))
            }
            _ => Ok(Self { address, mask_len }),
        }
    }
}

impl From<EidPrefix> for Eid {
    /// The default instance is written without an Instance-ID LCAF.
    fn from(eid: EidPrefix) -> Self {
        Self {
            address: Address::in_instance(eid.instance, eid.prefix.address()),
            mask_len: eid.prefix.length(),
        }
    }
}

/// One locator of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator {
    /// Where.
    pub address: Address,
    /// Lower is better; 255 = not for unicast.
    pub priority: u8,
    /// Share among locators of one priority.
    pub weight: u8,
    /// Lower is better; 255 = not for joins.
    pub multicast_priority: u8,
    /// Share among locators of one multicast priority.
    pub multicast_weight: u8,
    /// L: it is the sender's own.
    pub local: bool,
    /// p: the locator this reply was probed at.
    pub probed: bool,
    /// R: the sender has a route to it; an ITR must not use it otherwise.
    pub reachable: bool,
}

impl Locator {
    /// A locator packets can be sent to, and no joins.
    pub fn unicast(rloc: IpAddr, priority: u8, weight: u8) -> Self {
        Self {
            address: Address::Ip(rloc),
            priority,
            weight,
            multicast_priority: 255,
            multicast_weight: 0,
            local: false,
            probed: false,
            reachable: true,
        }
    }
}

impl Wire for Locator {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let [priority, weight, multicast_priority, multicast_weight, _, flags] =
            r.array("locator")?;
        Ok(Self {
            priority,
            weight,
            multicast_priority,
            multicast_weight,
            local: flags & 4 != 0,
            probed: flags & 2 != 0,
            reachable: flags & 1 != 0,
            address: Address::read(r)?.understood()?,
        })
    }

    fn write(&self, w: &mut Writer) {
        let flags =
            u8::from(self.local) << 2 | u8::from(self.probed) << 1 | u8::from(self.reachable);
        let (multicast_priority, multicast_weight) =
            (self.multicast_priority, self.multicast_weight);
        w.bytes([self.priority, self.weight, multicast_priority, multicast_weight, 0, flags]);
        self.address.write(w);
    }
}

/// An EID-prefix and where it is (RFC 9301 §5.4; the same in all messages that carry mappings).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MappingRecord {
    /// What the mapping is about.
    pub eid: Eid,
    /// How long it holds.
    pub ttl: Ttl,
    /// What to do when there are no locators.
    pub action: Action,
    /// A: the answer comes from the site itself.
    pub authoritative: bool,
    /// Map-Version (RFC 9302), 12 bits; 0 = none.
    pub version: u16,
    /// In ascending order as sent, at most 255.
    pub locators: Vec<Locator>,
}

impl MappingRecord {
    /// The fewest octets a record takes.
    const LEAST: usize = 12;

    /// Reads as many records as the header said.
    pub(super) fn read_all(r: &mut Reader<'_>, count: u8) -> Result<Vec<Self>, Error> {
        r.room(count.into(), Self::LEAST, "records")?;
        let mut records = Vec::with_capacity(count.into());
        for _ in 0..count {
            records.push(Self::read(r)?);
        }
        Ok(records)
    }
}

impl Wire for MappingRecord {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let (head, eid) = RecordHead::read(r)?;
        Ok(Self {
            eid,
            ttl: head.ttl,
            action: Action::from_number(head.flags >> 13),
            authoritative: head.flags & RecordHead::AUTHORITATIVE != 0,
            version: head.version & RecordHead::VERSION,
            locators: head.locators(r)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        let (locator_count, locators) = counted(&self.locators, u8::MAX);
        let head = RecordHead {
            ttl: self.ttl,
            locator_count,
            flags: (self.action as u16) << 13 | u16::from(self.authoritative) << 12,
            version: self.version & RecordHead::VERSION,
        };
        head.write(&self.eid, w);
        w.each(locators);
    }
}

/// The words in front of the locators, the same in Map-Referral records but for a few bits.
pub(super) struct RecordHead {
    pub(super) ttl: Ttl,
    pub(super) locator_count: u8,
    /// ACT (3 bits), A, and 12 bits of which Map-Referral uses the first.
    pub(super) flags: u16,
    /// 4 bits which Map-Referral uses, then the Map-Version.
    pub(super) version: u16,
}

impl RecordHead {
    pub(super) const AUTHORITATIVE: u16 = 0x1000;
    pub(super) const VERSION: u16 = 0x0fff;

    pub(super) fn read(r: &mut Reader<'_>) -> Result<(Self, Eid), Error> {
        let ttl = Ttl(r.u32("record TTL")?);
        let [locator_count, mask_len] = r.array("Locator Count")?;
        let flags = r.u16("ACT")?;
        let version = r.u16("Map-Version Number")?;
        let eid = Eid::read(r, mask_len)?;
        Ok((Self { ttl, locator_count, flags, version }, eid))
    }

    pub(super) fn locators(&self, r: &mut Reader<'_>) -> Result<Vec<Locator>, Error> {
        r.room(self.locator_count.into(), 8, "locators")?;
        let mut locators = Vec::with_capacity(self.locator_count.into());
        for _ in 0..self.locator_count {
            locators.push(Locator::read(r)?);
        }
        Ok(locators)
    }

    pub(super) fn write(&self, eid: &Eid, w: &mut Writer) {
        w.u32(self.ttl.0).u8(self.locator_count).u8(eid.mask_len).u16(self.flags).u16(self.version);
        eid.address.write(w);
    }
}
