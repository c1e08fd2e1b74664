//! What a registration says, kept once however many EID-prefixes say it: a site with 100,000 hosts
//! behind two ETRs has two locator-sets, not 100,000.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::{Action, Locator, MapRegister, MappingRecord, Ttl};

/// Locators a mapping may have: as many as locator status bits can name (RFC 9300 §5.3).
pub(super) const MAX_LOCATORS: usize = 32;

/// What a registration says about its EID-prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Content {
    /// How long others may cache it.
    pub(super) ttl: Ttl,
    /// For packets while there are no locators.
    pub(super) action: Action,
    /// Map-Version.
    pub(super) version: u16,
    /// What the Map-Register asked for.
    pub(super) flags: Flags,
    /// Ascending by address, one for each address, without L and p.
    pub(super) locators: Vec<Locator>,
}

/// What a Map-Register asks for by its bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags {
    /// P: answer for us.
    pub(super) proxy_reply: bool,
    /// a: merge with other xTRs.
    pub(super) merge: bool,
    /// T: the record TTL is the registration's life time.
    pub(super) use_ttl: bool,
}

impl Flags {
    pub(super) fn of(message: &MapRegister) -> Self {
        Self { proxy_reply: message.proxy_reply, merge: message.merge, use_ttl: message.use_ttl }
    }
}

impl Content {
    /// Of a record and the locators accepted from it.
    pub(super) fn new(
        record: &MappingRecord,
        flags: Flags,
        accepted: impl Iterator<Item = Locator>,
    ) -> Self {
        let mut locators: Vec<_> = accepted.map(normal).collect();
        locators.sort_by(|a, b| a.address.cmp(&b.address));
        locators.dedup_by(|b, a| a.address == b.address);
        let MappingRecord { ttl, action, version, .. } = *record;
        Self { ttl, action, version, flags, locators }
    }

    /// True when the record, sent with these flags, would say the same again. May be false for
    /// records with unsorted or ignored locators; those take the long way to the same end.
    pub(super) fn repeats(&self, record: &MappingRecord, flags: Flags) -> bool {
        self.ttl == record.ttl
            && self.flags == flags
            && self.version == record.version
            && self.action == record.action
            && self.locators.len() == record.locators.len()
            && self.locators.iter().zip(&record.locators).all(|(ours, theirs)| same(ours, theirs))
    }

    /// True when both lead packets the same way, whatever else was asked for.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.ttl == other.ttl
            && self.action == other.action
            && self.version == other.version
            && self.locators == other.locators
    }

    /// How long a registration lives that is not renewed.
    pub(super) fn lifetime(&self, registration_timeout: Duration) -> Duration {
        match self.ttl.duration() {
            Some(ttl) if self.flags.use_ttl && ttl > Duration::ZERO => ttl,
            _ => registration_timeout,
        }
    }

    /// As the record a proxy sends: neither authoritative nor local (RFC 9301 §5.4).
    pub(super) fn record(&self, eid: EidPrefix, ttl: Ttl) -> MappingRecord {
        MappingRecord {
            eid: eid.into(),
            ttl,
            action: if self.locators.is_empty() { self.action } else { Action::NoAction },
            authoritative: false,
            version: self.version,
            locators: self.locators.clone(),
        }
    }

    /// The union of what several xTRs registered (RFC 8378 §5), the latest first. An address two
    /// of them name is taken as the latest has it.
    pub(super) fn union<'a>(latest_first: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut latest_first = latest_first;
        let mut union = latest_first.next()?.clone();
        for older in latest_first {
            union.ttl = union.ttl.min(older.ttl);
            union.version = if union.version == older.version { union.version } else { 0 };
            union.flags.proxy_reply |= older.flags.proxy_reply;
            for locator in &older.locators {
                if union.locators.iter().all(|known| known.address != locator.address) {
                    union.locators.push(locator.clone());
                }
            }
        }
        if union.locators.len() > MAX_LOCATORS {
            union.locators.sort_by_key(|locator| locator.priority);
            union.locators.truncate(MAX_LOCATORS);
        }
        union.locators.sort_by(|a, b| a.address.cmp(&b.address));
        Some(union)
    }
}

fn normal(locator: Locator) -> Locator {
    Locator { local: false, probed: false, ..locator }
}

/// Equal but for L and p.
fn same(ours: &Locator, theirs: &Locator) -> bool {
    ours.address == theirs.address
        && ours.priority == theirs.priority
        && ours.weight == theirs.weight
        && ours.multicast_priority == theirs.multicast_priority
        && ours.multicast_weight == theirs.multicast_weight
        && ours.reachable == theirs.reachable
}

