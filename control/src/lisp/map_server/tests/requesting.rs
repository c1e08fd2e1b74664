//! Map-Requests for what is registered (RFC 9301 §5.5, §8.3).

use super::*;
use weft_packet::lisp::Action as Act;

const ETR: &str = "203.0.113.1";
const ETR6: &str = "2001:db8:ffff::1";

/// A Map-Server that answers itself for 2001:db8::/32 and 10.0.0.0/8.
fn answering() -> World {
    World::with_site(&["10.0.0.0/8", "2001:db8::/32"], |site| {
        site.accept_more_specifics = true;
        site.proxy_reply = true;
    })
}

fn eids(reply: &MapReply) -> Vec<String> {
    reply.records.iter().map(|r| r.eid.prefix().unwrap().to_string()).collect()
}

#[test]
fn proxy_answers_without_authority_and_without_local_bits() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let mut message = world.registering(vec![record("10.1.0.0/16", &[ETR, ETR6])]);
    message.proxy_reply = true;
    world.send_register(ETR, &message, KEY);
    let request = world.asking(&["10.1.2.3"]);
    let did = world.send_request(&request);
    let (to, reply) = did.reply();
    assert_eq!(to, SocketAddr::new(ip(ITR), 50_000), "the inner source port");
    assert_eq!(reply.nonce, request.nonce);
    let record = did.record();
    assert_eq!(record.eid.prefix(), Some(eid("10.1.0.0/16")));
    assert_eq!(record.ttl, Ttl(1440));
    assert!(!record.authoritative);
    assert!(record.locators.iter().all(|l| !l.local && !l.probed && l.reachable));
    assert_eq!(record.locators.len(), 2);
}

#[test]
fn one_etr_asking_for_proxy_replies_is_enough() {
    let mut world = World::with_site(&["10.1.0.0/16"], |site| site.merge = true);
    world.register("203.0.113.2", vec![record("10.1.0.0/16", &["203.0.113.2"])]);
    let mut message = world.registering(vec![record("10.1.0.0/16", &[ETR])]);
    message.proxy_reply = true;
    world.send_register(ETR, &message, KEY);
    assert_eq!(world.ask("10.1.2.3").record().locators.len(), 2);
}

#[test]
fn otherwise_an_etr_gets_the_request_unchanged() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    let request = world.asking(&["10.1.2.3"]);
    let came = encapsulated(&request);
    let did = world.send_request(&request);
    let (to, passed) = did.passed_on();
    assert_eq!(to, SocketAddr::new(ip(ETR), 4342));
    assert_eq!(passed, Encapsulated { to_etr: true, ..came.clone() });
    assert_eq!(did.only_bytes()[1..], came.to_bytes()[1..]);
    assert_eq!(world.server.status().counters.forwarded, 1);
}

#[test]
fn request_that_came_by_itself_is_answered_or_encapsulated() {
    let mut world = World::with_site(&["10.1.0.0/16", "10.2.0.0/16"], |_| {});
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    let request = world.asking(&["10.1.2.3"]);
    let did = world.send_plain_request("198.51.100.1:4711", &request);
    let (_, passed) = did.passed_on();
    assert_eq!(passed.source, "198.51.100.1:4711".parse().unwrap());
    assert_eq!(passed.destination, "10.1.2.3:4342".parse().unwrap());
    assert_eq!(*passed.message, Message::MapRequest(request));
    let negative = world.asking(&["10.2.0.1"]);
    let (to, _) = world.send_plain_request("198.51.100.1:4711", &negative).reply();
    assert_eq!(to, "198.51.100.1:4711".parse().unwrap());
}

#[test]
fn authoritative_request_goes_to_the_etr_although_it_wants_a_proxy() {
    let mut world = answering();
    world.register(ETR, vec![record("10.0.0.0/8", &[ETR])]);
    let mut request = world.asking(&["10.1.2.3"]);
    request.authoritative = true;
    let sent = world.send_request(&request).sent();
    assert!(matches!(sent.as_slice(), [(_, Message::Encapsulated(_))]));
}

#[test]
fn etrs_share_requests_by_nonce_and_only_reachable_ones() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let mut mapping = record("10.1.0.0/16", &[ETR, "203.0.113.2", "203.0.113.3", ETR6]);
    mapping.locators[2].reachable = false;
    world.register(ETR, vec![mapping]);
    let mut asked: Vec<_> = (0..100).map(|_| world.ask("10.1.2.3").sent()[0].0.ip()).collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, [ip(ETR), ip("203.0.113.2")], "of the family the question came by");
}

#[test]
fn without_an_etr_to_reach_the_itr_shall_ask_again() {
    let mut world = World::with_site(&["10.1.0.0/16"], |_| {});
    let mut mapping = record("10.1.0.0/16", &[ETR]);
    mapping.locators[0].reachable = false;
    world.register(ETR, vec![mapping]);
    let record = world.ask("10.1.2.3").record();
    assert_eq!((record.action, record.ttl), (Act::SendMapRequest, Ttl(1)));
}

