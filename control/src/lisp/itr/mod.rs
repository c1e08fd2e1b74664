//! The Ingress Tunnel Router: finds out where EIDs are and keeps the forwarding table told.
//!
//! A packet without an entry is a [`Punt`]; it becomes a question to the mapping system, the
//! Map-Reply becomes a mapping in the map-cache, and the mapping a route to a path group. Mappings
//! in use are asked for again before they end, so traffic never waits for a mapping twice;
//! mappings out of use go when their TTL ends or room is needed (RFC 9301 §5.2 to §5.5, §6.1, §8.1).

mod asking;
mod groups;
mod keeping;
mod map_cache;
mod pending;
mod reply;
mod resolvers;
mod settings;
mod solicited;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use weft_fib::{Change, EidKey, Encapsulation, GroupId, Route, Source};
use weft_packet::addr::{EidPrefix, InstanceId, Nonce, Prefix};
use weft_packet::lisp::{Address, Eid, MapRequest, Message};

use super::config;
use super::eid_table::EidTable;
use super::event::{Event, Refusal};
use super::local::Local;
use super::probe::Watch;
use crate::engine::{Actions, Datagram, Instant, Punt, Random, Timers};
use groups::Groups;
use map_cache::{Content, MapCache};
use pending::{Holds, Key, Pending, Why};
use resolvers::Resolvers;
use solicited::{Solicited, Verdict};

pub use status::{Counters, MapCacheEntry, PendingRequest, ResolverStatus, Status};

/// The ITR, or PITR.
#[derive(Debug)]
pub struct Itr {
    settings: config::Itr,
    instances: BTreeSet<InstanceId>,
    random: Random,
    resolvers: Resolvers,
    pending: Pending,
    holds: Holds,
    solicited: Solicited,
    cache: MapCache,
    /// When entries are looked at: are they used, do they end?
    checks: Timers<EidPrefix>,
    groups: Groups,
    /// Configured mappings.
    statics: BTreeMap<EidKey, Content>,
    /// Those of them that hold whoever sends.
    statics_for_all: EidTable<Content>,
    /// What holds where nothing is cached or configured.
    defaults: EidTable<Route>,
    /// Those that serve IPv4 EIDs, and IPv6 EIDs.
    proxy_etrs: [Option<GroupId>; 2],
    /// Where answers can go, as last seen.
    rlocs: Vec<IpAddr>,
    counters: Counters,
    trace: bool,
}

impl Itr {
    /// Installs what is configured. `instances` are all instances EIDs may be in.
    pub fn new(
        settings: config::Itr,
        encapsulation: Encapsulation,
        instances: &[InstanceId],
        random: Random,
        out: &mut Actions,
    ) -> Self {
        let mut itr = Self {
            resolvers: Resolvers::new(&settings.map_resolvers),
            settings,
            instances: instances.iter().copied().collect(),
            random,
            pending: Pending::default(),
            holds: Holds::default(),
            solicited: Solicited::default(),
            cache: MapCache::default(),
            checks: Timers::default(),
            groups: Groups::new(encapsulation),
            statics: BTreeMap::new(),
            statics_for_all: EidTable::default(),
            defaults: EidTable::default(),
            proxy_etrs: [None; 2],
            rlocs: Vec::new(),
            counters: Counters::default(),
            trace: false,
        };
        itr.configure(out);
        itr
    }

    /// A packet the forwarding table had no answer for.
    pub fn punt(&mut self, now: Instant, punt: Punt, local: &Local, out: &mut Actions) {
        self.counters.punts += 1;
        let eid = EidPrefix::new(punt.instance, Prefix::host(punt.destination));
        match self.known(eid) {
            Some((_, _, Route::Resolve)) if !self.may_ask_again(now, eid) => return,
            Some((_, _, Route::Resolve)) => {}
            // The answer came while the punt was on its way up.
            Some((eid, source, route)) => {
                return out.forward(Change::SetRoute { key: eid.into(), source, route });
            }
            None => return,
        }
        if self.holds.contains(now, eid) {
            self.counters.held_back += 1;
        } else if !self.pending.ask(now, Key::Cache(eid), eid, Why::Packet(punt.source)) {
            self.counters.pending_full += 1;
        }
        self.send_questions(now, local, out);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        while let Some(key) = self.pending.due(now) {
            self.unanswered(now, key, out);
        }
        while let Some(eid) = self.checks.due(now) {
            self.check(now, eid, out);
        }
        while let Some(eid) = self.solicited.due(now) {
            if self.cache.longest(eid).is_some() {
                self.pending.ask(now, Key::Cache(eid), eid, Why::Solicited);
            }
        }
        self.send_questions(now, local, out);
    }

