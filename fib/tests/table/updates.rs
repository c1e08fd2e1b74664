//! A plane with tables of its own learns everything from the updates.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use weft_fib::{Change, EidKey, Fib, Group, GroupId, Pair, Route, Source, Update, Usage};

use crate::{address, down, eid, group, no_route, route, uplink};

/// Tables built from updates alone. Shared things are told apart by where they are.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mirror {
    routes: BTreeMap<EidKey, (Route, *const Usage)>,
    groups: BTreeMap<GroupId, *const Group>,
    peers: BTreeMap<IpAddr, Vec<(IpAddr, *const Pair)>>,
}

impl Mirror {
    pub(crate) fn apply(&mut self, updates: Vec<Update>) {
        for update in updates {
            match update {
                Update::Route { key, route, usage } => {
                    self.routes.insert(key, (route, Arc::as_ptr(&usage)));
                }
                Update::RouteGone(key) => drop(self.routes.remove(&key)),
                Update::Group(id, group) => drop(self.groups.insert(id, Arc::as_ptr(&group))),
                Update::GroupGone(id) => drop(self.groups.remove(&id)),
                Update::Peers(rloc, peers) => {
                    let pairs = peers.iter().map(|peer| (peer.local, Arc::as_ptr(&peer.pair)));
                    self.peers.insert(rloc, pairs.collect());
                }
                Update::PeersGone(rloc) => drop(self.peers.remove(&rloc)),
            }
        }
    }

    pub(crate) fn of(updates: Vec<Update>) -> Self {
        let mut mirror = Self::default();
        mirror.apply(updates);
        mirror
    }
}

fn site(fib: &mut Fib) {
    fib.apply(Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]));
    fib.apply(group(1, &[("192.0.2.1", 1, 1), ("192.0.2.2", 1, 1)]));
    fib.apply(route("10.1.0.0/16", Source::Lisp, Route::Encapsulate(GroupId(1))));
}

#[test]
fn nothing_is_recorded_for_nobody() {
    let (mut fib, _reader) = Fib::new();
    site(&mut fib);
    fib.publish();
    assert!(fib.take_updates().is_empty());
    fib.watch();
    fib.apply(no_route("10.1.0.0/16", Source::Lisp));
    fib.publish();
    fib.unwatch();
    assert!(fib.take_updates().is_empty());
}

#[test]
fn what_was_there_is_in_the_snapshot_and_what_comes_in_the_updates() {
    let (mut fib, _reader) = Fib::new();
    site(&mut fib);
    fib.watch();
    let mut mirror = Mirror::of(fib.snapshot_updates());
    assert_eq!((mirror.routes.len(), mirror.groups.len(), mirror.peers.len()), (1, 1, 2));

    fib.apply(route("10.1.0.0/16", Source::Local, Route::Local));
    assert!(fib.take_updates().is_empty(), "not published yet");
    fib.publish();
    let updates = fib.take_updates();
    assert!(
        matches!(updates[..], [Update::Route { route: Route::Local, .. }]),
        "only what changed: {updates:?}"
    );
    mirror.apply(updates);

    fib.apply(down("192.0.2.1"));
    fib.apply(no_route("10.1.0.0/16", Source::Local));
    fib.apply(no_route("10.1.0.0/16", Source::Lisp));
    fib.publish();
    mirror.apply(fib.take_updates());
    assert!(mirror.routes.is_empty());
    assert_eq!(mirror, Mirror::of(fib.snapshot_updates()));
}

#[test]
fn a_compiled_group_shows_its_ways_and_slots() {
    let (mut fib, _reader) = Fib::new();
    site(&mut fib);
    fib.watch();
    let group = fib
        .snapshot_updates()
        .into_iter()
        .find_map(|update| match update {
            Update::Group(_, group) => Some(group),
            _ => None,
        })
        .unwrap();
    assert_eq!((group.ways().len(), group.slots().len()), (2, 512));
    assert_eq!(group.ways()[0].slots(), [0]);
    let hop = &group.ways()[0].hops()[0];
    assert_eq!((hop.remote, hop.local), (address("192.0.2.1"), address("203.0.113.1")));
    hop.pair().send(3);
    assert_eq!(fib.traffic()[0].sent, 3);
}

#[test]
fn counts_added_from_outside_belong_to_the_entry() {
    let (mut fib, _reader) = Fib::new();
    site(&mut fib);
    fib.watch();
    for update in fib.snapshot_updates() {
        match update {
            Update::Route { usage, .. } => usage.add(2, 200),
            Update::Peers(_, peers) => peers[0].pair.receive(5),
            _ => {}
        }
    }
    assert_eq!(fib.usage(eid("10.1.0.0/16")).unwrap().bytes, 200);
    assert_eq!(fib.traffic().iter().map(|pair| pair.received).sum::<u64>(), 10);
}

#[test]
fn updates_nobody_takes_do_not_pile_up() {
    let (mut fib, _reader) = Fib::new();
    site(&mut fib);
    fib.watch();
    for round in 0..10_000 {
        let (now, then) = if round % 2 == 0 { ("10.2", "10.3") } else { ("10.3", "10.2") };
        fib.apply(route(&format!("{now}.0.0/16"), Source::Lisp, Route::Native));
        fib.apply(no_route(&format!("{then}.0.0/16"), Source::Lisp));
        fib.publish();
    }
    let updates = fib.take_updates();
    assert!(updates.len() <= 2048 + 2, "{}", updates.len());
    let mut mirror = Mirror::of(fib.snapshot_updates());
    let truth = Mirror::of(fib.snapshot_updates());
    mirror.apply(updates);
    assert_eq!(mirror, truth);
}
