//! Solicit-Map-Requests: tell those that send to us that a mapping changed (RFC 9301 §6.1).
//!
//! Told are the RLOCs that exchanged packets with us in the last minute, and the configured
//! PITRs. An SMR is one datagram nobody acknowledges, so it is repeated until the ITR's
//! SMR-invoked Map-Request comes by or a few went out. It waits for the Map-Servers to know the
//! new mapping, or the ITR would learn the old one again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;
use weft_fib::UplinkId;
use weft_packet::addr::{EidPrefix, Nonce};
use weft_packet::lisp::{Address, CONTROL_PORT, MapRequest, RequestedEid};
use weft_packet::wire::Wire;

use super::map_register::largest_message;
use crate::engine::{Action, Actions, Instant, Random, Timers, Traffic};
use crate::lisp::local::Local;

/// Who hears about changes, and what is still to be said.
#[derive(Debug, Default)]
pub(super) struct Solicitor {
    /// Counters as last seen.
    counted: HashMap<(UplinkId, IpAddr), u64>,
    /// When a remote RLOC last exchanged packets with us.
    active: HashMap<IpAddr, Instant>,
    /// Repetitions left, for each RLOC and prefix.
    pending: HashMap<IpAddr, BTreeMap<EidPrefix, u32>>,
    /// When each RLOC may be told next.
    due: Timers<IpAddr>,
    /// When each RLOC was told news last.
    told: HashMap<IpAddr, Instant>,
    /// Nothing is said until then.
    held_until: Option<Instant>,
    /// Of all SMRs about the latest change: who gets one at each of its RLOCs can tell that they are
    /// the same news.
    nonce: Nonce,
}

impl Solicitor {
    /// Takes the counters of all pairs of uplink and remote RLOC.
    pub(super) fn traffic(&mut self, now: Instant, pairs: &[Traffic]) {
        let mut counted = HashMap::with_capacity(pairs.len());
        for pair in pairs {
            let key = (pair.uplink, pair.rloc);
            let sum = pair.sent.saturating_add(pair.received);
            if self.counted.get(&key).copied().unwrap_or(0) != sum {
                self.active.insert(pair.rloc, now);
            }
            counted.insert(key, sum);
        }
        self.counted = counted;
        self.active.retain(|_, &mut last| now.since(last) <= AUDIENCE);
        self.told.retain(|_, &mut last| now.since(last) <= SPACING);
    }

    /// These mappings look different now.
    pub(super) fn changed(
        &mut self,
        now: Instant,
        eids: &[EidPrefix],
        proxy_itrs: &[IpAddr],
        random: &mut Random,
    ) {
        let recent = self.active.iter().filter(|&(_, &last)| now.since(last) <= AUDIENCE);
        let audience: HashSet<IpAddr> =
            recent.map(|(&rloc, _)| rloc).chain(proxy_itrs.iter().copied()).collect();
        if eids.is_empty() || audience.is_empty() {
            return;
        }
        self.held_until = Some(now + HOLD);
        self.nonce = Nonce(random.u64());
        for rloc in audience {
            let at = self.told.get(&rloc).map_or(now, |&told| now.max(told + SPACING));
            self.due.set_earlier(rloc, at);
            let pending = self.pending.entry(rloc).or_default();
            pending.extend(eids.iter().map(|&eid| (eid, REPEATS)));
        }
    }

    /// The Map-Servers know what there is to know.
    pub(super) fn release(&mut self) {
        self.held_until = None;
    }