    /// When [`Itr::tick`] has something to do.
    pub fn deadline(&mut self) -> Option<Instant> {
        let deadlines = [self.pending.deadline(), self.checks.next(), self.solicited.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// A Map-Request with the S bit came: mappings changed (RFC 9301 §6.1). Whoever sent it, the
    /// truth is asked of the mapping system.
    pub fn smr(
        &mut self,
        now: Instant,
        from: Datagram<'_>,
        request: &MapRequest,
        local: &Local,
        out: &mut Actions,
    ) {
        self.came(from, || Message::MapRequest(request.clone()), out);
        let eids = request.eids.iter().take(SMR_RECORDS).filter_map(|r| r.eid.prefix());
        let mut targets: BTreeSet<_> = eids.flat_map(|eid| self.concerned(eid)).collect();
        // OpenOverlayRouter names what changed as the source, and our EID as the record.
        if targets.is_empty()
            && let Some(source) = host(&request.source_eid)
        {
            targets.extend(self.concerned(source));
        }
        if targets.is_empty() {
            self.counters.smr_ignored += 1;
        }
        for eid in targets {
            let key = Key::Cache(eid);
            match self.solicited.came(now, eid, request.nonce, self.pending.contains(key)) {
                Verdict::Ask => {
                    self.pending.ask(now, key, eid, Why::Solicited);
                }
                Verdict::Later => {}
                Verdict::Full => self.refused("smr", from, Some(eid), Refusal::RateLimited, out),
            }
        }
        self.send_questions(now, local, out);
    }

    /// What to ask for when `eid` changed: itself where a wider mapping is cached, and each
    /// mapping cached inside it.
    fn concerned(&self, eid: EidPrefix) -> Vec<EidPrefix> {
        let wider = self.cache.longest(eid).map(|_| eid);
        let inside = self.cache.inside(eid).map(|(inside, _)| inside).take(SMR_TARGETS);
        wider.into_iter().chain(inside).collect()
    }

    /// Asks the mapping system for an operator, past the map-cache: one Map-Resolver, or the
    /// current one. [`Event::LookupAnswered`] or [`Event::LookupUnanswered`] tells the outcome.
    pub fn lookup(
        &mut self,
        now: Instant,
        eid: EidPrefix,
        resolver: Option<IpAddr>,
        local: &Local,
        out: &mut Actions,
    ) -> Nonce {
        let nonce = self.nonce();
        if self.pending.ask(now, Key::Lookup(nonce), eid, Why::Lookup(resolver)) {
            self.send_questions(now, local, out);
        } else {
            out.notify(Event::LookupUnanswered { nonce, eid, tries: 0 });
        }
        nonce
    }

    /// Forgets what was learned about addresses of `about`, or everything, so that it is asked
    /// for again. Says how much that was.
    pub fn flush(&mut self, about: Option<EidPrefix>, out: &mut Actions) -> usize {
        let overlaps = |eid: EidPrefix| about.is_none_or(|a| a.covers(eid) || eid.covers(a));
        let flushed: Vec<_> =
            self.cache.iter().map(|(eid, _)| eid).filter(|e| overlaps(*e)).collect();
        for &eid in &flushed {
            self.remove(eid, "flushed", out);
        }
        self.holds.clear();
        flushed.len()
    }

    /// Our uplinks changed. Answers on their way to an address that is gone are lost, so what is
    /// unanswered is asked again.
    pub fn uplinks(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        let rlocs = local.itr_rlocs();
        if rlocs != self.rlocs {
            self.rlocs = rlocs;
            self.holds.clear();
            self.pending.start_anew(now);
            self.tick(now, local, out);
        }
    }

    /// What changed about the remote locators in use since last asked.
    pub fn take_watch_changes(&mut self) -> Vec<Watch> {
        self.groups.take_watch_changes()
    }

    /// Whether messages are told of as events.
    pub fn set_trace(&mut self, on: bool) {
        self.trace = on;
    }

    /// The most specific word for packets of everybody to `eid`: static before learned before default.
    fn known(&self, eid: EidPrefix) -> Option<(EidPrefix, Source, Route)> {
        let fixed = self.statics_for_all.longest(eid);
        let learned = self.cache.longest(eid);
        let default = self.defaults.longest(eid);
        let words = [
            default.map(|(eid, &route)| (eid, Source::Default, route)),
            learned.map(|(eid, e)| (eid, Source::Lisp, self.route(eid, e.content))),
            fixed.map(|(eid, &c)| (eid, Source::Static, self.static_route(c))),
        ];
        words.into_iter().flatten().max_by_key(|(eid, ..)| eid.prefix.length())
    }

    /// True when packets to `eid` need not be asked for.
    fn is_answered(&self, eid: EidPrefix) -> bool {
        self.known(eid).is_some_and(|(.., route)| route != Route::Resolve)
    }

    /// Where a mapping says to ask for each packet, it is done once a second (RFC 9301 §5.3).
    fn may_ask_again(&mut self, now: Instant, eid: EidPrefix) -> bool {
        let Some((eid, entry)) = self.cache.longest(eid) else { return true };
        if !entry.content.asks() {
            return true;
        }
        if entry.asked.is_some_and(|asked| now.since(asked) < ASK_INTERVAL) {
            self.counters.held_back += 1;
            return false;
        }
        self.cache.update(eid, |e| e.asked = Some(now));
        true
    }
}

/// An EID without a mask, as the prefix it is alone in.
fn host(address: &Address) -> Option<EidPrefix> {
    let mask_len = if address.ip()?.is_ipv6() { 128 } else { 32 };
    Eid { address: address.clone(), mask_len }.prefix()
}

/// EID-records of an SMR looked at, and mappings asked for because of one of them.
const SMR_RECORDS: usize = 32;
const SMR_TARGETS: usize = 64;
/// RFC 9301 §5.3: at most one Map-Request a second for an EID-prefix.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
