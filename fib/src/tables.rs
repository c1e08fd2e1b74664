//! What a data plane reads: the published tables.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use weft_packet::addr::{InstanceId, Prefix};

use crate::counters::{Peer, Usage};
use crate::scoped::{Found, Scoped};
use crate::{DropReason, Group, GroupId, Route, Update};

/// The published tables: one longest-prefix match for each instance, and the path groups their
/// entries point to.
#[derive(Clone, Default)]
pub struct Tables {
    instances: HashMap<InstanceId, Scoped<Entry>, RandomState>,
    groups: HashMap<GroupId, Arc<Group>, RandomState>,
    peers: HashMap<IpAddr, Arc<[Peer]>, RandomState>,
}

/// The answer for a key.
#[derive(Clone, Debug)]
struct Entry {
    route: Route,
    usage: Arc<Usage>,
}

/// What to do with a packet, and the entry that says so.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// The longest prefix that contains the destination; `0.0.0.0/0` or `::/0` also when none
    /// does.
    pub prefix: Prefix,
    /// The source-prefix, if the entry is not for every source.
    pub from: Option<Prefix>,
    /// What to do.
    pub forwarding: Forwarding<'a>,
    usage: Option<&'a Usage>,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug)]
pub enum Forwarding<'a> {
    /// It is for an EID of ours.
    Local,
    /// Encapsulate it towards a hop of the group.
    Encapsulate(&'a Group),
    /// Forward it as it is.
    Native,
    /// Drop it, and count why.
    Drop(DropReason),
    /// Hold it and ask the control plane.
    Resolve,
}

impl Tables {
    /// What to do with a packet from `source` to `destination`. Where no entry matches that is to drop it:
    /// [`DropReason::NegativeMapping`] in an instance that has entries,
    /// [`DropReason::UnknownInstance`] in one that has none.
    pub fn lookup(&self, instance: InstanceId, source: IpAddr, destination: IpAddr) -> Lookup<'_> {
        let Some(entries) = self.instances.get(&instance) else {
            return Lookup::none(destination, DropReason::UnknownInstance);
        };
        let Some(Found { prefix, from, value: entry }) = entries.get(source, destination) else {
            return Lookup::none(destination, DropReason::NegativeMapping);
        };
        let forwarding = self.forwarding(entry.route);
        Lookup { prefix, from, forwarding, usage: Some(&entry.usage) }
    }

    /// True when `address` is an EID of ours: the longest prefix that contains it says so. That does
    /// not depend on who sends there.
    pub fn is_local(&self, instance: InstanceId, address: IpAddr) -> bool {
        let entries = self.instances.get(&instance);
        let entry = entries.and_then(|entries| entries.get_for_all(address));
        entry.is_some_and(|entry| entry.route == Route::Local)
    }

    /// True when the instance has any entry.
    pub fn serves(&self, instance: InstanceId) -> bool {
        self.instances.contains_key(&instance)
    }

    /// True when a packet with these inner addresses may come from this outer source, a locator of
    /// the mapping by which an answer would go back; our own hosts send nothing through the tunnel
    /// to us. `None` when that mapping is not known.
    pub fn source_matches(
        &self,
        instance: InstanceId,
        (inner_source, inner_destination): (IpAddr, IpAddr),
        outer_source: IpAddr,
    ) -> Option<bool> {
        match self.route(instance, inner_destination, inner_source)? {
            Route::Encapsulate(id) => Some(self.groups.get(&id)?.contains(outer_source)),
            Route::Local => Some(false),
            Route::Native | Route::Drop(_) | Route::Resolve => None,
        }
    }

    /// Counts packets that came from a remote locator to a local one. Locators of no path group
    /// are not counted.
    pub fn received(&self, local: IpAddr, rloc: IpAddr, packets: u64) {
        let peers = self.peers.get(&rloc);
        if let Some(peer) = peers.and_then(|peers| peers.iter().find(|p| p.local == local)) {
            peer.pair.receive(packets);
        }
    }

    /// The route of the longest match.
    pub(crate) fn route(
        &self,
        instance: InstanceId,
        source: IpAddr,
        destination: IpAddr,
    ) -> Option<Route> {
        Some(self.instances.get(&instance)?.get(source, destination)?.value.route)
    }

    /// A route whose group was not made (yet) has no locator to use.
    fn forwarding(&self, route: Route) -> Forwarding<'_> {
        match route {
            Route::Local => Forwarding::Local,
            Route::Encapsulate(id) => self
                .groups
                .get(&id)
                .map_or(Forwarding::Drop(DropReason::NoUsableRloc), |g| Forwarding::Encapsulate(g)),
            Route::Native => Forwarding::Native,
            Route::Drop(reason) => Forwarding::Drop(reason),
            Route::Resolve => Forwarding::Resolve,
        }
    }

    /// Everything there is, in an order in which nothing names what comes later.
    pub(crate) fn updates(&self) -> Vec<Update> {
        let peers = self.peers.iter().map(|(rloc, peers)| Update::Peers(*rloc, peers.clone()));
        let groups = self.groups.iter().map(|(id, group)| Update::Group(*id, group.clone()));
        let routes = self.instances.iter().flat_map(|(&instance, entries)| {
            entries.iter().map(move |found| Update::Route {
                key: found.key(instance),
                route: found.value.route,
                usage: found.value.usage.clone(),
            })
        });
        peers.chain(groups).chain(routes).collect()
    }

    /// Carries out one change, once on each of the two copies.
    pub(crate) fn apply(&mut self, update: Update) {
        match update {
            Update::Route { key, route, usage } => {
                let entries = self.instances.entry(key.eid.instance).or_default();
                entries.set(key.eid.prefix, key.from, Entry { route, usage });
            }
            Update::RouteGone(key) => {
                if let Some(entries) = self.instances.get_mut(&key.eid.instance) {
                    entries.clear(key.eid.prefix, key.from);
                    if entries.is_empty() {
                        self.instances.remove(&key.eid.instance);
                    }
                }
            }
            Update::Group(id, group) => {
                self.groups.insert(id, group);
            }
            Update::GroupGone(id) => {
                self.groups.remove(&id);
            }
            Update::Peers(rloc, peers) => {
                self.peers.insert(rloc, peers);
            }
            Update::PeersGone(rloc) => {
                self.peers.remove(&rloc);
            }
        }
    }
}

impl Lookup<'_> {
    /// Counts packets that used the entry, and their octets.
    pub fn count(&self, packets: u64, bytes: u64) {
        if let Some(usage) = self.usage {
            usage.add(packets, bytes);
        }
    }

    fn none(destination: IpAddr, reason: DropReason) -> Self {
        let prefix = if destination.is_ipv6() { Prefix::ALL_V6 } else { Prefix::ALL_V4 };
        Self { prefix, from: None, forwarding: Forwarding::Drop(reason), usage: None }
    }
}
