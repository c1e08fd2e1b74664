//! The forwarding table as a specification: everything said is kept in plain maps, and every
//! answer is found by looking at all of it. Slow, short, and independent of the fast code; tests
//! compare data planes and [`Fib`](crate::Fib) with it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use weft_packet::addr::{InstanceId, Prefix};

use crate::{
    Change, DropReason, EidKey, Encapsulation, GroupId, LocatorState, Path, Route, Source, Uplink,
    UplinkId,
};

/// Everything said.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    said: BTreeMap<(EidKey, Source), Route>,
    groups: BTreeMap<GroupId, Vec<Path>>,
    locators: BTreeMap<IpAddr, LocatorState>,
    mtus: BTreeMap<IpAddr, u16>,
    uplinks: Vec<Uplink>,
}

/// One way packets of a group may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Outer destination.
    pub remote: IpAddr,
    /// Outer source.
    pub local: IpAddr,
    /// Through which uplink.
    pub uplink: UplinkId,
    /// How packets are wrapped.
    pub encapsulation: Encapsulation,
    /// The largest inner packet that fits, in octets.
    pub mtu: u16,
    /// The fraction of flows that should take it.
    pub share: f64,
}

impl Reference {
    /// Takes a change, in force at once.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::SetRoute { key, source, route } => {
                self.said.insert((key, source), route);
            }
            Change::ClearRoute { key, source } => {
                self.said.remove(&(key, source));
            }
            Change::SetGroup { id, paths } => {
                self.groups.insert(id, paths);
            }
            Change::ClearGroup { id } => {
                self.groups.remove(&id);
            }
            Change::SetLocator { rloc, state } => {
                self.locators.insert(rloc, state);
            }
            Change::ClearLocator { rloc } => {
                self.locators.remove(&rloc);
            }
            Change::SetPathMtu { rloc, mtu: Some(mtu) } => {
                self.mtus.insert(rloc, mtu);
            }
            Change::SetPathMtu { rloc, mtu: None } => {
                self.mtus.remove(&rloc);
            }
            Change::SetUplinks(uplinks) => self.uplinks = uplinks,
        }
    }

    /// The longest prefix that contains `destination`, the longest that contains `source` of those
    /// entries, and what the best of those who speak of them says.
    pub fn lookup(
        &self,
        instance: InstanceId,
        source: IpAddr,
        destination: IpAddr,
    ) -> (Prefix, Option<Prefix>, Route) {
        let matching = self.said.iter().filter(|((EidKey { eid, from }, _), _)| {
            eid.instance == instance
                && eid.prefix.contains(destination)
                && from.is_none_or(|from| from.contains(source))
        });
        let length = |prefix: Option<Prefix>| prefix.map_or(-1, |prefix| prefix.length().into());
        let best = matching.min_by_key(|((key, source), _)| {
            (-length(Some(key.eid.prefix)), -length(key.from), *source)
        });
        let everything = if destination.is_ipv6() { Prefix::ALL_V6 } else { Prefix::ALL_V4 };
        match best {
            Some(((key, _), route)) => (key.eid.prefix, key.from, *route),
            None if self.serves(instance) => {
                (everything, None, Route::Drop(DropReason::NegativeMapping))
            }
            None => (everything, None, Route::Drop(DropReason::UnknownInstance)),
        }
    }

    /// True when anything was said in the instance.
    pub fn serves(&self, instance: InstanceId) -> bool {
        self.said.keys().any(|(key, _)| key.eid.instance == instance)
    }

    /// True when `address` is an EID of ours, whoever sends there.
    pub fn is_local(&self, instance: InstanceId, address: IpAddr) -> bool {
        let mut for_all = self.clone();
        for_all.said.retain(|(key, _), _| key.from.is_none());
        let (_, _, route) = for_all.lookup(instance, address, address);
        route == Route::Local
    }

    /// What is in force for each key: the best source and its word, in order.
    pub fn routes(&self) -> Vec<(EidKey, Source, Route)> {
        let mut routes: Vec<_> =
            self.said.iter().map(|(&(key, s), &route)| (key, s, route)).collect();
        routes.dedup_by_key(|(key, _, _)| *key);
        routes
    }

    /// True when `rloc` is a locator of the group; `None` when there is no such group.
    pub fn contains(&self, group: GroupId, rloc: IpAddr) -> Option<bool> {
        Some(self.groups.get(&group)?.iter().any(|path| path.rloc == rloc))
    }

    /// The ways packets of a group may take.
    ///
    /// # Errors
    /// Why there is none.
    pub fn choices(&self, group: GroupId) -> Result<Vec<Choice>, DropReason> {
        let paths = self.groups.get(&group).ok_or(DropReason::NoUsableRloc)?;
        let allowed: Vec<_> = paths.iter().filter(|path| path.priority != 255).collect();
        if allowed.is_empty() {
            return Err(DropReason::NoUsableRloc);
        }
        let possible: Vec<_> =
            allowed.into_iter().filter(|path| !self.working(path.rloc).is_empty()).collect();
        if possible.is_empty() {
            return Err(DropReason::NoUsableUplink);
        }
        let answering =
            |path: &&&Path| !self.state(path.rloc).down && !self.reaching(path.rloc).is_empty();
        let answers = possible.iter().any(|path| answering(&path));
        let usable: Vec<_> =
            possible.iter().filter(|path| !answers || answering(path)).copied().collect();
        let mut choices = Vec::new();
        for (path, share) in shared(&usable, |path| (path.priority, path.weight)) {
            let mut uplinks = self.reaching(path.rloc);
            if uplinks.is_empty() {
                uplinks = self.working(path.rloc);
            }
            for (uplink, part) in shared(&uplinks, |uplink| (uplink.priority, uplink.weight)) {
                choices.push(self.choice(path, uplink, share * part));
            }
        }
        Ok(choices)
    }

    fn choice(&self, path: &Path, uplink: &Uplink, share: f64) -> Choice {
        let outer = uplink.mtu.min(self.mtus.get(&path.rloc).copied().unwrap_or(u16::MAX));
        Choice {
            remote: path.rloc,
            local: uplink.rloc,
            uplink: uplink.id,
            encapsulation: path.encapsulation,
            mtu: outer.saturating_sub(match (path.rloc.is_ipv6(), path.encapsulation) {
                (false, Encapsulation::Vxlan) => 50,
                (true, Encapsulation::Vxlan) => 70,
                (false, _) => 36,
                (true, _) => 56,
            }),
            share,
        }
    }

    fn state(&self, rloc: IpAddr) -> LocatorState {
        self.locators.get(&rloc).cloned().unwrap_or_default()
    }

    fn working(&self, rloc: IpAddr) -> Vec<&Uplink> {
        let family = |uplink: &&Uplink| uplink.rloc.is_ipv6() == rloc.is_ipv6();
        self.uplinks.iter().filter(|uplink| uplink.up).filter(family).collect()
    }

    fn reaching(&self, rloc: IpAddr) -> Vec<&Uplink> {
        let not_via = self.state(rloc).not_via;
        let mut uplinks = self.working(rloc);
        uplinks.retain(|uplink| !not_via.contains(&uplink.id));
        uplinks
    }
}

/// Those of the best priority with the fraction their weight gives them, without those that get
/// nothing.
fn shared<'a, T>(all: &[&'a T], rank: impl Fn(&T) -> (u8, u8)) -> Vec<(&'a T, f64)> {
    let best = all.iter().map(|one| rank(one).0).min();
    let among: Vec<_> = all.iter().filter(|one| Some(rank(one).0) == best).collect();
    let equal = among.iter().all(|one| rank(one).1 == 0);
    let weight = |one: &T| if equal { 1.0 } else { f64::from(rank(one).1) };
    let total: f64 = among.iter().map(|one| weight(one)).sum();
    let shares = among.iter().map(|one| (**one, weight(one) / total));
    shares.filter(|(_, share)| *share > 0.0).collect()
}
