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
use super::map_server::rate::Rate;
use super::map_server::request::{TO_MAP_SERVER, check_encapsulated, flagged};
use super::map_server::{MapServer, Refused, Refusing};
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
    rate: Rate,
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
            rate: Rate::new(random.u64()),
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
        self.rate.set(per_second);
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
        if let Err(Refusing { eid, reason, detail }) = result {
            let (kind, detail) = ("ecm", format_args!("{detail}"));
            self.refused.add(now, kind, datagram.from, eid, reason, detail, out);
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
        if !self.rate.admit(datagram.from.ip(), now) {
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
