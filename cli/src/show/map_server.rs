//! `map-server site`, `registration`, `refused` and `map-resolver`.

use serde_json::Value;
use weft_manage::api::Answer;

use super::{flag, list, number, text, whole};
use crate::table::{Table, duration};

pub(super) fn site(answer: &Answer) -> String {
    let mut table = Table::new(&["SITE", "EID-PREFIX", "REGISTERED", "LOCATORS", "LAST", "BY"]);
    for item in &answer.items {
        let more = whole(item, "more-specifics");
        let registered = match (flag(item, "registered"), more) {
            (true, _) => "yes".to_owned(),
            (false, 0) => match (text(item, "lost"), number(item, "lost-ago")) {
                (lost, Some(ago)) => format!("NO, {lost} {} ago", duration(ago)),
                _ => "NO".to_owned(),
            },
            (false, more) => format!("{more} more-specific"),
        };
        table.row([
            text(item, "site"),
            text(item, "eid-prefix"),
            registered,
            locators(item),
            ago(item, "last"),
            text(item, "by"),
        ]);
    }
    table.render(0)
}

pub(super) fn registration(answer: &Answer) -> String {
    let mut table =
        Table::new(&["EID-PREFIX", "SITE", "LOCATORS", ">XTRS", "LAST", "EXPIRES", "BY"]);
    for item in &answer.items {
        let latest = list(item, "registrations").first().cloned().unwrap_or_default();
        table.row([
            text(item, "eid-prefix"),
            text(item, "site"),
            locators(item),
            list(item, "registrations").len().to_string(),
            ago(&latest, "last"),
            number(&latest, "expires").map_or_else(|| "\u{2013}".into(), duration),
            text(&latest, "from"),
        ]);
    }
    let total = whole(&answer.summary, "total");
    let mut out = table.render(0);
    if total > answer.items.len() as u64 {
        out.push_str(&format!("{} of {total} (more with --limit)\n", answer.items.len()));
    }
    out
}

pub(super) fn refused(answer: &Answer) -> String {
    if answer.items.is_empty() {
        return "nothing was refused\n".into();
    }
    let mut table =
        Table::new(&["WHEN", "MESSAGE", "EID-PREFIX", "FROM", "REASON", ">TIMES", "DETAIL"]);
    for item in &answer.items {
        table.row([
            ago(item, "ago"),
            text(item, "message"),
            text(item, "eid-prefix"),
            text(item, "from"),
            text(item, "reason"),
            text(item, "times"),
            text(item, "detail"),
        ]);
    }
    table.render(0)
}

pub(super) fn map_resolver(answer: &Answer) -> String {
    let mut out = String::new();
    for item in &answer.items {
        lines(item, "", &mut out);
    }
    out
}

fn lines(value: &Value, path: &str, out: &mut String) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                lines(value, &path, out);
            }
        }
        Value::String(text) => out.push_str(&format!("{path:<24} {text}\n")),
        other => out.push_str(&format!("{path:<24} {other}\n")),
    }
}

fn locators(item: &Value) -> String {
    let shown: Vec<_> = list(item, "locators")
        .iter()
        .map(|l| {
            if l.is_string() { l.as_str().unwrap_or_default().to_owned() } else { text(l, "rloc") }
        })
        .collect();
    shown.join(" ")
}

fn ago(item: &Value, key: &str) -> String {
    number(item, key).map_or_else(|| "\u{2013}".into(), |s| format!("{} ago", duration(s)))
}
