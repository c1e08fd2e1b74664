//! Answers to Map-Requests and RLOC-probes (RFC 9301 §5.5, §7.1).
//!
//! An ETR speaks for its own EID-prefixes: its records are authoritative. What others still send
//! here although it is not ours gets a negative answer that does not last. A probe is answered
//! whatever it asks about, from the address it came to, or it would prove nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::{Action, Address, Locator, MapReply, MapRequest, MappingRecord};
use weft_packet::wire::Wire;

use super::database::{Database, TEMPORARY_TTL};
use super::map_register::largest_message;
use crate::engine::{self, Actions, Instant, Random};
use crate::lisp::event::Refusal;
use crate::lisp::local::{Local, Way};
use crate::lisp::rate::{Limiter, Rate};
use crate::lisp::rloc::routable;

/// A Map-Request to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked.
    pub request: &'a MapRequest,
    /// Who asks, by the innermost UDP header: the answer goes to this port.
    pub source: SocketAddr,
    /// The local address the datagram came to.
    pub to: IpAddr,
}

/// Limits how much is answered.
#[derive(Debug)]
pub(super) struct Answers {
    replies: Limiter,
    probes: Limiter,
}

impl Answers {
    pub(super) fn new(random: &mut Random) -> Self {
        Self { replies: Limiter::new(REPLIES, random), probes: Limiter::new(PROBES, random) }
    }

    /// Answers a Map-Request that is no probe.
    pub(super) fn reply(
        &mut self,
        now: Instant,
        question: Question<'_>,
        database: &Database,
        local: &Local,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        let (to, way) = destination(&question, local).ok_or(Refusal::NoItrRloc)?;
        let asked = asked(question.request)?;
        if !self.replies.admit((to.ip(), asked), now) {
            return Err(Refusal::RateLimited);
        }
        let mut records = Vec::new();
        let mut room = largest_message(to.is_ipv6()).saturating_sub(HEADER);
        for eid in question.request.eids.iter().filter_map(|e| e.eid.prefix()) {
            let found = or_negative(records_for(database, eid, room), eid);
            let octets = found.iter().map(|r| r.to_bytes().len()).sum();
            if records.is_empty() || octets <= room {
                room = room.saturating_sub(octets);
                records.extend(found);
            }
        }
        send(question.request, records, to, way, out);
        Ok(())
    }

    /// Answers an RLOC-probe. A Proxy-ETR answers for whatever it is probed with.
    pub(super) fn probe(
        &mut self,
        now: Instant,
        question: Question<'_>,
        database: &Database,
        proxy: bool,
        local: &Local,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        if !self.probes.admit(question.source.ip(), now) {
            return Err(Refusal::RateLimited);
        }
        let asked = asked(question.request)?;
        let room = largest_message(question.source.is_ipv6()).saturating_sub(HEADER);
        let mut records = records_for(database, asked, room);
        if records.is_empty() && proxy {
            records.push(through(question.to, asked));
        }
        let mut records = or_negative(records, asked);
        for locator in records.iter_mut().flat_map(|r| &mut r.locators) {
            locator.probed = locator.address == Address::Ip(question.to);
        }
        let way = local.way_from(question.to);
        send(question.request, records, question.source, way, out);
        Ok(())
    }
}

/// The first EID asked for.
fn asked(request: &MapRequest) -> Result<EidPrefix, Refusal> {
    request.eids.iter().find_map(|e| e.eid.prefix()).ok_or(Refusal::UnsupportedEid)
}

/// Where the answer goes: to the ITR-RLOC that sent the request if it is one, else to the first
/// we can reach.
fn destination(question: &Question<'_>, local: &Local) -> Option<(SocketAddr, Way)> {
    let rlocs = question.request.itr_rlocs.iter().filter_map(Address::ip);
    let mut usable: Vec<_> = rlocs
        .filter(|&rloc| routable(rloc, question.source.ip()))
        .filter_map(|rloc| Some((rloc, local.way_to(rloc)?)))
        .collect();
    usable.sort_by_key(|&(rloc, _)| rloc != question.source.ip());
    let &(rloc, way) = usable.first()?;
    Some((SocketAddr::new(rloc, question.source.port()), way))
}

/// Ours that answer `asked`: what covers it, else what lies inside.
fn records_for(database: &Database, asked: EidPrefix, room: usize) -> Vec<MappingRecord> {
    let covering = database.answer(asked, room);
    if covering.is_empty() { database.fitting(asked, room).0 } else { covering }
}

fn or_negative(records: Vec<MappingRecord>, asked: EidPrefix) -> Vec<MappingRecord> {
    if !records.is_empty() {
        return records;
    }
    let action = Action::NativelyForward;
    vec![MappingRecord {
        eid: asked.into(),
        ttl: TEMPORARY_TTL,
        action,
        authoritative: true,
        version: 0,
        locators: Vec::new(),
    }]
}

/// What a Proxy-ETR says about any prefix: it can be reached through the address that was asked.
fn through(address: IpAddr, asked: EidPrefix) -> MappingRecord {
    MappingRecord {
        eid: asked.into(),
        ttl: TEMPORARY_TTL,
        action: Action::NoAction,
        authoritative: true,
        version: 0,
        locators: vec![Locator { local: true, probed: true, ..Locator::unicast(address, 1, 100) }],
    }
}

fn send(
    request: &MapRequest,
    records: Vec<MappingRecord>,
    to: SocketAddr,
    way: Way,
    out: &mut Actions,
) {
    let reply =
        MapReply { probe: request.probe, nonce: request.nonce, records, ..MapReply::default() };
    let bytes = reply.to_bytes();
    out.0.push(engine::Action::Send { from: way.from, uplink: way.uplink, to, bytes });
}

/// Octets of a Map-Reply besides its records.
const HEADER: usize = 12;

/// For one ITR-RLOC and one EID. RFC 9301 §5.4 recommends one each three seconds for a whole
/// RLOC, which would starve an ITR with many destinations; a few at once let lost ones be asked
/// for again.
const REPLIES: Rate = Rate { period: Duration::from_secs(3), burst: 4 };

/// For one prober, however many locators and prefixes it watches here.
const PROBES: Rate = Rate { period: Duration::from_millis(10), burst: 100 };
