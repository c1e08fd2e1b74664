//! The router as operators see it.

use serde::Serialize;
use weft_fib::Uplink;
use weft_packet::lisp::Locator;

use super::event::Refusal;
use super::{Lisp, etr, itr, map_resolver, map_server, probe};
use crate::engine::Instant;

/// All roles.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The local uplinks.
    pub uplinks: Vec<UplinkStatus>,
    /// The ITR, where there is one.
    pub itr: Option<itr::Status>,
    /// The ETR, where there is one.
    pub etr: Option<etr::Status>,
    /// What probes found.
    pub probing: probe::Status,
    /// The Map-Server, where there is one.
    pub map_server: Option<map_server::MapServerStatus>,
    /// The Map-Resolver, where there is one.
    pub map_resolver: Option<map_resolver::MapResolverStatus>,
    /// Messages not taken since the start.
    pub refused: Vec<RefusalStatus>,
    /// How many of these were not told as events, because there were too many at once.
    pub refused_untold: u64,
}

/// A locator of a mapping.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LocatorStatus {
    /// The RLOC.
    pub rloc: String,
    /// Lower is better; 255 carries nothing.
    pub priority: u8,
    /// Share within its priority.
    pub weight: u8,
    /// Lower is better.
    pub multicast_priority: u8,
    /// Share within its multicast priority.
    pub multicast_weight: u8,
    /// R: its site has a route to it.
    pub reachable: bool,
    /// L: it belongs to whoever said so.
    pub local: bool,
}

impl LocatorStatus {
    /// Those locators that are addresses, or have one inside.
    pub(super) fn all(locators: &[Locator]) -> Vec<Self> {
        locators.iter().filter_map(Self::new).collect()
    }

    fn new(locator: &Locator) -> Option<Self> {
        Some(Self {
            rloc: locator.address.ip()?.to_string(),
            priority: locator.priority,
            weight: locator.weight,
            multicast_priority: locator.multicast_priority,
            multicast_weight: locator.multicast_weight,
            reachable: locator.reachable,
            local: locator.local,
        })
    }
}

/// A local uplink.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UplinkStatus {
    /// Its number.
    pub uplink: u16,
    /// The local RLOC.
    pub rloc: String,
    /// The kernel's number of the interface.
    pub interface: u32,
    /// Octets of an outer packet.
    pub mtu: u16,
    /// Lower is better.
    pub priority: u8,
    /// Share within its priority.
    pub weight: u8,
    /// Carries packets.
    pub up: bool,
    /// The kernel says it works; when `up` is false nevertheless, probes say otherwise.
    pub kernel_up: bool,
}

/// Messages not taken for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusalStatus {
    /// `wrong-key`, `replayed`, …
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

impl Lisp {
    /// How everything stands.
    pub fn status(&self, now: Instant) -> Status {
        let refusal =
            |(reason, count): (Refusal, u64)| RefusalStatus { reason: reason.word(), count };
        Status {
            uplinks: self.uplink_status(),
            itr: self.itr.as_ref().map(|itr| itr.status(now)),
            etr: self.etr.as_ref().map(|etr| etr.status(now)),
            probing: self.prober.status(now),
            map_server: self.map_server.as_ref().map(map_server::MapServer::status),
            map_resolver: self.map_resolver.as_ref().map(|resolver| resolver.status(now)),
            refused: self.review.refused().map(refusal).collect(),
            refused_untold: self.review.untold(),
        }
    }

    /// How many messages were not taken since the start, told or not, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> {
        self.review.refused()
    }

    fn uplink_status(&self) -> Vec<UplinkStatus> {
        let kernel = self.uplinks.kernel().uplinks();
        let effective = self.uplinks.effective().uplinks();
        let status = |(kernel, uplink): (&Uplink, &Uplink)| UplinkStatus {
            uplink: uplink.id.0,
            rloc: uplink.rloc.to_string(),
            interface: uplink.interface,
            mtu: uplink.mtu,
            priority: uplink.priority,
            weight: uplink.weight,
            up: uplink.up,
            kernel_up: kernel.up,
        };
        kernel.iter().zip(effective).map(status).collect()
    }
}
