//! Entries of the FIB: a leaf for each, found by the tries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use weft_fib::{EidKey, Route, Update, Usage};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

use super::carried::Carried;
use super::numbers::Numbers;
use super::pairs::put;
use super::scopes::{Parts, Scopes};
use crate::ebpf::layout::Leaf;
use crate::ebpf::records::{Reading, Records, Table, first, join, publish, split};
use crate::ebpf::slab::Slab;
use crate::ebpf::trie::{self, Start, Trie};

/// The leaves and the tries that lead to them.
pub(super) struct Routes {
    trie: Trie,
    /// Of the prefixes for every source, by instance, IPv4 and IPv6.
    roots: HashMap<InstanceId, [Root; 2], RandomState>,
    scopes: Scopes,
    slab: Slab,
    /// By leaf.
    entries: Vec<Option<Entry>>,
    numbers: Numbers,
    /// There was no node for an entry.
    lacks_nodes: bool,
}

/// The trie of an instance and a family.
#[derive(Clone, Copy, Default)]
struct Root {
    start: Start,
    prefixes: u32,
}

struct Entry {
    target: Target,
    usage: Arc<Usage>,
    carried: Reading<2>,
    /// Differs from that of who had the leaf before.
    life: u32,
}

/// What the program does with packets to a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Leaves them to the portable plane.
    Other,
    /// Delivers those it decapsulated.
    Local,
    /// Encapsulates them by a record of a group.
    Encapsulate(u32),
}

impl Target {
    fn record(self, prefix: Prefix, life: u32) -> u64 {
        let length = u32::from(prefix.length());
        let (kind, group) = match self {
            Self::Other => (Leaf::NONE, 0),
            Self::Local => (Leaf::LOCAL, 0),
            Self::Encapsulate(group) => (Leaf::ENCAP, group),
        };
        join([kind | length << Leaf::KIND_BITS | life << Leaf::BELOW_LIFE, group])
    }
}

impl Routes {
    pub(super) fn new(records: &impl Records) -> Self {
        let mut slab = Slab::endless();
        // The tries use one leaf themselves. No prefix is longer than what nobody knows.
        let unknown = slab.take_one();
        debug_assert_eq!(unknown, Some(trie::UNKNOWN));
        let longest = ((1 << Leaf::LENGTH_BITS) - 1) << Leaf::KIND_BITS;
        publish(records.words(Table::Leaves, trie::UNKNOWN), join([longest, 0]));
        Self {
            trie: Trie::new(records.records(Table::Nodes)),
            roots: HashMap::default(),
            scopes: Scopes::default(),
            slab,
            entries: Vec::new(),
            numbers: Numbers::default(),
            lacks_nodes: false,
        }
    }

    /// Makes place for entries that will come.
    pub(super) fn expect(&mut self, entries: usize) {
        self.numbers.reserve(entries);
        self.entries.reserve(entries);
    }

    /// Makes or changes an entry; gives what was done before.
    pub(super) fn set(
        &mut self,
        records: &impl Records,
        now: Instant,
        key: EidKey,
        target: Target,
        usage: Arc<Usage>,
    ) -> Option<Target> {
        let prefix = key.eid.prefix;
        if let Some(leaf) = self.numbers.get(key) {
            let entry = self.entries.get_mut(leaf as usize)?.as_mut()?;
            publish(records.words(Table::Leaves, leaf), target.record(prefix, entry.life));
            entry.usage = usage;
            return Some(std::mem::replace(&mut entry.target, target));
        }
        let leaf = self.slab.take_one().unwrap_or(0);
        let record = records.words(Table::Leaves, leaf);
        let life = (split(first(record))[0] >> Leaf::BELOW_LIFE).wrapping_add(1) & LIVES;
        publish(record, target.record(prefix, life));
        let carried = Reading::new(records, Table::Carried, leaf);
        put(&mut self.entries, leaf, Entry { target, usage, carried, life });
        self.numbers.insert(key, leaf);
        self.insert(records, now, key, leaf);
        None
    }

    /// Forgets an entry; gives what was done.
    pub(super) fn clear(
        &mut self,
        records: &impl Records,
        now: Instant,
        key: EidKey,
    ) -> Option<Target> {
        let leaf = self.numbers.remove(key)?;
        let entry = self.entries.get_mut(leaf as usize)?.take()?;
        self.remove(records, now, key, leaf);
        self.slab.release(now, leaf, 1);
        Some(entry.target)
    }

    /// Where lookups begin, IPv4 and IPv6.
    pub(super) fn starts(&self, instance: InstanceId) -> [Start; 2] {
        let roots = self.roots.get(&instance).copied().unwrap_or_default();
        let start = |root: Root, ipv6| {
            // What may be an entry for every source must not yield to one for this source.
            let lacks_root = root.prefixes > 0 && root.start.root == 0;
            let scopes = match self.scopes.root(instance, ipv6) {
                known if known != 0 && lacks_root => Start::UNKNOWN,
                known => known,
            };
            Start { scopes, ..root.start }
        };
        let [v4, v6] = roots;
        [start(v4, false), start(v6, true)]
    }

