//! Longest-prefix match the way the program does it: tries of octets with path compression.
//!
//! A node stands for the octets above it and has a slot for each value of the next one. A prefix
//! belongs to the node in whose octet it ends, its *home*, and fills the slots it covers there
//! unless a longer one has them. Where a slot leads to a deeper node, the prefix sits in that
//! node's `leaf` instead, for which a node just below its home is made if need be.
//!
//! Every change of an answer is the store of one word, and what it leads to is complete before.
//! So a reader gets the answer of before or after, without locks.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use weft_packet::addr::Prefix;

use super::layout;
use super::records::{Full, Records, Table, fill, join, split};
use super::slab::{self, Slab};

mod wide;

/// The tries of all instances and families. Each is known by its root, a node.
pub(super) struct Trie {
    nodes: Slab,
    /// The length of the prefix of each leaf.
    lengths: Vec<u8>,
    /// The first nodes of what is kept side by side ([`Start::wide`]).
    wide: BTreeSet<u32>,
}

/// Where lookups begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// The root, 0 while there is no prefix, or no node for it.
    pub(super) root: u32,
    /// The first of 256 nodes of depth 1, for each first octet, where lookups can begin; 0 = there
    /// are no such nodes.
    pub(super) wide: u32,
    /// The root of the trie of source-prefixes with entries of their own, 0 = there are none.
    pub(super) scopes: u32,
}

impl Start {
    /// No node: says of source-prefixes that it is not known which there are.
    pub(super) const UNKNOWN: u32 = u32::MAX;
}

/// The octets of an address, IPv4 in the first four, as a big-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Nothing,
    Leaf(u32),
    Node(u32),
}

/// The words of a node: its path (two), depth and leaf, and the slots in pairs.
#[derive(Clone, Copy)]
struct Node<'a>(&'a [AtomicU64]);

impl Trie {
    pub(super) fn new(nodes: u32) -> Self {
        Self { nodes: Slab::new(nodes), lengths: vec![0, u8::MAX], wide: BTreeSet::new() }
    }

    /// A trie of its own: an empty node of depth 0.
    pub(super) fn root(&mut self, records: &impl Records) -> Result<u32, Full> {
        self.node(records, Key(0), 0)
    }

    /// Forgets an empty trie nobody can reach any more.
    pub(super) fn forget(&mut self, now: Instant, start: Start) {
        self.nodes.release(now, start.root, 1);
        self.narrow(now, start.wide);
    }

