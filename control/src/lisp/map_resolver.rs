//! The Map-Resolver: takes Encapsulated Map-Requests from ITRs and finds who can answer them
//! (RFC 9301 §8.4). It never answers with authority and keeps no state of a request.
//!
//! Towards Map-Servers elsewhere it hears nothing back: answers go straight to the ITR. What it
//! can see is an ITR asking again. So requests go to the first Map-Server; the same question from
//! the same ITR within a few seconds goes to the next one; and a Map-Server after which several
//! different questions had to be repeated is passed over for a while.

use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use foldhash::fast::FixedState;
use serde::Serialize;
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::{Encapsulated, MapRequest};

use super::config::{self, Resolve};
use super::event::{Direction, Event, Refusal};
use super::map_server::request::{TO_MAP_SERVER, check_encapsulated, flagged};
use super::map_server::{Case, MapServer, Refused, Refusing};
use super::rate::{Limiter, REQUESTS_PER_SECOND, Rate, network};
use crate::engine::{Action, Actions, Datagram, Instant, Random};

/// A Map-Resolver.
#[derive(Debug)]
pub struct MapResolver {
    config: config::MapResolver,
    asked: Vec<Asked>,
    hasher: FixedState,
    /// For each Map-Server of the configuration.
    servers: Vec<Server>,
    refused: Refused,
    requests: Limiter,
    counters: Counters,
    trace: bool,
}

/// What was asked lately, in a place its hash gives; a later question takes the place.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    hash: u64,
    at: Instant,
    /// The Map-Server it went to.
    server: usize,
}

/// What is thought of a Map-Server.
#[derive(Clone, Copy, Debug, Default)]
struct Server {
    /// Questions repeated after going to it, and since when they are counted.
    repeated: u32,
    since: Instant,
    /// Passed over until then.
    suspect_until: Option<Instant>,
}

/// How much was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counters {
    /// Encapsulated messages that came in.
    pub encapsulated: u64,
    /// Handed to the Map-Server in this process.
    pub local: u64,
    /// Forwarded to Map-Servers elsewhere.
    pub forwarded: u64,
    /// Of these, to another one than the time before.
    pub failed_over: u64,
}

/// The Map-Resolver as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MapResolverStatus {
    /// `local` or `map-servers`.
    pub resolve: &'static str,
    /// Where requests go, in order of preference.
    pub map_servers: Vec<MapServerChoice>,
    /// Since the start.
    pub counters: Counters,
    /// Refusals by reason, only those seen.
    pub refused: Vec<(&'static str, u64)>,
}

/// A Map-Server requests may go to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MapServerChoice {
    /// Where.
    pub address: String,
    /// Passed over for now, because questions sent to it were repeated.
    pub suspect: bool,
}

impl MapResolver {
    /// With nothing asked yet.
    pub fn new(config: config::MapResolver, mut random: Random) -> Self {
        let mut resolver = Self {
            asked: vec![Asked::default(); REMEMBERED],
            hasher: FixedState::with_seed(random.u64()),
            servers: Vec::new(),
            refused: Refused::default(),
            requests: Limiter::new(Rate::per_second(REQUESTS_PER_SECOND), &mut random),
            counters: Counters::default(),
            trace: false,
            config,
        };
        resolver.forget_servers();
        resolver
    }

    /// Goes on under another configuration.
    pub fn reconfigure(&mut self, config: config::MapResolver) {
        if config != self.config {
            self.config = config;
            self.forget_servers();
        }
    }

    /// Tells of every message, in and out, from now on; or no longer.
    pub fn set_trace(&mut self, trace: bool) {
        self.trace = trace;
    }

    /// Sets how many Map-Requests a second a source (a /24 or /48) may send; `None`: any number.
    pub fn set_request_limit(&mut self, per_second: Option<u32>) {
        self.requests.set(per_second.map(Rate::per_second));
    }

    /// Takes an Encapsulated Control Message; `map_server` is the one in this process, if any.
    pub fn encapsulated(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        message: &Encapsulated,
        map_server: Option<&mut MapServer>,
        out: &mut Actions,
    ) {
        self.counters.encapsulated += 1;
        let result = match (&self.config.resolve, map_server) {
            (Resolve::Local, Some(map_server)) => {
                self.counters.local += 1;
                let ttl = self.config.negative_ttl;
                return map_server.encapsulated(now, datagram, message, ttl, out);
            }
            (Resolve::Local, None) => {
                Err(Refusing::new(Refusal::NotForUs, None, "no Map-Server here to ask"))
            }
            (Resolve::MapServers(_), _) => self.forward(now, datagram, message, out),
        };
        if let Err(refusing) = result {
            self.refused.add(Case::new(now, "ecm", datagram.from, refusing), out);
        }
    }

