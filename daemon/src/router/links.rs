//! What follows from links, addresses and routes: uplinks, devices, rules and kernel settings are
//! brought up to date whenever the kernel tells of a change.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use weft_fib::Uplink;
use weft_manage::config::Config;
use weft_packet::addr::InstanceId;

use super::Router;
use crate::data_plane::DataPlane;
use crate::host::facts::{Address, Facts};
use crate::host::netlink::KEPT;
use crate::host::plan::{device_name, plan};
use crate::host::{sysctl, uplinks};

impl Router {
    /// Reads links and addresses again, and brings everything that follows from them up to date.
    pub(super) async fn links_changed(&mut self) {
        match self.netlink.facts().await {
            Ok(facts) => self.facts = facts,
            Err(error) => {
                tracing::error!(%error, "cannot read links and addresses");
                return;
            }
        }
        self.restore_devices().await;
        self.find_unrouted().await;
        self.find_underlay().await;
        let local = uplinks::uplinks(&self.config.uplinks, &self.facts);
        let now = self.clock.now();
        if local != self.engine.local().uplinks() {
            self.read_traffic(now);
        }
        self.engine.uplinks(now, local.clone(), &mut self.actions);
        self.carry_out();
        self.install(&local).await;
        if let Some(plane) = &mut self.plane {
            plane.follow(&self.config, &self.facts);
        }
        self.check_new_uplinks();
    }

    /// Devices, rules and routes stand before anybody hears of us: packets that a registration
    /// invites would find no way otherwise.
    pub(super) async fn open_ways(&mut self) {
        if let Ok(facts) = self.netlink.facts().await {
            self.facts = facts;
        }
        self.find_underlay().await;
        let local = uplinks::uplinks(&self.config.uplinks, &self.facts);
        self.install(&local).await;
        self.remove_abandoned().await;
    }

    /// Removes devices that an earlier router kept and this one does not have.
    async fn remove_abandoned(&self) {
        let base = &self.config.data_plane.device;
        let served = self.plane.iter().flat_map(|_| &self.config.instances);
        let ours: HashSet<String> = served.map(|i| device_name(base, i.id)).collect();
        for link in self.facts.links.values() {
            if link.alias.as_deref() == Some(KEPT) && !ours.contains(&link.name) {
                tracing::info!(device = link.name, "a device an earlier router kept is removed");
                if let Err(error) = self.netlink.remove_link(link.index).await {
                    tracing::warn!(device = link.name, %error, "it cannot be removed");
                }
            }
        }
    }

    async fn install(&mut self, local: &[Uplink]) {
        self.bring_up_devices(local).await;
        if let Err(error) = self.netlink.install(&plan(&self.config, &self.facts)).await {
            tracing::error!(%error, "cannot install rules and routes");
        }
    }

    /// Makes devices again that somebody removed or renamed.
    async fn restore_devices(&mut self) {
        let Some(plane) = self.plane.as_ref().map(DataPlane::tun) else { return };
        let mut restored = false;
        for instance in &self.config.instances {
            let device = device_name(&self.config.data_plane.device, instance.id);
            if self.facts.link(&device).is_some() {
                continue;
            }
            tracing::warn!(device, "the device of the overlay is gone and made again");
            plane.remove_instance(instance.id);
            match plane.add_instance(instance.id, &device) {
                Ok(()) => restored = true,
                Err(error) => tracing::error!(device, %error, "the device cannot be made"),
            }
        }
        if restored && let Ok(facts) = self.netlink.facts().await {
            self.facts = facts;
        }
    }

    /// Notes uplinks through which no Map-Server or Map-Resolver of their family has a route.
    async fn find_unrouted(&mut self) {
        let lisp = &self.config.lisp;
        let resolvers = lisp.itr.iter().flat_map(|itr| itr.map_resolvers.iter().copied());
        let servers = lisp.etr.iter().flat_map(|etr| etr.map_servers.iter().map(|s| s.address));
        // What is on this router itself needs no way out.
        let ours = |ip: &IpAddr| self.facts.addresses.iter().any(|address| address.ip == *ip);
        let targets: Vec<_> = resolvers.chain(servers).filter(|ip| !ours(ip)).collect();
        for uplink in uplinks::uplinks(&self.config.uplinks, &self.facts) {
            let (index, ipv6) = (uplink.interface, uplink.rloc.is_ipv6());
            let subnets: Vec<_> =
                self.facts.addresses_of(index).filter_map(Address::subnet).collect();
            let mut asked = false;
            let mut routed = false;
            for target in targets.iter().filter(|target| target.is_ipv6() == ipv6) {
                asked = true;
                routed |= self.netlink.has_route(index, *target, &subnets).await;
            }
            if asked && !routed {
                self.facts.unrouted.insert((index, ipv6));
            }
        }
    }

