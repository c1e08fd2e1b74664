//! One local uplink and one remote RLOC: what is known of the way between them.
//!
//! A pair is up until it fails. A suspected pair is asked in slots of the retry interval; a slot
//! holds two to four probes, more the lossier the pair has shown to be, so that losing all of a
//! slot's probes means the same on every path. A failed pair needs [`HOLD_DOWN`] answers in a row.

use std::net::IpAddr;
use std::time::Duration;
use weft_fib::UplinkId;

use super::Timing;
use super::conversation::Conversation;
use crate::engine::Instant;

/// Consecutive answers until a failed pair is up again.
pub const HOLD_DOWN: u32 = 2;
/// A slot is divided into so many steps.
pub(super) const STEPS: u32 = 4;
/// The loss of a whole slot shall be rarer than this on a path that works.
const SLOT_LOSS: f64 = 0.001;
/// Share of the newest sample in the loss estimate.
const LOSS_GAIN: f64 = 1.0 / 16.0;

/// The way between a local uplink and a remote RLOC.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The local uplink.
    pub(super) uplink: UplinkId,
    /// Its address.
    pub(super) local: IpAddr,
    /// What we think of it.
    pub(super) health: Health,
    /// Probes sent.
    pub(super) sent: u64,
    /// Answers that came.
    pub(super) answered: u64,
    /// When the last one came.
    pub(super) last_answer: Option<Instant>,
    /// Round-trip time, where one was measured.
    pub(super) rtt: Option<Rtt>,
    /// Data packets.
    pub(super) data: Conversation,
    loss: f64,
}

/// What we think of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers, or was not asked yet.
    Up,
    /// Something is odd; it is being asked in quick succession.
    Suspect {
        /// When the asking began.
        since: Instant,
        /// Why.
        why: Suspicion,
        /// The last step taken; a slot has [`STEPS`].
        step: u32,
        /// At this step packets are moved away.
        patience: u32,
        /// Probes unanswered, with the one that raised the suspicion.
        unanswered: u32,
    },
    /// It does not answer.
    Failed {
        /// When the asking that led to this began.
        since: Instant,
        /// Answers in a row since.
        in_a_row: u32,
        /// Any answer since.
        answered: bool,
    },
}

/// Why a pair is suspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// A regular probe was not answered.
    Unanswered,
    /// Data that came back does not any more, here or where this pair shall bear witness.
    Silence,
    /// None of its own: it carries packets nobody vouches for, or shall bear witness.
    Routine,
}

/// What to do for a suspected pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It goes on.
    Next {
        /// A probe is due.
        ask: bool,
        /// Until the next step.
        wait: Duration,
        /// Also ask others, unless they answered since: is it the pair, the RLOC or the uplink?
        widen: Option<(Instant, Suspicion)>,
    },
    /// Enough was asked, or it is not suspected any more.
    End,
}

/// Round-trip times of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rtt {
    /// The latest.
    pub(super) last: Duration,
    /// Moving average (RFC 6298 §2: an eighth of each new one).
    pub(super) smoothed: Duration,
}

impl Pair {
    /// Not asked yet, so assumed up; `failed` when its uplink is known not to work.
    pub(super) fn new(uplink: UplinkId, local: IpAddr, failed: Option<Instant>) -> Self {
        let health = failed.map_or(Health::Up, Health::failed);
        Self {
            uplink,
            local,
            health,
            sent: 0,
            answered: 0,
            last_answer: None,
            rtt: None,
            data: Conversation::default(),
            loss: 0.0,
        }
    }

    /// True when it is known not to answer.
    pub(super) fn is_failed(&self) -> bool {
        matches!(self.health, Health::Failed { .. })
    }

    /// True when packets are better sent another way: it failed, or left a whole slot unanswered.
    pub(super) fn is_avoided(&self) -> bool {
        match self.health {
            Health::Up => false,
            Health::Suspect { step, patience, .. } => step >= patience,
            Health::Failed { .. } => true,
        }
    }

