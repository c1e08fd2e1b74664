//! `map-cache`, `database`, `registration`, `rloc`, `lig`.

use serde_json::Value;
use weft_manage::api::{Answer, Request};

use super::{flag, list, number, print, text, whole};
use crate::arguments::{Global, Lig};
use crate::client;
use crate::exit::{End, Outcome, USAGE};
use crate::table::{Table, count, duration, milliseconds, octets};

const NONE: &str = "\u{2013}";

/// All entries, a line for each locator.
pub(super) fn map_cache(answer: &Answer) -> String {
    let mut table =
        Table::new(&["EID-PREFIX", "IID", "KIND", "LOCATOR", "PRI/WGT", ">PACKETS", ">EXPIRES"]);
    for item in &answer.items {
        let head = [eid(item), text(item, "instance"), text(item, "kind")];
        let tail = [count(whole(item, "packets")), expires(item)];
        rows(&mut table, &head, item, &tail);
    }
    let total = whole(&answer.summary, "total");
    let mut out = table.render(0);
    if total > answer.items.len() as u64 {
        out.push_str(&format!("{} of {total} entries (more with --limit)\n", answer.items.len()));
    }
    out
}

/// What an entry is for: destinations, perhaps of packets of a source-prefix alone.
fn eid(item: &Value) -> String {
    match text(item, "source-prefix") {
        from if from.is_empty() => text(item, "eid"),
        from => format!("{} from {from}", text(item, "eid")),
    }
}

/// One line for each locator: what is said of the entry stands on the first.
fn rows(table: &mut Table, head: &[String; 3], item: &Value, tail: &[String; 2]) {
    let locators = list(item, "locators");
    let empty = [String::new(), String::new(), String::new()];
    if locators.is_empty() {
        let action = text(item, "action");
        let mut row = head.to_vec();
        row.extend([if action.is_empty() { NONE.into() } else { action }, String::new()]);
        row.extend(tail.iter().cloned());
        table.row(row);
    }
    for (n, locator) in locators.iter().enumerate() {
        let mut row = if n == 0 { head.to_vec() } else { empty.to_vec() };
        row.push(text(locator, "rloc"));
        row.push(format!("{}/{}", text(locator, "priority"), text(locator, "weight")));
        row.extend(if n == 0 { tail.to_vec() } else { Vec::new() });
        table.row(row);
    }
}

fn expires(item: &Value) -> String {
    number(item, "expires-in")
        .or_else(|| item.get("learned").and_then(|learned| number(learned, "expires-in")))
        .map_or_else(|| NONE.into(), duration)
}

/// One entry in full.
pub(super) fn map_cache_detail(answer: &Answer) -> String {
    let mut out = String::new();
    for item in &answer.items {
        let learned = item.get("learned").filter(|l| !l.is_null()).unwrap_or(item);
        let from = text(learned, "learned-from");
        let origin = if from.is_empty() {
            text(item, "kind")
        } else {
            let vouched =
                if flag(learned, "authoritative") { "authoritative" } else { "not authoritative" };
            let age = number(learned, "age").map_or_else(String::new, duration);
            format!("{}, {vouched}   learned {age} ago from {from}", text(item, "kind"))
        };
        out.push_str(&format!(
            "{}  instance {}  {origin}, expires in {}\n",
            eid(item),
            text(item, "instance"),
            expires(item)
        ));
        let mut table = Table::new(&["LOCATOR", "PRI/WGT", "REACHABLE"]);
        for locator in list(item, "locators") {
            table.row([
                text(locator, "rloc"),
                format!("{}/{}", text(locator, "priority"), text(locator, "weight")),
                text(locator, "reachable"),
            ]);
        }
        if table.is_empty() {
            out.push_str(&format!("  no locators: {}\n", text(item, "action")));
        } else {
            out.push_str(&table.render(2));
        }
        out.push_str(&format!(
            "  carried {} packets, {}\n",
            count(whole(item, "packets")),
            octets(whole(item, "bytes"))
        ));
    }
    out
}

