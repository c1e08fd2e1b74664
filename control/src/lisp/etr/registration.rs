//! Registration with one Map-Server (RFC 9301 §5.6, §5.7, §8.2).
//!
//! What is registered is split into messages that pass any path. A round sends each of them, a
//! few at a time; each stands for itself and is repeated until the Map-Server acknowledges it.
//! A repetition carries a nonce of its own, since a Map-Server that lost only its Map-Notify
//! would take the same nonce for a replay. What is no longer ours is withdrawn with TTL 0.

use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use weft_packet::addr::{EidPrefix, Nonce};

use super::database::Database;
use super::map_register::{Batch, Registrant, add, withdrawal};
use super::nonces::Nonces;
use crate::engine::{Actions, Instant, Random, Timers};
use crate::lisp::event::Event;
use crate::lisp::local::{Local, Way};

/// How far a registration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// There is nothing to register.
    #[default]
    Idle,
    /// Sent, and not all acknowledged for the first time.
    Registering,
    /// All acknowledged.
    Registered,
    /// Sent; acknowledgement was not asked for.
    Unconfirmed,
    /// The Map-Server does not acknowledge, or cannot be reached.
    Lost,
}

/// What one Map-Server is told, and whether it said yes.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) registrant: Registrant,
    batches: Vec<Batch>,
    /// Batches waiting for their turn, by position.
    unsent: VecDeque<usize>,
    /// What the Map-Server may hold of ours.
    known: BTreeSet<EidPrefix>,
    /// Nonces of former rounds; their late acknowledgements mean nothing.
    retired: VecDeque<Nonce>,
    progress: Progress,
    why_lost: String,
    /// No uplink led to the Map-Server when something was to be sent.
    stranded: bool,
    /// Without acknowledgements rounds are more frequent until then.
    quick_until: Instant,
    last_sent: Option<Instant>,
    last_acknowledged: Option<Instant>,
    timers: Timers<Due>,
}

/// What a registration waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Due {
    /// The next round.
    Round,
    /// The next few messages of this round.
    Burst,
    /// An acknowledgement of the batch at this position.
    Acknowledgement(usize),
}