    /// Since when it has been asked in vain.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        match self.health {
            Health::Up => None,
            Health::Suspect { since, .. } | Health::Failed { since, .. } => Some(since),
        }
    }

    /// True when an answer came after `since`.
    pub(super) fn answered_after(&self, since: Instant) -> bool {
        self.last_answer.is_some_and(|at| at > since)
    }

    /// How long to wait for an answer: the retry interval, or twice a longer round-trip time.
    pub(super) fn slot(&self, timing: Timing) -> Duration {
        let patience = self.rtt.map_or(Duration::ZERO, |rtt| rtt.smoothed * 2);
        timing.retry_interval.max(patience.min(timing.interval))
    }

    /// Probes in a slot: the least number, two at least, whose loss as a whole is rare enough.
    pub(super) fn probes_per_slot(&self) -> u32 {
        (2..STEPS).find(|&n| self.loss.powi(n.cast_signed()) <= SLOT_LOSS).unwrap_or(STEPS)
    }

    /// Share of probes lost: an average of the recent past; all of them once it failed.
    pub(super) fn loss(&self) -> f64 {
        if self.is_failed() { 1.0 } else { self.loss }
    }

    /// Begins to ask in quick succession. The first probe is due now; gives when the next step is.
    pub(super) fn suspect(&mut self, now: Instant, why: Suspicion, timing: Timing) -> Duration {
        let unanswered = 1 + u32::from(why == Suspicion::Unanswered);
        let patience = self.patience(why, timing);
        self.health = Health::Suspect { since: now, why, step: 0, patience, unanswered };
        self.slot(timing) / STEPS
    }

    /// The time for the next step of a suspected pair has come.
    pub(super) fn step(&mut self, timing: Timing) -> Step {
        let wait = self.slot(timing) / STEPS;
        let probes = self.probes_per_slot();
        let Health::Suspect { since, why, step, unanswered, .. } = &mut self.health else {
            return Step::End;
        };
        *step += 1;
        if *step >= STEPS.saturating_mul(timing.retries) {
            self.health = Health::failed(*since);
            return Step::End;
        }
        let ask = *step % STEPS < probes;
        *unanswered += u32::from(ask);
        Step::Next { ask, wait, widen: (*step == 1).then_some((*since, *why)) }
    }

    /// The step at which packets are moved away: after a whole slot, or half of one when data
    /// fell silent too and answers used to come at once.
    fn patience(&self, why: Suspicion, timing: Timing) -> u32 {
        let quick = self.rtt.is_some_and(|rtt| rtt.smoothed * 8 <= self.slot(timing));
        if why == Suspicion::Silence && quick { STEPS / 2 } else { STEPS }
    }

    /// An answer came to a probe sent at `sent`. True when the pair's health changed by it.
    pub(super) fn answer(&mut self, now: Instant, sent: Instant) -> bool {
        self.answered += 1;
        self.last_answer = Some(now);
        self.measure(now.since(sent));
        match &mut self.health {
            Health::Up => {
                self.lose(0);
                false
            }
            &mut Health::Suspect { unanswered, .. } => {
                self.lose(unanswered.saturating_sub(1));
                self.health = Health::Up;
                true
            }
            Health::Failed { since, in_a_row, answered } if sent > *since => {
                *in_a_row += 1;
                *answered = true;
                let recovered = *in_a_row >= HOLD_DOWN;
                if recovered {
                    self.health = Health::Up;
                }
                recovered
            }
            Health::Failed { .. } => false,
        }
    }

    /// The regular probe of a failed pair was not answered.
    pub(super) fn still_failed(&mut self) {
        if let Health::Failed { in_a_row, .. } = &mut self.health {
            *in_a_row = 0;
        }
    }

    fn measure(&mut self, rtt: Duration) {
        let smoothed = self.rtt.map_or(rtt, |before| (before.smoothed * 7 + rtt) / 8);
        self.rtt = Some(Rtt { last: rtt, smoothed });
    }

    /// Takes `lost` probes and one answer into the loss estimate. Only pairs that answer do this:
    /// an outage is no loss rate.
    fn lose(&mut self, lost: u32) {
        for _ in 0..lost.min(2 * STEPS) {
            self.loss += (1.0 - self.loss) * LOSS_GAIN;
        }
        self.loss -= self.loss * LOSS_GAIN;
    }
}

