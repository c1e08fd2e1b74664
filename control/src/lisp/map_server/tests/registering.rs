//! Map-Registers, taken and refused (RFC 9301 §5.6, §8.2).

use super::*;
use weft_packet::lisp::{Eid, Lcaf};

const ETR: &str = "203.0.113.1";

#[test]
fn acknowledged_in_kind_after_it_is_stored() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let message = world.registering(vec![record("10.1.0.0/16", &[ETR])]);
    let did = world.send_register("203.0.113.1:61000", &message, KEY);

    let (to, notify) = did.notify();
    assert_eq!(to, "203.0.113.1:61000".parse().unwrap(), "to the source port");
    assert_eq!((notify.nonce, &notify.records), (message.nonce, &message.records));
    assert_eq!(notify.authentication.key_id, 0);
    assert_eq!(notify.authentication.data.len(), 32);
    assert_eq!(auth::verify(did.only_bytes(), Purpose::MapNotify, KEY), Ok(()));
    let at = |wanted: fn(&Action) -> bool| did.actions.iter().position(wanted).unwrap();
    assert!(
        at(|a| matches!(a, Action::Store { .. })) < at(|a| matches!(a, Action::Send { .. })),
        "on disk before it is acknowledged"
    );
    assert_eq!(did.site_changes(), ["registered 10.1.0.0/16"]);
    let Action::Send { from, .. } = &did.actions[at(|a| matches!(a, Action::Send { .. }))] else {
        panic!("a datagram");
    };
    assert_eq!(*from, Some(ip(MS)), "from where the Map-Register came to");
}

#[test]
fn answers_by_every_algorithm_key_and_length() {
    let mut world = World::with_site(&["10.1.0.0/16"], |site| {
        site.algorithms =
            vec![Algorithm::HmacSha1, Algorithm::HmacSha256, Algorithm::HmacSha256Hkdf];
        site.keys.push((7, config::Secret::new(b"next".as_slice())));
    });
    for algorithm in world.config().sites[0].algorithms.clone() {
        for (full, key_id, key) in [(true, 0, KEY), (false, 7, b"next")] {
            let mut message = world.registering(vec![record("10.1.0.0/16", &[ETR])]);
            message.authentication = Authentication::unsigned(key_id, algorithm, full);
            let did = world.send_register(ETR, &message, key);
            let (_, notify) = did.notify();
            assert_eq!(notify.authentication.algorithm, algorithm);
            assert_eq!(notify.authentication.key_id, key_id);
            assert_eq!(notify.authentication.data.len(), algorithm.mac_len(full));
            assert_eq!(auth::verify(did.only_bytes(), Purpose::MapNotify, key), Ok(()));
        }
    }
}

#[test]
fn no_answer_without_m() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let mut message = world.registering(vec![record("10.1.0.0/16", &[ETR])]);
    message.want_notify = false;
    assert!(world.send_register(ETR, &message, KEY).sent().is_empty());
    assert_eq!(world.locators("10.1.0.0/16"), [ETR]);
}

#[test]
fn every_refusal_has_its_reason() {
    let mut world = World::with_site(&["10.1.0.0/16"], |site| {
        site.allowed_rlocs = vec!["203.0.113.0/24".parse().unwrap()];
    });
    let good = world.registering(vec![record("10.1.0.0/16", &[ETR])]);
    let with = |change: fn(&mut MapRegister)| {
        let mut message = good.clone();
        change(&mut message);
        message
    };
    let cases = [
        (with(|m| m.records[0].eid = eid("10.2.0.0/16").into()), KEY, Refusal::UnknownSite),
        (with(|m| m.records[0].eid = eid("10.0.0.0/8").into()), KEY, Refusal::UnknownSite),
        (with(|m| m.records[0].eid = eid("[7]10.1.0.0/16").into()), KEY, Refusal::UnknownSite),
        (with(|m| m.authentication.key_id = 9), KEY, Refusal::UnknownKey),
        (
            with(|m| m.authentication = Authentication::unsigned(0, Algorithm::HmacSha1, true)),
            KEY,
            Refusal::Algorithm,
        ),
        (with(|m| m.authentication = Authentication::default()), KEY, Refusal::Algorithm),
        (with(|m| m.authentication.data = vec![0; 31]), KEY, Refusal::Malformed),
        (good.clone(), b"wrong", Refusal::WrongKey),
        (with(|m| m.records[0].eid = eid("10.1.1.0/24").into()), KEY, Refusal::MoreSpecific),
        (
            with(|m| m.records[0].locators[0].address = Address::Ip(ip("198.51.100.9"))),
            KEY,
            Refusal::RlocNotAllowed,
        ),
        (
            with(|m| m.records[0].locators[0].address = Address::Ip(ip("224.0.0.9"))),
            KEY,
            Refusal::RlocNotAllowed,
        ),
        (with(|m| m.records.clear()), KEY, Refusal::Inconsistent),
        (
            with(|m| {
                m.records[0].eid = Eid { address: Address::Name("host".into()), mask_len: 40 };
            }),
            KEY,
            Refusal::UnsupportedEid,
        ),
    ];
    for (message, key, reason) in cases {
        let before = world.refused(reason);
        let did = world.send_register(ETR, &message, key);
        assert_eq!(did.refusals(), [reason]);
        assert!(did.sent().is_empty(), "{reason}: no answer");
        assert_eq!(world.refused(reason), before + 1);
        let case = world.server.refused().recent().next().unwrap();
        assert_eq!((case.reason, case.peer.ip(), case.kind), (reason, ip(ETR), "map-register"));
    }
    assert!(world.disk.is_empty(), "nothing refused is kept");
    assert_eq!(world.server.status().xtrs, 0);
    assert_eq!(world.send_register(ETR, &good, KEY).notify().1.records.len(), 1);
}

