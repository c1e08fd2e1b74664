//! Mappings that are written in the configuration and that nobody registers.

use std::collections::BTreeMap;

use weft_packet::addr::{EidPrefix, InstanceId};
use weft_packet::lisp::{MappingRecord, Ttl};

use super::prefix_table::PrefixTable;
use crate::lisp::config::StaticMapping;
use crate::lisp::local::Local;

/// Ready-made records by EID-prefix.
#[derive(Debug, Default)]
pub(super) struct Statics {
    index: BTreeMap<InstanceId, PrefixTable<MappingRecord>>,
}

impl Statics {
    /// Of a configuration, with the local uplinks as they are now.
    pub(super) fn new(configured: &[StaticMapping], local: &Local) -> Self {
        let mut statics = Self::default();
        for mapping in configured {
            let mut locators = local.locators(&mapping.rlocs);
            for locator in &mut locators {
                locator.local = false;
            }
            let record = MappingRecord {
                eid: mapping.eid.into(),
                ttl: TTL,
                action: mapping.action,
                authoritative: false,
                version: 0,
                locators,
            };
            let table = statics.index.entry(mapping.eid.instance).or_default();
            table.insert(mapping.eid.prefix, record);
        }
        statics
    }

    /// The static mappings of an instance.
    pub(super) fn table(&self, instance: InstanceId) -> Option<&PrefixTable<MappingRecord>> {
        self.index.get(&instance)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EidPrefix, &MappingRecord)> {
        self.index.iter().flat_map(|(instance, table)| {
            table.iter().map(|(prefix, record)| (EidPrefix::new(*instance, prefix), record))
        })
    }
}

/// What is written holds for a day, as the records of most ETRs do.
const TTL: Ttl = Ttl(24 * 60);
