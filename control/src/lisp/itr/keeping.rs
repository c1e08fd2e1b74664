//! Life of a cached mapping: installed, looked at, refreshed while in use, removed.
//!
//! An entry is looked at from time to time to see whether it carries packets. When most of its
//! TTL is over it is asked for again if it does. The entry stays until the answer is there, past
//! its TTL if need be, and goes only when nobody answers: no packet waits for a mapping that was
//! known (RFC 9301 §5.3).

use std::time::Duration;

use weft_fib::{Change, Source};
use weft_packet::addr::EidPrefix;
use weft_packet::lisp;

use super::groups::Holder;
use super::map_cache::{Content, Entry};
use super::pending::{Key, Why};
use super::{Itr, MapCache};
use crate::engine::{Action, Actions, Instant, Usage};
use crate::lisp::event::Event;
use crate::lisp::local::Local;

impl Itr {
    /// Puts a mapping into the map-cache. True when it is new or says something else than before;
    /// its route is set only then, or if `announce` says so.
    pub(super) fn install(
        &mut self,
        eid: EidPrefix,
        entry: Entry,
        announce: bool,
        out: &mut Actions,
    ) -> bool {
        let before = self.cache.get(eid).map(|e| e.content);
        let content = entry.content;
        let check = self.next_check(entry.confirmed, &entry);
        match before {
            Some(before) if before == content => self.cache.update(eid, |kept| {
                let Entry { created, usage, used, asked, .. } = *kept;
                *kept = Entry { created, usage, used, asked, ..entry };
            }),
            _ => {
                self.make_room(eid, content, out);
                self.cache.insert(eid, entry);
            }
        }
        self.checks.set(eid, check);
        let changed = before != Some(content);
        if changed || announce {
            let route = self.route(eid, content);
            out.forward(Change::SetRoute { key: eid.into(), source: Source::Lisp, route });
        }
        if let Some(Content::Positive(group)) = before.filter(|_| changed) {
            self.groups.leave(group, Holder::Learned(eid), out);
        }
        changed
    }

    /// Takes a mapping out of the map-cache.
    pub(super) fn remove(&mut self, eid: EidPrefix, why: &'static str, out: &mut Actions) {
        let Some(entry) = self.cache.remove(eid) else { return };
        self.checks.cancel(&eid);
        let key = Key::Cache(eid);
        if self.pending.get(key).is_some_and(|q| !matches!(q.why, Why::Packet(_))) {
            self.pending.close(key);
        }
        out.forward(Change::ClearRoute { key: eid.into(), source: Source::Lisp });
        if let Content::Positive(group) = entry.content {
            self.groups.leave(group, Holder::Learned(eid), out);
        }
        out.notify(Event::MappingRemoved { eid, why });
    }

    /// Looks at an entry: asks whether it is used, or ends it.
    pub(super) fn check(&mut self, now: Instant, eid: EidPrefix, out: &mut Actions) {
        let Some(entry) = self.cache.get(eid) else { return };
        if self.pending.contains(Key::Cache(eid)) {
            // What becomes of the question decides.
            return self.checks.set(eid, now + RECHECK);
        }
        if now >= entry.expires + LAST_CALL {
            return self.expire(now, eid, "expired", out);
        }
        let next = self.next_check(now, entry);
        self.checks.set(eid, next);
        out.0.push(Action::AskUsage(eid));
    }

    /// When to look at an entry after `now`.
    fn next_check(&self, now: Instant, entry: &Entry) -> Instant {
        let sample = now + (self.settings.idle_timeout / 2).max(SHORTEST_SAMPLE);
        if now >= entry.expires {
            entry.expires + LAST_CALL
        } else if now >= entry.refresh {
            entry.expires
        } else {
            sample.min(entry.refresh)
        }
    }

    /// How much an entry carried: the answer to [`Action::AskUsage`].
    pub fn used(
        &mut self,
        now: Instant,
        eid: EidPrefix,
        usage: Usage,
        local: &Local,
        out: &mut Actions,
    ) {
        self.cache.update(eid, |entry| {
            // Counters start again when the route is set anew.
            if usage.packets != entry.usage.packets && usage.packets > 0 {
                entry.used = now;
            }
            entry.usage = usage;
        });
        let Some(entry) = self.cache.get(eid) else { return };
        if now < entry.refresh || self.pending.contains(Key::Cache(eid)) {
            return;
        }
        if self.is_used(now, entry) && !entry.content.asks() {
            self.pending.ask(now, Key::Cache(eid), eid, Why::Refresh);
            self.send_questions(now, local, out);
        } else if now >= entry.expires {
            self.expire(now, eid, "idle", out);
        }
    }

    /// True when an entry carried something lately.
    pub(super) fn is_used(&self, now: Instant, entry: &Entry) -> bool {
        now.since(entry.used) <= self.settings.idle_timeout
    }

