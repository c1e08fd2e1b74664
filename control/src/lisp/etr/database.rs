//! The EID-prefixes of this site and where they can be reached now.
//!
//! Configured locators name uplinks or addresses; what records carry follows from the uplinks as
//! they are. Each time those change the database says which mappings look different to others.
//! Answers take the longest match and what is more specific below it (RFC 9301 §5.5).

use std::time::Duration;
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::{Action, Locator, MappingRecord, Ttl};
use weft_packet::wire::Wire;

use super::config::DatabaseMapping;
use crate::lisp::eid_table::{EidTable, widest_free};
use crate::lisp::local::Local;

/// All mappings of the site.
#[derive(Debug, Default)]
pub(super) struct Database(EidTable<Mapping>);

/// One EID-prefix and its locators as they are now.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) configured: DatabaseMapping,
    pub(super) locators: Vec<Locator>,
}

impl Mapping {
    /// As others shall see it. Without a usable locator the record asks to be asked again.
    pub(super) fn record(&self) -> MappingRecord {
        let empty = self.locators.is_empty();
        let ttl = if empty {
            TEMPORARY_TTL
        } else {
            Ttl::from_duration(self.configured.record_ttl.max(Duration::from_mins(1)))
        };
        MappingRecord {
            eid: self.configured.eid.into(),
            ttl,
            action: if empty { Action::SendMapRequest } else { Action::NoAction },
            authoritative: true,
            version: 0,
            locators: self.locators.clone(),
        }
    }
}

impl Database {
    /// With these mappings; of two for one EID-prefix the last counts.
    pub(super) fn new(mappings: &[DatabaseMapping], local: &Local) -> Self {
        let entry = |configured: &DatabaseMapping| Mapping {
            locators: local.locators(&configured.rlocs),
            configured: configured.clone(),
        };
        Self(mappings.iter().map(|m| (m.eid, entry(m))).collect())
    }

    /// All mappings in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EidPrefix, &Mapping)> {
        self.0.iter()
    }

    pub(super) fn get(&self, eid: EidPrefix) -> Option<&Mapping> {
        self.0.get(eid)
    }

    pub(super) fn contains(&self, eid: EidPrefix) -> bool {
        self.0.get(eid).is_some()
    }

    /// Takes the locators from the uplinks as they are now. Says whose changed.
    pub(super) fn refresh(&mut self, local: &Local) -> Vec<EidPrefix> {
        let mut changed = Vec::new();
        for (eid, mapping) in self.0.iter_mut() {
            let locators = local.locators(&mapping.configured.rlocs);
            if locators != mapping.locators {
                mapping.locators = locators;
                changed.push(eid);
            }
        }
        changed
    }

    /// The longest mapping that covers all of `asked`.
    pub(super) fn best(&self, asked: EidPrefix) -> Option<EidPrefix> {
        self.0.longest(asked).map(|(eid, _)| eid)
    }

    /// Mappings inside `eid`, itself included, in order.
    pub(super) fn within(&self, eid: EidPrefix) -> impl Iterator<Item = (EidPrefix, &Mapping)> {
        self.0.inside(eid)
    }

    /// The records that answer `asked` within `room` octets: the longest match and its
    /// more-specifics, all with one TTL. Where they are too many: the largest part of the match
    /// around `asked` that is free of more-specifics, or as many as fit for a short time. Empty
    /// when nothing of ours covers `asked`.
    pub(super) fn answer(&self, asked: EidPrefix, room: usize) -> Vec<MappingRecord> {
        let Some(best) = self.best(asked) else { return Vec::new() };
        let (mut records, all) = self.fitting(best, room);
        if !all && let Some(hole) = self.hole(best, asked) {
            return vec![hole];
        }
        let ttl = records.iter().map(|r| r.ttl).min().filter(|_| all).unwrap_or(TEMPORARY_TTL);
        for record in &mut records {
            record.ttl = ttl;
        }
        records
    }

    /// Records of the mappings inside `eid` that fit into `room` octets, and whether those are
    /// all. The first always fits.
    pub(super) fn fitting(&self, eid: EidPrefix, room: usize) -> (Vec<MappingRecord>, bool) {
        let (mut records, mut used) = (Vec::new(), 0);
        for (_, mapping) in self.within(eid) {
            let record = mapping.record();
            used += record.to_bytes().len();
            if (used > room || records.len() == MAX_RECORDS) && !records.is_empty() {
                return (records, false);
            }
            records.push(record);
        }
        (records, true)
    }

    /// The mapping at `best`, narrowed around `asked` until no other mapping lies inside.
    fn hole(&self, best: EidPrefix, asked: EidPrefix) -> Option<MappingRecord> {
        let mapping = self.get(best)?;
        let narrowed = widest_free(asked.prefix, best.prefix.length(), |candidate| {
            self.0.holds_other(EidPrefix::new(asked.instance, candidate), Some(best))
        });
        let eid = EidPrefix::new(asked.instance, narrowed).into();
        let whole = narrowed.length() <= asked.prefix.length();
        whole.then(|| MappingRecord { eid, ..mapping.record() })
    }
}

