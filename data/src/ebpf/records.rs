//! Where the tables are: records of 64-bit words that the program reads while we write them.
//!
//! In the kernel they are maps; tests and measurements use plain memory. Every word is read whole
//! or not at all, so whatever must change at once lies within one. A word that makes others
//! reachable is stored after them, with release ordering.

#[cfg(test)]
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};

use super::layout::{
    Choice, Group, Hop, KnownHop, Leaf, Locator, Node, PairKey, Received, Slots, Tunnel, Verdict,
    Volume,
};

/// A table of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Nodes,
    Leaves,
    Groups,
    Ways,
    Slots,
    Hops,
    Locators,
    /// Counters, one for each leaf.
    Carried,
    /// Counters, one for each pair.
    Received,
    /// What each processor keeps of answers, and counts for leaves.
    Verdicts,
    /// The same of hops: one for each, by which it counts.
    NextHops,
    /// The same of pairs of locators.
    Tunnels,
}

/// How many records each table has.
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
    /// Locators in the locator-sets of groups.
    pub locators: u32,
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
    /// How many records a table has: of those for each processor, how many each has.
    fn records(&self, table: Table) -> u32;

    /// How many tables for each processor there are, one behind the other.
    fn processors(&self) -> u32;

    /// The words of a record, none when there is no such record.
    fn words(&self, table: Table, index: u32) -> &[AtomicU64];

    /// Has what comes from `key.remote` to `key.local` counted in a record of received.
    fn set_pair(&mut self, key: PairKey, received: u32) -> Result<(), Full>;

    /// Has it counted no more.
    fn clear_pair(&mut self, key: PairKey);
}

impl Table {
    /// Words of a record.
    pub(super) const fn width(self) -> usize {
        let octets = match self {
            Self::Nodes => size_of::<Node>(),
            Self::Leaves => size_of::<Leaf>(),
            Self::Groups => size_of::<Group>(),
            Self::Ways => size_of::<Choice>(),
            Self::Slots => size_of::<Slots>(),
            Self::Hops => size_of::<Hop>(),
            Self::Locators => size_of::<Locator>(),
            Self::Carried => size_of::<Volume>(),
            Self::Received => size_of::<Received>(),
            Self::NextHops => size_of::<KnownHop>(),
            Self::Tunnels => size_of::<Tunnel>(),
            Self::Verdicts => size_of::<Verdict>(),
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

/// Changes the first of these words: the program sees it after everything written before.
pub(super) fn publish(words: &[AtomicU64], value: u64) {
    if let Some(word) = words.first() {
        word.store(value, Release);
    }
}

/// The first word of a record, 0 when there is no such record.
pub(super) fn first(words: &[AtomicU64]) -> u64 {
    words.first().map_or(0, |word| word.load(Relaxed))
}

/// The first `N` words of a record that are counters, and how far they were read. The program alone
/// writes them, so it needs no atomic addition; they never go back, also when the record is used for
/// something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<const N: usize> {
    table: Table,
    index: u32,
    read: [u64; N],
}

impl<const N: usize> Reading<N> {
    /// Counts from now on.
    pub(super) fn new(records: &impl Records, table: Table, index: u32) -> Self {
        Self { table, index, read: sums(records, table, index) }
    }

    /// What was counted in all, since the start.
    pub(super) fn now(&self, records: &impl Records) -> [u64; N] {
        sums(records, self.table, self.index)
    }

    /// What was counted since the last time, `None` = nothing.
    pub(super) fn take(&mut self, records: &impl Records) -> Option<[u64; N]> {
        self.take_up_to(self.now(records))
    }

    /// The same, where `now` is what was counted in all. It may be less than the last time.
    pub(super) fn take_up_to(&mut self, now: [u64; N]) -> Option<[u64; N]> {
        let new = std::array::from_fn(|which| now[which].saturating_sub(self.read[which]));
        self.read = std::array::from_fn(|which| self.read[which].max(now[which]));
        (new != [0; N]).then_some(new)
    }
}

/// What all processors counted in the first words of a record.
pub(super) fn sums<const N: usize>(records: &impl Records, table: Table, index: u32) -> [u64; N] {
    let each = records.records(table);
    let mut sums = [0_u64; N];
    if index >= each {
        return sums;
    }
    for processor in 0..records.processors() {
        for (sum, word) in sums.iter_mut().zip(records.words(table, processor * each + index)) {
            *sum = sum.wrapping_add(word.load(Relaxed));
        }
    }
    sums
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
#[cfg(test)]
pub(super) struct Memory {
    tables: [Box<[AtomicU64]>; 12],
    pairs: HashMap<PairKey, u32>,
    most_pairs: usize,
}

#[cfg(test)]
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
            (Table::Locators, sizes.locators),
            (Table::Carried, PROCESSORS * sizes.leaves),
            (Table::Received, PROCESSORS * sizes.pairs),
            (Table::Verdicts, PROCESSORS * CACHED),
            (Table::NextHops, PROCESSORS * sizes.hops),
            (Table::Tunnels, PROCESSORS * CACHED),
        ]
        .map(|(table, records)| {
            let words = records as usize * table.width();
            std::iter::repeat_with(AtomicU64::default).take(words).collect()
        });
        Self { tables, pairs: HashMap::new(), most_pairs: sizes.pairs as usize }
    }

