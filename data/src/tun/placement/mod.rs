//! Which CPU a worker runs on that has much to carry.
//!
//! The kernel wakes a worker beside the program that sends, and seldom moves it away: the two
//! share one CPU while another has little to do. A worker that waits for its CPU under such
//! circumstances tries the idle one, stays if more gets through there, and is the kernel's to
//! place again after some seconds. An affinity it was started with bounds its choice.

mod cpus;

use std::time::{Duration, Instant};

use cpus::Cpus;

/// Counts what a worker carries, and places it.
pub(super) struct Placement {
    cpus: Cpus,
    decider: Decider,
    /// Since when is counted.
    since: Instant,
    octets: u64,
}

impl Placement {
    /// For the calling thread.
    pub(super) fn new(now: Instant) -> Self {
        let decider = Decider { state: State::Anywhere { rest_until: now }, before: 0 };
        Self { cpus: Cpus::new(), decider, since: now, octets: 0 }
    }

    /// Counts octets taken from a queue.
    pub(super) fn carried(&mut self, octets: usize) {
        self.octets += octets as u64;
    }

    /// Ends a round over all queues, and perhaps goes on elsewhere.
    pub(super) fn end_round(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.since);
        if elapsed < PERIOD {
            return;
        }
        let per_s = u128::from(self.octets) * 1_000_000_000 / elapsed.as_nanos().max(1);
        let rate = u64::try_from(per_s).unwrap_or(u64::MAX);
        (self.since, self.octets) = (now, 0);
        let load = if self.decider.wants_to_know(now, rate) {
            self.cpus.load(elapsed)
        } else {
            self.cpus.forget();
            None
        };
        match self.decider.step(now, rate, load.as_ref()) {
            Step::Stay => {}
            Step::To(cpu) => self.cpus.pin(cpu),
            Step::Anywhere => self.cpus.release(),
        }
    }
}

/// What a thread sees of its CPU and of the idlest other one it may run on, in the last period.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load {
    /// The part of the time it waited for a CPU.
    waited: f64,
    /// The idle part of the CPU it runs on.
    here: f64,
    /// The other CPU, and its idle part.
    elsewhere: (usize, f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Stay,
    To(usize),
    /// Wherever the kernel likes.
    Anywhere,
}

/// Decides, from what it is told each period.
struct Decider {
    state: State,
    /// Octets a second in the period before.
    before: u64,
}

#[derive(Clone, Copy)]
enum State {
    /// The kernel decides; nothing else is tried until then.
    Anywhere { rest_until: Instant },
    /// Placed, to see whether more than `before` gets through; periods that have begun, and what
    /// got through in those that count.
    Trying { before: u64, period: u32, sum: u64 },
    /// Placed.
    Settled { until: Instant },
}

impl Decider {
    /// Whether the load matters at this rate, in octets a second: it costs something to find out.
    fn wants_to_know(&self, now: Instant, rate: u64) -> bool {
        matches!(self.state, State::Anywhere { rest_until } if now >= rest_until && rate >= MUCH)
    }

    fn step(&mut self, now: Instant, rate: u64, load: Option<&Load>) -> Step {
        let before = std::mem::replace(&mut self.before, rate);
        let rest = |pause| (State::Anywhere { rest_until: now + pause }, Step::Anywhere);
        let step;
        (self.state, step) = match self.state {
            State::Anywhere { .. } => match load.filter(|load| load.is_lopsided()) {
                Some(load) if before >= MUCH => {
                    let before = before.midpoint(rate);
                    (State::Trying { before, period: 0, sum: 0 }, Step::To(load.elsewhere.0))
                }
                _ => (self.state, Step::Stay),
            },
            // connections need the first period to take notice
            State::Trying { before, period: 0, .. } => {
                (State::Trying { before, period: 1, sum: 0 }, Step::Stay)
            }
            State::Trying { before, period, sum } => {
                let (periods, sum) = (u64::from(period), sum + rate);
                match sum / periods {
                    // it gets worse, and nobody has to wait how much
                    so_far if so_far < before - before / WORTH_A_MOVE => rest(REST),
                    _ if period < TRIAL => {
                        (State::Trying { before, period: period + 1, sum }, Step::Stay)
                    }
                    all if all < before + before / WORTH_A_MOVE => rest(REST),
                    _ => (State::Settled { until: now + STAY }, Step::Stay),
                }
            }
            State::Settled { until } if now >= until || rate < MUCH => rest(Duration::ZERO),
            State::Settled { .. } => (self.state, Step::Stay),
        };
        step
    }
}