    /// What was refused, and why.
    pub fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Totals and counters.
    pub fn status(&self, now: Instant) -> MapResolverStatus {
        let addresses = match &self.config.resolve {
            Resolve::Local => [].as_slice(),
            Resolve::MapServers(addresses) => addresses,
        };
        let choice = |(address, server): (&SocketAddr, &Server)| MapServerChoice {
            address: address.to_string(),
            suspect: server.suspect(now),
        };
        MapResolverStatus {
            resolve: if self.config.resolve == Resolve::Local { "local" } else { "map-servers" },
            map_servers: addresses.iter().zip(&self.servers).map(choice).collect(),
            counters: self.counters,
            refused: self.refused.counts().map(|(reason, n)| (reason.word(), n)).collect(),
        }
    }

    fn forward(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        message: &Encapsulated,
        out: &mut Actions,
    ) -> Result<(), Refusing> {
        let request = check_encapsulated(message)?;
        let eid = request.eids.first().and_then(|asked| asked.eid.prefix());
        let refusing = |reason, detail: &str| Err(Refusing::new(reason, eid, detail));
        if message.to_map_server {
            return refusing(Refusal::Inconsistent, "forwarded by a Map-Resolver already");
        }
        if request.probe {
            return refusing(Refusal::ProbeNotAllowed, "");
        }
        if !self.requests.admit(network(datagram.from.ip()), now) {
            return refusing(Refusal::RateLimited, "");
        }
        let Some(eid) = eid else { return refusing(Refusal::UnsupportedEid, "") };
        let Some(to) = self.choose(now, datagram.from.ip(), eid) else {
            return refusing(Refusal::NotForUs, "no Map-Servers configured");
        };
        self.counters.forwarded += 1;
        self.traced(datagram.from, to, eid, request, out);
        let bytes = flagged(datagram.bytes, TO_MAP_SERVER);
        out.0.push(Action::Send { from: None, uplink: None, to, bytes });
        Ok(())
    }

    /// The Map-Server for a question: another one than before when it is repeated.
    fn choose(&mut self, now: Instant, itr: IpAddr, eid: EidPrefix) -> Option<SocketAddr> {
        let hash = self.hasher.hash_one((itr, eid)).max(1);
        let places = u64::try_from(self.asked.len()).unwrap_or(1).max(1);
        let place = usize::try_from(hash % places).unwrap_or(0);
        let before = self.asked.get(place).copied().unwrap_or_default();
        let repeated = before.hash == hash && now.since(before.at) < REPEATED_WITHIN;
        if repeated && let Some(server) = self.servers.get_mut(before.server) {
            self.counters.failed_over += 1;
            server.disappoint(now);
        }
        let first = if repeated { before.server + 1 } else { 0 };
        let server = self.trusted(now, first)?;
        if let Some(asked) = self.asked.get_mut(place) {
            *asked = Asked { hash, at: now, server };
        }
        match &self.config.resolve {
            Resolve::MapServers(addresses) => addresses.get(server).copied(),
            Resolve::Local => None,
        }
    }

    /// The first Map-Server from `first` on, in a circle, that is not suspect; `first` itself if
    /// all are.
    fn trusted(&self, now: Instant, first: usize) -> Option<usize> {
        let count = self.servers.len();
        let mut circle = (0..count).map(|step| (first + step) % count);
        circle
            .clone()
            .find(|at| self.servers.get(*at).is_some_and(|server| !server.suspect(now)))
            .or_else(|| circle.next())
    }

    fn traced(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        eid: EidPrefix,
        request: &MapRequest,
        out: &mut Actions,
    ) {
        if self.trace {
            let kind = "map-request";
            for (direction, peer) in [(Direction::In, from), (Direction::Out, to)] {
                let detail = format!("nonce {}", request.nonce);
                out.notify(Event::Message { direction, kind, peer, eid: Some(eid), detail });
            }
        }
    }

