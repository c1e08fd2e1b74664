//! The probes an answer may still come to, by nonce.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use weft_fib::UplinkId;
use weft_packet::addr::Nonce;

use crate::engine::Instant;

/// An answer that comes later is of no use.
const LIFE: Duration = Duration::from_secs(10);

/// A probe that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// To whom.
    pub(super) rloc: IpAddr,
    /// Through which uplink.
    pub(super) uplink: UplinkId,
    /// From which address.
    pub(super) local: IpAddr,
    /// When.
    pub(super) sent: Instant,
}

/// Probes by nonce. Bounded by the rate of probes and how long one is remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    by_nonce: HashMap<Nonce, Probe, foldhash::fast::FixedState>,
    in_order: VecDeque<(Instant, Nonce)>,
}

impl Asked {
    /// Remembers a probe, and forgets those from long ago.
    pub(super) fn insert(&mut self, nonce: Nonce, probe: Probe) {
        while let Some(&(sent, old)) = self.in_order.front() {
            if probe.sent.since(sent) <= LIFE {
                break;
            }
            self.in_order.pop_front();
            self.by_nonce.remove(&old);
        }
        self.by_nonce.insert(nonce, probe);
        self.in_order.push_back((probe.sent, nonce));
    }

    /// The probe with this nonce.
    pub(super) fn get(&self, nonce: Nonce) -> Option<Probe> {
        self.by_nonce.get(&nonce).copied()
    }

    /// It was answered.
    pub(super) fn remove(&mut self, nonce: Nonce) {
        self.by_nonce.remove(&nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_probes_are_forgotten() {
        let mut asked = Asked::default();
        let rloc = "192.0.2.1".parse().unwrap();
        for n in 0..100_000 {
            let sent = Instant::after_start(Duration::from_millis(n));
            asked.insert(Nonce(n), Probe { rloc, uplink: UplinkId(1), local: rloc, sent });
        }
        assert!(asked.by_nonce.len() <= 10_001);
        assert!(asked.get(Nonce(80_000)).is_none());
        assert!(asked.get(Nonce(99_000)).is_some());
        asked.remove(Nonce(99_000));
        assert!(asked.get(Nonce(99_000)).is_none());
    }
}