    /// An ITR asks because of an SMR: it has been told, if we told it.
    pub(super) fn invoked(&mut self, request: &MapRequest) {
        for rloc in request.itr_rlocs.iter().filter_map(Address::ip) {
            let Some(pending) = self.pending.get_mut(&rloc) else { continue };
            for asked in request.eids.iter().filter_map(|e| e.eid.prefix()) {
                pending.retain(|eid, left| {
                    *left == REPEATS || !eid.covers(asked) && !asked.covers(*eid)
                });
            }
        }
    }

    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let due = self.due.next()?;
        Some(self.held_until.map_or(due, |held| held.max(due)))
    }

    pub(super) fn tick(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        if self.held_until.is_some_and(|held| now < held) {
            return;
        }
        self.held_until = None;
        while let Some(rloc) = self.due.due(now) {
            self.tell(now, rloc, local, out);
        }
    }

    /// Sends `rloc` one SMR about as much as it takes at once.
    fn tell(&mut self, now: Instant, rloc: IpAddr, local: &Local, out: &mut Actions) {
        let Some(pending) = self.pending.get_mut(&rloc) else { return };
        let news = pending.values().any(|&left| left == REPEATS);
        let eids = next(pending, rloc, news);
        pending.retain(|_, left| *left > 0);
        let finished = pending.is_empty();
        if let Some(way) = local.way_to(rloc)
            && !eids.is_empty()
        {
            let bytes = smr(&eids, local, self.nonce).to_bytes();
            let to = (rloc, CONTROL_PORT).into();
            out.0.push(Action::Send { from: way.from, uplink: way.uplink, to, bytes });
            // A repetition must not keep the next change waiting.
            if news {
                self.told.insert(rloc, now);
            }
        }
        if finished {
            self.pending.remove(&rloc);
        } else {
            self.due.set(rloc, now + SPACING);
        }
    }

    /// RLOCs that would hear of a change now.
    pub(super) fn audience(&self) -> usize {
        self.active.len()
    }
}

/// What the next SMR is about. The first names all that changed, as many as pass any path; it is
/// repeated one by one where there are few, the last first, since some receivers look at the first
/// record only. Those said least often come first.
fn next(pending: &mut BTreeMap<EidPrefix, u32>, rloc: IpAddr, news: bool) -> Vec<EidPrefix> {
    let room = largest_message(rloc.is_ipv6()).saturating_sub(HEADER) / RECORD;
    let together = news || pending.len() > FEW;
    let count = if together { room.min(MAX_RECORDS) } else { 1 };
    let mut order: Vec<_> = pending.iter_mut().collect();
    if !together {
        order.reverse();
    }
    order.sort_by_key(|(_, left)| std::cmp::Reverse(**left));
    let said = order.into_iter().take(count).map(|(&eid, left)| {
        *left = left.saturating_sub(1);
        eid
    });
    said.collect()
}

/// An SMR says which prefix changed both as the record and as its source EID: receivers differ in
/// where they look.
fn smr(eids: &[EidPrefix], local: &Local, nonce: Nonce) -> MapRequest {
    let source_eid = eids
        .first()
        .map(|eid| Address::in_instance(eid.instance, eid.prefix.address()))
        .unwrap_or_default();
    let mut itr_rlocs: Vec<_> = local.itr_rlocs().into_iter().map(Address::Ip).collect();
    itr_rlocs.truncate(MAX_ITR_RLOCS);
    if itr_rlocs.is_empty() {
        itr_rlocs.push(Address::None);
    }
    MapRequest {
        smr: true,
        no_reply: true,
        nonce,
        source_eid,
        itr_rlocs,
        eids: eids.iter().map(|&e| RequestedEid { subscribe: false, eid: e.into() }).collect(),
        ..MapRequest::default()
    }
}

/// Who exchanged packets with us for less than that is told (RFC 9301 §6.1).
const AUDIENCE: Duration = Duration::from_mins(1);
/// Between two SMRs to one RLOC (RFC 9301 §6.1).
const SPACING: Duration = Duration::from_secs(3);
/// How long to wait for the Map-Servers to learn the change.
const HOLD: Duration = Duration::from_secs(1);
/// SMRs about one change.
const REPEATS: u32 = 3;
/// Up to so many prefixes are repeated one by one.
const FEW: usize = 3;
/// Octets before the records, at most.
const HEADER: usize = 12 + 20 + MAX_ITR_RLOCS * 18;
/// Octets of a record, at most: IPv6 within an Instance-ID LCAF.
const RECORD: usize = 2 + 2 + 12 + 18;
/// Records of an SMR.
const MAX_RECORDS: usize = 255;
/// ITR-RLOCs of an SMR.
const MAX_ITR_RLOCS: usize = 8;
