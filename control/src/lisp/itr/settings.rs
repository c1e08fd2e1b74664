//! What is configured becomes routes: defaults, static mappings, Proxy-ETRs. A change of the
//! configuration touches what differs and leaves what was learned alone.

use std::collections::{BTreeMap, BTreeSet};

use weft_fib::{Change, DropReason, EidKey, Encapsulation, GroupId, Route, Source};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};
use weft_packet::lisp::{Action, Locator};

use super::Itr;
use super::groups::Holder;
use super::map_cache::Content;
use crate::engine::{Actions, Instant};
use crate::lisp::config::{self, Place, StaticMapping};
use crate::lisp::eid_table::EidTable;
use crate::lisp::local::Local;

impl Itr {
    /// Takes a new configuration.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        settings: config::Itr,
        encapsulation: Encapsulation,
        instances: &[InstanceId],
        local: &Local,
        out: &mut Actions,
    ) {
        self.settings = settings;
        self.instances = instances.iter().copied().collect();
        self.resolvers.reconfigure(&self.settings.map_resolvers);
        self.groups.encapsulate(encapsulation, out);
        self.configure(out);
        self.holds.clear();
        self.forget_unwanted(out);
        self.shorten_lives(now);
        self.evict_excess(out);
        self.tick(now, local, out);
    }

    /// Takes everything out of the forwarding table: this router is no ITR any more. What the
    /// prober shall release is said by [`Itr::take_watch_changes`] once more.
    pub fn withdraw(&mut self, out: &mut Actions) {
        self.flush(None, out);
        self.settings = config::Itr::default();
        self.instances = BTreeSet::new();
        self.configure(out);
    }

    /// Makes the routes that follow from the configuration. Proxy-ETRs go last, once no route
    /// names them.
    pub(super) fn configure(&mut self, out: &mut Actions) {
        let proxy_etrs = [Prefix::ALL_V4, Prefix::ALL_V6].map(|all| self.join_proxy_etrs(all, out));
        let before = std::mem::replace(&mut self.proxy_etrs, proxy_etrs);
        self.set_statics(out);
        self.set_defaults(out);
        if before != proxy_etrs {
            self.reroute_native(out);
            let families = [Prefix::ALL_V4, Prefix::ALL_V6];
            for (all, (before, after)) in
                families.into_iter().zip(before.into_iter().zip(proxy_etrs))
            {
                if let Some(group) = before.filter(|_| before != after) {
                    self.groups.leave(group, proxy_etrs_of(all), out);
                }
            }
        }
    }

    /// How packets to a mapping are forwarded.
    pub(super) fn route(&self, eid: EidPrefix, content: Content) -> Route {
        match content {
            Content::Positive(group) if self.groups.is_usable(group) => Route::Encapsulate(group),
            Content::Positive(_) => Route::Drop(DropReason::NoUsableRloc),
            Content::Negative(action) => match action {
                Action::NativelyForward | Action::Unassigned6 => self.outside_lisp(eid),
                Action::SendMapRequest => Route::Resolve,
                Action::DropPolicyDenied => Route::Drop(DropReason::PolicyDenied),
                Action::DropAuthFailure => Route::Drop(DropReason::AuthFailure),
                // RFC 9301 §5.4: No-Action keeps the entry and encapsulates nothing.
                Action::NoAction | Action::DropNoReason | Action::Unassigned7 => {
                    Route::Drop(DropReason::NegativeMapping)
                }
            },
        }
    }

    /// How packets to a configured mapping are forwarded: to the letter.
    pub(super) fn static_route(&self, content: Content) -> Route {
        match content {
            Content::Positive(group) if self.groups.is_usable(group) => Route::Encapsulate(group),
            Content::Negative(Action::NativelyForward | Action::Unassigned6) => Route::Native,
            _ => Route::Drop(DropReason::StaticDrop),
        }
    }

    /// How packets to non-LISP destinations are forwarded (RFC 6832 §4, RFC 9301 §5.4).
    fn outside_lisp(&self, eid: EidPrefix) -> Route {
        let [ipv4, ipv6] = self.proxy_etrs;
        let group = if eid.prefix.is_ipv6() { ipv6 } else { ipv4 };
        group.map_or(Route::Native, Route::Encapsulate)
    }

    fn join_proxy_etrs(&mut self, all: Prefix, out: &mut Actions) -> Option<GroupId> {
        let serves = |p: &&config::ProxyEtr| if all.is_ipv6() { p.ipv6 } else { p.ipv4 };
        let locator = |p: &config::ProxyEtr| Locator::unicast(p.address, p.priority, p.weight);
        let serving = self.settings.proxy_etrs.iter().filter(serves);
        let set: Vec<_> = serving.map(locator).collect();
        (!set.is_empty()).then(|| self.groups.join(set, proxy_etrs_of(all), out))
    }

    /// Packets to native destinations take another way now.
    fn reroute_native(&mut self, out: &mut Actions) {
        let native = Action::NativelyForward;
        for (eid, entry) in self.cache.iter() {
            if matches!(entry.content, Content::Negative(a) if a == native || a == Action::Unassigned6)
            {
                let route = self.route(eid, entry.content);
                out.forward(Change::SetRoute { key: eid.into(), source: Source::Lisp, route });
            }
        }
    }

    fn set_statics(&mut self, out: &mut Actions) {
        let configured = std::mem::take(&mut self.settings.static_map_cache);
        let mut wanted = BTreeMap::new();
        let served = |m: &&StaticMapping| self.instances.contains(&m.eid.instance) && !asks(m);
        for mapping in configured.iter().filter(served) {
            let key = EidKey { eid: mapping.eid, from: mapping.from };
            let content = match static_set(mapping) {
                set if set.is_empty() => Content::Negative(mapping.action),
                set => Content::Positive(self.groups.join(set, Holder::Static(key), out)),
            };
            wanted.insert(key, content);
        }
        self.settings.static_map_cache = configured;
        let before = std::mem::replace(&mut self.statics, wanted);
        let for_all = self.statics.iter().filter(|(key, _)| key.from.is_none());
        self.statics_for_all = for_all.map(|(key, &content)| (key.eid, content)).collect();
        let source = Source::Static;
        for (&key, &content) in &self.statics {
            if before.get(&key) != Some(&content) {
                let route = self.static_route(content);
                out.forward(Change::SetRoute { key, source, route });
            }
        }
        for (key, content) in before {
            let now = self.statics.get(&key);
            if now.is_none() {
                out.forward(Change::ClearRoute { key, source });
            }
            if let Content::Positive(group) = content
                && now != Some(&content)
            {
                self.groups.leave(group, Holder::Static(key), out);
            }
        }
    }

    fn set_defaults(&mut self, out: &mut Actions) {
        let wanted: EidTable<_> =
            self.instances.iter().flat_map(|&instance| self.defaults_of(instance)).collect();
        let source = Source::Default;
        for (eid, &route) in wanted.iter() {
            if self.defaults.get(eid) != Some(&route) {
                out.forward(Change::SetRoute { key: eid.into(), source, route });
            }
        }
        for (eid, _) in self.defaults.iter().filter(|&(eid, _)| wanted.get(eid).is_none()) {
            out.forward(Change::ClearRoute { key: eid.into(), source });
        }
        self.defaults = wanted;
    }

    /// What holds in an instance where nothing is cached. Without a Map-Resolver everything
    /// unknown is outside LISP.
    fn defaults_of(&self, instance: InstanceId) -> Vec<(EidPrefix, Route)> {
        let all = [Prefix::ALL_V4, Prefix::ALL_V6].map(|all| EidPrefix::new(instance, all));
        if self.resolvers.is_empty() {
            return all.into_iter().map(|eid| (eid, self.outside_lisp(eid))).collect();
        }
        let allowed = &self.settings.allowed_eids;
        let elsewhere = if allowed.is_empty() { Route::Resolve } else { Route::Native };
        let asked = self.settings.static_map_cache.iter().filter(|m| asks(m)).map(|m| m.eid);
        let inside = allowed.iter().copied().chain(asked).filter(|eid| eid.instance == instance);
        let everything = all.into_iter().map(|eid| (eid, elsewhere));
        everything.chain(inside.map(|eid| (eid, Route::Resolve))).collect()
    }

    /// Removes mappings that would not be asked for any more.
    fn forget_unwanted(&mut self, out: &mut Actions) {
        let wanted = |eid| matches!(self.defaults.longest(eid), Some((_, Route::Resolve)));
        let gone: Vec<_> = self.cache.iter().map(|(e, _)| e).filter(|&e| !wanted(e)).collect();
        for eid in gone {
            self.remove(eid, "not-allowed", out);
        }
    }
}

/// A configured mapping without locators that says to ask is a part of the defaults: what is
/// learned there wins over it.
fn asks(mapping: &StaticMapping) -> bool {
    mapping.rlocs.is_empty() && mapping.action == Action::SendMapRequest
}

/// The locators of a configured mapping. Our own say where packets come in, not where they go.
fn static_set(mapping: &StaticMapping) -> Vec<Locator> {
    let rlocs = mapping.rlocs.iter().filter_map(|rloc| match rloc.place {
        Place::Address { rloc: address, local } => {
            Some(Locator { local, ..Locator::unicast(address, rloc.priority, rloc.weight) })
        }
        Place::Uplink(_) => None,
    });
    rlocs.collect()
}

/// All EIDs of a family stand for what Proxy-ETRs serve.
fn proxy_etrs_of(all: Prefix) -> Holder {
    Holder::ProxyEtrs(EidPrefix::new(InstanceId::DEFAULT, all))
}
