//! `[itr]`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use weft_control::lisp::config::{Itr, Probing, ProxyEtr, StaticMapping};
use weft_packet::addr::{EidPrefix, Prefix};
use weft_packet::lisp::Action;

use super::etr::TTL;
use super::overlap::Prefixes;
use super::{Reading, instance_of, locators};
use crate::config::report::{Place, Report};
use crate::config::resolved::UplinkNames;
use crate::config::section::{Section, parse_ip, parse_prefix, text};

pub(super) fn itr(
    top: &mut Section<'_>,
    reading: &mut Reading<'_>,
    names: &mut UplinkNames,
) -> Option<Itr> {
    let mut section = top.section("itr", reading.report)?;
    let place = section.place().clone();
    let errors_before = reading.report.errors();
    let s = &mut section;
    let defaults = Itr::default();
    let report = &mut *reading.report;
    let resolvers = s.list("map-resolvers", report, parse_ip);
    for (address, place) in &resolvers {
        locators::check_rloc(*address, place, report);
    }
    let allowed = s.list("allowed-eids", report, parse_prefix);
    let probing = probing(s, report);
    let mut itr = Itr {
        map_resolvers: resolvers.into_iter().map(|(address, _)| address).collect(),
        proxy: s.flag("proxy", report).unwrap_or_default(),
        map_request_retries: s
            .number("map-request-retries", 0..=10, report)
            .unwrap_or(defaults.map_request_retries),
        allowed_eids: allowed
            .into_iter()
            .map(|(prefix, _)| EidPrefix::new(weft_packet::addr::InstanceId::DEFAULT, prefix))
            .collect(),
        map_cache_limit: s
            .number("map-cache-limit", 1..=10_000_000, report)
            .unwrap_or(defaults.map_cache_limit),
        idle_timeout: s.duration("idle-timeout", IDLE, report).unwrap_or(defaults.idle_timeout),
        max_ttl: s.duration("max-ttl", TTL, report).unwrap_or(defaults.max_ttl),
        probing,
        proxy_etrs: proxy_etrs(s, report),
        static_map_cache: Vec::new(),
    };
    if let Some(node) = s.take("itr-rlocs")
        && let Some(name) = text(node, "itr.itr-rlocs", reading.report)
    {
        // Every local locator is in the Map-Request; naming a set makes its uplinks known.
        reading.locators.by_name(name, &node.place, reading.report);
    }
    itr.static_map_cache = static_mappings(s, "static-map-cache", true, reading, names);
    section.finish(reading.report);
    if reading.report.errors() == errors_before {
        check(&place, &itr, reading.report);
    }
    Some(itr)
}

/// What a table lacks is told once what it has is right.
fn check(place: &Place, itr: &Itr, report: &mut Report) {
    if itr.map_resolvers.is_empty() && itr.static_map_cache.is_empty() {
        report.warning(
            place,
            "this ITR has nobody to ask: only statically configured EIDs will be reached",
            Some("add: map-resolvers = [\"ADDRESS\"]".into()),
        );
    }
    if itr.proxy && itr.allowed_eids.is_empty() {
        report.error_with_help(
            place,
            "a proxy ITR must be told which destinations are LISP sites",
            "proxy = true, but no allowed-eids",
            Some("add: allowed-eids = [\"192.168.0.0/16\"]".into()),
        );
    }
}

/// Probing with its defaults; `rloc-probing = false` switches it off.
fn probing(section: &mut Section<'_>, report: &mut Report) -> Option<Probing> {
    let mut probing = Probing::default();
    let Some(node) = section.take("rloc-probing") else { return Some(probing) };
    if let crate::config::document::Value::Boolean(on) = node.value {
        return on.then_some(probing);
    }
    let mut s = Section::new(node, "itr.rloc-probing", report)?;
    if let Some(interval) = s.duration("interval", PROBE, report) {
        probing.interval = interval;
    }
    if let Some(interval) = s.duration("retry-interval", PROBE, report) {
        probing.retry_interval = interval;
    }
    if let Some(retries) = s.number("retries", 1..=20, report) {
        probing.retries = retries;
    }
    s.finish(report);
    Some(probing)
}

