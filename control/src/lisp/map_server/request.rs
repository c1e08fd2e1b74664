//! Taking Map-Requests (RFC 9301 §5.2, §8.3): answering them, or passing them on to an ETR.
//!
//! ITRs ask one question a message. Where one holds several, a single datagram goes out: what can
//! be answered here is answered, and only if nothing can is the message passed on.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use weft_packet::addr::{EidPrefix, Nonce};
use weft_packet::lisp::{
    Action, Address, CONTROL_PORT, Encapsulated, MapReply, MapRequest, MappingRecord, Message, Ttl,
};
use weft_packet::wire::{Wire, Writer};

use super::answer::{Answer, Question, nothing};
use super::database::MappingId;
use super::{MapServer, Refusing, SHORT_TTL, joined, payload_bound};
use crate::engine::{Actions, Datagram, Instant};
use crate::lisp::event::{Direction, Refusal};
use crate::lisp::rate::network;
use crate::lisp::rloc::routable;

/// A Map-Request and how it came.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    datagram: Datagram<'a>,
    request: &'a MapRequest,
    /// The ECM around it, if it came in one.
    encapsulated: Option<&'a Encapsulated>,
    negative_ttl: Duration,
}

impl MapServer {
    /// Takes a Map-Request that came by itself.
    pub fn request(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        request: &MapRequest,
        out: &mut Actions,
    ) {
        let asked = Asked { datagram, request, encapsulated: None, negative_ttl: NEGATIVE_TTL };
        self.asked(now, asked, out);
    }

    /// Takes an Encapsulated Control Message: its Map-Request is answered to the inner source port.
    /// `negative_ttl` is the life time of answers about prefixes no site holds.
    pub fn encapsulated(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        message: &Encapsulated,
        negative_ttl: Duration,
        out: &mut Actions,
    ) {
        let request = match check_encapsulated(message) {
            Ok(request) => request,
            Err(refusing) => return self.refuse(now, "ecm", datagram.from, refusing, out),
        };
        let asked = Asked { datagram, request, encapsulated: Some(message), negative_ttl };
        self.asked(now, asked, out);
    }

    fn asked(&mut self, now: Instant, asked: Asked<'_>, out: &mut Actions) {
        self.counters.map_requests += 1;
        let Asked { datagram, request, .. } = asked;
        let first = request.eids.first().and_then(|asked| asked.eid.prefix());
        let detail = || describe(request);
        self.traced(Direction::In, KIND, datagram.from, first, detail, out);
        let result = self.admit(now, asked).map(|itr| self.answer_all(asked, itr, out));
        if let Err(refusing) = result.flatten() {
            self.refuse(now, KIND, datagram.from, refusing, out);
        }
    }

    /// Where the answer goes; `Err` when there shall not be one.
    fn admit(&mut self, now: Instant, asked: Asked<'_>) -> Result<SocketAddr, Refusing> {
        let Asked { datagram, request, encapsulated, .. } = asked;
        let first = request.eids.first().and_then(|asked| asked.eid.prefix());
        let refusing = |reason, detail: &str| Err(Refusing::new(reason, first, detail));
        if !self.requests.admit(network(datagram.from.ip()), now) {
            return refusing(Refusal::RateLimited, "");
        }
        if request.probe {
            return refusing(Refusal::ProbeNotAllowed, "");
        }
        if request.smr {
            return refusing(Refusal::NotForUs, "a Solicit-Map-Request");
        }
        let asker = encapsulated.map_or(datagram.from, |message| message.source);
        if asker.port() == 0 {
            return refusing(Refusal::Inconsistent, "source port 0");
        }
        match self.itr_rloc(datagram, request) {
            Some(rloc) => Ok(SocketAddr::new(rloc, asker.port())),
            None => refusing(
                Refusal::NoItrRloc,
                &joined(request.itr_rlocs.iter().filter_map(Address::ip)),
            ),
        }
    }

