use super::*;

#[test]
fn a_packet_becomes_a_question_and_the_answer_a_route() {
    let mut story = Story::new();
    assert_eq!(story.packet("10.1.2.3"), Route::Resolve);
    let asked = story.last();
    assert_eq!((asked.to, asked.from), (ip(MR1), Some(ip("192.0.2.1"))));
    assert_eq!(asked.ecm.source, SocketAddr::new(ip("192.0.2.1"), 4342));
    assert_eq!(asked.ecm.destination, SocketAddr::new(ip("10.1.2.3"), 4342));
    assert_eq!(asked.eid, eid("10.1.2.3/32"));
    assert_eq!(asked.request.source_eid, Address::Ip(ip(HOST)));
    let ours = ["192.0.2.1", "2001:db8::1"].map(|a| Address::Ip(ip(a)));
    assert_eq!(asked.request.itr_rlocs, ours);
    assert!(!asked.request.pitr && !asked.request.smr_invoked && !asked.request.probe);

    story.pass(Duration::from_millis(20));
    assert!(story.answer(&asked, &[site("10.1.0.0/16", 15, &["203.0.113.1"])]));
    assert_eq!(story.rlocs("10.1.99.99"), ["203.0.113.1"]);
    assert_eq!(story.route("10.2.0.1"), Route::Resolve);
    let learned = Event::MappingLearned {
        eid: eid("10.1.0.0/16"),
        from: ip(ETR),
        detail: "ttl 15m, 203.0.113.1 1/100".to_owned(),
        took: Some(Duration::from_millis(20)),
    };
    assert!(story.events.contains(&learned));
    story.pass_secs(60);
    assert_eq!(story.asked.len(), 1, "what is answered is not asked again");
}

#[test]
fn ipv6_eids_in_an_instance_are_asked_from_an_ipv4_world() {
    let mut story = Story::with(config::Itr { proxy: true, ..settings() });
    story.local = Local::new(vec![uplink(1, "192.0.2.1")]);
    story.packet_in(7, "2001:db8:b::1");
    let asked = story.last();
    assert_eq!(asked.eid, eid("7:2001:db8:b::1/128"));
    assert_eq!(asked.request.source_eid.ip(), Some(ip("2001:db8:aaaa::9")));
    assert_eq!(asked.ecm.source.ip(), ip("2001:db8:aaaa::9"), "no RLOC of the EID's family");
    assert!(asked.request.pitr);
    story.answer(&asked, &[site("7:2001:db8:b::/48", 15, &["203.0.113.1"])]);
    let instance = InstanceId::new(7).unwrap();
    assert!(matches!(story.lookup(instance, ip("2001:db8:b::2")).1, Route::Encapsulate(_)));
    assert_eq!(story.route("2001:db8:b::2"), Route::Resolve, "only in its instance");
}

#[test]
fn questions_are_repeated_with_growing_patience_then_given_up_and_rested() {
    let mut story = Story::with(config::Itr { map_resolvers: vec![ip(MR1)], ..settings() });
    for _ in 0..100 {
        story.packet("10.1.2.3");
        story.pass(Duration::from_millis(100));
    }
    let at: Vec<_> = story.asked.iter().map(|a| a.at.since_start().as_secs_f64()).collect();
    assert_eq!(at, [0.0, 1.0, 3.0], "then nothing until 5 s after giving up at 7 s");
    assert!(story.events.contains(&Event::LookupFailed { eid: eid("10.1.2.3/32"), tries: 3 }));
    let nonces: BTreeSet<_> = story.asked.iter().map(|a| a.request.nonce).collect();
    assert_eq!(nonces.len(), 3, "each try has a nonce of its own");
    story.pass(Duration::from_millis(2100));
    story.packet("10.1.2.3");
    assert_eq!(story.asked.len(), 4, "asked anew after the rest");
}

#[test]
fn ten_tries_are_followed_by_half_a_minute_of_patience() {
    let mut story = Story::with(config::Itr { map_request_retries: 12, ..settings() });
    story.packet("10.1.2.3");
    story.pass_secs(600);
    let at: Vec<_> = story.asked.iter().map(|a| a.at.since_start().as_secs()).collect();
    assert_eq!(at, [0, 1, 3, 7, 15, 31, 61, 91, 121, 151, 181, 211, 241]);
}

#[test]
fn lost_replies_are_made_up_for_by_any_later_one() {
    let mut story = Story::new();
    story.packet("10.1.2.3");
    let first = story.last();
    story.pass_secs(2);
    let second = story.last();
    assert_ne!(first.request.nonce, second.request.nonce);
    // The answer to the first try was only slow.
    assert!(story.answer(&first, &[site("10.1.0.0/16", 15, &["203.0.113.1"])]));
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
    // So was the one to the second: no news, and nothing to complain about.
    assert!(story.answer(&second, &[site("10.1.0.0/16", 15, &["203.0.113.9"])]));
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
    assert_eq!(story.refusals(), []);
    assert_eq!(story.itr.counters().late_replies, 1);
}

