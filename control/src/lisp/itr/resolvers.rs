//! The Map-Resolvers: which one is asked, and when another takes over.
//!
//! Each try of a question goes to the next Map-Resolver, starting with the current one. When a
//! later one answers what the current one did not, it becomes the current one: an EID nobody can
//! answer for never changes anything. Once in a while a request is sent to the first configured
//! one too; when it answers, it is back in use.

use std::net::IpAddr;
use std::time::Duration;

use super::pending::{FIRST_PATIENCE, Sent};
use crate::engine::Instant;

/// The configured Map-Resolvers, best first.
#[derive(Debug)]
pub(super) struct Resolvers {
    list: Vec<Resolver>,
    current: usize,
    /// Since the one before did not answer.
    since: Instant,
    /// When the ones before the current are tried again.
    trial: Instant,
}

/// What is known of one.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    pub(super) address: IpAddr,
    /// When something it was asked was answered last, and how long that took.
    pub(super) answered: Option<(Instant, Duration)>,
    /// Map-Requests to it, and those answered.
    pub(super) requests: u64,
    pub(super) answers: u64,
}

/// Another Map-Resolver is the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// The one before does not answer.
    Failover { from: IpAddr, to: IpAddr },
    /// A better one answers again.
    Restored(IpAddr),
}

impl Resolvers {
    pub(super) fn new(addresses: &[IpAddr]) -> Self {
        Self {
            list: addresses.iter().map(|&a| Resolver::new(a)).collect(),
            current: 0,
            since: Instant::START,
            trial: Instant::START,
        }
    }

    /// Takes a new list; what is known of those that stay is kept.
    pub(super) fn reconfigure(&mut self, addresses: &[IpAddr]) {
        let current = self.current();
        let known = |&a: &IpAddr| self.list.iter().find(|r| r.address == a).cloned();
        self.list = addresses.iter().map(|a| known(a).unwrap_or(Resolver::new(*a))).collect();
        self.current = self.list.iter().position(|r| Some(r.address) == current).unwrap_or(0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Resolver> {
        self.list.iter()
    }

    /// The one asked first.
    pub(super) fn current(&self) -> Option<IpAddr> {
        self.list.get(self.current).map(|r| r.address)
    }

    /// Whom to ask at the try after `tries` others, of those for which `reachable` holds. The
    /// second is a better one that is asked too, once in a while, to see if it is back.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        tries: u32,
        reachable: impl Fn(IpAddr) -> bool,
    ) -> (Option<IpAddr>, Option<IpAddr>) {
        let (before, from_current) = self.list.split_at(self.current.min(self.list.len()));
        let candidates: Vec<_> = from_current
            .iter()
            .chain(before)
            .map(|r| r.address)
            .filter(|&a| reachable(a))
            .collect();
        let Some(turn) = usize::try_from(tries).unwrap_or(0).checked_rem(candidates.len()) else {
            return (None, None);
        };
        let better = before.iter().map(|r| r.address).find(|&a| reachable(a));
        let trial = better.filter(|_| tries == 0 && now >= self.trial);
        if trial.is_some() {
            self.trial = now + TRIAL_INTERVAL;
        }
        (candidates.get(turn).copied(), trial)
    }

    /// Counts a Map-Request.
    pub(super) fn asked(&mut self, resolver: IpAddr) {
        if let Some(resolver) = self.list.iter_mut().find(|r| r.address == resolver) {
            resolver.requests += 1;
        }
    }

    /// An answer to `request` came; `all` are the requests of the same question.
    pub(super) fn answered(&mut self, now: Instant, request: Sent, all: &[Sent]) -> Option<Switch> {
        let index = self.list.iter().position(|r| r.address == request.resolver)?;
        let resolver = self.list.get_mut(index)?;
        resolver.answered = Some((now, now.since(request.at)));
        resolver.answers += 1;
        let in_time = now.since(request.at) < FIRST_PATIENCE;
        if index < self.current && in_time && request.at >= self.since {
            self.current = index;
            return Some(Switch::Restored(request.resolver));
        }
        let current = self.list.get(self.current)?;
        let unanswered = |s: &Sent| {
            s.resolver == current.address
                && s.at < request.at
                && current.answered.is_none_or(|(at, _)| at < s.at)
        };
        if index == self.current || !all.iter().any(unanswered) {
            return None;
        }
        let from = current.address;
        self.current = index;
        self.since = now;
        self.trial = now + TRIAL_INTERVAL;
        Some(Switch::Failover { from, to: request.resolver })
    }
}

impl Resolver {
    fn new(address: IpAddr) -> Self {
        Self { address, answered: None, requests: 0, answers: 0 }
    }
}

/// Between trials of Map-Resolvers that did not answer.
const TRIAL_INTERVAL: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;
    use weft_packet::addr::Nonce;

