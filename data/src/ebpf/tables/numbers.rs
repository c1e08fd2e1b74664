//! The leaf of each entry. Nearly all are for packets of every source; a key without room for one is
//! half the size, and a table of a million is as fast as it is small.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use weft_fib::EidKey;
use weft_packet::addr::EidPrefix;

/// Leaves by what their entries match.
#[derive(Default)]
pub(super) struct Numbers {
    for_all: HashMap<EidPrefix, u32, RandomState>,
    scoped: HashMap<EidKey, u32, RandomState>,
}

impl Numbers {
    /// Makes place for entries that will come.
    pub(super) fn reserve(&mut self, entries: usize) {
        self.for_all.reserve(entries);
    }

    pub(super) fn get(&self, key: EidKey) -> Option<u32> {
        match key.from {
            None => self.for_all.get(&key.eid).copied(),
            Some(_) => self.scoped.get(&key).copied(),
        }
    }

    pub(super) fn insert(&mut self, key: EidKey, leaf: u32) {
        match key.from {
            None => self.for_all.insert(key.eid, leaf),
            Some(_) => self.scoped.insert(key, leaf),
        };
    }

    pub(super) fn remove(&mut self, key: EidKey) -> Option<u32> {
        match key.from {
            None => self.for_all.remove(&key.eid),
            Some(_) => self.scoped.remove(&key),
        }
    }

    /// All of them, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EidKey, u32)> {
        let for_all = self.for_all.iter().map(|(eid, leaf)| (EidKey::from(*eid), *leaf));
        for_all.chain(self.scoped.iter().map(|(key, leaf)| (*key, *leaf)))
    }

    /// All of them, neighbours side by side.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (EidKey, u32)> + use<> {
        let mut for_all: Vec<_> = self.for_all.iter().map(|(eid, leaf)| (*eid, *leaf)).collect();
        let mut scoped: Vec<_> = self.scoped.iter().map(|(key, leaf)| (*key, *leaf)).collect();
        for_all.sort_unstable();
        scoped.sort_unstable();
        for_all.into_iter().map(|(eid, leaf)| (EidKey::from(eid), leaf)).chain(scoped)
    }

    pub(super) fn len(&self) -> usize {
        self.for_all.len() + self.scoped.len()
    }
}
