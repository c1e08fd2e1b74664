//! `[etr]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use weft_control::lisp::config::{DatabaseMapping, Etr, EtrMapServer, Rloc};
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::Algorithm;

use super::itr::locator_list;
use super::overlap::Prefixes;
use super::secret::secret;
use super::{Reading, instance_of, locators};
use crate::config::resolved::UplinkNames;
use crate::config::section::{Section, parse_ip, parse_prefix};

/// How algorithms are written.
pub(super) const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("hmac-sha-256-128", Algorithm::HmacSha256),
    ("hmac-sha-1-96", Algorithm::HmacSha1),
    ("hmac-sha-256-128-hkdf", Algorithm::HmacSha256Hkdf),
];

/// How long mappings may be cached: whole minutes on the wire (RFC 9301 §5.4).
pub(super) const TTL: RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(24 * 365);

pub(super) fn etr(
    top: &mut Section<'_>,
    reading: &mut Reading<'_>,
    names: &mut UplinkNames,
) -> Option<Etr> {
    let mut section = top.section("etr", reading.report)?;
    let place = section.place().clone();
    let errors_before = reading.report.errors();
    let s = &mut section;
    let locator_set = locator_list(s, true, reading, names);
    let report = &mut *reading.report;
    let record_ttl = s.duration("record-ttl", TTL, report).unwrap_or(Duration::from_hours(24));
    let register_interval = s
        .duration("register-interval", Duration::from_secs(1)..=Duration::from_hours(24), report)
        .unwrap_or(Duration::from_mins(1));
    let proxy_itrs = s.list("proxy-itrs", reading.report, parse_ip);
    for (address, place) in &proxy_itrs {
        locators::check_rloc(*address, place, reading.report);
    }
    let proxy = s.flag("proxy", reading.report).unwrap_or_default();
    let map_servers = map_servers(s, reading);
    let database = database(s, locator_set.as_deref(), record_ttl, reading, names);
    section.finish(reading.report);
    if database.is_empty() && !proxy && reading.report.errors() == errors_before {
        reading.report.warning(
            &place,
            "this ETR has no EID-prefixes: nobody will reach hosts behind it",
            Some("add: [[etr.database-mapping]] with eid-prefix = \"192.168.1.0/24\"".into()),
        );
    }
    Some(Etr {
        proxy,
        map_servers,
        database,
        register_interval,
        proxy_itrs: proxy_itrs.into_iter().map(|(address, _)| address).collect(),
    })
}

fn map_servers(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<EtrMapServer> {
    let mut found = Vec::new();
    for mut s in section.sections("map-server", reading.report) {
        let address = s.parsed("address", reading.report, parse_ip);
        if s.take("address").is_none() {
            s.missing("address", "\"198.51.100.2\"", reading.report);
        }
        let key = s.take("key");
        if key.is_none() {
            s.missing("key", "{ file = \"ms.key\" }", reading.report);
        }
        let key = key.and_then(|node| secret(node, reading.folder, reading.report));
        let report = &mut *reading.report;
        let key_id = s.number("key-id", 0..=255, report).unwrap_or(0);
        let algorithm = s.choice("algorithm", &ALGORITHMS, report).unwrap_or(Algorithm::HmacSha256);
        let truncate = s.flag("truncate-mac", report).unwrap_or(false);
        let proxy_reply = s.flag("proxy-reply", report).unwrap_or(false);
        let want_notify = s.flag("want-map-notify", report).unwrap_or(true);
        let merge = s.flag("merge", report).unwrap_or(false);
        let place = s.place().clone();
        s.finish(report);
        let (Some(address), Some(key)) = (address, key) else { continue };
        locators::check_rloc(address, &place, report);
        found.push(EtrMapServer {
            address,
            key,
            key_id,
            algorithm,
            truncate,
            proxy_reply,
            want_notify,
            merge,
        });
    }
    found
}

fn database(
    section: &mut Section<'_>,
    locator_set: Option<&[Rloc]>,
    default_ttl: Duration,
    reading: &mut Reading<'_>,
    names: &mut UplinkNames,
) -> Vec<DatabaseMapping> {
    let mut found = Vec::new();
    let mut prefixes = Prefixes::default();
    for mut s in section.sections("database-mapping", reading.report) {
        let instance = instance_of(&mut s, reading);
        reading.instances.note(instance);
        let prefix = s.parsed("eid-prefix", reading.report, parse_prefix);
        if s.take("eid-prefix").is_none() {
            s.missing("eid-prefix", "\"192.168.1.0/24\"", reading.report);
        }
        let rlocs =
            locator_list(&mut s, true, reading, names).or_else(|| locator_set.map(<[_]>::to_vec));
        if rlocs.is_none() {
            let message = "this mapping has no locators";
            let help = Some("add locator-set = \"NAME\" here or in [etr]".to_owned());
            reading.report.error_with_help(s.place(), message, "", help);
        }
        let record_ttl = s.duration("record-ttl", TTL, reading.report).unwrap_or(default_ttl);
        let proxy_reply = s.flag("proxy-reply", reading.report);
        let place = s.place().clone();
        s.finish(reading.report);
        let (Some(prefix), Some(rlocs)) = (prefix, rlocs) else { continue };
        let eid = EidPrefix::new(instance, prefix);
        prefixes.add(eid, "etr.database-mapping", true, &place, reading.report);
        found.push(DatabaseMapping { eid, rlocs, record_ttl, proxy_reply });
    }
    found
}
