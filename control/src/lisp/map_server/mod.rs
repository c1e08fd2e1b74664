//! The Map-Server: takes registrations, answers Map-Requests for what is registered or passes them
//! on to an ETR (RFC 9301 §8.2, §8.3).
//!
//! A Map-Register is checked in a fixed order (parsed already, site, algorithm and key, MAC,
//! replay, then each record: prefix, RLOCs, merging), and every refusal is counted, kept for people
//! to see and told as an event. What was acknowledged is on disk before the acknowledgement leaves.
//! A renewal that says nothing new touches one deadline in memory.

mod answer;
mod content;
mod database;
mod notify;
mod refused;
mod register;
mod replay;
pub(in crate::lisp) mod request;
mod restart;
mod saved;
mod site;
mod statics;
mod status;
#[cfg(test)]
mod tests;
mod wheel;
mod xtr;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use weft_packet::addr::EidPrefix;

pub use refused::{Case, Refused, RefusedStatus};
pub use status::{
    Counters, HoldingStatus, MapServerStatus, MappingStatus, RegistrationFilter,
    RegistrationStatus, StaticStatus,
};

use crate::engine::{Action, Actions, Instant, Random, Stored};
use crate::lisp::config;
use crate::lisp::event::{Direction, Event, Refusal};
use crate::lisp::local::Local;
use crate::lisp::rate::{Limiter, REQUESTS_PER_SECOND, Rate};
use crate::lisp::rloc;
use database::{Change, Database, RegistrationId};
use notify::Notifier;
use site::{Lost, Sites};
use statics::{Statics, statics};
use wheel::Second;
use xtr::{XtrIndex, Xtrs};

/// A Map-Server.
#[derive(Debug)]
pub struct MapServer {
    config: config::MapServer,
    sites: Sites,
    statics: Statics,
    database: Database,
    xtrs: Xtrs,
    notifier: Notifier,
    refused: Refused,
    requests: Limiter,
    counters: Counters,
    local: Local,
    random: Random,
    trace: bool,
}

/// A message or record that is not taken.
#[derive(Debug)]
pub(in crate::lisp) struct Refusing {
    pub(in crate::lisp) eid: Option<EidPrefix>,
    pub(in crate::lisp) reason: Refusal,
    pub(in crate::lisp) detail: String,
}

impl Refusing {
    pub(in crate::lisp) fn new(
        reason: Refusal,
        eid: Option<EidPrefix>,
        detail: impl Into<String>,
    ) -> Self {
        Self { eid, reason, detail: detail.into() }
    }
}

impl MapServer {
    /// Starts with what `stored` holds of an earlier life.
    pub fn new(
        now: Instant,
        config: config::MapServer,
        mut random: Random,
        stored: &Stored,
        out: &mut Actions,
    ) -> Self {
        let local = Local::default();
        let mut server = Self {
            sites: Sites::new(&config.sites),
            statics: statics(&config.static_mappings, &local),
            database: Database::default(),
            xtrs: Xtrs::default(),
            notifier: Notifier::default(),
            refused: Refused::default(),
            requests: Limiter::new(Rate::per_second(REQUESTS_PER_SECOND), &mut random),
            counters: Counters::default(),
            local,
            random,
            trace: false,
            config,
        };
        server.restore(now, stored, out);
        server
    }

    /// Takes the local uplinks as they are now: they decide where answers leave, and are the
    /// locators of static mappings that name them.
    pub fn uplinks(&mut self, local: &Local) {
        self.local = local.clone();
        self.statics = statics(&self.config.static_mappings, local);
    }

    /// Tells of every message, in and out, from now on; or no longer.
    pub fn set_trace(&mut self, trace: bool) {
        self.trace = trace;
    }

    /// Sets how many Map-Requests a second a source (a /24 or /48) may send; `None`: any number.
    /// 10,000 from the start.
    pub fn set_request_limit(&mut self, per_second: Option<u32>) {
        self.requests.set(per_second.map(Rate::per_second));
    }

    /// Does what time brings: expiry, retransmission. Bounded; what is left is due at once.
    pub fn tick(&mut self, now: Instant, out: &mut Actions) {
        for _ in 0..EXPIRIES_AT_ONCE {
            let Some(id) = self.database.expired(Second::passed(now)) else { break };
            self.counters.expired += 1;
            self.take_away(now, id, "expired", out);
        }
        while let Some((xtr, marks)) = self.xtrs.settled(now) {
            for (key_id, mark) in marks {
                self.store_mark(xtr, key_id, Some(mark), out);
            }
        }
        while let Some(xtr) = self.notifier.due(now) {
            self.notify_again(now, xtr, out);
        }
    }