    /// Where what comes from one locator to another is counted.
    pub(super) fn pair(&self, key: PairKey) -> Option<u32> {
        self.pairs.get(&key).copied()
    }
}

#[cfg(test)]
impl Records for Memory {
    fn records(&self, table: Table) -> u32 {
        let records = self.tables[table as usize].len() / table.width();
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        match table {
            Table::Carried
            | Table::Received
            | Table::Verdicts
            | Table::NextHops
            | Table::Tunnels => records / PROCESSORS,
            _ => records,
        }
    }

    fn processors(&self) -> u32 {
        PROCESSORS
    }

    fn words(&self, table: Table, index: u32) -> &[AtomicU64] {
        let start = index as usize * table.width();
        self.tables[table as usize].get(start..start + table.width()).unwrap_or_default()
    }

    fn set_pair(&mut self, key: PairKey, received: u32) -> Result<(), Full> {
        if self.pairs.len() >= self.most_pairs && !self.pairs.contains_key(&key) {
            return Err(Full);
        }
        self.pairs.insert(key, received);
        Ok(())
    }

    fn clear_pair(&mut self, key: PairKey) {
        self.pairs.remove(&key);
    }
}

/// Of tables in plain memory, which no program fills.
#[cfg(test)]
const PROCESSORS: u32 = 2;
#[cfg(test)]
const CACHED: u32 = 4;

#[cfg(test)]
mod tests {
    use super::super::LEAST;
    use super::*;

    #[test]
    fn what_all_processors_counted_is_read_once() {
        let records = Memory::new(&LEAST);
        let count = |processor: u32, what| {
            let word = &records.words(Table::Received, processor * LEAST.pairs + 1)[0];
            word.fetch_add(what, Relaxed);
        };
        let mut reading = Reading::new(&records, Table::Received, 1);
        assert_eq!(reading.take(&records), None);
        (0..PROCESSORS).for_each(|part| count(part, 5));
        assert_eq!(reading.take(&records), Some([10]));
        assert_eq!(reading.take(&records), None);
        let mut next = Reading::new(&records, Table::Received, 1);
        count(1, 3);
        assert_eq!(next.take(&records), Some([3]), "whoever uses the record next");
        assert_eq!(next.take_up_to([12]), None, "less than before");
        count(0, 1);
        assert_eq!(next.take(&records), Some([1]), "as if it had not been less");
        let mut absent = Reading::<1>::new(&records, Table::Received, LEAST.pairs);
        assert_eq!(absent.take(&records), None, "no record, though there is memory behind");
    }
}
