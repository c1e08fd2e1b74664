//! An ETR between Map-Servers, ITRs and its uplinks, in virtual time.

mod solicited;

use super::*;
use crate::engine::Action;
use crate::lisp::config::{DatabaseMapping, EtrMapServer, Place, Rloc, Secret};
use crate::lisp::event::Event;
use std::net::{IpAddr, SocketAddr};
use weft_fib::{Uplink, UplinkId};
use weft_packet::addr::{InstanceId, Nonce};
use weft_packet::lisp::{
    Address, Algorithm, Authentication, Locator, MapRegister, MapReply, MapRequest, Message,
    NotifyKind, RequestedEid, Ttl,
};
use weft_packet::wire::Wire;

const MS: &str = "198.51.100.2";
const MS_V6: &str = "2001:db8:1::2";
const WAN: &str = "192.0.2.1";
const LTE: &str = "203.0.113.1";

/// The router under test, and what it did.
struct Site {
    etr: Etr,
    local: Local,
    now: Instant,
    out: Actions,
    stored: Stored,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn eid(text: &str) -> EidPrefix {
    EidPrefix::new(InstanceId::DEFAULT, text.parse().unwrap())
}

fn uplink(id: u16, rloc: &str, up: bool) -> Uplink {
    Uplink {
        id: UplinkId(id),
        rloc: ip(rloc),
        interface: id.into(),
        mtu: 1500,
        priority: 1,
        weight: 100,
        up,
    }
}

fn through(id: u16) -> Rloc {
    Rloc::unicast(Place::Uplink(UplinkId(id)), 1, 100)
}

fn server(address: &str) -> EtrMapServer {
    EtrMapServer {
        address: ip(address),
        key: Secret::new("pears"),
        key_id: 0,
        algorithm: Algorithm::HmacSha256,
        truncate: false,
        proxy_reply: false,
        want_notify: true,
        merge: false,
    }
}

fn mapping(prefix: &str) -> DatabaseMapping {
    DatabaseMapping {
        eid: eid(prefix),
        rlocs: vec![through(1), through(2)],
        record_ttl: Duration::from_mins(10),
        proxy_reply: None,
    }
}

fn two_uplinks() -> Local {
    Local::new(vec![uplink(1, WAN, true), uplink(2, LTE, true)])
}

fn config(servers: &[&str], prefixes: &[&str]) -> config::Etr {
    config::Etr {
        map_servers: servers.iter().map(|s| server(s)).collect(),
        database: prefixes.iter().map(|p| mapping(p)).collect(),
        register_interval: Duration::from_mins(1),
        ..config::Etr::default()
    }
}

impl Site {
    fn new(config: config::Etr) -> Self {
        Self::started(config, Stored::default())
    }

    fn started(config: config::Etr, stored: Stored) -> Self {
        let (local, mut out) = (two_uplinks(), Actions::default());
        let (now, random) = (Instant::START, Random::new([3; 32]));
        let identity = Identity { xtr_id: XtrId([7; 16]), site_id: SiteId(1) };
        let etr = Etr::new(now, config, identity, &local, random, &stored, &mut out);
        Self { etr, local, now, out, stored }
    }

    /// Lets time pass, doing what is due when it is due.
    fn pass(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some(at) = self.etr.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.etr.tick(self.now, &self.local, &mut self.out);
        }
        self.now = end;
        self.etr.check_invariants();
    }

    fn uplinks(&mut self, uplinks: Vec<Uplink>) {
        self.local = Local::new(uplinks);
        self.etr.local_changed(self.now, &self.local, &mut self.out);
    }

    /// The messages sent since the last look, with their sources and destinations.
    fn sent(&mut self) -> Vec<(Option<IpAddr>, SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        for action in self.out.0.drain(..) {
            match action {
                Action::Send { from, to, bytes, .. } => sent.push((from, to, bytes)),
                Action::Store { key, value: Some(value) } => {
                    self.stored.insert(key, value);
                }
                _ => {}
            }
        }
        sent
    }

    fn registers(&mut self) -> Vec<(IpAddr, MapRegister)> {
        let registers = self.sent().into_iter().filter_map(|(_, to, bytes)| {
            auth::verify(&bytes, Purpose::MapRegister, b"pears").ok()?;
            match Message::from_bytes(&bytes) {
                Ok(Message::MapRegister(register)) => Some((to.ip(), register)),
                _ => None,
            }
        });
        registers.collect()
    }

