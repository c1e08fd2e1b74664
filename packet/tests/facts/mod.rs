//! What a decoder found, by the keys the golden vectors use.

use serde_json::{Value, json};
use weft_packet::lisp::auth::{Authentication, Purpose};
use weft_packet::lisp::data::{DataHeader, NonceField};
use weft_packet::lisp::{
    Address, EcmSecurity, Eid, EidAuthentication, Encapsulated, Info, InfoBody, Lcaf, Locator,
    MacAfi, MapNotify, MapReferral, MapRegister, MapReply, MapRequest, MappingRecord, Message,
};

/// Keys that are remarks, keys of the keys, or looked at by a test of their own.
pub(crate) const ELSEWHERE: &[&str] = &[
    "note",
    "psk",
    "action",
    "verify_key",
    "mr_ad_type",
    "pkt_ad_len",
    "ad_type",
    "piggyback",
    "itr_rloc",
    "rle",
    "elp",
    "eid_ad_len",
];

/// Which authentication a message has, by its first four bits.
pub(crate) fn purpose(bytes: &[u8]) -> Option<Purpose> {
    match bytes[0] >> 4 {
        3 => Some(Purpose::MapRegister),
        4 => Some(Purpose::MapNotify),
        5 => Some(Purpose::MapNotifyAck),
        7 => Some(Purpose::Info),
        _ => None,
    }
}

pub(crate) fn of_message(message: &Message, key: &str) -> Option<Value> {
    match message {
        Message::MapRequest(m) => of_request(m, key),
        Message::MapReply(m) => of_reply(m, key),
        Message::MapRegister(m) => of_register(m, key),
        Message::MapNotify(m) => of_notify(m, key),
        Message::MapReferral(m) => of_referral(m, key),
        Message::Info(m) => of_info(m, key),
        Message::Encapsulated(m) => of_ecm(m, key),
        Message::Extension { sub_type, .. } => match key {
            "type" => Some(json!(15)),
            "subtype" => Some(json!(sub_type)),
            _ => None,
        },
    }
}

fn of_request(m: &MapRequest, key: &str) -> Option<Value> {
    Some(match key {
        "type" => json!(1),
        "nonce" => json!(format!("{:#018x}", m.nonce.0)),
        "irc" => json!(m.itr_rlocs.len() - 1),
        "A" => json!(u8::from(m.authoritative)),
        "M" => json!(u8::from(m.mapping.is_some())),
        "P" => json!(u8::from(m.probe)),
        "S" => json!(u8::from(m.smr)),
        "p" => json!(u8::from(m.pitr)),
        "s" => json!(u8::from(m.smr_invoked)),
        "D" => json!(u8::from(m.no_reply)),
        "I" => json!(u8::from(m.xtr.is_some())),
        "N" => json!(u8::from(m.eids[0].subscribe)),
        "xtr_id" => json!(m.xtr?.0.to_string()),
        "site_id" => json!(format!("{:016x}", m.xtr?.1.0)),
        "source_eid" => json!(m.source_eid.ip()),
        "itr_rlocs" => json!(m.itr_rlocs.iter().map(Address::ip).collect::<Vec<_>>()),
        "eid" => eid(&m.eids[0].eid),
        "masklen" => json!(m.eids[0].eid.mask_len),
        _ => return None,
    })
}

fn of_reply(m: &MapReply, key: &str) -> Option<Value> {
    Some(match key {
        "P" => json!(u8::from(m.probe)),
        "E" => json!(u8::from(m.echo_nonce)),
        "S" => json!(u8::from(m.security.is_some())),
        "pkt_hmac_id" => json!(m.security.as_ref()?.hmac_id),
        "records" => json!(m.records.len()),
        "locs" if m.probe => {
            json!([[m.records[0].locators[0].address.ip(), flags(&m.records[0].locators[0])]])
        }
        _ => return of_record(m.records.first()?, key),
    })
}

fn of_record(record: &MappingRecord, key: &str) -> Option<Value> {
    Some(match key {
        "A" => json!(u8::from(record.authoritative)),
        "act" => json!(record.action as u8),
        "ttl" => json!(record.ttl.0),
        "map_version" => json!(record.version),
        "locator_count" => json!(record.locators.len()),
        "locs" => record
            .locators
            .iter()
            .map(|l| json!([l.address.ip(), l.priority, l.weight, flags(l)]))
            .collect(),
        "eid" => eid(&record.eid),
        _ => return None,
    })
}