#[test]
fn a_silent_map_resolver_is_replaced_and_comes_back() {
    let mut story = Story::new();
    let records =
        [site("10.0.0.0/8", 15, &["203.0.113.1"]), site("11.0.0.0/8", 15, &["203.0.113.2"])];
    story.serve(&[MR2], &records);
    story.packet("10.1.2.3");
    story.pass_secs(2);
    let failover = Event::ResolverFailover { from: ip(MR1), to: ip(MR2) };
    assert!(story.events.contains(&failover));
    assert_eq!(story.rlocs("10.1.2.3"), ["203.0.113.1"]);
    story.packet("11.1.1.1");
    assert_eq!(story.last().to, ip(MR2), "asked at once");
    assert_eq!(story.rlocs("11.1.1.1"), ["203.0.113.2"]);

    story.serve(&[MR1, MR2], &[site("12.0.0.0/8", 15, &["203.0.113.3"])]);
    story.pass_secs(70);
    story.packet("12.1.1.1");
    assert!(story.events.contains(&Event::ResolverRestored { resolver: ip(MR1) }));
    story.packet("13.1.1.1");
    assert_eq!(story.last().to, ip(MR1));
}

#[test]
fn a_storm_of_unknown_destinations_asks_for_each_once_and_starves_nobody() {
    const DESTINATIONS: usize = 60_000;
    let mut story = Story::with(config::Itr { map_request_retries: 0, ..settings() });
    let destination = |i: usize| format!("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255);
    for i in 0..DESTINATIONS {
        story.packet(&destination(i));
    }
    assert!(story.asked.len() < 1000, "the burst is bounded: {}", story.asked.len());
    for i in 0..DESTINATIONS {
        story.packet(&destination(i));
    }
    assert_eq!(story.itr.sizes(), (0, DESTINATIONS));
    story.packet("11.0.0.1");
    story.pass_secs(40);
    let eids: BTreeSet<_> = story.asked.iter().map(|a| a.eid).collect();
    assert_eq!((story.asked.len(), eids.len()), (DESTINATIONS + 1, DESTINATIONS + 1));
    let per_second = story.asked.iter().filter(|a| a.at.since_start().as_secs() == 10).count();
    assert!((1900..=2100).contains(&per_second), "{per_second} in one second");
    assert_eq!(story.itr.sizes(), (0, 0));
}

#[test]
fn a_scan_of_one_site_stops_asking_with_the_first_answer() {
    let mut story = Story::new();
    for i in 0..5000 {
        story.packet(&format!("10.1.{}.{}", i / 250, i % 250));
    }
    story.packet("10.2.0.1");
    let burst = story.asked.len();
    story.answer(&story.asked[0].clone(), &[site("10.1.0.0/16", 15, &["203.0.113.1"])]);
    story.pass_secs(20);
    let rest: BTreeSet<_> = story.asked[burst..].iter().map(|a| a.eid).collect();
    assert_eq!(rest, BTreeSet::from([eid("10.2.0.1/32")]));
    let failed = |e: &&Event| matches!(e, Event::LookupFailed { .. });
    assert_eq!(story.events.iter().filter(failed).count(), 1, "only that of the other site");
}

#[test]
fn questions_are_bounded_and_those_in_excess_counted() {
    let mut story = Story::new();
    let destination = |i: u32| IpAddr::V4((0x0a00_0000 + i).into());
    for i in 0..70_000 {
        let destination = destination(i);
        let punt = Punt { instance: InstanceId::DEFAULT, source: ip(HOST), destination };
        story.itr.punt(story.now, punt, &story.local, &mut story.out);
    }
    story.absorb();
    assert_eq!(story.itr.sizes().1, 65_536);
    assert_eq!(story.itr.counters().pending_full, 70_000 - 65_536);
    // An operator's question is still answered, and before those that wait.
    story.serve(&[MR1], &[site("172.16.0.0/12", 15, &["203.0.113.1"])]);
    story.itr.lookup(story.now, eid("172.16.0.1/32"), None, &story.local, &mut story.out);
    story.absorb();
    story.pass(Duration::from_millis(50));
    assert!(story.events.iter().any(|e| matches!(e, Event::LookupAnswered { .. })));
}

#[test]
fn without_uplinks_nothing_is_sent_and_questions_leave_when_one_comes_back() {
    let mut story = Story::new();
    story.local = Local::default();
    story.itr.uplinks(story.now, &story.local, &mut story.out);
    story.packet("10.1.2.3");
    assert!(story.asked.is_empty());
    story.local = Local::new(vec![uplink(1, "192.0.2.77")]);
    story.pass(Duration::from_millis(500));
    story.itr.uplinks(story.now, &story.local, &mut story.out);
    story.absorb();
    assert_eq!(story.last().request.itr_rlocs, [Address::Ip(ip("192.0.2.77"))]);
}

#[test]
fn a_punt_that_lost_the_race_against_the_answer_is_told_the_route_again() {
    let mut story = Story::new();
    story.packet("10.1.2.3");
    story.answer(&story.last(), &[site("10.1.0.0/16", 15, &["203.0.113.1"])]);
    story.set.clear();
    let punt =
        Punt { instance: InstanceId::DEFAULT, source: ip(HOST), destination: ip("10.1.2.4") };
    story.itr.punt(story.now, punt, &story.local, &mut story.out);
    story.absorb();
    assert_eq!(story.set, [eid("10.1.0.0/16")]);
    assert_eq!(story.asked.len(), 1);
}
