//! Which locator and uplink carry a flow, through failures and back.

use std::net::IpAddr;

use weft_fib::{Change, DropReason, Fib, Forwarding, GroupId, Reader, Route, Source, UplinkId};
use weft_packet::addr::InstanceId;

use crate::{ANYONE, address, broken, down, group, not_via, route, uplink};

/// A table whose only route leads to group 1, published.
fn table(changes: impl IntoIterator<Item = Change>) -> (Fib, Reader) {
    let (mut fib, reader) = Fib::new();
    fib.apply(route("0.0.0.0/0", Source::Lisp, Route::Encapsulate(GroupId(1))));
    say(&mut fib, changes);
    (fib, reader)
}

fn say(fib: &mut Fib, changes: impl IntoIterator<Item = Change>) {
    changes.into_iter().for_each(|change| fib.apply(change));
    fib.publish();
}

/// Remote and local address of each of a thousand flows.
fn flows(reader: &Reader) -> Result<Vec<(IpAddr, IpAddr)>, DropReason> {
    let tables = reader.enter().unwrap();
    match tables.lookup(InstanceId::DEFAULT, ANYONE, address("10.0.0.1")).forwarding {
        Forwarding::Encapsulate(group) => {
            (0..1000).map(|hash| group.pick(hash).map(|hop| (hop.remote, hop.local))).collect()
        }
        Forwarding::Drop(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}

/// The remote locators that carry any of them.
fn remotes(reader: &Reader) -> Vec<IpAddr> {
    let mut remotes: Vec<_> = flows(reader).unwrap().into_iter().map(|(r, _)| r).collect();
    remotes.sort();
    remotes.dedup();
    remotes
}

#[test]
fn flows_fall_back_by_priority_and_return() {
    let (mut fib, reader) = table([
        Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]),
        group(1, &[("192.0.2.1", 1, 50), ("192.0.2.2", 2, 50), ("192.0.2.3", 255, 50)]),
    ]);
    assert_eq!(remotes(&reader), [address("192.0.2.1")]);

    say(&mut fib, [down("192.0.2.1")]);
    assert_eq!(remotes(&reader), [address("192.0.2.2")]);

    say(&mut fib, [down("192.0.2.2")]);
    assert_eq!(remotes(&reader), [address("192.0.2.1")], "all down: the best as if it were up");

    say(&mut fib, [Change::ClearLocator { rloc: address("192.0.2.2") }]);
    assert_eq!(remotes(&reader), [address("192.0.2.2")]);
}

#[test]
fn a_failed_locator_moves_only_its_own_flows() {
    let (mut fib, reader) = table([
        Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 75), uplink(1, "198.51.100.1", 1, 25)]),
        group(1, &[("192.0.2.1", 1, 50), ("192.0.2.2", 1, 30), ("192.0.2.3", 1, 20)]),
    ]);
    let before = flows(&reader).unwrap();
    say(&mut fib, [down("192.0.2.2")]);
    let during = flows(&reader).unwrap();
    for (was, is) in before.iter().zip(&during) {
        assert_ne!(is.0, address("192.0.2.2"));
        assert!(was == is || was.0 == address("192.0.2.2"), "{was:?} moved to {is:?}");
        assert_eq!(was.1, is.1, "the uplink of a flow does not depend on the locator");
    }
    say(&mut fib, [Change::ClearLocator { rloc: address("192.0.2.2") }]);
    assert_eq!(flows(&reader).unwrap(), before);
}

#[test]
fn a_failed_uplink_moves_only_its_own_flows_and_none_left_is_said() {
    let (first, second) = (uplink(0, "203.0.113.1", 1, 1), uplink(1, "198.51.100.1", 1, 1));
    let (mut fib, reader) = table([
        Change::SetUplinks(vec![first.clone(), second.clone()]),
        group(1, &[("192.0.2.1", 1, 1), ("192.0.2.2", 1, 1)]),
    ]);
    let before = flows(&reader).unwrap();
    say(&mut fib, [Change::SetUplinks(vec![first.clone(), broken(&second)])]);
    let during = flows(&reader).unwrap();
    assert!(during.iter().all(|(_, local)| *local == first.rloc));
    assert!(before.iter().zip(&during).all(|(was, is)| was.0 == is.0));

    say(&mut fib, [Change::SetUplinks(vec![broken(&first), broken(&second)])]);
    assert_eq!(flows(&reader), Err(DropReason::NoUsableUplink));
}