fn of_register(m: &MapRegister, key: &str) -> Option<Value> {
    Some(match key {
        "S" => json!(u8::from(m.security)),
        "E" => json!(u8::from(m.eid_notify)),
        "T" => json!(u8::from(m.use_ttl)),
        "a" => json!(u8::from(m.merge)),
        "I" => json!(u8::from(m.xtr.is_some())),
        "xtr_id" => json!(m.xtr?.0.to_string()),
        "site_id" => json!(format!("{:016x}", m.xtr?.1.0)),
        "key_id" | "alg_id" | "auth_len" => return of_authentication(&m.authentication, key),
        _ => return of_record(&m.records[0], key),
    })
}

fn of_authentication(authentication: &Authentication, key: &str) -> Option<Value> {
    Some(match key {
        "key_id" => json!(authentication.key_id),
        "alg_id" => json!(authentication.algorithm.number()),
        "auth_len" => json!(authentication.data.len()),
        _ => return None,
    })
}

fn of_notify(m: &MapNotify, key: &str) -> Option<Value> {
    Some(match key {
        "type" => json!(4 + m.kind as u8),
        "I" => json!(u8::from(m.xtr.is_some())),
        _ => return of_record(&m.records[0], key),
    })
}

fn of_referral(m: &MapReferral, key: &str) -> Option<Value> {
    let record = &m.records[0];
    Some(match key {
        "act" => json!(record.action as u8),
        "incomplete" => json!(u8::from(record.incomplete)),
        "ttl" => json!(record.ttl.0),
        "sigcnt" => json!(record.signatures.len()),
        "key_tag" => json!(record.signatures[0].key_tag),
        "sig_alg" => json!(record.signatures[0].algorithm),
        "sig_len" => json!(record.signatures[0].signature.len()),
        _ => return None,
    })
}

fn of_info(m: &Info, key: &str) -> Option<Value> {
    let nat = match &m.body {
        InfoBody::Request { .. } => None,
        InfoBody::Reply(nat) => Some(nat),
    };
    Some(match key {
        "R" => json!(u8::from(nat.is_some())),
        "ttl" => json!(m.ttl.0),
        "ms_port" => json!(nat?.map_server_port),
        "etr_port" => json!(nat?.etr_port),
        "global_rloc" => json!(nat?.global_etr.ip()),
        "ms_rloc" => json!(nat?.map_server.ip()),
        "rtrs" => json!(nat?.rtrs.iter().map(Address::ip).collect::<Vec<_>>()),
        _ => return None,
    })
}

fn of_ecm(m: &Encapsulated, key: &str) -> Option<Value> {
    let otk = match &m.security {
        Some(EcmSecurity::LispSec(otk)) => Some(otk),
        _ => None,
    };
    Some(match key {
        "type" => json!(8),
        "S" => json!(u8::from(m.security.is_some())),
        "D" => json!(u8::from(m.ddt)),
        "R" => json!(u8::from(m.rtr)),
        "inner" => json!(format!("{} > {} Map-Request", m.source, m.destination)),
        "requested_hmac" => json!(otk?.requested_hmac),
        "key_id" => json!(otk?.key_id),
        "otk_wrap" => json!(otk?.wrapping),
        "otk_len" => json!(otk?.preamble.len() + otk?.key.len()),
        "kdf_id" => of_eids(&otk?.eids, key)?,
        _ => return None,
    })
}

fn of_eids(eids: &EidAuthentication, key: &str) -> Option<Value> {
    (key == "kdf_id").then(|| json!(eids.kdf))
}

/// L, p and R where set.
fn flags(locator: &Locator) -> String {
    [(locator.local, 'L'), (locator.probed, 'p'), (locator.reachable, 'R')]
        .into_iter()
        .filter_map(|(set, letter)| set.then_some(letter))
        .collect()
}

