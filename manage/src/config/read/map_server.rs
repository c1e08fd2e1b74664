//! `[map-server]` and `[map-resolver]`.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use weft_control::lisp::config::{MapResolver, MapServer, Replay, Resolve, Secret, Site};
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::{Algorithm, CONTROL_PORT};

use super::etr::{ALGORITHMS, TTL};
use super::itr::static_mappings;
use super::overlap::Prefixes;
use super::secret::secret;
use super::{Names, Reading, instance_of};
use crate::config::document::{Node, Value};
use crate::config::report::{Problem, Severity};
use crate::config::resolved::UplinkNames;
use crate::config::section::{Section, parse_ip, parse_prefix};

/// The Map-Server, and the addresses it listens on.
pub(super) fn map_server(
    top: &mut Section<'_>,
    reading: &mut Reading<'_>,
    names: &mut UplinkNames,
) -> (Option<MapServer>, Vec<IpAddr>) {
    let Some(mut section) = top.section("map-server", reading.report) else {
        return (None, Vec::new());
    };
    let listen = listen(&mut section, reading);
    let defaults = MapServer::default();
    let registration_timeout = section
        .duration("registration-timeout", LIFE, reading.report)
        .unwrap_or(defaults.registration_timeout);
    let sites = sites(&mut section, reading);
    let static_mappings = static_mappings(&mut section, "static-mapping", false, reading, names);
    section.finish(reading.report);
    (Some(MapServer { sites, static_mappings, registration_timeout }), listen)
}

/// The Map-Resolver, and the addresses it listens on.
pub(super) fn map_resolver(
    top: &mut Section<'_>,
    reading: &mut Reading<'_>,
) -> (Option<MapResolver>, Vec<IpAddr>) {
    let Some(mut section) = top.section("map-resolver", reading.report) else {
        return (None, Vec::new());
    };
    let listen = listen(&mut section, reading);
    let report = &mut *reading.report;
    let servers = section.list("map-servers", report, parse_ip);
    let ways = [("local", false), ("map-servers", true)];
    let remote = section.choice("resolve", &ways, report).unwrap_or(!servers.is_empty());
    if remote && servers.is_empty() {
        section.missing("map-servers", "[\"198.51.100.2\"]", report);
    }
    let negative_ttl =
        section.duration("negative-ttl", TTL, report).unwrap_or(Duration::from_mins(15));
    section.finish(report);
    let resolve = if remote {
        let at = |(ip, _)| SocketAddr::new(ip, CONTROL_PORT);
        Resolve::MapServers(servers.into_iter().map(at).collect())
    } else {
        Resolve::Local
    };
    (Some(MapResolver { resolve, negative_ttl }), listen)
}

fn listen(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<IpAddr> {
    let listed = section.list("listen", reading.report, parse_ip);
    // Listening everywhere is what happens without a list.
    listed.into_iter().map(|(ip, _)| ip).filter(|ip| !ip.is_unspecified()).collect()
}

fn sites(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<Site> {
    let mut found: Vec<Site> = Vec::new();
    let mut names: Names<()> = Names::new();
    let mut prefixes = Prefixes::default();
    for s in section.sections("site", reading.report) {
        let place = s.place().clone();
        let Some(site) = site(s, &mut prefixes, reading) else { continue };
        if let Some((before, ())) = names.insert(site.name.clone(), (place.clone(), ())) {
            reading.report.push(Problem {
                severity: Severity::Error,
                message: format!("two sites are called `{}`", site.name),
                places: vec![(place, "this one".into()), (before, "and this".into())],
                help: None,
            });
        }
        found.push(site);
    }
    prefixes.report_overlaps(reading.report);
    found
}

fn site(mut s: Section<'_>, prefixes: &mut Prefixes, reading: &mut Reading<'_>) -> Option<Site> {
    let name = s.text("name", reading.report).map(str::to_owned);
    if s.take("name").is_none() {
        s.missing("name", "\"site1\"", reading.report);
    }
    let instance = instance_of(&mut s, reading);
    reading.instances.note(instance);
    let accept_more_specifics = s.flag("accept-more-specifics", reading.report).unwrap_or_default();
    let eid_prefixes = s.list("eid-prefixes", reading.report, parse_prefix);
    if eid_prefixes.is_empty() && s.take("eid-prefixes").is_none() {
        s.missing("eid-prefixes", "[\"192.168.1.0/24\"]", reading.report);
    }
    let keys = keys(&mut s, reading);
    let report = &mut *reading.report;
    let algorithms = algorithms(&mut s, report);
    let replays = [("off", Replay::Off), ("auto", Replay::Auto), ("strict", Replay::Strict)];
    let plain = |listed: Vec<(_, _)>| listed.into_iter().map(|(prefix, _)| prefix).collect();
    let site = Site {
        name: name?,
        eid_prefixes: eid_prefixes.iter().map(|(p, _)| EidPrefix::new(instance, *p)).collect(),
        accept_more_specifics,
        keys,
        algorithms,
        proxy_reply: s.flag("proxy-reply", report).unwrap_or_default(),
        merge: s.flag("merge", report).unwrap_or_default(),
        replay: s.choice("replay", &replays, report).unwrap_or_default(),
        allowed_rlocs: plain(s.list("allowed-rlocs", report, parse_prefix)),
        allowed_itrs: plain(s.list("allowed-itrs", report, parse_prefix)),
        max_mappings: s.number("max-mappings", 1..=10_000_000, report).unwrap_or(10_000),
    };
    for (prefix, place) in eid_prefixes {
        let eid = EidPrefix::new(instance, prefix);
        prefixes.add(eid, &site.name, accept_more_specifics, &place, report);
    }
    s.finish(report);
    Some(site)
}

/// `key = …`, or `keys = { 1 = …, 2 = … }` while one replaces the other.
fn keys(s: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<(u8, Secret)> {
    let key_id = s.number("key-id", 0..=255, reading.report).unwrap_or(0);
    let single = s.take("key");
    let several = s.take("keys");
    let mut found = Vec::new();
    if let Some(node) = single {
        found.extend(secret(node, reading.folder, reading.report).map(|key| (key_id, key)));
    }
    match several {
        Some(Node { value: Value::Table(table), .. }) => {
            for (number, (place, node)) in &table.0 {
                let Ok(id) = number.parse::<u8>() else {
                    let message = format!("`{number}` is not a key-id (0 to 255)");
                    reading.report.error(place, message, "here");
                    continue;
                };
                found.extend(secret(node, reading.folder, reading.report).map(|key| (id, key)));
            }
        }
        Some(node) => {
            let message = "`keys` must be a table of key-ids, such as { 1 = \"old\", 2 = \"new\" }";
            reading.report.error(&node.place, message, "here");
        }
        None if single.is_none() => s.missing("key", "{ file = \"site1.key\" }", reading.report),
        None => {}
    }
    found
}

fn algorithms(s: &mut Section<'_>, report: &mut super::Report) -> Vec<Algorithm> {
    let parse = |word: &str| {
        let known = ALGORITHMS.iter().find(|(name, _)| *name == word);
        known.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            let all: Vec<_> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
            format!("`{word}` is not an algorithm; known: {}", all.join(", "))
        })
    };
    let listed = s.list("algorithms", report, parse);
    if listed.is_empty() {
        return vec![Algorithm::HmacSha256, Algorithm::HmacSha256Hkdf, Algorithm::HmacSha1];
    }
    listed.into_iter().map(|(algorithm, _)| algorithm).collect()
}

const LIFE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 365);