/// Records one message can count.
pub(super) const MAX_RECORDS: usize = 255;

/// How long an answer that is about to change may be kept (RFC 9301 §8.3: one minute).
pub(super) const TEMPORARY_TTL: Ttl = Ttl(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lisp::config::{Place, Rloc};
    use weft_packet::addr::InstanceId;

    fn eid(text: &str) -> EidPrefix {
        EidPrefix::new(InstanceId::DEFAULT, text.parse().unwrap())
    }

    fn database(prefixes: &[&str]) -> Database {
        let rloc = Rloc::unicast(
            Place::Address { rloc: "192.0.2.1".parse().unwrap(), local: true },
            1,
            100,
        );
        let mappings: Vec<_> = prefixes
            .iter()
            .map(|text| DatabaseMapping {
                eid: eid(text),
                rlocs: vec![rloc.clone()],
                record_ttl: Duration::from_secs(600 + 60 * text.len() as u64),
                proxy_reply: None,
            })
            .collect();
        Database::new(&mappings, &Local::default())
    }

    fn answered(database: &Database, asked: &str, room: usize) -> Vec<String> {
        let records = database.answer(eid(asked), room);
        assert!(records.iter().all(|r| r.ttl == records[0].ttl && r.authoritative));
        records.iter().map(|r| r.eid.prefix().unwrap().to_string()).collect()
    }

    /// RFC 9301 §5.5: its own example.
    #[test]
    fn match_comes_with_its_more_specifics_but_not_its_less_specifics() {
        let ours = database(&[
            "2001:db8::/32",
            "2001:db8:1::/48",
            "2001:db8:1:1::/64",
            "2001:db8:1:2::/64",
        ]);
        assert_eq!(answered(&ours, "2001:db8:1:1::1", 900), ["2001:db8:1:1::/64"]);
        assert_eq!(
            answered(&ours, "2001:db8:1:5::5", 900),
            ["2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:2::/64"]
        );
        assert!(answered(&ours, "2001:db9::1", 900).is_empty());
        assert!(answered(&ours, "10.0.0.1", 900).is_empty());
    }

    #[test]
    fn too_many_more_specifics_leave_the_hole_around_the_question() {
        let ours = database(&["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]);
        assert_eq!(answered(&ours, "10.200.0.1", 60), ["10.128.0.0/9"]);
        assert_eq!(answered(&ours, "10.0.7.7", 60), ["10.0.0.0/16"]);
        assert_eq!(answered(&ours, "10.200.0.1", 200).len(), 4);
        assert_eq!(answered(&ours, "10.0.0.0/8", 60), ["10.0.0.0/8", "10.1.0.0/16"]);
    }

    #[test]
    fn other_instances_do_not_mix() {
        let ours = database(&["10.0.0.0/8", "0.0.0.0/0"]);
        let red = EidPrefix::new(InstanceId::new(7).unwrap(), "10.0.0.0/8".parse().unwrap());
        assert_eq!(ours.best(red), None);
        assert_eq!(ours.within(red).count(), 0);
        assert_eq!(ours.best(eid("11.0.0.1")), Some(eid("0.0.0.0/0")));
    }
}
