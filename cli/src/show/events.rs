//! `monitor`: live events, a line each.

use serde_json::Value;
use weft_manage::api::Request;

use super::{out, text};
use crate::arguments::{Global, Monitor};
use crate::client;
use crate::exit::Outcome;

/// Follows events until interrupted.
pub(super) fn monitor(monitor: &Monitor, global: &Global) -> Outcome {
    let request = Request::Monitor {
        last: monitor.last,
        past_only: monitor.past_only,
        messages: !monitor.changes,
        drops: !monitor.changes,
    };
    client::follow(&global.socket, &request, |item| {
        if !wanted(monitor, &item) {
            return true;
        }
        let line = if global.json { format!("{item}\n") } else { line(&item) };
        out(&line).is_ok()
    })
}

fn wanted(monitor: &Monitor, item: &Value) -> bool {
    let line = text(item, "text");
    monitor.kind.as_ref().is_none_or(|kind| text(item, "kind") == *kind)
        && monitor.eid.as_ref().is_none_or(|eid| line.contains(eid))
        && monitor.rloc.as_ref().is_none_or(|rloc| line.contains(rloc))
}

fn line(item: &Value) -> String {
    let time = text(item, "time");
    // 09:45:54.102 of 2026-11-20T09:45:54.102Z
    let time = time.get(11..23).unwrap_or(&time);
    format!("{time} {} {:<18} {}\n", text(item, "mark"), text(item, "kind"), text(item, "text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn line_shows_the_time_of_day() {
        let item = json!({
            "time": "2026-11-20T09:45:54.102Z", "mark": "!", "kind": "rloc-down", "text": "192.0.2.1",
        });
        assert_eq!(line(&item), "09:45:54.102 ! rloc-down          192.0.2.1\n");
    }
}
