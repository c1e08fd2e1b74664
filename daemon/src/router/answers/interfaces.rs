//! `weft interface` and `weft counters`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weft_control::lisp::event::Refusal;
use weft_data::ebpf::Counters as Fast;
use weft_data::tun::{ByFamily, Counters};

use super::super::Router;
use super::uplink_name;
use crate::host::plan::device_name;

impl Router {
    pub(super) fn interfaces(&self) -> (Vec<Value>, Value) {
        let mut items = Vec::new();
        for uplink in self.engine.local().uplinks() {
            let link = self.facts.links.get(&uplink.interface);
            items.push(json!({
                "role": "uplink", "interface": link.map(|l| l.name.as_str()),
                "uplink": uplink_name(&self.names, uplink.id), "rloc": uplink.rloc.to_string(),
                "mtu": uplink.mtu, "priority": uplink.priority, "weight": uplink.weight,
                "state": if uplink.up { "up" } else { "down" },
                "carrier": link.map(|l| l.carrier),
            }));
        }
        for configured in &self.config.uplinks {
            if !self.engine.local().uplinks().iter().any(|u| u.id == configured.id) {
                items.push(json!({
                    "role": "uplink", "uplink": uplink_name(&self.names, configured.id),
                    "state": "absent",
                }));
            }
        }
        for instance in &self.config.instances {
            let name = device_name(&self.config.data_plane.device, instance.id);
            let link = self.facts.link(&name);
            items.push(json!({
                "role": "overlay", "interface": name, "instance": instance.id.get(),
                "vpn": instance.name, "mtu": link.map(|l| l.mtu),
                "state": if link.is_some_and(|l| l.up) { "up" } else { "down" },
            }));
            for bound in &instance.interfaces {
                let link = self.facts.link(bound);
                items.push(json!({
                    "role": "eid", "interface": bound, "instance": instance.id.get(),
                    "vpn": instance.name, "mtu": link.map(|l| l.mtu),
                    "state": match link {
                        Some(link) if link.up && link.carrier => "up",
                        Some(_) => "down",
                        None => "absent",
                    },
                }));
            }
        }
        (items, Value::Null)
    }

    pub(super) fn counters(&mut self) -> (Vec<Value>, Value) {
        let mut items = Vec::new();
        if let Some(plane) = &mut self.plane {
            let (encapsulated, decapsulated) = plane.carried();
            data_plane(&plane.tun().counters(), &encapsulated, &decapsulated, &mut items);
            if let Some(counters) = plane.fast_counters() {
                fast_path(&counters, &mut items);
            }
        }
        let refused: BTreeMap<_, _> = self.engine.refused().collect();
        for reason in Refusal::ALL {
            let count = refused.get(reason).copied().unwrap_or_default();
            items.push(json!({
                "group": "refused", "counter": reason.word(), "value": count,
            }));
        }
        items.extend(self.role_counters());
        (items, Value::Null)
    }
}

/// Collects counters of a group.
fn add(items: &mut Vec<Value>, group: &str, counter: &str, value: u64, meaning: &str) {
    items.push(json!({ "group": group, "counter": counter, "value": value, "meaning": meaning }));
}

fn volume(items: &mut Vec<Value>, group: &str, prefix: &str, carried: &ByFamily, meaning: &str) {
    for (family, volume) in [("ipv4", carried.v4), ("ipv6", carried.v6)] {
        add(items, group, &format!("{prefix}{family}-packets"), volume.packets, meaning);
        add(items, group, &format!("{prefix}{family}-bytes"), volume.bytes, meaning);
    }
}

/// What went through either plane, and what the portable one did besides.
fn data_plane(
    counters: &Counters,
    encapsulated: &ByFamily,
    decapsulated: &ByFamily,
    items: &mut Vec<Value>,
) {
    volume(items, "encapsulated", "", encapsulated, "");
    volume(items, "decapsulated", "", decapsulated, "");
    volume(items, "native", "", &counters.native, "");
    let mut count = |group, counter, value, meaning| add(items, group, counter, value, meaning);
    count(
        "first-packet",
        "punts",
        counters.punts,
        "Destinations the mapping system was asked for.",
    );
    count(
        "first-packet",
        "punts-deferred",
        counters.punts_deferred,
        "Questions put off by a limit.",
    );
    count("first-packet", "held", counters.held, "Packets that had to wait for a mapping.");
    count("first-packet", "released", counters.released, "Held packets that were forwarded.");
    count("first-packet", "waiting", counters.waiting, "Packets that wait now.");
    count("icmp", "sent", counters.icmp_sent, "ICMP errors sent to hosts.");
    count("batch", "sends", counters.sends, "System calls that sent to the underlay.");
    count("batch", "deliveries", counters.deliveries, "Packets written to overlay devices.");
    for (reason, dropped) in counters.drops() {
        count("dropped", reason.word(), dropped, reason.meaning());
    }
}

/// What of it the kernel did by itself, and what it left to the portable plane, and why.
fn fast_path(counters: &Fast, items: &mut Vec<Value>) {
    let meaning = "Of these, forwarded in the kernel.";
    volume(items, "fast-path", "encapsulated-", &counters.encapsulated, meaning);
    volume(items, "fast-path", "decapsulated-", &counters.decapsulated, meaning);
    let meaning = "Dropped, because forwarding failed half way.";
    add(items, "fast-path", "failed", counters.failed, meaning);
    for (reason, left) in counters.exceptions() {
        add(items, "left", reason, left, "Left to the portable plane.");
    }
}
