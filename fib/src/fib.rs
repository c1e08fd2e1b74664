//! The writing side of the forwarding table: takes changes, decides, publishes.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use weft_packet::addr::InstanceId;

use crate::choice::View;
use crate::counters::Pair;
use crate::group::UplinkSlots;
use crate::publish::Publisher;
use crate::sources::{Outcome, Sources};
use crate::underlay::Underlay;
use crate::{
    Change, EidKey, Group, GroupId, PairCount, Path, Reader, Route, Source, Update, Uplink,
    UsageCount, Verdict,
};

/// The forwarding table with one owner: every source's word, groups, locators and uplinks.
///
/// Changes are applied one by one and become visible together when published. What has to be
/// compiled is compiled then, once, however many changes touched it.
pub struct Fib {
    pub(crate) sources: Sources,
    pub(crate) groups: HashMap<GroupId, Arc<[Path]>, RandomState>,
    pub(crate) underlay: Underlay,
    pub(crate) publisher: Publisher,
    /// Groups to compile before the next publication.
    stale_groups: BTreeSet<GroupId>,
    /// Locators whose counters have to be made or dropped before that.
    stale_peers: BTreeSet<IpAddr>,
}

/// An entry of the table: what is published for a key.
#[derive(Clone, Debug)]
pub struct RouteInfo {
    /// What it matches.
    pub key: EidKey,
    /// Whose word it is.
    pub source: Source,
    /// What it says.
    pub route: Route,
    /// The locators of the route's group, in order; empty when it has none.
    pub paths: Arc<[PathInfo]>,
    /// How much it carried.
    pub usage: UsageCount,
}

/// A locator of a group and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// As its source gave it.
    pub path: Path,
    /// Whether it carries packets, and why not.
    pub verdict: Verdict,
}

impl Fib {
    /// An empty table and the first reader of it.
    pub fn new() -> (Self, Reader) {
        let (publisher, reader) = Publisher::new();
        let fib = Self {
            sources: Sources::default(),
            groups: HashMap::default(),
            underlay: Underlay::default(),
            publisher,
            stale_groups: BTreeSet::new(),
            stale_peers: BTreeSet::new(),
        };
        (fib, reader)
    }