/// Names an interned [`Content`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentId(u32);

/// Contents, each kept once and counted.
#[derive(Debug, Default)]
pub(super) struct Contents {
    slots: Slab<(Arc<Content>, u32)>,
    ids: HashMap<Arc<Content>, ContentId, foldhash::fast::FixedState>,
}

impl Contents {
    /// Takes one hold of `content`.
    pub(super) fn intern(&mut self, content: Content) -> ContentId {
        let content = Arc::new(content);
        match self.ids.entry(Arc::clone(&content)) {
            Entry::Occupied(known) => {
                let id = *known.get();
                self.hold(id);
                id
            }
            Entry::Vacant(new) => {
                let slot = self.slots.insert((content, 1));
                let id = ContentId(u32::try_from(slot).expect("fewer than 2^32 mappings"));
                *new.insert(id)
            }
        }
    }

    /// Takes one hold more.
    pub(super) fn hold(&mut self, id: ContentId) -> ContentId {
        self.slots[id.0 as usize].1 += 1;
        id
    }

    /// Gives one hold back; with the last one the content goes.
    pub(super) fn release(&mut self, id: ContentId) {
        let slot = id.0 as usize;
        self.slots[slot].1 -= 1;
        if self.slots[slot].1 == 0 {
            let (content, _) = self.slots.remove(slot);
            self.ids.remove(&content);
        }
    }

    /// What `id` stands for.
    pub(super) fn get(&self, id: ContentId) -> &Content {
        &self.slots[id.0 as usize].0
    }

    /// How many distinct contents there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_packet::lisp::{Address, Eid};

    fn locator(last: u8, priority: u8) -> Locator {
        Locator {
            local: true,
            probed: true,
            ..Locator::unicast([192, 0, 2, last].into(), priority, 100)
        }
    }

    fn record(locators: Vec<Locator>) -> MappingRecord {
        MappingRecord {
            eid: Eid { address: Address::Ip([10, 0, 0, 0].into()), mask_len: 8 },
            ttl: Ttl(10),
            action: Action::NoAction,
            authoritative: true,
            version: 0,
            locators,
        }
    }

    fn content(locators: Vec<Locator>) -> Content {
        let record = record(locators);
        Content::new(&record, Flags::default(), record.locators.iter().cloned())
    }

    #[test]
    fn locators_are_sorted_unique_and_not_ours() {
        let content = content(vec![locator(2, 1), locator(1, 2), locator(2, 9)]);
        let seen: Vec<_> = content.locators.iter().map(|l| (l.priority, l.local)).collect();
        assert_eq!(seen, [(2, false), (1, false)]);
    }

    #[test]
    fn repeats_what_came_in_whatever_its_l_and_p() {
        let flags = Flags::default();
        let record = record(vec![locator(1, 1), locator(2, 1)]);
        let content = Content::new(&record, flags, record.locators.iter().cloned());
        assert!(content.repeats(&record, flags));
        assert!(!content.repeats(&record, Flags { merge: true, ..flags }));
        let mut heavier = record;
        heavier.locators[1].weight = 50;
        assert!(!content.repeats(&heavier, flags));
    }

    #[test]
    fn union_takes_the_latest_policy_for_a_shared_locator() {
        let latest = content(vec![locator(2, 1)]);
        let older = content(vec![locator(1, 5), locator(2, 5)]);
        let union = Content::union([&latest, &older].into_iter()).unwrap();
        let priorities: Vec<_> = union.locators.iter().map(|l| l.priority).collect();
        assert_eq!(priorities, [5, 1]);
    }

    #[test]
    fn union_keeps_the_best_when_there_are_too_many() {
        let many = |from: u8, priority| {
            content((from..from + 20).map(|last| locator(last, priority)).collect())
        };
        let union = Content::union([&many(100, 9), &many(0, 1)].into_iter()).unwrap();
        assert_eq!(union.locators.len(), MAX_LOCATORS);
        assert_eq!(union.locators.iter().filter(|l| l.priority == 1).count(), 20);
    }

    #[test]
    fn equal_contents_share_a_slot_until_the_last_lets_go() {
        let mut contents = Contents::default();
        let a = contents.intern(content(vec![locator(1, 1)]));
        let b = contents.intern(content(vec![locator(1, 1)]));
        assert_eq!(a, b);
        contents.release(a);
        assert_eq!(contents.get(b).locators.len(), 1);
        contents.release(b);
        assert_eq!(contents.len(), 0);
    }
}
