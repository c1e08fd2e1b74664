//! When and whom to ask: regular rounds, suspects, and witnesses that tell a dead uplink from a
//! dead RLOC.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use weft_fib::UplinkId;
use weft_packet::addr::Nonce;
use weft_packet::lisp::{Address, CONTROL_PORT, Eid, MapReply, MapRequest, Message, RequestedEid};
use weft_packet::wire::Wire;

use super::asked::Probe;
use super::link::LinkId;
use super::pair::{Health, Step, Suspicion};
use super::status::State;
use super::{Prober, Timer, Timing};
use crate::engine::{Action, Actions, Datagram, Instant};
use crate::lisp::event::{Direction, Refusal};
use crate::lisp::trace;

/// Regular rounds begin at so many moments of an interval, to share wake-ups.
const MOMENTS: u32 = 40;
/// A new RLOC is probed within this.
const SOON: Duration = Duration::from_secs(1);
/// At least this lies between rounds on average; with very many RLOCs the interval stretches.
const ROUND_GAP: Duration = Duration::from_millis(2);
/// So many RLOCs decide about an uplink when there are more: the suspect and its witnesses.
pub(super) const JURY: usize = 4;

impl Prober {
    /// Asks through all pairs that are not being asked anyway, and sets the time of the next round.
    pub(super) fn round(&mut self, now: Instant, rloc: IpAddr, out: &mut Actions) {
        let interval = self.least_spread();
        let (Some(timing), Some(remote)) = (self.timing, self.remotes.get_mut(&rloc)) else {
            return;
        };
        let interval = interval.max(timing.interval);
        let delay = if std::mem::replace(&mut remote.spread, true) {
            self.random.jitter(interval, 25)
        } else {
            self.random.jitter(interval * 5 / 8, 60)
        };
        self.timers.set(Timer::Round(rloc), moment(now + delay, timing));
        let mut asked = Vec::new();
        for pair in &remote.pairs {
            let (timer, overdue) = (Timer::Pair(rloc, pair.uplink), now + pair.slot(timing));
            match pair.health {
                Health::Up => self.timers.set_earlier(timer, overdue),
                Health::Failed { .. } => self.timers.set(timer, overdue),
                Health::Suspect { .. } => continue,
            }
            asked.push(pair.uplink);
        }
        for uplink in asked {
            self.ask(now, rloc, uplink, out);
        }
    }

