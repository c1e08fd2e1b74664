//! `[node]`, `[log]` and `[management]`.

use std::path::PathBuf;
use std::time::Duration;

use weft_packet::addr::{SiteId, XtrId};

use crate::config::report::Report;
use crate::config::resolved::{Log, LogFormat, Management, Node};
use crate::config::section::{Section, parse_text};

/// The node, and its xTR-ID and Site-ID: configured, or stable ones made from the machine and the
/// name.
pub(super) fn node(top: &mut Section<'_>, report: &mut Report) -> (Node, XtrId, SiteId) {
    let (mut name, mut site, mut xtr) = (None, None, None);
    if let Some(mut section) = top.section("node", report) {
        name = section.text("name", report).map(str::to_owned);
        site = section.number::<u64>("site-id", 0..=i64::MAX, report);
        xtr = section.parsed("xtr-id", report, parse_xtr_id).flatten();
        section.finish(report);
    }
    let name = name.unwrap_or_else(host_name);
    let xtr = xtr.unwrap_or_else(|| XtrId(stable_id(&name)));
    (Node { name }, xtr, SiteId(site.unwrap_or_default()))
}

/// 32 hexadecimal digits; `auto` is `None`.
fn parse_xtr_id(text: &str) -> Result<Option<XtrId>, String> {
    if text == "auto" {
        return Ok(None);
    }
    let wrong = || format!("`{text}` is not \"auto\" or 32 hexadecimal digits");
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    number.map(|n| Some(XtrId(n.to_be_bytes()))).ok_or_else(wrong)
}

/// Two 64-bit FNV-1a hashes of machine and node name: stable, and different for two routers of
/// one machine as long as their names are.
fn stable_id(name: &str) -> [u8; 16] {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let hash = |salt: u64| {
        let octets = machine.trim().bytes().chain([0]).chain(name.bytes());
        octets.fold(0xcbf2_9ce4_8422_2325 ^ salt, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let id = u128::from(hash(0)) << 64 | u128::from(hash(0x9e37_79b9_7f4a_7c15));
    id.to_be_bytes()
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "weft".into() } else { name.trim().to_owned() }
}

pub(super) fn log(top: &mut Section<'_>, report: &mut Report) -> Log {
    let mut log = Log { level: "info".into(), format: LogFormat::Auto };
    let Some(mut section) = top.section("log", report) else { return log };
    if let Some(level) = section.parsed("level", report, parse_text) {
        log.level = level;
    }
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    log.format = section.choice("format", &formats, report).unwrap_or_default();
    section.finish(report);
    log
}

pub(super) fn management(top: &mut Section<'_>, report: &mut Report) -> Management {
    let mut management = Management {
        socket: PathBuf::from("/run/weft/weft.sock"),
        group: None,
        state: PathBuf::from("/var/lib/weft"),
        event_history: 4096,
        stop_timeout: Duration::from_secs(2),
    };
    let Some(mut section) = top.section("management", report) else { return management };
    if let Some(socket) = section.text("socket", report) {
        management.socket = PathBuf::from(socket);
    }
    if let Some(state) = section.text("state", report) {
        management.state = PathBuf::from(state);
    }
    management.group = section.text("group", report).map(str::to_owned);
    if let Some(events) = section.number("event-history", 0..=1_000_000, report) {
        management.event_history = events;
    }
    section.finish(report);
    management
}
