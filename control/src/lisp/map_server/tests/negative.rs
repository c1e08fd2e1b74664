//! Negative Map-Replies: which prefix, which action, for how long (RFC 9301 §8.3, §8.4).

use super::*;
use proptest::prelude::*;
use weft_packet::addr::Prefix;
use weft_packet::lisp::Action as Act;

const ETR: &str = "203.0.113.1";

fn negative(world: &mut World, host: &str) -> (String, Act, u32) {
    let record = world.ask(host).record();
    assert!(record.locators.is_empty() && !record.authoritative);
    (record.eid.prefix().unwrap().to_string(), record.action, record.ttl.0)
}

#[test]
fn hole_is_the_least_specific_prefix_without_sites() {
    let mut world = World::with_site(&["10.1.0.0/16", "2001:db8::/32"], |_| {});
    let native = Act::NativelyForward;
    assert_eq!(negative(&mut world, "11.0.0.1"), ("11.0.0.0/8".into(), native, 15));
    assert_eq!(negative(&mut world, "10.0.0.1"), ("10.0.0.0/16".into(), native, 15));
    assert_eq!(negative(&mut world, "2001:db9::1"), ("2001:db9::/32".into(), native, 15));
    assert_eq!(negative(&mut world, "[7]10.1.0.1"), ("[7]0.0.0.0/0".into(), native, 15));
}

#[test]
fn map_resolver_says_how_long_a_hole_holds() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let message = encapsulated(&world.asking(&["11.0.0.1"]));
    let (bytes, mut out) = (message.to_bytes(), Actions::default());
    let from = datagram(ITR, &bytes);
    world.server.encapsulated(world.now, from, &message, secs(7200), &mut out);
    assert_eq!(world.done(out).record().ttl, Ttl(120));
}

#[test]
fn site_without_registration_is_asked_for_again_in_a_minute() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let native = Act::NativelyForward;
    assert_eq!(negative(&mut world, "10.1.0.1"), ("10.1.0.0/16".into(), native, 1));
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    world.pass(secs(180));
    assert_eq!(negative(&mut world, "10.1.0.1"), ("10.1.0.0/16".into(), native, 1));
}

#[test]
fn unregistered_part_of_a_site_spares_what_is_registered() {
    let mut world = World::with_site(&["10.1.0.0/16"], |site| site.accept_more_specifics = true);
    world.register(ETR, vec![record("10.1.1.1", &[ETR])]);
    let (prefix, _, ttl) = negative(&mut world, "10.1.1.2");
    assert_eq!((prefix.as_str(), ttl), ("10.1.1.2/31", 1));
    assert_eq!(negative(&mut world, "10.1.200.1").0, "10.1.128.0/17");
}

#[test]
fn prefix_that_holds_something_is_answered_for_its_first_address() {
    let mut world = World::with_site(&["10.1.0.0/16"], |site| site.proxy_reply = true);
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    assert_eq!(negative(&mut world, "10.0.0.0/8").0, "10.0.0.0/16");
    assert_eq!(world.ask("10.1.0.0/16").record().locators.len(), 1);
}

/// Prefixes inside 10.0.0.0/8, or spread over a few bits of IPv6.
fn prefix(v6: bool) -> impl Strategy<Value = Prefix> {
    (any::<u8>(), 0..=8_u8).prop_map(move |(bits, length)| {
        let (address, base): (IpAddr, u8) = if v6 {
            (IpAddr::V6((0x2001_u128 << 112 | u128::from(bits) << 104).into()), 16)
        } else {
            (IpAddr::V4((0x0a00_0000 | u32::from(bits) << 16).into()), 8)
        };
        Prefix::new(address, base + length).expect("within the width")
    })
}

fn check(sites: &[Prefix], registered: &[Prefix], asked: Prefix) {
    let prefixes: Vec<_> =
        sites.iter().map(|prefix| EidPrefix::new(InstanceId::DEFAULT, *prefix)).collect();
    let mut site = site("site1", &[]);
    site.accept_more_specifics = true;
    site.proxy_reply = true;
    site.eid_prefixes.clone_from(&prefixes);
    let mut world = World::new(servers(vec![site]));
    world.register(ETR, registered.iter().map(|p| record(&p.to_string(), &[ETR])).collect());
    let registered: Vec<_> =
        registered.iter().filter(|r| sites.iter().any(|site| site.covers(**r))).collect();
    let host = asked.address();

    let answer = world.ask(&host.to_string()).reply().1.records.remove(0);
    let found = answer.eid.prefix().unwrap().prefix;
    assert!(found.contains(host), "{found} is about {host}");
    if let Some(longest) = registered.iter().filter(|r| r.contains(host)).max_by_key(|r| r.length())
    {
        assert!(!answer.locators.is_empty());
        assert!(longest.covers(found));
        return;
    }
    assert!(answer.locators.is_empty());
    let held = sites.iter().filter(|site| site.contains(host)).max_by_key(|site| site.length());
    let known = |candidate: Prefix| {
        sites.iter().any(|site| candidate.covers(*site) && Some(site) != held)
            || registered.iter().any(|r| candidate.covers(**r))
    };
    let widest = (held.map_or(0, |held| held.length())..=Prefix::host(host).length())
        .filter_map(|length| Prefix::new(host, length))
        .find(|candidate| !known(*candidate));
    assert_eq!(Some(found), widest);
    assert_eq!(answer.ttl, if held.is_some() { Ttl(1) } else { Ttl(15) });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn equals_brute_force_v4(
        sites in prop::collection::vec(prefix(false), 0..5),
        registered in prop::collection::vec(prefix(false), 1..6),
        asked in prefix(false),
    ) {
        check(&sites, &registered, asked);
    }

    #[test]
    fn equals_brute_force_v6(
        sites in prop::collection::vec(prefix(true), 0..5),
        registered in prop::collection::vec(prefix(true), 1..6),
        asked in prefix(true),
    ) {
        check(&sites, &registered, asked);
    }
}
