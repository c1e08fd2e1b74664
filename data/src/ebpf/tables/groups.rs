//! Path groups: which ways and which locators each has, and which entries name it.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use weft_fib::{Group, GroupId, Update};

use super::pairs::{Pairs, put};
use super::shared::{Claim, Shared};
use super::ways::{UsedChoice, UsedWay, Ways};
use crate::ebpf::layout::mapped;
use crate::ebpf::records::{Records, Table, fill, join, publish};
use crate::ebpf::slab::Slab;

/// The records of groups and the runs of ways and locators.
pub(super) struct Groups {
    slab: Slab,
    ways: Slab,
    locators: Shared<Box<[Locator]>>,
    numbers: HashMap<GroupId, u32, RandomState>,
    /// By record.
    entries: Vec<Option<Entry>>,
}

/// The address of a locator as the program reads it.
type Locator = [u64; Table::Locators.width()];

struct Entry {
    id: GroupId,
    /// Entries of the FIB that name it.
    users: u32,
    /// The group; entries may name one that is not made yet, or no more.
    group: Option<Arc<Group>>,
    used: Option<Used>,
    /// `None` when it has too many.
    locators: Option<UsedLocators>,
}

/// What a group uses.
struct Used {
    /// The first record of its run of ways.
    first: u32,
    ways: Vec<UsedWay>,
    choice: UsedChoice,
}

/// A locator-set in use.
type UsedLocators = Claim<Box<[Locator]>>;

impl Entry {
    fn new(id: GroupId) -> Self {
        Self { id, users: 0, group: None, used: None, locators: None }
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            slab: Slab::endless(),
            ways: Slab::endless(),
            locators: Shared::default(),
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
        let locators = self.claim_locators(records, group.rlocs());
        publish_locators(records, number, locators.as_ref());
        let Some(entry) = self.entry(number) else { return };
        entry.group = Some(group.clone());
        let old = mem::replace(&mut entry.used, used);
        let old_locators = mem::replace(&mut entry.locators, locators);
        self.give_back(records, now, (ways, pairs), old);
        self.give_back_locators(now, old_locators);
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
        publish_locators(records, number, None);
        let Some(entry) = self.entry(number) else { return };
        entry.group = None;
        let old = entry.used.take();
        let old_locators = entry.locators.take();
        self.give_back(records, now, parts, old);
        self.give_back_locators(now, old_locators);
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
    pub(super) fn slabs(&self) -> [(Table, &Slab); 3] {
        let locators = (Table::Locators, self.locators.slab());
        [(Table::Groups, &self.slab), (Table::Ways, &self.ways), locators]
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.slab.wake(now);
        self.ways.wake(now);
        self.locators.wake(now);
    }

    /// The record of a group, made where there is none.
    fn number(&mut self, id: GroupId) -> u32 {
        if let Some(&number) = self.numbers.get(&id) {
            return number;
        }
        let number = self.slab.take_one().unwrap_or(0);
        put(&mut self.entries, number, Entry::new(id));
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

    /// Writes a locator-set, if it is new.
    fn claim_locators(&mut self, records: &impl Records, rlocs: &[IpAddr]) -> Option<UsedLocators> {
        if rlocs.is_empty() || rlocs.len() > MOST_LOCATORS {
            return None;
        }
        let content: Box<[Locator]> = rlocs.iter().copied().map(locator).collect();
        let (claim, new) = self.locators.claim(content.clone(), content.len());
        if new {
            for (index, locator) in (claim.first..).zip(&content) {
                fill(records.words(Table::Locators, index), *locator);
            }
        }
        Some(claim)
    }

    fn give_back_locators(&mut self, now: Instant, used: Option<UsedLocators>) {
        if let Some(claim) = used {
            self.locators.give_back(now, &claim, claim.content.len());
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

/// Tells who may send packets from the prefixes of a group.
fn publish_locators(records: &impl Records, number: u32, used: Option<&UsedLocators>) {
    let count = |claim: &UsedLocators| u32::try_from(claim.content.len()).unwrap_or(0);
    let run = used.map_or(0, |claim| join([claim.first, count(claim)]));
    publish(records.words(Table::Groups, number).get(1..).unwrap_or_default(), run);
}

fn locator(rloc: IpAddr) -> Locator {
    let octets = mapped(rloc);
    let (halves, _) = octets.as_chunks();
    std::array::from_fn(|half| halves.get(half).map_or(0, |half| u64::from_ne_bytes(*half)))
}

/// Of a group, as in `weft.h`: a loop of the program ends there.
const MOST_LOCATORS: usize = 32;