    /// Nodes in use.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> u32 {
        self.nodes.used()
    }

    /// How many nodes there should be in a place to make the tries anew in, instead of `now`. If
    /// they ran out then more in any case: those that rest may have been too many.
    pub(super) fn nodes_wanted(&self, now: u32, ran_out: bool) -> u32 {
        let octets = size_of::<layout::Node>();
        let wanted = self.nodes.wanted(now, octets);
        if ran_out { wanted.max(slab::larger(now, octets)) } else { wanted }
    }

    /// Lets nodes that rested long enough be used again.
    pub(super) fn wake(&mut self, now: Instant) {
        self.nodes.wake(now);
    }

    /// Has addresses of `prefix` answered by `leaf`, unless a longer prefix has them.
    ///
    /// # Errors
    /// When nodes run out. The answer for addresses of the prefix, and for some around it, is
    /// then [`UNKNOWN`] instead of a wrong one, and the tries should be made anew with more.
    pub(super) fn insert(
        &mut self,
        records: &impl Records,
        root: u32,
        prefix: Prefix,
        leaf: u32,
    ) -> Result<(), Full> {
        let at = leaf as usize;
        if at >= self.lengths.len() {
            self.lengths.resize(at + 1, 0);
        }
        self.lengths[at] = prefix.length();
        let Some(place) = Place::of(prefix) else {
            Node::of(records, root).set_leaf(leaf);
            return Ok(());
        };
        let home = self.home(records, root, place)?;
        let mut result = Ok(());
        for slot in place.slots() {
            result = self.cover(records, home, slot, leaf, place).and(result);
        }
        result
    }

    /// Has addresses answered by `leaf`, the leaf of `prefix`, answered by `heir` instead: the
    /// leaf of the longest shorter prefix of the same home that covers it (see [`heirs`]), or 0.
    pub(super) fn remove(
        &mut self,
        records: &impl Records,
        now: Instant,
        root: u32,
        prefix: Prefix,
        leaf: u32,
        heir: u32,
    ) {
        let Some(place) = Place::of(prefix) else {
            Node::of(records, root).set_leaf(heir);
            return;
        };
        let Some((home, mut above)) = find_home(records, root, place) else { return };
        let node = Node::of(records, home);
        for slot in place.slots() {
            match node.slot(slot) {
                Slot::Leaf(old) if old == leaf => node.end(slot, heir),
                Slot::Node(child) if node.leaf_below(records, slot) == leaf => {
                    node.lead(records, slot, child, heir);
                    self.tidy(records, now, home, slot);
                }
                Slot::Leaf(_) | Slot::Node(_) | Slot::Nothing => {}
            }
        }
        while let Some((parent, slot)) = above.pop() {
            self.tidy(records, now, parent, slot);
        }
    }

    /// The node at the depth where the prefix ends, made if there is none.
    fn home(&mut self, records: &impl Records, root: u32, place: Place) -> Result<u32, Full> {
        let Place { key, depth, .. } = place;
        let mut at = root;
        loop {
            let node = Node::of(records, at);
            if node.depth() >= depth {
                return Ok(at);
            }
            let slot = key.octet(node.depth());
            let below = node.slot(slot);
            // The depth up to which what is there and the way home have in common.
            let shared = match below {
                Slot::Nothing => depth,
                Slot::Leaf(_) => node.depth() + 1,
                Slot::Node(child) => {
                    let child_node = Node::of(records, child);
                    let shared = key.shared(child_node.path()).min(child_node.depth()).min(depth);
                    if shared == child_node.depth() {
                        at = child;
                        continue;
                    }
                    shared
                }
            };
            let Ok(fork) = self.node(records, key, shared) else {
                node.end(slot, UNKNOWN);
                return Err(Full);
            };
            let fork_node = Node::of(records, fork);
            let mut above = 0;
            match below {
                Slot::Nothing => {}
                Slot::Leaf(leaf) => above = leaf,
                Slot::Node(child) => {
                    let path = Node::of(records, child).path();
                    fork_node.lead(records, path.octet(shared), child, 0);
                }
            }
            let home = if shared == depth {
                fork
            } else {
                let Ok(home) = self.node(records, key, depth) else {
                    self.nodes.give_back(fork, 1);
                    node.end(slot, UNKNOWN);
                    return Err(Full);
                };
                fork_node.lead(records, key.octet(shared), home, 0);
                home
            };
            node.lead(records, slot, fork, above);
            return Ok(home);
        }
    }

    /// Gives one slot of a prefix's home to its leaf, unless a longer prefix has it.
    fn cover(
        &mut self,
        records: &impl Records,
        home: u32,
        slot: u8,
        leaf: u32,
        place: Place,
    ) -> Result<(), Full> {
        let node = Node::of(records, home);
        match node.slot(slot) {
            Slot::Nothing => node.end(slot, leaf),
            Slot::Leaf(old) if self.yields(old, leaf) => node.end(slot, leaf),
            Slot::Leaf(_) => {}
            Slot::Node(child) => {
                let below = place.depth + 1;
                let child_node = Node::of(records, child);
                if child_node.depth() == below {
                    let old = node.leaf_below(records, slot);
                    if old == 0 || self.yields(old, leaf) {
                        node.lead(records, slot, child, leaf);
                    }
                    return Ok(());
                }
                let path = child_node.path();
                let Ok(between) = self.node(records, path, below) else {
                    node.end(slot, UNKNOWN);
                    return Err(Full);
                };
                Node::of(records, between).lead(records, path.octet(below), child, 0);
                node.lead(records, slot, between, leaf);
            }
        }
        Ok(())
    }

    /// True when the prefix of `old` is not longer than that of `leaf`.
    fn yields(&self, old: u32, leaf: u32) -> bool {
        let length = |leaf: u32| self.lengths.get(leaf as usize).copied().unwrap_or(0);
        length(old) <= length(leaf)
    }

    /// Takes a node out of its parent's slot when the slot can say as much without it.
    fn tidy(&mut self, records: &impl Records, now: Instant, parent: u32, slot: u8) {
        let parent = Node::of(records, parent);
        let Slot::Node(child) = parent.slot(slot) else { return };
        if self.is_wide(child) {
            return;
        }
        let node = Node::of(records, child);
        let leaf = parent.leaf_below(records, slot);
        match node.only() {
            Only::Nothing => parent.end(slot, leaf),
            Only::One(Slot::Node(below)) if leaf == 0 => {
                let octet = Node::of(records, below).path().octet(node.depth());
                if node.leaf_below(records, octet) != 0 {
                    return;
                }
                parent.lead(records, slot, below, 0);
            }
            Only::One(_) | Only::More => return,
        }
        self.nodes.release(now, child, 1);
    }

    /// A new node with the first `depth` octets of `key` above it, and nothing below.
    fn node(&mut self, records: &impl Records, key: Key, depth: u32) -> Result<u32, Full> {
        let unused_from = self.nodes.unused_from();
        let index = self.nodes.take_one().ok_or(Full)?;
        let Key(path) = key.first(depth);
        let [high, low] = halves(path);
        let head = [high, low, join([depth, 0])];
        // What was never used is still zero.
        let rest = if index < unused_from { usize::MAX } else { 0 };
        let zeros = std::iter::repeat_n(0, rest);
        fill(records.words(Table::Nodes, index), head.into_iter().chain(zeros));
        Ok(index)
    }
}

