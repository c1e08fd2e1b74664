//! Live events for `weft monitor`, dropped packets among them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use weft_control::engine::Instant;
use weft_manage::api::Response;
use weft_manage::event::Weight;
use weft_packet::wire::Reader;

use super::Router;
use crate::data_plane::DataPlane;

/// How often the drops are collected while somebody watches them.
const DROPS_EVERY: Duration = Duration::from_millis(200);

/// What somebody wants to watch.
pub(super) struct Wish {
    pub(super) last: usize,
    pub(super) past_only: bool,
    pub(super) messages: bool,
    pub(super) drops: bool,
}

impl Router {
    /// Sends past events, then live ones until the client goes.
    pub(super) fn monitor(&mut self, wish: &Wish, answers: mpsc::Sender<Response>) {
        let past: Vec<_> = self.journal.last(wish.last).cloned().collect();
        let mut live = (!wish.past_only).then(|| self.journal.watch(wish.messages));
        if wish.drops && !wish.past_only {
            self.watch_drops();
        }
        self.engine.set_trace(self.journal.wants_messages());
        tokio::spawn(async move {
            for item in past {
                if answers.send(Response::Item((*item).clone())).await.is_err() {
                    return;
                }
            }
            let Some(live) = &mut live else { return };
            loop {
                tokio::select! {
                    Some(item) = live.recv() => {
                        if answers.send(Response::Item((*item).clone())).await.is_err() {
                            return;
                        }
                    }
                    () = answers.closed() => return,
                }
            }
        });
    }

    fn watch_drops(&mut self) {
        if let Some(plane) = &self.plane {
            plane.tun().sample_drops(true);
            self.drops_watched = Some(self.clock.now() + DROPS_EVERY);
        }
    }

    /// Shows the drops since the last time, equal ones as one line with their number.
    pub(super) fn pass_on_drops(&mut self, now: Instant) {
        let Some(plane) = self.plane.as_ref().map(DataPlane::tun) else {
            self.drops_watched = None;
            return;
        };
        let watched = self.journal.has_watchers();
        self.engine.set_trace(self.journal.wants_messages());
        if !watched {
            plane.sample_drops(false);
            self.drops_watched = None;
            return;
        }
        self.drops_watched = Some(now + DROPS_EVERY);
        let mut drops: BTreeMap<_, u64> = BTreeMap::new();
        for dropped in plane.drops() {
            let what = describe(&dropped.head).unwrap_or_else(|| "unreadable".to_owned());
            *drops.entry((dropped.reason, dropped.instance, what)).or_default() += 1;
        }
        let time = self.time();
        for ((reason, instance, packet), count) in drops {
            let item = json!({
                "time": time, "kind": "drop", "mark": "✗", "reason": reason.word(),
                "instance": instance.get(), "packet": packet, "count": count,
                "text": format!("{packet}  {reason}  ×{count}"),
            });
            self.journal.pass_on(Weight::Trouble, item);
        }
    }
}

/// Addresses and protocol of a packet of which only the head is left.
fn describe(head: &[u8]) -> Option<String> {
    let mut r = Reader::new(head);
    match head.first()? >> 4 {
        4 => {
            let fixed: [u8; 12] = r.array("IPv4 header").ok()?;
            let (source, destination) = (r.ipv4("source").ok()?, r.ipv4("destination").ok()?);
            Some(format!("{source} > {destination} protocol {}", fixed[9]))
        }
        6 => {
            let fixed: [u8; 8] = r.array("IPv6 header").ok()?;
            let (source, destination) = (r.ipv6("source").ok()?, r.ipv6("destination").ok()?);
            Some(format!("{source} > {destination} protocol {}", fixed[6]))
        }
        _ => None,
    }
}
