//! Counts go on through everything that changes around them.

use weft_fib::UsageCount;
use weft_fib::{Change, Fib, Forwarding, GroupId, PairCount, Reader, Route, Source, UplinkId};
use weft_packet::addr::InstanceId;

use crate::{ANYONE, address, down, eid, group, no_route, route, uplink};

fn say(fib: &mut Fib, changes: impl IntoIterator<Item = Change>) {
    changes.into_iter().for_each(|change| fib.apply(change));
    fib.publish();
}

fn use_entry(reader: &Reader, packets: u64) {
    let tables = reader.enter().unwrap();
    tables.lookup(InstanceId::DEFAULT, ANYONE, address("10.1.2.3")).count(packets, packets * 100);
}

fn send(reader: &Reader, packets: u64) {
    let tables = reader.enter().unwrap();
    let found = tables.lookup(InstanceId::DEFAULT, ANYONE, address("10.1.2.3"));
    let Forwarding::Encapsulate(group) = found.forwarding else { panic!("{found:?}") };
    group.pick(0).unwrap().count(packets);
}

fn receive(reader: &Reader, local: &str, rloc: &str, packets: u64) {
    reader.enter().unwrap().received(address(local), address(rloc), packets);
}

fn pair(local: &str, rloc: &str, sent: u64, received: u64) -> PairCount {
    let (local, rloc) = (address(local), address(rloc));
    PairCount { uplink: UplinkId(0), local, rloc, sent, received }
}

#[test]
fn an_entry_counts_on_whoever_speaks_for_it_until_nobody_does() {
    let (mut fib, reader) = Fib::new();
    let usage = |fib: &Fib| fib.usage(eid("10.1.0.0/16")).map(|u| u.packets);
    say(
        &mut fib,
        [
            route("0.0.0.0/0", Source::Default, Route::Resolve),
            route("10.1.0.0/16", Source::Lisp, Route::Encapsulate(GroupId(1))),
        ],
    );
    assert_eq!(usage(&fib), Some(0));
    use_entry(&reader, 2);
    say(&mut fib, [route("10.1.0.0/16", Source::Lisp, Route::Native)]);
    use_entry(&reader, 3);
    say(&mut fib, [route("10.1.0.0/16", Source::Static, Route::Local)]);
    use_entry(&reader, 4);
    let nine = UsageCount { packets: 9, bytes: 900 };
    assert_eq!(fib.usage(eid("10.1.0.0/16")), Some(nine));
    assert_eq!(fib.routes(None)[1].usage, nine);

    say(&mut fib, [no_route("10.1.0.0/16", Source::Static)]);
    assert_eq!(usage(&fib), Some(9));
    say(&mut fib, [no_route("10.1.0.0/16", Source::Lisp)]);
    assert_eq!(usage(&fib), None);
    use_entry(&reader, 5);
    assert_eq!(fib.usage(eid("0.0.0.0/0")).unwrap().packets, 5);
}

#[test]
fn a_pair_counts_on_through_recompilation_renumbering_and_regrouping() {
    let (mut fib, reader) = Fib::new();
    say(
        &mut fib,
        [
            Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]),
            group(1, &[("192.0.2.1", 1, 1)]),
            route("10.1.0.0/16", Source::Lisp, Route::Encapsulate(GroupId(1))),
        ],
    );
    assert_eq!(fib.traffic(), []);
    send(&reader, 1);
    receive(&reader, "203.0.113.1", "192.0.2.1", 7);
    say(&mut fib, [down("192.0.2.1")]);
    send(&reader, 1);
    assert_eq!(fib.traffic(), [pair("203.0.113.1", "192.0.2.1", 2, 7)]);

    say(&mut fib, [Change::SetUplinks(vec![uplink(0, "203.0.113.99", 1, 1)])]);
    send(&reader, 1);
    receive(&reader, "203.0.113.99", "192.0.2.1", 1);
    receive(&reader, "203.0.113.1", "192.0.2.1", 1000);
    assert_eq!(fib.traffic(), [pair("203.0.113.99", "192.0.2.1", 3, 8)]);

    say(&mut fib, [Change::ClearGroup { id: GroupId(1) }]);
    say(&mut fib, [group(1, &[("192.0.2.1", 2, 9)])]);
    send(&reader, 1);
    assert_eq!(fib.traffic(), [pair("203.0.113.99", "192.0.2.1", 4, 8)]);
}

#[test]
fn packets_of_strangers_are_not_counted() {
    let (mut fib, reader) = Fib::new();
    say(
        &mut fib,
        [
            Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]),
            group(1, &[("192.0.2.1", 1, 1)]),
            down("192.0.2.66"),
        ],
    );
    receive(&reader, "203.0.113.1", "192.0.2.66", 1);
    receive(&reader, "203.0.113.1", "192.0.2.67", 1);
    receive(&reader, "203.0.113.2", "192.0.2.1", 1);
    assert_eq!(fib.traffic(), []);
}

#[test]
fn counts_of_locators_long_gone_are_forgotten() {
    let (mut fib, reader) = Fib::new();
    let rlocs: Vec<_> = (0..5000u32).map(|n| format!("192.1.{}.{}", n >> 8, n & 255)).collect();
    say(&mut fib, [Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)])]);
    for rloc in &rlocs {
        say(&mut fib, [group(1, &[(rloc, 1, 1)])]);
        receive(&reader, "203.0.113.1", rloc, 1);
    }
    let known = fib.traffic();
    assert!((1000..1100).contains(&known.len()), "{}", known.len());
    receive(&reader, "203.0.113.1", &rlocs[0], 1);
    receive(&reader, "203.0.113.1", &rlocs[4999], 1);
    assert_eq!(fib.traffic().iter().map(|pair| pair.received).sum::<u64>(), known.len() as u64 + 1);
}