impl Health {
    /// Failed, after having been asked since `since`.
    pub(super) fn failed(since: Instant) -> Self {
        Self::Failed { since, in_a_row: 0, answered: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::after_start(Duration::from_millis(millis))
    }

    fn pair() -> Pair {
        Pair::new(UplinkId(1), "192.0.2.1".parse().unwrap(), None)
    }

    #[test]
    fn failed_pair_needs_consecutive_answers_to_probes_sent_since() {
        let mut pair = pair();
        pair.health = Health::failed(at(1000));
        assert!(!pair.answer(at(5000), at(900)), "sent before the failure");
        assert!(!pair.answer(at(14_010), at(14_000)));
        pair.still_failed();
        assert!(!pair.answer(at(34_010), at(34_000)), "one was lost in between");
        assert!(pair.answer(at(44_010), at(44_000)));
        assert_eq!(pair.health, Health::Up);
    }

    #[test]
    fn lossy_pair_is_asked_more_often_in_a_slot() {
        let mut pair = pair();
        let timing = Timing::new(crate::lisp::config::Probing::default());
        assert_eq!(pair.probes_per_slot(), 2);
        for round in 0..200_u64 {
            if round % 5 == 0 {
                pair.suspect(at(round * 10_000 + 1000), Suspicion::Unanswered, timing);
            }
            pair.answer(at(round * 10_000 + 1010), at(round * 10_000 + 1000));
        }
        assert!(pair.loss() > 0.1 && pair.loss() < 0.25, "{}", pair.loss());
        assert_eq!(pair.probes_per_slot(), STEPS);
    }

    #[test]
    fn suspected_pair_fails_after_its_retries() {
        let mut pair = pair();
        let timing = Timing::new(crate::lisp::config::Probing::default());
        let mut now = at(1000) + pair.suspect(at(1000), Suspicion::Unanswered, timing);
        let mut asked = vec![at(1000)];
        while let Step::Next { ask, wait, .. } = pair.step(timing) {
            asked.extend(ask.then_some(now));
            assert_eq!(pair.is_avoided(), now >= at(2000));
            now = now + wait;
        }
        assert_eq!(asked, [1000, 1250, 2000, 2250, 3000, 3250].map(at));
        assert_eq!((now, pair.health), (at(4000), Health::failed(at(1000))));
    }

    #[test]
    fn silence_of_data_is_believed_sooner_where_answers_come_quickly() {
        let timing = Timing::new(crate::lisp::config::Probing::default());
        let avoided_at_step = |rtt: u64, why| {
            let mut pair = pair();
            pair.answer(at(rtt), at(0));
            pair.suspect(at(1000), why, timing);
            (1..=STEPS * 3).find(|_| {
                pair.step(timing);
                pair.is_avoided()
            })
        };
        assert_eq!(avoided_at_step(20, Suspicion::Silence), Some(STEPS / 2));
        assert_eq!(avoided_at_step(20, Suspicion::Routine), Some(STEPS));
        assert_eq!(avoided_at_step(300, Suspicion::Silence), Some(STEPS));
    }

    #[test]
    fn waits_longer_where_the_way_is_longer() {
        let timing = Timing::new(crate::lisp::config::Probing::default());
        let mut pair = pair();
        assert_eq!(pair.slot(timing), Duration::from_secs(1));
        pair.answer(at(900), at(0));
        assert_eq!(pair.slot(timing), Duration::from_millis(1800));
        assert_eq!(pair.rtt.unwrap().last, Duration::from_millis(900));
    }
}
