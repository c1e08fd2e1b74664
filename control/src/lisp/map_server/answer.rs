//! What a Map-Request is answered: the longest match with what overlaps it, or which prefix holds
//! nothing (RFC 9301 §5.5, §8.3, §8.4).

use std::net::IpAddr;
use std::time::Duration;

use weft_packet::addr::{EidPrefix, Prefix};
use weft_packet::lisp::{Action, MappingRecord, Ttl};
use weft_packet::wire::{Wire, Writer};

use super::content::Content;
use super::database::MappingId;
use super::site::HoldingId;
use super::{MapServer, SHORT_TTL};
use crate::lisp::eid_table::widest_free;

/// One question, and who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) eid: EidPrefix,
    /// Where the answer goes.
    pub(super) itr: IpAddr,
    /// A: the ETR itself shall answer.
    pub(super) authoritative: bool,
    /// Life time of answers about prefixes no site holds.
    pub(super) negative_ttl: Duration,
    /// Octets the answer's records may take.
    pub(super) room: usize,
}

/// How a question is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// With these records.
    Records(Vec<MappingRecord>),
    /// By one of the ETRs that registered it.
    Etr(MappingId),
}

/// The longest match.
enum Match<'a> {
    Static(&'a MappingRecord),
    Registered(MappingId),
}

impl MapServer {
    /// Finds the answer to one question.
    pub(super) fn answer(&self, question: &Question) -> Answer {
        let EidPrefix { instance, prefix } = question.eid;
        // A prefix nothing covers may still cover something: its first address stands for it.
        let host = EidPrefix::new(instance, Prefix::host(prefix.address()));
        let Some((found, matched)) = self.longest(question.eid).or_else(|| self.longest(host))
        else {
            return Answer::Records(vec![self.negative(question, host)]);
        };
        let first = match matched {
            Match::Static(record) => record.clone(),
            Match::Registered(id) if self.asks_etr(question, id) => return Answer::Etr(id),
            Match::Registered(id) => self.proxied(question.itr, id),
        };
        Answer::Records(self.with_more_specifics(question, found, first))
    }

    /// The longest match among registered and static mappings; static ones win.
    fn longest(&self, eid: EidPrefix) -> Option<(EidPrefix, Match<'_>)> {
        let fixed = self.statics.longest(eid);
        let registered = self.database.longest(eid);
        match (fixed, registered) {
            (Some((f, record)), Some((r, _))) if f.prefix.length() >= r.prefix.length() => {
                Some((f, Match::Static(record)))
            }
            (_, Some((eid, id))) => Some((eid, Match::Registered(id))),
            (Some((eid, record)), None) => Some((eid, Match::Static(record))),
            (None, None) => None,
        }
    }

    /// True when the question goes on to an ETR.
    fn asks_etr(&self, question: &Question, id: MappingId) -> bool {
        let site = self.sites.of(self.database.mapping(id).holding);
        let served = question.authoritative || !self.proxies(id);
        served && site.allows_itr(question.itr)
    }

    /// True when the Map-Server answers for the ETRs of a mapping: because one of them asked for
    /// it, or the site is configured so.
    pub(super) fn proxies(&self, id: MappingId) -> bool {
        self.sites.of(self.database.mapping(id).holding).config.proxy_reply
            || self
                .database
                .registrations(id)
                .any(|registration| self.database.content(registration).flags.proxy_reply)
    }

    /// What is said of a registered mapping without asking its ETRs: to ask again for it by
    /// itself where they answer.
    fn proxied(&self, itr: IpAddr, id: MappingId) -> MappingRecord {
        let mapping = self.database.mapping(id);
        let answer: &Content = self.database.answer(id);
        if !self.sites.of(mapping.holding).allows_itr(itr) {
            return nothing(mapping.eid, Action::DropPolicyDenied, answer.ttl);
        }
        if !self.proxies(id) {
            return nothing(mapping.eid, Action::SendMapRequest, answer.ttl);
        }
        answer.record(mapping.eid, answer.ttl)
    }

