//! `weft status`: the verdict first, then what it rests on.

use serde_json::{Value, json};
use weft_control::lisp::config::Config;
use weft_data::tun::ByFamily;

use super::super::Router;
use super::{item, uplink_name};
use crate::host::plan::device_name;

impl Router {
    pub(super) fn status(&self) -> (Vec<Value>, Value) {
        let now = self.clock.now();
        let mut troubles = Vec::new();
        let (rlocs, _) = self.rlocs();
        for rloc in &rlocs {
            if rloc.get("state").and_then(Value::as_str) == Some("down") {
                let address = rloc.get("rloc").and_then(Value::as_str).unwrap_or_default();
                let why = rloc.get("why").and_then(Value::as_str).unwrap_or_default();
                troubles.push(json!({"kind": "locator down", "text": format!("{address}: {why}")}));
            }
        }
        if self.store.is_behind() {
            let text = "the disk does not take the state; no registration is acknowledged";
            troubles.push(json!({"kind": "state not stored", "text": text}));
        }
        let uplinks = self.uplink_states(&mut troubles);
        self.device_troubles(&mut troubles);
        let registrations = self.registration_states(&mut troubles);
        let map_cache = self.engine.itr().map(|itr| {
            let limit = self.config.lisp.itr.as_ref().map(|itr| itr.map_cache_limit);
            json!({"entries": itr.sizes().0, "limit": limit})
        });
        let map_server = self.engine.map_server().map(|server| {
            let served = |site: &weft_control::lisp::map_server::HoldingStatus| {
                site.registered || site.more_specifics > 0
            };
            let missing = server.sites(now, None).filter(|site| !served(site)).count();
            let totals = server.status();
            json!({
                "sites": totals.eid_prefixes, "not-registered": missing,
                "mappings": totals.mappings,
            })
        });
        let summary = json!({
            "roles": roles(&self.config.lisp),
            "healthy": troubles.is_empty(),
            "verdict": verdict(&troubles),
            "troubles": troubles,
            "uptime": now.since_start().as_secs_f64(),
            "version": env!("CARGO_PKG_VERSION"),
            "database": self.config.lisp.etr.iter().flat_map(|etr| &etr.database)
                .map(|mapping| mapping.eid.to_string()).collect::<Vec<_>>(),
            "registrations": registrations,
            "uplinks": uplinks,
            "map-cache": map_cache,
            "map-server": map_server,
            "data-plane": self.data_plane_state(),
        });
        (rlocs, summary)
    }

    fn uplink_states(&self, troubles: &mut Vec<Value>) -> Vec<Value> {
        let local = self.engine.local();
        for configured in &self.config.uplinks {
            let name = uplink_name(&self.names, configured.id);
            let mine = || local.uplinks().iter().filter(|u| u.id == configured.id);
            if mine().next().is_none() {
                let text = format!("{name} has no usable address");
                troubles.push(json!({"kind": "uplink down", "text": text}));
            } else if !mine().any(|u| u.up) {
                let text = format!("{name} does not work");
                troubles.push(json!({"kind": "uplink down", "text": text}));
            }
        }
        local
            .uplinks()
            .iter()
            .map(|u| {
                json!({
                    "uplink": uplink_name(&self.names, u.id), "rloc": u.rloc.to_string(),
                    "priority": u.priority, "weight": u.weight,
                    "state": if u.up { "up" } else { "down" },
                })
            })
            .collect()
    }

    fn device_troubles(&self, troubles: &mut Vec<Value>) {
        let Some(plane) = &self.plane else { return };
        for (card, error) in plane.unjoined() {
            let text = format!("{card}: {error}; see dataplane.join-plain-lisp");
            troubles.push(json!({"kind": "card that joins no plain LISP", "text": text}));
        }
        let plane = plane.tun();
        for instance in &self.config.instances {
            let name = device_name(&self.config.data_plane.device, instance.id);
            let there = plane.devices().iter().any(|(id, _)| *id == instance.id);
            if !there || !self.facts.link(&name).is_some_and(|link| link.up) {
                let text = format!("{name} is not there or not up");
                troubles.push(json!({"kind": "overlay device down", "text": text}));
            }
        }
    }

    fn registration_states(&self, troubles: &mut Vec<Value>) -> Vec<Value> {
        let Some(etr) = self.engine.etr() else { return Vec::new() };
        let registrations: Vec<Value> =
            etr.status(self.clock.now()).registrations.iter().map(item).collect();
        for registration in &registrations {
            let text =
                |key: &str| registration.get(key).and_then(Value::as_str).unwrap_or_default();
            if !text("why").is_empty() {
                let text = format!("{}: {}", text("map-server"), text("why"));
                troubles.push(json!({"kind": "not registered", "text": text}));
            }
        }
        registrations
    }

    fn data_plane_state(&self) -> Value {
        let Some(plane) = &self.plane else { return json!({"driver": "none"}) };
        let counters = plane.tun().counters();
        let (encapsulated, decapsulated) = plane.carried();
        let volume = |v: ByFamily| json!({"packets": v.v4.packets + v.v6.packets, "bytes": v.v4.bytes + v.v6.bytes});
        let attached = plane.attached(&self.config, &self.facts);
        let devices = plane.tun().devices();
        json!({
            "driver": plane.driver(),
            "configured": format!("{:?}", self.config.data_plane.driver).to_lowercase(),
            "refused": plane.refused().map(|why| json!([{"driver": "ebpf", "reason": why}])),
            "on-exit": if plane.keeps() { "keep" } else { "clean" },
            "interfaces": attached,
            "encapsulation": self.config.lisp.encapsulation.to_string(),
            "devices": devices.into_iter().map(|(_, name)| name).collect::<Vec<_>>(),
            "encapsulated": volume(encapsulated),
            "decapsulated": volume(decapsulated),
            "native": volume(counters.native),
            "drops": counters.drops().map(|(_, count)| count).sum::<u64>() + plane.lost(),
            "routes": self.fib.len(),
        })
    }
}

fn roles(config: &Config) -> Vec<&'static str> {
    let itr = config.itr.as_ref().map(|itr| if itr.proxy { "PITR" } else { "ITR" });
    let etr = config.etr.as_ref().map(|etr| if etr.proxy { "PETR" } else { "ETR" });
    let map_server = config.map_server.as_ref().map(|_| "Map-Server");
    let map_resolver = config.map_resolver.as_ref().map(|_| "Map-Resolver");
    [itr, etr, map_server, map_resolver].into_iter().flatten().collect()
}

/// `healthy`, or what is wrong in a few words.
fn verdict(troubles: &[Value]) -> String {
    let first = troubles.first().and_then(|t| t.get("kind")).and_then(Value::as_str);
    match (first, troubles.len()) {
        (None, _) => "healthy".into(),
        (Some(kind), 1) => format!("degraded: 1 {kind}"),
        (Some(kind), n) => format!("degraded: {n} troubles, first: {kind}"),
    }
}
