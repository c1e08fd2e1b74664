//! Map-Replies: what was asked for is cached (RFC 9301 §5.4, §5.5).
//!
//! A reply counts when its nonce belongs to an unanswered request and one of its records is about
//! what was asked. Records beside that are taken only inside a record that contains it: the
//! more-specifics that complete it. Nobody can slip in a mapping for something else.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use weft_fib::Route;
use weft_packet::addr::{EidPrefix, Nonce};
use weft_packet::lisp::{Locator, MapReply, MappingRecord, Message, Ttl};

use super::Itr;
use super::groups::{self, Holder};
use super::keeping::SHORTEST_LIFE;
use super::map_cache::{Content, Entry};
use super::pending::{Key, Question, Why};
use crate::engine::{Actions, Datagram, Instant, Usage};
use crate::lisp::event::{Event, Refusal};
use crate::lisp::local::Local;
use crate::lisp::trace;

/// The answer to a question.
struct Answer<'a> {
    from: Datagram<'a>,
    question: Question,
    /// What is taken of it, by EID-prefix.
    records: BTreeMap<EidPrefix, &'a MappingRecord>,
}

impl Itr {
    /// A Map-Reply that is no answer to a probe. True when it answers something of ours; other
    /// ones are refused here.
    pub fn reply(
        &mut self,
        now: Instant,
        from: Datagram<'_>,
        reply: MapReply,
        local: &Local,
        out: &mut Actions,
    ) -> bool {
        let eids = || reply.records.iter().filter_map(|r| r.eid.prefix());
        let Some((key, request)) = self.pending.by_nonce(reply.nonce) else {
            return self.unexpected(now, from, reply.nonce, eids().next(), out);
        };
        self.came(from, || Message::MapReply(reply.clone()), out);
        let asked = self.pending.get(key).map(|q| q.eid);
        let answers = asked.is_some_and(|asked| eids().any(|eid| overlap(eid, asked)));
        if matches!(key, Key::Cache(_)) && !answers {
            self.refused("map-reply", from, eids().next(), Refusal::WrongAnswer, out);
            return true;
        }
        let Some(question) = self.pending.close(key) else { return false };
        self.counters.map_replies += 1;
        self.resolver_answered(now, request, &question.sent, out);
        if let Key::Lookup(nonce) = key {
            out.notify(Event::LookupAnswered {
                nonce,
                eid: question.eid,
                from: from.from.ip(),
                records: reply.records,
                took: now.since(request.at),
            });
        } else {
            let records = self.admitted(from, question.eid, &reply, out);
            self.learn(now, &Answer { from, question, records }, local, out);
        }
        self.send_questions(now, local, out);
        true
    }

    /// The question is closed: the answer says no more than that a Map-Resolver is alive.
    fn unexpected(
        &mut self,
        now: Instant,
        from: Datagram<'_>,
        nonce: Nonce,
        about: Option<EidPrefix>,
        out: &mut Actions,
    ) -> bool {
        let Some(request) = self.pending.closed(nonce) else {
            self.refused("map-reply", from, about, Refusal::UnknownNonce, out);
            return false;
        };
        self.counters.late_replies += 1;
        self.resolver_answered(now, request, &[], out);
        true
    }

