//! In a trie of many IPv4 prefixes the nodes of depth 1 lie side by side, one for each first octet,
//! so that lookups can begin there and need only to follow the octets. The root leads to them as to
//! any other nodes.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Instant;

use super::{Node, SLOTS, Slot, Start, Trie, halves};
use crate::ebpf::records::{Records, Table, fill, join};

/// One for each first octet.
const NODES: usize = 256;

/// How many prefixes a trie has that is worth so many nodes, and after how many more it is tried
/// again.
const FROM: u32 = 256;
const STEP: u32 = 256;

impl Trie {
    /// Makes the trie of IPv4 at `start`, of so many prefixes, a wide one if that is worth it, and if
    /// there are nodes for it.
    pub(in crate::ebpf) fn widen(
        &mut self,
        records: &impl Records,
        now: Instant,
        start: &mut Start,
        prefixes: u32,
    ) {
        if start.wide != 0 || start.root == 0 || prefixes < FROM || !prefixes.is_multiple_of(STEP) {
            return;
        }
        let Some(first) = self.nodes.take(NODES) else { return };
        self.wide.insert(first);
        for (index, octet) in (first..).zip(0..=u8::MAX) {
            self.replace(records, now, start.root, octet, index);
        }
        start.wide = first;
    }

    /// Releases the nodes that lie side by side, if there are any.
    pub(super) fn narrow(&mut self, now: Instant, first: u32) {
        if self.wide.remove(&first) {
            self.nodes.release(now, first, NODES);
        }
    }

    /// Whether a node is one of those that lie side by side. It stays, whatever it holds.
    pub(super) fn is_wide(&self, node: u32) -> bool {
        let first = self.wide.range(..=node).next_back();
        first.is_some_and(|first| ((node - first) as usize) < NODES)
    }

    /// Has the node `index`, of depth 1, answer for addresses of a first octet in the place of what
    /// does so now.
    fn replace(&mut self, records: &impl Records, now: Instant, root: u32, octet: u8, index: u32) {
        let root = Node::of(records, root);
        let [high, low] = halves(u128::from(octet) << 120);
        let zeros = std::iter::repeat_n(0, Table::Nodes.width());
        let empty = [high, low, join([1, 0])].into_iter().chain(zeros);
        let words = records.words(Table::Nodes, index);
        fill(words, empty);
        let (mut leaf, mut replaced) = (0, 0);
        match root.slot(octet) {
            Slot::Nothing => {}
            Slot::Leaf(here) => leaf = here,
            Slot::Node(child) => {
                let node = Node::of(records, child);
                if node.depth() == 1 {
                    (leaf, replaced) = (root.leaf_below(records, octet), child);
                    let slots = node.0.iter().skip(SLOTS).map(|word| word.load(Acquire));
                    words
                        .iter()
                        .skip(SLOTS)
                        .zip(slots)
                        .for_each(|(to, slot)| to.store(slot, Relaxed));
                } else {
                    Node(words).lead(records, node.path().octet(1), child, 0);
                }
            }
        }
        root.lead(records, octet, index, leaf);
        self.nodes.release(now, replaced, 1);
    }
}
