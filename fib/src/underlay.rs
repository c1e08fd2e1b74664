//! What is known of the way to remote locators: uplinks, locator states, path MTUs, and which
//! path groups depend on each locator. Also the home of the traffic counters.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::counters::{Pair, PairCount, Peer};
use crate::{GroupId, LocatorState, Uplink, UplinkId};

/// Everything known of the underlay.
#[derive(Debug, Default)]
pub(crate) struct Underlay {
    uplinks: Vec<Uplink>,
    locators: HashMap<IpAddr, Locator, RandomState>,
    /// Locators no group names any more but whose counts are kept, oldest first.
    retired: BTreeMap<u64, IpAddr>,
    retirements: u64,
}

/// What is known of one remote locator.
#[derive(Debug, Default)]
struct Locator {
    state: LocatorState,
    mtu: Option<u16>,
    groups: BTreeSet<GroupId>,
    pairs: Vec<Arc<Pair>>,
    retired: Option<u64>,
}

impl Locator {
    fn says_nothing(&self) -> bool {
        self.groups.is_empty()
            && self.retired.is_none()
            && self.mtu.is_none()
            && self.state == LocatorState::default()
    }
}

/// How many locators without a group keep their counts, for when they come back.
const RETIRED: usize = 1024;

/// How many counters a locator keeps; those of uplinks that are gone make way.
const PAIRS: usize = 64;

impl Underlay {
    /// All uplinks.
    pub(crate) fn uplinks(&self) -> &[Uplink] {
        &self.uplinks
    }

    /// The state of a locator, unless nothing was said.
    pub(crate) fn state(&self, rloc: IpAddr) -> Option<&LocatorState> {
        self.locators.get(&rloc).map(|l| &l.state)
    }

    /// The path MTU to a locator, unless not known to be less than the uplink's.
    pub(crate) fn mtu(&self, rloc: IpAddr) -> Option<u16> {
        self.locators.get(&rloc)?.mtu
    }

    /// Replaces what is known of a locator; gives the groups it matters to.
    pub(crate) fn set_state(&mut self, rloc: IpAddr, state: LocatorState) -> BTreeSet<GroupId> {
        let locator = self.locators.entry(rloc).or_default();
        let changed = locator.state != state;
        locator.state = state;
        self.affected(rloc, changed)
    }

    /// Replaces the path MTU to a locator; gives the groups it matters to.
    pub(crate) fn set_mtu(&mut self, rloc: IpAddr, mtu: Option<u16>) -> BTreeSet<GroupId> {
        let locator = self.locators.entry(rloc).or_default();
        let changed = locator.mtu != mtu;
        locator.mtu = mtu;
        self.affected(rloc, changed)
    }

    fn affected(&mut self, rloc: IpAddr, changed: bool) -> BTreeSet<GroupId> {
        let groups = match self.locators.get(&rloc) {
            Some(locator) if changed => locator.groups.clone(),
            _ => BTreeSet::new(),
        };
        self.forget_if_silent(rloc);
        groups
    }

    /// Replaces the uplinks; gives the locators of each family for which they changed.
    pub(crate) fn set_uplinks(&mut self, uplinks: Vec<Uplink>) -> Vec<IpAddr> {
        let of_family = |uplinks: &[Uplink], v6: bool| -> Vec<Uplink> {
            uplinks.iter().filter(|u| u.rloc.is_ipv6() == v6).cloned().collect()
        };
        let changed = |v6| of_family(&self.uplinks, v6) != of_family(&uplinks, v6);
        let (v4, v6) = (changed(false), changed(true));
        self.uplinks = uplinks;
        self.locators.keys().filter(|a| if a.is_ipv6() { v6 } else { v4 }).copied().collect()
    }

    /// The groups that contain a locator.
    pub(crate) fn groups(&self, rloc: IpAddr) -> impl Iterator<Item = GroupId> {
        self.locators.get(&rloc).into_iter().flat_map(|l| l.groups.iter().copied())
    }

    /// Notes that a group contains a locator. True when it is the locator's first.
    pub(crate) fn join(&mut self, rloc: IpAddr, group: GroupId) -> bool {
        let locator = self.locators.entry(rloc).or_default();
        if let Some(stamp) = locator.retired.take() {
            self.retired.remove(&stamp);
        }
        let first = locator.groups.is_empty();
        locator.groups.insert(group);
        first
    }

    /// Notes that a group does not contain a locator any more. Gives the locator whose counts
    /// have to make way, if any.
    pub(crate) fn leave(&mut self, rloc: IpAddr, group: GroupId) -> Option<IpAddr> {
        let locator = self.locators.get_mut(&rloc)?;
        if !locator.groups.remove(&group) || !locator.groups.is_empty() {
            return None;
        }
        locator.retired = Some(self.retirements);
        self.retired.insert(self.retirements, rloc);
        self.retirements += 1;
        if self.retired.len() <= RETIRED {
            return None;
        }
        let (_, oldest) = self.retired.pop_first()?;
        if let Some(locator) = self.locators.get_mut(&oldest) {
            locator.retired = None;
            locator.pairs.clear();
        }
        self.forget_if_silent(oldest);
        Some(oldest)
    }

    fn forget_if_silent(&mut self, rloc: IpAddr) {
        if self.locators.get(&rloc).is_some_and(Locator::says_nothing) {
            self.locators.remove(&rloc);
        }
    }

    /// The counter of a locator with each uplink of its family, made where there is none.
    pub(crate) fn peers(&mut self, rloc: IpAddr) -> Vec<Peer> {
        let Some(locator) = self.locators.get_mut(&rloc) else { return Vec::new() };
        if locator.groups.is_empty() && locator.retired.is_none() {
            return Vec::new();
        }
        let uplinks = &self.uplinks;
        same_family(uplinks, rloc)
            .map(|uplink| Peer { local: uplink.rloc, pair: locator.pair(uplink.id, uplinks) })
            .collect()
    }

    /// The counter of an uplink and a remote locator, made before by [`Self::peers`].
    pub(crate) fn pair(&self, uplink: UplinkId, rloc: IpAddr) -> Option<Arc<Pair>> {
        self.locators.get(&rloc)?.pairs.iter().find(|p| p.uplink == uplink).cloned()
    }

    /// The counts of all pairs that carried anything, in order.
    pub(crate) fn traffic(&self) -> Vec<PairCount> {
        let mut counts: Vec<_> = self
            .locators
            .iter()
            .flat_map(|(rloc, locator)| {
                same_family(&self.uplinks, *rloc).filter_map(|uplink| {
                    let pair = locator.pairs.iter().find(|p| p.uplink == uplink.id)?;
                    pair.count(uplink.rloc, *rloc)
                })
            })
            .collect();
        counts.sort_unstable_by_key(|c| (c.uplink, c.local, c.rloc));
        counts
    }
}

impl Locator {
    fn pair(&mut self, uplink: UplinkId, uplinks: &[Uplink]) -> Arc<Pair> {
        if let Some(pair) = self.pairs.iter().find(|p| p.uplink == uplink) {
            return pair.clone();
        }
        if self.pairs.len() >= PAIRS {
            self.pairs.retain(|p| uplinks.iter().any(|u| u.id == p.uplink));
        }
        let pair = Arc::new(Pair::new(uplink));
        self.pairs.push(pair.clone());
        pair
    }
}

/// The uplinks of the family of `rloc`.
pub(crate) fn same_family(uplinks: &[Uplink], rloc: IpAddr) -> impl Iterator<Item = &Uplink> {
    uplinks.iter().filter(move |u| u.rloc.is_ipv6() == rloc.is_ipv6())
}
