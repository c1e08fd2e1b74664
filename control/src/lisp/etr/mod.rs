//! The Egress Tunnel Router: says which EID-prefixes are here, and answers for them.
//!
//! It keeps the site's mappings as its uplinks make them, registers them with every Map-Server
//! independently, answers Map-Requests and RLOC-probes, and solicits Map-Requests from those that
//! use a mapping that changed (RFC 9301 §5.5 to §5.7, §6.1, §7.1, §8.2).

mod answer;
mod database;
mod map_register;
mod nonces;
mod registration;
mod solicit;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use weft_fib::{Change, Route, Source};
use weft_packet::addr::{EidPrefix, SiteId, XtrId};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::{MapNotify, Message};

use super::config;
use super::dispatch::refuse;
use super::event::{Direction, Refusal};
use super::local::Local;
use super::rate::{Bucket, Rate};
use super::trace;
use crate::engine::{Actions, Datagram, Instant, Random, Stored, Traffic};
use answer::Answers;
use database::Database;
use map_register::Registrant;
use nonces::Nonces;
use registration::Registration;
use solicit::Solicitor;

pub use answer::Question;
pub use nonces::FLOOR_KEY;
pub use registration::{Progress, RegistrationStatus};
pub use status::{MappingStatus, Status};

/// Names this router in registrations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// This xTR.
    pub xtr_id: XtrId,
    /// Its site.
    pub site_id: SiteId,
}

/// The ETR.
#[derive(Debug)]
pub struct Etr {
    config: config::Etr,
    identity: Identity,
    database: Database,
    nonces: Nonces,
    registrations: Vec<Registration>,
    answers: Answers,
    solicitor: Solicitor,
    /// How often changes were announced lately.
    changes: Bucket,
    /// When changes held back will be announced, and of which EID-prefixes.
    announce_at: Option<Instant>,
    held_back: BTreeSet<EidPrefix>,
    random: Random,
    trace: bool,
}

impl Etr {
    /// Claims the EID-prefixes and starts registering them.
    pub fn new(
        now: Instant,
        config: config::Etr,
        identity: Identity,
        local: &Local,
        mut random: Random,
        stored: &Stored,
        out: &mut Actions,
    ) -> Self {
        let mut etr = Self {
            database: Database::new(&config.database, local),
            registrations: Vec::new(),
            identity,
            nonces: Nonces::new(stored),
            answers: Answers::new(&mut random),
            solicitor: Solicitor::default(),
            changes: Bucket::default(),
            announce_at: None,
            held_back: BTreeSet::new(),
            random,
            config,
            trace: false,
        };
        for (eid, _) in etr.database.iter() {
            out.forward(Change::SetRoute {
                key: eid.into(),
                source: Source::Local,
                route: Route::Local,
            });
        }
        etr.registrations = etr.registrants().into_iter().map(Registration::new).collect();
        etr.announce(now);
        etr.tick(now, local, out);
        etr
    }

    /// Who is registered with, and how.
    fn registrants(&self) -> Vec<Registrant> {
        let registrant = |server: &config::EtrMapServer| Registrant {
            server: server.clone(),
            xtr_id: self.identity.xtr_id,
            site_id: self.identity.site_id,
            interval: self.config.register_interval.max(SHORTEST_INTERVAL),
        };
        self.config.map_servers.iter().map(registrant).collect()
    }

    /// True when `eid` lies in one of ours.
    pub fn holds(&self, eid: EidPrefix) -> bool {
        self.database.best(eid).is_some()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        let start = out.0.len();
        if self.announce_at.is_some_and(|at| at <= now) {
            self.changes.take(CHANGES, now);
            let eids: Vec<_> = std::mem::take(&mut self.held_back).into_iter().collect();
            self.solicitor.changed(now, &eids, &self.config.proxy_itrs, &mut self.random);
            self.announce(now);
        }
        for registration in &mut self.registrations {
            registration.tick(now, local, &mut self.nonces, &mut self.random, out);
        }
        if self.announce_at.is_none() && self.registrations.iter().all(Registration::settled) {
            self.solicitor.release();
        }
        self.solicitor.tick(now, local, out);
        self.told(start, out);
    }

    /// Tells of the messages sent since `start`, if that is wanted.
    fn told(&self, start: usize, out: &mut Actions) {
        if self.trace {
            trace::sent(start, out);
        }
    }

