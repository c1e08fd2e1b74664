//! Whether a Map-Register's nonce is new (RFC 9301 §5.6), for one xTR and key, across crashes.
//!
//! What is on disk is a mark at or ahead of the last nonce taken: a nonce below the mark needs no
//! write, and after a crash everything up to the mark counts as seen. An xTR that sends once a
//! minute is written ahead by two, so after a crash it is refused twice at most, while what it
//! registered still stands. In a burst the mark leaps further each time, and is set back when the
//! burst is over. Nothing that was taken is ever taken again.

use std::time::Duration;

use crate::engine::Instant;
use crate::lisp::config::Replay;

/// What is known of the nonces of one xTR and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    last: u64,
    /// On disk; zero while nothing is.
    mark: u64,
    /// When the mark was set.
    marked: Instant,
    leap: u64,
    /// Increasing nonces in a row, up to [`RUN`].
    run: u8,
}

/// What [`Window::check`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be taken.
    Fresh,
    /// It may be taken once this mark is on disk.
    FreshOnceStored(u64),
    /// It was used before, or may have been.
    Replayed,
}

impl Window {
    /// Of an xTR never seen.
    pub(super) const fn new() -> Self {
        Self { last: 0, mark: 0, marked: Instant::START, leap: 0, run: 0 }
    }

    /// As a mark from disk has it.
    pub(super) const fn stored(mark: u64, now: Instant) -> Self {
        Self { last: mark, mark, marked: now, leap: SLOW_LEAP, run: RUN }
    }

    /// Checks and takes `nonce`. `identified`: the message carries an xTR-ID.
    pub(super) fn check(
        &mut self,
        policy: Replay,
        identified: bool,
        nonce: u64,
        now: Instant,
    ) -> Verdict {
        match policy {
            Replay::Off => return Verdict::Fresh,
            Replay::Auto if !(identified && self.shown(nonce)) => {
                self.last = nonce;
                return Verdict::Fresh;
            }
            Replay::Auto | Replay::Strict => {}
        }
        if nonce <= self.last {
            return Verdict::Replayed;
        }
        self.last = nonce;
        self.run = RUN;
        if nonce <= self.mark {
            return Verdict::Fresh;
        }
        let busy = self.mark > 0 && now.since(self.marked) < BURST;
        self.leap = if busy { (self.leap * 4).min(FASTEST_LEAP) } else { SLOW_LEAP };
        self.marked = now;
        self.mark = nonce.saturating_add(self.leap);
        Verdict::FreshOnceStored(self.mark)
    }

    /// True while the mark is further ahead than a slow sender's.
    pub(super) fn unsettled(&self) -> bool {
        self.mark > self.last.saturating_add(SLOW_LEAP)
    }

    /// Sets the mark back when the burst is over; the new one, to be stored.
    pub(super) fn settle(&mut self, now: Instant) -> Option<u64> {
        let over = now.since(self.marked) >= BURST;
        (self.unsettled() && over).then(|| {
            self.leap = SLOW_LEAP;
            self.mark = self.last.saturating_add(SLOW_LEAP);
            self.mark
        })
    }

    /// The mark to leave behind at the end: exactly what was taken. `None`: nothing is on disk.
    pub(super) fn exact(&self) -> Option<u64> {
        (self.mark > 0).then_some(self.last)
    }

    /// True when a mark is on disk.
    pub(super) fn on_disk(&self) -> bool {
        self.mark > 0
    }

    /// True once a run of nonces counted upwards; sees `nonce` as the next of them. Random nonces
    /// increase half of the time, but hardly ever by so little.
    fn shown(&mut self, nonce: u64) -> bool {
        if self.run < RUN {
            let step = nonce.checked_sub(self.last).filter(|step| (1..=COUNTING).contains(step));
            self.run = if step.is_some() && self.last > 0 { self.run + 1 } else { 0 };
        }
        self.run >= RUN
    }
}

/// How far after a mark the next one is part of the same burst.
pub(super) const BURST: Duration = Duration::from_secs(1);

