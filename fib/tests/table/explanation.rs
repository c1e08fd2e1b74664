//! What `weft trace` says about the table.

use weft_fib::{
    Change, Decision, DropReason, EidKey, Explanation, Failure, Fib, Forwarding, GroupId, Route,
    Source, UplinkId, Verdict,
};
use weft_packet::addr::InstanceId;

use crate::{ANYONE, address, broken, down, eid, group, route, uplink};

fn say(changes: impl IntoIterator<Item = Change>) -> Fib {
    let (mut fib, _) = Fib::new();
    changes.into_iter().for_each(|change| fib.apply(change));
    fib.publish();
    fib
}

fn text(explanation: &Explanation) -> String {
    let lines = explanation.steps.iter().map(|step| format!("{:8} {}", step.label, step.text));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_reason_is_given_in_order() {
    let fib = say([
        Change::SetUplinks(vec![
            uplink(0, "203.0.113.1", 1, 75),
            broken(&uplink(1, "198.51.100.1", 1, 25)),
            uplink(2, "203.0.113.65", 2, 0),
        ]),
        group(7, &[("192.0.2.1", 1, 50), ("192.0.2.2", 1, 50), ("192.0.2.3", 2, 0)]),
        down("192.0.2.1"),
        Change::SetPathMtu { rloc: address("192.0.2.2"), mtu: Some(1400) },
        route("10.1.0.0/16", Source::Lisp, Route::Encapsulate(GroupId(7))),
        route("10.1.0.0/16", Source::Bgp, Route::Native),
        route("0.0.0.0/0", Source::Default, Route::Resolve),
    ]);
    let explanation = fib.explain(InstanceId::DEFAULT, ANYONE, address("10.1.2.3"), 0x5c1e);
    assert_eq!(
        text(&explanation),
        "\
prefix   10.1.0.0/16 is the longest that contains 10.1.2.3
source   lisp wins: encapsulate to group 7
source   bgp says too, but comes later: native
prefix   without it 0.0.0.0/0 would match: resolve
locator  192.0.2.1 priority 1 weight 50: not used: down
locator  192.0.2.2 priority 1 weight 50: used
locator  192.0.2.3 priority 2 weight 0: not used: a better priority is usable
choice   flow hash 0x00005c1e → slot 0 of 1 → 192.0.2.2
uplink   0 203.0.113.1 priority 1 weight 75: used
uplink   1 198.51.100.1 priority 1 weight 25: not used: does not work
uplink   2 203.0.113.65 priority 2 weight 0: not used: a better priority is usable
choice   slot 0 of 1 → uplink 0 203.0.113.1
size     the path to 192.0.2.2 carries 1400 octets; less 36 of encapsulation: 1364
result   encapsulate (lisp) 203.0.113.1 → 192.0.2.2 through uplink 0, up to 1364 octets
failure  if 192.0.2.2 failed: encapsulate (lisp) 203.0.113.1 → 192.0.2.3 through uplink 0, up to 1464 octets
failure  if uplink 0 failed: encapsulate (lisp) 203.0.113.65 → 192.0.2.2 through uplink 2, up to 1364 octets"
    );
}

#[test]
fn entries_for_a_source_say_so() {
    let from = |from: &str, route| Change::SetRoute {
        key: EidKey { eid: eid("10.1.0.0/16"), from: Some(from.parse().unwrap()) },
        source: Source::Static,
        route,
    };
    let fib = say([
        route("10.1.0.0/16", Source::Lisp, Route::Native),
        from("172.16.0.0/12", Route::Resolve),
        from("172.16.1.0/24", Route::Drop(DropReason::StaticDrop)),
        route("10.0.0.0/8", Source::Lisp, Route::Resolve),
    ]);
    let explain =
        |source| fib.explain(InstanceId::DEFAULT, address(source), address("10.1.2.3"), 0);
    assert_eq!(
        text(&explain("172.16.1.9")),
        "\
prefix   10.1.0.0/16 is the longest that contains 10.1.2.3
prefix   of its entries that for 172.16.1.0/24 is the longest that contains 172.16.1.9
source   static wins: drop (static-drop)
prefix   without it 10.1.0.0/16 from 172.16.0.0/12 would match: resolve
result   drop (static-drop)"
    );
    assert_eq!(explain("172.16.2.9").decision, Decision::Resolve);
    assert_eq!(explain("192.0.2.1").decision, Decision::Native);
}

#[test]
fn the_decision_is_the_data_planes() {
    let (mut fib, reader) = Fib::new();
    for change in [
        Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1), uplink(1, "198.51.100.1", 1, 1)]),
        group(1, &[("192.0.2.1", 1, 1), ("192.0.2.2", 1, 1), ("192.0.2.3", 1, 1)]),
        route("10.0.0.0/8", Source::Lisp, Route::Encapsulate(GroupId(1))),
    ] {
        fib.apply(change);
    }
    fib.publish();
    for flow in (0..u32::MAX).step_by(0x0765_4321) {
        let explanation = fib.explain(InstanceId::DEFAULT, ANYONE, address("10.0.0.1"), flow);
        let tables = reader.enter().unwrap();
        let found = tables.lookup(InstanceId::DEFAULT, ANYONE, address("10.0.0.1"));
        let Forwarding::Encapsulate(group) = found.forwarding else { panic!("{found:?}") };
        let hop = group.pick(flow).unwrap();
        assert_eq!(explanation.decision, Decision::from(hop));
        let [(Failure::Locator(rloc), other), (Failure::Uplink(failed), another)] =
            explanation.failures[..]
        else {
            panic!("{:?}", explanation.failures)
        };
        assert_eq!((rloc, failed), (hop.remote, hop.uplink));
        let Decision::Encapsulate { remote, local, .. } = other else { panic!("{other:?}") };
        assert!(remote != hop.remote && local == hop.local);
        let Decision::Encapsulate { remote, uplink, .. } = another else { panic!("{another:?}") };
        assert!(remote == hop.remote && uplink == UplinkId(1 - hop.uplink.0));
    }
}

