//! When packets come fast, a worker rests a moment between two batches.
//!
//! A worker that keeps up with a flood would otherwise be woken for every few packets, and the
//! switches between it and whoever wakes it cost more than the packets do. It is what the
//! interrupt moderation of a network card is for. Slower traffic never waits.

use std::time::{Duration, Instant};

/// Decides when to rest.
pub(super) struct Pace {
    /// Since when is counted.
    since: Instant,
    packets: u64,
    fast: bool,
    drained: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, packets: 0, fast: false, drained: true }
    }

    /// Counts packets or super-packets taken from a queue, and whether it is empty now.
    pub(super) fn took(&mut self, packets: usize, drained: bool) {
        self.packets += packets as u64;
        self.drained &= drained;
    }

    /// Ends a round over all queues. Gives how long to rest before the next, if at all: a worker
    /// that is behind does not.
    pub(super) fn end_round(&mut self, now: Instant) -> Option<Duration> {
        let elapsed = now.duration_since(self.since);
        if elapsed >= WINDOW {
            let rest = u128::from(self.packets) * REST.as_nanos();
            self.fast = rest >= u128::from(WORTH_A_REST) * elapsed.as_nanos();
            (self.since, self.packets) = (now, 0);
        }
        let drained = std::mem::replace(&mut self.drained, true);
        (self.fast && drained).then_some(REST)
    }
}

/// How long packets may gather: less than what a busy CPU delays them anyway.
const REST: Duration = Duration::from_micros(50);
/// Packets that must be expected during a rest.
const WORTH_A_REST: u32 = 4;
/// The rate is measured over at least so long.
const WINDOW: Duration = Duration::from_millis(1);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
mod tests {
    use super::*;

    /// Rests taken in 20 ms when every `gap` a round takes `packets`.
    fn rests(gap: Duration, packets: usize, drained: bool) -> usize {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let rounds = Duration::from_millis(20).as_nanos() / gap.as_nanos();
        (0..rounds)
            .filter(|_| {
                now += gap;
                pace.took(packets, drained);
                pace.end_round(now).is_some()
            })
            .count()
    }

    #[test]
    fn only_fast_traffic_rests() {
        let micros = Duration::from_micros;
        assert!(rests(micros(10), 2, true) > 1800, "200,000 packets a second");
        assert_eq!(rests(micros(50), 1, true), 0, "a conversation of 20,000 packets a second");
        assert_eq!(rests(micros(1000), 1, true), 0);
    }

    #[test]
    fn a_worker_that_is_behind_does_not_rest() {
        assert_eq!(rests(Duration::from_micros(10), 32, false), 0);
    }

    #[test]
    fn the_end_of_a_flood_is_noticed() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        pace.took(10_000, true);
        now += WINDOW;
        assert_eq!(pace.end_round(now), Some(REST));
        now += 2 * WINDOW;
        pace.took(1, true);
        assert_eq!(pace.end_round(now), None);
    }
}
