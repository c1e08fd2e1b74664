//! Traffic between nodes: pings, TCP transfers, UDP flows, storms. It is made by threads of the
//! runner whose sockets were opened inside the nodes' namespaces, so nothing needs to be installed
//! in a node, and every packet is accounted for.

mod icmp;
mod ping;
mod storm;
mod tcp;
mod udp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

pub use ping::{Ping, TooBig};
pub use storm::Storm;
pub use tcp::{Amount, Tcp};
pub use udp::UdpFlows;

use crate::network::Network;
use crate::wait::Interrupted;

/// One piece of traffic.
#[derive(Debug, Clone)]
pub enum Traffic {
    /// Echo requests at a steady pace.
    Ping(Ping),
    /// One connection and a checked transfer.
    Tcp(Tcp),
    /// Many flows, counted one by one.
    UdpFlows(UdpFlows),
    /// One packet to each of many destinations.
    Storm(Storm),
}

/// What traffic has shown.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Why it is not as it should be; empty means passed.
    pub failures: Vec<String>,
    /// In a few words, for people.
    pub summary: String,
    /// The same in numbers, for programs: `sent`, `lost`, `outage-ms`, `mbit-per-second`, …
    pub figures: BTreeMap<&'static str, f64>,
    /// The longest time without an answer, where that is known.
    pub outage: Option<Duration>,
}

/// How long traffic goes on, as seen by those who run it in the background.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    flowing: AtomicBool,
    keep_on: AtomicBool,
    stop: AtomicBool,
    /// Counts the moments from which recovery is measured.
    epoch: AtomicU32,
    /// Traffic sent in this epoch has been answered.
    recovered: AtomicU32,
}

/// Traffic could not be made at all, for a reason of this machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket could not be opened or used.
    #[error("{what}: {source}")]
    Socket {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The user wants to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Traffic {
    /// Sends, receives, and judges.
    ///
    /// # Errors
    /// When sockets fail; lost packets are no error but part of the outcome.
    pub fn run(&self, network: &Network, control: &Control) -> Result<Outcome, Error> {
        match self {
            Self::Ping(ping) => ping.run(network, control),
            Self::Tcp(tcp) => tcp.run(network, control),
            Self::UdpFlows(flows) => flows.run(network, control),
            Self::Storm(storm) => storm.run(network, control),
        }
    }

    /// The word it is written with in a lab file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ping(_) => "ping",
            Self::Tcp(_) => "tcp",
            Self::UdpFlows(_) => "udp-flows",
            Self::Storm(_) => "storm",
        }
    }
}

impl Control {
    /// Traffic that goes on, beyond its own count, until it is told to finish.
    pub fn kept_on() -> Self {
        let control = Self::default();
        control.0.keep_on.store(true, Ordering::Relaxed);
        control
    }

    /// Has the first answer arrived?
    pub fn is_flowing(&self) -> bool {
        self.0.flowing.load(Ordering::Acquire)
    }

    /// From now on only what is sent later shows that traffic flows again.
    pub fn begin_recovery(&self) {
        self.0.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Is what was sent after `begin_recovery` being answered?
    pub fn has_recovered(&self) -> bool {
        self.0.recovered.load(Ordering::Acquire) == self.epoch()
    }

    /// End as soon as the traffic's own count is reached.
    pub fn finish(&self) {
        self.0.keep_on.store(false, Ordering::Release);
    }

    /// End now.
    pub fn stop(&self) {
        self.finish();
        self.0.stop.store(true, Ordering::Release);
    }

    fn answered(&self) {
        self.0.flowing.store(true, Ordering::Release);
    }

    fn epoch(&self) -> u32 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// What was sent in `epoch` is being answered.
    fn recovered(&self, epoch: u32) {
        self.0.recovered.fetch_max(epoch, Ordering::AcqRel);
    }

    /// May traffic that has reached its own count end?
    fn may_finish(&self) -> bool {
        !self.0.keep_on.load(Ordering::Acquire)
    }

    fn stopped(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }
}

/// Adds what was being done to an I/O error.
fn socket<T>(what: impl Into<String>, result: std::io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::Socket { what: what.into(), source })
}
