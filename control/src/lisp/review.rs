//! The last look at what the roles want done: which events are wanted, and what is refused how
//! often.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{Event, Refusal};
use crate::engine::{Action, Actions, Instant};

/// Sees all actions before they leave.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// Messages not taken since the start, by reason.
    refused: BTreeMap<Refusal, u64>,
    /// How many of these nobody was told about.
    untold: u64,
    /// When another may be told, and so on: a full bucket lies in the past.
    telling: Instant,
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
                let told = self.may_tell(now);
                self.untold += u64::from(!told);
                told
            }
            _ => true,
        }
    }

    fn may_tell(&mut self, now: Instant) -> bool {
        let free = self.telling <= now + TELL_EVERY * TELL_AT_ONCE;
        if free {
            self.telling = self.telling.max(now) + TELL_EVERY;
        }
        free
    }
}

/// Refusals told: so many at once, then one each.
const TELL_AT_ONCE: u32 = 100;
const TELL_EVERY: Duration = Duration::from_millis(100);
