//! Links and addresses as the kernel reports them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use weft_packet::addr::Prefix;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// The kernel's number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Largest packet, octets.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The cable is in.
    pub carrier: bool,
    /// Carries Ethernet frames.
    pub ethernet: bool,
    /// A bridge, bond or team takes its frames.
    pub member: bool,
    /// One end of a veth pair, the other end of which is in another network namespace.
    pub peer_elsewhere: bool,
    /// A veth end: what it sends may have checksums that are still to be completed.
    pub veth: bool,
    /// What somebody noted about it.
    pub alias: Option<String>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    /// Of which interface.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Of the subnet it is in.
    pub prefix_length: u8,
    /// Past duplicate address detection, and not deprecated.
    pub usable: bool,
    /// Global scope: neither link-local nor of this host alone.
    pub global: bool,
}

impl Address {
    /// The subnet.
    pub(crate) fn subnet(&self) -> Option<Prefix> {
        Prefix::new(self.ip, self.prefix_length)
    }
}

/// All of it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// By the kernel's number.
    pub links: BTreeMap<u32, Link>,
    /// In ascending order.
    pub addresses: Vec<Address>,
    /// Interfaces, by family (`true` = IPv6), through which the mapping system has no route.
    pub unrouted: BTreeSet<(u32, bool)>,
    /// IPv6 routes of the main table out of uplinks, where there are several.
    pub underlay: BTreeSet<UnderlayRoute>,
}

/// A route of the main table out of an uplink.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnderlayRoute {
    /// The uplink's interface.
    pub interface: u32,
    /// To where.
    pub prefix: Prefix,
    /// Lower is preferred.
    pub metric: u32,
    /// The next router; `None`: directly attached.
    pub gateway: Option<IpAddr>,
}

impl Facts {
    /// The interface of that name.
    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// The addresses of an interface.
    pub(crate) fn addresses_of(&self, index: u32) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |address| address.index == index)
    }
}