#[test]
fn longest_match_with_its_more_specifics_and_one_ttl() {
    let mut world = answering();
    let mut records: Vec<_> =
        ["2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:2::/64"]
            .iter()
            .map(|eid| record(eid, &[ETR]))
            .collect();
    records[3].ttl = Ttl(10);
    world.register(ETR, records);
    let (_, exact) = world.ask("2001:db8:1:1::1").reply();
    assert_eq!(eids(&exact), ["2001:db8:1:1::/64"]);
    let (_, reply) = world.ask("2001:db8:1:5::5").reply();
    assert_eq!(
        eids(&reply),
        ["2001:db8:1::/48", "2001:db8:1:1::/64", "2001:db8:1:2::/64"],
        "the example of RFC 9301 §5.5"
    );
    assert!(reply.records.iter().all(|record| record.ttl == Ttl(10)));
    let (_, coarse) = world.ask("2001:db8:1::/60").reply();
    assert_eq!(eids(&coarse)[0], "2001:db8:1::/48", "a prefix asked for is matched as a whole");
}

#[test]
fn more_specific_its_etr_answers_for_is_to_be_asked_for() {
    let mut specific = site("specific", &["10.1.0.0/16"]);
    specific.keys = vec![(0, config::Secret::new(KEY))];
    let mut aggregate = site("aggregate", &["10.0.0.0/8"]);
    aggregate.proxy_reply = true;
    let mut world = World::new(servers(vec![aggregate, specific]));
    world.register(ETR, vec![record("10.0.0.0/8", &[ETR]), record("10.1.0.0/16", &[ETR])]);
    let (_, reply) = world.ask("10.9.9.9").reply();
    assert_eq!(eids(&reply), ["10.0.0.0/8", "10.1.0.0/16"]);
    assert_eq!(reply.records[0].locators.len(), 1);
    assert_eq!(reply.records[1].action, Act::SendMapRequest);
    assert!(reply.records[1].locators.is_empty());
}

#[test]
fn too_many_more_specifics_leave_the_part_without_any() {
    let mut world = answering();
    let mut records = vec![record("10.0.0.0/8", &[ETR])];
    records.extend((0..100).map(|n| record(&format!("10.1.{n}.0/24"), &["203.0.113.2"])));
    world.register(ETR, records);
    let did = world.ask("10.200.0.1");
    assert!(did.only_bytes().len() <= 548);
    let narrowed = did.record();
    assert_eq!(narrowed.eid.prefix(), Some(eid("10.128.0.0/9")));
    assert_eq!(narrowed.ttl, Ttl(15));
    assert_eq!(narrowed.locators[0].address, Address::Ip(ip(ETR)));
    let near = world.ask("10.1.100.7").record();
    assert_eq!(near.eid.prefix(), Some(eid("10.1.100.0/22")), "10.1.96.0 to 10.1.99.0 are taken");
}

#[test]
fn policy_denies_itrs_that_are_not_listed() {
    for proxy in [true, false] {
        let mut world = World::with_site(&["10.1.0.0/16", "10.2.0.0/16"], |site| {
            site.allowed_itrs = vec!["198.51.100.128/25".parse().unwrap()];
            site.proxy_reply = proxy;
        });
        world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
        for host in ["10.1.2.3", "10.2.2.3"] {
            let denied = world.ask(host).record();
            assert_eq!(denied.action, Act::DropPolicyDenied);
            assert!(denied.locators.is_empty());
        }
        let mut request = world.asking(&["10.1.2.3"]);
        request.itr_rlocs = vec![Address::Ip(ip("198.51.100.200"))];
        assert_eq!(world.send_request(&request).sent()[0].0.ip().to_string().as_str(), {
            if proxy { "198.51.100.200" } else { ETR }
        });
    }
}

#[test]
fn answer_goes_to_a_usable_itr_rloc() {
    let mut world = answering();
    world.register(ETR, vec![record("10.0.0.0/8", &[ETR])]);
    let mut to = |rlocs: &[&str]| {
        let mut request = world.asking(&["10.1.2.3"]);
        request.itr_rlocs = rlocs.iter().map(|rloc| Address::Ip(ip(rloc))).collect();
        let did = world.send_request(&request);
        did.sent().first().map(|(to, _)| to.ip().to_string())
    };
    assert_eq!(to(&["2001:db8:9::1", "198.51.100.9"]).as_deref(), Some("198.51.100.9"));
    assert_eq!(to(&["2001:db8:9::1"]).as_deref(), Some("2001:db8:9::1"));
    assert_eq!(to(&["224.0.0.1", "127.0.0.1", "0.0.0.0", "fe80::1"]), None);
    let mut none = world.asking(&["10.1.2.3"]);
    none.itr_rlocs = vec![Address::None];
    assert_eq!(world.send_request(&none).refusals(), [Refusal::NoItrRloc]);
    assert_eq!(world.refused(Refusal::NoItrRloc), 2);
}