    /// Where there are several IPv6 uplinks, each needs its routes in a table of its own.
    async fn find_underlay(&mut self) {
        let uplinks = uplinks::uplinks(&self.config.uplinks, &self.facts);
        let interfaces: BTreeSet<u32> =
            uplinks.iter().filter(|u| u.rloc.is_ipv6()).map(|u| u.interface).collect();
        if interfaces.len() < 2 {
            return;
        }
        match self.netlink.underlay(&interfaces).await {
            Ok(routes) => self.facts.underlay = routes,
            Err(error) => tracing::error!(%error, "cannot read the routes of the uplinks"),
        }
    }

    async fn bring_up_devices(&mut self, local: &[Uplink]) {
        let Some(keeps) = self.plane.as_ref().map(DataPlane::keeps) else { return };
        let mut raised = false;
        for instance in &self.config.instances {
            let mtu = device_mtu(&self.config, instance.id, local);
            let name = device_name(&self.config.data_plane.device, instance.id);
            let Some(link) = self.facts.link(&name) else { continue };
            let noted = link.alias.as_deref() == Some(KEPT);
            if link.up && link.mtu == mtu && noted == keeps {
                continue;
            }
            if !link.up {
                sysctl::prepare(&name);
            }
            let note = if keeps { KEPT } else { "" };
            match self.netlink.bring_up(link.index, mtu, note).await {
                Ok(()) => raised = true,
                Err(error) => tracing::error!(device = name, %error, "cannot bring the device up"),
            }
        }
        if raised && let Ok(facts) = self.netlink.facts().await {
            let before = std::mem::take(&mut self.facts);
            self.facts = Facts { unrouted: before.unrouted, underlay: before.underlay, ..facts };
        }
    }

    /// Interfaces that are new come with the kernel's default settings.
    fn check_new_uplinks(&mut self) {
        self.uplinks_checked.retain(|index| self.facts.links.contains_key(index));
        let mut uplinks = self.engine.local().uplinks().iter();
        if uplinks.any(|uplink| !self.uplinks_checked.contains(&uplink.interface)) {
            self.check_sysctls();
        }
    }

    /// Names every kernel setting in the way, or puts it right where the configuration says so.
    pub(super) fn check_sysctls(&mut self) {
        if self.plane.is_none() {
            return;
        }
        let mut devices: HashSet<&str> = HashSet::new();
        let local = self.engine.local();
        self.uplinks_checked.extend(local.uplinks().iter().map(|uplink| uplink.interface));
        let of = |uplink: &Uplink| self.facts.links.get(&uplink.interface);
        devices.extend(local.uplinks().iter().filter_map(of).map(|link| link.name.as_str()));
        let ours: Vec<_> = self
            .config
            .instances
            .iter()
            .map(|i| device_name(&self.config.data_plane.device, i.id))
            .collect();
        devices.extend(ours.iter().map(String::as_str));
        for setting in sysctl::needed(devices.into_iter()) {
            let Some(wrong) = setting.check() else { continue };
            if !self.config.data_plane.set_sysctls {
                tracing::warn!("{wrong}, or set dataplane.set-sysctls = true");
            } else if let Err(error) = setting.set() {
                tracing::warn!(%error, "{wrong}; it could not be set");
            } else {
                tracing::info!(setting = setting.name, was = wrong.found, "kernel setting changed");
            }
        }
    }
}

/// What the device of an instance carries: the configured MTU, or what fits every uplink, so that
/// the kernel itself tells hosts what is too big. It looks for the host in the main table, though,
/// and would tell another instance's host of the same address: devices of bound instances take
/// everything, and the data plane tells, which knows the instance.
fn device_mtu(config: &Config, instance: InstanceId, local: &[Uplink]) -> u32 {
    if instance != InstanceId::DEFAULT {
        return 65_535;
    }
    const LEAST: u32 = 1280;
    let encapsulation = config.lisp.encapsulation;
    let fits = |mtu: u16, rloc| mtu.saturating_sub(encapsulation.overhead(rloc));
    let without_uplinks = fits(1500, Ipv6Addr::UNSPECIFIED.into());
    let all = local.iter().map(|uplink| fits(uplink.mtu, uplink.rloc)).min();
    let mtu = config.data_plane.mtu.or(all).unwrap_or(without_uplinks);
    u32::from(mtu).max(LEAST)
}
