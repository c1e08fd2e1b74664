//! What the LISP roles know: map-cache, database, registrations, locators, sites.

use serde_json::{Value, json};
use weft_packet::addr::{EidPrefix, Prefix};

use super::super::Router;
use super::{Outcome, eid_of, item, no, uplink_name};
use weft_control::lisp::map_server::RegistrationFilter;
use weft_fib::{EidKey, UplinkId};

impl Router {
    pub(super) fn map_cache(
        &self,
        eid: Option<&str>,
        instance: Option<u32>,
        limit: usize,
    ) -> Outcome {
        let itr = self.engine.itr().ok_or_else(|| no("this router is no ITR"))?;
        let within = eid.map(|eid| eid_of(eid, instance)).transpose()?;
        // The entry for one address is one that covers it, not one within it.
        let listed = within.filter(|eid| !eid.prefix.is_host());
        let mut entries = itr.map_cache(self.clock.now(), listed);
        if let Some(instance) = instance.filter(|_| within.is_none()) {
            entries.retain(|entry| entry.instance == instance);
        }
        if let Some(asked) = within.filter(|eid| eid.prefix.is_host()) {
            let length = |entry: &weft_control::lisp::itr::MapCacheEntry| {
                prefix_of(&entry.eid)
                    .filter(|p| p.covers(asked.prefix))
                    .filter(|_| entry.instance == asked.instance.get())
                    .map(Prefix::length)
            };
            let longest = entries.iter().filter_map(length).max();
            entries.retain(|entry| length(entry).is_some() && length(entry) == longest);
        }
        let total = entries.len();
        if entries.is_empty() && within.is_some() {
            return Err(no(format!("no map-cache entry for {}", eid.unwrap_or_default())));
        }
        let items = entries.iter().take(limit).map(|entry| self.with_usage(entry)).collect();
        Ok((
            items,
            json!({ "total": total, "limit": self.config.lisp.itr.as_ref().map(|itr| itr.map_cache_limit) }),
        ))
    }

    fn with_usage(&self, entry: &weft_control::lisp::itr::MapCacheEntry) -> Value {
        let mut item = item(entry);
        let key = prefix_of(&entry.eid).and_then(|prefix| {
            let instance = weft_packet::addr::InstanceId::new(entry.instance)?;
            let from = entry.source_prefix.as_deref().and_then(|from| from.parse().ok());
            Some(EidKey { eid: EidPrefix::new(instance, prefix), from })
        });
        if let (Some(usage), Some(object)) =
            (key.and_then(|key| self.fib.usage(key)), item.as_object_mut())
        {
            object.insert("packets".into(), json!(usage.packets));
            object.insert("bytes".into(), json!(usage.bytes));
        }
        item
    }

    pub(super) fn database(&self) -> Outcome {
        let etr = self.engine.etr().ok_or_else(|| no("this router is no ETR"))?;
        let status = etr.status(self.clock.now());
        let servers: Vec<Value> = status
            .registrations
            .iter()
            .map(|r| json!({"map-server": r.map_server, "state": item(&r.state)}))
            .collect();
        let items = status
            .database
            .iter()
            .map(|mapping| {
                let mut item = item(mapping);
                if let Some(object) = item.as_object_mut() {
                    object.insert("registered-with".into(), json!(servers));
                }
                item
            })
            .collect();
        Ok((items, Value::Null))
    }

    pub(super) fn registration(&self) -> Outcome {
        let etr = self.engine.etr().ok_or_else(|| no("this router is no ETR"))?;
        let status = etr.status(self.clock.now());
        Ok((status.registrations.iter().map(item).collect(), Value::Null))
    }

