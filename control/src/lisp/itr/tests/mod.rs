//! Stories of an ITR in virtual time: packets go in, Map-Requests come out, and the forwarding
//! table they lead to is kept as a plain model that checks its own rules.

mod anything;
mod asking;
mod caching;
mod operating;
mod replies;
mod soliciting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use weft_fib::{Change, EidKey, Encapsulation, GroupId, Path, Route, Source, Uplink, UplinkId};
use weft_packet::addr::{EidPrefix, InstanceId, Nonce};
use weft_packet::lisp::{
    Action, Address, Encapsulated, Locator, MapReply, MapRequest, MappingRecord, Message, Ttl,
};
use weft_packet::wire::Wire;

use super::Itr;
use crate::engine::{self, Actions, Datagram, Instant, Punt, Random, Usage};
use crate::lisp::config;
use crate::lisp::event::{Event, Refusal};
use crate::lisp::local::Local;

pub(super) const MR1: &str = "198.51.100.1";
pub(super) const MR2: &str = "198.51.100.2";
const ETR: &str = "203.0.113.7";
const HOST: &str = "10.0.0.9";

/// A Map-Request the ITR sent.
#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    to: IpAddr,
    from: Option<IpAddr>,
    eid: EidPrefix,
    ecm: Encapsulated,
    request: MapRequest,
}

/// An ITR, its surroundings, and what it did so far.
struct Story {
    itr: Itr,
    local: Local,
    now: Instant,
    out: Actions,
    asked: Vec<Asked>,
    events: Vec<Event>,
    routes: BTreeMap<(EidKey, Source), Route>,
    /// Routes set, even if they were set already.
    set: Vec<EidPrefix>,
    groups: BTreeMap<GroupId, Vec<Path>>,
    carried: BTreeMap<EidPrefix, u64>,
    /// Map-Resolvers that answer at once, from these records.
    alive: BTreeSet<IpAddr>,
    records: Vec<MappingRecord>,
}