    /// Sets the first round of an RLOC: soon, but not all at once.
    pub(super) fn schedule_first(&mut self, now: Instant, rloc: IpAddr) {
        let Some(timing) = self.timing else { return };
        let spread = SOON.min(timing.interval).max(self.least_spread());
        let delay = self.random.below(u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX));
        let at = moment(now + Duration::from_nanos(delay), timing);
        self.timers.set(Timer::Round(rloc), at);
    }

    /// Within this all RLOCs can be probed without a storm.
    fn least_spread(&self) -> Duration {
        ROUND_GAP.saturating_mul(u32::try_from(self.remotes.len()).unwrap_or(u32::MAX))
    }

    /// A pair's answer is overdue.
    pub(super) fn overdue(
        &mut self,
        now: Instant,
        rloc: IpAddr,
        uplink: UplinkId,
        out: &mut Actions,
    ) {
        let Some(timing) = self.timing else { return };
        let Some(pair) = self.remotes.get_mut(&rloc).and_then(|r| r.pair_mut(uplink)) else {
            return;
        };
        match pair.health {
            Health::Up => self.check(now, rloc, uplink, Suspicion::Unanswered, out),
            Health::Suspect { .. } => {
                let step = pair.step(timing);
                self.pursue(now, rloc, uplink, step, out);
            }
            Health::Failed { .. } => {
                pair.still_failed();
                self.unsettled_links.insert(LinkId::towards(rloc, uplink));
            }
        }
    }

    /// Asks a pair in quick succession from now on, unless it is being asked or failed.
    pub(super) fn check(
        &mut self,
        now: Instant,
        rloc: IpAddr,
        uplink: UplinkId,
        why: Suspicion,
        out: &mut Actions,
    ) {
        let Some(timing) = self.timing else { return };
        let Some(pair) = self.remotes.get_mut(&rloc).and_then(|r| r.pair_mut(uplink)) else {
            return;
        };
        if pair.health != Health::Up {
            return;
        }
        let wait = pair.suspect(now, why, timing);
        self.timers.set(Timer::Pair(rloc, uplink), now + wait);
        self.ask(now, rloc, uplink, out);
    }

    /// Does what the next step of a suspected pair says.
    fn pursue(
        &mut self,
        now: Instant,
        rloc: IpAddr,
        uplink: UplinkId,
        step: Step,
        out: &mut Actions,
    ) {
        self.unsettled.insert(rloc);
        match step {
            Step::End => {
                self.unsettled_links.insert(LinkId::towards(rloc, uplink));
            }
            Step::Next { ask, wait, widen } => {
                self.timers.set(Timer::Pair(rloc, uplink), now + wait);
                if ask {
                    self.ask(now, rloc, uplink, out);
                }
                if let Some((since, why)) = widen {
                    self.widen(now, (rloc, uplink), since, why, out);
                }
            }
        }
    }

    /// The first probe to a suspect was not answered quickly: asks the same RLOC through the other
    /// uplinks and other RLOCs through the same uplink.
    fn widen(
        &mut self,
        now: Instant,
        (rloc, uplink): (IpAddr, UplinkId),
        since: Instant,
        why: Suspicion,
        out: &mut Actions,
    ) {
        let why = if why == Suspicion::Silence { why } else { Suspicion::Routine };
        let pairs = self.remotes.get(&rloc).map_or(&[][..], |remote| &remote.pairs);
        let siblings = pairs.iter().filter(|p| p.uplink != uplink && !p.answered_after(since));
        for sibling in siblings.map(|pair| pair.uplink).collect::<Vec<_>>() {
            self.check(now, rloc, sibling, why, out);
        }
        for witness in self.witnesses(now, rloc, uplink, since) {
            self.check(now, witness, uplink, why, out);
        }
    }

    /// RLOCs to ask through the uplink of a suspect: those packets go to, then those that answered
    /// most recently. None while an answer of the time since, or witnesses asked a moment ago,
    /// will do.
    fn witnesses(
        &mut self,
        now: Instant,
        rloc: IpAddr,
        uplink: UplinkId,
        since: Instant,
    ) -> Vec<IpAddr> {
        let id = LinkId::towards(rloc, uplink);
        let (Some(timing), Some(link)) = (self.timing, self.link_mut(id)) else { return vec![] };
        let asked = link.widened.is_some_and(|at| now.since(at) < timing.retry_interval);
        if asked || link.last_answer.is_some_and(|at| at > since) {
            return vec![];
        }
        link.widened = Some(now);
        let mut healthy: Vec<_> = self
            .remotes
            .iter()
            .filter(|(other, _)| **other != rloc && other.is_ipv6() == id.ipv6)
            .filter_map(|(other, remote)| remote.pair(uplink).map(|pair| (pair, *other)))
            .filter(|(pair, _)| pair.health == Health::Up)
            .map(|(pair, other)| (pair.data.sent_at(), pair.last_answer, other))
            .collect();
        healthy.sort_unstable_by(|a, b| b.cmp(a));
        healthy.into_iter().take(JURY - 1).map(|(_, _, other)| other).collect()
    }

    /// Sends one probe.
    fn ask(&mut self, now: Instant, rloc: IpAddr, uplink: UplinkId, out: &mut Actions) {
        let nonce = Nonce(self.random.u64());
        let Some(remote) = self.remotes.get_mut(&rloc) else { return };
        let about = Eid::from(remote.about);
        let Some(pair) = remote.pair_mut(uplink) else { return };
        pair.sent += 1;
        let local = pair.local;
        self.asked.insert(nonce, Probe { rloc, uplink, local, sent: now });
        let to = SocketAddr::new(rloc, CONTROL_PORT);
        let request = Message::MapRequest(MapRequest {
            probe: true,
            nonce,
            source_eid: Address::None,
            itr_rlocs: vec![Address::Ip(local)],
            eids: vec![RequestedEid { subscribe: false, eid: about }],
            ..MapRequest::default()
        });
        if self.trace {
            let mut said = trace::summary(&request);
            said.detail = format!("{}, from {local}", said.detail);
            out.notify(said.event(Direction::Out, to));
        }
        let bytes = request.to_bytes();
        out.0.push(Action::Send { from: Some(local), uplink: Some(uplink), to, bytes });
    }

    /// Takes an answer, or says why not.
    pub(super) fn accept(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        reply: &MapReply,
        out: &mut Actions,
    ) -> Result<(), (Refusal, String)> {
        let unknown = || (Refusal::UnknownNonce, format!("nonce {} is of no probe", reply.nonce));
        let probe = self.asked.get(reply.nonce).ok_or_else(unknown)?;
        check_answer(datagram.from.ip(), reply, probe.rloc)?;
        self.asked.remove(reply.nonce);
        let remote = self.remotes.get_mut(&probe.rloc).ok_or_else(unknown)?;
        let pair = remote.pair_mut(probe.uplink).filter(|pair| pair.local == probe.local);
        let changed = pair.ok_or_else(unknown)?.answer(now, probe.sent);
        let first = !std::mem::replace(&mut remote.answered, true);
        let id = LinkId::towards(probe.rloc, probe.uplink);
        if changed || first || remote.state == State::Down {
            self.unsettled.insert(probe.rloc);
            self.unsettled_links.insert(id);
        }
        self.timers.cancel(&Timer::Pair(probe.rloc, probe.uplink));
        if let Some(link) = self.link_mut(id) {
            link.last_answer = Some(now);
        }
        if self.trace {
            let mut said = trace::summary(&Message::MapReply(reply.clone()));
            let rtt = now.since(probe.sent);
            said.detail = format!("{}, to {} after {rtt:.1?}", said.detail, probe.local);
            out.notify(said.event(Direction::In, datagram.from));
        }
        Ok(())
    }
}

/// Whether a Map-Reply answers the probe of `rloc` (RFC 9301 §5.4: all records authoritative).
fn check_answer(from: IpAddr, reply: &MapReply, rloc: IpAddr) -> Result<(), (Refusal, String)> {
    if from != rloc {
        let detail = format!("{rloc} was probed, and {from} answers");
        return Err((Refusal::WrongAnswer, detail));
    }
    if reply.records.is_empty() || !reply.records.iter().all(|record| record.authoritative) {
        let detail = "a probe is answered with authoritative records only (A bit)".to_owned();
        return Err((Refusal::WrongAnswer, detail));
    }
    Ok(())
}

/// The next moment rounds begin at.
fn moment(at: Instant, timing: Timing) -> Instant {
    let grid = u64::try_from((timing.interval / MOMENTS).as_nanos()).unwrap_or(u64::MAX).max(1);
    let nanos = u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX);
    Instant::after_start(Duration::from_nanos(nanos.div_ceil(grid).saturating_mul(grid)))
}