    /// When [`Self::tick`] wants to be called.
    pub fn deadline(&mut self) -> Option<Instant> {
        let expiry = self.database.deadline().map(Second::instant);
        [expiry, self.xtrs.deadline(), self.notifier.deadline()].into_iter().flatten().min()
    }

    /// What was refused, and why.
    pub fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Ends a registration and tells whoever has to know.
    fn take_away(
        &mut self,
        now: Instant,
        id: RegistrationId,
        what: &'static str,
        out: &mut Actions,
    ) {
        let registration = *self.database.registration(id);
        let mapping = *self.database.mapping(registration.mapping);
        let holding = mapping.holding;
        let last = self.last_renewal(id);
        let site = self.sites.of(holding);
        let (merges, name) = (site.config.merge, site.config.name.clone());
        let xtr = self.xtrs.get(registration.xtr);
        let by = xtr.from.ip();
        out.store(saved::registration_key(mapping.eid, xtr.identity), None);
        let change = self.database.remove(id, merges);
        if change == Change::Gone {
            let site = self.sites.holding(holding).site;
            self.sites.site_mut(site).mappings -= 1;
            let holding = self.sites.holding_mut(holding);
            holding.mappings -= 1;
            if holding.eid == mapping.eid {
                holding.lost = Some(Lost { at: now, what, last, by });
            }
        }
        let what = match change {
            Change::Gone => Some(what),
            Change::Changed | Change::Registered => Some("changed"),
            Change::Same => None,
        };
        if let Some(what) = what {
            out.notify(Event::SiteChanged { site: name, eid: mapping.eid, what, by: Some(by) });
        }
        if change == Change::Changed {
            self.announce(now, mapping.eid, out);
        }
        self.let_go(registration.xtr);
    }

    /// Counts one registration of an xTR less; without any, it is forgotten.
    fn let_go(&mut self, xtr: XtrIndex) {
        self.xtrs.get_mut(xtr).registrations -= 1;
        self.forget_idle(xtr);
    }

    fn forget_idle(&mut self, xtr: XtrIndex) {
        if let Some(site) = self.xtrs.drop_idle(xtr) {
            self.sites.site_mut(site).xtrs -= 1;
            self.notifier.forget(xtr);
        }
    }

    /// When a registration was last renewed.
    fn last_renewal(&self, id: RegistrationId) -> Instant {
        let lifetime = self.database.content(id).lifetime(self.config.registration_timeout);
        self.database.registration(id).deadline.instant() - lifetime
    }

    /// Counts, keeps and tells a refusal.
    fn refuse(
        &mut self,
        now: Instant,
        kind: &'static str,
        peer: SocketAddr,
        refusing: Refusing,
        out: &mut Actions,
    ) {
        self.refused.add(Case::new(now, kind, peer, refusing), out);
    }

    /// Sends from the address `ours`, where the other one's message came to, if that is of the
    /// family of `to`.
    fn send(&self, ours: IpAddr, to: SocketAddr, bytes: Vec<u8>, out: &mut Actions) {
        let way = if ours.is_ipv6() == to.is_ipv6() && rloc::routable(ours, ours) {
            self.local.way_from(ours)
        } else {
            self.local.way_to(to.ip()).unwrap_or_default()
        };
        out.0.push(Action::Send { from: way.from, uplink: way.uplink, to, bytes });
    }

    /// Tells of a message, if that is wanted.
    fn traced(
        &self,
        direction: Direction,
        kind: &'static str,
        peer: SocketAddr,
        eid: Option<EidPrefix>,
        detail: impl FnOnce() -> String,
        out: &mut Actions,
    ) {
        if self.trace {
            let detail = detail();
            out.notify(Event::Message { direction, kind, peer, eid, detail });
        }
    }
}

/// The UDP payload that is sure to pass unfragmented to a peer whose path MTU is not known
/// (RFC 9301 §5): 576 octets of IPv4, 1280 of IPv6.
fn payload_bound(to: IpAddr) -> usize {
    if to.is_ipv6() { 1280 - 40 - 8 } else { 576 - 20 - 8 }
}

/// Joins for people.
fn joined<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

/// Expiries handled in one tick.
const EXPIRIES_AT_ONCE: usize = 10_000;
/// The life time of answers about what is not there for the moment (RFC 9301 §8.3).
const SHORT_TTL: Duration = Duration::from_mins(1);