    /// Moves what was counted to the FIB's counters.
    pub(super) fn sync(&mut self, records: &impl Records) {
        let life = |leaf: u32| self.entries.get(leaf as usize)?.as_ref().map(|entry| entry.life);
        let carried = Carried::read(records, |leaf, alive| life(leaf) == Some(alive));
        for (leaf, entry) in (0..).zip(&mut self.entries) {
            let Some(entry) = entry else { continue };
            if let Some([packets, bytes]) = entry.carried.take_up_to(carried.of(records, leaf)) {
                entry.usage.add(packets, bytes);
            }
        }
    }

    /// All entries, in order: neighbours share nodes, which are then still in the processor's
    /// cache. `encapsulate` gives the route of a record of a group.
    pub(super) fn snapshot(
        &self,
        encapsulate: impl Fn(u32) -> Route,
    ) -> impl Iterator<Item = Update> {
        self.numbers.in_order().filter_map(move |(key, leaf)| {
            let entry = self.entries.get(leaf as usize)?.as_ref()?;
            let route = match entry.target {
                Target::Local => Route::Local,
                Target::Encapsulate(group) => encapsulate(group),
                Target::Other => Route::Resolve,
            };
            Some(Update::Route { key, route, usage: entry.usage.clone() })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The leaves it gives out.
    pub(super) fn slab(&self) -> &Slab {
        &self.slab
    }

    /// True when there was no node for some entry. What the program knows of its addresses is then
    /// that it does not know.
    pub(super) fn lacks_nodes(&self) -> bool {
        self.lacks_nodes
    }

    /// Nodes in use.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> u32 {
        self.trie.nodes()
    }

    /// How many nodes there should be instead of `now`.
    pub(super) fn nodes_needed(&self, now: u32) -> u32 {
        let wanted = self.trie.nodes_wanted(now, self.lacks_nodes);
        if self.lacks_nodes {
            let entries =
                self.numbers.iter().map(|(key, _)| ((key.eid.instance, key.from), key.eid.prefix));
            let entries = trie::estimate(entries);
            return wanted.max(entries.saturating_add(trie::estimate(self.scopes.names())));
        }
        wanted
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.trie.wake(now);
        self.slab.wake(now);
    }

    fn insert(&mut self, records: &impl Records, now: Instant, key: EidKey, leaf: u32) {
        let EidKey { eid, from } = key;
        if let Some(from) = from {
            let mut parts = Parts { records, trie: &mut self.trie, leaves: &mut self.slab };
            let inserted = self.scopes.insert(&mut parts, (eid.instance, from), eid.prefix, leaf);
            self.lacks_nodes |= inserted.is_err();
            return;
        }
        let Root { start, prefixes } = root(&mut self.roots, eid);
        *prefixes += 1;
        // Where the first prefix got no root, later ones must not look as if they were all.
        if *prefixes == 1 {
            start.root = self.trie.root(records).unwrap_or(0);
        }
        let inserted =
            start.root != 0 && self.trie.insert(records, start.root, eid.prefix, leaf).is_ok();
        self.lacks_nodes |= !inserted;
        if !eid.prefix.is_ipv6() {
            self.trie.widen(records, now, start, *prefixes);
        }
    }

    fn remove(&mut self, records: &impl Records, now: Instant, key: EidKey, leaf: u32) {
        let EidKey { eid, from } = key;
        let beside = |prefix| EidKey { eid: EidPrefix::new(eid.instance, prefix), from };
        let heir = heir(eid.prefix, |prefix| self.numbers.get(beside(prefix)));
        if let Some(from) = from {
            let mut parts = Parts { records, trie: &mut self.trie, leaves: &mut self.slab };
            let whose = (eid.instance, from);
            return self.scopes.remove(&mut parts, now, whose, (eid.prefix, leaf, heir));
        }
        let root = root(&mut self.roots, eid);
        root.prefixes -= 1;
        if root.start.root != 0 {
            self.trie.remove(records, now, root.start.root, eid.prefix, leaf, heir);
        }
        if root.prefixes > 0 {
            return;
        }
        self.trie.forget(now, std::mem::take(root).start);
        let empty = |roots: &[Root; 2]| roots.iter().all(|root| root.prefixes == 0);
        if self.roots.get(&eid.instance).is_some_and(empty) {
            self.roots.remove(&eid.instance);
        }
    }
}

/// Bits of a life's number.
const LIVES: u32 = u32::MAX >> Leaf::BELOW_LIFE;

/// The leaf of whoever has the addresses of a prefix that goes, within its home; 0 = nobody. `exact`
/// gives the leaf of a prefix.
pub(super) fn heir(prefix: Prefix, exact: impl FnMut(Prefix) -> Option<u32>) -> u32 {
    trie::heirs(prefix).find_map(exact).unwrap_or(0)
}

fn root(roots: &mut HashMap<InstanceId, [Root; 2], RandomState>, eid: EidPrefix) -> &mut Root {
    &mut roots.entry(eid.instance).or_default()[usize::from(eid.prefix.is_ipv6())]
}
