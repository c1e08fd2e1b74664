//! A remote RLOC in use: its pairs, and what they say about it together.

use weft_fib::{LocatorState, UplinkId};
use weft_packet::addr::EidPrefix;

use super::conversation::Conversation;
use super::link::Link;
use super::pair::Pair;
use super::status::State;
use crate::engine::Instant;

/// A remote RLOC.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    /// Probes ask for this.
    pub(super) about: EidPrefix,
    /// In use; otherwise it is only kept to find out when a dead uplink works again.
    pub(super) watched: bool,
    /// Its rounds are spread over the interval; those of RLOCs learned together start together.
    pub(super) spread: bool,
    /// One for each uplink of its family, in the order of their numbers.
    pub(super) pairs: Vec<Pair>,
    /// It answered a probe at least once.
    pub(super) answered: bool,
    /// Data came from it.
    pub(super) heard: bool,
    /// Data packets to and from it, through all uplinks.
    pub(super) data: Conversation,
    /// What the forwarding table was last told.
    pub(super) published: LocatorState,
    /// What operators were last told.
    pub(super) state: State,
    /// Since when that holds.
    pub(super) since: Instant,
    /// Why, for people.
    pub(super) why: String,
}

/// What the pairs say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// For the forwarding table.
    pub(super) forwarding: LocatorState,
    /// For operators: no pair answers, after all retries.
    pub(super) down: bool,
}

impl Remote {
    pub(super) fn new(now: Instant, about: EidPrefix) -> Self {
        Self {
            about,
            watched: true,
            spread: false,
            pairs: Vec::new(),
            answered: false,
            heard: false,
            data: Conversation::default(),
            published: LocatorState::default(),
            state: State::Unknown,
            since: now,
            why: "not probed yet".to_owned(),
        }
    }

    pub(super) fn pair(&self, uplink: UplinkId) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.uplink == uplink)
    }

    pub(super) fn pair_mut(&mut self, uplink: UplinkId) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.uplink == uplink)
    }

    /// True for a peer that does not take part in probing, yet lives.
    pub(super) fn is_mute(&self) -> bool {
        self.heard && !self.answered
    }

    /// True when it showed that it lives since its state changed last.
    pub(super) fn confirmed(&self) -> bool {
        let alive = |pair: &&Pair| !pair.is_failed() && pair.answered_after(self.since);
        self.is_mute() || self.pairs.iter().any(|pair| alive(&pair))
    }

    /// The verdict of the pairs over the `links` of its family; `None` when no link can tell.
    pub(super) fn judge<'a>(&self, links: impl Iterator<Item = &'a Link>) -> Option<Judgement> {
        let living = links.filter(|link| link.dead.is_none());
        let pairs: Vec<_> =
            living.filter_map(|l| self.pair(l.id.uplink).map(|pair| (l, pair))).collect();
        if pairs.is_empty() {
            return None;
        }
        let up = Judgement { forwarding: LocatorState::default(), down: false };
        if self.is_mute() {
            return Some(up);
        }
        if pairs.iter().all(|(_, pair)| pair.is_failed()) {
            let forwarding = LocatorState { down: true, not_via: Vec::new() };
            return Some(Judgement { forwarding, down: true });
        }
        let mut forwarding = LocatorState::default();
        if pairs.iter().all(|(_, pair)| pair.is_avoided()) {
            forwarding.down = pairs.iter().any(|(link, pair)| others_answer(link, pair));
        } else {
            let avoided = pairs.iter().filter(|(_, pair)| pair.is_avoided());
            forwarding.not_via = avoided.map(|(_, pair)| pair.uplink).collect();
        }
        Some(Judgement { forwarding, ..up })
    }
}

/// True when another RLOC answered through `link` while `pair` was asked in vain.
fn others_answer(link: &Link, pair: &Pair) -> bool {
    link.last_answer.zip(pair.silent_since()).is_some_and(|(answer, since)| answer > since)
}
