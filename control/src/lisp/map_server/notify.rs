//! Unsolicited Map-Notifies: every xTR of a merged EID-prefix hears when the union changes
//! (RFC 9301 §5.7, RFC 8378 §5).
//!
//! Each xTR has at most one outstanding; what changes meanwhile waits and is written when its turn
//! comes, so nobody is told something stale and nobody is flooded (RFC 8085 §3.1).

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::FixedState;
use weft_packet::addr::{EidPrefix, Nonce};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::{MapNotify, MappingRecord, NotifyKind};
use weft_packet::wire::{Wire, Writer};

use super::xtr::{Identity, XtrIndex};
use super::{MapServer, Refusing, payload_bound};
use crate::engine::{Actions, Datagram, Instant, Timers};
use crate::lisp::event::{Direction, Refusal};

/// What is to be told to whom.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    outboxes: HashMap<XtrIndex, Outbox, FixedState>,
    /// Which xTR a Map-Notify-Ack is from.
    outstanding: HashMap<Nonce, XtrIndex, FixedState>,
    timers: Timers<XtrIndex>,
}

#[derive(Debug, Default)]
struct Outbox {
    waiting: BTreeSet<EidPrefix>,
    flight: Option<Flight>,
}

/// A Map-Notify that was not acknowledged yet.
#[derive(Debug)]
struct Flight {
    nonce: Nonce,
    to: SocketAddr,
    bytes: Vec<u8>,
    /// Retransmissions so far.
    again: u32,
}

impl Notifier {
    /// An xTR whose Map-Notify was not acknowledged in time.
    pub(super) fn due(&mut self, now: Instant) -> Option<XtrIndex> {
        self.timers.due(now)
    }

    /// When the next one is.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        self.timers.next()
    }

    /// Drops all that an xTR was to be told.
    pub(super) fn forget(&mut self, xtr: XtrIndex) {
        let flight = self.outboxes.remove(&xtr).and_then(|outbox| outbox.flight);
        if let Some(flight) = flight {
            self.outstanding.remove(&flight.nonce);
        }
        self.timers.cancel(&xtr);
    }

    /// Map-Notifies not acknowledged yet.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Ends the flight of an xTR.
    fn land(&mut self, xtr: XtrIndex) {
        self.timers.cancel(&xtr);
        if let Some(flight) = self.outboxes.get_mut(&xtr).and_then(|outbox| outbox.flight.take()) {
            self.outstanding.remove(&flight.nonce);
        }
    }
}

impl MapServer {
    /// Tells all xTRs of a merged EID-prefix how it is now.
    pub(super) fn announce(&mut self, now: Instant, eid: EidPrefix, out: &mut Actions) {
        let Some(mapping) = self.database.find(eid) else { return };
        let merges = self.sites.of(self.database.mapping(mapping).holding).config.merge
            || self.database.answer(mapping).flags.merge;
        if !merges {
            return;
        }
        let members: Vec<_> = self
            .database
            .registrations(mapping)
            .map(|id| self.database.registration(id).xtr)
            .filter(|xtr| self.xtrs.get(*xtr).wants_notify)
            .collect();
        for xtr in members {
            let outbox = self.notifier.outboxes.entry(xtr).or_default();
            if outbox.waiting.len() < WAITING {
                outbox.waiting.insert(eid);
            }
            if outbox.flight.is_none() {
                self.notify_next(now, xtr, out);
            }
        }
    }

    /// Takes a Map-Notify-Ack. One nobody waits for is not remarkable: peers acknowledge
    /// solicited Map-Notifies too.
    pub fn ack(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        message: &MapNotify,
        out: &mut Actions,
    ) {
        let kind = match message.kind {
            NotifyKind::Ack => "map-notify-ack",
            NotifyKind::Notify => "map-notify",
        };
        let eid = message.records.first().and_then(|record| record.eid.prefix());
        let detail = || format!("nonce {}", message.nonce);
        self.traced(Direction::In, kind, datagram.from, eid, detail, out);
        if message.kind == NotifyKind::Notify {
            let refusing = Refusing::new(Refusal::NotForUs, eid, "");
            return self.refuse(now, kind, datagram.from, refusing, out);
        }
        let Some(&xtr) = self.notifier.outstanding.get(&message.nonce) else { return };
        let site = self.sites.site(self.xtrs.get(xtr).site);
        let key = site.key(message.authentication.key_id);
        let verified =
            key.map(|key| auth::verify(datagram.bytes, Purpose::MapNotifyAck, key).is_ok());
        let reason = match verified {
            None => Refusal::UnknownKey,
            Some(false) => Refusal::WrongKey,
            Some(true) => {
                self.counters.map_notify_acks += 1;
                self.xtrs.get_mut(xtr).mute = false;
                self.notifier.land(xtr);
                return self.notify_next(now, xtr, out);
            }
        };
        let refusing = Refusing::new(reason, eid, site.config.name.clone());
        self.refuse(now, kind, datagram.from, refusing, out);
    }

