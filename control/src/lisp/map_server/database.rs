//! What is registered: mappings by EID-prefix, each with a registration for every xTR that made
//! one (RFC 9301 §5.6, RFC 8378 §5). Kept small: a million host prefixes fit a small machine.
//!
//! The registrations of one EID-prefix are chained, the latest change first. With merging the
//! answer is their union. Without, the last one to say something different replaces the others;
//! those that agree stand beside each other, so one may leave and the mapping stays.

use slab::Slab;
use weft_packet::addr::EidPrefix;

use super::content::{Content, ContentId, Contents};
use super::site::HoldingId;
use super::wheel::{Second, Wheel};
use super::xtr::XtrIndex;
use crate::lisp::eid_table::EidTable;

/// xTRs that may register one EID-prefix.
const MAX_REGISTRATIONS: usize = 64;
const NONE: u32 = u32::MAX;

/// Mappings and their registrations.
#[derive(Debug, Default)]
pub(super) struct Database {
    index: EidTable<MappingId>,
    mappings: Slab<Mapping>,
    registrations: Slab<Registration>,
    contents: Contents,
    wheel: Wheel,
}

/// Names a mapping while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MappingId(u32);

/// Names a registration while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RegistrationId(u32);

/// An EID-prefix that is registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) eid: EidPrefix,
    /// The site's prefix it falls under.
    pub(super) holding: HoldingId,
    /// What is answered.
    answer: ContentId,
    first: u32,
}

/// What one xTR registered for one EID-prefix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registration {
    pub(super) mapping: MappingId,
    pub(super) xtr: XtrIndex,
    pub(super) deadline: Second,
    content: ContentId,
    /// The second the wheel has it in; another entry for this slot is stale.
    queued: Second,
    next: u32,
}

/// What became of the answer for an EID-prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nobody had registered it.
    Registered,
    /// The answer is another one now.
    Changed,
    /// The answer is what it was.
    Same,
    /// Nobody has it registered any more.
    Gone,
}

/// What [`Database::put`] did.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) change: Change,
    /// Whose registrations it replaced.
    pub(super) replaced: Vec<XtrIndex>,
}

/// Why [`Database::put`] did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// Some xTRs want to merge, others not.
    Merging,
    /// Too many xTRs for one EID-prefix.
    TooMany,
}

/// A registration to be put.
#[derive(Debug)]
pub(super) struct New {
    pub(super) eid: EidPrefix,
    pub(super) holding: HoldingId,
    pub(super) xtr: XtrIndex,
    pub(super) content: Content,
    pub(super) deadline: Second,
    /// The site merges whatever its xTRs ask for.
    pub(super) site_merges: bool,
}

impl Database {
    pub(super) fn mapping(&self, id: MappingId) -> &Mapping {
        &self.mappings[id.0 as usize]
    }

    pub(super) fn registration(&self, id: RegistrationId) -> &Registration {
        &self.registrations[id.0 as usize]
    }

    /// What is answered for a mapping.
    pub(super) fn answer(&self, id: MappingId) -> &Content {
        self.contents.get(self.mapping(id).answer)
    }

    /// What one xTR registered.
    pub(super) fn content(&self, id: RegistrationId) -> &Content {
        self.contents.get(self.registration(id).content)
    }

    pub(super) fn find(&self, eid: EidPrefix) -> Option<MappingId> {
        self.index.get(eid).copied()
    }

    /// The longest registered prefix that covers `eid`.
    pub(super) fn longest(&self, eid: EidPrefix) -> Option<(EidPrefix, MappingId)> {
        self.index.longest(eid).map(|(found, id)| (found, *id))
    }

    /// All that is registered.
    pub(super) fn index(&self) -> &EidTable<MappingId> {
        &self.index
    }

    /// The registrations of a mapping, the latest change first.
    pub(super) fn registrations(&self, id: MappingId) -> impl Iterator<Item = RegistrationId> {
        let mut next = self.mapping(id).first;
        std::iter::from_fn(move || {
            let id = (next != NONE).then_some(RegistrationId(next))?;
            next = self.registration(id).next;
            Some(id)
        })
    }

    /// The registration of `xtr` for a mapping.
    pub(super) fn of_xtr(&self, id: MappingId, xtr: XtrIndex) -> Option<RegistrationId> {
        self.registrations(id).find(|r| self.registration(*r).xtr == xtr)
    }

    /// Mappings, registrations and distinct contents.
    pub(super) fn len(&self) -> (usize, usize, usize) {
        (self.mappings.len(), self.registrations.len(), self.contents.len())
    }

    /// True when repeating a registration would change nothing. One that does not merge must say
    /// what is answered, which it may not since the site stopped merging.
    pub(super) fn stands(&self, id: RegistrationId, site_merges: bool) -> bool {
        let Registration { mapping, content, .. } = *self.registration(id);
        let merging = site_merges || self.content(id).flags.merge;
        merging
            || content == self.mapping(mapping).answer
            || self.content(id).agrees(self.answer(mapping))
    }

    /// Lets a registration live until `deadline`.
    pub(super) fn renew(&mut self, id: RegistrationId, deadline: Second) {
        let registration = &mut self.registrations[id.0 as usize];
        registration.deadline = deadline;
        if deadline < registration.queued {
            registration.queued = deadline;
            self.wheel.queue(deadline, id.0);
        }
    }