pub(super) fn flushed(answer: &Answer) -> String {
    format!("{} entries forgotten\n", whole(&answer.summary, "flushed"))
}

pub(super) fn database(answer: &Answer) -> String {
    let mut table = Table::new(&["EID-PREFIX", "IID", "TTL", "LOCATOR", "PRI/WGT", "REGISTERED"]);
    for item in &answer.items {
        let ttl = number(item, "record-ttl").map_or_else(|| NONE.into(), duration);
        let servers = list(item, "registered-with");
        let done = servers.iter().filter(|s| text(s, "state") == "registered").count();
        let registered = format!("{done} of {}", servers.len());
        let locators = list(item, "locators");
        let head = [text(item, "eid"), text(item, "instance"), ttl];
        if locators.is_empty() {
            let mut row = head.to_vec();
            row.extend(["none works".into(), String::new(), registered.clone()]);
            table.row(row);
        }
        for (n, locator) in locators.iter().enumerate() {
            let mut row = if n == 0 { head.to_vec() } else { vec![String::new(); 3] };
            row.push(text(locator, "rloc"));
            row.push(format!("{}/{}", text(locator, "priority"), text(locator, "weight")));
            row.push(if n == 0 { registered.clone() } else { String::new() });
            table.row(row);
        }
    }
    table.render(0)
}

pub(super) fn registration(answer: &Answer) -> String {
    let mut table =
        Table::new(&["MAP-SERVER", "STATE", ">PREFIXES", "SENT", "ACKNOWLEDGED", "WHY"]);
    let ago = |item: &Value, key: &str| {
        number(item, key).map_or_else(|| NONE.into(), |s| format!("{} ago", duration(s)))
    };
    for item in &answer.items {
        table.row([
            text(item, "map-server"),
            text(item, "state"),
            text(item, "prefixes"),
            ago(item, "last-register"),
            ago(item, "last-notify"),
            text(item, "why"),
        ]);
    }
    table.render(0)
}

pub(super) fn rloc(answer: &Answer) -> String {
    let mut table = Table::new(&[
        "LOCATOR",
        "STATE",
        ">RTT",
        ">LOSS",
        "SINCE",
        ">SENT",
        ">RECEIVED",
        "THROUGH",
        "WHY",
    ]);
    for item in &answer.items {
        let loss = number(item, "loss").map_or_else(|| NONE.into(), |l| format!("{:.0}%", l * 1e2));
        let through: Vec<_> = list(item, "pairs")
            .iter()
            .map(|pair| {
                let state = text(pair, "state");
                let name = text(pair, "uplink");
                if state == "up" { name } else { format!("{name}:{state}") }
            })
            .collect();
        table.row([
            text(item, "rloc"),
            text(item, "state"),
            number(item, "rtt").map_or_else(|| NONE.into(), milliseconds),
            loss,
            number(item, "since").map_or_else(|| NONE.into(), duration),
            count(whole(item, "sent")),
            count(whole(item, "received")),
            through.join(" "),
            text(item, "why"),
        ]);
    }
    table.render(0)
}

/// Asks the mapping system and shows the reply.
pub(super) fn lig(lig: &Lig, global: &Global) -> Outcome {
    let resolver = lig
        .resolver
        .as_deref()
        .map(|word| {
            word.strip_prefix('@').map(str::to_owned).ok_or_else(|| {
                End::new(USAGE, format!("`{word}`: a Map-Resolver is written @ADDRESS"))
            })
        })
        .transpose()?;
    let request = Request::Lig { eid: lig.eid.clone(), instance: lig.instance.id, resolver };
    print(global, &client::ask(&global.socket, &request)?, |answer| {
        let lines = answer.items.iter().map(|item| text(item, "text") + "\n");
        lines.collect()
    })
}
