//! Our own end: the local uplinks as they are now, and what configured locators mean by them.

use std::net::IpAddr;
use weft_fib::{Uplink, UplinkId};
use weft_packet::lisp::{Address, Locator};

use super::config::{Place, Rloc};

/// How a datagram leaves for a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Local source address; `None` lets the kernel choose.
    pub from: Option<IpAddr>,
    /// The uplink it leaves through; `None` lets routing choose.
    pub uplink: Option<UplinkId>,
}

/// The local uplinks. One [`UplinkId`] may have an address of each family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    uplinks: Vec<Uplink>,
}

impl Local {
    /// With these uplinks.
    pub fn new(uplinks: Vec<Uplink>) -> Self {
        Self { uplinks }
    }

    /// All uplinks, working or not.
    pub fn uplinks(&self) -> &[Uplink] {
        &self.uplinks
    }

    /// True when `address` is a local RLOC.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.uplinks.iter().any(|u| u.rloc == address)
    }

    /// The uplinks that work, best first.
    pub fn working(&self) -> impl Iterator<Item = &Uplink> {
        let mut up: Vec<_> = self.uplinks.iter().filter(|u| u.up).collect();
        up.sort_by_key(|u| (u.priority, u.id, u.rloc));
        up.into_iter()
    }

    /// Addresses others may answer to: those of working uplinks, best first.
    pub fn itr_rlocs(&self) -> Vec<IpAddr> {
        self.working().map(|u| u.rloc).collect()
    }

    /// The local address to talk to `peer` from: of its family, of the best working uplink.
    pub fn source_for(&self, peer: IpAddr) -> Option<&Uplink> {
        self.working().find(|u| u.rloc.is_ipv6() == peer.is_ipv6())
    }

    /// How to reach `peer`: through the best working uplink of its family, never through one that
    /// does not work. A router without any uplink of that family leaves it to the kernel. `None`
    /// when all uplinks of the family are down.
    pub fn way_to(&self, peer: IpAddr) -> Option<Way> {
        if !self.uplinks.iter().any(|u| u.rloc.is_ipv6() == peer.is_ipv6()) {
            return Some(Way::default());
        }
        self.source_for(peer).map(|u| Way { from: Some(u.rloc), uplink: Some(u.id) })
    }

    /// How to answer from `address`, where a message came to: through the uplink that has it.
    pub fn way_from(&self, address: IpAddr) -> Way {
        let uplink = self.uplinks.iter().find(|u| u.rloc == address).map(|u| u.id);
        Way { from: (!address.is_unspecified()).then_some(address), uplink }
    }

    /// The configured locators as they stand in records now, in ascending order. Uplinks that do
    /// not work, or have no address, are left out.
    pub fn locators(&self, configured: &[Rloc]) -> Vec<Locator> {
        let mut found: Vec<_> = configured.iter().flat_map(|rloc| self.places(rloc)).collect();
        found.sort();
        found.dedup_by(|a, b| a.address == b.address);
        found
    }

    fn places(&self, rloc: &Rloc) -> Vec<Locator> {
        let (addresses, local) = match rloc.place {
            Place::Address { rloc, local } => {
                let down = local && self.uplinks.iter().any(|u| u.rloc == rloc && !u.up);
                (if down { vec![] } else { vec![rloc] }, local)
            }
            Place::Uplink(id) => (self.addresses(id), true),
        };
        addresses
            .into_iter()
            .map(|address| Locator {
                address: Address::Ip(address),
                priority: rloc.priority,
                weight: rloc.weight,
                multicast_priority: rloc.multicast_priority,
                multicast_weight: rloc.multicast_weight,
                local,
                probed: false,
                reachable: true,
            })
            .collect()
    }

    fn addresses(&self, id: UplinkId) -> Vec<IpAddr> {
        self.uplinks.iter().filter(|u| u.id == id && u.up).map(|u| u.rloc).collect()
    }
}