    /// The ITR-RLOC to answer to: of the family the question came by, else one we have a way to.
    fn itr_rloc(&self, datagram: Datagram<'_>, request: &MapRequest) -> Option<IpAddr> {
        let usable = || {
            request
                .itr_rlocs
                .iter()
                .filter_map(Address::ip)
                .filter(|rloc| routable(*rloc, datagram.from.ip()))
        };
        usable()
            .find(|rloc| rloc.is_ipv6() == datagram.from.is_ipv6())
            .or_else(|| usable().find(|rloc| self.local.source_for(*rloc).is_some()))
            .or_else(|| usable().find(|rloc| self.local.way_to(*rloc).is_some()))
    }

    fn answer_all(
        &mut self,
        asked: Asked<'_>,
        itr: SocketAddr,
        out: &mut Actions,
    ) -> Result<(), Refusing> {
        let Asked { request, negative_ttl, .. } = asked;
        if request.no_reply {
            return Ok(());
        }
        let mut room = payload_bound(itr.ip()) - AROUND_RECORDS;
        let (mut records, mut etr, mut unsupported) = (Vec::new(), None, None);
        for asked in &request.eids {
            let Some(eid) = asked.eid.prefix() else {
                unsupported = Some(format!("{:?}", asked.eid));
                continue;
            };
            let authoritative = request.authoritative;
            let question = Question { eid, itr: itr.ip(), authoritative, negative_ttl, room };
            match self.answer(&question) {
                Answer::Records(found) => {
                    let single = request.eids.len() == 1;
                    let length = if single { 0 } else { written_length(&found) };
                    if length > room && !records.is_empty() {
                        break;
                    }
                    room = room.saturating_sub(length);
                    records.extend(found);
                }
                Answer::Etr(mapping) => etr = etr.or(Some((eid, mapping))),
            }
        }
        if !records.is_empty() {
            self.reply(asked.datagram, request.nonce, itr, records, out);
        } else if let Some((eid, mapping)) = etr {
            self.pass_on(asked, itr, eid, mapping, out);
        } else if let Some(detail) = unsupported {
            return Err(Refusing::new(Refusal::UnsupportedEid, None, detail));
        }
        Ok(())
    }

    fn reply(
        &mut self,
        datagram: Datagram<'_>,
        nonce: Nonce,
        itr: SocketAddr,
        records: Vec<MappingRecord>,
        out: &mut Actions,
    ) {
        let negative = records.iter().all(|record| record.locators.is_empty());
        if negative {
            self.counters.negative_replies += 1;
        } else {
            self.counters.map_replies += 1;
        }
        let eid = records.first().and_then(|record| record.eid.prefix());
        let detail = || {
            let locators = records.iter().flat_map(|record| &record.locators);
            let locators = joined(locators.filter_map(|locator| locator.address.ip()));
            format!("nonce {nonce} records {} {locators}", records.len())
        };
        self.traced(Direction::Out, "map-reply", itr, eid, detail, out);
        let bytes = MapReply { nonce, records, ..MapReply::default() }.to_bytes();
        self.send(datagram.to, itr, bytes, out);
    }

    /// Passes a Map-Request on to an ETR, unchanged but for the flags around it (RFC 9301 §8.3).
    /// If none can be reached now, the ITR shall ask again in a minute.
    fn pass_on(
        &mut self,
        asked: Asked<'_>,
        itr: SocketAddr,
        eid: EidPrefix,
        mapping: MappingId,
        out: &mut Actions,
    ) {
        let Asked { datagram, request, encapsulated, .. } = asked;
        let Some(rloc) = self.etr_for(mapping, request.nonce, datagram) else {
            let eid = self.database.mapping(mapping).eid;
            let record = nothing(eid, Action::SendMapRequest, Ttl::from_duration(SHORT_TTL));
            return self.reply(datagram, request.nonce, itr, vec![record], out);
        };
        let bytes = match encapsulated {
            Some(_) => flagged(datagram.bytes, TO_ETR),
            None => encapsulate(datagram.from, eid, request),
        };
        self.counters.forwarded += 1;
        let to = SocketAddr::new(rloc, CONTROL_PORT);
        let detail = || format!("nonce {} to ETR", request.nonce);
        self.traced(Direction::Out, KIND, to, Some(eid), detail, out);
        self.send(datagram.to, to, bytes, out);
    }

