//! Source-prefixes that have entries of their own (RFC 8060 §4.8). A trie of them leads to a leaf for
//! each, which tells the trie of its entries, and the next wider source-prefix that contains it. The
//! program looks into all of these.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;
#[cfg(test)]
use std::{net::IpAddr, sync::atomic::Ordering::Relaxed};

use foldhash::fast::RandomState;
use weft_packet::addr::{InstanceId, Prefix};

use crate::ebpf::layout::Leaf;
use crate::ebpf::records::{Full, Records, Table, first, join, publish, split};
use crate::ebpf::slab::Slab;
#[cfg(test)]
use crate::ebpf::trie;
use crate::ebpf::trie::{Start, Trie};

/// The source-prefixes of all instances and families.
#[derive(Default)]
pub(super) struct Scopes(HashMap<(InstanceId, bool), Family, RandomState>);

/// Those of an instance and a family.
#[derive(Default)]
struct Family {
    /// Of the trie of source-prefixes; 0 = there was no node for it.
    root: u32,
    scopes: BTreeMap<Prefix, Scope>,
}

/// A source-prefix.
struct Scope {
    leaf: u32,
    /// What the leaf said of who had it before.
    before: u32,
    /// Of the trie of its entries; 0 = there was no node for it.
    root: u32,
    entries: u32,
    /// The leaf of the longest other source-prefix that contains this one, 0 = there is none.
    wider: u32,
}

impl Scope {
    fn publish(&self, records: &impl Records) {
        let word = join([self.wider << Leaf::KIND_BITS, self.root]);
        publish(records.words(Table::Leaves, self.leaf), word);
    }
}

/// What the tries and their leaves are made of.
pub(super) struct Parts<'a, R> {
    pub(super) records: &'a R,
    pub(super) trie: &'a mut Trie,
    pub(super) leaves: &'a mut Slab,
}

impl Scopes {
    /// The root of the trie of source-prefixes, 0 = there are none. Where they are not all to be found,
    /// it is [`Start::UNKNOWN`].
    pub(super) fn root(&self, instance: InstanceId, ipv6: bool) -> u32 {
        match self.0.get(&(instance, ipv6)) {
            None => 0,
            Some(family) if family.root == 0 => Start::UNKNOWN,
            Some(family) => family.root,
        }
    }

    /// All source-prefixes.
    pub(super) fn names(&self) -> impl Iterator<Item = (InstanceId, Prefix)> {
        let families = self.0.iter();
        families
            .flat_map(|((instance, _), family)| family.scopes.keys().map(|from| (*instance, *from)))
    }

    /// Makes an entry for packets from a source-prefix.
    ///
    /// # Errors
    /// When nodes run out. The program then knows that it does not know.
    pub(super) fn insert<R: Records>(
        &mut self,
        parts: &mut Parts<'_, R>,
        (instance, from): (InstanceId, Prefix),
        prefix: Prefix,
        leaf: u32,
    ) -> Result<(), Full> {
        let family = self.0.entry((instance, from.is_ipv6())).or_insert_with(|| Family {
            root: parts.trie.root(parts.records).unwrap_or(0),
            scopes: BTreeMap::new(),
        });
        if let Some(scope) = family.scopes.get_mut(&from) {
            scope.entries += 1;
            return scope.insert(parts, prefix, leaf);
        }
        let scope = family.scope(parts, from);
        let inserted = scope.insert(parts, prefix, leaf);
        scope.publish(parts.records);
        let (own, wider) = (scope.leaf, scope.wider);
        family.scopes.insert(from, scope);
        let root = family.root;
        let led =
            if root == 0 { Err(Full) } else { parts.trie.insert(parts.records, root, from, own) };
        family.widen(parts.records, from, wider, own);
        inserted.and(led)
    }

    /// Forgets an entry for packets from a source-prefix. `heir` gives the leaf of what has its
    /// addresses then, as for [`Trie::remove`].
    pub(super) fn remove<R: Records>(
        &mut self,
        parts: &mut Parts<'_, R>,
        now: Instant,
        (instance, from): (InstanceId, Prefix),
        (prefix, leaf, heir): (Prefix, u32, u32),
    ) {
        let key = (instance, from.is_ipv6());
        let Some(family) = self.0.get_mut(&key) else { return };
        let Some(scope) = family.scopes.get_mut(&from) else { return };
        scope.entries -= 1;
        if scope.root != 0 {
            parts.trie.remove(parts.records, now, scope.root, prefix, leaf, heir);
        }
        if scope.entries > 0 {
            return;
        }
        family.forget(parts, now, from);
        if family.scopes.is_empty() {
            parts.trie.forget(now, Start { root: family.root, ..Start::default() });
            self.0.remove(&key);
        }
    }
}