    fn smrs(&mut self) -> Vec<(IpAddr, Vec<String>)> {
        let eids = |smr: MapRequest| {
            smr.eids.iter().map(|e| e.eid.prefix().unwrap().to_string()).collect()
        };
        self.smr_messages().into_iter().map(|(to, smr)| (to, eids(smr))).collect()
    }

    fn smr_messages(&mut self) -> Vec<(IpAddr, MapRequest)> {
        let smrs = self.sent().into_iter().filter_map(|(_, to, bytes)| {
            match Message::from_bytes(&bytes) {
                Ok(Message::MapRequest(r)) if r.smr && r.no_reply => Some((to.ip(), r)),
                _ => None,
            }
        });
        smrs.collect()
    }

    fn notify(&mut self, from: &str, nonce: Nonce, key: &[u8]) {
        let notify = MapNotify {
            nonce,
            authentication: Authentication::unsigned(0, Algorithm::HmacSha256, true),
            ..MapNotify::default()
        };
        let mut bytes = notify.to_bytes();
        auth::sign(&mut bytes, Purpose::MapNotify, Algorithm::HmacSha256, key, true);
        let from = SocketAddr::new(ip(from), 4342);
        let datagram = Datagram { from, to: ip(WAN), bytes: &bytes };
        let Ok(Message::MapNotify(notify)) = Message::from_bytes(&bytes) else { unreachable!() };
        self.etr.notify(self.now, datagram, &notify, &self.local, &mut self.out);
    }

    /// How many registrations there were, all acknowledged now.
    fn acknowledge_all(&mut self) -> usize {
        let registers = self.registers();
        for (server, register) in &registers {
            self.notify(&server.to_string(), register.nonce, b"pears");
        }
        registers.len()
    }

    fn events(&self) -> Vec<&Event> {
        let events = self.out.0.iter().filter_map(|action| match action {
            Action::Notify(event) => Some(event),
            _ => None,
        });
        events.collect()
    }

    fn refusals(&mut self) -> Vec<Refusal> {
        let events = self.events();
        let refusals = events.iter().filter_map(|event| match event {
            Event::Refused { reason, .. } => Some(*reason),
            _ => None,
        });
        refusals.collect()
    }

    /// The Map-Reply to a request, and where it went.
    fn ask(&mut self, request: &MapRequest) -> Option<(Option<IpAddr>, SocketAddr, MapReply)> {
        self.sent();
        let source = SocketAddr::new(ip("198.51.100.77"), 61_000);
        let question = Question { request, source, to: ip(LTE) };
        self.etr.request(self.now, question, &self.local, &mut self.out);
        let (from, to, bytes) = self.out.0.iter().find_map(|action| match action {
            Action::Send { from, to, bytes, .. } => Some((*from, *to, bytes.clone())),
            _ => None,
        })?;
        let Ok(Message::MapReply(reply)) = Message::from_bytes(&bytes) else { return None };
        Some((from, to, reply))
    }
}

fn request(asked: &str) -> MapRequest {
    MapRequest {
        nonce: Nonce(99),
        itr_rlocs: vec![Address::Ip(ip("198.51.100.77"))],
        eids: vec![RequestedEid { subscribe: false, eid: eid(asked).into() }],
        ..MapRequest::default()
    }
}

fn rlocs(locators: &[Locator]) -> Vec<String> {
    locators.iter().map(|l| l.address.ip().unwrap().to_string()).collect()
}

#[test]
fn registers_at_start_and_every_minute_with_growing_nonces() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    let (to, first) = site.registers().remove(0);
    assert_eq!(to, ip(MS));
    assert!(first.want_notify && !first.use_ttl && first.xtr.is_some());
    assert_eq!(rlocs(&first.records[0].locators), [WAN, LTE]);
    site.notify(MS, first.nonce, b"pears");
    assert!(matches!(site.events()[..], [Event::Registered { prefixes: 1, .. }]));
    site.sent();
    site.pass(53.0);
    assert!(site.registers().is_empty(), "acknowledged: silent until the next round");
    site.pass(14.0);
    let (_, second) = site.registers().remove(0);
    assert!(second.nonce > first.nonce);
}

