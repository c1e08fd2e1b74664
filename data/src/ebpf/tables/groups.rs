//! Path groups: which run of ways each has, and which entries name it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use weft_fib::{Group, GroupId, Update};

use super::pairs::{Pairs, put};
use super::ways::{UsedChoice, UsedWay, Ways};
use crate::ebpf::records::{Records, Table, fill, publish};
use crate::ebpf::slab::Slab;

/// The records of groups and the runs of ways.
pub(super) struct Groups {
    slab: Slab,
    ways: Slab,
    numbers: HashMap<GroupId, u32, RandomState>,
    /// By record.
    entries: Vec<Option<Entry>>,
}

struct Entry {
    id: GroupId,
    /// Entries of the FIB that name it.
    users: u32,
    /// The group; entries may name one that is not made yet, or no more.
    group: Option<Arc<Group>>,
    used: Option<Used>,
}

/// What a group uses.
struct Used {
    /// The first record of its run of ways.
    first: u32,
    ways: Vec<UsedWay>,
    choice: UsedChoice,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            slab: Slab::endless(),
            ways: Slab::endless(),
            numbers: HashMap::default(),
            entries: Vec::new(),
        }
    }
}

impl Groups {
    /// The record of a group, for an entry that names it from now on.
    pub(super) fn join(&mut self, id: GroupId) -> u32 {
        let number = self.number(id);
        if let Some(entry) = self.entry(number) {
            entry.users += 1;
        }
        number
    }

    /// An entry names a group no more.
    pub(super) fn leave(&mut self, now: Instant, number: u32) {
        if let Some(entry) = self.entry(number) {
            entry.users -= 1;
        }
        self.forget_if_unused(now, number);
    }

    /// Makes or replaces a group. Flows see the old ways or the new ones.
    pub(super) fn set(
        &mut self,
        records: &impl Records,
        now: Instant,
        (ways, pairs): (&mut Ways, &mut Pairs),
        id: GroupId,
        group: &Arc<Group>,
    ) {
        let number = self.number(id);
        let used = (!group.ways().is_empty()).then(|| self.claim(records, ways, pairs, group));
        let record = used.as_ref().map_or(0, |used| used.choice.record(used.first));
        publish(records.words(Table::Groups, number), record);
        let Some(entry) = self.entry(number) else { return };
        entry.group = Some(group.clone());
        let old = std::mem::replace(&mut entry.used, used);
        self.give_back(records, now, (ways, pairs), old);
    }

    /// Forgets a group. Entries that name it still have no way.
    pub(super) fn clear(
        &mut self,
        records: &impl Records,
        now: Instant,
        parts: (&mut Ways, &mut Pairs),
        id: GroupId,
    ) {
        let Some(&number) = self.numbers.get(&id) else { return };
        publish(records.words(Table::Groups, number), 0);
        let Some(entry) = self.entry(number) else { return };
        entry.group = None;
        let old = entry.used.take();
        self.give_back(records, now, parts, old);
        self.forget_if_unused(now, number);
    }

    /// The name of the group of a record.
    pub(super) fn id(&self, number: u32) -> Option<GroupId> {
        Some(self.entries.get(number as usize)?.as_ref()?.id)
    }

    pub(super) fn snapshot(&self) -> impl Iterator<Item = Update> {
        self.entries
            .iter()
            .flatten()
            .filter_map(|entry| Some(Update::Group(entry.id, entry.group.clone()?)))
    }

    /// The records it gives out.
    pub(super) fn slabs(&self) -> [(Table, &Slab); 2] {
        [(Table::Groups, &self.slab), (Table::Ways, &self.ways)]
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.slab.wake(now);
        self.ways.wake(now);
    }

    /// The record of a group, made where there is none.
    fn number(&mut self, id: GroupId) -> u32 {
        if let Some(&number) = self.numbers.get(&id) {
            return number;
        }
        let number = self.slab.take_one().unwrap_or(0);
        put(&mut self.entries, number, Entry { id, users: 0, group: None, used: None });
        self.numbers.insert(id, number);
        number
    }

    fn entry(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries.get_mut(number as usize)?.as_mut()
    }

    /// Writes the ways of a group, which nobody is told of yet.
    fn claim(
        &mut self,
        records: &impl Records,
        ways: &mut Ways,
        pairs: &mut Pairs,
        group: &Group,
    ) -> Used {
        let first = self.ways.take(group.ways().len()).unwrap_or(0);
        let used: Vec<_> = group.ways().iter().map(|way| ways.claim(records, pairs, way)).collect();
        for (index, way) in (first..).zip(&used) {
            fill(records.words(Table::Ways, index), [way.record()]);
        }
        Used { first, ways: used, choice: ways.choice(records, group.slots()) }
    }

    fn give_back(
        &mut self,
        records: &impl Records,
        now: Instant,
        (ways, pairs): (&mut Ways, &mut Pairs),
        used: Option<Used>,
    ) {
        let Some(used) = used else { return };
        self.ways.release(now, used.first, used.ways.len());
        ways.give_back_choice(now, &used.choice);
        for way in used.ways {
            ways.give_back(records, now, pairs, way);
        }
    }

    fn forget_if_unused(&mut self, now: Instant, number: u32) {
        let Some(entry) = self.entry(number) else { return };
        if entry.users > 0 || entry.group.is_some() {
            return;
        }
        let id = entry.id;
        self.entries[number as usize] = None;
        self.numbers.remove(&id);
        self.slab.release(now, number, 1);
    }
}
