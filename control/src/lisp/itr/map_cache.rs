//! The map-cache: what is known of EID-prefixes, found by longest match, bounded by instance.
//!
//! Entries are in the order of their last use too, negative ones apart: when an instance is full
//! the one unused for the longest time makes room, and no scan of unused address space pushes
//! out more than a share of the mappings in use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use weft_fib::GroupId;
use weft_packet::addr::{EidPrefix, InstanceId};
use weft_packet::lisp;

use crate::engine::{Instant, Usage};
use crate::lisp::eid_table::EidTable;

/// What a mapping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// There are locators.
    Positive(GroupId),
    /// There are none; this is to be done.
    Negative(lisp::Action),
}

impl Content {
    pub(super) fn is_negative(self) -> bool {
        matches!(self, Self::Negative(_))
    }

    /// True when packets to it shall be asked for.
    pub(super) fn asks(self) -> bool {
        self == Self::Negative(lisp::Action::SendMapRequest)
    }
}

/// A cached mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) content: Content,
    /// Who said so.
    pub(super) from: IpAddr,
    /// It was the site itself.
    pub(super) authoritative: bool,
    /// Said first, and last.
    pub(super) created: Instant,
    pub(super) confirmed: Instant,
    /// When it is asked for again if it is in use, and when it ends if it is not.
    pub(super) refresh: Instant,
    pub(super) expires: Instant,
    /// What it had carried when last looked at, and when that had grown.
    pub(super) usage: Usage,
    pub(super) used: Instant,
    /// When a packet to it was asked for last, where it says to ask.
    pub(super) asked: Option<Instant>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct MapCache {
    entries: EidTable<Entry>,
    by_use: BTreeMap<(InstanceId, Negative), BTreeSet<(Instant, EidPrefix)>>,
}

type Negative = bool;

impl MapCache {
    pub(super) fn get(&self, eid: EidPrefix) -> Option<&Entry> {
        self.entries.get(eid)
    }

    pub(super) fn longest(&self, eid: EidPrefix) -> Option<(EidPrefix, &Entry)> {
        self.entries.longest(eid)
    }

    /// What covers `eid` most closely, itself left out.
    pub(super) fn above(&self, eid: EidPrefix) -> Option<(EidPrefix, &Entry)> {
        self.entries.above(eid)
    }

    /// What lies inside `eid`, itself included.
    pub(super) fn inside(&self, eid: EidPrefix) -> impl Iterator<Item = (EidPrefix, &Entry)> {
        self.entries.inside(eid)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (EidPrefix, &Entry)> {
        self.entries.iter()
    }

    /// How many there are, in all instances.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many there are in an instance: positive ones, negative ones.
    pub(super) fn counts(&self, instance: InstanceId) -> (usize, usize) {
        let count = |negative| self.by_use.get(&(instance, negative)).map_or(0, BTreeSet::len);
        (count(false), count(true))
    }

    /// Adds or replaces an entry.
    pub(super) fn insert(&mut self, eid: EidPrefix, entry: Entry) {
        self.remove(eid);
        self.order(eid, entry.content.is_negative()).insert((entry.used, eid));
        self.entries.insert(eid, entry);
    }

    pub(super) fn remove(&mut self, eid: EidPrefix) -> Option<Entry> {
        let entry = self.entries.remove(eid)?;
        self.order(eid, entry.content.is_negative()).remove(&(entry.used, eid));
        Some(entry)
    }

    /// Changes an entry in place.
    pub(super) fn update(&mut self, eid: EidPrefix, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(eid) else { return };
        let before = (entry.used, entry.content.is_negative());
        change(entry);
        let after = (entry.used, entry.content.is_negative());
        if before != after {
            self.order(eid, before.1).remove(&(before.0, eid));
            self.order(eid, after.1).insert((after.0, eid));
        }
    }

    /// The entry of an instance that was not used for the longest time; of the negative ones, or
    /// of all.
    pub(super) fn least_used(&self, instance: InstanceId, negative: bool) -> Option<EidPrefix> {
        let first = |negative| self.by_use.get(&(instance, negative))?.first();
        let positive = if negative { None } else { first(false) };
        [positive, first(true)].into_iter().flatten().min().map(|(_, eid)| *eid)
    }

    fn order(&mut self, eid: EidPrefix, negative: Negative) -> &mut BTreeSet<(Instant, EidPrefix)> {
        self.by_use.entry((eid.instance, negative)).or_default()
    }
}