    /// Registers, replacing what the xTR had registered for this EID-prefix.
    pub(super) fn put(&mut self, new: New) -> Result<Put, Conflict> {
        let Some(mapping) = self.find(new.eid) else { return Ok(self.put_first(new)) };
        let merges = |content: &Content| new.site_merges || content.flags.merge;
        let mine = self.of_xtr(mapping, new.xtr);
        let others: Vec<_> = self.registrations(mapping).filter(|r| Some(*r) != mine).collect();
        if others.len() >= MAX_REGISTRATIONS {
            return Err(Conflict::TooMany);
        }
        let merging = merges(&new.content);
        if others.iter().any(|r| merges(self.content(*r)) != merging) {
            return Err(Conflict::Merging);
        }
        let displaced: Vec<_> = others
            .into_iter()
            .filter(|r| !merging && !self.content(*r).agrees(&new.content))
            .collect();
        let replaced = displaced.iter().map(|r| self.registration(*r).xtr).collect();
        for registration in displaced.into_iter().chain(mine) {
            self.free(registration);
        }
        self.chain(mapping, new.xtr, new.content, new.deadline);
        let change = self.settle(mapping, merging);
        Ok(Put { change, replaced })
    }

    /// Takes a registration away.
    pub(super) fn remove(&mut self, id: RegistrationId, site_merges: bool) -> Change {
        let mapping = self.registration(id).mapping;
        let merging = site_merges || self.content(id).flags.merge;
        self.free(id);
        if self.mapping(mapping).first != NONE {
            return self.settle(mapping, merging);
        }
        let Mapping { eid, answer, .. } = self.mappings.remove(mapping.0 as usize);
        self.contents.release(answer);
        self.index.remove(eid);
        Change::Gone
    }

    /// One registration that was not renewed in time.
    pub(super) fn expired(&mut self, now: Second) -> Option<RegistrationId> {
        while let Some((second, slot)) = self.wheel.due(now) {
            let Some(registration) = self.registrations.get_mut(slot as usize) else { continue };
            if registration.queued != second {
                continue;
            }
            if registration.deadline <= now {
                return Some(RegistrationId(slot));
            }
            registration.queued = registration.deadline;
            self.wheel.queue(registration.deadline, slot);
        }
        None
    }

    /// When to look for expired registrations next.
    pub(super) fn deadline(&self) -> Option<Second> {
        self.wheel.next()
    }

    /// Has every mapping fall under the holding it has now, and lists them.
    pub(super) fn rehold(
        &mut self,
        holding: impl Fn(EidPrefix) -> Option<HoldingId>,
    ) -> Vec<(EidPrefix, HoldingId)> {
        let mut all = Vec::with_capacity(self.mappings.len());
        for (_, mapping) in &mut self.mappings {
            if let Some(holding) = holding(mapping.eid) {
                mapping.holding = holding;
                all.push((mapping.eid, holding));
            }
        }
        all
    }

    /// All registrations, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = RegistrationId> {
        self.registrations.iter().map(|(slot, _)| RegistrationId(small(slot)))
    }

    fn put_first(&mut self, new: New) -> Put {
        let content = self.contents.intern(new.content);
        let slot = self.mappings.insert(Mapping {
            eid: new.eid,
            holding: new.holding,
            answer: content,
            first: NONE,
        });
        let mapping = MappingId(small(slot));
        self.index.insert(new.eid, mapping);
        self.contents.hold(content);
        self.chain_interned(mapping, new.xtr, content, new.deadline);
        Put { change: Change::Registered, replaced: Vec::new() }
    }

    fn chain(&mut self, mapping: MappingId, xtr: XtrIndex, content: Content, deadline: Second) {
        let content = self.contents.intern(content);
        self.chain_interned(mapping, xtr, content, deadline);
    }

    fn chain_interned(
        &mut self,
        mapping: MappingId,
        xtr: XtrIndex,
        content: ContentId,
        deadline: Second,
    ) {
        let next = self.mapping(mapping).first;
        let slot = small(self.registrations.insert(Registration {
            mapping,
            xtr,
            deadline,
            content,
            queued: deadline,
            next,
        }));
        self.mappings[mapping.0 as usize].first = slot;
        self.wheel.queue(deadline, slot);
    }

    /// Unchains a registration; the mapping stays, even with none left.
    fn free(&mut self, id: RegistrationId) {
        let Registration { mapping, content, next, .. } = self.registrations.remove(id.0 as usize);
        self.contents.release(content);
        let mapping = &mut self.mappings[mapping.0 as usize];
        if mapping.first == id.0 {
            mapping.first = next;
            return;
        }
        let mut at = mapping.first;
        while at != NONE {
            let registration = &mut self.registrations[at as usize];
            if registration.next == id.0 {
                registration.next = next;
                return;
            }
            at = registration.next;
        }
    }

    /// Brings the answer of a mapping with registrations up to date.
    fn settle(&mut self, id: MappingId, merging: bool) -> Change {
        let union = merging
            .then(|| Content::union(self.registrations(id).map(|r| self.content(r))))
            .flatten();
        let answer = match union {
            Some(union) => self.contents.intern(union),
            None => self
                .contents
                .hold(self.registration(RegistrationId(self.mapping(id).first)).content),
        };
        let before = std::mem::replace(&mut self.mappings[id.0 as usize].answer, answer);
        let same = self.contents.get(before).agrees(self.contents.get(answer));
        self.contents.release(before);
        if same { Change::Same } else { Change::Changed }
    }
}

fn small(slot: usize) -> u32 {
    u32::try_from(slot).expect("fewer than 2^32 registrations")
}