#[test]
fn a_locator_not_answering_through_an_uplink_is_reached_through_the_other() {
    let (mut fib, reader) = table([
        Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1), uplink(1, "198.51.100.1", 2, 1)]),
        group(1, &[("192.0.2.1", 1, 1), ("192.0.2.2", 1, 1)]),
    ]);
    let through = |reader: &Reader, remote: &str| {
        let flows = flows(reader).unwrap();
        let mut locals: Vec<_> =
            flows.iter().filter(|f| f.0 == address(remote)).map(|f| f.1).collect();
        locals.dedup();
        locals
    };
    assert_eq!(through(&reader, "192.0.2.1"), [address("203.0.113.1")]);

    say(&mut fib, [not_via("192.0.2.1", &[0])]);
    assert_eq!(through(&reader, "192.0.2.1"), [address("198.51.100.1")]);
    assert_eq!(through(&reader, "192.0.2.2"), [address("203.0.113.1")]);

    say(&mut fib, [not_via("192.0.2.1", &[0, 1])]);
    assert_eq!(remotes(&reader), [address("192.0.2.2")]);
}

#[test]
fn locators_of_a_family_without_uplink_are_passed_over() {
    let (mut fib, reader) = table([
        Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]),
        group(1, &[("2001:db8::1", 1, 1), ("192.0.2.1", 2, 1)]),
    ]);
    assert_eq!(remotes(&reader), [address("192.0.2.1")]);
    say(&mut fib, [group(1, &[("2001:db8::1", 1, 1)])]);
    assert_eq!(flows(&reader), Err(DropReason::NoUsableUplink));
    say(&mut fib, [Change::SetUplinks(vec![uplink(0, "2001:db8:f::1", 1, 1)])]);
    assert_eq!(remotes(&reader), [address("2001:db8::1")]);
}

#[test]
fn groups_without_a_locator_that_may_be_used_drop() {
    let (mut fib, reader) = table([Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)])]);
    assert_eq!(flows(&reader), Err(DropReason::NoUsableRloc), "the group is not made yet");
    say(&mut fib, [group(1, &[])]);
    assert_eq!(flows(&reader), Err(DropReason::NoUsableRloc));
    say(&mut fib, [group(1, &[("192.0.2.1", 255, 1)])]);
    assert_eq!(flows(&reader), Err(DropReason::NoUsableRloc));
    say(&mut fib, [group(1, &[("192.0.2.1", 254, 0)])]);
    assert_eq!(remotes(&reader), [address("192.0.2.1")]);
    say(&mut fib, [Change::ClearGroup { id: GroupId(1) }]);
    assert_eq!(flows(&reader), Err(DropReason::NoUsableRloc));
}

#[test]
fn what_fits_follows_the_path_mtu() {
    let (mut fib, reader) = table([
        Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1), uplink(0, "2001:db8:f::1", 1, 1)]),
        group(1, &[("192.0.2.1", 1, 1)]),
        group(2, &[("2001:db8::1", 1, 1)]),
        route("10.6.0.0/16", Source::Lisp, Route::Encapsulate(GroupId(2))),
    ]);
    let fits = |reader: &Reader, destination| {
        let tables = reader.enter().unwrap();
        let found = tables.lookup(InstanceId::DEFAULT, ANYONE, address(destination));
        let Forwarding::Encapsulate(group) = found.forwarding else { panic!("{found:?}") };
        let hop = group.pick(0).unwrap();
        assert_eq!((hop.uplink, hop.interface), (UplinkId(0), 10));
        hop.mtu
    };
    assert_eq!((fits(&reader, "10.0.0.1"), fits(&reader, "10.6.0.1")), (1464, 1444));

    let path_mtu = |rloc, mtu| Change::SetPathMtu { rloc: address(rloc), mtu };
    say(&mut fib, [path_mtu("192.0.2.1", Some(1400)), path_mtu("2001:db8::1", Some(9000))]);
    assert_eq!((fits(&reader, "10.0.0.1"), fits(&reader, "10.6.0.1")), (1364, 1444));

    say(&mut fib, [path_mtu("192.0.2.1", None), path_mtu("2001:db8::1", Some(30))]);
    assert_eq!((fits(&reader, "10.0.0.1"), fits(&reader, "10.6.0.1")), (1464, 0));
}