    /// Takes a change. Readers do not see it before [`Fib::publish`].
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::SetRoute { key, source, route } => {
                let outcome = self.sources.set(key, source, route);
                self.announce(key, outcome);
            }
            Change::ClearRoute { key, source } => {
                let outcome = self.sources.clear(key, source);
                self.announce(key, outcome);
            }
            Change::SetGroup { id, paths } => self.set_group(id, paths),
            Change::ClearGroup { id } => self.clear_group(id),
            Change::SetLocator { rloc, state } => {
                let affected = self.underlay.set_state(rloc, state);
                self.stale_groups.extend(affected);
            }
            Change::ClearLocator { rloc } => {
                let affected = self.underlay.set_state(rloc, crate::LocatorState::default());
                self.stale_groups.extend(affected);
            }
            Change::SetPathMtu { rloc, mtu } => {
                let affected = self.underlay.set_mtu(rloc, mtu);
                self.stale_groups.extend(affected);
            }
            Change::SetUplinks(uplinks) => self.set_uplinks(uplinks),
        }
    }

    /// Shows all changes taken since the last publication to all readers at once. Costs nothing
    /// when there are none. Waits for readers that still hold a snapshot older than the last
    /// publication.
    pub fn publish(&mut self) {
        for rloc in std::mem::take(&mut self.stale_peers) {
            let peers = self.underlay.peers(rloc);
            self.publisher.add(if peers.is_empty() {
                Update::PeersGone(rloc)
            } else {
                Update::Peers(rloc, peers.into())
            });
        }
        let mut shared = UplinkSlots::default();
        for id in std::mem::take(&mut self.stale_groups) {
            let Some(paths) = self.groups.get(&id) else { continue };
            let counter = |uplink, rloc| {
                let known = self.underlay.pair(uplink, rloc);
                known.unwrap_or_else(|| Arc::new(Pair::new(uplink)))
            };
            let group = Group::compile(paths, View::of(&self.underlay), counter, &mut shared);
            self.publisher.add(Update::Group(id, Arc::new(group)));
        }
        self.publisher.publish();
    }

    /// Records from now on what is published, for [`Fib::take_updates`], after publishing what was
    /// applied before. Whoever watches takes after each publication; what is left waiting is
    /// kept within twice the number of things that changed.
    pub fn watch(&mut self) {
        self.publish();
        self.publisher.watch(true);
    }

    /// Ends [`Fib::watch`]. Updates not taken are dropped.
    pub fn unwatch(&mut self) {
        self.publisher.watch(false);
    }

    /// What was published since the last call, in order; nothing while nobody watches.
    pub fn take_updates(&mut self) -> Vec<Update> {
        self.publisher.take_updates()
    }

    /// All that is published, as the updates that lead there from empty tables. Updates that wait
    /// to be taken are included, and change nothing when they are carried out once more.
    pub fn snapshot_updates(&self) -> Vec<Update> {
        self.publisher.enter().map(|tables| tables.updates()).unwrap_or_default()
    }

    /// How much the entry of exactly this key carried since the key got one, whichever source's word
    /// was published meanwhile.
    pub fn usage(&self, key: impl Into<EidKey>) -> Option<UsageCount> {
        self.sources.get(key.into()).map(|said| said.usage.count())
    }

    /// What went between uplinks and remote locators, all pairs that carried anything. A locator
    /// keeps its counts while a group contains it, and the last thousand beyond that.
    pub fn traffic(&self) -> Vec<PairCount> {
        self.underlay.traffic()
    }

    /// All entries, or those of one instance, in order.
    pub fn routes(&self, instance: Option<InstanceId>) -> Vec<RouteInfo> {
        let mut known: HashMap<GroupId, Arc<[PathInfo]>, RandomState> = HashMap::default();
        let none: Arc<[PathInfo]> = Arc::default();
        let mut routes: Vec<_> = self
            .sources
            .iter()
            .filter(|(key, _)| instance.is_none_or(|wanted| wanted == key.eid.instance))
            .filter_map(|(key, said)| {
                let word = said.words().first()?;
                let paths = match word.route {
                    Route::Encapsulate(id) => known.entry(id).or_insert_with(|| self.paths(id)),
                    _ => &none,
                };
                Some(RouteInfo {
                    key,
                    source: word.source,
                    route: word.route,
                    paths: paths.clone(),
                    usage: said.usage.count(),
                })
            })
            .collect();
        routes.sort_unstable_by_key(|route| route.key);
        routes
    }

    /// The locators of a group and how each is used; none for a group that was not made.
    pub fn paths(&self, id: GroupId) -> Arc<[PathInfo]> {
        let Some(paths) = self.groups.get(&id) else { return Arc::default() };
        let verdicts = View::of(&self.underlay).judge(paths);
        paths.iter().zip(verdicts).map(|(&path, verdict)| PathInfo { path, verdict }).collect()
    }

    /// How many keys have an entry.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// True when no key has an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn announce(&mut self, key: EidKey, outcome: Outcome) {
        match outcome {
            Outcome::Same => {}
            Outcome::Now(route, usage) => {
                self.publisher.add(Update::Route { key, route, usage });
            }
            Outcome::Gone => self.publisher.add(Update::RouteGone(key)),
        }
    }

    fn set_group(&mut self, id: GroupId, mut paths: Vec<Path>) {
        paths.sort_unstable();
        paths.dedup();
        if self.groups.get(&id).is_some_and(|known| **known == *paths) {
            return;
        }
        for path in &paths {
            if self.underlay.join(path.rloc, id) {
                self.stale_peers.insert(path.rloc);
            }
        }
        let old = self.groups.insert(id, paths.into());
        self.leave(id, old.as_deref().unwrap_or_default());
        self.stale_groups.insert(id);
    }

    fn clear_group(&mut self, id: GroupId) {
        let Some(old) = self.groups.remove(&id) else { return };
        self.leave(id, &old);
        self.stale_groups.remove(&id);
        self.publisher.add(Update::GroupGone(id));
    }

    /// Takes a group off the locators it used to contain and does not now.
    fn leave(&mut self, id: GroupId, old: &[Path]) {
        let now = self.groups.get(&id);
        let stays = |rloc| now.is_some_and(|paths| paths.iter().any(|p| p.rloc == rloc));
        for path in old.iter().filter(|path| !stays(path.rloc)) {
            let forgotten = self.underlay.leave(path.rloc, id);
            self.stale_peers.extend(forgotten);
        }
    }

    fn set_uplinks(&mut self, uplinks: Vec<Uplink>) {
        for rloc in self.underlay.set_uplinks(uplinks) {
            self.stale_groups.extend(self.underlay.groups(rloc));
            self.stale_peers.insert(rloc);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encapsulation, UplinkId};
    use std::net::Ipv4Addr;

    #[test]
    fn counters_of_locators_long_gone_are_freed_everywhere() {
        let (mut fib, _reader) = Fib::new();
        let id = UplinkId(0);
        let local = Ipv4Addr::new(203, 0, 113, 1).into();
        fib.apply(Change::SetUplinks(vec![Uplink {
            id,
            rloc: local,
            interface: 2,
            mtu: 1500,
            priority: 1,
            weight: 1,
            up: true,
        }]));
        let mut counters = Vec::new();
        for number in 0..3000 {
            let rloc = Ipv4Addr::from_bits(0xc000_0000 + number).into();
            let encapsulation = Encapsulation::Lisp;
            let paths = vec![Path { rloc, priority: 1, weight: 1, encapsulation }];
            fib.apply(Change::SetGroup { id: GroupId(1), paths });
            fib.publish();
            counters.push(Arc::downgrade(&fib.underlay.pair(id, rloc).unwrap()));
        }
        let alive = counters.iter().filter(|counter| counter.strong_count() > 0).count();
        assert!((1000..1100).contains(&alive), "{alive}");
    }
}