fn eid(eid: &Eid) -> Value {
    if let Some(prefix) = eid.prefix() {
        return json!(prefix.to_string());
    }
    match &eid.address {
        Address::Name(name) => json!(format!("DN \"{name}\"")),
        Address::Lcaf(lcaf) => match &**lcaf {
            Lcaf::Multicast(m) => json!(format!(
                "[{}]({}/{},{}/{})",
                m.instance,
                m.source.ip().expect("an IP source"),
                m.source_mask_len,
                m.group.ip().expect("an IP group"),
                m.group_mask_len
            )),
            Lcaf::InstanceId { instance, address: Address::Mac(mac, afi), .. } => {
                let afi = if *afi == MacAfi::Six { 6 } else { 16389 };
                json!(format!("[{instance}]{mac}/{} (AFI {afi})", eid.mask_len))
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

pub(crate) fn of_address(address: &Address, key: &str) -> Option<Value> {
    let Address::Lcaf(lcaf) = address else { return None };
    Some(match (&**lcaf, key) {
        (Lcaf::AfiList(list), "list") => list
            .iter()
            .map(|item| match item {
                Address::Name(name) => json!(name),
                other => json!(other.ip()),
            })
            .collect(),
        (Lcaf::InstanceId { instance, .. }, "iid") => json!(instance),
        (Lcaf::InstanceId { mask_len, .. }, "iid_masklen") => json!(mask_len),
        (Lcaf::AsNumber { number, .. }, "asn") => json!(number),
        (Lcaf::Application(a), "tos") => json!(a.traffic_class),
        (Lcaf::Application(a), "proto") => json!(a.protocol),
        (Lcaf::Application(a), "local") => json!([a.local_ports.0, a.local_ports.1]),
        (Lcaf::Application(a), "remote") => json!([a.remote_ports.0, a.remote_ports.1]),
        (Lcaf::GeoCoordinates(g), "alt") => json!(g.altitude),
        (Lcaf::GeoCoordinates(g), "lat") => {
            let (arc, side) = (g.latitude, if g.north { 'N' } else { 'S' });
            json!(format!("{}-{}-{}-{side}", arc.degrees, arc.minutes, arc.seconds))
        }
        (Lcaf::GeoCoordinates(g), "lon") => {
            let (arc, side) = (g.longitude, if g.east { 'E' } else { 'W' });
            json!(format!("{}-{}-{}-{side}", arc.degrees, arc.minutes, arc.seconds))
        }
        (Lcaf::Nonce { nonce, .. }, "nonce") => json!(nonce),
        (Lcaf::Json { text, .. }, "json") => json!(String::from_utf8_lossy(text)),
        (Lcaf::Encapsulations { formats, .. }, "L") => json!(formats & 1),
        (Lcaf::Encapsulations { formats, .. }, "V") => json!(formats >> 2 & 1),
        (Lcaf::Encapsulations { formats, .. }, "v") => json!(formats >> 3 & 1),
        (Lcaf::GeoLocation(g), "lat") => json!(g.latitude),
        (Lcaf::GeoLocation(g), "lat_ms") => json!(g.latitude_milliseconds),
        (Lcaf::GeoLocation(g), "lon") => json!(g.longitude),
        (Lcaf::GeoLocation(g), "alt_m") if g.altitude_in_metres => json!(g.altitude),
        (Lcaf::GeoLocation(g), "radius_km") if g.radius_in_kilometres => json!(g.radius),
        (Lcaf::GeoLocation(g), "uncertainty_cm") => json!(g.uncertainty),
        (Lcaf::Vendor { oui, .. }, "oui") => json!(format!("{oui:06x}")),
        (Lcaf::SecurityKey(k), "R") => json!(u8::from(k.revoked)),
        _ => return None,
    })
}

pub(crate) fn of_data_header(header: DataHeader, key: &str) -> Option<Value> {
    let (nonce, status) = match header {
        DataHeader::Lisp(header) => (header.nonce, header.locator_status),
        DataHeader::LispGpe(header) => (NonceField::Unused, header.locator_status),
        _ => return None,
    };
    Some(match (key, nonce) {
        ("N", NonceField::Nonce { .. }) | ("V", NonceField::Versions { .. }) => json!(1),
        ("E", NonceField::Nonce { echo, .. }) => json!(u8::from(echo)),
        ("nonce", NonceField::Nonce { nonce, .. }) => json!(nonce),
        ("src_ver", NonceField::Versions { source, .. }) => json!(source),
        ("dst_ver", NonceField::Versions { destination, .. }) => json!(destination),
        ("L", _) => json!(u8::from(status.is_some())),
        ("lsb", _) => json!(status?),
        ("I", _) => json!(u8::from(header.instance().get() != 0)),
        ("iid", _) => json!(header.instance().get()),
        ("P", _) => json!(u8::from(header.next_protocol().is_some())),
        ("next_proto", _) => json!(header.next_protocol()?.number()),
        _ => return None,
    })
}