    fn forget_servers(&mut self) {
        let count = match &self.config.resolve {
            Resolve::Local => 0,
            Resolve::MapServers(addresses) => addresses.len(),
        };
        self.servers = vec![Server::default(); count];
        self.asked.fill(Asked::default());
    }
}

impl Server {
    fn suspect(&self, now: Instant) -> bool {
        self.suspect_until.is_some_and(|until| now < until)
    }

    /// A question that went to it was repeated.
    fn disappoint(&mut self, now: Instant) {
        if self.repeated == 0 || now.since(self.since) >= COUNTED_FOR {
            (self.repeated, self.since) = (0, now);
        }
        self.repeated += 1;
        if self.repeated >= DISAPPOINTMENTS {
            self.repeated = 0;
            self.suspect_until = Some(now + PASSED_OVER);
        }
    }
}

/// Questions remembered to see them repeated.
const REMEMBERED: usize = 4096;
/// ITRs repeat a question after one second, then after longer; this covers the first few.
const REPEATED_WITHIN: Duration = Duration::from_secs(5);
/// Repeated questions until a Map-Server is suspect, and in which time.
const DISAPPOINTMENTS: u32 = 3;
const COUNTED_FOR: Duration = Duration::from_secs(10);
/// How long a suspect is passed over.
const PASSED_OVER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Stored;
    use weft_packet::addr::{InstanceId, Nonce, Prefix};
    use weft_packet::lisp::{Address, MapReply, Message, RequestedEid};
    use weft_packet::wire::Wire;

    const ITR: &str = "198.51.100.1:40000";

    fn at(seconds: u64) -> Instant {
        Instant::after_start(Duration::from_secs(seconds))
    }

    fn eid(host: &str) -> EidPrefix {
        EidPrefix::new(InstanceId::DEFAULT, Prefix::host(host.parse().unwrap()))
    }

    fn asking(host: &str) -> Encapsulated {
        let request = MapRequest {
            nonce: Nonce(7),
            itr_rlocs: vec![Address::Ip("198.51.100.1".parse().unwrap())],
            eids: vec![RequestedEid { subscribe: false, eid: eid(host).into() }],
            ..MapRequest::default()
        };
        Encapsulated {
            ddt: true,
            ..Encapsulated::new(
                "198.51.100.1:50000".parse().unwrap(),
                SocketAddr::new(host.parse().unwrap(), 4342),
                Message::MapRequest(request),
            )
        }
    }

    fn resolver(map_servers: &[&str]) -> MapResolver {
        let servers = map_servers.iter().map(|server| server.parse().unwrap()).collect();
        let resolve =
            if map_servers.is_empty() { Resolve::Local } else { Resolve::MapServers(servers) };
        let negative_ttl = Duration::from_hours(1);
        MapResolver::new(config::MapResolver { resolve, negative_ttl }, Random::new([1; 32]))
    }

    /// Delivers `message`; gives back what was done.
    fn deliver(
        resolver: &mut MapResolver,
        seconds: u64,
        message: &Encapsulated,
        server: Option<&mut MapServer>,
    ) -> Vec<Action> {
        let (bytes, mut out) = (message.to_bytes(), Actions::default());
        let to = "192.0.2.253".parse().unwrap();
        let datagram = Datagram { from: ITR.parse().unwrap(), to, bytes: &bytes };
        resolver.encapsulated(at(seconds), datagram, message, server, &mut out);
        out.0
    }

    /// Asks at this second; the Map-Server the question went to.
    fn ask(resolver: &mut MapResolver, seconds: u64, host: &str) -> String {
        match deliver(resolver, seconds, &asking(host), None).as_slice() {
            [Action::Send { to, .. }] => to.to_string(),
            other => panic!("forwarded once, not {other:?}"),
        }
    }

    fn refusal(actions: &[Action]) -> Option<Refusal> {
        actions.iter().find_map(|action| match action {
            Action::Notify(Event::Refused { reason, .. }) => Some(*reason),
            _ => None,
        })
    }

    const TWO: [&str; 2] = ["192.0.2.1:4342", "192.0.2.2:4342"];

    #[test]
    fn local_map_server_answers_with_our_negative_ttl() {
        let config = config::MapServer::default();
        let (stored, mut out) = (Stored::new(), Actions::default());
        let mut server = MapServer::new(at(0), config, Random::new([2; 32]), &stored, &mut out);
        let mut resolver = resolver(&[]);
        let did = deliver(&mut resolver, 1, &asking("10.0.0.1"), Some(&mut server));
        let [Action::Send { to, bytes, .. }] = did.as_slice() else { panic!("one datagram") };
        assert_eq!(*to, "198.51.100.1:50000".parse().unwrap());
        let reply = MapReply::from_bytes(bytes).unwrap();
        assert_eq!(reply.records[0].ttl.0, 60);
        assert!(!reply.records[0].authoritative);

        let did = deliver(&mut resolver, 1, &asking("10.0.0.1"), None);
        assert_eq!(refusal(&did), Some(Refusal::NotForUs));
    }

    #[test]
    fn forwards_unchanged_but_marked_for_a_map_server() {
        let mut resolver = resolver(&TWO);
        let came = asking("10.0.0.1");
        let did = deliver(&mut resolver, 1, &came, None);
        let [Action::Send { to, bytes, .. }] = did.as_slice() else { panic!("one datagram") };
        assert_eq!(*to, "192.0.2.1:4342".parse().unwrap());
        let passed = Encapsulated::from_bytes(bytes).unwrap();
        assert_eq!(passed, Encapsulated { ddt: false, to_map_server: true, ..came.clone() });
        assert_eq!(bytes[1..], came.to_bytes()[1..]);
    }

    #[test]
    fn repeated_question_goes_to_the_next_map_server() {
        let mut resolver = resolver(&TWO);
        assert_eq!(ask(&mut resolver, 1, "10.0.0.1"), TWO[0]);
        assert_eq!(ask(&mut resolver, 2, "10.0.0.1"), TWO[1]);
        assert_eq!(ask(&mut resolver, 4, "10.0.0.1"), TWO[0], "and round again");
        assert_eq!(ask(&mut resolver, 4, "10.0.0.2"), TWO[0], "another question");
        assert_eq!(ask(&mut resolver, 60, "10.0.0.1"), TWO[0], "a refresh, not a repetition");
        assert_eq!(resolver.status(at(60)).counters.failed_over, 2);
    }

    #[test]
    fn map_server_that_stays_silent_is_passed_over_for_a_while() {
        let mut resolver = resolver(&TWO);
        for (second, server) in [(10, TWO[0]), (11, TWO[1])] {
            for host in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
                assert_eq!(ask(&mut resolver, second, host), server);
            }
        }
        assert_eq!(ask(&mut resolver, 12, "10.0.0.4"), TWO[1]);
        assert!(resolver.status(at(12)).map_servers[0].suspect);
        assert_eq!(ask(&mut resolver, 50, "10.0.0.5"), TWO[0], "tried again");
    }

    #[test]
    fn only_one_map_server_is_asked_whatever_happens() {
        let mut resolver = resolver(&TWO[..1]);
        for second in 1..20 {
            assert_eq!(ask(&mut resolver, second, "10.0.0.1"), TWO[0]);
        }
    }

    #[test]
    fn goes_round_in_no_circle() {
        let mut resolver = resolver(&TWO);
        let circling = Encapsulated { to_map_server: true, ..asking("10.0.0.1") };
        let did = deliver(&mut resolver, 1, &circling, None);
        assert_eq!(refusal(&did), Some(Refusal::Inconsistent));
        let for_etr = Encapsulated { to_etr: true, ..asking("10.0.0.1") };
        let did = deliver(&mut resolver, 1, &for_etr, None);
        assert_eq!(refusal(&did), Some(Refusal::NotForUs));
        assert_eq!(resolver.refused().count(Refusal::Inconsistent), 1);
    }

    #[test]
    fn source_that_asks_too_much_is_slowed() {
        let mut resolver = resolver(&TWO);
        resolver.set_request_limit(Some(3));
        let sent = (0..10)
            .filter(|_| refusal(&deliver(&mut resolver, 1, &asking("10.0.0.1"), None)).is_none())
            .count();
        assert_eq!(sent, 3);
    }

    #[test]
    fn other_map_servers_after_a_reconfiguration() {
        let mut resolver = resolver(&TWO);
        ask(&mut resolver, 1, "10.0.0.1");
        let servers = vec!["192.0.2.9:4342".parse().unwrap()];
        let resolve = Resolve::MapServers(servers);
        resolver.reconfigure(config::MapResolver { resolve, ..resolver.config.clone() });
        assert_eq!(ask(&mut resolver, 2, "10.0.0.1"), "192.0.2.9:4342");
    }
}
