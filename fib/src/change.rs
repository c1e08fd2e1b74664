//! What control planes say to the forwarding table.

use std::fmt;
use std::net::IpAddr;
use weft_packet::addr::{EidPrefix, Prefix};
use weft_packet::lisp;

use crate::DropReason;

/// Who says so, best first: of several answers for one key the first source's is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// EID-prefixes of our own site.
    Local,
    /// Written in the configuration.
    Static,
    /// Written as flows.
    OpenFlow,
    /// Learned from the mapping system.
    Lisp,
    /// Learned from a BGP peer.
    Bgp,
    /// What holds where nobody said anything: ask the mapping system, or forward natively.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::Static => "static",
            Self::OpenFlow => "openflow",
            Self::Lisp => "lisp",
            Self::Bgp => "bgp",
            Self::Default => "default",
        })
    }
}

/// What an entry matches: packets to an EID-prefix, of every source or of a source-prefix alone (the
/// Source/Dest Key of RFC 8060 §4.8). Of several entries that match a packet the longest EID-prefix
/// wins and, of several for that one, the longest source-prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EidKey {
    /// Where packets go.
    pub eid: EidPrefix,
    /// Where they come from, a prefix of the same family; `None` = from anywhere.
    pub from: Option<Prefix>,
}

impl From<EidPrefix> for EidKey {
    fn from(eid: EidPrefix) -> Self {
        Self { eid, from: None }
    }
}

impl fmt::Display for EidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            None => self.eid.fmt(f),
            Some(from) => write!(f, "{} from {from}", self.eid),
        }
    }
}

/// Names a path group; chosen by the source that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// Names a local uplink: the interface and address a packet leaves from. Chosen by the daemon,
/// stable while the router runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UplinkId(pub u16);

/// What to do with packets to a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// An EID of ours: decapsulated packets to it are delivered.
    Local,
    /// Encapsulate towards a locator of this group.
    Encapsulate(GroupId),
    /// Forward as the packet is.
    Native,
    /// Drop, and count why.
    Drop(DropReason),
    /// Hold the packet and ask the control plane (a punt).
    Resolve,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.pad("local"),
            Self::Encapsulate(group) => f.pad(&format!("encapsulate to group {}", group.0)),
            Self::Native => f.pad("native"),
            Self::Drop(reason) => f.pad(&format!("drop ({reason})")),
            Self::Resolve => f.pad("resolve"),
        }
    }
}

/// How a packet is wrapped. The UDP port and what stands behind it follow from this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// RFC 9300: UDP 4341, an IP packet behind the header.
    #[default]
    Lisp,
    /// RFC 9305: UDP 4341, P bit and next protocol.
    LispGpe,
    /// VXLAN-GPE: UDP 4790.
    VxlanGpe,
    /// RFC 7348: UDP 4789, an Ethernet header and the IP packet behind the header.
    Vxlan,
}

impl Encapsulation {
    /// The UDP destination port.
    pub const fn port(self) -> u16 {
        match self {
            Self::Lisp | Self::LispGpe => lisp::DATA_PORT,
            Self::VxlanGpe => lisp::VXLAN_GPE_PORT,
            Self::Vxlan => lisp::VXLAN_PORT,
        }
    }

    /// Octets between the UDP header and the inner packet.
    pub const fn head(self) -> u16 {
        const DATA_HEADER: u16 = 8;
        const ETHERNET: u16 = 14;
        match self {
            Self::Lisp | Self::LispGpe | Self::VxlanGpe => DATA_HEADER,
            Self::Vxlan => DATA_HEADER + ETHERNET,
        }
    }

    /// Octets it adds to a packet: the outer IP header, the UDP header and what follows that.
    pub const fn overhead(self, rloc: IpAddr) -> u16 {
        const UDP: u16 = 8;
        let ip = match rloc {
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) => 40,
        };
        ip + UDP + self.head()
    }
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lisp => "lisp",
            Self::LispGpe => "lisp-gpe",
            Self::VxlanGpe => "vxlan-gpe",
            Self::Vxlan => "vxlan",
        })
    }
}

/// One way of a path group: a remote locator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The locator.
    pub rloc: IpAddr,
    /// Lower is better; only the best usable priority carries packets. 255 carries none.
    pub priority: u8,
    /// Share within its priority; all zero means equal shares.
    pub weight: u8,
    /// How packets to it are wrapped.
    pub encapsulation: Encapsulation,
}

/// What is known of a remote locator, whatever group it is in. Unknown locators count as up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocatorState {
    /// Carries no packets while another locator of its group can.
    pub down: bool,
    /// Local uplinks it does not answer through although it answers through others.
    pub not_via: Vec<UplinkId>,
}

/// A local uplink: an address packets may leave from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its name.
    pub id: UplinkId,
    /// The local RLOC.
    pub rloc: IpAddr,
    /// The kernel's number of the interface.
    pub interface: u32,
    /// The interface's MTU, octets of an outer packet.
    pub mtu: u16,
    /// Lower is better.
    pub priority: u8,
    /// Share within its priority; all zero means equal shares.
    pub weight: u8,
    /// Carrier, route and probe evidence say it works.
    pub up: bool,
}

/// A change to the forwarding table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `source` wants packets that match `key` treated so.
    SetRoute {
        /// What to match.
        key: EidKey,
        /// Who says so.
        source: Source,
        /// How to forward.
        route: Route,
    },
    /// `source` says nothing about `key` any more.
    ClearRoute {
        /// What was matched.
        key: EidKey,
        /// Who had said so.
        source: Source,
    },
    /// Makes or replaces a path group.
    SetGroup {
        /// Which.
        id: GroupId,
        /// Its ways, in any order.
        paths: Vec<Path>,
    },
    /// Forgets a path group no route names any more.
    ClearGroup {
        /// Which.
        id: GroupId,
    },
    /// What is known of a remote locator; affects every group that contains it.
    SetLocator {
        /// Which.
        rloc: IpAddr,
        /// What is known now.
        state: LocatorState,
    },
    /// Forgets what was known of a remote locator.
    ClearLocator {
        /// Which.
        rloc: IpAddr,
    },
    /// The largest outer packet the path to a remote locator carries; `None` = not known to be
    /// less than the uplink's.
    SetPathMtu {
        /// Which locator.
        rloc: IpAddr,
        /// Octets of an outer packet.
        mtu: Option<u16>,
    },
    /// Replaces the set of local uplinks.
    SetUplinks(Vec<Uplink>),
}
