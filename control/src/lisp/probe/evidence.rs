//! What the data packets say: who went silent, and which pairs carry packets nobody vouches for.
//!
//! A pair vouches for itself while data comes back through it. One that only ever sends is asked
//! now and then, the longest unheard first, so that a black hole is found within seconds even
//! where answers take other ways; how many are asked in a window is fixed, so this never becomes a
//! storm.

use std::collections::BTreeMap;
use std::net::IpAddr;
use weft_fib::UplinkId;

use super::pair::{Health, Suspicion};
use super::{Prober, Timing};
use crate::engine::{Actions, Instant, Traffic};
use crate::lisp::local::Local;

/// So many RLOCs that went silent are looked into per window; the others stay for the next.
const CHECKS: usize = 25;
/// So many pairs with one-way traffic are asked per window.
const PATROL: usize = 2;

impl Prober {
    /// The data plane's running totals. Called every 500 ms while packets flow.
    pub fn traffic(&mut self, now: Instant, traffic: &[Traffic], local: &Local, out: &mut Actions) {
        self.follow(now, local);
        let touched = self.count(now, traffic);
        if let Some(timing) = self.timing {
            let silent: Vec<_> = touched
                .iter()
                .filter(|&&rloc| self.went_silent(now, rloc))
                .take(CHECKS)
                .copied()
                .collect();
            for rloc in silent {
                self.check_silent(now, rloc, out);
            }
            for (rloc, uplink) in self.unvouched(now, &touched, timing) {
                self.check(now, rloc, uplink, Suspicion::Routine, out);
            }
        }
        self.settle(now, out);
    }

    /// Takes over what was sent and received since the last window; gives the RLOCs something
    /// happened with.
    fn count(&mut self, now: Instant, traffic: &[Traffic]) -> Vec<IpAddr> {
        let mut sums: BTreeMap<IpAddr, (u64, u64)> = BTreeMap::new();
        for total in traffic {
            let Some(remote) = self.remotes.get_mut(&total.rloc) else { continue };
            let Some(pair) = remote.pair_mut(total.uplink) else { continue };
            let (sent, received) = pair.data.advance(total.sent, total.received);
            pair.data.window(now, sent, received);
            let sum = sums.entry(total.rloc).or_default();
            *sum = (sum.0.saturating_add(sent), sum.1.saturating_add(received));
        }
        sums.retain(|_, sum| *sum != (0, 0));
        for (&rloc, &(sent, received)) in &sums {
            let Some(remote) = self.remotes.get_mut(&rloc) else { continue };
            remote.data.window(now, sent, received);
            if received > 0 && !std::mem::replace(&mut remote.heard, true) {
                self.unsettled.insert(rloc);
            }
        }
        sums.into_keys().collect()
    }

    fn went_silent(&self, now: Instant, rloc: IpAddr) -> bool {
        self.remotes.get(&rloc).is_some_and(|remote| {
            remote.data.went_silent(now) || remote.pairs.iter().any(|p| p.data.went_silent(now))
        })
    }

    /// Asks through the pairs that fell silent; through all where nothing comes from the RLOC.
    fn check_silent(&mut self, now: Instant, rloc: IpAddr, out: &mut Actions) {
        let Some(remote) = self.remotes.get_mut(&rloc) else { return };
        let all = remote.data.went_silent(now);
        if all {
            remote.data.acknowledge();
        }
        let mut silent = Vec::new();
        for pair in &mut remote.pairs {
            if all || pair.data.went_silent(now) {
                pair.data.acknowledge();
                silent.push(pair.uplink);
            }
        }
        for uplink in silent {
            self.check(now, rloc, uplink, Suspicion::Silence, out);
        }
    }

    /// Pairs that carry packets though for two retry intervals neither data nor an answer came
    /// back through them; the longest silent first.
    fn unvouched(
        &self,
        now: Instant,
        touched: &[IpAddr],
        timing: Timing,
    ) -> Vec<(IpAddr, UplinkId)> {
        let mut found = Vec::new();
        for &rloc in touched {
            let pairs = self.remotes.get(&rloc).map_or(&[][..], |remote| &remote.pairs);
            let unasked = pairs.iter().filter(|pair| pair.health == Health::Up);
            for pair in unasked.filter(|pair| pair.data.is_one_way(now)) {
                let vouched = pair.last_answer.max(pair.data.received_at());
                if vouched.is_none_or(|at| now.since(at) >= timing.retry_interval * 2) {
                    found.push((vouched, rloc, pair.uplink));
                }
            }
        }
        found.sort_unstable();
        found.into_iter().take(PATROL).map(|(_, rloc, uplink)| (rloc, uplink)).collect()
    }
}
