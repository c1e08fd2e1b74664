//! The Map-Server as its peers see it: octets in, octets out, in virtual time.

mod load;
mod merging;
mod negative;
mod notifying;
mod registering;
mod replaying;
mod requesting;
mod restarting;
mod showing;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use weft_packet::addr::{EidPrefix, InstanceId, Nonce, SiteId, XtrId};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::{
    Address, Algorithm, Authentication, Encapsulated, Locator, MapNotify, MapRegister, MapReply,
    MapRequest, MappingRecord, Message, RequestedEid, Ttl,
};
use weft_packet::wire::Wire;

use super::MapServer;
use crate::engine::{Action, Actions, Datagram, Instant, Random, Stored};
use crate::lisp::config;
use crate::lisp::event::{Event, Refusal};

/// What both ends of every site here know.
pub(super) const KEY: &[u8] = b"secret";
/// Where the Map-Server is.
pub(super) const MS: &str = "192.0.2.253";
/// Where Map-Requests come from.
pub(super) const ITR: &str = "198.51.100.1";

/// A Map-Server, its clock and its disk.
pub(super) struct World {
    pub(super) server: MapServer,
    pub(super) now: Instant,
    pub(super) disk: Stored,
    nonce: u64,
}

/// What the Map-Server did.
#[derive(Debug, Default)]
pub(super) struct Did {
    pub(super) actions: Vec<Action>,
}

impl World {
    pub(super) fn new(config: config::MapServer) -> Self {
        let mut world = Self {
            server: MapServer::new(
                Instant::START,
                config::MapServer::default(),
                Random::new([1; 32]),
                &Stored::new(),
                &mut Actions::default(),
            ),
            now: Instant::START,
            disk: Stored::new(),
            nonce: 1000,
        };
        world.restart(config);
        world
    }

    /// One site, `site1`, with these EID-prefixes.
    pub(super) fn with_site(prefixes: &[&str], change: impl FnOnce(&mut config::Site)) -> Self {
        let mut site = site("site1", prefixes);
        change(&mut site);
        Self::new(servers(vec![site]))
    }

    /// Ends without a word and starts with what is on disk.
    pub(super) fn restart(&mut self, config: config::MapServer) -> Did {
        let mut out = Actions::default();
        let random = Random::new([2; 32]);
        self.server = MapServer::new(self.now, config, random, &self.disk, &mut out);
        self.done(out)
    }

    pub(super) fn config(&self) -> config::MapServer {
        self.server.config.clone()
    }

    /// A fresh nonce, higher than those before.
    pub(super) fn nonce(&mut self) -> Nonce {
        self.nonce += 1;
        Nonce(self.nonce)
    }

    /// Registers these records from `from` with M set.
    pub(super) fn register(&mut self, from: &str, records: Vec<MappingRecord>) -> Did {
        let message = self.registering(records);
        self.send_register(from, &message, KEY)
    }

    /// A Map-Register with M and a fresh nonce, still to be signed.
    pub(super) fn registering(&mut self, records: Vec<MappingRecord>) -> MapRegister {
        MapRegister {
            want_notify: true,
            nonce: self.nonce(),
            authentication: Authentication::unsigned(0, Algorithm::HmacSha256, true),
            records,
            ..MapRegister::default()
        }
    }

    /// Signs and delivers a Map-Register.
    pub(super) fn send_register(&mut self, from: &str, message: &MapRegister, key: &[u8]) -> Did {
        self.deliver_register(from, &signed_register(message, key))
    }

    /// Delivers the octets of a Map-Register.
    pub(super) fn deliver_register(&mut self, from: &str, bytes: &[u8]) -> Did {
        let message = MapRegister::from_bytes(bytes).expect("what we encoded");
        let mut out = Actions::default();
        self.server.register(self.now, datagram(from, bytes), message, &mut out);
        self.done(out)
    }

    /// Asks for one EID in an ECM, as a Map-Resolver passes it on.
    pub(super) fn ask(&mut self, eid: &str) -> Did {
        let request = self.asking(&[eid]);
        self.send_request(&request)
    }

    /// A Map-Request of an ITR.
    pub(super) fn asking(&mut self, eids: &[&str]) -> MapRequest {
        let requested = |eid: &&str| RequestedEid { subscribe: false, eid: self::eid(eid).into() };
        MapRequest {
            nonce: self.nonce(),
            itr_rlocs: vec![Address::Ip(ip(ITR))],
            eids: eids.iter().map(requested).collect(),
            ..MapRequest::default()
        }
    }