#[test]
fn mac_is_checked_before_anything_is_said_about_records() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let records = vec![record("10.1.0.0/16", &[ETR]), record("10.9.0.0/16", &[ETR])];
    let message = world.registering(records);
    assert_eq!(world.send_register(ETR, &message, b"wrong").refusals(), [Refusal::WrongKey]);
}

#[test]
fn only_what_was_taken_is_acknowledged() {
    let mut world = World::with_site(&["10.1.0.0/16", "2001:db8:1::/48"], |_| {});
    let did = world.register(
        ETR,
        vec![
            record("10.9.0.0/16", &[ETR]),
            record("10.1.0.0/16", &[ETR]),
            record("2001:db8:1:1::/64", &[ETR]),
            record("2001:db8:1::/48", &["2001:db8:ffff::1"]),
        ],
    );
    assert_eq!(did.refusals(), [Refusal::UnknownSite, Refusal::MoreSpecific]);
    let (_, notify) = did.notify();
    let eids: Vec<_> = notify.records.iter().filter_map(|r| r.eid.prefix()).collect();
    assert_eq!(eids, [eid("10.1.0.0/16"), eid("2001:db8:1::/48")]);
}

#[test]
fn one_message_may_speak_for_sites_that_share_its_key() {
    let mut other = site("other", &["10.3.0.0/16"]);
    other.keys = vec![(0, config::Secret::new(b"another".as_slice()))];
    let sites = vec![site("one", &["10.1.0.0/16"]), site("two", &["10.2.0.0/16"]), other];
    let mut world = World::new(servers(sites));
    let records = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"];
    let did = world.register(ETR, records.iter().map(|eid| record(eid, &[ETR])).collect());
    assert_eq!(did.refusals(), [Refusal::WrongKey]);
    assert_eq!(did.notify().1.records.len(), 2);
}

#[test]
fn a_site_holds_no_more_than_its_maximum() {
    let mut world = World::with_site(&["10.1.0.0/16"], |site| {
        site.accept_more_specifics = true;
        site.max_mappings = 2;
    });
    let host = |n: u8| record(&format!("10.1.0.{n}"), &[ETR]);
    let did = world.register(ETR, vec![host(1), host(2), host(3)]);
    assert_eq!(did.refusals(), [Refusal::TooManyMappings]);
    assert_eq!(world.register(ETR, vec![host(1), host(2)]).refusals(), [], "these may stay");
    world.register(ETR, vec![withdrawal("10.1.0.1")]);
    assert_eq!(world.register(ETR, vec![host(3)]).refusals(), []);
}

#[test]
fn renewal_touches_memory_only() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    for _ in 0..3 {
        world.pass(secs(60));
        let mut message = world.registering(vec![record("10.1.0.0/16", &[ETR])]);
        message.want_notify = false;
        let did = world.send_register(ETR, &message, KEY);
        assert_eq!(did.actions, [], "nothing to do, nothing to tell");
    }
    assert!(world.pass(secs(179)).actions.is_empty());
    assert_eq!(world.pass(secs(1)).site_changes(), ["expired 10.1.0.0/16"]);
    assert_eq!(world.locators("10.1.0.0/16"), [""; 0]);
    assert!(world.disk.is_empty());
}

#[test]
fn with_t_the_record_ttl_is_the_life_time() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let mut message = world.registering(vec![record("10.1.0.0/16", &[ETR])]);
    message.use_ttl = true;
    message.records[0].ttl = Ttl(10);
    world.send_register(ETR, &message, KEY);
    assert_eq!(world.pass(secs(599)).site_changes(), [""; 0]);
    assert_eq!(world.pass(secs(1)).site_changes(), ["expired 10.1.0.0/16"]);
}

