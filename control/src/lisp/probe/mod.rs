//! RLOC-probing and the health of local uplinks (RFC 9301 §7.1, RFC 9300 §10).
//!
//! What is asked is the *pair* of a local uplink and a remote RLOC, for each RLOC in use. So a dead
//! RLOC (silent through all uplinks), a dead uplink (silent towards all RLOCs) and a broken way
//! between two that work are told apart, and remote locators do not flap when our own uplink
//! breaks. Regular probes are slow; data that stops coming back makes a pair suspect at once, and a
//! suspect is asked in quick succession. Packets are moved away once a retry interval (half of it
//! when data fell silent too) passed without an answer while others answer; the verdict and its
//! [`Event`] follow after all retries.
//!
//! Everything here needs the uplinks as the *kernel* sees them: a [`Local`] whose `up` already
//! contains [`Prober::uplink_ok`] would stop the probes that find out that an uplink works again.

mod asked;
mod conversation;
mod evidence;
mod link;
mod pair;
mod remote;
mod rounds;
mod status;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use weft_fib::{LocatorState, UplinkId};
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::MapReply;

use super::config::Probing;
use super::dispatch::refuse;
use super::local::Local;
use crate::engine::{Actions, Datagram, Instant, Random, Timers};
use asked::Asked;
use link::{Link, LinkId};
use pair::Pair;
use remote::Remote;

pub use pair::HOLD_DOWN;
pub use status::{PairStatus, RlocStatus, State, Status, UplinkStatus};

/// Which remote RLOCs are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It is in use now. Said again: probes are about another EID-prefix from now on.
    Use {
        /// Which.
        rloc: IpAddr,
        /// An EID-prefix it serves; probes ask for it.
        about: EidPrefix,
    },
    /// It is not in use any more.
    Release {
        /// Which.
        rloc: IpAddr,
    },
}

/// Probes the RLOCs in use through every local uplink.
#[derive(Debug)]
pub struct Prober {
    timing: Option<Timing>,
    random: Random,
    timers: Timers<Timer>,
    remotes: BTreeMap<IpAddr, Remote>,
    links: Vec<Link>,
    asked: Asked,
    /// Of these the verdict may have changed.
    unsettled: BTreeSet<IpAddr>,
    unsettled_links: BTreeSet<LinkId>,
    uplinks_changed: bool,
    trace: bool,
}

/// What a deadline is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// The regular probes of all pairs of an RLOC.
    Round(IpAddr),
    /// A pair's answer is overdue.
    Pair(IpAddr, UplinkId),
}

/// [`Probing`] within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timing {
    interval: Duration,
    retry_interval: Duration,
    retries: u32,
}

impl Timing {
    fn new(probing: Probing) -> Self {
        Self {
            interval: probing.interval.max(Duration::from_millis(100)),
            retry_interval: probing.retry_interval.max(Duration::from_millis(20)),
            retries: probing.retries.clamp(1, 100),
        }
    }
}

impl Prober {
    /// Watches nothing yet. `None` does not probe: all RLOCs and uplinks count as working.
    pub fn new(probing: Option<Probing>, random: Random) -> Self {
        Self {
            timing: probing.map(Timing::new),
            random,
            timers: Timers::default(),
            remotes: BTreeMap::new(),
            links: Vec::new(),
            asked: Asked::default(),
            unsettled: BTreeSet::new(),
            unsettled_links: BTreeSet::new(),
            uplinks_changed: false,
            trace: false,
        }
    }

    /// An RLOC came into use or went out of use. A new one is assumed up and probed within about a
    /// second.
    pub fn watch(&mut self, now: Instant, watch: Watch, local: &Local, out: &mut Actions) {
        self.follow(now, local);
        match watch {
            Watch::Use { rloc, about } => self.use_rloc(now, rloc, about),
            Watch::Release { rloc } => self.release(rloc, out),
        }
        self.settle(now, out);
    }

    /// Takes the answer to a probe. False when it is none: some other Map-Reply.
    pub fn reply(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        reply: &MapReply,
        out: &mut Actions,
    ) -> bool {
        if !reply.probe {
            return false;
        }
        if let Err((reason, detail)) = self.accept(now, datagram, reply, out) {
            let eid = reply.records.first().and_then(|record| record.eid.prefix());
            refuse("rloc-probe-reply", datagram.from, eid, reason, detail, out);
        }
        self.settle(now, out);
        true
    }

