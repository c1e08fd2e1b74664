//! A lab, resolved: what every name refers to is known to exist, addresses have lengths, default
//! routes have gateways. Everything after reading the file works on this.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::check::Check;

/// One lab.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Short and unique on this machine; part of every namespace's name.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// The file it was read from.
    pub file: PathBuf,
    /// Its text, with the words of its matrix filled in.
    pub text: String,
    /// The links, by name.
    pub links: Vec<Link>,
    /// The nodes, by name.
    pub nodes: Vec<Node>,
    /// The checks, in the order of the file.
    pub checks: Vec<Check>,
    /// Links recorded from the start of the lab.
    pub record: Vec<String>,
}

/// A layer-2 network: a bridge, or one of our own wires when it is impaired.
#[derive(Debug, Clone)]
pub struct Link {
    /// Also the name of each attached node's interface.
    pub name: String,
    /// The subnets used on it.
    pub subnets: Vec<Subnet>,
    /// Largest packet, in octets.
    pub mtu: Option<u16>,
    /// Present when the link is a wire.
    pub wire: Option<Impairment>,
}

/// How bad a wire is.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Impairment {
    /// One-way delay.
    pub delay: Duration,
    /// Percent of frames lost.
    pub loss: f64,
    /// Bits a second towards each end; unlimited without.
    pub rate: Option<f64>,
    /// Frames that may wait for the rate, per end.
    pub queue: usize,
    /// Decides which frames are lost.
    pub seed: u64,
}

impl Default for Impairment {
    fn default() -> Self {
        Self { delay: Duration::ZERO, loss: 0.0, rate: None, queue: 1000, seed: 1 }
    }
}

/// A machine: one network namespace.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name, also its host name.
    pub name: String,
    /// What runs in it.
    pub kind: Kind,
    /// Its interfaces.
    pub attachments: Vec<Attachment>,
    /// Its routes beyond the connected ones.
    pub routes: Vec<Route>,
    /// Written before anything starts.
    pub sysctls: Vec<(String, String)>,
    /// Files beside the configuration: name and content.
    pub files: Vec<(String, String)>,
    /// Added to the environment of its process.
    pub environment: BTreeMap<String, String>,
}

/// What runs in a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The router under test, with its configuration.
    Weft {
        /// The text of `weft.toml`.
        config: String,
    },
    /// A plain host.
    Host,
    /// The kernel forwards.
    Router,
    /// Any other process.
    Command {
        /// Given to `sh -c`.
        command: String,
        /// A command that succeeds once the process is ready.
        ready: Option<String>,
    },
}

/// One interface of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The link, and the name of the interface.
    pub link: String,
    /// Addresses with the length of their subnet.
    pub addresses: Vec<Subnet>,
}

/// A static route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to; length 0 is the default route.
    pub to: Subnet,
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The link to use, when the next hop does not say it.
    pub link: Option<String>,
    /// Lower is preferred.
    pub metric: Option<u32>,
}

/// An address and the length of its subnet, `10.0.0.2/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The address; host bits are kept.
    pub address: IpAddr,
    /// Length of the prefix, in bits.
    pub length: u8,
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Topology {
    /// The node with that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The link with that name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The nodes attached to a link.
    pub fn attached<'a>(&'a self, link: &'a str) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().filter(move |node| node.attachment(link).is_some())
    }

    /// The name of a node's or link's namespace.
    pub fn namespace(&self, name: &str) -> String {
        format!("{}{name}", namespace_prefix(&self.name))
    }
}

/// What the names of all namespaces of a lab begin with. The dot ends the lab's name, so that no
/// lab's prefix begins another's.
pub fn namespace_prefix(lab: &str) -> String {
    format!("weft-{lab}.")
}

impl Node {
    /// The node's interface on a link.
    pub fn attachment(&self, link: &str) -> Option<&Attachment> {
        self.attachments.iter().find(|attachment| attachment.link == link)
    }

    /// The node's first address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.attachments
            .iter()
            .flat_map(|attachment| &attachment.addresses)
            .map(|subnet| subnet.address)
            .find(|address| Family::of(*address) == family)
    }

    /// Does the kernel forward packets here?
    pub fn forwards(&self) -> bool {
        !matches!(self.kind, Kind::Host)
    }
}

impl Subnet {
    /// Parses `10.0.0.0/24`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let subnet = Self { address: address.parse().ok()?, length: length.parse().ok()? };
        (subnet.length <= subnet.bits()).then_some(subnet)
    }

    /// Everything of a family.
    pub fn everything(family: Family) -> Self {
        let address = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { address, length: 0 }
    }

    /// Is an address inside?
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(self.address) == Family::of(address)
            && self.network() == Self { address, length: self.length }.network()
    }

    /// The `n`th address of the subnet; nothing beyond its end.
    pub fn nth(&self, n: u32) -> Option<IpAddr> {
        let host_bits = self.bits() - self.length;
        if host_bits < 32 && u64::from(n) >= 1_u64 << host_bits {
            return None;
        }
        let value = self.network() | u128::from(n);
        Some(match self.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(value).ok()?)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(value)),
        })
    }

    fn bits(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The address as a number, host bits zero.
    fn network(&self) -> u128 {
        let value = match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let host_bits = u32::from(self.bits() - self.length);
        value.checked_shr(host_bits).and_then(|v| v.checked_shl(host_bits)).unwrap_or(0)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn a_subnet_contains_what_shares_its_leading_bits() {
        assert!(subnet("10.0.0.0/24").contains("10.0.0.77".parse().unwrap()));
        assert!(!subnet("10.0.0.0/24").contains("10.0.1.1".parse().unwrap()));
        assert!(subnet("0.0.0.0/0").contains("10.0.1.1".parse().unwrap()));
        assert!(subnet("fd00::/64").contains("fd00::9".parse().unwrap()));
        assert!(!subnet("::/0").contains("10.0.1.1".parse().unwrap()));
    }

    #[test]
    fn addresses_are_counted_from_the_start_of_the_subnet() {
        assert_eq!(subnet("10.1.0.9/16").nth(258), Some("10.1.1.2".parse().unwrap()));
        assert_eq!(subnet("10.1.0.0/30").nth(4), None);
        assert_eq!(subnet("fd00::/64").nth(u32::MAX), Some("fd00::ffff:ffff".parse().unwrap()));
    }

    #[test]
    fn a_length_beyond_the_family_is_no_subnet() {
        assert_eq!(Subnet::parse("10.0.0.0/33"), None);
        assert_eq!(Subnet::parse("fd00::/129"), None);
        assert_eq!(Subnet::parse("10.0.0.0"), None);
    }
}