/// The leaf of the longest prefix that contains `address`, 0 when none does. The program does the
/// same; tests hold both to it.
#[cfg(test)]
pub(super) fn lookup(records: &impl Records, start: Start, address: IpAddr) -> u32 {
    let key = Key::of(address);
    let likely = if start.wide == 0 { 0 } else { likely_match(records, start.wide, key) };
    if likely == 0 { longest_match(records, start.root, key) } else { likely }
}

/// The same from the first of the nodes that lie side by side, 0 when that takes more than to follow
/// the octets.
#[cfg(test)]
fn likely_match(records: &impl Records, wide: u32, key: Key) -> u32 {
    let mut at = wide + u32::from(key.octet(0));
    for depth in 1..4 {
        let number = Node::of(records, at).number(key.octet(depth));
        if number & layout::Node::CHILD == 0 {
            return if number & layout::Node::SKIPS == 0 { number } else { 0 };
        }
        at = number & layout::Node::INDEX;
    }
    0
}

#[cfg(test)]
fn longest_match(records: &impl Records, root: u32, key: Key) -> u32 {
    let (mut at, mut above, mut depth, mut skips) = (root, root, 0, false);
    for _ in 0..=16 {
        if at == 0 {
            break;
        }
        let node = Node::of(records, at);
        if skips {
            depth = node.depth();
            if key.first(depth) != node.path() {
                break;
            }
        }
        let number = node.number(key.octet(depth));
        match Slot::from_number(number) {
            Slot::Nothing => break,
            Slot::Leaf(leaf) => return leaf,
            Slot::Node(child) => at = child,
        }
        if number & layout::Node::LEAFED != 0 {
            above = at;
        }
        skips = number & layout::Node::SKIPS != 0;
        depth += 1;
    }
    Node::of(records, above).leaf()
}

/// The prefixes that may inherit the addresses of `prefix` within its home, longest first.
pub(super) fn heirs(prefix: Prefix) -> impl Iterator<Item = Prefix> {
    let parent = |of: &Prefix| of.parent().filter(|parent| parent.length() % 8 != 0);
    std::iter::successors(parent(&prefix), parent)
}

