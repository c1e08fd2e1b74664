//! The last look at what the roles want done: which events are wanted, and what is refused how
//! often.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{Event, Refusal};
use super::rate::{Bucket, Rate};
use crate::engine::{Action, Actions, Instant};

/// Sees all actions before they leave.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// Messages not taken since the start, by reason.
    refused: BTreeMap<Refusal, u64>,
    /// How many of these nobody was told about.
    untold: u64,
    /// Refusals told lately, of [`TOLD`].
    telling: Bucket,
    trace: bool,
}

impl Review {
    pub(super) fn set_trace(&mut self, on: bool) {
        self.trace = on;
    }

    pub(super) fn refused(&self) -> impl Iterator<Item = (Refusal, u64)> {
        self.refused.iter().map(|(&reason, &count)| (reason, count))
    }

    pub(super) fn untold(&self) -> u64 {
        self.untold
    }

    /// Looks at the actions from position `start` on. Messages are told only while somebody
    /// watches, and refusals of a flood are counted and not all told.
    pub(super) fn actions(&mut self, now: Instant, start: usize, out: &mut Actions) {
        let start = start.min(out.0.len());
        out.0.extract_if(start.., |action| !self.passes(now, action)).for_each(drop);
    }

    /// Whether an action leaves; counts refusals.
    fn passes(&mut self, now: Instant, action: &Action) -> bool {
        match action {
            Action::Notify(Event::Message { .. }) => self.trace,
            Action::Notify(Event::Refused { reason, .. }) => {
                *self.refused.entry(*reason).or_default() += 1;
                let told = self.telling.take(TOLD, now);
                self.untold += u64::from(!told);
                told
            }
            _ => true,
        }
    }
}

/// Refusals told: a hundred at once, then ten a second.
const TOLD: Rate = Rate { period: Duration::from_millis(100), burst: 100 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lisp::dispatch::refuse;

    fn flood(review: &mut Review, seconds: u64, count: usize) -> usize {
        let mut out = Actions::default();
        for _ in 0..count {
            let peer = "192.0.2.1:4342".parse().unwrap();
            refuse("map-register", peer, None, Refusal::WrongKey, String::new(), &mut out);
        }
        review.actions(Instant::after_start(Duration::from_secs(seconds)), 0, &mut out);
        out.0.len()
    }

    #[test]
    fn flood_of_refusals_is_counted_in_full_but_told_in_part() {
        let mut review = Review::default();
        assert_eq!(flood(&mut review, 1, 5000), 100);
        assert_eq!(flood(&mut review, 2, 5000), 10);
        assert_eq!(review.untold(), 9890);
        assert_eq!(review.refused().collect::<Vec<_>>(), [(Refusal::WrongKey, 10_000)]);
    }

    #[test]
    fn what_was_there_before_is_left_alone() {
        let (mut review, mut out) = (Review::default(), Actions::default());
        let message = || Event::Message {
            direction: crate::lisp::event::Direction::In,
            kind: "map-request",
            peer: "192.0.2.1:4342".parse().unwrap(),
            eid: None,
            detail: String::new(),
        };
        out.notify(message());
        out.notify(message());
        review.actions(Instant::START, 1, &mut out);
        assert_eq!(out.0.len(), 1, "nobody watches");
        review.set_trace(true);
        out.notify(message());
        review.actions(Instant::START, 1, &mut out);
        assert_eq!(out.0.len(), 2);
    }
}