    /// Nobody answered the question for a cached mapping.
    pub(super) fn refresh_failed(&mut self, now: Instant, eid: EidPrefix, out: &mut Actions) {
        let Some(entry) = self.cache.get(eid) else { return };
        if now >= entry.expires {
            return self.expire(now, eid, "expired", out);
        }
        let next = entry.expires.min(now + REFRESH_INTERVAL);
        self.checks.set(eid, next);
    }

    /// Ends an entry. Where a wider mapping is cached packets would follow that one unasked
    /// (RFC 9301 §5.5: no more-specific goes while a less-specific stays), so there a hole that
    /// asks takes its place.
    fn expire(&mut self, now: Instant, eid: EidPrefix, why: &'static str, out: &mut Actions) {
        let hole = Content::Negative(lisp::Action::SendMapRequest);
        let entry = self.cache.get(eid).cloned();
        let wider = self.cache.above(eid).filter(|(_, wider)| !wider.content.asks());
        let (Some(entry), Some((_, wider))) = (entry, wider) else {
            return self.remove(eid, why, out);
        };
        let until = wider.expires.max(now + SHORTEST_LIFE);
        let was_hole = entry.content == hole;
        let entry =
            Entry { content: hole, confirmed: now, refresh: until, expires: until, ..entry };
        self.install(eid, entry, false, out);
        if !was_hole {
            out.notify(Event::MappingRemoved { eid, why });
        }
    }

    /// Evicts what was unused for the longest time until `eid` has room.
    fn make_room(&mut self, eid: EidPrefix, content: Content, out: &mut Actions) {
        let instance = eid.instance;
        let limit = self.settings.map_cache_limit.max(1);
        let negative_limit = negative_limit(limit);
        let taken = |cache: &MapCache| {
            let (positive, negative) = cache.counts(instance);
            // What it replaces leaves its place to it.
            let replaced = cache.get(eid).map(|e| e.content.is_negative());
            let all = positive + negative - usize::from(replaced.is_some());
            (all, negative - usize::from(replaced == Some(true)))
        };
        loop {
            let (all, negative) = taken(&self.cache);
            let victim = if content.is_negative() && negative >= negative_limit {
                self.cache.least_used(instance, true)
            } else if all >= limit {
                self.cache.least_used(instance, false)
            } else {
                return;
            };
            match victim {
                Some(victim) => self.evict(victim, out),
                None => return,
            }
        }
    }

    /// Removes an entry and all wider ones: they would take over its packets unasked.
    fn evict(&mut self, eid: EidPrefix, out: &mut Actions) {
        self.counters.evicted += 1;
        self.remove(eid, "evicted", out);
        while let Some((wider, _)) = self.cache.above(eid) {
            self.remove(wider, "evicted", out);
        }
    }

    /// Evicts what exceeds a smaller limit.
    pub(super) fn evict_excess(&mut self, out: &mut Actions) {
        let limit = self.settings.map_cache_limit.max(1);
        for instance in self.instances.clone() {
            loop {
                let (positive, negative) = self.cache.counts(instance);
                let victim = if negative > negative_limit(limit) {
                    self.cache.least_used(instance, true)
                } else if positive + negative > limit {
                    self.cache.least_used(instance, false)
                } else {
                    break;
                };
                let Some(victim) = victim else { break };
                self.evict(victim, out);
            }
        }
    }

    /// Ends entries sooner where the longest allowed life became shorter.
    pub(super) fn shorten_lives(&mut self, now: Instant) {
        let latest = now + self.settings.max_ttl.max(SHORTEST_LIFE);
        let longer: Vec<_> =
            self.cache.iter().filter(|(_, e)| e.expires > latest).map(|(eid, _)| eid).collect();
        for eid in longer {
            let refresh = now + self.refresh_after(latest.since(now));
            self.cache.update(eid, |entry| {
                entry.expires = latest;
                entry.refresh = entry.refresh.min(refresh);
            });
            self.checks.set_earlier(eid, refresh);
        }
    }

    /// How much of a life passes before a mapping in use is asked for again. Mappings learned
    /// together are not asked for together.
    pub(super) fn refresh_after(&mut self, life: Duration) -> Duration {
        self.random.jitter(life * REFRESH_PERCENT / 100, REFRESH_JITTER)
    }
}

/// Negative mappings an instance may hold.
fn negative_limit(limit: usize) -> usize {
    (limit / NEGATIVE_SHARE).max(1)
}

/// Of its TTL; the rest is for retries.
const REFRESH_PERCENT: u32 = 85;
const REFRESH_JITTER: u32 = 5;
/// Between attempts to refresh a mapping nobody answers for.
const REFRESH_INTERVAL: Duration = Duration::from_secs(30);
/// Between looks at an entry that is being asked for.
const RECHECK: Duration = Duration::from_secs(30);
/// Between looks at an entry, at least.
const SHORTEST_SAMPLE: Duration = Duration::from_secs(1);
/// Between the last question for an entry's usage and its end.
const LAST_CALL: Duration = Duration::from_secs(1);
/// A cached mapping lives so long at least.
pub(super) const SHORTEST_LIFE: Duration = Duration::from_secs(10);
/// One in so many entries may be negative.
const NEGATIVE_SHARE: usize = 4;
