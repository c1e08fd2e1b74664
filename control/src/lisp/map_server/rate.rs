//! How much each source may ask: a token bucket for every /24 or /48, in bounded memory
//! (the limits RFC 9301 §9 asks for against floods).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::FixedState;
use weft_packet::addr::Prefix;

use crate::engine::Instant;

/// Token buckets by source network.
#[derive(Debug)]
pub(in crate::lisp) struct Rate {
    /// Per second and source; `None`: as much as they like.
    limit: Option<u32>,
    buckets: HashMap<Prefix, Bucket, FixedState>,
    /// Of all sources there is no room for.
    others: Bucket,
    swept: Instant,
}

/// Each token is worth `1 / limit` of a second; the bucket holds one second's.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// The bucket is full again at.
    full: Instant,
}

impl Rate {
    /// With the usual limit. `seed` keeps others from choosing sources that collide.
    pub(in crate::lisp) fn new(seed: u64) -> Self {
        Self {
            limit: Some(REQUESTS_PER_SECOND),
            buckets: HashMap::with_hasher(FixedState::with_seed(seed)),
            others: Bucket::default(),
            swept: Instant::START,
        }
    }

    /// Sets what a source may send each second.
    pub(in crate::lisp) fn set(&mut self, limit: Option<u32>) {
        self.limit = limit;
    }

    /// Takes one token of `source`; false when it has none left.
    pub(in crate::lisp) fn admit(&mut self, source: IpAddr, now: Instant) -> bool {
        let Some(limit) = self.limit else { return true };
        let network = Prefix::new(source, if source.is_ipv6() { 48 } else { 24 })
            .unwrap_or(Prefix::host(source));
        if !self.buckets.contains_key(&network) && self.buckets.len() >= SOURCES {
            self.sweep(now);
        }
        let room = self.buckets.len() < SOURCES;
        let bucket = match self.buckets.get_mut(&network) {
            Some(bucket) => bucket,
            None if room => self.buckets.entry(network).or_default(),
            None => &mut self.others,
        };
        bucket.take(limit, now)
    }

    /// Forgets sources whose buckets are full, at most once a second.
    fn sweep(&mut self, now: Instant) {
        if now.since(self.swept) >= Duration::from_secs(1) {
            self.swept = now;
            self.buckets.retain(|_, bucket| bucket.full > now);
        }
    }
}

impl Bucket {
    fn take(&mut self, limit: u32, now: Instant) -> bool {
        let token = Duration::from_secs(1) / limit.max(1);
        let full = self.full.max(now) + token;
        let may = full.since(now) <= Duration::from_secs(1);
        if may {
            self.full = full;
        }
        may
    }
}

/// What a source may ask each second where nothing else is said.
const REQUESTS_PER_SECOND: u32 = 10_000;
/// Sources told apart.
const SOURCES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    fn ip(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
        IpAddr::from([a, b, c, d])
    }

    #[test]
    fn network_shares_a_second_of_tokens_and_gets_them_back() {
        let mut rate = Rate::new(7);
        rate.set(Some(10));
        let admitted = (0..50).filter(|i| rate.admit(ip(192, 0, 2, *i), at(5000))).count();
        assert_eq!(admitted, 10);
        assert!(rate.admit(ip(192, 0, 3, 1), at(5000)), "another network");
        assert!(!rate.admit(ip(192, 0, 2, 1), at(5099)));
        assert!(rate.admit(ip(192, 0, 2, 1), at(5100)));
        assert!(!rate.admit(ip(192, 0, 2, 1), at(5100)));
    }

    #[test]
    fn memory_is_bounded_and_strangers_share() {
        let mut rate = Rate::new(7);
        rate.set(Some(1));
        let strangers = (0..70_000_u32).map(|i| IpAddr::from((i << 8).to_be_bytes()));
        let admitted = strangers.filter(|source| rate.admit(*source, at(0))).count();
        assert_eq!(rate.buckets.len(), SOURCES);
        assert_eq!(admitted, SOURCES + 1);
        assert!(rate.admit(ip(250, 0, 0, 1), at(2000)));
        assert_eq!(rate.buckets.len(), 1, "idle sources made room");
    }
}