    /// The uplinks changed, as the kernel sees them. New ones are probed at once.
    pub fn local_changed(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        self.follow(now, local);
        self.settle(now, out);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, out: &mut Actions) {
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Round(rloc) => self.round(now, rloc, out),
                Timer::Pair(rloc, uplink) => self.overdue(now, rloc, uplink, out),
            }
        }
        self.settle(now, out);
    }

    /// When [`Prober::tick`] is to be called next.
    pub fn deadline(&mut self) -> Option<Instant> {
        self.timers.next()
    }

    /// Probes an RLOC now, through all uplinks. False when it is not in use, or probing is off.
    pub fn probe_now(&mut self, now: Instant, rloc: IpAddr, out: &mut Actions) -> bool {
        if self.timing.is_none() || !self.remotes.contains_key(&rloc) {
            return false;
        }
        self.round(now, rloc, out);
        true
    }

    /// False when probes say that an uplink carries nothing in this address family, though the
    /// kernel takes it for working.
    pub fn uplink_ok(&self, uplink: UplinkId, ipv6: bool) -> bool {
        self.link(LinkId { uplink, ipv6 }).is_none_or(|link| link.dead.is_none())
    }

    /// Whether an answer of [`Prober::uplink_ok`] changed since this was last asked. Publish the
    /// uplinks together with the changes of locators that came with it.
    pub fn take_uplink_changes(&mut self) -> bool {
        std::mem::take(&mut self.uplinks_changed)
    }

    /// Other timers from now on. `None` forgets all verdicts and stops probing.
    pub fn reconfigure(&mut self, now: Instant, probing: Option<Probing>, out: &mut Actions) {
        let timing = probing.map(Timing::new);
        if timing == self.timing {
            return;
        }
        if timing.is_none() || self.timing.is_none() {
            self.forget_verdicts(now, out);
        }
        self.timing = timing;
        let rlocs: Vec<_> = self.remotes.keys().copied().collect();
        for rloc in rlocs {
            self.schedule_first(now, rloc);
        }
        self.settle(now, out);
    }

    /// Whether each probe and each answer is told as an [`Event::Message`].
    pub fn set_trace(&mut self, on: bool) {
        self.trace = on;
    }

    fn use_rloc(&mut self, now: Instant, rloc: IpAddr, about: EidPrefix) {
        self.unsettled.insert(rloc);
        if let Some(remote) = self.remotes.get_mut(&rloc) {
            remote.about = about;
            remote.watched = true;
            return;
        }
        let mut remote = Remote::new(now, about);
        for link in self.links.iter().filter(|link| link.id.ipv6 == rloc.is_ipv6()) {
            remote.pairs.push(Pair::new(link.id.uplink, link.local, link.dead.map(|_| now)));
        }
        self.remotes.insert(rloc, remote);
        self.drop_kept(rloc.is_ipv6());
        self.schedule_first(now, rloc);
    }

    /// Forgets an RLOC, unless it is the last that can tell when a dead uplink works again.
    fn release(&mut self, rloc: IpAddr, out: &mut Actions) {
        let Some(remote) = self.remotes.get_mut(&rloc) else { return };
        remote.watched = false;
        if std::mem::take(&mut remote.published) != LocatorState::default() {
            out.forward(weft_fib::Change::ClearLocator { rloc });
        }
        let ipv6 = rloc.is_ipv6();
        let dead = self.links.iter().any(|l| l.id.ipv6 == ipv6 && l.dead.is_some());
        let last = !self.remotes.iter().any(|(r, remote)| r.is_ipv6() == ipv6 && remote.watched);
        if !(dead && last) {
            self.forget(rloc);
        }
    }

    /// Forgets the RLOCs of a family that were kept though not in use.
    fn drop_kept(&mut self, ipv6: bool) {
        let kept = self.remotes.iter().filter(|(rloc, r)| rloc.is_ipv6() == ipv6 && !r.watched);
        for rloc in kept.map(|(&rloc, _)| rloc).collect::<Vec<_>>() {
            self.forget(rloc);
        }
    }

    fn forget(&mut self, rloc: IpAddr) {
        let Some(remote) = self.remotes.remove(&rloc) else { return };
        self.timers.cancel(&Timer::Round(rloc));
        for pair in &remote.pairs {
            self.timers.cancel(&Timer::Pair(rloc, pair.uplink));
            self.unsettled_links.insert(LinkId::towards(rloc, pair.uplink));
        }
    }
}
