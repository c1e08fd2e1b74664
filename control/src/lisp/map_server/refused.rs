//! What was refused: exact counts by reason, the recent cases for people, and an event of each.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde::Serialize;
use weft_packet::addr::EidPrefix;

use super::Refusing;
use crate::engine::{Actions, Instant};
use crate::lisp::dispatch::refuse;
use crate::lisp::event::Refusal;

/// Counts and recent cases.
#[derive(Debug)]
pub struct Refused {
    counts: Vec<u64>,
    recent: VecDeque<Case>,
}

/// A message, or a record of one, that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// When, the last time.
    pub at: Instant,
    /// `map-register`, …
    pub kind: &'static str,
    /// Who sent it.
    pub peer: SocketAddr,
    /// What it was about.
    pub eid: Option<EidPrefix>,
    /// Why.
    pub reason: Refusal,
    /// For people.
    pub detail: String,
    /// How often in a row.
    pub times: u64,
}

/// A [`Case`] for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusedStatus {
    /// Seconds ago, the last time.
    pub ago: f64,
    /// `map-register`, …
    pub message: &'static str,
    /// Who sent it.
    pub from: String,
    /// What it was about.
    pub eid_prefix: Option<String>,
    /// One of [`Refusal`]'s words.
    pub reason: &'static str,
    /// For people.
    pub detail: String,
    /// How often in a row.
    pub times: u64,
}

impl Default for Refused {
    fn default() -> Self {
        Self { counts: vec![0; Refusal::ALL.len()], recent: VecDeque::new() }
    }
}

impl Refused {
    /// Counts a case, keeps it and tells of it.
    pub(in crate::lisp) fn add(&mut self, case: Case, out: &mut Actions) {
        if let Some(at) = Refusal::ALL.iter().position(|known| *known == case.reason) {
            self.counts[at] += 1;
        }
        refuse(case.kind, case.peer, case.eid, case.reason, case.detail.clone(), out);
        match self.recent.back_mut().filter(|last| last.resembles(&case)) {
            Some(last) => {
                last.times += 1;
                last.at = case.at;
            }
            None => self.keep(case),
        }
    }

    fn keep(&mut self, case: Case) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(case);
    }

    /// How often for `reason`.
    pub fn count(&self, reason: Refusal) -> u64 {
        Refusal::ALL
            .iter()
            .zip(&self.counts)
            .find(|(known, _)| **known == reason)
            .map_or(0, |c| *c.1)
    }

    /// Every reason seen, with how often.
    pub fn counts(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.iter().copied().zip(self.counts.iter().copied()).filter(|(_, n)| *n > 0)
    }

    /// The recent cases, the last one first.
    pub fn recent(&self) -> impl Iterator<Item = &Case> {
        self.recent.iter().rev()
    }
}

impl Case {
    /// One that happened once.
    pub(in crate::lisp) fn new(
        at: Instant,
        kind: &'static str,
        peer: SocketAddr,
        refusing: Refusing,
    ) -> Self {
        let Refusing { eid, reason, detail } = refusing;
        Self { at, kind, peer, eid, reason, detail, times: 1 }
    }

    /// True when only port, time and details differ.
    fn resembles(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.peer.ip() == other.peer.ip()
            && self.eid == other.eid
            && self.reason == other.reason
    }

    /// For programs.
    pub fn status(&self, now: Instant) -> RefusedStatus {
        RefusedStatus {
            ago: now.since(self.at).as_secs_f64(),
            message: self.kind,
            from: self.peer.to_string(),
            eid_prefix: self.eid.map(|eid| eid.to_string()),
            reason: self.reason.word(),
            detail: self.detail.clone(),
            times: self.times,
        }
    }
}

/// Cases kept.
const RECENT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn flood_is_counted_in_full_and_kept_as_one_case() {
        let (mut refused, mut out) = (Refused::default(), Actions::default());
        for port in 0..5000 {
            let peer = SocketAddr::from(([192, 0, 2, 1], port));
            let now = Instant::after_start(Duration::from_secs(1));
            let refusing = Refusing::new(Refusal::WrongKey, None, "site1");
            refused.add(Case::new(now, "map-register", peer, refusing), &mut out);
        }
        assert_eq!(refused.count(Refusal::WrongKey), 5000);
        assert_eq!(refused.recent().count(), 1, "one case, many times");
        assert_eq!(refused.recent().next().unwrap().times, 5000);
        assert_eq!(out.0.len(), 5000, "how many are told is decided for all roles together");
    }
}