impl Load {
    /// Whether the thread waits for its CPU while another one is idle.
    fn is_lopsided(&self) -> bool {
        self.waited >= cpus::WORTH_A_LOOK && self.here <= 0.15 && self.elsewhere.1 >= 0.3
    }
}

/// Over which everything is measured: long beside the ticks the kernel counts idle time in.
const PERIOD: Duration = Duration::from_millis(100);
/// Periods of a trial that count.
const TRIAL: u32 = 4;
/// Octets a second below which a worker has not much to carry.
const MUCH: u64 = 125_000_000;
/// A trial must gain one part in so many of what got through before.
const WORTH_A_MOVE: u64 = 20;
/// How long a worker stays where more gets through.
const STAY: Duration = Duration::from_secs(10);
/// How long after a vain trial the kernel is left alone.
const REST: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do to count from")]
mod tests {
    use super::*;

    const LOPSIDED: Load = Load { waited: 0.25, here: 0.05, elsewhere: (1, 0.5) };

    /// A worker whose rate depends on where it is, for some periods: where it went.
    fn story(periods: u32, load: Load, rate: impl Fn(u32, bool) -> u64) -> Vec<(u32, Step)> {
        let mut now = Instant::now();
        let mut decider = Decider { state: State::Anywhere { rest_until: now }, before: 0 };
        let (mut steps, mut placed) = (Vec::new(), false);
        for period in 0..periods {
            now += PERIOD;
            let rate = rate(period, placed);
            let load = decider.wants_to_know(now, rate).then_some(&load);
            let step = decider.step(now, rate, load);
            match step {
                Step::Stay => continue,
                Step::To(_) => placed = true,
                Step::Anywhere => placed = false,
            }
            steps.push((period, step));
        }
        steps
    }

    #[test]
    fn a_worker_stays_where_more_gets_through_for_a_while() {
        let steps = story(109, LOPSIDED, |_, placed| if placed { 5 * MUCH } else { 4 * MUCH });
        assert_eq!(steps, [(1, Step::To(1)), (106, Step::Anywhere), (107, Step::To(1))]);
    }

    #[test]
    fn a_vain_trial_is_not_repeated_soon() {
        let steps = story(107, LOPSIDED, |_, _| 4 * MUCH);
        assert_eq!(steps, [(1, Step::To(1)), (6, Step::Anywhere), (106, Step::To(1))]);
        let worse = story(9, LOPSIDED, |_, placed| if placed { 3 * MUCH } else { 4 * MUCH });
        assert_eq!(worse, [(1, Step::To(1)), (3, Step::Anywhere)]);
    }

    #[test]
    fn the_kernel_has_the_worker_back_when_the_traffic_ends() {
        let rate = |period, placed| match (period, placed) {
            (20.., _) => 0,
            (_, true) => 5 * MUCH,
            (_, false) => 4 * MUCH,
        };
        assert_eq!(story(100, LOPSIDED, rate), [(1, Step::To(1)), (20, Step::Anywhere)]);
    }

    #[test]
    fn nobody_moves_without_a_reason() {
        let much = |_, _| 4 * MUCH;
        for load in [
            Load { waited: 0.05, ..LOPSIDED },
            Load { here: 0.4, ..LOPSIDED },
            Load { elsewhere: (1, 0.1), ..LOPSIDED },
        ] {
            assert_eq!(story(100, load, much), [], "{load:?}");
        }
        assert_eq!(story(100, LOPSIDED, |_, _| MUCH / 2), []);
    }
}