const SLOW_LEAP: u64 = 2;
const FASTEST_LEAP: u64 = 1 << 20;
/// Steps upwards until `auto` is strict.
const RUN: u8 = 4;
/// The widest step of something that counts, be it messages or microseconds.
const COUNTING: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn strict(window: &mut Window, nonce: u64, seconds: u64) -> Verdict {
        window.check(Replay::Strict, false, nonce, at(seconds))
    }

    #[test]
    fn strict_takes_each_nonce_once_and_only_upwards() {
        let mut window = Window::new();
        assert_eq!(strict(&mut window, 5, 1), Verdict::FreshOnceStored(7));
        assert_eq!(strict(&mut window, 5, 2), Verdict::Replayed);
        assert_eq!(strict(&mut window, 4, 2), Verdict::Replayed);
        assert_eq!(strict(&mut window, 6, 60), Verdict::Fresh);
        assert_eq!(strict(&mut window, 7, 120), Verdict::Fresh);
        assert_eq!(strict(&mut window, 8, 180), Verdict::FreshOnceStored(10));
        assert_eq!(strict(&mut Window::new(), 0, 1), Verdict::Replayed, "zero is no nonce");
    }

    #[test]
    fn nothing_taken_before_a_crash_is_taken_after_it() {
        let mut window = Window::new();
        let mut disk = 0;
        for nonce in 1..=500 {
            match strict(&mut window, nonce, nonce / 100) {
                Verdict::Fresh => {}
                Verdict::FreshOnceStored(mark) => disk = mark,
                Verdict::Replayed => panic!("{nonce} is new"),
            }
            let mut restarted = Window::stored(disk, at(0));
            assert_eq!(strict(&mut restarted, nonce, 1), Verdict::Replayed);
        }
    }

    #[test]
    fn burst_writes_seldom_and_settles() {
        let mut window = Window::new();
        let writes =
            (1..=10_000).filter(|nonce| strict(&mut window, *nonce, 7) != Verdict::Fresh).count();
        assert!(writes < 12, "{writes} writes");
        assert_eq!(window.settle(at(7)), None, "still busy");
        assert_eq!(window.settle(at(9)), Some(10_002));
        assert_eq!(window.settle(at(20)), None);
        assert_eq!(window.exact(), Some(10_000));
    }

    #[test]
    fn slow_sender_is_refused_at_most_twice_after_a_crash() {
        let mut window = Window::new();
        let mut disk = 0;
        for nonce in 1..100 {
            if let Verdict::FreshOnceStored(mark) = strict(&mut window, nonce, nonce * 60) {
                disk = mark;
            }
            let mut restarted = Window::stored(disk, at(0));
            let refused = (nonce + 1..nonce + 10)
                .filter(|n| strict(&mut restarted, *n, 60) == Verdict::Replayed)
                .count();
            assert!(refused <= 2, "{refused} refused");
        }
    }

    #[test]
    fn auto_turns_strict_for_counters_with_an_id_only() {
        let mut counter = Window::new();
        for nonce in 10..15 {
            assert_ne!(counter.check(Replay::Auto, true, nonce, at(1)), Verdict::Replayed);
        }
        assert_eq!(counter.check(Replay::Auto, true, 12, at(1)), Verdict::Replayed);
        assert_ne!(counter.check(Replay::Auto, true, 15, at(1)), Verdict::Replayed);

        let mut nameless = Window::new();
        for nonce in [10, 11, 12, 13, 14, 15, 12] {
            assert_eq!(nameless.check(Replay::Auto, false, nonce, at(1)), Verdict::Fresh);
        }
        let mut random = Window::new();
        for nonce in [1_u64, 3, 5, 7, 9, 11, 13, 2].map(|n| n << 58) {
            assert_eq!(random.check(Replay::Auto, true, nonce, at(1)), Verdict::Fresh);
        }
        let mut constant = Window::new();
        for nonce in [7; 9] {
            assert_eq!(constant.check(Replay::Auto, true, nonce, at(1)), Verdict::Fresh);
        }
    }

    #[test]
    fn off_takes_anything() {
        let mut window = Window::new();
        for nonce in [9, 9, 1, 0] {
            assert_eq!(window.check(Replay::Off, true, nonce, at(1)), Verdict::Fresh);
        }
    }
}
