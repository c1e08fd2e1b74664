//! The tables in plain memory, without a program: to measure them where no kernel has to help.

use std::net::IpAddr;
use std::time::Instant;

use weft_fib::Update;
use weft_packet::addr::InstanceId;

use super::records::{Capacities, Full, Memory};
use super::tables::Tables;
use super::trie;

/// What the program would read. The same code keeps it as keeps the maps.
pub struct Rehearsal {
    tables: Tables<Memory>,
}

impl Rehearsal {
    /// Empty tables of these sizes.
    pub fn new(sizes: &Capacities) -> Self {
        Self { tables: Tables::new(Memory::new(sizes)) }
    }

    /// Carries out an update.
    ///
    /// # Errors
    /// As long as a table has no room; see [`Rehearsal::grow`].
    pub fn apply(&mut self, now: Instant, update: Update) -> Result<(), Full> {
        self.tables.apply(now, update)
    }

    /// Replaces tables that are full by larger ones.
    pub fn grow(&mut self, now: Instant) {
        while self.tables.rebuild(now, Memory::new(&self.tables.larger())).is_err() {}
    }

    /// Finds the leaf of an address as the program does; 0 = there is no entry.
    pub fn lookup(&self, instance: InstanceId, address: IpAddr) -> u32 {
        let start = self.tables.starts(instance)[usize::from(address.is_ipv6())];
        trie::lookup(self.tables.records(), start, address)
    }

    /// Adds what was counted to the counters of the FIB.
    pub fn sync(&mut self) {
        self.tables.sync_traffic();
        self.tables.sync_usage();
    }

    /// How many nodes the tries have, each of 1048 octets.
    pub fn nodes(&self) -> u32 {
        self.tables.nodes()
    }
}