#[test]
fn silence_is_met_with_doubling_repetition_and_told_once() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    let mut tries = Vec::new();
    for second in 0..200 {
        for (_, register) in site.registers() {
            tries.push((second, register.nonce));
        }
        site.pass(1.0);
    }
    let times: Vec<_> = tries.iter().map(|(second, _)| *second).collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
    assert!(tries.is_sorted_by(|a, b| a.1 < b.1), "each with a nonce of its own");
    site.pass(43.0);
    let (_, last) = site.registers().remove(0);
    site.notify(MS, last.nonce, b"pears");
    assert!(matches!(site.events()[..], [Event::Registered { .. }]));
}

#[test]
fn loss_is_told_once() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    site.pass(300.0);
    let lost = |e: &&&Event| matches!(e, Event::RegistrationLost { .. });
    assert_eq!(site.events().iter().filter(lost).count(), 1);
}

#[test]
fn one_dead_map_server_does_not_stop_the_other() {
    let mut site = Site::new(config(&[MS, "198.51.100.3"], &["10.1.0.0/16"]));
    for _ in 0..20 {
        for (server, register) in site.registers().into_iter().filter(|(to, _)| *to == ip(MS)) {
            site.notify(&server.to_string(), register.nonce, b"pears");
        }
        site.pass(1.0);
    }
    let states: Vec<_> = site.etr.status(site.now).registrations.iter().map(|r| r.state).collect();
    assert_eq!(states, [Progress::Registered, Progress::Lost]);
}

#[test]
fn no_uplink_of_the_family_works_until_one_does() {
    let mut settings = config(&[MS_V6], &["10.1.0.0/16"]);
    settings.database[0].rlocs.push(through(3));
    let mut site = Site::new(settings);
    let v6 = |up| uplink(3, "2001:db8:77::1", up);
    site.uplinks(vec![uplink(1, WAN, true), v6(false)]);
    site.sent();
    site.pass(100.0);
    assert!(site.registers().is_empty());
    site.uplinks(vec![uplink(1, WAN, true), v6(true)]);
    assert_eq!(site.sent()[0].0, Some(ip("2001:db8:77::1")));
}

#[test]
fn notify_counts_only_from_that_server_with_that_key_and_nonce() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    let (_, register) = site.registers().remove(0);
    site.notify("198.51.100.3", register.nonce, b"pears");
    assert_eq!(site.refusals(), [Refusal::NotForUs]);
    site.sent();
    site.notify(MS, register.nonce, b"apples");
    assert_eq!(site.refusals(), [Refusal::WrongKey]);
    assert!(site.sent().is_empty());
    assert_eq!(site.etr.status(site.now).registrations[0].state, Progress::Registering);
}

#[test]
fn unsolicited_notify_is_acknowledged_and_a_late_one_is_not() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    let (_, register) = site.registers().remove(0);
    site.notify(MS, register.nonce, b"pears");
    site.sent();
    site.notify(MS, register.nonce, b"pears");
    assert!(site.sent().is_empty(), "a duplicate");
    site.notify(MS, Nonce(0xdead_beef), b"pears");
    let (_, to, bytes) = site.sent().remove(0);
    assert_eq!(to, SocketAddr::new(ip(MS), 4342));
    assert_eq!(auth::verify(&bytes, Purpose::MapNotifyAck, b"pears"), Ok(()));
    let Ok(Message::MapNotify(ack)) = Message::from_bytes(&bytes) else { panic!("no ack") };
    assert_eq!((ack.kind, ack.nonce), (NotifyKind::Ack, Nonce(0xdead_beef)));
}

#[test]
fn ten_thousand_prefixes_travel_in_messages_that_pass_any_path() {
    let mut settings = config(&[MS], &[]);
    settings.database =
        (0..10_000u32).map(|i| mapping(&format!("10.{}.{}.0/24", i / 256, i % 256))).collect();
    let mut site = Site::new(settings);
    site.pass(2.0);
    let mut seen = BTreeSet::new();
    for (_, _, bytes) in site.sent() {
        assert!(bytes.len() <= 548, "{} octets", bytes.len());
        let Ok(Message::MapRegister(register)) = Message::from_bytes(&bytes) else { continue };
        seen.extend(register.records.iter().map(|r| r.eid.clone()));
    }
    assert_eq!(seen.len(), 10_000);
}