    /// Delivers a Map-Request in an ECM; the ITR's port is 50000.
    pub(super) fn send_request(&mut self, request: &MapRequest) -> Did {
        let message = encapsulated(request);
        let bytes = message.to_bytes();
        let mut out = Actions::default();
        let from = datagram(ITR, &bytes);
        self.server.encapsulated(self.now, from, &message, NEGATIVE_TTL, &mut out);
        self.done(out)
    }

    /// Delivers a Map-Request that came by itself.
    pub(super) fn send_plain_request(&mut self, from: &str, request: &MapRequest) -> Did {
        let bytes = request.to_bytes();
        let mut out = Actions::default();
        self.server.request(self.now, datagram(from, &bytes), request, &mut out);
        self.done(out)
    }

    /// Signs and delivers a Map-Notify-Ack.
    pub(super) fn acknowledge(&mut self, from: &str, notify: &MapNotify, key: &[u8]) -> Did {
        let ack = MapNotify {
            kind: weft_packet::lisp::NotifyKind::Ack,
            authentication: Authentication::unsigned(0, Algorithm::HmacSha256, true),
            ..notify.clone()
        };
        let mut bytes = ack.to_bytes();
        auth::sign(&mut bytes, Purpose::MapNotifyAck, Algorithm::HmacSha256, key, true);
        let mut out = Actions::default();
        self.server.ack(self.now, datagram(from, &bytes), &ack, &mut out);
        self.done(out)
    }

    /// Lets time pass, ticking whenever the Map-Server wants to be.
    pub(super) fn pass(&mut self, time: Duration) -> Did {
        let end = self.now + time;
        let mut out = Actions::default();
        while let Some(deadline) = self.server.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.server.tick(self.now, &mut out);
        }
        self.now = end;
        self.server.tick(self.now, &mut out);
        self.done(out)
    }

    pub(super) fn reconfigure(&mut self, config: config::MapServer) -> Did {
        let mut out = Actions::default();
        self.server.reconfigure(self.now, config, &mut out);
        self.done(out)
    }

    pub(super) fn refused(&self, reason: Refusal) -> u64 {
        self.server.refused().count(reason)
    }

    /// The locators answered for an EID, as text.
    pub(super) fn locators(&self, eid: &str) -> Vec<String> {
        let mapping = self.server.mapping(self.now, self::eid(eid));
        mapping.map_or_else(Vec::new, |mapping| {
            mapping.locators.into_iter().map(|locator| locator.rloc).collect()
        })
    }

    /// Writes what is to be stored, in order.
    pub(super) fn done(&mut self, out: Actions) -> Did {
        for action in &out.0 {
            match action {
                Action::Store { key, value: Some(value) } => {
                    self.disk.insert(key.clone(), value.clone());
                }
                Action::Store { key, value: None } => {
                    self.disk.remove(key);
                }
                _ => {}
            }
        }
        Did { actions: out.0 }
    }
}

impl Did {
    /// What was sent: to whom and what.
    pub(super) fn sent(&self) -> Vec<(SocketAddr, Message)> {
        let sent = |action: &Action| match action {
            Action::Send { to, bytes, .. } => {
                Some((*to, Message::from_bytes(bytes).expect("we send what can be read")))
            }
            _ => None,
        };
        self.actions.iter().filter_map(sent).collect()
    }

    /// The octets of the only datagram sent.
    pub(super) fn only_bytes(&self) -> &[u8] {
        let mut sent = self.actions.iter().filter_map(|action| match action {
            Action::Send { bytes, .. } => Some(bytes),
            _ => None,
        });
        let bytes = sent.next().expect("something was sent");
        assert!(sent.next().is_none(), "only one datagram");
        bytes
    }

    /// The only message sent, a Map-Notify.
    pub(super) fn notify(&self) -> (SocketAddr, MapNotify) {
        match self.sent().as_slice() {
            [(to, Message::MapNotify(notify))] => (*to, notify.clone()),
            other => panic!("a Map-Notify, not {other:?}"),
        }
    }

    /// All Map-Notifies sent, to whom.
    pub(super) fn notified(&self) -> Vec<(IpAddr, MapNotify)> {
        let notify = |(to, message): (SocketAddr, Message)| match message {
            Message::MapNotify(notify) => Some((to.ip(), notify)),
            _ => None,
        };
        self.sent().into_iter().filter_map(notify).collect()
    }

    /// The only message sent, a Map-Reply.
    pub(super) fn reply(&self) -> (SocketAddr, MapReply) {
        match self.sent().as_slice() {
            [(to, Message::MapReply(reply))] => (*to, reply.clone()),
            other => panic!("a Map-Reply, not {other:?}"),
        }
    }

