//! What a control message says, in a line for people.

use std::fmt::Write;
use std::net::SocketAddr;
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::{
    Action, Address, Locator, MapRegister, MapRequest, MappingRecord, Message, NotifyKind, Ttl,
};
use weft_packet::wire::Wire;

use super::event::{Direction, Event};
use crate::engine::{self, Actions};

/// A message in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// `map-request`, `rloc-probe`, `smr`, `map-reply`, …
    pub kind: &'static str,
    /// The first EID-prefix it is about.
    pub eid: Option<EidPrefix>,
    /// Nonce, flags that matter, locators.
    pub detail: String,
}

impl Summary {
    /// As an event of the exchange with `peer`.
    pub fn event(self, direction: Direction, peer: SocketAddr) -> Event {
        Event::Message { direction, kind: self.kind, peer, eid: self.eid, detail: self.detail }
    }
}

/// Puts a message into words. One that travels encapsulated counts as what it is, and says so.
pub fn summary(message: &Message) -> Summary {
    Summary { kind: kind(message), eid: first_eid(message), detail: detail(message) }
}

/// What a message is, as in [`Summary::kind`].
pub fn kind(message: &Message) -> &'static str {
    match message {
        Message::MapRequest(request) => match (request.probe, request.smr, request.smr_invoked) {
            (true, _, _) => "rloc-probe",
            (_, true, _) => "smr",
            (_, _, true) => "smr-invoked-map-request",
            _ => "map-request",
        },
        Message::MapReply(reply) if reply.probe => "rloc-probe-reply",
        Message::MapReply(_) => "map-reply",
        Message::MapRegister(_) => "map-register",
        Message::MapNotify(notify) => match notify.kind {
            NotifyKind::Notify => "map-notify",
            NotifyKind::Ack => "map-notify-ack",
        },
        Message::Encapsulated(ecm) => kind(&ecm.message),
        Message::MapReferral(_) => "map-referral",
        Message::Info(_) => "info",
        Message::Extension { .. } => "extension",
    }
}

/// The first EID-prefix a message is about.
pub fn first_eid(message: &Message) -> Option<EidPrefix> {
    let records = match message {
        Message::MapRequest(request) => return request.eids.iter().find_map(|e| e.eid.prefix()),
        Message::Encapsulated(ecm) => return first_eid(&ecm.message),
        Message::MapReply(reply) => &reply.records,
        Message::MapRegister(register) => &register.records,
        Message::MapNotify(notify) => &notify.records,
        Message::MapReferral(_) | Message::Info(_) | Message::Extension { .. } => return None,
    };
    records.iter().find_map(|record| record.eid.prefix())
}

fn detail(message: &Message) -> String {
    match message {
        Message::MapRequest(request) => asked(request),
        Message::MapReply(reply) => told(format!("nonce {}", reply.nonce), &reply.records),
        Message::MapRegister(register) => registered(register),
        Message::MapNotify(notify) => told(format!("nonce {}", notify.nonce), &notify.records),
        Message::Encapsulated(ecm) => {
            format!("{}, for {} (encapsulated)", detail(&ecm.message), ecm.source)
        }
        Message::MapReferral(_) | Message::Info(_) | Message::Extension { .. } => String::new(),
    }
}

/// Tells of every message among the actions from position `start` on.
pub(super) fn sent(start: usize, out: &mut Actions) {
    let fresh = out.0.split_off(start.min(out.0.len()));
    for action in fresh {
        if let engine::Action::Send { to, bytes, .. } = &action
            && let Ok(message) = Message::from_bytes(bytes)
        {
            out.notify(summary(&message).event(Direction::Out, *to));
        }
        out.0.push(action);
    }
}

/// The kind of a message that could not be read, by its first four bits.
pub fn kind_of(bytes: &[u8]) -> &'static str {
    match bytes.first().map(|b| b >> 4) {
        Some(1) => "map-request",
        Some(2) => "map-reply",
        Some(3) => "map-register",
        Some(4) => "map-notify",
        Some(5) => "map-notify-ack",
        Some(6) => "map-referral",
        Some(7) => "info",
        Some(8) => "encapsulated",
        Some(15) => "extension",
        _ => "unknown",
    }
}