    /// One of the RLOCs registered, chosen by the nonce: of the family the question came by if
    /// there is one, else of any we have a way to.
    fn etr_for(&self, id: MappingId, nonce: Nonce, datagram: Datagram<'_>) -> Option<IpAddr> {
        let usable: Vec<_> = self
            .database
            .answer(id)
            .locators
            .iter()
            .filter(|locator| locator.reachable && locator.priority != 255)
            .filter_map(|locator| locator.address.ip())
            .filter(|rloc| self.local.way_to(*rloc).is_some())
            .collect();
        let same = usable.iter().filter(|rloc| rloc.is_ipv6() == datagram.to.is_ipv6());
        let same: Vec<_> = same.copied().collect();
        pick(if same.is_empty() { &usable } else { &same }, nonce)
    }
}

/// The Map-Request of an Encapsulated Control Message, if it is one for the mapping system.
pub(in crate::lisp) fn check_encapsulated(message: &Encapsulated) -> Result<&MapRequest, Refusing> {
    let refusing = |reason, detail: &str| Err(Refusing::new(reason, None, detail));
    let Message::MapRequest(request) = &*message.message else {
        return refusing(Refusal::NotForUs, "not a Map-Request");
    };
    if message.to_etr {
        return refusing(Refusal::NotForUs, "for an ETR");
    }
    let source = message.source.ip();
    if source.is_multicast() || source.is_unspecified() {
        return refusing(Refusal::Inconsistent, "inner source is not unicast");
    }
    Ok(request)
}

/// An ECM as it came with other flags: D, E and M are set anew, S stays.
pub(in crate::lisp) fn flagged(ecm: &[u8], flag: u8) -> Vec<u8> {
    let mut bytes = ecm.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0xf8 | flag;
    }
    bytes
}

/// One of `rlocs`, the same for the same nonce.
fn pick(rlocs: &[IpAddr], nonce: Nonce) -> Option<IpAddr> {
    let spread = nonce.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let at = usize::try_from(spread).unwrap_or(0) % rlocs.len().max(1);
    rlocs.get(at).copied()
}

/// A Map-Request that came by itself, for an ETR to answer to its sender.
fn encapsulate(from: SocketAddr, eid: EidPrefix, request: &MapRequest) -> Vec<u8> {
    Encapsulated {
        to_etr: true,
        ..Encapsulated::new(
            from,
            SocketAddr::new(eid.prefix.address(), CONTROL_PORT),
            Message::MapRequest(request.clone()),
        )
    }
    .to_bytes()
}

fn written_length(records: &[MappingRecord]) -> usize {
    let mut w = Writer::default();
    for record in records {
        record.write(&mut w);
    }
    w.len()
}

fn describe(request: &MapRequest) -> String {
    let sources = request.itr_rlocs.iter().filter_map(Address::ip);
    format!("nonce {} itr-rlocs {}", request.nonce, joined(sources))
}

const KIND: &str = "map-request";
/// ECM flag E, in the first octet.
const TO_ETR: u8 = 0x02;
/// ECM flag M, in the first octet.
pub(in crate::lisp) const TO_MAP_SERVER: u8 = 0x01;
/// Header and nonce of a Map-Reply.
const AROUND_RECORDS: usize = 12;
/// RFC 9301 §8.3; a Map-Resolver's configuration has its own.
const NEGATIVE_TTL: Duration = Duration::from_mins(15);
