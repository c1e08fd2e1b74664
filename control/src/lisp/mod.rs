//! The LISP control plane (RFC 9301): one engine, composed of the roles that are configured.
//!
//! One process can be ITR, ETR, Map-Server and Map-Resolver for several instances. Each role is a
//! struct of its own that knows nothing of the others; here a message finds its role, what one
//! role learned reaches those it concerns, and all share one clock, one deadline, one list of
//! actions.

pub mod config;
mod dispatch;
mod eid_table;
pub mod etr;
pub mod event;
pub mod itr;
pub mod local;
pub mod map_resolver;
pub mod map_server;
pub mod probe;
mod rate;
mod review;
mod rloc;
mod roles;
mod status;
pub mod trace;
mod uplinks;

use std::net::IpAddr;
use weft_fib::{Change, Uplink};
use weft_packet::addr::{EidPrefix, Nonce};
use weft_packet::lisp::Message;
use weft_packet::wire::Wire;

use crate::engine::{Actions, Datagram, Instant, Punt, Random, Traffic, Usage};
use config::Config;
use etr::Etr;
use event::{Event, Refusal};
use itr::Itr;
use local::Local;
use map_resolver::MapResolver;
use map_server::MapServer;
use probe::Prober;
use review::Review;
use uplinks::Uplinks;

pub use crate::engine::Stored;
pub use status::{LocatorStatus, RefusalStatus, Status, UplinkStatus};

/// A LISP router.
#[derive(Debug)]
pub struct Lisp {
    config: Config,
    random: Random,
    uplinks: Uplinks,
    prober: Prober,
    itr: Option<Itr>,
    etr: Option<Etr>,
    map_server: Option<MapServer>,
    map_resolver: Option<MapResolver>,
    review: Review,
    trace: bool,
}

impl Lisp {
    /// Starts the configured roles on these uplinks, with what was stored before the restart.
    pub fn new(
        now: Instant,
        config: Config,
        uplinks: Vec<Uplink>,
        mut random: Random,
        stored: &Stored,
        out: &mut Actions,
    ) -> Self {
        let start = out.0.len();
        let probing = config.itr.as_ref().and_then(|itr| itr.probing);
        let mut lisp = Self {
            uplinks: Uplinks::new(uplinks),
            prober: Prober::new(probing, random.fork()),
            itr: None,
            etr: None,
            map_server: None,
            map_resolver: None,
            review: Review::default(),
            trace: false,
            config,
            random,
        };
        lisp.publish_uplinks(out);
        lisp.prober.local_changed(now, lisp.uplinks.kernel(), out);
        lisp.start_roles(now, stored, out);
        lisp.settle(now, start, out);
        lisp
    }

    /// A datagram came to the control port.
    pub fn packet(&mut self, now: Instant, datagram: Datagram<'_>, out: &mut Actions) {
        let start = out.0.len();
        match Message::from_bytes(datagram.bytes) {
            Ok(message) => self.dispatch(now, datagram, message, out),
            Err(error) => {
                let kind = trace::kind_of(datagram.bytes);
                let (peer, reason) = (datagram.from, Refusal::Malformed);
                dispatch::refuse(kind, peer, None, reason, error.to_string(), out);
            }
        }
        self.settle(now, start, out);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Actions) {
        let start = out.0.len();
        let local = self.uplinks.effective();
        self.prober.tick(now, out);
        if let Some(itr) = &mut self.itr {
            itr.tick(now, local, out);
        }
        if let Some(etr) = &mut self.etr {
            etr.tick(now, local, out);
        }
        if let Some(server) = &mut self.map_server {
            server.tick(now, out);
        }
        self.settle(now, start, out);
    }