#[test]
fn failed_uplink_is_registered_at_once_and_flapping_is_held_back() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    site.acknowledge_all();
    site.sent();
    site.uplinks(vec![uplink(1, WAN, false), uplink(2, LTE, true)]);
    let sent = site.sent();
    assert_eq!(sent[0].0, Some(ip(LTE)), "never from the dead uplink");
    let Ok(Message::MapRegister(register)) = Message::from_bytes(&sent[0].2) else { panic!() };
    assert_eq!(rlocs(&register.records[0].locators), [LTE]);

    for round in 0..40 {
        site.uplinks(vec![uplink(1, WAN, round % 2 == 0), uplink(2, LTE, true)]);
        site.acknowledge_all();
        site.pass(0.25);
    }
    let mut announced = 0;
    for _ in 0..60 {
        announced += site.acknowledge_all();
        site.pass(1.0);
    }
    assert!(announced <= 11, "{announced} announcements");
    let status = site.etr.status(site.now);
    assert_eq!(status.database[0].locators.len(), 1, "the last state is what is known");
}

#[test]
fn what_the_only_uplink_could_not_carry_is_registered_when_it_returns() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    site.acknowledge_all();
    for _ in 0..10 {
        site.uplinks(vec![uplink(1, WAN, false)]);
        site.pass(2.0);
        assert!(site.registers().is_empty());
        site.uplinks(vec![uplink(1, WAN, true)]);
        site.acknowledge_all();
        assert_eq!(site.etr.status(site.now).registrations[0].state, Progress::Registered);
    }
}

#[test]
fn prefix_the_map_server_never_took_is_no_trouble_once_it_is_removed() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    site.acknowledge_all();
    let identity = site.etr.identity;
    for prefixes in [&["10.1.0.0/16", "10.9.0.0/16"][..], &["10.1.0.0/16"]] {
        site.etr.reconfigure(
            site.now,
            config(&[MS], prefixes),
            identity,
            &site.local,
            &mut site.out,
        );
    }
    for _ in 0..30 {
        let kept = site.registers().into_iter().filter(|(_, r)| r.records[0].ttl != Ttl::REMOVE);
        for (server, register) in kept.collect::<Vec<_>>() {
            site.notify(&server.to_string(), register.nonce, b"pears");
        }
        site.pass(1.0);
    }
    let status = site.etr.status(site.now);
    assert_eq!(status.registrations[0].why, "");
}

#[test]
fn removed_mapping_is_withdrawn_until_acknowledged() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16", "10.2.0.0/16"]));
    site.acknowledge_all();
    site.sent();
    let smaller = config(&[MS], &["10.1.0.0/16"]);
    let identity = site.etr.identity;
    site.etr.reconfigure(site.now, smaller, identity, &site.local, &mut site.out);
    let changes: Vec<_> = site
        .out
        .0
        .iter()
        .filter_map(|a| if let Action::Forward(c) = a { Some(c.clone()) } else { None })
        .collect();
    let cleared = Change::ClearRoute { key: eid("10.2.0.0/16").into(), source: Source::Local };
    assert_eq!(changes, [cleared], "the other route is not touched");
    let withdrawn = |site: &mut Site| -> Vec<_> {
        let records = site.registers().into_iter().flat_map(|(_, r)| r.records);
        records.filter(|r| r.ttl == Ttl::REMOVE).map(|r| r.eid.prefix().unwrap()).collect()
    };
    assert_eq!(withdrawn(&mut site), [eid("10.2.0.0/16")]);
    site.pass(1.0);
    assert_eq!(withdrawn(&mut site), [eid("10.2.0.0/16")], "repeated: nobody acknowledged");
    site.pass(2.0);
    site.acknowledge_all();
    site.pass(70.0);
    assert!(withdrawn(&mut site).is_empty());
}

