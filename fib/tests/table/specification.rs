//! Random changes, compared with the plain reference after each publication.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use weft_fib::reference::{Choice, Reference};
use weft_fib::{
    Change, DropReason, EidKey, Encapsulation, Fib, Forwarding, Group, GroupId, LocatorState, Path,
    Route, Source, Tables, Uplink, UplinkId,
};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

use crate::ANYONE;
use crate::updates::Mirror;

/// Few enough addresses that prefixes often nest and collide.
fn some_eid_address() -> impl Strategy<Value = IpAddr> {
    let bits = prop_oneof![Just(0u8), Just(1), Just(2), Just(0x80), Just(0xff)];
    (any::<bool>(), bits.clone(), bits).prop_map(|(v6, high, low)| {
        if v6 {
            Ipv6Addr::new(0x2001, 0xdb8, high.into(), 0, 0, 0, 0, low.into()).into()
        } else {
            Ipv4Addr::new(10, high, 0, low).into()
        }
    })
}

fn some_prefix() -> impl Strategy<Value = Prefix> {
    let length = prop_oneof![Just(0u8), Just(7), Just(8), Just(16), Just(31), 0..=32u8, Just(32)];
    (some_eid_address(), length).prop_map(|(address, length)| {
        let length = if address.is_ipv6() { length * 4 } else { length };
        Prefix::new(address, length).unwrap()
    })
}

fn some_instance() -> impl Strategy<Value = InstanceId> {
    prop_oneof![Just(InstanceId::DEFAULT), Just(InstanceId::new(7).unwrap())]
}

fn some_eid() -> impl Strategy<Value = EidPrefix> {
    (some_instance(), some_prefix()).prop_map(|(instance, prefix)| EidPrefix::new(instance, prefix))
}

fn some_key() -> impl Strategy<Value = EidKey> {
    (some_eid(), option::weighted(0.4, some_prefix())).prop_map(|(eid, from)| {
        let from = from.filter(|from| from.is_ipv6() == eid.prefix.is_ipv6());
        EidKey { eid, from }
    })
}

fn some_source() -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Local),
        Just(Source::Static),
        Just(Source::OpenFlow),
        Just(Source::Lisp),
        Just(Source::Bgp),
        Just(Source::Default)
    ]
}

fn some_route() -> impl Strategy<Value = Route> {
    prop_oneof![
        Just(Route::Local),
        Just(Route::Native),
        Just(Route::Resolve),
        Just(Route::Drop(DropReason::PolicyDenied)),
        (0..3u32).prop_map(|id| Route::Encapsulate(GroupId(id))),
    ]
}

fn some_rloc() -> impl Strategy<Value = IpAddr> {
    (any::<bool>(), 1..5u8).prop_map(|(v6, host)| {
        if v6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, host.into()).into()
        } else {
            Ipv4Addr::new(192, 0, 2, host).into()
        }
    })
}

fn some_rank() -> impl Strategy<Value = (u8, u8)> {
    let priority = prop_oneof![Just(1u8), Just(2), Just(255)];
    (priority, prop_oneof![Just(0u8), Just(40), Just(80)])
}

fn some_paths() -> impl Strategy<Value = Vec<Path>> {
    let encapsulation = prop_oneof![Just(Encapsulation::Lisp), Just(Encapsulation::Vxlan)];
    btree_map(some_rloc(), (some_rank(), encapsulation), 0..6).prop_map(|paths| {
        let path = |(rloc, ((priority, weight), encapsulation))| Path {
            rloc,
            priority,
            weight,
            encapsulation,
        };
        paths.into_iter().map(path).collect()
    })
}

/// Up to three uplinks, each with an address of one family or both.
fn some_uplinks() -> impl Strategy<Value = Vec<Uplink>> {
    let facts = (some_rank(), any::<bool>(), prop_oneof![Just(20u16), Just(1280), Just(1500)]);
    btree_map((0..3u16, any::<bool>()), facts, 0..6).prop_map(|uplinks| {
        let uplink = |((id, v6), ((priority, weight), up, mtu))| Uplink {
            id: UplinkId(id),
            rloc: if v6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0xeeee, 0, 0, 0, 0, id).into()
            } else {
                Ipv4Addr::from_bits(0xcb00_7100 + u32::from(id)).into()
            },
            interface: u32::from(id) + 2,
            mtu,
            priority,
            weight,
            up,
        };
        uplinks.into_iter().map(uplink).collect()
    })
}

fn some_change() -> impl Strategy<Value = Change> {
    let state = (any::<bool>(), vec((0..3u16).prop_map(UplinkId), 0..3))
        .prop_map(|(down, not_via)| LocatorState { down, not_via });
    let mtu = option::of(prop_oneof![Just(10u16), Just(1400), Just(9000)]);
    prop_oneof![
        6 => (some_key(), some_source(), some_route())
            .prop_map(|(key, source, route)| Change::SetRoute { key, source, route }),
        3 => (some_key(), some_source())
            .prop_map(|(key, source)| Change::ClearRoute { key, source }),
        3 => ((0..3u32).prop_map(GroupId), some_paths())
            .prop_map(|(id, paths)| Change::SetGroup { id, paths }),
        1 => (0..3u32).prop_map(|id| Change::ClearGroup { id: GroupId(id) }),
        2 => (some_rloc(), state).prop_map(|(rloc, state)| Change::SetLocator { rloc, state }),
        1 => some_rloc().prop_map(|rloc| Change::ClearLocator { rloc }),
        1 => (some_rloc(), mtu).prop_map(|(rloc, mtu)| Change::SetPathMtu { rloc, mtu }),
        2 => some_uplinks().prop_map(Change::SetUplinks),
    ]
}

