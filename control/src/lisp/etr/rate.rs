//! Rate limits with bounded memory (RFC 9301 §5.4, §6.1).
//!
//! A bucket is the time at which it will be full again; that is all a token bucket has to know.

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use crate::engine::{Instant, Random};

/// One event each `period`, `burst` of them at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) period: Duration,
    pub(super) burst: u32,
}

/// How much of a [`Rate`] is used up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Takes one token if there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let free = self.next(rate) <= now;
        if free {
            self.full_at = self.full_at.max(now) + rate.period;
        }
        free
    }

    /// When there will be a token.
    pub(super) fn next(&self, rate: Rate) -> Instant {
        self.full_at - rate.period * rate.burst.saturating_sub(1)
    }
}

/// A bucket for each key, in a table of fixed size: keys that fall together share one. Which do
/// is secret, so nobody can aim at another's bucket.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Rate,
    hasher: FixedState,
    buckets: Vec<Bucket>,
}

impl Limiter {
    pub(super) fn new(rate: Rate, random: &mut Random) -> Self {
        let hasher = FixedState::with_seed(random.u64());
        Self { rate, hasher, buckets: vec![Bucket::default(); BUCKETS] }
    }

    /// Whether one more is allowed for `key`; counts it if so.
    pub(super) fn admit(&mut self, key: impl Hash, now: Instant) -> bool {
        let index = self.hasher.hash_one(key) % BUCKETS as u64;
        let bucket = usize::try_from(index).ok().and_then(|i| self.buckets.get_mut(i));
        bucket.is_none_or(|bucket| bucket.take(self.rate, now))
    }
}

/// 32 KiB of them.
const BUCKETS: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
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
        assert_eq!(bucket.next(rate), at(103));
    }

    #[test]
    fn keys_do_not_share_what_they_may() {
        let rate = Rate { period: Duration::from_secs(3), burst: 1 };
        let mut limiter = Limiter::new(rate, &mut Random::new([1; 32]));
        let admitted = (0..20).filter(|key| limiter.admit(key, at(5))).count();
        assert!(admitted >= 18, "{admitted} of 20 keys");
        assert!(!limiter.admit(0, at(5)));
    }
}
