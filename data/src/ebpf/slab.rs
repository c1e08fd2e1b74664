//! Which records of a table are free. A record that was in use rests before it is used again:
//! a processor in the kernel may still be reading it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Gives out runs of neighbouring records. Runs are rounded up to a power of two.
#[derive(Debug)]
pub(super) struct Slab {
    /// The first record never used so far. Record 0 means "none" and is never given out.
    fresh: u32,
    /// How many records there are.
    end: u32,
    /// Records in runs that are given out.
    used: u32,
    /// The first records of free runs of 1, 2, 4 … 256.
    free: [Vec<u32>; CLASSES],
    /// Runs that rest, oldest first.
    resting: VecDeque<Resting>,
}

#[derive(Debug)]
struct Resting {
    since: Instant,
    first: u32,
    class: u8,
}

impl Slab {
    pub(super) fn new(records: u32) -> Self {
        Self {
            fresh: 1,
            end: records,
            used: 0,
            free: std::array::from_fn(|_| Vec::new()),
            resting: VecDeque::new(),
        }
    }

    /// Records without end, those beyond a table's included.
    pub(super) fn endless() -> Self {
        Self::new(ENDLESS)
    }

    /// A run of `length` records; `None` when there is none so long.
    pub(super) fn take(&mut self, length: usize) -> Option<u32> {
        let class = class(length)?;
        let first = self.recycled(class).or_else(|| self.unused(class))?;
        self.used += 1 << class;
        Some(first)
    }

    /// The first record that was never given out, nor was any behind it.
    pub(super) fn unused_from(&self) -> u32 {
        self.fresh
    }

    /// One record.
    pub(super) fn take_one(&mut self) -> Option<u32> {
        self.take(1)
    }

    /// Lets a run that nobody can reach any more rest from now on.
    pub(super) fn release(&mut self, now: Instant, first: u32, length: usize) {
        let Some(class) = class(length).filter(|_| first != 0) else { return };
        self.used = self.used.saturating_sub(1 << class);
        self.resting.push_back(Resting { since: now, first, class });
    }

    /// Gives back a run that nobody ever could reach.
    pub(super) fn give_back(&mut self, first: u32, length: usize) {
        let Some(class) = class(length) else { return };
        self.used = self.used.saturating_sub(1 << class);
        self.free[usize::from(class)].push(first);
    }

    /// Makes runs that rested long enough free.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(run) = self.resting.front() {
            if now.saturating_duration_since(run.since) < GRACE {
                break;
            }
            self.free[usize::from(run.class)].push(run.first);
            self.resting.pop_front();
        }
    }

    /// Records given out and not released, the roundings included.
    #[cfg(test)]
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// True when a table of this many records lacks some that were given out.
    pub(super) fn exceeds(&self, records: u32) -> bool {
        self.fresh > records
    }

    /// How many records, of so many octets, a table should have that is made anew instead of one
    /// with `records`. One that is more than half full would be the next to be full.
    pub(super) fn wanted(&self, records: u32, octets: usize) -> u32 {
        if self.fresh <= records / 2 {
            return records;
        }
        let wanted = larger(self.used, octets).max(self.fresh).checked_next_power_of_two();
        wanted.unwrap_or(ENDLESS).max(records)
    }

    /// A free run, cut from a longer one if need be.
    fn recycled(&mut self, class: u8) -> Option<u32> {
        let class = usize::from(class);
        let found = (class..CLASSES).find(|&at| !self.free[at].is_empty())?;
        let first = self.free[found].pop()?;
        for half in class..found {
            self.free[half].push(first + (1 << half));
        }
        Some(first)
    }

    fn unused(&mut self, class: u8) -> Option<u32> {
        let after = self.fresh.checked_add(1 << class).filter(|after| *after <= self.end)?;
        Some(std::mem::replace(&mut self.fresh, after))
    }
}

/// The exponent of the power of two a run is rounded up to; `None` for none and too many.
fn class(length: usize) -> Option<u8> {
    let exponent = length.checked_next_power_of_two()?.trailing_zeros();
    u8::try_from(exponent).ok().filter(|class| length > 0 && usize::from(*class) < CLASSES)
}

const CLASSES: usize = 9;

/// Numbers of leaves leave two bits to the tries.
const ENDLESS: u32 = 1 << 30;

/// How long a released record is not used again. The program runs for microseconds.
const GRACE: Duration = Duration::from_secs(1);

/// Room for `used` records of so many octets and as many again, for more where that costs little:
/// every growth loads a program and fills all its tables.
pub(super) fn larger(used: u32, octets: usize) -> u32 {
    let little = (used as usize).saturating_mul(octets) < LITTLE;
    used.saturating_mul(if little { 4 } else { 2 })
}

/// Octets.
const LITTLE: usize = 32 << 20;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "time has to start somewhere")]
mod tests {
    use super::*;

    #[test]
    fn records_are_given_out_once_and_never_the_first() {
        let mut slab = Slab::new(8);
        let mut seen: Vec<_> = std::iter::from_fn(|| slab.take_one()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(slab.used(), 7);
    }

    #[test]
    fn a_released_record_rests_before_it_is_used_again() {
        let start = Instant::now();
        let mut slab = Slab::new(2);
        assert_eq!(slab.take_one(), Some(1));
        slab.release(start, 1, 1);
        slab.wake(start + GRACE / 2);
        assert_eq!((slab.take_one(), slab.used()), (None, 0));
        slab.wake(start + GRACE);
        assert_eq!(slab.take_one(), Some(1));
        slab.give_back(1, 1);
        assert_eq!(slab.take_one(), Some(1), "nobody saw it");
    }

    #[test]
    fn runs_do_not_overlap_however_they_are_cut() {
        let start = Instant::now();
        let mut slab = Slab::new(64);
        let first = slab.take(16).unwrap();
        slab.release(start, first, 16);
        slab.wake(start + GRACE);
        let runs: Vec<_> = [3, 1, 2, 5].map(|length| (slab.take(length).unwrap(), length)).into();
        let mut records: Vec<_> =
            runs.iter().flat_map(|&(first, length)| (first..).take(length)).collect();
        records.sort_unstable();
        let all = records.len();
        records.dedup();
        assert_eq!(records.len(), all);
        assert!(records.iter().all(|record| (1..64).contains(record)));
    }

    #[test]
    fn a_run_of_none_or_too_many_is_refused() {
        let mut slab = Slab::new(u32::MAX);
        assert_eq!((slab.take(0), slab.take(257)), (None, None));
        assert_eq!(slab.take(256), Some(1));
        assert_eq!(Slab::new(256).take(256), None);
        slab.release(Instant::now(), 0, 1);
        assert_eq!(slab.used(), 256, "record 0 was never given out");
    }

    #[test]
    fn a_table_too_small_gets_much_more_room() {
        let mut slab = Slab::endless();
        for _ in 0..7 {
            slab.take_one();
        }
        assert_eq!(slab.wanted(16, 8), 16);
        slab.take_one();
        assert!(!slab.exceeds(16));
        assert_eq!(slab.wanted(16, 8), 32, "more than half full");
        for _ in 8..16 {
            slab.take_one();
        }
        assert!(slab.exceeds(16));
        assert_eq!(slab.wanted(16, 8), 64);
        assert_eq!(slab.wanted(16, LITTLE / 16), 32, "large records");
        (1..=16).for_each(|record| slab.release(Instant::now(), record, 1));
        assert_eq!(slab.wanted(16, 8), 32, "what rests needs room too");
    }
}