    /// When [`Self::tick`] is due; `None` when nothing is.
    pub fn deadline(&mut self) -> Option<Instant> {
        let deadlines = [
            self.prober.deadline(),
            self.itr.as_mut().and_then(Itr::deadline),
            self.etr.as_mut().and_then(Etr::deadline),
            self.map_server.as_mut().and_then(MapServer::deadline),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// A packet the forwarding table had no answer for.
    pub fn punt(&mut self, now: Instant, punt: Punt, out: &mut Actions) {
        let start = out.0.len();
        if let Some(itr) = &mut self.itr {
            itr.punt(now, punt, self.uplinks.effective(), out);
        }
        self.settle(now, start, out);
    }

    /// Answers [`crate::engine::Action::AskUsage`].
    pub fn used(&mut self, now: Instant, eid: EidPrefix, usage: Usage, out: &mut Actions) {
        let start = out.0.len();
        if let Some(itr) = &mut self.itr {
            itr.used(now, eid, usage, self.uplinks.effective(), out);
        }
        self.settle(now, start, out);
    }

    /// What went between our uplinks and remote locators so far; told several times a second while
    /// packets flow.
    pub fn traffic(&mut self, now: Instant, pairs: &[Traffic], out: &mut Actions) {
        let start = out.0.len();
        self.prober.traffic(now, pairs, self.uplinks.kernel(), out);
        if let Some(etr) = &mut self.etr {
            etr.traffic(now, pairs);
        }
        self.settle(now, start, out);
    }

    /// What the kernel says of the uplinks: addresses, carrier, routes.
    pub fn uplinks(&mut self, now: Instant, uplinks: Vec<Uplink>, out: &mut Actions) {
        let start = out.0.len();
        if self.uplinks.learn(uplinks, out) {
            self.prober.local_changed(now, self.uplinks.kernel(), out);
            self.judge_uplinks(now, out);
        }
        self.settle(now, start, out);
    }

    /// Takes our registrations back and keeps what a restart needs: the router stops.
    pub fn shutdown(&mut self, now: Instant, out: &mut Actions) {
        let start = out.0.len();
        if let Some(etr) = &mut self.etr {
            etr.shutdown(self.uplinks.effective(), out);
        }
        if let Some(server) = &mut self.map_server {
            server.shutdown(out);
        }
        self.review.actions(now, start, out);
    }

    /// Asks the mapping system past the map-cache. The outcome comes as
    /// [`Event::LookupAnswered`] or [`Event::LookupUnanswered`] with the nonce given here.
    pub fn lookup(
        &mut self,
        now: Instant,
        eid: EidPrefix,
        resolver: Option<IpAddr>,
        out: &mut Actions,
    ) -> Nonce {
        let start = out.0.len();
        let nonce = if let Some(itr) = &mut self.itr {
            itr.lookup(now, eid, resolver, self.uplinks.effective(), out)
        } else {
            let nonce = Nonce(self.random.u64());
            out.notify(Event::LookupUnanswered { nonce, eid, tries: 0 });
            nonce
        };
        self.settle(now, start, out);
        nonce
    }

    /// Forgets what was learned inside `within`, or everything. Says how many mappings that were.
    pub fn flush(&mut self, now: Instant, within: Option<EidPrefix>, out: &mut Actions) -> usize {
        let start = out.0.len();
        let flushed = self.itr.as_mut().map_or(0, |itr| itr.flush(within, out));
        self.settle(now, start, out);
        flushed
    }

    /// Probes a locator in use now. False when it is not in use, or probing is off.
    pub fn probe(&mut self, now: Instant, rloc: IpAddr, out: &mut Actions) -> bool {
        let start = out.0.len();
        let probed = self.prober.probe_now(now, rloc, out);
        self.settle(now, start, out);
        probed
    }

    /// Registers now, whenever that was done last.
    pub fn register_now(&mut self, now: Instant, out: &mut Actions) {
        let start = out.0.len();
        if let Some(etr) = &mut self.etr {
            etr.register_now(now, self.uplinks.effective(), out);
        }
        self.settle(now, start, out);
    }

    /// Whether each control message is told as an [`Event::Message`].
    pub fn set_trace(&mut self, on: bool) {
        self.trace = on;
        self.review.set_trace(on);
        self.trace_roles();
    }

    /// The ITR, where there is one.
    pub fn itr(&self) -> Option<&Itr> {
        self.itr.as_ref()
    }

    /// The ETR, where there is one.
    pub fn etr(&self) -> Option<&Etr> {
        self.etr.as_ref()
    }

    /// The Map-Server, where there is one.
    pub fn map_server(&self) -> Option<&MapServer> {
        self.map_server.as_ref()
    }

    /// The Map-Resolver, where there is one.
    pub fn map_resolver(&self) -> Option<&MapResolver> {
        self.map_resolver.as_ref()
    }

    /// What watches the locators in use.
    pub fn prober(&self) -> &Prober {
        &self.prober
    }

    /// The local uplinks, working or not.
    pub fn local(&self) -> &Local {
        self.uplinks.effective()
    }

    /// Brings the roles into step after an input: locators in use reach the prober, its verdicts
    /// on our uplinks reach everybody. Each pass can cause another; they end because verdicts only
    /// follow from answers and silence.
    fn settle(&mut self, now: Instant, start: usize, out: &mut Actions) {
        for _ in 0..MAX_PASSES {
            let watches = self.itr.as_mut().map(Itr::take_watch_changes).unwrap_or_default();
            for watch in &watches {
                self.prober.watch(now, *watch, self.uplinks.kernel(), out);
            }
            if watches.is_empty() && !self.prober.take_uplink_changes() {
                break;
            }
            self.judge_uplinks(now, out);
        }
        self.review.actions(now, start, out);
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// Publishes the uplinks as they are now judged, where that changed.
    fn judge_uplinks(&mut self, now: Instant, out: &mut Actions) {
        if !self.uplinks.judge(&self.prober) {
            return;
        }
        self.publish_uplinks(out);
        let local = self.uplinks.effective();
        if let Some(itr) = &mut self.itr {
            itr.uplinks(now, local, out);
        }
        if let Some(etr) = &mut self.etr {
            etr.local_changed(now, local, out);
        }
        if let Some(server) = &mut self.map_server {
            server.uplinks(local);
        }
    }

    fn publish_uplinks(&self, out: &mut Actions) {
        out.forward(Change::SetUplinks(self.uplinks.effective().uplinks().to_vec()));
    }

    /// Panics where the state contradicts itself: for tests and simulations.
    pub fn check_invariants(&self) {
        if let Some(etr) = &self.etr {
            etr.check_invariants();
        }
    }
}

/// Rounds of roles telling each other after one input.
const MAX_PASSES: usize = 8;