    /// The only message sent, an ECM, and to whom.
    pub(super) fn passed_on(&self) -> (SocketAddr, Encapsulated) {
        match self.sent().as_slice() {
            [(to, Message::Encapsulated(message))] => (*to, message.clone()),
            other => panic!("an ECM, not {other:?}"),
        }
    }

    /// The only record of the only Map-Reply.
    pub(super) fn record(&self) -> MappingRecord {
        let (_, reply) = self.reply();
        let [record] = reply.records.as_slice() else { panic!("one record in {reply:?}") };
        record.clone()
    }

    pub(super) fn events(&self) -> Vec<&Event> {
        let mut events = Vec::new();
        for action in &self.actions {
            if let Action::Notify(event) = action {
                events.push(event);
            }
        }
        events
    }

    /// `what` and EID-prefix of every change of a site told.
    pub(super) fn site_changes(&self) -> Vec<String> {
        let change = |event: &&Event| match event {
            Event::SiteChanged { eid, what, .. } => Some(format!("{what} {eid}")),
            _ => None,
        };
        self.events().iter().filter_map(change).collect()
    }

    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let refusal = |event: &&Event| match event {
            Event::Refused { reason, .. } => Some(*reason),
            _ => None,
        };
        self.events().iter().filter_map(refusal).collect()
    }

    pub(super) fn stores(&self) -> usize {
        self.actions.iter().filter(|action| matches!(action, Action::Store { .. })).count()
    }
}

pub(super) const NEGATIVE_TTL: Duration = Duration::from_mins(15);

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// `10.0.0.0/8`, `[7]10.0.0.0/8`, or an address for its host prefix.
pub(super) fn eid(text: &str) -> EidPrefix {
    let (instance, prefix) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((instance, prefix)) => (instance.parse().expect("an instance"), prefix),
        None => (0, text),
    };
    let instance = InstanceId::new(instance).expect("24 bits");
    EidPrefix::new(instance, prefix.parse().expect("a prefix"))
}

pub(super) fn site(name: &str, prefixes: &[&str]) -> config::Site {
    config::Site {
        name: name.to_owned(),
        eid_prefixes: prefixes.iter().map(|text| eid(text)).collect(),
        accept_more_specifics: false,
        keys: vec![(0, config::Secret::new(KEY))],
        algorithms: vec![Algorithm::HmacSha256],
        proxy_reply: false,
        merge: false,
        replay: config::Replay::Auto,
        allowed_rlocs: Vec::new(),
        allowed_itrs: Vec::new(),
        max_mappings: 10_000,
    }
}

pub(super) fn servers(sites: Vec<config::Site>) -> config::MapServer {
    config::MapServer { sites, ..config::MapServer::default() }
}

/// A record that lives a day.
pub(super) fn record(prefix: &str, rlocs: &[&str]) -> MappingRecord {
    MappingRecord {
        eid: eid(prefix).into(),
        ttl: Ttl(1440),
        action: weft_packet::lisp::Action::NoAction,
        authoritative: true,
        version: 0,
        locators: rlocs.iter().map(|rloc| locator(rloc)).collect(),
    }
}

/// A record that withdraws.
pub(super) fn withdrawal(prefix: &str) -> MappingRecord {
    MappingRecord { ttl: Ttl::REMOVE, ..record(prefix, &[]) }
}

pub(super) fn locator(rloc: &str) -> Locator {
    Locator { local: true, ..Locator::unicast(ip(rloc), 1, 100) }
}

pub(super) fn named(number: u8) -> (XtrId, SiteId) {
    (XtrId([number; 16]), SiteId(1))
}

pub(super) fn datagram<'a>(from: &str, bytes: &'a [u8]) -> Datagram<'a> {
    let from = from.parse().unwrap_or_else(|_| SocketAddr::new(ip(from), 40_000));
    let to = if from.is_ipv6() { ip("2001:db8::253") } else { ip(MS) };
    Datagram { from, to, bytes }
}

pub(super) fn signed_register(message: &MapRegister, key: &[u8]) -> Vec<u8> {
    let Authentication { algorithm, ref data, .. } = message.authentication;
    let mut bytes = message.to_bytes();
    let full = data.len() == algorithm.mac_len(true);
    auth::sign(&mut bytes, Purpose::MapRegister, algorithm, key, full);
    bytes
}

pub(super) fn encapsulated(request: &MapRequest) -> Encapsulated {
    let asked = request.eids.first().and_then(|asked| asked.eid.prefix());
    let destination = asked.map_or(ip(MS), |eid| eid.prefix.address());
    Encapsulated::new(
        SocketAddr::new(ip(ITR), 50_000),
        SocketAddr::new(destination, 4342),
        Message::MapRequest(request.clone()),
    )
}
