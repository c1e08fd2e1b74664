//! What was carried: counts of entries and of locator pairs.
//!
//! A counter is shared by both copies of the published tables and by the control side, so counts
//! survive every publication and recompilation. Additions are relaxed; a reader sees each count
//! whole, but two counts read together may be of slightly different moments.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::UplinkId;

/// How much an entry carried since its prefix got one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageCount {
    /// Packets.
    pub packets: u64,
    /// Octets of inner packets.
    pub bytes: u64,
}

/// What went between a local uplink and a remote locator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairCount {
    /// The local uplink.
    pub uplink: UplinkId,
    /// Its address now.
    pub local: IpAddr,
    /// The remote locator.
    pub rloc: IpAddr,
    /// Packets encapsulated to it.
    pub sent: u64,
    /// Packets decapsulated that came from it.
    pub received: u64,
}

/// Counts what an entry carries: what is behind [`UsageCount`].
#[derive(Debug, Default)]
pub struct Usage {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Usage {
    /// Adds packets and the octets of them.
    pub fn add(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// What was added so far.
    pub fn count(&self) -> UsageCount {
        UsageCount { packets: self.packets.load(Relaxed), bytes: self.bytes.load(Relaxed) }
    }
}

/// Counts what goes between a local uplink and a remote locator: what is behind [`PairCount`].
/// The remote locator is known to its holder.
#[derive(Debug)]
pub struct Pair {
    pub(crate) uplink: UplinkId,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

impl Pair {
    pub(crate) fn new(uplink: UplinkId) -> Self {
        Self { uplink, sent: AtomicU64::new(0), received: AtomicU64::new(0) }
    }

    /// Adds packets encapsulated to the locator.
    pub fn send(&self, packets: u64) {
        self.sent.fetch_add(packets, Relaxed);
    }

    /// Adds packets that came from it.
    pub fn receive(&self, packets: u64) {
        self.received.fetch_add(packets, Relaxed);
    }

    /// The counts under the addresses of both ends; `None` while nothing went either way.
    pub(crate) fn count(&self, local: IpAddr, rloc: IpAddr) -> Option<PairCount> {
        let (sent, received) = (self.sent.load(Relaxed), self.received.load(Relaxed));
        (sent != 0 || received != 0).then_some(PairCount {
            uplink: self.uplink,
            local,
            rloc,
            sent,
            received,
        })
    }
}

/// One of our addresses, and the counter of what goes between it and a remote locator.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address.
    pub local: IpAddr,
    /// The counter.
    pub pair: Arc<Pair>,
}
