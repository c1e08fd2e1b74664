//! Solicitations (SMRs): a site says that a mapping changed, so it is asked for again.
//!
//! An EID-prefix is asked for at most once in 3 s (RFC 9301 §6.1). A solicitation that comes
//! sooner is not lost: it says that the answer just received may be out of date, so it is asked
//! once more when the time has passed. One that comes before the answer to an earlier one is the
//! same news: a site tells each of our RLOCs.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_packet::addr::EidPrefix;

use crate::engine::{Instant, Timers};

/// What was solicited lately: each EID-prefix, and whether it was again.
#[derive(Debug, Default)]
pub(super) struct Solicited {
    again: BTreeMap<EidPrefix, bool>,
    rest: Timers<EidPrefix>,
}

/// What to do about a solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask.
    Ask,
    /// It will be asked later.
    Later,
    /// Too many at once: it is not taken.
    Full,
}

impl Solicited {
    /// A solicitation came; `busy` when the EID-prefix is being asked for already.
    pub(super) fn came(&mut self, now: Instant, eid: EidPrefix, busy: bool) -> Verdict {
        if let Some(again) = self.again.get_mut(&eid) {
            *again |= !busy;
            return Verdict::Later;
        }
        if self.again.len() >= LIMIT {
            return Verdict::Full;
        }
        self.again.insert(eid, busy);
        self.rest.set(eid, now + INTERVAL);
        if busy { Verdict::Later } else { Verdict::Ask }
    }

    /// An EID-prefix to be asked for now.
    pub(super) fn due(&mut self, now: Instant) -> Option<EidPrefix> {
        while let Some(eid) = self.rest.due(now) {
            if self.again.remove(&eid) == Some(true) {
                self.again.insert(eid, false);
                self.rest.set(eid, now + INTERVAL);
                return Some(eid);
            }
        }
        None
    }

    /// When the next is due.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        self.rest.next()
    }
}

/// RFC 9301 §6.1: between Map-Requests for one EID-prefix.
const INTERVAL: Duration = Duration::from_secs(3);
/// EID-prefixes solicited within that time.
const LIMIT: usize = 4096;