#[test]
fn a_shorter_life_time_counts_from_now() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let mut message = world.registering(vec![record("10.1.0.0/16", &[ETR])]);
    message.use_ttl = true;
    world.send_register(ETR, &message, KEY);
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    assert_eq!(world.pass(secs(180)).site_changes(), ["expired 10.1.0.0/16"]);
}

#[test]
fn withdrawn_by_ttl_zero_and_acknowledged() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    let did = world.register(ETR, vec![withdrawal("10.1.0.0/16")]);
    assert_eq!(did.site_changes(), ["withdrawn 10.1.0.0/16"]);
    assert_eq!(did.notify().1.records[0].ttl, Ttl::REMOVE);
    assert!(world.disk.is_empty());
    let again = world.register(ETR, vec![withdrawal("10.1.0.0/16")]);
    assert_eq!(again.site_changes(), [""; 0]);
    assert_eq!(again.notify().1.records.len(), 1, "gone is gone, and acknowledged");
}

#[test]
fn withdrawing_everything_and_registering_anew_fit_one_message() {
    let mut world = World::with_site(&["10.1.0.0/16", "10.2.0.0/16"], |site| {
        site.replay = config::Replay::Off;
    });
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    let did = world.register(ETR, vec![withdrawal("10.1.0.0/16"), record("10.2.0.0/16", &[ETR])]);
    assert_eq!(did.site_changes(), ["withdrawn 10.1.0.0/16", "registered 10.2.0.0/16"]);
}

#[test]
fn change_is_told_stored_and_answered() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    let did = world.register(ETR, vec![record("10.1.0.0/16", &["203.0.113.2"])]);
    assert_eq!(did.site_changes(), ["changed 10.1.0.0/16"]);
    assert!(did.stores() >= 1);
    assert_eq!(world.locators("10.1.0.0/16"), ["203.0.113.2"]);
}

#[test]
fn instances_are_told_apart() {
    let mut world = World::with_site(&["10.1.0.0/16", "[7]10.1.0.0/16"], |_| {});
    world.register(ETR, vec![record("[7]10.1.0.0/16", &[ETR])]);
    assert_eq!(world.locators("10.1.0.0/16"), [""; 0]);
    assert_eq!(world.locators("[7]10.1.0.0/16"), [ETR]);
}

#[test]
fn locators_that_are_no_addresses_are_left_out() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let mut odd = record("10.1.0.0/16", &[ETR, ETR]);
    odd.locators[0].address = Address::Name("somewhere".into());
    let list = vec![Address::Name("etr2".into()), Address::Ip(ip("203.0.113.2"))];
    odd.locators
        .push(Locator { address: Address::Lcaf(Box::new(Lcaf::AfiList(list))), ..locator(ETR) });
    assert_eq!(world.register(ETR, vec![odd]).refusals(), []);
    assert_eq!(world.locators("10.1.0.0/16"), [ETR, "203.0.113.2"]);
}

#[test]
fn renewal_is_one_whatever_the_order_of_its_locators() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let unsorted = || {
        let mut odd = record("10.1.0.0/16", &["203.0.113.2", ETR, ETR]);
        odd.locators[2].address = Address::Name("somewhere".into());
        vec![odd]
    };
    world.register(ETR, unsorted());
    world.pass(secs(60));
    assert_eq!(world.register(ETR, unsorted()).stores(), 0);
    assert_eq!(world.pass(secs(179)).site_changes(), [""; 0]);
    assert_eq!(world.locators("10.1.0.0/16"), [ETR, "203.0.113.2"]);
}

#[test]
fn too_many_locators_are_refused() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let rlocs: Vec<_> = (1..=33).map(|n| format!("203.0.113.{n}")).collect();
    let rlocs: Vec<_> = rlocs.iter().map(String::as_str).collect();
    let did = world.register(ETR, vec![record("10.1.0.0/16", &rlocs)]);
    assert_eq!(did.refusals(), [Refusal::Full]);
}

#[test]
fn trace_tells_messages_only_when_switched_on() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let messages = |did: &Did| {
        did.events().iter().filter(|event| matches!(event, Event::Message { .. })).count()
    };
    assert_eq!(messages(&world.register(ETR, vec![record("10.1.0.0/16", &[ETR])])), 0);
    world.server.set_trace(true);
    assert_eq!(messages(&world.register(ETR, vec![record("10.1.0.0/16", &[ETR])])), 2);
    assert_eq!(messages(&world.ask("10.1.0.1")), 2);
}