    /// The records to be taken. One that covers more than what may be asked for is cut to it.
    fn admitted<'a>(
        &mut self,
        from: Datagram<'_>,
        asked: EidPrefix,
        reply: &'a MapReply,
        out: &mut Actions,
    ) -> BTreeMap<EidPrefix, &'a MappingRecord> {
        let covering: Vec<_> = reply
            .records
            .iter()
            .filter_map(|r| r.eid.prefix())
            .filter(|e| e.covers(asked))
            .collect();
        let mut admitted = BTreeMap::new();
        for record in &reply.records {
            let Some(eid) = record.eid.prefix() else {
                self.refused("map-reply", from, None, Refusal::UnsupportedEid, out);
                continue;
            };
            if !overlap(eid, asked) && !covering.iter().any(|c| c.covers(eid)) {
                self.refused("map-reply", from, Some(eid), Refusal::Inconsistent, out);
                continue;
            }
            let narrow = if eid.covers(asked) { asked } else { eid };
            if let Some((default, Route::Resolve)) = self.defaults.longest(narrow) {
                let eid = if eid.covers(default) { default } else { eid };
                admitted.entry(eid).or_insert(record);
            }
        }
        admitted
    }

    fn learn(&mut self, now: Instant, answer: &Answer<'_>, local: &Local, out: &mut Actions) {
        let asked = answer.question.eid;
        // More specific ones first: a wider one lives no longer than they do.
        let mut records: Vec<_> = answer.records.iter().collect();
        records.sort_by_key(|(eid, _)| std::cmp::Reverse(eid.prefix.length()));
        for (&eid, record) in records {
            if record.ttl == Ttl::REMOVE {
                self.remove(eid, "withdrawn", out);
            } else {
                self.learn_record(now, eid, record, answer, local, out);
            }
            if eid.covers(asked) {
                self.remove_replaced(eid, answer, out);
            }
        }
        // One answer may do for many packets that would have been asked for one by one.
        let waiting: Vec<_> =
            answer.records.keys().flat_map(|&e| self.pending.waiting_inside(e)).collect();
        for eid in waiting.into_iter().filter(|&eid| self.is_answered(eid)).collect::<Vec<_>>() {
            self.pending.close(Key::Cache(eid));
        }
        let covered = answer.records.keys().any(|eid| eid.covers(asked));
        if !covered {
            self.remove(asked, "replaced", out);
        }
        if self.cache.longest(asked).is_none() && matches!(answer.question.why, Why::Packet(_)) {
            self.holds.add(now, asked);
        }
    }

    fn learn_record(
        &mut self,
        now: Instant,
        eid: EidPrefix,
        record: &MappingRecord,
        answer: &Answer<'_>,
        local: &Local,
        out: &mut Actions,
    ) {
        let content = if record.locators.is_empty() {
            Content::Negative(record.action)
        } else {
            let set = locator_set(record, local);
            Content::Positive(self.groups.join(set, Holder::Learned(eid), out))
        };
        let life = self.life(now, eid, record.ttl);
        let refresh = now + self.refresh_after(life);
        let entry = Entry {
            content,
            from: answer.from.from.ip(),
            authoritative: record.authoritative,
            created: now,
            confirmed: now,
            refresh,
            expires: now + life,
            usage: Usage::default(),
            used: now,
            asked: None,
        };
        let packet = matches!(answer.question.why, Why::Packet(_));
        let announce = packet && eid.covers(answer.question.eid);
        if self.install(eid, entry, announce, out) {
            let took = announce.then(|| now.since(answer.question.since));
            let (from, detail) = (answer.from.from.ip(), trace::record(record));
            out.notify(Event::MappingLearned { eid, from, detail, took });
        }
    }

    /// How long a record is kept. RFC 9301 §5.5: a less-specific ends with the first of the
    /// more-specifics below it.
    fn life(&self, now: Instant, eid: EidPrefix, ttl: Ttl) -> Duration {
        let longest = self.settings.max_ttl;
        let own = ttl.duration().unwrap_or(longest).min(longest);
        let below = self.cache.inside(eid).filter(|(e, entry)| *e != eid && !entry.content.asks());
        let first = below.map(|(_, entry)| entry.expires.since(now)).min();
        own.min(first.unwrap_or(own)).max(SHORTEST_LIFE)
    }

    /// RFC 9301 §5.5: cached mappings that contain what was asked, inside a record of the answer
    /// and not in the answer themselves, exist no more. Those that do not contain it stay until
    /// they end: not every Map-Server tells of the more-specifics of what it answers.
    fn remove_replaced(&mut self, eid: EidPrefix, answer: &Answer<'_>, out: &mut Actions) {
        let mut next = self.cache.longest(answer.question.eid);
        let mut gone = Vec::new();
        while let Some((found, _)) = next.filter(|(found, _)| eid.covers(*found)) {
            if !answer.records.contains_key(&found) {
                gone.push(found);
            }
            next = self.cache.above(found);
        }
        for eid in gone {
            self.remove(eid, "replaced", out);
        }
    }
}

fn overlap(a: EidPrefix, b: EidPrefix) -> bool {
    a.covers(b) || b.covers(a)
}

/// The locators of a record that can be locators at all, each once. Those that are ours are
/// marked: to send there would be to send to ourselves.
fn locator_set(record: &MappingRecord, local: &Local) -> Vec<Locator> {
    let mut set: Vec<Locator> = Vec::new();
    for locator in &record.locators {
        let Some((rloc, _)) = groups::rloc(&locator.address) else { continue };
        let known = |l: &Locator| groups::rloc(&l.address).is_some_and(|(r, _)| r == rloc);
        if is_locator(rloc) && !set.iter().any(known) {
            set.push(Locator { local: local.owns(rloc), probed: false, ..locator.clone() });
        }
    }
    set
}

/// Unicast, and beyond this host and link.
fn is_locator(rloc: IpAddr) -> bool {
    let unusable = rloc.is_unspecified() || rloc.is_loopback() || rloc.is_multicast();
    let of_family = match rloc {
        IpAddr::V4(ip) => !ip.is_broadcast(),
        IpAddr::V6(ip) => !is_link_local(ip) && ip.to_ipv4_mapped().is_none(),
    };
    !unusable && of_family
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}