    /// The match and everything more specific, with one TTL (RFC 9301 §5.5). If that is too much
    /// for a datagram: the widest part of the match around the question where nothing overlaps,
    /// for a short time.
    fn with_more_specifics(
        &self,
        question: &Question,
        found: EidPrefix,
        first: MappingRecord,
    ) -> Vec<MappingRecord> {
        let mut records = vec![first];
        if found.prefix.is_host() || records[0].action == Action::DropPolicyDenied {
            return records;
        }
        let mut written = Writer::default();
        for record in self.more_specifics(question.itr, found) {
            if written.is_empty() {
                records[0].write(&mut written);
            }
            record.write(&mut written);
            if written.len() > question.room || records.len() == MAX_RECORDS {
                records.truncate(1);
                return records.into_iter().map(|r| self.narrowed(question, found, r)).collect();
            }
            records.push(record);
        }
        let ttl = records.iter().map(|record| record.ttl).min();
        for record in &mut records {
            record.ttl = ttl.unwrap_or(record.ttl);
        }
        records
    }

    fn more_specifics(&self, itr: IpAddr, found: EidPrefix) -> impl Iterator<Item = MappingRecord> {
        let inside = self.statics.inside(found).filter(move |(eid, _)| *eid != found);
        let statics = inside.map(|(_, record)| record.clone());
        let registered = self
            .database
            .index()
            .inside(found)
            .filter(move |(eid, _)| *eid != found && self.statics.get(*eid).is_none())
            .map(move |(_, id)| self.proxied(itr, *id));
        statics.chain(registered)
    }

    /// A record for the widest part of the match that holds nothing else.
    fn narrowed(
        &self,
        question: &Question,
        found: EidPrefix,
        record: MappingRecord,
    ) -> MappingRecord {
        let prefix = widest_free(question.eid.prefix, found.prefix.length(), |candidate| {
            self.answers_inside(EidPrefix::new(found.instance, candidate), found)
        });
        let eid = EidPrefix::new(found.instance, prefix).into();
        MappingRecord { eid, ttl: record.ttl.min(NARROWED_TTL), ..record }
    }

    /// True when something but `except` is registered or static inside `eid`.
    fn answers_inside(&self, eid: EidPrefix, except: EidPrefix) -> bool {
        self.statics.holds_other(eid, Some(except))
            || self.database.index().holds_other(eid, Some(except))
    }

    /// The Negative Map-Reply's record for an address nothing is registered for: natively forward,
    /// for the least specific prefix without any EID (RFC 9301 §8.3, §8.4).
    fn negative(&self, question: &Question, host: EidPrefix) -> MappingRecord {
        if let Some(holding) = self.sites.find(host) {
            return self.unregistered(question, host, holding);
        }
        let prefix = widest_free(host.prefix, 0, |candidate| {
            self.configured_inside(EidPrefix::new(host.instance, candidate), None)
        });
        let eid = EidPrefix::new(host.instance, prefix);
        nothing(eid, Action::NativelyForward, Ttl::from_duration(question.negative_ttl))
    }

    /// Of an address a site holds but has not registered: the part of the site's prefix without
    /// registrations, for a minute.
    fn unregistered(
        &self,
        question: &Question,
        host: EidPrefix,
        holding: HoldingId,
    ) -> MappingRecord {
        let held = self.sites.holding(holding).eid;
        let prefix = widest_free(host.prefix, held.prefix.length(), |candidate| {
            let candidate = EidPrefix::new(host.instance, candidate);
            self.configured_inside(candidate, Some(held))
                || self.database.index().holds_other(candidate, None)
        });
        let allowed = self.sites.of(holding).allows_itr(question.itr);
        let action = if allowed { Action::NativelyForward } else { Action::DropPolicyDenied };
        nothing(EidPrefix::new(host.instance, prefix), action, Ttl::from_duration(SHORT_TTL))
    }

    /// True when a site's prefix other than `except`, or a static mapping, lies inside `eid`.
    fn configured_inside(&self, eid: EidPrefix, except: Option<EidPrefix>) -> bool {
        self.sites.index().holds_other(eid, except) || self.statics.holds_other(eid, None)
    }
}

/// A record without locators.
pub(super) fn nothing(eid: EidPrefix, action: Action, ttl: Ttl) -> MappingRecord {
    MappingRecord {
        eid: eid.into(),
        ttl,
        action,
        authoritative: false,
        version: 0,
        locators: Vec::new(),
    }
}

/// Of a part of a mapping that was made up for one answer.
const NARROWED_TTL: Ttl = Ttl(15);
/// As many as a Record Count can say.
const MAX_RECORDS: usize = 255;