    /// Tells of a message that came, if that is wanted.
    fn received(&self, from: SocketAddr, message: impl FnOnce() -> Message, out: &mut Actions) {
        if self.trace {
            out.notify(trace::summary(&message()).event(Direction::In, from));
        }
    }

    /// Tells of every message, in and out, from now on; or no longer.
    pub fn set_trace(&mut self, on: bool) {
        self.trace = on;
    }

    /// When [`Self::tick`] is due.
    pub fn deadline(&mut self) -> Option<Instant> {
        let registrations = self.registrations.iter_mut().filter_map(Registration::deadline);
        let first = registrations.min();
        [first, self.announce_at, self.solicitor.deadline()].into_iter().flatten().min()
    }

    /// A Map-Notify came. It acknowledges a registration, or tells something new and is
    /// acknowledged itself.
    pub fn notify(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        notify: &MapNotify,
        local: &Local,
        out: &mut Actions,
    ) {
        self.received(datagram.from, || Message::MapNotify(notify.clone()), out);
        let start = out.0.len();
        if let Err(reason) = self.notified(now, datagram, notify, local, out) {
            let eid = notify.records.iter().find_map(|r| r.eid.prefix());
            refuse("map-notify", datagram.from, eid, reason, String::new(), out);
        }
        self.told(start, out);
        self.tick(now, local, out);
    }

    fn notified(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        notify: &MapNotify,
        local: &Local,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        let from = datagram.from.ip();
        let of_sender = |r: &&mut Registration| r.registrant.server.address == from;
        let registration =
            self.registrations.iter_mut().find(of_sender).ok_or(Refusal::NotForUs)?;
        let server = &registration.registrant.server;
        if notify.authentication.algorithm != server.algorithm {
            return Err(Refusal::Algorithm);
        }
        auth::verify(datagram.bytes, Purpose::MapNotify, server.key.expose())
            .map_err(|_| Refusal::WrongKey)?;
        if !registration.acknowledge(now, notify.nonce, out) {
            registration.registrant.send_ack(notify, local.way_from(datagram.to), out);
        }
        Ok(())
    }

    /// A Map-Request came, directly or through the mapping system.
    pub fn request(
        &mut self,
        now: Instant,
        question: Question<'_>,
        local: &Local,
        out: &mut Actions,
    ) {
        let request = question.request;
        self.received(question.source, || Message::MapRequest(request.clone()), out);
        let start = out.0.len();
        if request.smr_invoked {
            self.solicitor.invoked(request);
        }
        if request.no_reply {
            return;
        }
        let (database, proxy) = (&self.database, self.config.proxy);
        let answered = if request.probe {
            self.answers.probe(now, question, database, proxy, local, out)
        } else {
            self.answers.reply(now, question, database, local, out)
        };
        if let Err(reason) = answered {
            let kind = if request.probe { "rloc-probe" } else { "map-request" };
            let eid = request.eids.iter().find_map(|e| e.eid.prefix());
            refuse(kind, question.source, eid, reason, String::new(), out);
        }
        self.told(start, out);
    }

    /// Packets went between our uplinks and these RLOCs.
    pub fn traffic(&mut self, now: Instant, pairs: &[Traffic]) {
        self.solicitor.traffic(now, pairs);
    }

    /// The uplinks, or whether they work, changed.
    pub fn local_changed(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        let changed = self.database.refresh(local);
        let waits = |r: &Registration| r.progress() == Progress::Lost || !r.settled();
        if !changed.is_empty() || self.registrations.iter().any(waits) {
            self.changed(now, &changed);
        }
        self.tick(now, local, out);
    }

    /// Tells Map-Servers and users of the mappings that these look different. A flapping uplink
    /// is announced a few times, then no more often than RFC 9301 §8.2 allows.
    fn changed(&mut self, now: Instant, eids: &[EidPrefix]) {
        self.solicitor.changed(now, eids, &self.config.proxy_itrs, &mut self.random);
        if self.changes.take(CHANGES, now) {
            self.announce(now);
        } else {
            self.announce_at = Some(self.changes.ready(CHANGES, 1));
            // A Map-Server that forwards requests needs to know nothing, and brings whoever is
            // told to us; one that answers for us does so wrongly till then, so they are told again.
            self.held_back.extend(eids);
            self.solicitor.release();
            // Nothing could be said where no uplink worked; that is made up for at once.
            for registration in self.registrations.iter_mut().filter(|r| r.stranded()) {
                registration.announce(now, &self.database);
            }
        }
    }

