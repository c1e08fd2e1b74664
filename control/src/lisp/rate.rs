//! Rate limits with bounded memory (RFC 9301 §5.3, §5.4, §6.1, §9).
//!
//! A bucket is the time at which it will be full again; that is all a token bucket has to know.

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::time::Duration;

use weft_packet::addr::Prefix;

use crate::engine::{Instant, Random};

/// One event each `period`, `burst` of them at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) period: Duration,
    pub(super) burst: u32,
}

impl Rate {
    /// So many a second (at least one), and all of them at once.
    pub(super) fn per_second(count: u32) -> Self {
        let burst = count.max(1);
        Self { period: Duration::from_secs(1) / burst, burst }
    }
}

/// How much of a [`Rate`] is used up. It starts full.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Takes one token if there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let free = self.ready(rate, 1) <= now;
        if free {
            self.full_at = self.full_at.max(now) + rate.period;
        }
        free
    }

    /// When there will be `count` tokens, or as many as the bucket holds.
    pub(super) fn ready(&self, rate: Rate, count: u32) -> Instant {
        self.full_at - rate.period * rate.burst.saturating_sub(count)
    }
}

/// A bucket for each key, in a table of fixed size: keys that fall together share one. Which do
/// is secret, so nobody can aim at another's bucket.
#[derive(Debug)]
pub(super) struct Limiter {
    /// `None`: as much as they like.
    rate: Option<Rate>,
    hasher: FixedState,
    buckets: Vec<Bucket>,
}

impl Limiter {
    pub(super) fn new(rate: Rate, random: &mut Random) -> Self {
        let hasher = FixedState::with_seed(random.u64());
        Self { rate: Some(rate), hasher, buckets: vec![Bucket::default(); BUCKETS] }
    }

    /// Sets what is allowed for each key from now on.
    pub(super) fn set(&mut self, rate: Option<Rate>) {
        self.rate = rate;
    }

    /// Whether one more is allowed for `key`; counts it if so.
    pub(super) fn admit(&mut self, key: impl Hash, now: Instant) -> bool {
        let Some(rate) = self.rate else { return true };
        let index = self.hasher.hash_one(key) % BUCKETS as u64;
        let bucket = usize::try_from(index).ok().and_then(|i| self.buckets.get_mut(i));
        bucket.is_none_or(|bucket| bucket.take(rate, now))
    }
}

/// Who counts as one asker: everybody in a /24 or /48, for whoever has one address there has them
/// all.
pub(super) fn network(source: IpAddr) -> Prefix {
    let length = if source.is_ipv6() { 48 } else { 24 };
    Prefix::new(source, length).unwrap_or(Prefix::host(source))
}

/// Map-Requests a network may send to a Map-Server or Map-Resolver each second where nothing else
/// is said.
pub(super) const REQUESTS_PER_SECOND: u32 = 10_000;

/// 64 KiB of them.
const BUCKETS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn limiter(rate: Rate) -> Limiter {
        Limiter::new(rate, &mut Random::new([1; 32]))
    }

    #[test]
    fn burst_then_one_each_period() {
        let rate = Rate { period: Duration::from_secs(3), burst: 2 };
        let mut bucket = Bucket::default();
        let taken: Vec<_> = (100..110).filter(|&s| bucket.take(rate, at(s))).collect();
        assert_eq!(taken, [100, 101, 103, 106, 109], "two at once, then one each three seconds");
        let mut bucket = Bucket::default();
        assert!(bucket.take(rate, at(100)) && bucket.take(rate, at(100)));
        assert!(!bucket.take(rate, at(100)));
        assert_eq!(bucket.ready(rate, 1), at(103));
    }

    #[test]
    fn says_when_several_can_be_taken_at_once() {
        let rate = Rate { period: Duration::from_secs(1), burst: 5 };
        let mut bucket = Bucket::default();
        while bucket.take(rate, at(100)) {}
        let ready = bucket.ready(rate, 2);
        assert_eq!(ready, at(102));
        assert_eq!((0..9).filter(|_| bucket.take(rate, ready)).count(), 2);
        assert_eq!(bucket.ready(rate, 99), at(107), "no more than it holds");
        assert_eq!((0..9).filter(|_| bucket.take(rate, at(500))).count(), 5, "savings are bounded");
    }

    #[test]
    fn keys_do_not_share_what_they_may() {
        let mut limiter = limiter(Rate { period: Duration::from_secs(3), burst: 1 });
        let admitted = (0..20).filter(|key| limiter.admit(key, at(5))).count();
        assert!(admitted >= 18, "{admitted} of 20 keys");
        assert!(!limiter.admit(0, at(5)));
        limiter.set(None);
        assert!(limiter.admit(0, at(5)));
    }

    #[test]
    fn network_shares_a_second_of_tokens_and_gets_them_back() {
        let mut limiter = limiter(Rate::per_second(10));
        let mut ask = |address: [u8; 4], millis| {
            limiter
                .admit(network(address.into()), Instant::after_start(Duration::from_millis(millis)))
        };
        assert_eq!((0..50).filter(|host| ask([192, 0, 2, *host], 5000)).count(), 10);
        assert!(ask([192, 0, 3, 1], 5000), "another network");
        assert!(!ask([192, 0, 2, 1], 5099));
        assert!(ask([192, 0, 2, 1], 5100));
        assert!(!ask([192, 0, 2, 1], 5100));
    }
}
