//! `status`: the verdict first.

use serde_json::Value;
use weft_manage::api::{Answer, Request};

use super::{flag, json_line, list, number, out, repeat, text, whole};
use crate::arguments::Global;
use crate::client;
use crate::exit::{End, NO, Outcome};
use crate::table::{Table, count, duration, milliseconds, octets};

/// Shows the status; with `check` only the exit code speaks.
pub(super) fn status(check: bool, global: &Global) -> Outcome {
    if check {
        let answer = client::ask(&global.socket, &Request::Status)?;
        let healthy = flag(&answer.summary, "healthy");
        return if healthy { Ok(()) } else { Err(End::silent(NO)) };
    }
    repeat(global, || {
        let answer = client::ask(&global.socket, &Request::Status)?;
        out(&if global.json { json_line(&answer)? } else { render(&answer) })
    })
}

fn render(answer: &Answer) -> String {
    let summary = &answer.summary;
    let roles: Vec<_> = list(summary, "roles").iter().filter_map(Value::as_str).collect();
    let up = number(summary, "uptime").map_or_else(String::new, duration);
    let mut lines = vec![
        format!(
            "{}  {}  up {up}   \u{25cf} {}",
            answer.node,
            roles.join(" "),
            text(summary, "verdict")
        ),
        String::new(),
    ];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<12} {value}"));
        }
    };
    line("Registered", registered(summary));
    line("Uplinks", uplinks(summary));
    line("Map-cache", map_cache(summary));
    line("Map-Server", map_server(summary));
    line("Traffic", traffic(summary));
    line("Data plane", data_plane(summary));
    if !answer.items.is_empty() {
        lines.push(String::new());
        lines.push(locators(answer).trim_end().to_owned());
    }
    for trouble in list(summary, "troubles") {
        lines.push(String::new());
        lines.push(format!("! {}", text(trouble, "text")));
    }
    lines.join("\n") + "\n"
}

fn registered(summary: &Value) -> String {
    let registrations = list(summary, "registrations");
    if registrations.is_empty() {
        return String::new();
    }
    let eids: Vec<_> = list(summary, "database").iter().filter_map(Value::as_str).collect();
    let shown = if eids.len() > 4 {
        format!("{} and {} more", eids[..3].join("  "), eids.len() - 3)
    } else {
        eids.join("  ")
    };
    let done = registrations.iter().filter(|r| text(r, "state") == "registered").count();
    let last = registrations.iter().filter_map(|r| number(r, "last-notify")).reduce(f64::min);
    let last = last.map_or_else(String::new, |s| format!(", last {} ago", duration(s)));
    format!("{shown}   {done} of {} Map-Servers{last}", registrations.len())
}

fn uplinks(summary: &Value) -> String {
    let shown: Vec<_> = list(summary, "uplinks")
        .iter()
        .map(|u| {
            let state = if text(u, "state") == "up" { "" } else { " DOWN" };
            format!(
                "{} {} {}/{}{state}",
                text(u, "uplink"),
                text(u, "rloc"),
                text(u, "priority"),
                text(u, "weight")
            )
        })
        .collect();
    shown.join("    ")
}

fn map_cache(summary: &Value) -> String {
    let Some(cache) = summary.get("map-cache").filter(|c| !c.is_null()) else {
        return String::new();
    };
    format!("{} entries, room for {}", whole(cache, "entries"), whole(cache, "limit"))
}

fn map_server(summary: &Value) -> String {
    let Some(server) = summary.get("map-server").filter(|s| !s.is_null()) else {
        return String::new();
    };
    format!(
        "{} mappings; {} of {} EID-prefixes of sites are registered",
        whole(server, "mappings"),
        whole(server, "sites").saturating_sub(whole(server, "not-registered")),
        whole(server, "sites")
    )
}

fn traffic(summary: &Value) -> String {
    let Some(plane) = summary.get("data-plane").filter(|p| text(p, "driver") != "none") else {
        return String::new();
    };
    let volume = |key: &str| {
        let volume = plane.get(key).cloned().unwrap_or_default();
        format!("{} packets {}", count(whole(&volume, "packets")), octets(whole(&volume, "bytes")))
    };
    format!(
        "out {}    in {}    native {}    drops {}",
        volume("encapsulated"),
        volume("decapsulated"),
        volume("native"),
        count(whole(plane, "drops"))
    )
}

fn data_plane(summary: &Value) -> String {
    let Some(plane) = summary.get("data-plane").filter(|p| text(p, "driver") != "none") else {
        return String::new();
    };
    let names = |key: &str| {
        let names: Vec<_> = list(plane, key).iter().filter_map(Value::as_str).collect();
        names.join(", ")
    };
    let places = match text(plane, "driver").as_str() {
        "ebpf" => format!("ebpf on {}; tun on {}", names("interfaces"), names("devices")),
        driver => format!("{driver} on {}", names("devices")),
    };
    let mut shown = format!(
        "{places}, {} encapsulation, {} routes",
        text(plane, "encapsulation"),
        whole(plane, "routes")
    );
    for refused in list(plane, "refused") {
        let (driver, reason) = (text(refused, "driver"), text(refused, "reason"));
        shown.push_str(&format!("\n  {:<12} not {driver}: {reason}", ""));
    }
    shown
}

fn locators(answer: &Answer) -> String {
    let mut table = Table::new(&["LOCATOR", "STATE", ">RTT", ">SENT", ">RECEIVED", "ABOUT"]);
    for item in &answer.items {
        table.row([
            text(item, "rloc"),
            text(item, "state"),
            number(item, "rtt").map_or_else(|| "\u{2013}".into(), milliseconds),
            count(whole(item, "sent")),
            count(whole(item, "received")),
            text(item, "about"),
        ]);
    }
    table.render(2)
}
