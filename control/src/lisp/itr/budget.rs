//! A token bucket: so many a second, some saved up for a burst.

use std::time::Duration;

use crate::engine::Instant;

/// What may be spent, counted in time: a token costs what it takes to earn one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    cost: Duration,
    /// What was saved at `counted`, and how much may be.
    saved: Duration,
    limit: Duration,
    counted: Instant,
}

impl Budget {
    /// `per_second` on average (at least one), `burst` at once. It starts full.
    pub(super) fn new(now: Instant, per_second: u32, burst: u32) -> Self {
        let cost = Duration::from_secs(1) / per_second.max(1);
        let limit = cost * burst.max(1);
        Self { cost, saved: limit, limit, counted: now }
    }

    /// Spends one if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.saved = self.limit.min(self.saved + now.since(self.counted));
        self.counted = self.counted.max(now);
        let rest = self.saved.checked_sub(self.cost);
        self.saved = rest.unwrap_or(self.saved);
        rest.is_some()
    }

    /// When `count` can be spent at once, or as many as can be saved.
    pub(super) fn ready(&self, count: u32) -> Instant {
        self.counted + (self.cost * count).min(self.limit).saturating_sub(self.saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_burst_and_then_the_rate() {
        let start = Instant::START;
        let mut budget = Budget::new(start, 10, 5);
        let spend = |budget: &mut Budget, at| (0..100).filter(|_| budget.take(at)).count();
        assert_eq!(spend(&mut budget, start), 5);
        assert_eq!(spend(&mut budget, start + Duration::from_millis(300)), 3);
        assert_eq!(spend(&mut budget, start + Duration::from_mins(1)), 5, "savings are bounded");
    }

    #[test]
    fn says_when_it_is_ready_again() {
        let start = Instant::START;
        let mut budget = Budget::new(start, 10, 5);
        while budget.take(start) {}
        let ready = budget.ready(2);
        let mut early = budget;
        assert!(!early.take(start));
        assert!(budget.take(ready) && budget.take(ready) && !budget.take(ready));
    }
}