impl Scope {
    fn insert<R: Records>(
        &self,
        parts: &mut Parts<'_, R>,
        prefix: Prefix,
        leaf: u32,
    ) -> Result<(), Full> {
        if self.root == 0 {
            return Err(Full);
        }
        parts.trie.insert(parts.records, self.root, prefix, leaf)
    }
}

impl Family {
    /// A scope with room for one entry, which nobody can reach yet.
    fn scope<R: Records>(&self, parts: &mut Parts<'_, R>, from: Prefix) -> Scope {
        let leaf = parts.leaves.take_one().unwrap_or(0);
        let [before, _] = split(first(parts.records.words(Table::Leaves, leaf)));
        let root = parts.trie.root(parts.records).unwrap_or(0);
        let wider = self.wider(from).map_or(0, |scope| scope.leaf);
        Scope { leaf, before, root, entries: 1, wider }
    }

    /// The longest scope that contains a prefix and is another.
    fn wider(&self, from: Prefix) -> Option<&Scope> {
        let mut wider = std::iter::successors(from.parent(), |prefix| prefix.parent());
        wider.find_map(|prefix| self.scopes.get(&prefix))
    }

    /// Forgets a scope without entries.
    fn forget<R: Records>(&mut self, parts: &mut Parts<'_, R>, now: Instant, from: Prefix) {
        let Some(scope) = self.scopes.remove(&from) else { return };
        self.widen(parts.records, from, scope.leaf, scope.wider);
        if self.root != 0 {
            let exact = |prefix| self.scopes.get(&prefix).map(|scope| scope.leaf);
            let heir = super::routes::heir(from, exact);
            parts.trie.remove(parts.records, now, self.root, from, scope.leaf, heir);
        }
        parts.trie.forget(now, Start { root: scope.root, ..Start::default() });
        // Whoever has the leaf next follows those who had it before.
        publish(parts.records.words(Table::Leaves, scope.leaf), join([scope.before, 0]));
        parts.leaves.release(now, scope.leaf, 1);
    }

    /// Has scopes within `from` that led on to the leaf `before` lead on to `after`.
    fn widen(&mut self, records: &impl Records, from: Prefix, before: u32, after: u32) {
        let inside = self.scopes.range_mut(from..).take_while(|(prefix, _)| from.covers(**prefix));
        for (prefix, scope) in inside {
            if *prefix != from && scope.wider == before {
                scope.wider = after;
                scope.publish(records);
            }
        }
    }
}

/// The leaf for packets from one address to another, as the program finds it; 0 = there is none.
#[cfg(test)]
pub(super) fn lookup(
    records: &impl Records,
    start: Start,
    source: IpAddr,
    destination: IpAddr,
) -> u32 {
    let in_trie =
        |root, address| trie::lookup(records, Start { root, ..Start::default() }, address);
    let word = |leaf| records.words(Table::Leaves, leaf).first().map(|word| word.load(Relaxed));
    let length = |leaf| {
        let kind = word(leaf).map_or(u32::MAX, |word| split(word)[0]);
        kind >> Leaf::KIND_BITS & ((1 << Leaf::LENGTH_BITS) - 1)
    };
    let mut best = trie::lookup(records, start, destination);
    let mut scope = match start.scopes {
        0 => 0,
        Start::UNKNOWN => trie::UNKNOWN,
        root => in_trie(root, source),
    };
    let mut scoped = 0;
    while scope != 0 {
        let record = word(scope).filter(|_| scope != trie::UNKNOWN).unwrap_or(0);
        let [wider, root] = split(record);
        let found = if root == 0 { trie::UNKNOWN } else { in_trie(root, destination) };
        if found != 0 && (scoped == 0 || length(found) > length(scoped)) {
            scoped = found;
        }
        scope = wider >> Leaf::KIND_BITS;
    }
    if scoped != 0 && (best == 0 || length(scoped) >= length(best)) {
        best = scoped;
    }
    best
}