fn proxy_etrs(section: &mut Section<'_>, report: &mut Report) -> Vec<ProxyEtr> {
    let mut found = Vec::new();
    for mut s in section.sections("proxy-etr", report) {
        let address = s.parsed("address", report, parse_ip);
        if s.take("address").is_none() {
            s.missing("address", "\"203.0.113.9\"", report);
        }
        let families = [("any", (true, true)), ("ipv4", (true, false)), ("ipv6", (false, true))];
        let (ipv4, ipv6) = s.choice("family", &families, report).unwrap_or((true, true));
        let priority = s.number("priority", 0..=254, report).unwrap_or(1);
        let weight = s.number("weight", 0..=255, report).unwrap_or(100);
        if let Some(address) = address {
            locators::check_rloc(address, s.place(), report);
            found.push(ProxyEtr { address, ipv4, ipv6, priority, weight });
        }
        s.finish(report);
    }
    found
}

/// Mappings written in the configuration, of an ITR or a Map-Server; `scoped`: they may be for packets of
/// a source-prefix alone.
pub(super) fn static_mappings(
    section: &mut Section<'_>,
    key: &'static str,
    scoped: bool,
    reading: &mut Reading<'_>,
    names: &mut UplinkNames,
) -> Vec<StaticMapping> {
    let mut found = Vec::new();
    let mut prefixes: BTreeMap<_, Prefixes> = BTreeMap::new();
    for mut s in section.sections(key, reading.report) {
        let instance = instance_of(&mut s, reading);
        reading.instances.note(instance);
        let prefix = s.parsed("eid-prefix", reading.report, parse_prefix);
        if s.take("eid-prefix").is_none() {
            s.missing("eid-prefix", "\"10.99.0.0/16\"", reading.report);
        }
        let from =
            scoped.then(|| s.parsed("source-prefix", reading.report, parse_prefix)).flatten();
        let rlocs = locator_list(&mut s, false, reading, names);
        let actions = [
            ("drop", Action::DropNoReason),
            ("native", Action::NativelyForward),
            ("send-map-request", Action::SendMapRequest),
        ];
        let action = s.choice("action", &actions, reading.report);
        if rlocs.is_none() && action.is_none() {
            s.missing("rlocs", "[{ address = \"192.0.2.99\", local = false }]", reading.report);
        }
        let place = s.place().clone();
        s.finish(reading.report);
        let Some(prefix) = prefix else { continue };
        let eid = EidPrefix::new(instance, prefix);
        if let Some(from) = from {
            check_source(from, prefix, action, &place, reading.report);
        }
        prefixes.entry(from).or_default().add(eid, key, true, &place, reading.report);
        found.push(StaticMapping {
            eid,
            from,
            rlocs: rlocs.unwrap_or_default(),
            action: action.unwrap_or_default(),
        });
    }
    found
}

/// What a mapping for packets of a source-prefix cannot be.
fn check_source(
    from: Prefix,
    to: Prefix,
    action: Option<Action>,
    place: &Place,
    report: &mut Report,
) {
    if from.is_ipv6() != to.is_ipv6() {
        report.error_with_help(
            place,
            format!("no packet comes from {from} and goes to {to}"),
            "`source-prefix` and `eid-prefix` are of different families",
            Some("give both as IPv4, or both as IPv6".into()),
        );
    }
    if action == Some(Action::SendMapRequest) {
        report.error_with_help(
            place,
            "the mapping system is asked for a destination, whoever sends there",
            "`send-map-request` for a source-prefix",
            Some("take `source-prefix` away, or say where these packets go: rlocs = [ … ]".into()),
        );
    }
}

/// `rlocs = [ … ]` or `locator-set = "NAME"`; `ours`: addresses are this router's unless they say
/// otherwise.
pub(super) fn locator_list(
    section: &mut Section<'_>,
    ours: bool,
    reading: &mut Reading<'_>,
    names: &mut UplinkNames,
) -> Option<Vec<weft_control::lisp::config::Rloc>> {
    let set = section.take("locator-set");
    if let Some(node) = section.take("rlocs") {
        return Some(reading.locators.rlocs(node, ours, names, reading.report));
    }
    let node = set?;
    let name = text(node, "locator-set", reading.report)?;
    Some(reading.locators.by_name(name, &node.place, reading.report))
}

const IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 365);
const PROBE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);