    /// Sends again what was not acknowledged; an xTR that never does is not asked to any more.
    pub(super) fn notify_again(&mut self, now: Instant, xtr: XtrIndex, out: &mut Actions) {
        let mute = self.xtrs.get(xtr).mute;
        let flight = self.notifier.outboxes.get_mut(&xtr).and_then(|outbox| outbox.flight.as_mut());
        match flight {
            Some(flight) if !mute && flight.again < RETRANSMISSIONS => {
                flight.again += 1;
                let (to, bytes, again) = (flight.to, flight.bytes.clone(), flight.again);
                self.notifier.timers.set(xtr, now + patience(again));
                self.counters.map_notify_retransmissions += 1;
                let detail = || format!("retransmission {again}");
                self.traced(Direction::Out, "map-notify", to, None, detail, out);
                self.send(self.xtrs.get(xtr).to, to, bytes, out);
            }
            _ => {
                self.xtrs.get_mut(xtr).mute = true;
                self.notifier.land(xtr);
                self.notify_next(now, xtr, out);
            }
        }
    }

    /// Sends as much of what waits for an xTR as one datagram takes.
    fn notify_next(&mut self, now: Instant, index: XtrIndex, out: &mut Actions) {
        let records = self.waiting_records(index);
        let xtr = self.xtrs.get(index);
        let key = self.sites.site(xtr.site).key(xtr.signer.key_id);
        let (Some(key), false) = (key, records.is_empty()) else {
            return self.notifier.forget(index);
        };
        let nonce = Nonce(self.random.u64().max(1));
        let ids = match xtr.identity {
            Identity::Named(xtr, site) => Some((xtr, site)),
            Identity::Address(_) => None,
        };
        let eid = records.first().and_then(|record| record.eid.prefix());
        let notify = MapNotify { nonce, records, xtr: ids, ..MapNotify::default() };
        let bytes = xtr.signer.sign(notify, key);
        let (to, ours) = (xtr.notify_address(), xtr.to);
        let flight = Flight { nonce, to, bytes: bytes.clone(), again: 0 };
        self.notifier.outstanding.insert(nonce, index);
        self.notifier.outboxes.entry(index).or_default().flight = Some(flight);
        self.notifier.timers.set(index, now + patience(0));
        self.counters.map_notifies += 1;
        let detail = || format!("unsolicited, nonce {nonce}");
        self.traced(Direction::Out, "map-notify", to, eid, detail, out);
        self.send(ours, to, bytes, out);
    }

    /// Takes what fits a datagram from what waits for an xTR, as it is now.
    fn waiting_records(&mut self, index: XtrIndex) -> Vec<MappingRecord> {
        let xtr = self.xtrs.get(index);
        let room = payload_bound(xtr.from.ip()) - AROUND_RECORDS;
        let Some(outbox) = self.notifier.outboxes.get_mut(&index) else { return Vec::new() };
        let (mut records, mut written) = (Vec::new(), Writer::default());
        while let Some(eid) = outbox.waiting.first().copied() {
            if let Some(mapping) = self.database.find(eid) {
                let answer = self.database.answer(mapping);
                let record = answer.record(eid, answer.ttl);
                record.write(&mut written);
                if written.len() > room && !records.is_empty() {
                    break;
                }
                records.push(record);
            }
            outbox.waiting.pop_first();
        }
        records
    }
}

/// How long an acknowledgement is waited for after so many retransmissions: 3 s three times, then
/// twice as long each time.
fn patience(again: u32) -> Duration {
    Duration::from_secs(3) * (1 << again.saturating_sub(2))
}

/// Three at 3 s, three more backed off.
const RETRANSMISSIONS: u32 = 6;
/// EID-prefixes that may wait for one xTR.
const WAITING: usize = 4096;
/// Header, MAC and ids.
const AROUND_RECORDS: usize = 16 + 32 + 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_three_seconds_then_doubling() {
        let waits: Vec<_> = (0..=RETRANSMISSIONS).map(|again| patience(again).as_secs()).collect();
        assert_eq!(waits, [3, 3, 3, 6, 12, 24, 48]);
    }
}