    const FIRST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
    const SECOND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 2));

    fn secs(s: u64) -> Instant {
        Instant::after_start(Duration::from_secs(s))
    }

    fn sent(resolver: IpAddr, at: u64) -> Sent {
        Sent { nonce: Nonce(at), resolver, at: secs(at) }
    }

    #[test]
    fn the_one_that_answers_takes_over_and_the_first_comes_back() {
        let mut resolvers = Resolvers::new(&[FIRST, SECOND]);
        assert_eq!(resolvers.choose(secs(1), 0, |_| true), (Some(FIRST), None));
        assert_eq!(resolvers.choose(secs(2), 1, |_| true), (Some(SECOND), None));
        let all = [sent(FIRST, 1), sent(SECOND, 2)];
        let failover = Switch::Failover { from: FIRST, to: SECOND };
        assert_eq!(resolvers.answered(secs(3), all[1], &all), Some(failover));
        assert_eq!(resolvers.choose(secs(4), 0, |_| true), (Some(SECOND), None));
        assert_eq!(resolvers.choose(secs(63), 0, |_| true), (Some(SECOND), Some(FIRST)));
        assert_eq!(resolvers.choose(secs(64), 0, |_| true), (Some(SECOND), None));
        let late = sent(FIRST, 1);
        assert_eq!(resolvers.answered(secs(63), late, &[late]), None, "it is slow, not back");
        let trial = sent(FIRST, 63);
        assert_eq!(resolvers.answered(secs(63), trial, &[trial]), Some(Switch::Restored(FIRST)));
    }

    #[test]
    fn an_eid_nobody_answers_for_changes_nothing() {
        let mut resolvers = Resolvers::new(&[FIRST, SECOND]);
        let dead = [sent(FIRST, 1), sent(SECOND, 2)];
        let other = sent(FIRST, 2);
        assert_eq!(resolvers.answered(secs(3), other, &[other]), None);
        // The first answered others meanwhile: it lives, so the second's answer changes nothing.
        assert_eq!(resolvers.answered(secs(3), dead[1], &dead), None);
        assert_eq!(resolvers.current(), Some(FIRST));
    }

    #[test]
    fn one_without_a_way_to_it_is_passed_over() {
        let mut resolvers = Resolvers::new(&[FIRST, SECOND]);
        assert_eq!(resolvers.choose(secs(1), 0, |a| a != FIRST), (Some(SECOND), None));
        assert_eq!(resolvers.choose(secs(1), 0, |_| false), (None, None));
        assert_eq!(Resolvers::new(&[]).choose(secs(1), 0, |_| true), (None, None));
    }

    #[test]
    fn a_new_list_keeps_the_current_one() {
        let mut resolvers = Resolvers::new(&[FIRST, SECOND]);
        let all = [sent(FIRST, 1), sent(SECOND, 2)];
        resolvers.answered(secs(3), all[1], &all);
        resolvers.reconfigure(&[SECOND, FIRST]);
        assert_eq!(resolvers.current(), Some(SECOND));
        resolvers.reconfigure(&[FIRST]);
        assert_eq!(resolvers.current(), Some(FIRST));
    }
}
