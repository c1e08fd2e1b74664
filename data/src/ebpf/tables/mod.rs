//! The FIB as the program reads it, kept by the FIB's [updates](Update).
//!
//! What the mirror remembers and what the program reads may differ in one way: a record for which
//! a table has no room is missing there, and the program leaves packets that need it to the
//! portable plane. The mirror itself is always whole, so larger tables can be filled from it.

mod carried;
mod groups;
mod numbers;
mod pairs;
mod routes;
mod scopes;
mod shared;
mod ways;

use std::time::{Duration, Instant};

use weft_fib::{Route, Update};
use weft_packet::addr::InstanceId;

pub(super) use super::records::{Capacities, Full};
use super::records::{Records, Table};
use super::slab::Slab;
use super::trie::Start;
use groups::Groups;
use pairs::Pairs;
use routes::{Routes, Target};
use ways::Ways;

/// The mirror, and the records the program reads.
pub(super) struct Tables<R> {
    records: R,
    routes: Routes,
    groups: Groups,
    ways: Ways,
    pairs: Pairs,
    /// Tables that larger ones replaced. Packets on their way may still be counted there.
    replaced: Vec<Replaced<R>>,
    /// What the last attempt to rebuild them found too small.
    wanted: Option<Capacities>,
}

struct Replaced<R> {
    since: Instant,
    records: R,
    routes: Routes,
    pairs: Pairs,
}

impl<R: Records> Tables<R> {
    /// Empty tables in `records`, which are all zero.
    pub(super) fn new(records: R) -> Self {
        Self {
            routes: Routes::new(&records),
            groups: Groups::default(),
            ways: Ways::default(),
            pairs: Pairs::default(),
            replaced: Vec::new(),
            wanted: None,
            records,
        }
    }

    /// Carries out an update.
    ///
    /// # Errors
    /// As long as a table has no room. The update is remembered all the same.
    pub(super) fn apply(&mut self, now: Instant, update: Update) -> Result<(), Full> {
        self.wake(now);
        match update {
            Update::Route { key, route, usage } => {
                let target = match route {
                    Route::Local => Target::Local,
                    Route::Encapsulate(id) => Target::Encapsulate(self.groups.join(id)),
                    Route::Native | Route::Drop(_) | Route::Resolve => Target::Other,
                };
                let old = self.routes.set(&self.records, now, key, target, usage);
                self.leave(now, old);
            }
            Update::RouteGone(key) => {
                let old = self.routes.clear(&self.records, now, key);
                self.leave(now, old);
            }
            Update::Group(id, group) => {
                let parts = (&mut self.ways, &mut self.pairs);
                self.groups.set(&self.records, now, parts, id, &group);
            }
            Update::GroupGone(id) => {
                let parts = (&mut self.ways, &mut self.pairs);
                self.groups.clear(&self.records, now, parts, id);
            }
            Update::Peers(rloc, peers) => {
                self.pairs.set_peers(&mut self.records, rloc, &peers);
            }
            Update::PeersGone(rloc) => self.pairs.clear_peers(&mut self.records, rloc),
        }
        if self.is_full() { Err(Full) } else { Ok(()) }
    }

    /// Where lookups in an instance begin, IPv4 and IPv6.
    pub(super) fn starts(&self, instance: InstanceId) -> [Start; 2] {
        self.routes.starts(instance)
    }

    /// Nodes in use.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> u32 {
        self.routes.nodes()
    }

    /// Adds what went between locators to the counters of the FIB. Looks at every pair.
    pub(super) fn sync_traffic(&mut self, now: Instant) {
        self.pairs.sync(&self.records, now);
        self.replaced.iter_mut().for_each(|old| old.pairs.sync(&old.records, now));
    }

    /// Adds what each entry carried to the counters of the FIB. Looks at every entry.
    pub(super) fn sync_usage(&mut self) {
        self.routes.sync(&self.records);
        self.replaced.iter_mut().for_each(|old| old.routes.sync(&old.records));
    }

    /// Sizes for tables with room for everything, and for as much again in those that are full or
    /// soon would be.
    pub(super) fn larger(&self) -> Capacities {
        if let Some(wanted) = self.wanted {
            return wanted;
        }
        let [leaves, groups, ways, locators, hops, slots, pairs] = self
            .slabs()
            .map(|(table, slab)| slab.wanted(self.records.records(table), self.octets(table)));
        Capacities {
            nodes: self.routes.nodes_needed(self.records.records(Table::Nodes)),
            leaves,
            groups,
            ways,
            slots,
            hops,
            locators,
            pairs: if self.pairs.refused() { pairs.saturating_mul(2) } else { pairs },
        }
    }

    /// Fills other records, which are all zero, and uses them from now on. What is counted in the
    /// old ones in the seconds that follow is not lost.
    ///
    /// # Errors
    /// When they have not enough room either. Then nothing changes but the answer of
    /// [`Tables::larger`].
    pub(super) fn rebuild(&mut self, now: Instant, records: R) -> Result<(), Full> {
        let mut new = Self::new(records);
        new.routes.expect(self.routes.len());
        let mut result = Ok(());
        for update in self.snapshot() {
            result = new.apply(now, update);
        }
        if result.is_err() {
            self.wanted = Some(new.larger());
            return result;
        }
        let old = std::mem::replace(self, new);
        self.replaced = old.replaced;
        self.replaced.push(Replaced {
            since: now,
            records: old.records,
            routes: old.routes,
            pairs: old.pairs,
        });
        Ok(())
    }

    /// Everything the mirror knows.
    fn snapshot(&self) -> impl Iterator<Item = Update> {
        self.pairs.snapshot().chain(self.groups.snapshot()).chain(
            self.routes.snapshot(|number| {
                self.groups.id(number).map_or(Route::Resolve, Route::Encapsulate)
            }),
        )
    }

    fn is_full(&self) -> bool {
        self.routes.lacks_nodes()
            || self.pairs.refused()
            || self.slabs().iter().any(|(table, slab)| slab.exceeds(self.records.records(*table)))
    }

    /// How large a record of a table is, with its counters.
    fn octets(&self, table: Table) -> usize {
        let processors = self.records.processors() as usize;
        8 * match table {
            Table::Leaves => table.width() + processors * Table::Carried.width(),
            Table::Received => processors * table.width(),
            Table::Hops => table.width() + processors * Table::NextHops.width(),
            _ => table.width(),
        }
    }

    /// Who gives out the records of each table, but for nodes.
    fn slabs(&self) -> [(Table, &Slab); 7] {
        let [groups, ways, locators] = self.groups.slabs();
        let [hops, slots] = self.ways.slabs();
        let leaves = (Table::Leaves, self.routes.slab());
        let pairs = (Table::Received, self.pairs.slab());
        [leaves, groups, ways, locators, hops, slots, pairs]
    }

    fn leave(&mut self, now: Instant, target: Option<Target>) {
        if let Some(Target::Encapsulate(group)) = target {
            self.groups.leave(now, group);
        }
    }

    /// Lets what rested long enough be used again, and tables that were replaced go.
    pub(super) fn wake(&mut self, now: Instant) {
        self.routes.wake(now);
        self.groups.wake(now);
        self.ways.wake(now);
        self.pairs.wake(now);
        self.replaced.retain_mut(|old| {
            let over = now.saturating_duration_since(old.since) >= RETIREMENT;
            if over {
                old.routes.sync(&old.records);
                old.pairs.sync(&old.records, now);
            }
            !over
        });
    }
}

/// How long the counters of replaced tables are looked at.
const RETIREMENT: Duration = Duration::from_secs(5);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "time has to start somewhere")]
mod tests;
