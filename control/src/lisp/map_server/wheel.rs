//! When registrations are looked at: their slots by the second, so a million of them cost four
//! octets each and a renewal costs nothing. A slot that was renewed is moved when its second comes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::Instant;

/// Seconds since the router started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Second(pub(super) u32);

impl Second {
    /// The last full second before `instant`, or the one at it.
    pub(super) fn passed(instant: Instant) -> Self {
        Self(u32::try_from(instant.since_start().as_secs()).unwrap_or(u32::MAX))
    }

    /// The first full second at or behind `instant`: what ends then does not end early.
    pub(super) fn behind(instant: Instant) -> Self {
        let since = instant.since_start();
        let more = u64::from(since.subsec_nanos() > 0);
        Self(u32::try_from(since.as_secs().saturating_add(more)).unwrap_or(u32::MAX))
    }

    pub(super) fn instant(self) -> Instant {
        Instant::after_start(Duration::from_secs(u64::from(self.0)))
    }
}

/// Slots by the second in which they want to be looked at.
#[derive(Debug, Default)]
pub(super) struct Wheel(BTreeMap<Second, Vec<u32>>);

impl Wheel {
    /// Has `slot` looked at in `second`.
    pub(super) fn queue(&mut self, second: Second, slot: u32) {
        self.0.entry(second).or_default().push(slot);
    }

    /// Takes one slot whose second has come, with the second it was queued for.
    pub(super) fn due(&mut self, now: Second) -> Option<(Second, u32)> {
        let mut first = self.0.first_entry()?;
        let second = *first.key();
        if second > now {
            return None;
        }
        let slot = first.get_mut().pop();
        if first.get().is_empty() {
            first.remove();
        }
        slot.map(|slot| (second, slot))
    }

    /// The first second in which something is to be looked at.
    pub(super) fn next(&self) -> Option<Second> {
        self.0.first_key_value().map(|(second, _)| *second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_early_and_everything_once() {
        let mut wheel = Wheel::default();
        wheel.queue(Second(5), 1);
        wheel.queue(Second(5), 2);
        wheel.queue(Second(3), 3);
        assert_eq!(wheel.next(), Some(Second(3)));
        assert_eq!(wheel.due(Second(2)), None);
        assert_eq!(wheel.due(Second(4)), Some((Second(3), 3)));
        assert_eq!(wheel.due(Second(4)), None);
        let mut both = [wheel.due(Second(9)).unwrap().1, wheel.due(Second(9)).unwrap().1];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn part_of_a_second_counts_for_the_registrant() {
        let instant = Instant::after_start(Duration::from_millis(2500));
        assert_eq!((Second::passed(instant), Second::behind(instant)), (Second(2), Second(3)));
    }
}