#[test]
fn probes_and_smrs_have_no_business_here_and_d_asks_for_silence() {
    let mut world = answering();
    world.register(ETR, vec![record("10.0.0.0/8", &[ETR])]);
    let probe = MapRequest { probe: true, ..world.asking(&["10.1.2.3"]) };
    assert_eq!(world.send_plain_request(ITR, &probe).refusals(), [Refusal::ProbeNotAllowed]);
    let smr = MapRequest { smr: true, ..world.asking(&["10.1.2.3"]) };
    assert_eq!(world.send_request(&smr).refusals(), [Refusal::NotForUs]);
    let silent = MapRequest { no_reply: true, ..world.asking(&["10.1.2.3"]) };
    assert!(world.send_request(&silent).actions.is_empty());
}

#[test]
fn encapsulated_messages_of_other_kinds_are_refused() {
    let mut world = answering();
    let request = world.asking(&["10.1.2.3"]);
    let register = Message::MapRegister(MapRegister::default());
    let cases = [
        (Encapsulated { to_etr: true, ..encapsulated(&request) }, Refusal::NotForUs),
        (Encapsulated { message: Box::new(register), ..encapsulated(&request) }, Refusal::NotForUs),
        (
            Encapsulated { source: "0.0.0.0:5".parse().unwrap(), ..encapsulated(&request) },
            Refusal::Inconsistent,
        ),
        (
            Encapsulated { source: "192.0.2.7:0".parse().unwrap(), ..encapsulated(&request) },
            Refusal::Inconsistent,
        ),
    ];
    for (message, reason) in cases {
        let mut out = Actions::default();
        let bytes = message.to_bytes();
        let datagram = datagram(ITR, &bytes);
        world.server.encapsulated(world.now, datagram, &message, NEGATIVE_TTL, &mut out);
        assert_eq!(world.done(out).refusals(), [reason]);
    }
}

#[test]
fn several_questions_get_one_datagram() {
    let mut world = answering();
    world.register(ETR, vec![record("10.0.0.0/8", &[ETR]), record("2001:db8::/32", &[ETR])]);
    let request = world.asking(&["10.1.2.3", "192.0.2.1", "2001:db8::1"]);
    let (_, reply) = world.send_request(&request).reply();
    assert_eq!(reply.records.len(), 3);
    let hosts: Vec<_> = (0..60).map(|n| format!("172.16.{n}.1")).collect();
    let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
    let request = world.asking(&hosts);
    assert!(world.send_request(&request).only_bytes().len() <= 548);
}

#[test]
fn names_are_not_served() {
    let mut world = answering();
    let mut request = world.asking(&["10.1.2.3"]);
    request.eids[0].eid =
        weft_packet::lisp::Eid { address: Address::Name("host".into()), mask_len: 40 };
    assert_eq!(world.send_request(&request).refusals(), [Refusal::UnsupportedEid]);
}

#[test]
fn source_that_asks_too_much_is_slowed() {
    let mut world = answering();
    world.register(ETR, vec![record("10.0.0.0/8", &[ETR])]);
    world.server.set_request_limit(Some(5));
    let answered = (0..20).filter(|_| !world.ask("10.1.2.3").sent().is_empty()).count();
    assert_eq!(answered, 5);
    assert_eq!(world.refused(Refusal::RateLimited), 15);
    world.pass(secs(1));
    assert_eq!(world.ask("10.1.2.3").sent().len(), 1);
}

#[test]
fn static_mapping_answers_before_a_registration() {
    let fixed = |prefix: &str, rloc: &str| config::StaticMapping {
        from: None,
        eid: eid(prefix),
        rlocs: vec![config::Rloc::unicast(
            config::Place::Address { rloc: ip(rloc), local: true },
            1,
            100,
        )],
        action: Act::NoAction,
    };
    let mut config = servers(vec![site("site1", &["10.1.0.0/16"])]);
    config.static_mappings =
        vec![fixed("10.1.0.0/16", "192.0.2.9"), fixed("10.1.1.0/24", "192.0.2.8")];
    let mut world = World::new(config);
    world.register(ETR, vec![record("10.1.0.0/16", &[ETR])]);
    let (_, reply) = world.ask("10.1.2.3").reply();
    assert_eq!(eids(&reply), ["10.1.0.0/16", "10.1.1.0/24"]);
    let rloc = &reply.records[0].locators[0];
    assert_eq!((rloc.address.ip(), rloc.local), (Some(ip("192.0.2.9")), false));
    assert_eq!(world.server.static_mappings().count(), 2);
}

#[test]
fn replies_leave_from_where_the_question_came_to() {
    let mut world = answering();
    world.register(ETR, vec![record("10.0.0.0/8", &[ETR])]);
    let did = world.ask("10.1.2.3");
    assert!(
        did.actions.iter().any(
            |action| matches!(action, Action::Send { from: Some(from), .. } if *from == ip(MS))
        )
    );
}
