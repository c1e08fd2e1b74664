//! Solicitations (SMRs): a site says that a mapping changed, so it is asked for again.
//!
//! An EID-prefix is asked for at most once in 3 s (RFC 9301 §6.1). A solicitation that comes
//! sooner is not lost: it says that the answer just received may be out of date, so it is asked
//! once more when the time has passed. One that comes before the answer to an earlier one, or has
//! its nonce, is the same news: a site tells each of our RLOCs. To ask again for that would keep the
//! next news waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_packet::addr::{EidPrefix, Nonce};

use crate::engine::{Instant, Timers};

/// What was solicited lately.
#[derive(Debug, Default)]
pub(super) struct Solicited {
    lately: BTreeMap<EidPrefix, Solicitation>,
    rest: Timers<EidPrefix>,
}

#[derive(Debug)]
struct Solicitation {
    /// Of the last one that was news.
    nonce: Nonce,
    /// Whether there was news that nobody asked for yet.
    again: bool,
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
    pub(super) fn came(
        &mut self,
        now: Instant,
        eid: EidPrefix,
        nonce: Nonce,
        busy: bool,
    ) -> Verdict {
        if let Some(known) = self.lately.get_mut(&eid) {
            if !busy && known.nonce != nonce {
                *known = Solicitation { nonce, again: true };
            }
            return Verdict::Later;
        }
        if self.lately.len() >= LIMIT {
            return Verdict::Full;
        }
        self.lately.insert(eid, Solicitation { nonce, again: busy });
        self.rest.set(eid, now + INTERVAL);
        if busy { Verdict::Later } else { Verdict::Ask }
    }

    /// An EID-prefix to be asked for now.
    pub(super) fn due(&mut self, now: Instant) -> Option<EidPrefix> {
        while let Some(eid) = self.rest.due(now) {
            let Some(mut known) = self.lately.remove(&eid).filter(|known| known.again) else {
                continue;
            };
            known.again = false;
            self.lately.insert(eid, known);
            self.rest.set(eid, now + INTERVAL);
            return Some(eid);
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
