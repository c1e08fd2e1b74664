//! Who is told of a change, when, and how often.

use super::*;

/// A registered site with these EID-prefixes, and an RLOC that packets came from.
fn heard_from_a_peer(prefixes: &[&str]) -> (Site, IpAddr) {
    let mut site = Site::new(config(&[MS], prefixes));
    site.acknowledge_all();
    let peer = ip("198.51.100.77");
    let pair = Traffic { uplink: UplinkId(1), rloc: peer, sent: 0, received: 5 };
    site.etr.traffic(site.now, &[pair]);
    (site, peer)
}

#[test]
fn those_that_send_to_us_are_told_of_a_change_after_the_map_server() {
    let peer = ip("198.51.100.77");
    let mut settings = config(&[MS], &["10.1.0.0/16"]);
    settings.proxy_itrs = vec![ip("198.51.100.200")];
    let mut site = Site::new(settings);
    site.acknowledge_all();
    let pair = Traffic { uplink: UplinkId(1), rloc: peer, sent: 0, received: 5 };
    let quiet = Traffic { rloc: ip("198.51.100.78"), sent: 0, received: 0, ..pair };
    site.etr.traffic(site.now, &[pair, quiet]);
    site.sent();
    site.uplinks(vec![uplink(1, WAN, false), uplink(2, LTE, true)]);
    assert!(site.out.0.iter().all(|a| !matches!(a, Action::Send { to, .. } if to.ip() == peer)));
    site.acknowledge_all();
    let told = vec!["10.1.0.0/16".to_owned()];
    assert_eq!(
        site.smrs(),
        [(peer, told.clone()), (ip("198.51.100.200"), told.clone())],
        "as soon as the Map-Server knows"
    );
    site.pass(2.9);
    assert!(site.smrs().is_empty());
    site.pass(0.2);
    assert_eq!(site.smrs().len(), 2, "an SMR gets lost like any datagram");
    let invoked = MapRequest { smr_invoked: true, ..request("10.1.0.0/16") };
    site.ask(&invoked);
    site.pass(10.0);
    assert_eq!(site.smrs(), [(ip("198.51.100.200"), told)], "the other one has heard");
}

/// A router with several RLOCs gets an SMR at each.
#[test]
fn one_change_has_one_nonce_and_the_next_another() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    site.acknowledge_all();
    let heard = |last: u8| Traffic {
        uplink: UplinkId(1),
        rloc: [198, 51, 100, last].into(),
        sent: 0,
        received: 5,
    };
    site.etr.traffic(site.now, &[heard(77), heard(78)]);
    let mut nonces = Vec::new();
    for wan in [false, true] {
        site.sent();
        site.uplinks(vec![uplink(1, WAN, wan), uplink(2, LTE, true)]);
        site.acknowledge_all();
        site.pass(3.0);
        nonces.push(site.smr_messages().into_iter().map(|(_, smr)| smr.nonce).collect::<Vec<_>>());
    }
    let [first, second] = &nonces[..] else { panic!() };
    for nonces in [first, second] {
        assert!(nonces.len() >= 2 && nonces.iter().all(|nonce| *nonce == nonces[0]), "{nonces:?}");
    }
    assert_ne!(first[0], second[0]);
}

#[test]
fn all_that_changed_is_told_at_once_and_repeated_one_by_one() {
    let (mut site, peer) = heard_from_a_peer(&["10.1.0.0/16", "10.2.0.0/16"]);
    site.uplinks(vec![uplink(1, WAN, false), uplink(2, LTE, true)]);
    site.acknowledge_all();
    let (one, two) = ("10.1.0.0/16".to_owned(), "10.2.0.0/16".to_owned());
    assert_eq!(site.smrs(), [(peer, vec![one.clone(), two.clone()])]);
    site.pass(6.1);
    assert_eq!(site.smrs(), [(peer, vec![two]), (peer, vec![one])]);
}

#[test]
fn a_repetition_does_not_keep_the_next_change_waiting() {
    let (mut site, _) = heard_from_a_peer(&["10.1.0.0/16"]);
    site.uplinks(vec![uplink(1, WAN, false), uplink(2, LTE, true)]);
    site.acknowledge_all();
    assert_eq!(site.smrs().len(), 1, "news");
    site.pass(3.1);
    assert_eq!(site.smrs().len(), 1, "repeated");
    site.uplinks(vec![uplink(1, WAN, true), uplink(2, LTE, true)]);
    site.acknowledge_all();
    assert_eq!(site.smrs().len(), 1, "news again, at once");
    site.uplinks(vec![uplink(1, WAN, false), uplink(2, LTE, true)]);
    site.acknowledge_all();
    assert!(site.smrs().is_empty(), "but not more often than every 3 s");
}

#[test]
fn who_was_silent_for_a_minute_is_not_told() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    site.acknowledge_all();
    let pair = Traffic { uplink: UplinkId(1), rloc: ip("198.51.100.77"), sent: 9, received: 5 };
    site.etr.traffic(site.now, &[pair]);
    site.pass(61.0);
    site.acknowledge_all();
    site.etr.traffic(site.now, &[pair]);
    site.uplinks(vec![uplink(2, LTE, true)]);
    site.pass(5.0);
    assert!(site.smrs().is_empty());
}

#[test]
fn while_announcements_are_held_back_senders_are_told_at_once_and_after_the_map_server_again() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    site.acknowledge_all();
    let peer = ip("198.51.100.77");
    let mut pair = Traffic { uplink: UplinkId(1), rloc: peer, sent: 0, received: 5 };
    for round in 0..8 {
        site.uplinks(vec![uplink(1, WAN, round % 2 == 1), uplink(2, LTE, true)]);
        assert_eq!(site.acknowledge_all(), 1, "announcement {round}");
        site.pass(0.5);
    }
    site.sent();
    pair.received += 1;
    site.etr.traffic(site.now, &[pair]);
    site.uplinks(vec![uplink(1, WAN, false), uplink(2, LTE, true)]);
    let told = vec![(peer, vec!["10.1.0.0/16".to_owned()])];
    assert_eq!(site.smrs(), told, "no Map-Register goes that could be waited for");
    site.ask(&MapRequest {
        smr_invoked: true,
        itr_rlocs: vec![Address::Ip(peer)],
        ..request("10.1.0.0/16")
    });
    site.sent();
    while site.acknowledge_all() == 0 {
        site.pass(0.1);
    }
    assert_eq!(site.smrs(), told, "a Map-Server that answers for us knows it only now");
}