/// The hop of a flow is one the specification allows.
fn same_choice(
    reference: &Reference,
    id: GroupId,
    group: &Group,
    hash: u32,
) -> Result<(), TestCaseError> {
    match (reference.choices(id), group.pick(hash)) {
        (Err(expected), Err(reason)) => prop_assert_eq!(expected, reason),
        (Ok(choices), Ok(hop)) => {
            let allowed = |choice: &Choice| {
                choice.remote == hop.remote
                    && choice.local == hop.local
                    && choice.uplink == hop.uplink
                    && choice.encapsulation == hop.encapsulation
                    && choice.mtu == hop.mtu
            };
            prop_assert!(choices.iter().any(allowed), "{hop:?} is none of {choices:?}");
        }
        (expected, found) => prop_assert!(false, "{found:?}, but expected {expected:?}"),
    }
    Ok(())
}

/// The tables treat packets from `source` to `address`, and answers to them, as the specification does.
fn same_answer(
    reference: &Reference,
    tables: &Tables,
    instance: InstanceId,
    (source, address): (IpAddr, IpAddr),
) -> Result<(), TestCaseError> {
    let (prefix, from, route) = reference.lookup(instance, source, address);
    let found = tables.lookup(instance, source, address);
    prop_assert_eq!((found.prefix, found.from), (prefix, from));
    match (route, found.forwarding) {
        (Route::Local, Forwarding::Local)
        | (Route::Native, Forwarding::Native)
        | (Route::Resolve, Forwarding::Resolve) => {}
        (Route::Drop(expected), Forwarding::Drop(reason)) => prop_assert_eq!(expected, reason),
        (Route::Encapsulate(id), Forwarding::Drop(reason)) => {
            prop_assert_eq!(reference.choices(id).unwrap_err(), reason);
        }
        (Route::Encapsulate(id), Forwarding::Encapsulate(group)) => {
            for hash in 0..32 {
                same_choice(reference, id, group, hash)?;
            }
        }
        (expected, found) => prop_assert!(false, "{found:?}, but expected {expected:?}"),
    }
    prop_assert_eq!(tables.is_local(instance, address), reference.is_local(instance, address));
    prop_assert_eq!(tables.serves(instance), reference.serves(instance));
    let outer = IpAddr::from([192, 0, 2, 1]);
    let expected = match route {
        Route::Encapsulate(id) => reference.contains(id, outer),
        Route::Local => Some(false),
        _ => None,
    };
    prop_assert_eq!(tables.source_matches(instance, (address, source), outer), expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_tables_say_what_the_specification_says(
        batches in vec(vec(some_change(), 1..12), 1..8),
        addresses in vec(some_eid_address(), 6),
    ) {
        let (mut fib, reader) = Fib::new();
        let mut reference = Reference::default();
        let mut mirror = Mirror::default();
        fib.watch();
        for change in batches.iter().flat_map(|batch| batch.iter().map(Some).chain([None])) {
            let Some(change) = change else {
                fib.publish();
                mirror.apply(fib.take_updates());
                prop_assert_eq!(&mirror, &Mirror::of(fib.snapshot_updates()));
                let tables = reader.enter().unwrap();
                let pairs = || addresses.iter().flat_map(|to| addresses.iter().map(|from| (*from, *to)));
                for pair in pairs() {
                    same_answer(&reference, &tables, InstanceId::DEFAULT, pair)?;
                    same_answer(&reference, &tables, InstanceId::new(7).unwrap(), pair)?;
                }
                continue;
            };
            fib.apply(change.clone());
            reference.apply(change.clone());
        }
        let routes: Vec<_> =
            fib.routes(None).into_iter().map(|info| (info.key, info.source, info.route)).collect();
        prop_assert_eq!(fib.len(), routes.len());
        prop_assert_eq!(routes, reference.routes());
    }

    #[test]
    fn flows_split_as_the_specification_shares(
        paths in some_paths(), uplinks in some_uplinks(), seed in any::<u32>()
    ) {
        const FLOWS: u32 = 20_000;
        let (mut fib, reader) = Fib::new();
        let mut reference = Reference::default();
        let id = GroupId(0);
        let eid = EidPrefix::new(InstanceId::DEFAULT, Prefix::ALL_V4);
        for change in [
            Change::SetGroup { id, paths },
            Change::SetUplinks(uplinks),
            Change::SetRoute { key: eid.into(), source: Source::Lisp, route: Route::Encapsulate(id) },
        ] {
            fib.apply(change.clone());
            reference.apply(change);
        }
        fib.publish();
        let tables = reader.enter().unwrap();
        let found = tables.lookup(InstanceId::DEFAULT, ANYONE, [10, 0, 0, 1].into());
        let Forwarding::Encapsulate(group) = found.forwarding else { panic!("{found:?}") };
        let picks: Vec<_> =
            (0..FLOWS).filter_map(|flow| group.pick(seed.wrapping_add(flow)).ok()).collect();
        for choice in reference.choices(id).unwrap_or_default() {
            let taken: f64 = picks
                .iter()
                .filter(|hop| hop.remote == choice.remote && hop.local == choice.local)
                .map(|_| 1.0)
                .sum();
            let share = taken / f64::from(FLOWS);
            prop_assert!((share - choice.share).abs() < 0.05, "{share} of flows for {choice:?}");
        }
    }
}
