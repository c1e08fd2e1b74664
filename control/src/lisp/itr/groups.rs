//! Locator-sets: equal ones are kept once and become one path group of the forwarding table.
//!
//! A hundred thousand EID-prefixes of one site share a group, so each mapping costs an entry
//! and no more, and whatever happens to a locator happens to one group. Groups know their
//! members; when the last leaves, the group goes. From the same bookkeeping follows which remote
//! locators are in use and about which EID-prefix they can be probed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use weft_fib::{Change, EidKey, Encapsulation, GroupId, Path};
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::{Address, Lcaf, Locator};

use crate::engine::Actions;
use crate::lisp::probe::Watch;

/// Who holds a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// A cached mapping.
    Learned(EidPrefix),
    /// A configured mapping.
    Static(EidKey),
    /// The Proxy-ETRs of the family.
    ProxyEtrs(EidPrefix),
}

impl Holder {
    fn eid(self) -> EidPrefix {
        match self {
            Self::Learned(eid) | Self::ProxyEtrs(eid) => eid,
            Self::Static(key) => key.eid,
        }
    }
}

/// All locator-sets in use.
#[derive(Debug)]
pub(super) struct Groups {
    encapsulation: Encapsulation,
    by_id: BTreeMap<GroupId, Group>,
    by_set: BTreeMap<Arc<[Locator]>, GroupId>,
    next: u32,
    /// The groups that may send to a locator.
    users: BTreeMap<IpAddr, BTreeSet<GroupId>>,
    /// What the prober was told, and where that may be out of date.
    watched: BTreeMap<IpAddr, EidPrefix>,
    touched: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Group {
    set: Arc<[Locator]>,
    paths: Vec<Path>,
    members: BTreeSet<Holder>,
}

impl Groups {
    /// `encapsulation` is for locators that do not name one.
    pub(super) fn new(encapsulation: Encapsulation) -> Self {
        Self {
            encapsulation,
            by_id: BTreeMap::new(),
            by_set: BTreeMap::new(),
            next: 0,
            users: BTreeMap::new(),
            watched: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds `holder` to the group of `set`, which is made where there is none.
    pub(super) fn join(
        &mut self,
        mut set: Vec<Locator>,
        holder: Holder,
        out: &mut Actions,
    ) -> GroupId {
        set.sort();
        let id = match self.by_set.get(set.as_slice()) {
            Some(&id) => id,
            None => self.make(set.into(), out),
        };
        if let Some(group) = self.by_id.get_mut(&id) {
            group.members.insert(holder);
            self.touched.extend(usable(&group.paths));
        }
        id
    }

    /// Takes `holder` out of a group. Its route must not name the group any more.
    pub(super) fn leave(&mut self, id: GroupId, holder: Holder, out: &mut Actions) {
        let Some(group) = self.by_id.get_mut(&id) else { return };
        group.members.remove(&holder);
        self.touched.extend(usable(&group.paths));
        if !group.members.is_empty() {
            return;
        }
        for rloc in usable(&group.paths) {
            if let Some(users) = self.users.get_mut(&rloc) {
                users.remove(&id);
                if users.is_empty() {
                    self.users.remove(&rloc);
                }
            }
        }
        self.by_set.remove(&group.set);
        self.by_id.remove(&id);
        out.forward(Change::ClearGroup { id });
    }

    /// The locators of a group as they came.
    pub(super) fn locators(&self, id: GroupId) -> &[Locator] {
        self.by_id.get(&id).map_or(&[], |g| &g.set)
    }

    /// True when packets can be sent to some locator of a group, as far as the mapping says.
    pub(super) fn is_usable(&self, id: GroupId) -> bool {
        self.by_id.get(&id).is_some_and(|g| usable(&g.paths).next().is_some())
    }

    /// Wraps packets otherwise from now on.
    pub(super) fn encapsulate(&mut self, encapsulation: Encapsulation, out: &mut Actions) {
        self.encapsulation = encapsulation;
        for (&id, group) in &mut self.by_id {
            let paths = paths(&group.set, encapsulation);
            if paths != group.paths {
                group.paths.clone_from(&paths);
                out.forward(Change::SetGroup { id, paths });
            }
        }
    }

    /// What changed about the locators in use since last asked.
    pub(super) fn take_watch_changes(&mut self) -> Vec<Watch> {
        let mut changes = Vec::new();
        for rloc in std::mem::take(&mut self.touched) {
            let before = self.watched.get(&rloc).copied();
            let about = self.about(rloc, before);
            match about {
                Some(about) if before != Some(about) => {
                    self.watched.insert(rloc, about);
                    changes.push(Watch::Use { rloc, about });
                }
                None if before.is_some() => {
                    self.watched.remove(&rloc);
                    changes.push(Watch::Release { rloc });
                }
                _ => {}
            }
        }
        changes
    }

    /// An EID-prefix with this locator: `before` as long as it holds.
    fn about(&self, rloc: IpAddr, before: Option<EidPrefix>) -> Option<EidPrefix> {
        let groups =
            || self.users.get(&rloc).into_iter().flatten().filter_map(|g| self.by_id.get(g));
        let holds = |eid: &EidPrefix| {
            let plain = EidKey::from(*eid);
            let holders = [Holder::Learned(*eid), Holder::Static(plain), Holder::ProxyEtrs(*eid)];
            groups().any(|g| holders.iter().any(|h| g.members.contains(h)))
        };
        let first = || groups().filter_map(|g| g.members.first()).min().map(|h| h.eid());
        before.filter(holds).or_else(first)
    }

    fn make(&mut self, set: Arc<[Locator]>, out: &mut Actions) -> GroupId {
        while self.by_id.contains_key(&GroupId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let id = GroupId(self.next);
        self.next = self.next.wrapping_add(1);
        let paths = paths(&set, self.encapsulation);
        for rloc in usable(&paths) {
            self.users.entry(rloc).or_default().insert(id);
        }
        self.by_set.insert(set.clone(), id);
        self.by_id.insert(id, Group { set, paths: paths.clone(), members: BTreeSet::new() });
        out.forward(Change::SetGroup { id, paths });
        id
    }
}

/// The address of a locator, and the encapsulations it accepts where it says so.
pub(super) fn rloc(address: &Address) -> Option<(IpAddr, Option<u32>)> {
    if let Address::Lcaf(lcaf) = address
        && let Lcaf::Encapsulations { formats, address } = &**lcaf
    {
        return Some((address.ip()?, Some(*formats)));
    }
    Some((address.ip()?, None))
}

/// A locator-set as paths. Locators not to be sent to stay in it with priority 255: packets may
/// still come from them.
fn paths(set: &[Locator], encapsulation: Encapsulation) -> Vec<Path> {
    let path = |locator: &Locator| {
        let (rloc, formats) = rloc(&locator.address)?;
        let accepted = formats.map_or(Some(encapsulation), |f| choose(f, encapsulation));
        let usable = locator.reachable && !locator.local && accepted.is_some();
        Some(Path {
            rloc,
            priority: if usable { locator.priority } else { UNUSED },
            weight: locator.weight,
            encapsulation: accepted.unwrap_or(encapsulation),
        })
    };
    set.iter().filter_map(path).collect()
}

/// The locators that may carry packets.
fn usable(paths: &[Path]) -> impl Iterator<Item = IpAddr> {
    paths.iter().filter(|p| p.priority != UNUSED).map(|p| p.rloc)
}

/// Of the formats a locator accepts (RFC 8060 §5.4) ours, or one we can send.
fn choose(formats: u32, ours: Encapsulation) -> Option<Encapsulation> {
    let bit = |e| match e {
        Encapsulation::Lisp | Encapsulation::LispGpe => FORMAT_LISP,
        Encapsulation::VxlanGpe => FORMAT_VXLAN_GPE,
        Encapsulation::Vxlan => FORMAT_VXLAN,
    };
    [ours, Encapsulation::Lisp, Encapsulation::VxlanGpe, Encapsulation::Vxlan]
        .into_iter()
        .find(|&e| formats & bit(e) != 0)
}

/// The priority of a locator that carries no unicast packets.
const UNUSED: u8 = 255;
const FORMAT_LISP: u32 = 0x01;
const FORMAT_VXLAN: u32 = 0x04;
const FORMAT_VXLAN_GPE: u32 = 0x08;
