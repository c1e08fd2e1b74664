//! `weft interface` and `weft counters`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weft_control::lisp::event::Refusal;
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
        if let Some(plane) = &self.plane {
            data_plane(&plane.counters(), &mut items);
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

fn data_plane(counters: &Counters, items: &mut Vec<Value>) {
    let mut add = |group: &str, counter: &str, value: u64, meaning: &str| {
        items.push(json!({
            "group": group, "counter": counter, "value": value, "meaning": meaning,
        }));
    };
    let volumes: [(&str, &ByFamily); 3] = [
        ("encapsulated", &counters.encapsulated),
        ("decapsulated", &counters.decapsulated),
        ("native", &counters.native),
    ];
    for (name, volume) in volumes {
        for (family, volume) in [("ipv4", volume.v4), ("ipv6", volume.v6)] {
            add(name, &format!("{family}-packets"), volume.packets, "");
            add(name, &format!("{family}-bytes"), volume.bytes, "");
        }
    }
    add("first-packet", "punts", counters.punts, "Destinations the mapping system was asked for.");
    add("first-packet", "punts-deferred", counters.punts_deferred, "Questions put off by a limit.");
    add("first-packet", "held", counters.held, "Packets that had to wait for a mapping.");
    add("first-packet", "released", counters.released, "Held packets that were forwarded.");
    add("first-packet", "waiting", counters.waiting, "Packets that wait now.");
    add("icmp", "sent", counters.icmp_sent, "ICMP errors sent to hosts.");
    add("batch", "sends", counters.sends, "System calls that sent to the underlay.");
    add("batch", "deliveries", counters.deliveries, "Packets written to overlay devices.");
    for (reason, count) in counters.drops() {
        add("dropped", reason.word(), count, reason.meaning());
    }
}
