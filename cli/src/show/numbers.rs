//! `interface` and `counters`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use weft_manage::api::{Answer, Request};

use super::{json_line, out, repeat, text, whole};
use crate::arguments::Global;
use crate::client;
use crate::exit::{End, Outcome, USAGE};
use crate::table::Table;

pub(super) fn interface(answer: &Answer) -> String {
    let mut table =
        Table::new(&["ROLE", "INTERFACE", "STATE", ">MTU", "RLOC", "PRI/WGT", "VPN", "IID"]);
    for item in &answer.items {
        let share = match text(item, "priority").as_str() {
            "" => String::new(),
            priority => format!("{priority}/{}", text(item, "weight")),
        };
        let name = match text(item, "interface") {
            name if name.is_empty() => text(item, "uplink"),
            name => name,
        };
        table.row([
            text(item, "role"),
            name,
            text(item, "state"),
            text(item, "mtu"),
            text(item, "rloc"),
            share,
            text(item, "vpn"),
            text(item, "instance"),
        ]);
    }
    table.render(0)
}

/// Counters as they are, or what they grew by within a while.
pub(super) fn counters(nonzero: bool, delta: Option<f64>, global: &Global) -> Outcome {
    let ask = || client::ask(&global.socket, &Request::Counters);
    repeat(global, || {
        let mut answer = match delta {
            None => ask()?,
            Some(seconds) => {
                let pause = Duration::try_from_secs_f64(seconds)
                    .map_err(|e| End::new(USAGE, format!("--delta {seconds}: {e}")))?;
                let before = values(&ask()?);
                std::thread::sleep(pause);
                let mut after = ask()?;
                subtract(&mut after, &before);
                after
            }
        };
        if nonzero || delta.is_some() {
            answer.items.retain(|item| whole(item, "value") > 0);
        }
        out(&if global.json { json_line(&answer)? } else { render(&answer) })
    })
}

fn key(item: &Value) -> (String, String) {
    (text(item, "group"), text(item, "counter"))
}

fn values(answer: &Answer) -> BTreeMap<(String, String), u64> {
    answer.items.iter().map(|item| (key(item), whole(item, "value"))).collect()
}

fn subtract(after: &mut Answer, before: &BTreeMap<(String, String), u64>) {
    for item in &mut after.items {
        let grown =
            whole(item, "value").saturating_sub(before.get(&key(item)).copied().unwrap_or(0));
        if let Some(object) = item.as_object_mut() {
            object.insert("value".into(), json!(grown));
        }
    }
}

fn render(answer: &Answer) -> String {
    let mut table = Table::new(&["GROUP", "COUNTER", ">VALUE", "MEANING"]);
    for item in &answer.items {
        let cells = ["group", "counter", "value", "meaning"].map(|column| text(item, column));
        table.row(cells);
    }
    table.render(0)
}
