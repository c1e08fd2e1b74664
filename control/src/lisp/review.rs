//! The last look at what the roles want done: which events are wanted, what is refused how often,
//! and what a role created later will find stored.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{Event, Refusal};
use crate::engine::{Action, Actions, Instant, Stored};

/// Sees all actions before they leave.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// What is on disk, as far as we asked for it.
    pub(super) stored: Stored,
    /// Messages not taken since the start, by reason.
    refused: BTreeMap<Refusal, u64>,
    /// How many of these nobody was told about.
    untold: u64,
    /// When another may be told, and so on: a full bucket lies in the past.
    telling: Instant,
    trace: bool,
}

impl Review {
    pub(super) fn new(stored: Stored) -> Self {
        Self { stored, ..Self::default() }
    }

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
        let fresh = out.0.split_off(start.min(out.0.len()));
        for action in fresh {
            match &action {
                Action::Store { key, value: Some(value) } => {
                    self.stored.insert(key.clone(), value.clone());
                }
                Action::Store { key, value: None } => {
                    self.stored.remove(key);
                }
                Action::Notify(Event::Message { .. }) if !self.trace => continue,
                Action::Notify(Event::Refused { reason, .. }) => {
                    *self.refused.entry(*reason).or_default() += 1;
                    if !self.may_tell(now) {
                        self.untold += 1;
                        continue;
                    }
                }
                _ => {}
            }
            out.0.push(action);
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
