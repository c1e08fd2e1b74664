//! Where the tables are: records of 64-bit words that the program reads while we write them.
//!
//! In the kernel they are maps; tests and measurements use plain memory. Every word is read whole
//! or not at all, so whatever must change at once lies within one. A word that makes others
//! reachable is stored after them, with release ordering.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};

use super::layout::{Choice, Hop, Leaf, Node, PairKey, Slots, Traffic};

/// A table of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Nodes,
    Leaves,
    Groups,
    Ways,
    Slots,
    Hops,
    Traffic,
}

/// How many records each table has. There is traffic for each pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Nodes of the tries.
    pub nodes: u32,
    /// EID-prefixes.
    pub leaves: u32,
    /// Path groups.
    pub groups: u32,
    /// Locators of groups.
    pub ways: u32,
    /// Different tables that share flows.
    pub slots: u32,
    /// Locators by uplinks.
    pub hops: u32,
    /// Pairs of a local and a remote locator.
    pub pairs: u32,
}

/// A table has no room. What was to be written into it is remembered but not, or not wholly,
/// where the program reads: the tables must be rebuilt in a larger place, and until then answer
/// as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a table of the fast path is full")]
pub struct Full;

/// The tables' memory.
pub(super) trait Records {
    /// How many records a table has.
    fn records(&self, table: Table) -> u32;

    /// The words of a record, none when there is no such record.
    fn words(&self, table: Table, index: u32) -> &[AtomicU64];

    /// Has what comes from `key.remote` to `key.local` counted in a record of traffic.
    fn set_pair(&mut self, key: PairKey, traffic: u32) -> Result<(), Full>;

    /// Has it counted no more.
    fn clear_pair(&mut self, key: PairKey);
}

impl Table {
    /// Words of a record.
    pub(super) const fn width(self) -> usize {
        let octets = match self {
            Self::Nodes => size_of::<Node>(),
            Self::Leaves => size_of::<Leaf>(),
            Self::Groups | Self::Ways => size_of::<Choice>(),
            Self::Slots => size_of::<Slots>(),
            Self::Hops => size_of::<Hop>(),
            Self::Traffic => size_of::<Traffic>(),
        };
        octets / size_of::<u64>()
    }
}

/// Writes a record nobody can reach yet.
pub(super) fn fill(words: &[AtomicU64], values: impl IntoIterator<Item = u64>) {
    for (word, value) in words.iter().zip(values) {
        word.store(value, Relaxed);
    }
}

/// Changes a record of one word: the program sees it after everything written before.
pub(super) fn publish(words: &[AtomicU64], value: u64) {
    if let Some(word) = words.first() {
        word.store(value, Release);
    }
}

/// The first word of a record, 0 when there is no such record.
#[cfg(test)]
pub(super) fn first(words: &[AtomicU64]) -> u64 {
    words.first().map_or(0, |word| word.load(Relaxed))
}

/// Takes what a record of two counters counted, and lets it count from zero.
pub(super) fn take_counts(words: &[AtomicU64]) -> Option<[u64; 2]> {
    let [a, b] = words else { return None };
    if a.load(Relaxed) == 0 && b.load(Relaxed) == 0 {
        return None;
    }
    Some([a.swap(0, Relaxed), b.swap(0, Relaxed)])
}

/// Two numbers in one word, in the order of a structure's fields.
pub(super) fn join([first, second]: [u32; 2]) -> u64 {
    let mut octets = [0; 8];
    let (halves, _) = octets.as_chunks_mut();
    halves[0] = first.to_ne_bytes();
    halves[1] = second.to_ne_bytes();
    u64::from_ne_bytes(octets)
}

/// The two numbers of a word.
pub(super) fn split(word: u64) -> [u32; 2] {
    let octets = word.to_ne_bytes();
    let (halves, _) = octets.as_chunks();
    [u32::from_ne_bytes(halves[0]), u32::from_ne_bytes(halves[1])]
}

/// Tables in plain memory.
pub(super) struct Memory {
    tables: [Box<[AtomicU64]>; 7],
    pairs: HashMap<PairKey, u32>,
    most_pairs: usize,
}

impl Memory {
    /// Zeroed tables of these sizes.
    pub(super) fn new(sizes: &Capacities) -> Self {
        let tables = [
            (Table::Nodes, sizes.nodes),
            (Table::Leaves, sizes.leaves),
            (Table::Groups, sizes.groups),
            (Table::Ways, sizes.ways),
            (Table::Slots, sizes.slots),
            (Table::Hops, sizes.hops),
            (Table::Traffic, sizes.pairs),
        ]
        .map(|(table, records)| {
            let words = records as usize * table.width();
            std::iter::repeat_with(AtomicU64::default).take(words).collect()
        });
        Self { tables, pairs: HashMap::new(), most_pairs: sizes.pairs as usize }
    }

    /// The record of traffic between two locators.
    #[cfg(test)]
    pub(super) fn pair(&self, key: PairKey) -> Option<u32> {
        self.pairs.get(&key).copied()
    }
}

impl Records for Memory {
    fn records(&self, table: Table) -> u32 {
        let records = self.tables[table as usize].len() / table.width();
        u32::try_from(records).unwrap_or(u32::MAX)
    }

    fn words(&self, table: Table, index: u32) -> &[AtomicU64] {
        let start = index as usize * table.width();
        self.tables[table as usize].get(start..start + table.width()).unwrap_or_default()
    }

    fn set_pair(&mut self, key: PairKey, traffic: u32) -> Result<(), Full> {
        if self.pairs.len() >= self.most_pairs && !self.pairs.contains_key(&key) {
            return Err(Full);
        }
        self.pairs.insert(key, traffic);
        Ok(())
    }

    fn clear_pair(&mut self, key: PairKey) {
        self.pairs.remove(&key);
    }
}