impl Story {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: config::Itr) -> Self {
        let mut out = Actions::default();
        let instances = [InstanceId::DEFAULT, InstanceId::new(7).unwrap()];
        let random = Random::new([1; 32]);
        let itr = Itr::new(settings, Encapsulation::Lisp, &instances, random, &mut out);
        let mut story = Self {
            itr,
            local: Local::new(vec![uplink(1, "192.0.2.1"), uplink(2, "2001:db8::1")]),
            now: Instant::START,
            out,
            asked: Vec::new(),
            events: Vec::new(),
            routes: BTreeMap::new(),
            set: Vec::new(),
            groups: BTreeMap::new(),
            carried: BTreeMap::new(),
            alive: BTreeSet::new(),
            records: Vec::new(),
        };
        story.absorb();
        story
    }

    /// From now on these Map-Resolvers answer from these records, and no others do.
    fn serve(&mut self, alive: &[&str], records: &[MappingRecord]) {
        self.alive = alive.iter().map(|a| ip(a)).collect();
        self.records = records.to_vec();
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut rounds = 0;
        while let Some(next) = self.itr.deadline().filter(|d| *d <= until) {
            rounds = if next > self.now { 0 } else { rounds + 1 };
            assert!(rounds < 1000, "time stands still at {}", self.now);
            self.now = self.now.max(next);
            self.itr.tick(self.now, &self.local, &mut self.out);
            self.absorb();
        }
        self.now = until;
    }

    fn pass_secs(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// A host sends a packet; gives back how it was forwarded.
    fn packet(&mut self, to: &str) -> Route {
        self.packet_in(0, to)
    }

    fn packet_in(&mut self, instance: u32, to: &str) -> Route {
        let destination = ip(to);
        let instance = InstanceId::new(instance).unwrap();
        let source = if destination.is_ipv6() { "2001:db8:aaaa::9" } else { HOST };
        let (eid, route) = self.lookup(instance, destination);
        if route == Route::Resolve {
            let punt = Punt { instance, source: ip(source), destination };
            self.itr.punt(self.now, punt, &self.local, &mut self.out);
            self.absorb();
        } else {
            *self.carried.entry(eid).or_default() += 1;
        }
        route
    }

    /// The model's longest match, and the best source's word on it.
    fn lookup(&self, instance: InstanceId, destination: IpAddr) -> (EidPrefix, Route) {
        let matches = |(key, _): &&(EidKey, Source)| {
            key.from.is_none()
                && key.eid.instance == instance
                && key.eid.prefix.contains(destination)
        };
        let best = self.routes.keys().filter(matches).max_by(|a, b| {
            a.0.eid.prefix.length().cmp(&b.0.eid.prefix.length()).then(b.1.cmp(&a.1))
        });
        let key = best.expect("there are defaults");
        (key.0.eid, self.routes[key])
    }

    /// The route to a destination in the default instance.
    fn route(&self, to: &str) -> Route {
        self.lookup(InstanceId::DEFAULT, ip(to)).1
    }

    /// The RLOCs a destination's packets may go to.
    fn rlocs(&self, to: &str) -> Vec<String> {
        let Route::Encapsulate(group) = self.route(to) else { return Vec::new() };
        let usable = self.groups[&group].iter().filter(|p| p.priority != 255);
        usable.map(|p| p.rloc.to_string()).collect()
    }

    /// What the map-cache holds.
    fn cached(&self) -> Vec<String> {
        let entries = self.itr.map_cache(self.now, None);
        entries.into_iter().filter(|e| e.learned.is_some()).map(|e| e.eid).collect()
    }

    /// The last Map-Request.
    fn last(&self) -> Asked {
        self.asked.last().expect("a Map-Request was sent").clone()
    }

    /// The site answers.
    fn answer(&mut self, asked: &Asked, records: &[MappingRecord]) -> bool {
        self.reply(asked.request.nonce, records)
    }

    fn reply(&mut self, nonce: Nonce, records: &[MappingRecord]) -> bool {
        let reply = MapReply { nonce, records: records.to_vec(), ..MapReply::default() };
        let from = datagram();
        let ours = self.itr.reply(self.now, from, reply, &self.local, &mut self.out);
        self.absorb();
        ours
    }

    fn refusals(&self) -> Vec<Refusal> {
        let reason = |e: &Event| match e {
            Event::Refused { reason, .. } => Some(*reason),
            _ => None,
        };
        self.events.iter().filter_map(reason).collect()
    }

    /// Carries out what the ITR wants, answers included, until it wants nothing more.
    fn absorb(&mut self) {
        loop {
            let actions = std::mem::take(&mut self.out.0);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    engine::Action::Send { to, bytes, from, .. } => self.sent(to, from, &bytes),
                    engine::Action::Forward(change) => self.forward(change),
                    engine::Action::AskUsage(eid) => {
                        let packets = self.carried.get(&eid).copied().unwrap_or_default();
                        let usage = Usage { packets, bytes: packets * 100 };
                        self.itr.used(self.now, eid, usage, &self.local, &mut self.out);
                    }
                    engine::Action::Notify(event) => self.events.push(event),
                    engine::Action::Store { .. } => panic!("an ITR stores nothing"),
                }
            }
        }
    }

    fn sent(&mut self, to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) {
        let message = Message::from_bytes(bytes).expect("what is sent can be read");
        let Message::Encapsulated(ecm) = message else { panic!("{message:?}") };
        let Message::MapRequest(request) = (*ecm.message).clone() else { panic!("{ecm:?}") };
        assert_eq!(to.port(), 4342);
        let eid = request.eids[0].eid.prefix().expect("an EID-prefix");
        let asked = Asked { at: self.now, to: to.ip(), from, eid, ecm, request };
        self.asked.push(asked.clone());
        if self.alive.contains(&to.ip()) {
            let matching = |r: &&MappingRecord| r.eid.prefix().unwrap().covers(asked.eid);
            let length = |r: &&MappingRecord| r.eid.mask_len;
            let best = self.records.iter().filter(matching).max_by_key(length).cloned();
            let reply = MapReply {
                nonce: asked.request.nonce,
                records: best.into_iter().collect(),
                ..MapReply::default()
            };
            self.itr.reply(self.now, datagram(), reply, &self.local, &mut self.out);
        }
    }

    fn forward(&mut self, change: Change) {
        match change {
            Change::SetRoute { key, source, route } => {
                if let Route::Encapsulate(group) = route {
                    assert!(self.groups.contains_key(&group), "route to a group that is not there");
                }
                self.set.push(key.eid);
                if self.routes.insert((key, source), route) != Some(route) {
                    self.carried.remove(&key.eid);
                }
            }
            Change::ClearRoute { key, source } => {
                let route = self.routes.remove(&(key, source));
                assert!(route.is_some(), "{key} was not there");
                self.carried.remove(&key.eid);
            }
            Change::SetGroup { id, paths } => {
                self.groups.insert(id, paths);
            }
            Change::ClearGroup { id } => {
                let named = self.routes.values().any(|r| *r == Route::Encapsulate(id));
                assert!(!named, "a route names the group that goes");
                assert!(self.groups.remove(&id).is_some(), "no such group");
            }
            other => panic!("not an ITR's business: {other:?}"),
        }
    }
}

fn settings() -> config::Itr {
    config::Itr { map_resolvers: vec![ip(MR1), ip(MR2)], ..config::Itr::default() }
}

fn datagram() -> Datagram<'static> {
    Datagram { from: SocketAddr::new(ip(ETR), 4342), to: ip("192.0.2.1"), bytes: &[] }
}

fn uplink(id: u16, rloc: &str) -> Uplink {
    Uplink {
        id: UplinkId(id),
        rloc: ip(rloc),
        interface: id.into(),
        mtu: 1500,
        priority: 1,
        weight: 1,
        up: true,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// `10.0.0.0/8`, or `7:10.0.0.0/8` in instance 7.
fn eid(text: &str) -> EidPrefix {
    let (instance, prefix) = match text.strip_prefix("7:") {
        Some(prefix) => (InstanceId::new(7).unwrap(), prefix),
        None => (InstanceId::DEFAULT, text),
    };
    EidPrefix::new(instance, prefix.parse().expect("a prefix"))
}

/// A site's record: minutes to live, locators of priority 1.
fn site(about: &str, minutes: u32, rlocs: &[&str]) -> MappingRecord {
    MappingRecord {
        eid: eid(about).into(),
        ttl: Ttl(minutes),
        action: Action::NoAction,
        authoritative: true,
        version: 0,
        locators: rlocs.iter().map(|rloc| locator(rloc, 1)).collect(),
    }
}

/// A record without locators.
fn negative(about: &str, minutes: u32, action: Action) -> MappingRecord {
    MappingRecord { action, authoritative: false, ..site(about, minutes, &[]) }
}

fn locator(rloc: &str, priority: u8) -> Locator {
    Locator { local: true, ..Locator::unicast(ip(rloc), priority, 100) }
}
