//! Where the tables are: records of 64-bit words that the program reads while we write them.
//!
//! In the kernel they are maps; tests and measurements use plain memory. Every word is read whole
//! or not at all, so whatever must change at once lies within one. A word that makes others
//! reachable is stored after them, with release ordering.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};

use super::layout::{
    Choice, Group, Hop, Leaf, Locator, Node, PairKey, Slots, Traffic, Verdict, Volume,
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
    Traffic,
    /// What each processor keeps of answers, and counts for leaves.
    Verdicts,
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
            Self::Groups => size_of::<Group>(),
            Self::Ways => size_of::<Choice>(),
            Self::Slots => size_of::<Slots>(),
            Self::Hops => size_of::<Hop>(),
            Self::Locators => size_of::<Locator>(),
            Self::Carried => size_of::<Volume>(),
            Self::Traffic => size_of::<Traffic>(),
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

/// Two counters of a record, of [`Table::Carried`] or [`Table::Traffic`], and how far they were read.
/// The program alone writes them, so it needs no atomic addition; they never go back, also when the
/// record is used for something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    table: Table,
    index: u32,
    read: [u64; 2],
}

impl Reading {
    /// Counts from now on.
    pub(super) fn new(records: &impl Records, table: Table, index: u32) -> Self {
        Self { table, index, read: sums(records, table, index) }
    }

    /// What was counted since the last time, `None` = nothing.
    pub(super) fn take(&mut self, records: &impl Records) -> Option<[u64; 2]> {
        self.take_up_to(sums(records, self.table, self.index))
    }

    /// The same, where `now` is what was counted in all. It may be less than the last time.
    pub(super) fn take_up_to(&mut self, now: [u64; 2]) -> Option<[u64; 2]> {
        let new = [0, 1].map(|which| now[which].saturating_sub(self.read[which]));
        self.read = [0, 1].map(|which| self.read[which].max(now[which]));
        (new != [0, 0]).then_some(new)
    }
}

/// What all processors counted in a record.
pub(super) fn sums(records: &impl Records, table: Table, index: u32) -> [u64; 2] {
    let each = records.records(table);
    let mut sums = [0_u64; 2];
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
pub(super) struct Memory {
    tables: [Box<[AtomicU64]>; 10],
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
            (Table::Locators, sizes.locators),
            (Table::Carried, PROCESSORS * sizes.leaves),
            (Table::Traffic, PROCESSORS * sizes.pairs),
            (Table::Verdicts, PROCESSORS * VERDICTS),
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
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        if matches!(table, Table::Carried | Table::Traffic | Table::Verdicts) {
            records / PROCESSORS
        } else {
            records
        }
    }

    fn processors(&self) -> u32 {
        PROCESSORS
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

/// Of tables in plain memory, which no program fills.
const PROCESSORS: u32 = 2;
const VERDICTS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::super::LEAST;
    use super::*;

    #[test]
    fn what_all_processors_counted_is_read_once() {
        let records = Memory::new(&LEAST);
        let count = |processor: u32, what| {
            let word = &records.words(Table::Traffic, processor * LEAST.pairs + 1)[0];
            word.fetch_add(what, Relaxed);
        };
        let mut reading = Reading::new(&records, Table::Traffic, 1);
        assert_eq!(reading.take(&records), None);
        (0..PROCESSORS).for_each(|part| count(part, 5));
        assert_eq!(reading.take(&records), Some([10, 0]));
        assert_eq!(reading.take(&records), None);
        let mut next = Reading::new(&records, Table::Traffic, 1);
        count(1, 3);
        assert_eq!(next.take(&records), Some([3, 0]), "whoever uses the record next");
        assert_eq!(next.take_up_to([12, 0]), None, "less than before");
        count(0, 1);
        assert_eq!(next.take(&records), Some([1, 0]), "as if it had not been less");
        let mut absent = Reading::new(&records, Table::Traffic, LEAST.pairs);
        assert_eq!(absent.take(&records), None, "no record, though there is memory behind");
    }
}
