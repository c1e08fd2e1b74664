//! Mapping records: an EID-prefix, how long and how to treat it, and its locators (RFC 9301 §5.4).

use super::address::{Address, Lcaf};
use crate::addr::{EidPrefix, InstanceId, Prefix};
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

/// An EID as records carry it: an address and how many of its bits are significant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl Address {
    /// `ip` in `instance`; the default instance needs no LCAF.
    pub fn in_instance(instance: InstanceId, ip: IpAddr) -> Self {
        if instance == InstanceId::DEFAULT {
            return Self::Ip(ip);
        }
        Self::Lcaf(Box::new(Lcaf::InstanceId {
            mask_len: 32,
            instance: instance.get(),
            address: Self::Ip(ip),
        }))
    }

    /// The IP address, plain or within an Instance-ID or the first IP of an AFI-List.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Lcaf(lcaf) => match &**lcaf {
                Lcaf::InstanceId { address, .. } => address.ip(),
                Lcaf::AfiList(list) => list.iter().find_map(Self::ip),
                #[allow(unreachable_patterns)]
                _ => None,
            },
            _ => None,
        }
    }
}

use std::net::IpAddr;

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
    /// In ascending order as sent.
    pub locators: Vec<Locator>,
}