    /// Starts a round with every Map-Server.
    fn announce(&mut self, now: Instant) {
        self.announce_at = None;
        for registration in &mut self.registrations {
            registration.announce(now, &self.database);
        }
    }

    /// Registers now, whatever was registered when.
    pub fn register_now(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        self.announce(now);
        self.tick(now, local, out);
    }

    /// Becomes what `config` says. EID-prefixes that stay keep their routes.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        config: config::Etr,
        identity: Identity,
        local: &Local,
        out: &mut Actions,
    ) {
        if (&self.config, self.identity) == (&config, identity) {
            return;
        }
        let before = std::mem::replace(&mut self.database, Database::new(&config.database, local));
        self.config = config;
        self.identity = identity;
        self.reroute(&before, out);
        self.reregister(now, local, out);
        let changed = changes(&before, &self.database);
        if !changed.is_empty() {
            self.solicitor.changed(now, &changed, &self.config.proxy_itrs, &mut self.random);
            self.announce(now);
        }
        self.tick(now, local, out);
    }

    /// Sets and clears the routes of EID-prefixes that came and went.
    fn reroute(&self, before: &Database, out: &mut Actions) {
        for (eid, _) in before.iter().filter(|&(eid, _)| !self.database.contains(eid)) {
            out.forward(Change::ClearRoute { key: eid.into(), source: Source::Local });
        }
        for (eid, _) in self.database.iter().filter(|&(eid, _)| !before.contains(eid)) {
            out.forward(Change::SetRoute {
                key: eid.into(),
                source: Source::Local,
                route: Route::Local,
            });
        }
    }

    /// Leaves Map-Servers no longer configured, and starts with new and changed ones.
    fn reregister(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        let mut before = std::mem::take(&mut self.registrations);
        for registrant in self.registrants() {
            let same = |r: &Registration| r.registrant.server.address == registrant.server.address;
            let mut registration = match before.iter().position(same) {
                Some(at) => before.swap_remove(at),
                None => Registration::new(registrant.clone()),
            };
            let unchanged = registration.registrant == registrant;
            registration.registrant = registrant;
            if !unchanged || registration.progress() == Progress::Idle {
                registration.announce(now, &self.database);
            }
            self.registrations.push(registration);
        }
        let start = out.0.len();
        for registration in &before {
            registration.withdraw(local, &mut self.nonces, out);
        }
        self.told(start, out);
    }

    /// Takes our locators back from the Map-Servers: packets stop coming before we are gone.
    pub fn shutdown(&mut self, local: &Local, out: &mut Actions) {
        let start = out.0.len();
        for registration in std::mem::take(&mut self.registrations) {
            registration.withdraw(local, &mut self.nonces, out);
        }
        self.told(start, out);
    }

    /// Stops being an ETR while the router goes on.
    pub fn retire(mut self, local: &Local, out: &mut Actions) {
        self.shutdown(local, out);
        for (eid, _) in self.database.iter() {
            out.forward(Change::ClearRoute { key: eid.into(), source: Source::Local });
        }
    }

    /// How it stands.
    pub fn status(&self, now: Instant) -> Status {
        Status {
            proxy: self.config.proxy,
            database: self.database.iter().map(|(_, m)| MappingStatus::new(m)).collect(),
            registrations: self.registrations.iter().map(|r| r.status(now)).collect(),
            told_of_changes: self.solicitor.audience() + self.config.proxy_itrs.len(),
        }
    }

    /// Panics where the state contradicts itself.
    pub fn check_invariants(&self) {
        for registration in &self.registrations {
            registration.check_invariants();
        }
    }
}

/// EID-prefixes whose mapping differs between the two, or is in one only.
fn changes(before: &Database, after: &Database) -> Vec<EidPrefix> {
    let gone = before.iter().map(|(eid, _)| eid).filter(|&eid| !after.contains(eid));
    let differs = |&(eid, mapping): &(EidPrefix, &database::Mapping)| {
        before.get(eid).is_none_or(|b| {
            b.record() != mapping.record()
                || b.configured.proxy_reply != mapping.configured.proxy_reply
        })
    };
    gone.chain(after.iter().filter(differs).map(|(eid, _)| eid)).collect()
}

/// Changes announced: a few at once, then one each 20 seconds (RFC 9301 §8.2).
const CHANGES: Rate = Rate { period: Duration::from_secs(20), burst: 8 };

/// Registering more often than that would only be load.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
