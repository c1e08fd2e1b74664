//! Readers see a batch before or after, never between, and a table of a million.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use weft_fib::{Change, DropReason, Fib, Forwarding, GroupId, Reader, Route, Source, Tables};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

use crate::{ANYONE, address, down, group, no_route, route, uplink};

/// What a packet to each of two prefixes and one of group 1 would meet, in one snapshot.
fn glance(reader: &Reader) -> Option<[u8; 3]> {
    let tables = reader.enter()?;
    let reason =
        |destination| match tables.lookup(InstanceId::DEFAULT, ANYONE, destination).forwarding {
            Forwarding::Drop(DropReason::PolicyDenied) => 0,
            Forwarding::Drop(DropReason::AuthFailure) => 1,
            Forwarding::Encapsulate(group) => match group.pick(0).unwrap().remote {
                remote if remote == address("192.0.2.1") => 0,
                _ => 1,
            },
            other => panic!("{other:?}"),
        };
    Some(["10.1.0.1", "2001:db8::1", "10.2.0.1"].map(|text| reason(address(text))))
}

/// The batch that makes all three say the same.
fn batch(fib: &mut Fib, odd: bool) {
    let reason = if odd { DropReason::AuthFailure } else { DropReason::PolicyDenied };
    fib.apply(route("10.1.0.1", Source::Lisp, Route::Drop(reason)));
    fib.apply(group(1, &[(if odd { "192.0.2.2" } else { "192.0.2.1" }, 1, 1)]));
    fib.apply(route("2001:db8::/32", Source::Lisp, Route::Drop(reason)));
    fib.publish();
}

#[test]
fn a_reader_sees_a_batch_whole_or_not_at_all() {
    let (mut fib, reader) = Fib::new();
    fib.apply(Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]));
    fib.apply(route("10.2.0.0/16", Source::Lisp, Route::Encapsulate(GroupId(1))));
    batch(&mut fib, false);
    let (stop, glances, changes) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for reader in [reader.clone(), reader.clone()] {
            let (stop, glances, changes) = (&stop, &glances, &changes);
            scope.spawn(move || {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let [first, second, third] = glance(&reader).unwrap();
                    if first != second || first != third {
                        stop.store(true, Ordering::Relaxed);
                        panic!("a batch was seen half: {first} {second} {third}");
                    }
                    changes.fetch_add(u64::from(first != last), Ordering::Relaxed);
                    glances.fetch_add(1, Ordering::Relaxed);
                    last = first;
                }
            });
        }
        let mut batches = 0;
        let enough =
            || glances.load(Ordering::Relaxed) > 2000 && changes.load(Ordering::Relaxed) > 200;
        while !enough() && batches < 300_000 && !stop.load(Ordering::Relaxed) {
            batches += 1;
            batch(&mut fib, batches % 2 == 1);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(enough(), "readers hardly saw anything change in {batches} batches");
    });
}

#[test]
fn a_snapshot_stays_as_it_is_and_ends_with_the_table() {
    let (mut fib, reader) = Fib::new();
    fib.apply(Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]));
    fib.apply(route("10.2.0.0/16", Source::Lisp, Route::Encapsulate(GroupId(1))));
    batch(&mut fib, false);
    let other = reader.clone();
    let before = other.enter().unwrap();
    batch(&mut fib, true);
    assert_eq!(glance(&reader), Some([1, 1, 1]));
    let old = before.lookup(InstanceId::DEFAULT, ANYONE, address("10.1.0.1")).forwarding;
    assert!(matches!(old, Forwarding::Drop(DropReason::PolicyDenied)), "{old:?}");
    drop(before);
    drop(fib);
    assert_eq!(glance(&reader), None);
}

#[test]
fn nothing_is_seen_before_it_is_published() {
    let (mut fib, reader) = Fib::new();
    for published in [false, true] {
        if published {
            fib.publish();
        }
        fib.apply(route("10.0.0.0/8", Source::Lisp, Route::Native));
        assert!(!published || fib.len() == 1);
        let tables = reader.enter().unwrap();
        assert_eq!(tables.serves(InstanceId::DEFAULT), published);
    }
}

#[test]
fn an_instance_is_served_while_it_has_an_entry() {
    let (mut fib, reader) = Fib::new();
    let serves = |reader: &Reader| reader.enter().unwrap().serves(InstanceId::DEFAULT);
    fib.apply(route("10.0.0.0/8", Source::Lisp, Route::Native));
    fib.apply(route("10.0.0.0/8", Source::Bgp, Route::Native));
    fib.publish();
    fib.apply(no_route("10.0.0.0/8", Source::Lisp));
    fib.apply(no_route("11.0.0.0/8", Source::Lisp));
    fib.publish();
    assert!(serves(&reader) && !fib.is_empty());
    fib.apply(no_route("10.0.0.0/8", Source::Bgp));
    fib.publish();
    assert!(!serves(&reader) && fib.is_empty());
}

#[test]
fn the_ends_go_to_other_threads() {
    fn moves<T: Send>() {}
    fn is_shared<T: Sync>() {}
    moves::<Fib>();
    moves::<Reader>();
    is_shared::<Tables>();
}

#[test]
fn a_million_entries_share_a_group_that_changes() {
    let (mut fib, reader) = Fib::new();
    fib.apply(Change::SetUplinks(vec![uplink(0, "203.0.113.1", 1, 1)]));
    fib.apply(group(1, &[("192.0.2.1", 1, 1), ("192.0.2.2", 2, 1)]));
    let host = |number: u32| Ipv4Addr::from_bits(0x0a00_0000 + number).into();
    let eids = (0..1_000_000).map(|number| Prefix::host(host(number)));
    for eid in eids.map(|prefix| EidPrefix::new(InstanceId::DEFAULT, prefix)) {
        let route = Route::Encapsulate(GroupId(1));
        fib.apply(Change::SetRoute { key: eid.into(), source: Source::Lisp, route });
    }
    fib.publish();
    assert_eq!(fib.len(), 1_000_000);
    fib.apply(down("192.0.2.1"));
    fib.publish();
    let tables = reader.enter().unwrap();
    for number in (0..1_000_000).step_by(9_973) {
        let found = tables.lookup(InstanceId::DEFAULT, ANYONE, host(number));
        let Forwarding::Encapsulate(group) = found.forwarding else { panic!("{found:?}") };
        assert_eq!(group.pick(number).unwrap().remote, address("192.0.2.2"));
        assert_eq!(found.prefix, Prefix::host(host(number)));
    }
}