fn asked(request: &MapRequest) -> String {
    let mut detail = format!("nonce {}", request.nonce);
    if let Some(source) = request.source_eid.ip().filter(|_| !request.smr) {
        let _ = write!(detail, ", asked by {source}");
    }
    if request.eids.len() > 1 {
        let _ = write!(detail, ", {} EID-prefixes", request.eids.len());
    }
    detail
}

fn registered(register: &MapRegister) -> String {
    let mut detail = format!("nonce {}", register.nonce);
    for (set, word) in [(register.proxy_reply, ", proxy-reply"), (register.merge, ", merge")] {
        detail.push_str(if set { word } else { "" });
    }
    told(detail, &register.records)
}

/// Completes a line by the first record, and how many more there are.
fn told(mut detail: String, records: &[MappingRecord]) -> String {
    if let Some(first) = records.first() {
        let _ = write!(detail, ", {}", record(first));
    }
    if records.len() > 1 {
        let _ = write!(detail, ", {} more records", records.len() - 1);
    }
    detail
}

/// TTL and locators, or what to do without any.
pub fn record(record: &MappingRecord) -> String {
    let ttl = minutes(record.ttl);
    if record.ttl == Ttl::REMOVE {
        return "withdrawn".to_owned();
    }
    if record.locators.is_empty() {
        return format!("ttl {ttl}, {}", action(record.action));
    }
    let locators: Vec<_> = record.locators.iter().map(locator).collect();
    format!("ttl {ttl}, {}", locators.join(" "))
}

/// `192.0.2.1 1/100`, priority and weight behind the address.
fn locator(locator: &Locator) -> String {
    let address = match &locator.address {
        Address::Ip(ip) => ip.to_string(),
        other => other.ip().map_or_else(|| "other".to_owned(), |ip| format!("lcaf:{ip}")),
    };
    let reachable = if locator.reachable { "" } else { " unreachable" };
    format!("{address} {}/{}{reachable}", locator.priority, locator.weight)
}

/// The action of a negative mapping in the words of RFC 9301 §5.4.
pub fn action(action: Action) -> &'static str {
    match action {
        Action::NoAction => "no-action",
        Action::NativelyForward => "natively-forward",
        Action::SendMapRequest => "send-map-request",
        Action::DropNoReason => "drop",
        Action::DropPolicyDenied => "drop, policy denied",
        Action::DropAuthFailure => "drop, authentication failure",
        Action::Unassigned6 => "action 6",
        Action::Unassigned7 => "action 7",
    }
}

/// `90m`, `24h`.
fn minutes(ttl: Ttl) -> String {
    match ttl {
        Ttl::RECEIVER_DECIDES => "up to the receiver".to_owned(),
        Ttl(minutes) if minutes >= 60 && minutes % 60 == 0 => format!("{}h", minutes / 60),
        Ttl(minutes) => format!("{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_packet::addr::Nonce;
    use weft_packet::lisp::{Eid, MapReply, RequestedEid};

    #[test]
    fn says_what_matters() {
        let record = MappingRecord {
            eid: Eid { address: Address::Ip("10.1.0.0".parse().unwrap()), mask_len: 16 },
            ttl: Ttl(90),
            action: Action::NoAction,
            authoritative: true,
            version: 0,
            locators: vec![Locator {
                local: true,
                reachable: false,
                ..Locator::unicast("192.0.2.1".parse().unwrap(), 1, 75)
            }],
        };
        let reply = MapReply { nonce: Nonce(7), records: vec![record], ..MapReply::default() };
        let said = summary(&Message::MapReply(reply));
        assert_eq!(said.kind, "map-reply");
        assert_eq!(said.eid.unwrap().to_string(), "10.1.0.0/16");
        assert_eq!(said.detail, "nonce 0000000000000007, ttl 90m, 192.0.2.1 1/75 unreachable");
    }

    #[test]
    fn tells_probe_and_smr_from_map_request() {
        let request = |probe, smr| {
            let eid = Eid { address: Address::Ip("10.1.0.0".parse().unwrap()), mask_len: 16 };
            let eids = vec![RequestedEid { subscribe: false, eid }];
            summary(&Message::MapRequest(MapRequest { probe, smr, eids, ..MapRequest::default() }))
        };
        assert_eq!(request(true, false).kind, "rloc-probe");
        assert_eq!(request(false, true).kind, "smr");
        assert_eq!(request(false, false).kind, "map-request");
    }
}