#[test]
fn answers_without_a_group_are_short() {
    let fib = say([
        route("10.0.0.0/8", Source::Local, Route::Local),
        route("11.0.0.0/8", Source::Lisp, Route::Encapsulate(GroupId(1))),
    ]);
    let decision = |instance, destination| {
        fib.explain(InstanceId::new(instance).unwrap(), ANYONE, address(destination), 0).decision
    };
    assert_eq!(decision(0, "10.0.0.1"), Decision::Local);
    assert_eq!(decision(0, "11.0.0.1"), Decision::Drop(DropReason::NoUsableRloc));
    assert_eq!(decision(0, "2001:db8::1"), Decision::Drop(DropReason::NegativeMapping));
    assert_eq!(decision(9, "10.0.0.1"), Decision::Drop(DropReason::UnknownInstance));
    let explanation = fib.explain(InstanceId::new(9).unwrap(), ANYONE, address("10.0.0.1"), 0);
    assert_eq!(
        text(&explanation),
        "prefix   instance 9 has no entries\nresult   drop (unknown-instance)"
    );
}

#[test]
fn best_effort_is_named() {
    let fib = say([
        Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]),
        group(1, &[("192.0.2.1", 1, 1)]),
        down("192.0.2.1"),
        route("10.0.0.0/8", Source::Lisp, Route::Encapsulate(GroupId(1))),
    ]);
    let explanation = fib.explain(InstanceId::DEFAULT, ANYONE, address("10.0.0.1"), 0);
    assert!(text(&explanation).contains("192.0.2.1 priority 1 weight 1: used, as none is known"));
    assert_eq!(
        explanation.failures[1],
        (Failure::Uplink(UplinkId(0)), Decision::Drop(DropReason::NoUsableUplink))
    );
}

#[test]
fn a_locator_without_weight_beside_others_is_passed_over() {
    let fib = say([
        Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 0)]),
        group(1, &[("192.0.2.1", 1, 0), ("192.0.2.2", 1, 10), ("192.0.2.3", 255, 10)]),
        route("10.0.0.0/8", Source::Lisp, Route::Encapsulate(GroupId(1))),
    ]);
    let verdicts: Vec<_> = fib.paths(GroupId(1)).iter().map(|path| path.verdict).collect();
    assert_eq!(verdicts, [Verdict::NoWeight, Verdict::Carries, Verdict::Forbidden]);
    assert_eq!(fib.routes(None)[0].paths[..], fib.paths(GroupId(1))[..]);
    let explanation = fib.explain(InstanceId::DEFAULT, ANYONE, address("10.0.0.1"), 0);
    let Decision::Encapsulate { remote, .. } = explanation.failures[0].1 else { panic!() };
    assert_eq!(remote, address("192.0.2.1"), "weight 0 carries when nobody else does");
}
