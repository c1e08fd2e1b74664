//! `[dataplane]`.

use std::path::PathBuf;

use weft_fib::Encapsulation;

use crate::config::document::{Node, Value};
use crate::config::report::Report;
use crate::config::resolved::{
    DataPlane, Driver, FirstPacket, MssClamp, OnExit, OnTooBig, SourceCheck,
};
use crate::config::section::{Section, parse_rate, parse_text};

use super::interfaces::Interfaces;

/// The data plane, how packets are wrapped by default, and the interfaces that are named.
pub(super) fn data_plane(
    top: &mut Section<'_>,
    report: &mut Report,
) -> (DataPlane, Option<Encapsulation>, Interfaces) {
    let mut plane = defaults();
    let mut cards = Interfaces::default();
    let Some(mut section) = top.section("dataplane", report) else { return (plane, None, cards) };
    let s = &mut section;
    let drivers = [
        ("auto", Driver::Auto),
        ("ebpf", Driver::Ebpf),
        ("tun", Driver::Tun),
        ("none", Driver::None),
    ];
    plane.driver = s.choice("driver", &drivers, report).unwrap_or_default();
    let encapsulations = [
        ("lisp", Encapsulation::Lisp),
        ("lisp-gpe", Encapsulation::LispGpe),
        ("vxlan-gpe", Encapsulation::VxlanGpe),
        ("vxlan", Encapsulation::Vxlan),
    ];
    let encapsulation = s.choice("encapsulation", &encapsulations, report);
    set(&mut plane.device, s.parsed("device", report, parse_device));
    set(&mut plane.punt_rate, s.parsed("punt-rate", report, parse_rate));
    let first = [("queue", FirstPacket::Queue), ("drop", FirstPacket::Drop)];
    set(&mut plane.first_packet, s.choice("first-packet", &first, report));
    set(&mut plane.first_packet_queue, s.number("first-packet-queue", 0..=4096, report));
    plane.mtu = number_or(s, "mtu", "auto", 1280..=65_535, report);
    if s.flag("path-mtu-discovery", report) == Some(false) {
        plane.on_too_big = OnTooBig::FragmentOuter;
    }
    plane.ttl = number_or(s, "ttl", "copy", 1..=255, report);
    plane.dscp = number_or(s, "dscp", "copy", 0..=63, report);
    s.choice("ecn", &[("rfc6040", ())], report);
    set(&mut plane.mss_clamp, s.take("mss-clamp").and_then(|node| mss_clamp(node, report)));
    let checks =
        [("off", SourceCheck::Off), ("loose", SourceCheck::Loose), ("strict", SourceCheck::Strict)];
    set(&mut plane.source_check, s.choice("source-check", &checks, report));
    for (card, place) in s.list("join-plain-lisp", report, parse_text) {
        if matches!(plane.driver, Driver::Tun | Driver::None) {
            let message = "`dataplane.join-plain-lisp` needs `driver = \"ebpf\"` or \"auto\"";
            report.error(&place, message, "here");
        }
        if cards.note(&card, &place).is_none() {
            plane.join_plain_lisp.push(card);
        }
    }
    plane.queues = number_or(s, "queues", "auto", 1..=64, report);
    set(&mut plane.table, s.number("table", 256..=i64::from(u32::MAX) - 65_536, report));
    set(&mut plane.rule_priority, s.number("rule-priority", 1..=32_000, report));
    set(&mut plane.set_sysctls, s.flag("set-sysctls", report));
    plane.on_exit =
        s.choice("on-exit", &[("keep", OnExit::Keep), ("clean", OnExit::Clean)], report);
    set(&mut plane.pin_path, s.parsed("pin-path", report, parse_pin_path));
    section.finish(report);
    (plane, encapsulation, cards)
}

fn defaults() -> DataPlane {
    DataPlane {
        driver: Driver::Auto,
        device: "lispTun0".into(),
        punt_rate: 2000,
        first_packet: FirstPacket::Queue,
        first_packet_queue: 64,
        mtu: None,
        on_too_big: OnTooBig::Tell,
        ttl: None,
        dscp: None,
        mss_clamp: MssClamp::Off,
        source_check: SourceCheck::Off,
        join_plain_lisp: Vec::new(),
        queues: None,
        table: 76_000,
        rule_priority: 7600,
        set_sysctls: false,
        on_exit: None,
        pin_path: "/run/weft_bpf".into(),
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// A number, or the word that stands for none.
fn number_or<T: TryFrom<i64> + std::fmt::Display>(
    section: &mut Section<'_>,
    key: &'static str,
    word: &str,
    bounds: std::ops::RangeInclusive<i64>,
    report: &mut Report,
) -> Option<T> {
    match section.take(key) {
        Some(Node { value: Value::Text(text), .. }) if text == word => None,
        Some(Node { value: Value::Text(_), place }) => {
            let message = format!("`{}` must be a number or \"{word}\"", section.join(key));
            report.error(place, message, "here");
            None
        }
        _ => section.number(key, bounds, report),
    }
}

fn parse_device(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 15;
    let sound = text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'%');
    if fits && sound {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not an interface name (1 to 15 characters, no spaces or slashes)"))
    }
}

fn parse_pin_path(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(text.into())
    } else {
        Err(format!("`{text}` is not a path from the root, such as /run/weft_bpf"))
    }
}

fn mss_clamp(node: &Node, report: &mut Report) -> Option<MssClamp> {
    match &node.value {
        Value::Text(text) if text == "off" => Some(MssClamp::Off),
        Value::Text(text) if text == "auto" => Some(MssClamp::Auto),
        Value::Integer(octets @ 536..=65_495) => u16::try_from(*octets).ok().map(MssClamp::At),
        _ => {
            let message = "`dataplane.mss-clamp` must be \"off\", \"auto\" or 536 to 65495";
            report.error(&node.place, message, "here");
            None
        }
    }
}
