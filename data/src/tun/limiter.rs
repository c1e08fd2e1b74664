//! So many events a second, and a burst of what a tenth of a second allows.

use std::time::{Duration, Instant};

/// A rate limit: the generic cell rate algorithm, which needs one instant of state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limiter {
    /// Between two events; `None` = no event at all.
    interval: Option<Duration>,
    /// When an event would be due if they came evenly.
    due: Instant,
}

impl Limiter {
    /// Allows `rate` events per second.
    pub(super) fn new(rate: u32, now: Instant) -> Self {
        Self { interval: Duration::from_secs(1).checked_div(rate), due: now }
    }

    /// Changes the rate.
    pub(super) fn set_rate(&mut self, rate: u32) {
        self.interval = Duration::from_secs(1).checked_div(rate);
    }

    /// True when an event may happen now; it is counted.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else { return false };
        let due = self.due.max(now);
        let allowed = due.duration_since(now) <= BURST;
        if allowed {
            self.due = due + interval;
        }
        allowed
    }
}

const BURST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn allows_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut limiter = Limiter::new(100, start);
        let allowed = |limiter: &mut Limiter, at| (0..1000).filter(|_| limiter.allow(at)).count();
        assert_eq!(allowed(&mut limiter, start), 11);
        assert_eq!(allowed(&mut limiter, start + Duration::from_millis(50)), 5);
        assert_eq!(allowed(&mut limiter, start + Duration::from_secs(9)), 11);
        assert_eq!(allowed(&mut Limiter::new(0, start), start), 0);
    }
}