#[test]
fn shutdown_leaves_what_others_of_the_site_serve() {
    let mut settings = config(&[MS], &["10.1.0.0/16", "10.2.0.0/16"]);
    settings.database[1].rlocs.push(Rloc {
        place: Place::Address { rloc: ip("192.0.2.200"), local: false },
        ..through(1)
    });
    let mut site = Site::new(settings);
    site.acknowledge_all();
    site.sent();
    site.etr.shutdown(&site.local, &mut site.out);
    let (_, last) = site.registers().remove(0);
    assert_eq!(last.records[0].ttl, Ttl::REMOVE);
    assert_eq!(rlocs(&last.records[1].locators), ["192.0.2.200"]);
    assert_ne!(last.records[1].ttl, Ttl::REMOVE);
}

#[test]
fn crash_goes_on_with_higher_nonces() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    let (_, before) = site.registers().remove(0);
    let mut site = Site::started(config(&[MS], &["10.1.0.0/16"]), site.stored);
    let (_, after) = site.registers().remove(0);
    assert!(after.nonce > before.nonce);
}

#[test]
fn answers_for_its_own_and_denies_the_rest_for_a_minute() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    let (from, to, reply) = site.ask(&request("10.1.2.3")).unwrap();
    assert_eq!((from, to), (Some(ip(WAN)), "198.51.100.77:61000".parse().unwrap()));
    assert_eq!((reply.nonce, reply.probe), (Nonce(99), false));
    assert!(reply.records[0].authoritative);
    assert_eq!(reply.records[0].eid.prefix(), Some(eid("10.1.0.0/16")));
    assert!(reply.records[0].locators.iter().all(|l| l.local && l.reachable && !l.probed));

    let (_, _, negative) = site.ask(&request("10.2.2.3")).unwrap();
    assert!(negative.records[0].locators.is_empty());
    assert_eq!(negative.records[0].ttl, Ttl(1));

    let silent = MapRequest { no_reply: true, ..request("10.1.2.3") };
    assert!(site.ask(&silent).is_none());
    let nowhere = MapRequest {
        itr_rlocs: vec![Address::None, Address::Ip(ip("127.0.0.1")), Address::Ip(ip("ff02::1"))],
        ..request("10.1.2.3")
    };
    assert!(site.ask(&nowhere).is_none());
    assert_eq!(site.refusals(), [Refusal::NoItrRloc]);
}

#[test]
fn probe_is_answered_from_where_it_came_to_and_marks_that_locator() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    let probe = MapRequest { probe: true, ..request("10.1.0.0/16") };
    let (from, to, reply) = site.ask(&probe).unwrap();
    assert_eq!((from, to), (Some(ip(LTE)), "198.51.100.77:61000".parse().unwrap()));
    assert!(reply.probe && reply.records.iter().all(|r| r.authoritative));
    let probed: Vec<_> = reply.records[0].locators.iter().filter(|l| l.probed).collect();
    assert_eq!(probed.len(), 1);
    assert_eq!(probed[0].address, Address::Ip(ip(LTE)));

    let coarser = MapRequest { probe: true, ..request("10.0.0.0/8") };
    let (_, _, reply) = site.ask(&coarser).unwrap();
    assert_eq!(reply.records[0].eid.prefix(), Some(eid("10.1.0.0/16")));
}

#[test]
fn proxy_etr_answers_probes_about_anything() {
    let mut site = Site::new(config::Etr { proxy: true, ..config(&[], &[]) });
    let probe = MapRequest { probe: true, ..request("0.0.0.0/0") };
    let (from, _, reply) = site.ask(&probe).unwrap();
    assert_eq!(from, Some(ip(LTE)));
    assert_eq!(reply.records[0].eid.prefix(), Some(eid("0.0.0.0/0")));
    assert_eq!(rlocs(&reply.records[0].locators), [LTE]);
    assert!(reply.records[0].authoritative && reply.records[0].locators[0].probed);
}

#[test]
fn reflections_of_one_question_are_limited_and_probes_are_not() {
    let mut site = Site::new(config(&[MS], &["10.1.0.0/16"]));
    let answered = (0..20).filter(|_| site.ask(&request("10.1.2.3")).is_some()).count();
    assert_eq!(answered, 4);
    assert!(site.ask(&request("10.1.2.4")).is_some(), "another question");
    let probe = MapRequest { probe: true, ..request("10.1.0.0/16") };
    assert_eq!((0..50).filter(|_| site.ask(&probe).is_some()).count(), 50);
}