    pub(super) fn rlocs(&self) -> (Vec<Value>, Value) {
        let status = self.engine.prober().status(self.clock.now());
        let traffic = self.fib.traffic();
        let items = status
            .rlocs
            .iter()
            .map(|rloc| {
                let mut item = item(rloc);
                let of = || traffic.iter().filter(|pair| pair.rloc == rloc.rloc);
                let sent: u64 = of().map(|pair| pair.sent).sum();
                let received: u64 = of().map(|pair| pair.received).sum();
                if let Some(object) = item.as_object_mut() {
                    object.insert("sent".into(), json!(sent));
                    object.insert("received".into(), json!(received));
                    self.name_uplinks(object);
                }
                item
            })
            .collect();
        let summary = json!({
            "probing": status.probing, "interval": status.interval,
            "retry-interval": status.retry_interval, "retries": status.retries,
            "uplinks": status.uplinks.iter().map(item).collect::<Vec<_>>(),
        });
        (items, summary)
    }

    fn name_uplinks(&self, object: &mut serde_json::Map<String, Value>) {
        let pairs = object.get_mut("pairs").and_then(Value::as_array_mut);
        for pair in pairs.into_iter().flatten().filter_map(Value::as_object_mut) {
            let number = pair.get("uplink").and_then(Value::as_u64);
            let id = number.and_then(|n| u16::try_from(n).ok()).map(UplinkId);
            if let Some(id) = id {
                pair.insert("uplink".into(), json!(uplink_name(&self.names, id)));
            }
        }
    }

    pub(super) fn sites(&self, name: Option<&str>) -> Outcome {
        let server = self.engine.map_server().ok_or_else(|| no("this router is no Map-Server"))?;
        let items: Vec<Value> =
            server.sites(self.clock.now(), name).map(|site| item(&site)).collect();
        if let Some(name) = name.filter(|_| items.is_empty()) {
            return Err(no(format!("no site is called `{name}`")));
        }
        Ok((items, Value::Null))
    }

    pub(super) fn registered(
        &self,
        eid: Option<&str>,
        instance: Option<u32>,
        limit: usize,
    ) -> Outcome {
        let server = self.engine.map_server().ok_or_else(|| no("this router is no Map-Server"))?;
        let now = self.clock.now();
        let total = json!({ "total": server.status().mappings });
        let asked = eid.map(|eid| eid_of(eid, instance)).transpose()?;
        if let Some(host) = asked.filter(|eid| eid.prefix.is_host()) {
            let found = server.mapping(now, host);
            let found = found.ok_or_else(|| no(format!("nothing is registered for {host}")))?;
            return Ok((vec![item(&found)], total));
        }
        let filter = RegistrationFilter {
            instance: instance.map(Some).map(super::instance_of).transpose()?,
            within: asked,
            ..RegistrationFilter::default()
        };
        let items = server.mappings(now, &filter).take(limit).map(|m| item(&m)).collect();
        Ok((items, total))
    }

    pub(super) fn refused(&self) -> Outcome {
        let server = self.engine.map_server().ok_or_else(|| no("this router is no Map-Server"))?;
        let now = self.clock.now();
        let items = server.refused().recent().map(|case| item(&case.status(now))).collect();
        Ok((items, Value::Null))
    }

    pub(super) fn map_resolver(&self) -> Outcome {
        let resolver =
            self.engine.map_resolver().ok_or_else(|| no("this router is no Map-Resolver"))?;
        Ok((vec![item(&resolver.status(self.clock.now()))], Value::Null))
    }

    /// Counters of the roles, each as an item of `weft counters`.
    pub(super) fn role_counters(&self) -> Vec<Value> {
        let mut groups = Vec::new();
        if let Some(itr) = self.engine.itr() {
            groups.push(("itr", item(itr.counters())));
        }
        if let Some(server) = self.engine.map_server() {
            groups.push(("map-server", item(&server.status().counters)));
        }
        let numbers = |(group, counters): (&'static str, Value)| -> Vec<Value> {
            let Value::Object(counters) = counters else { return Vec::new() };
            let numbers = counters.into_iter().filter(|(_, value)| value.is_u64());
            numbers
                .map(|(name, value)| json!({"group": group, "counter": name, "value": value}))
                .collect()
        };
        groups.into_iter().flat_map(numbers).collect()
    }
}

/// The prefix of an EID as statuses write it: `[7]10.0.0.0/8` or `10.0.0.0/8`.
fn prefix_of(eid: &str) -> Option<Prefix> {
    eid.rsplit(']').next()?.parse().ok()
}
