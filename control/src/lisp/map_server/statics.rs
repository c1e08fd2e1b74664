//! Mappings that are written in the configuration and that nobody registers.

use weft_packet::lisp::{MappingRecord, Ttl};

use crate::lisp::config::StaticMapping;
use crate::lisp::eid_table::EidTable;
use crate::lisp::local::Local;

/// Ready-made records by EID-prefix.
pub(super) type Statics = EidTable<MappingRecord>;

/// The mappings of a configuration, with the local uplinks as they are now.
pub(super) fn statics(configured: &[StaticMapping], local: &Local) -> Statics {
    configured.iter().map(|mapping| (mapping.eid, record(mapping, local))).collect()
}

fn record(mapping: &StaticMapping, local: &Local) -> MappingRecord {
    let mut locators = local.locators(&mapping.rlocs);
    for locator in &mut locators {
        locator.local = false;
    }
    MappingRecord {
        eid: mapping.eid.into(),
        ttl: TTL,
        action: mapping.action,
        authoritative: false,
        version: 0,
        locators,
    }
}

/// What is written holds for a day, as the records of most ETRs do.
const TTL: Ttl = Ttl(24 * 60);
