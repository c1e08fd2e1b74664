//! Roles come and go with the configuration, while packets flow.

use weft_packet::addr::InstanceId;

use super::Lisp;
use super::config::{self, Config};
use super::etr::{Etr, Identity};
use super::itr::Itr;
use super::map_resolver::MapResolver;
use super::map_server::MapServer;
use crate::engine::{Actions, Instant, Stored};

impl Lisp {
    /// Starts the roles that are configured and not there yet.
    pub(super) fn start_roles(&mut self, now: Instant, stored: &Stored, out: &mut Actions) {
        if let (Some(settings), None) = (self.config.map_server.clone(), &self.map_server) {
            let random = self.random.fork();
            let mut server = MapServer::new(now, settings, random, stored, out);
            server.uplinks(self.uplinks.effective());
            self.map_server = Some(server);
        }
        if let (Some(settings), None) = (self.config.map_resolver.clone(), &self.map_resolver) {
            self.map_resolver = Some(MapResolver::new(settings, self.random.fork()));
        }
        if let (Some(settings), None) = (self.config.etr.clone(), &self.etr) {
            let (identity, random) = (self.identity(), self.random.fork());
            let local = self.uplinks.effective();
            self.etr = Some(Etr::new(now, settings, identity, local, random, stored, out));
        }
        if let (Some(settings), None) = (self.config.itr.clone(), &self.itr) {
            let random = self.random.fork();
            let (encapsulation, instances) = (self.config.encapsulation, self.instances());
            self.itr = Some(Itr::new(settings, encapsulation, &instances, random, out));
        }
        self.trace_roles();
    }

    /// True when becoming what `config` says starts a role that goes on from what is stored.
    pub fn needs_stored(&self, config: &Config) -> bool {
        config.map_server.is_some() && self.map_server.is_none()
            || config.etr.is_some() && self.etr.is_none()
    }

    /// Becomes what `config` says. What stays the same is left alone: a route that is in both
    /// loses no packet. `stored` is what [`crate::engine::Action::Store`] kept so far; it is looked
    /// at only where [`Self::needs_stored`] says so.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        config: Config,
        stored: &Stored,
        out: &mut Actions,
    ) {
        let start = out.0.len();
        self.config = config;
        self.reconfigure_tunnel_router(now, out);
        self.reconfigure_mapping_system(now, out);
        self.start_roles(now, stored, out);
        self.settle(now, start, out);
    }

    fn reconfigure_tunnel_router(&mut self, now: Instant, out: &mut Actions) {
        let probing = self.config.itr.as_ref().and_then(|itr| itr.probing);
        let (identity, instances) = (self.identity(), self.instances());
        let local = self.uplinks.effective();
        match (self.config.etr.clone(), self.etr.take()) {
            (Some(settings), Some(mut etr)) => {
                etr.reconfigure(now, settings, identity, local, out);
                self.etr = Some(etr);
            }
            (None, Some(etr)) => etr.retire(local, out),
            (_, None) => {}
        }
        match (self.config.itr.clone(), self.itr.take()) {
            (Some(settings), Some(mut itr)) => {
                let encapsulation = self.config.encapsulation;
                itr.reconfigure(now, settings, encapsulation, &instances, local, out);
                self.itr = Some(itr);
            }
            (None, Some(mut itr)) => {
                itr.withdraw(out);
                for watch in itr.take_watch_changes() {
                    self.prober.watch(now, watch, self.uplinks.kernel(), out);
                }
            }
            (_, None) => {}
        }
        self.prober.reconfigure(now, probing, out);
    }

    fn reconfigure_mapping_system(&mut self, now: Instant, out: &mut Actions) {
        match (self.config.map_server.clone(), self.map_server.take()) {
            (Some(settings), Some(mut server)) => {
                server.reconfigure(now, settings, out);
                self.map_server = Some(server);
            }
            (_, gone) => drop(gone),
        }
        match (self.config.map_resolver.clone(), self.map_resolver.take()) {
            (Some(settings), Some(mut resolver)) => {
                resolver.reconfigure(settings);
                self.map_resolver = Some(resolver);
            }
            (_, gone) => drop(gone),
        }
    }

    /// Has all roles tell of messages, or not.
    pub(super) fn trace_roles(&mut self) {
        let on = self.trace;
        self.prober.set_trace(on);
        if let Some(itr) = &mut self.itr {
            itr.set_trace(on);
        }
        if let Some(etr) = &mut self.etr {
            etr.set_trace(on);
        }
        if let Some(server) = &mut self.map_server {
            server.set_trace(on);
        }
        if let Some(resolver) = &mut self.map_resolver {
            resolver.set_trace(on);
        }
    }

    fn identity(&self) -> Identity {
        Identity { xtr_id: self.config.xtr_id, site_id: self.config.site_id }
    }

    /// All instances EIDs may be in: those configured, those of our own EIDs, and the default one.
    fn instances(&self) -> Vec<InstanceId> {
        let own = self.config.etr.iter().flat_map(|etr: &config::Etr| &etr.database);
        let mut instances: Vec<_> = own.map(|mapping| mapping.eid.instance).collect();
        instances.extend(&self.config.instances);
        instances.push(InstanceId::DEFAULT);
        instances.sort_unstable();
        instances.dedup();
        instances
    }
}