/// About how many nodes these prefixes need, each with the name of its trie, rounded up to a power of
/// two: one where a prefix ends or paths part, and some more for prefixes above others.
pub(super) fn estimate<T: Copy + Ord>(prefixes: impl Iterator<Item = (T, Prefix)>) -> u32 {
    let mut homes: Vec<_> = prefixes
        .flat_map(|(trie, prefix)| {
            let home = Place::of(prefix).map(|place| (place.key.first(place.depth), place.depth));
            let node = move |(key, depth)| (trie, prefix.is_ipv6(), key, depth);
            std::iter::once((Key(0), 0)).chain(home).map(node)
        })
        .collect();
    homes.sort_unstable();
    homes.dedup();
    let mut forks: Vec<_> = homes
        .windows(2)
        .filter_map(|pair| {
            let [(trie, v6, key, depth), (other_trie, other_v6, other, _)] = *pair else {
                return None;
            };
            let shared = key.shared(other);
            let part = (trie, v6) == (other_trie, other_v6) && shared < depth;
            part.then(|| (trie, v6, key.first(shared), shared))
        })
        .filter(|fork| homes.binary_search(fork).is_err())
        .collect();
    forks.sort_unstable();
    forks.dedup();
    let nodes = homes.len() + forks.len() + 1;
    u32::try_from((nodes + nodes / 4).next_power_of_two()).unwrap_or(u32::MAX)
}

/// A leaf that says no more than that the answer is not known.
pub(super) const UNKNOWN: u32 = 1;

/// Where a prefix that is not of length 0 belongs.
#[derive(Clone, Copy)]
struct Place {
    key: Key,
    /// Of the home.
    depth: u32,
    length: u8,
}

impl Place {
    fn of(prefix: Prefix) -> Option<Self> {
        let length = prefix.length();
        let depth = u32::from(length.checked_sub(1)? / 8);
        Some(Self { key: Key::of(prefix.address()), depth, length })
    }

    /// The slots of the home that the prefix covers.
    fn slots(self) -> impl Iterator<Item = u8> {
        let first = self.key.octet(self.depth);
        let free = (8 - self.length % 8) % 8;
        first..=first | ((1u8 << free) - 1)
    }
}

/// The home of a prefix, and the nodes above it with the slots that lead down; `None` when there
/// is no home.
fn find_home(records: &impl Records, root: u32, place: Place) -> Option<(u32, Vec<(u32, u8)>)> {
    let mut above = Vec::new();
    let mut at = root;
    loop {
        let node = Node::of(records, at);
        let depth = node.depth();
        if depth >= place.depth {
            let found = depth == place.depth && place.key.first(depth) == node.path();
            return found.then_some((at, above));
        }
        let slot = place.key.octet(depth);
        let Slot::Node(child) = node.slot(slot) else { return None };
        above.push((at, slot));
        at = child;
    }
}

impl Key {
    fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
            IpAddr::V6(a) => a.to_bits(),
        })
    }

    fn octet(self, at: u32) -> u8 {
        self.0.to_be_bytes().get(at as usize).copied().unwrap_or(0)
    }

    /// The key with only its first octets.
    fn first(self, octets: u32) -> Self {
        Self(self.0 & !u128::MAX.checked_shr(8 * octets).unwrap_or(0))
    }

    /// How many first octets are the same.
    fn shared(self, other: Self) -> u32 {
        (self.0 ^ other.0).leading_zeros() / 8
    }
}

/// The high and the low half.
fn halves(number: u128) -> [u64; 2] {
    let octets = number.to_be_bytes();
    let (halves, _) = octets.as_chunks();
    [u64::from_be_bytes(halves[0]), u64::from_be_bytes(halves[1])]
}

impl Slot {
    fn leaf(index: u32) -> Self {
        if index == 0 { Self::Nothing } else { Self::Leaf(index) }
    }