impl Registration {
    pub(super) fn new(registrant: Registrant) -> Self {
        Self {
            registrant,
            batches: Vec::new(),
            unsent: VecDeque::new(),
            known: BTreeSet::new(),
            retired: VecDeque::new(),
            progress: Progress::default(),
            why_lost: String::new(),
            stranded: false,
            quick_until: Instant::START,
            last_sent: None,
            last_acknowledged: None,
            timers: Timers::default(),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// True when nothing is on its way: whoever asks the Map-Server now is answered with what we
    /// said last, as far as we can know.
    pub(super) fn settled(&self) -> bool {
        let silent = !self.registrant.server.want_notify;
        self.progress == Progress::Lost
            || self.unsent.is_empty() && (silent || self.batches.iter().all(|b| b.acknowledged))
    }

    /// True when the last round could not leave: what it was to say has not been said.
    pub(super) fn stranded(&self) -> bool {
        self.stranded
    }

    pub(super) fn deadline(&mut self) -> Option<Instant> {
        self.timers.next()
    }

    /// Starts a round with the database as it is now; [`Self::tick`] sends it.
    pub(super) fn announce(&mut self, now: Instant, database: &Database) {
        self.fill(database);
        self.unsent = (0..self.batches.len()).collect();
        self.quick_until = now + QUICK_PERIOD;
        if self.batches.is_empty() {
            self.progress = Progress::Idle;
        } else if self.progress == Progress::Idle {
            self.progress = Progress::Registering;
        }
        self.timers.set(Due::Burst, now);
        self.timers.set(Due::Round, now + self.registrant.interval);
    }

    /// Sorts what is to be registered, and what no longer is, into batches.
    fn fill(&mut self, database: &Database) {
        for (at, batch) in self.batches.drain(..).enumerate() {
            self.timers.cancel(&Due::Acknowledgement(at));
            self.retired.extend(batch.nonces);
        }
        self.trim_retired();
        let (room, proxy) = (self.registrant.room(), self.registrant.server.proxy_reply);
        let mut gone = std::mem::take(&mut self.known);
        for (eid, mapping) in database.iter().filter(|(_, m)| !m.locators.is_empty()) {
            let proxy = mapping.configured.proxy_reply.unwrap_or(proxy);
            add(&mut self.batches, mapping.record(), proxy, false, room);
            gone.remove(&eid);
            self.known.insert(eid);
        }
        for eid in gone {
            add(&mut self.batches, withdrawal(eid), proxy, true, room);
            self.known.insert(eid);
        }
    }

    fn trim_retired(&mut self) {
        let excess = self.retired.len().saturating_sub(MAX_RETIRED);
        self.retired.drain(..excess);
    }

    pub(super) fn tick(
        &mut self,
        now: Instant,
        local: &Local,
        nonces: &mut Nonces,
        random: &mut Random,
        out: &mut Actions,
    ) {
        let mut due = false;
        while let Some(what) = self.timers.due(now) {
            due = true;
            match what {
                Due::Round => self.start_round(now, random),
                Due::Burst => {}
                Due::Acknowledgement(at) => self.unanswered(at, out),
            }
        }
        if due && !self.unsent.is_empty() {
            self.send_burst(now, local, nonces, out);
        }
    }

    /// Everything goes out again that is not being repeated anyhow.
    fn start_round(&mut self, now: Instant, random: &mut Random) {
        let interval = self.registrant.interval;
        let quick = !self.registrant.server.want_notify && now < self.quick_until;
        let next = if quick { interval.min(QUICK_INTERVAL) } else { interval };
        self.timers.set(Due::Round, now + random.jitter(next, 10));
        self.unsent.clear();
        for (at, batch) in self.batches.iter_mut().enumerate() {
            let repeating = self.timers.get(&Due::Acknowledgement(at)).is_some();
            let done = batch.withdraws && batch.acknowledged;
            if !repeating && !done {
                self.retired.extend(batch.nonces.drain(..));
                batch.acknowledged = false;
                self.unsent.push_back(at);
            }
        }
        self.trim_retired();
    }

    /// Nobody acknowledged the batch at `at` in time.
    fn unanswered(&mut self, at: usize, out: &mut Actions) {
        let Some(batch) = self.batches.get_mut(at) else { return };
        if batch.withdraws && batch.tries >= MAX_WITHDRAWALS {
            batch.acknowledged = true;
            return forget(&mut self.known, batch);
        }
        self.unsent.push_back(at);
        // What is still to be registered is known by other batches.
        if batch.tries >= TRIES_UNTIL_LOST && !batch.withdraws {
            let eid = batch.records.first().and_then(|r| r.eid.prefix());
            let about = eid.map(|eid| format!(" for {eid}")).unwrap_or_default();
            let why = format!("no Map-Notify after {} Map-Registers{about}", batch.tries);
            self.lose(why, out);
        }
    }

    fn lose(&mut self, why: String, out: &mut Actions) {
        if self.progress != Progress::Lost {
            self.progress = Progress::Lost;
            self.why_lost.clone_from(&why);
            let map_server = self.registrant.server.address;
            out.notify(Event::RegistrationLost { map_server, why });
        }
    }

    /// Sends the next few messages of the round. Without a way to the Map-Server the round is
    /// over: the next one comes by itself, or when an uplink returns.
    fn send_burst(&mut self, now: Instant, local: &Local, nonces: &mut Nonces, out: &mut Actions) {
        let Some(way) = local.way_to(self.registrant.server.address) else {
            self.unsent.clear();
            self.stranded = true;
            return self.lose("no uplink of its address family works".to_owned(), out);
        };
        self.stranded = false;
        for _ in 0..BURST {
            let Some(at) = self.unsent.pop_front() else { return };
            self.send(now, at, way, nonces, out);
        }
        self.timers.set(Due::Burst, now + BURST_SPACING);
    }

    fn send(&mut self, now: Instant, at: usize, way: Way, nonces: &mut Nonces, out: &mut Actions) {
        let Some(batch) = self.batches.get_mut(at) else { return };
        let nonce = nonces.take(out);
        self.registrant.send(batch, nonce, way, out);
        self.last_sent = Some(now);
        batch.tries = batch.tries.saturating_add(1);
        if !self.registrant.server.want_notify {
            self.progress = Progress::Unconfirmed;
            if batch.withdraws && batch.tries >= BLIND_WITHDRAWALS {
                batch.acknowledged = true;
                forget(&mut self.known, batch);
            }
            return;
        }
        if batch.nonces.len() == MAX_NONCES {
            batch.nonces.remove(0);
        }
        batch.nonces.push(nonce);
        let wait = FIRST_WAIT.saturating_mul(1 << (batch.tries - 1).min(6)).min(LONGEST_WAIT);
        self.timers.set(Due::Acknowledgement(at), now + wait);
    }

    /// The Map-Server answered under `nonce`, and the answer is authentic. False when nothing
    /// was said under that nonce.
    pub(super) fn acknowledge(&mut self, now: Instant, nonce: Nonce, out: &mut Actions) -> bool {
        let found = self.batches.iter_mut().enumerate().find(|(_, b)| b.nonces.contains(&nonce));
        let Some((at, batch)) = found else { return self.retired.contains(&nonce) };
        batch.acknowledged = true;
        batch.tries = 0;
        if batch.withdraws {
            forget(&mut self.known, batch);
        }
        self.last_acknowledged = Some(now);
        self.timers.cancel(&Due::Acknowledgement(at));
        self.unsent.retain(|&waiting| waiting != at);
        if self.batches.iter().all(|b| b.acknowledged) {
            self.all_acknowledged(out);
        }
        true
    }

    fn all_acknowledged(&mut self, out: &mut Actions) {
        self.why_lost.clear();
        let prefixes = self.prefixes();
        if prefixes == 0 {
            self.progress = Progress::Idle;
        } else if self.progress != Progress::Registered {
            self.progress = Progress::Registered;
            let map_server = self.registrant.server.address;
            out.notify(Event::Registered { map_server, prefixes });
        }
    }

    fn prefixes(&self) -> usize {
        self.batches.iter().filter(|b| !b.withdraws).map(|b| b.records.len()).sum()
    }

    /// Takes our own locators back; this registration is over.
    pub(super) fn withdraw(&self, local: &Local, nonces: &mut Nonces, out: &mut Actions) {
        let Some(way) = local.way_to(self.registrant.server.address) else { return };
        for batch in self.batches.iter().filter(|b| !(b.withdraws && b.acknowledged)) {
            let nonce = nonces.take(out);
            self.registrant.send_last(batch, nonce, way, out);
        }
    }

    /// Panics where the state contradicts itself.
    pub(super) fn check_invariants(&self) {
        let inside = |&at: &usize| at < self.batches.len();
        assert!(self.unsent.iter().all(inside), "only existing batches wait to be sent");
        assert!(
            self.progress != Progress::Registered || self.prefixes() > 0,
            "registered means something is"
        );
    }

    pub(super) fn status(&self, now: Instant) -> RegistrationStatus {
        let ago = |at: Option<Instant>| at.map(|at| now.since(at).as_secs_f64());
        RegistrationStatus {
            map_server: self.registrant.server.address.to_string(),
            state: self.progress,
            prefixes: self.prefixes(),
            outstanding: self.batches.iter().filter(|b| !b.acknowledged).count(),
            key_id: self.registrant.server.key_id,
            last_register: ago(self.last_sent),
            last_notify: ago(self.last_acknowledged),
            why: self.why_lost.clone(),
        }
    }
}

/// The Map-Server holds the batch's prefixes no longer.
fn forget(known: &mut BTreeSet<EidPrefix>, batch: &Batch) {
    for eid in batch.records.iter().filter_map(|r| r.eid.prefix()) {
        known.remove(&eid);
    }
}

/// A registration as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RegistrationStatus {
    /// With whom.
    pub map_server: String,
    /// How far it is.
    pub state: Progress,
    /// EID-prefixes registered.
    pub prefixes: usize,
    /// Map-Registers not acknowledged.
    pub outstanding: usize,
    /// Which key signs.
    pub key_id: u8,
    /// Seconds since the last Map-Register went out.
    pub last_register: Option<f64>,
    /// Seconds since the last Map-Notify that acknowledged one.
    pub last_notify: Option<f64>,
    /// Why it is lost; empty when it is not.
    pub why: String,
}

/// Until a Map-Register is repeated the first time; doubles each time (RFC 9301 §5.7).
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// And at most (RFC 9301 §5.7).
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// Unanswered Map-Registers until we say so.
const TRIES_UNTIL_LOST: u32 = 3;
/// Withdrawals sent; by then the Map-Server has timed the registration out.
const MAX_WITHDRAWALS: u32 = 8;
/// Withdrawals sent to a Map-Server that does not acknowledge.
const BLIND_WITHDRAWALS: u32 = 3;
/// Nonces of one batch remembered in a round.
const MAX_NONCES: usize = 8;
/// Nonces of former rounds remembered.
const MAX_RETIRED: usize = 4096;
/// Messages sent at once.
const BURST: usize = 16;
/// Between bursts.
const BURST_SPACING: Duration = Duration::from_millis(20);
/// Between rounds while a Map-Server that does not acknowledge may have missed a change, and how
/// long that is (RFC 9301 §8.2).
const QUICK_INTERVAL: Duration = Duration::from_secs(20);
const QUICK_PERIOD: Duration = Duration::from_mins(5);
