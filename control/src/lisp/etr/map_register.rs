//! Map-Registers: which records go into one, and what it says about who sends it.

use std::time::Duration;
use weft_packet::addr::{EidPrefix, Nonce, SiteId, XtrId};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::{
    Action, Authentication, CONTROL_PORT, MapNotify, MapRegister, MappingRecord, NotifyKind, Ttl,
};
use weft_packet::wire::Wire;

use super::database::MAX_RECORDS;
use crate::engine::{self, Actions};
use crate::lisp::config::EtrMapServer;
use crate::lisp::local::Way;

/// Who registers with whom, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registrant {
    pub(super) server: EtrMapServer,
    pub(super) xtr_id: XtrId,
    pub(super) site_id: SiteId,
    pub(super) interval: Duration,
}

/// Records that go together in one Map-Register, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<MappingRecord>,
    /// Octets of the records.
    size: usize,
    pub(super) proxy_reply: bool,
    pub(super) withdraws: bool,
    /// Under which it was sent in this round, the latest last.
    pub(super) nonces: Vec<Nonce>,
    /// How often it was sent in this round without an answer.
    pub(super) tries: u32,
    pub(super) acknowledged: bool,
}

impl Batch {
    /// Whether it is of that kind and `octets` more still pass any path within `room`.
    fn takes(&self, proxy_reply: bool, withdraws: bool, octets: usize, room: usize) -> bool {
        self.proxy_reply == proxy_reply
            && self.withdraws == withdraws
            && self.size + octets <= room
            && self.records.len() < MAX_RECORDS
    }
}

/// Appends a record to one of the last batches that takes it, or to a new one.
pub(super) fn add(
    batches: &mut Vec<Batch>,
    record: MappingRecord,
    proxy_reply: bool,
    withdraws: bool,
    room: usize,
) {
    let octets = record.to_bytes().len();
    let last = batches.iter_mut().rev().take(KINDS);
    let batch = last.into_iter().find(|b| b.takes(proxy_reply, withdraws, octets, room));
    if let Some(batch) = batch {
        batch.size += octets;
        batch.records.push(record);
        return;
    }
    let records = vec![record];
    batches.push(Batch { records, size: octets, proxy_reply, withdraws, ..Batch::default() });
}

impl Registrant {
    /// Octets of records a Map-Register has room for.
    pub(super) fn room(&self) -> usize {
        let empty = self.map_register(&Batch::default(), Nonce(0), false).to_bytes().len();
        largest_message(self.server.address.is_ipv6()).saturating_sub(empty)
    }

    /// A Map-Register, not signed yet.
    ///
    /// Rounds further apart than a registration lives by default tie its life to the record TTL
    /// (T bit).
    fn map_register(&self, batch: &Batch, nonce: Nonce, want_notify: bool) -> MapRegister {
        let named = self.xtr_id != XtrId::default() || self.site_id != SiteId::default();
        MapRegister {
            proxy_reply: batch.proxy_reply,
            use_ttl: self.interval > DEFAULT_INTERVAL,
            merge: self.server.merge,
            want_notify,
            nonce,
            authentication: self.authentication(),
            records: batch.records.clone(),
            xtr: named.then_some((self.xtr_id, self.site_id)),
            ..MapRegister::default()
        }
    }

    fn authentication(&self) -> Authentication {
        let EtrMapServer { key_id, algorithm, truncate, .. } = self.server;
        Authentication::unsigned(key_id, algorithm, !truncate)
    }

    /// Sends the batch as it is.
    pub(super) fn send(&self, batch: &Batch, nonce: Nonce, way: Way, out: &mut Actions) {
        let register = self.map_register(batch, nonce, self.server.want_notify);
        self.push(register.to_bytes(), Purpose::MapRegister, way, out);
    }

    /// Takes our own locators back. What others of the site serve stays registered, and no
    /// answer is waited for.
    pub(super) fn send_last(&self, batch: &Batch, nonce: Nonce, way: Way, out: &mut Actions) {
        let records = batch.records.iter().map(without_own).collect();
        let last = Batch { records, proxy_reply: batch.proxy_reply, ..Batch::default() };
        let register = self.map_register(&last, nonce, false);
        self.push(register.to_bytes(), Purpose::MapRegister, way, out);
    }

    /// Confirms a Map-Notify nobody asked for (RFC 9301 §5.7).
    pub(super) fn send_ack(&self, notify: &MapNotify, way: Way, out: &mut Actions) {
        let ack = MapNotify {
            kind: NotifyKind::Ack,
            authentication: self.authentication(),
            ..notify.clone()
        };
        self.push(ack.to_bytes(), Purpose::MapNotifyAck, way, out);
    }

    fn push(&self, mut bytes: Vec<u8>, purpose: Purpose, way: Way, out: &mut Actions) {
        let EtrMapServer { algorithm, key, truncate, address, .. } = &self.server;
        auth::sign(&mut bytes, purpose, *algorithm, key.expose(), !truncate);
        let to = (*address, CONTROL_PORT).into();
        out.0.push(engine::Action::Send { from: way.from, uplink: way.uplink, to, bytes });
    }
}

/// A record that withdraws `eid`.
pub(super) fn withdrawal(eid: EidPrefix) -> MappingRecord {
    MappingRecord {
        eid: eid.into(),
        ttl: Ttl::REMOVE,
        action: Action::NoAction,
        authoritative: true,
        version: 0,
        locators: Vec::new(),
    }
}

/// What is left of a record when this router goes.
fn without_own(record: &MappingRecord) -> MappingRecord {
    let mut rest = record.clone();
    rest.locators.retain(|locator| !locator.local);
    if rest.locators.is_empty() {
        rest.ttl = Ttl::REMOVE;
    }
    rest
}

/// Octets of UDP payload that pass any path (RFC 9301 §5: 576 and 1280 octets of IP packet).
pub(super) const fn largest_message(ipv6: bool) -> usize {
    if ipv6 { 1280 - 40 - 8 } else { 576 - 20 - 8 }
}

/// Batches being filled at the same time: with and without proxy reply, and withdrawals.
const KINDS: usize = 3;

/// Registrations live three times as long unless the T bit is set (RFC 9301 §8.2).
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