    fn from_number(number: u32) -> Self {
        match number & (layout::Node::CHILD | layout::Node::SKIPS) {
            0 => Self::leaf(number),
            _ => Self::Node(number & layout::Node::INDEX),
        }
    }
}

/// How much a node holds below it.
enum Only {
    Nothing,
    One(Slot),
    More,
}

impl<'a> Node<'a> {
    fn of(records: &'a impl Records, index: u32) -> Self {
        Self(records.words(Table::Nodes, index))
    }

    fn path(self) -> Key {
        let word = |at: usize| u128::from(self.0.get(at).map_or(0, |word| word.load(Relaxed)));
        Key(word(0) << 64 | word(1))
    }

    fn depth(self) -> u32 {
        let [depth, _] = self.pair(DEPTH_AND_LEAF);
        depth
    }

    fn leaf(self) -> u32 {
        let [_, leaf] = self.pair(DEPTH_AND_LEAF);
        leaf
    }

    fn set_leaf(self, leaf: u32) {
        let [depth, _] = self.pair(DEPTH_AND_LEAF);
        self.set_pair(DEPTH_AND_LEAF, [depth, leaf]);
    }

    fn slot(self, octet: u8) -> Slot {
        Slot::from_number(self.number(octet))
    }

    fn number(self, octet: u8) -> u32 {
        let pair = self.pair(SLOTS + usize::from(octet / 2));
        pair[usize::from(octet % 2)]
    }

    /// Ends the way of an octet here.
    fn end(self, octet: u8, leaf: u32) {
        self.set_number(octet, leaf);
    }

    /// Leads an octet to a child, which is complete, and has `leaf` answer for addresses the
    /// child knows nothing of, 0 for none. That takes the mark away and leaves the child's leaf as
    /// it was: a reader may be on its way there.
    fn lead(self, records: &impl Records, octet: u8, child: u32, leaf: u32) {
        let node = Node::of(records, child);
        let skips = node.depth() != self.depth() + 1;
        debug_assert!(leaf == 0 || !skips, "the octets it skips are not the child's to answer for");
        let mark = match (leaf, skips) {
            (0, false) => layout::Node::CHILD,
            (0, true) => layout::Node::SKIPS,
            _ => layout::Node::CHILD | layout::Node::LEAFED,
        };
        if leaf != 0 {
            node.set_leaf(leaf);
        }
        self.set_number(octet, mark | child);
    }

    /// The leaf of the child an octet leads to, 0 if none counts.
    fn leaf_below(self, records: &impl Records, octet: u8) -> u32 {
        let number = self.number(octet);
        match number & layout::Node::LEAFED {
            0 => 0,
            _ => Node::of(records, number & layout::Node::INDEX).leaf(),
        }
    }

    fn set_number(self, octet: u8, number: u32) {
        let at = SLOTS + usize::from(octet / 2);
        let mut pair = self.pair(at);
        pair[usize::from(octet % 2)] = number;
        self.set_pair(at, pair);
    }

    fn only(self) -> Only {
        let mut only = Only::Nothing;
        for word in self.0.get(SLOTS..).unwrap_or_default() {
            for number in split(word.load(Relaxed)).into_iter().filter(|number| *number != 0) {
                only = match only {
                    Only::Nothing => Only::One(Slot::from_number(number)),
                    Only::One(_) | Only::More => return Only::More,
                };
            }
        }
        only
    }

    fn pair(self, at: usize) -> [u32; 2] {
        self.0.get(at).map_or([0, 0], |word| split(word.load(Acquire)))
    }

    /// There is one writer, so a word that was read is still the same.
    fn set_pair(self, at: usize, pair: [u32; 2]) {
        if let Some(word) = self.0.get(at) {
            word.store(join(pair), Release);
        }
    }
}

/// Words of a node.
const DEPTH_AND_LEAF: usize = std::mem::offset_of!(layout::Node, depth) / 8;
const SLOTS: usize = std::mem::offset_of!(layout::Node, next) / 8;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "time has to start somewhere")]
mod tests;
