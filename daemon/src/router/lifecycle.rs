//! Start and stop: what is opened in which order, and what is left behind (nothing).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use weft_control::engine::{Actions, Random};
use weft_control::lisp::{Lisp, Stored, etr};
use weft_data::tun::{Options as PlaneOptions, Tun, Upcall};
use weft_fib::{Fib, Reader, Uplink};
use weft_manage::config::{Config, Driver, UplinkNames, load};
use weft_packet::addr::InstanceId;

use super::{Error, Inputs, Options, Router, TrafficWatch};
use crate::clock::Clock;
use crate::control_port::ControlPort;
use crate::host::facts::{Address, Facts};
use crate::host::netlink::Netlink;
use crate::host::plan::{device_name, plan};
use crate::host::{sysctl, uplinks};
use crate::journal::Journal;
use crate::store::{self, Store};
use crate::{api, data_plane};

/// Punts and the like that may wait for the control plane.
const UPCALLS: usize = 4096;

impl Router {
    /// Opens everything, in an order in which a failure leaves nothing behind.
    pub(super) async fn start(options: Options) -> Result<(Self, Inputs), Error> {
        let mut names = UplinkNames::default();
        let mut config = load(&options.config, &mut names)
            .map_err(|report| Error::Config(report.to_string()))?;
        override_paths(&mut config, &options);
        let links_changed = Arc::new(Notify::new());
        let netlink = Netlink::connect(links_changed.clone()).map_err(system("open netlink"))?;
        let facts = netlink.facts().await.map_err(system("read links and addresses"))?;
        let store = Store::open(&config.management.state)?;
        let port = ControlPort::open(&config.control_listen)?;
        let calls = api::listen(&config.management)?;
        netlink.flush().await.map_err(system("remove rules and routes of an earlier run"))?;
        let (fib, reader) = Fib::new();
        let (upcalls_in, upcalls) = mpsc::channel(UPCALLS);
        let plane = start_plane(&config, reader, upcalls_in)?;
        let clock = Clock::start();
        let mut actions = Actions::default();
        let local = uplinks::uplinks(&config.uplinks, &facts);
        let stored = stored(&store, &clock)?;
        let random = Random::new(seed()?);
        let now = clock.now();
        let engine = Lisp::new(now, config.lisp.clone(), local, random, &stored, &mut actions);
        let (terminate, interrupt, hangup) =
            Inputs::signals().map_err(system("watch for signals"))?;
        let mut router = Self {
            journal: Journal::new(config.management.event_history),
            options,
            config,
            names,
            clock,
            engine,
            fib,
            plane,
            port,
            store,
            netlink,
            facts,
            actions,
            path_mtus: HashMap::new(),
            traffic: TrafficWatch::default(),
            lookups: HashMap::new(),
            drops_watched: None,
        };
        router.links_changed().await;
        router.check_sysctls();
        router.carry_out();
        let inputs = Inputs { upcalls, links_changed, calls, terminate, interrupt, hangup };
        Ok((router, inputs))
    }

    /// Withdraws what is registered, and removes what is installed.
    pub(super) async fn stop(mut self) {
        tracing::info!("stopping");
        let now = self.clock.now();
        self.engine.shutdown(now, &mut self.actions);
        self.carry_out();
        if let Err(error) = self.netlink.flush().await {
            tracing::warn!(%error, "rules or routes could not be removed");
        }
        if let Some(plane) = self.plane.take() {
            plane.stop();
        }
        // Only ours, and only if nobody made a new one in its place.
        let _ = std::fs::remove_file(&self.config.management.socket);
    }

    /// Reads links and addresses again, and brings everything that follows from them up to date.
    pub(super) async fn links_changed(&mut self) {
        match self.netlink.facts().await {
            Ok(facts) => self.facts = facts,
            Err(error) => {
                tracing::error!(%error, "cannot read links and addresses");
                return;
            }
        }
        self.find_unrouted().await;
        let local = uplinks::uplinks(&self.config.uplinks, &self.facts);
        let now = self.clock.now();
        self.engine.uplinks(now, local.clone(), &mut self.actions);
        self.carry_out();
        self.bring_up_devices(&local).await;
        if let Err(error) = self.netlink.install(&plan(&self.config, &self.facts)).await {
            tracing::error!(%error, "cannot install rules and routes");
        }
        if let Some(plane) = &self.plane {
            plane.set_options(data_plane::options(&self.config, &self.facts));
        }
    }

    /// Notes uplinks through which no Map-Server or Map-Resolver of their family has a route.
    async fn find_unrouted(&mut self) {
        let lisp = &self.config.lisp;
        let resolvers = lisp.itr.iter().flat_map(|itr| itr.map_resolvers.iter().copied());
        let servers = lisp.etr.iter().flat_map(|etr| etr.map_servers.iter().map(|s| s.address));
        let targets: Vec<_> = resolvers.chain(servers).collect();
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

    async fn bring_up_devices(&mut self, local: &[Uplink]) {
        if self.plane.is_none() {
            return;
        }
        let mut raised = false;
        for instance in &self.config.instances {
            let mtu = device_mtu(&self.config, instance.id, local);
            let name = device_name(&self.config.data_plane.device, instance.id);
            let Some(link) = self.facts.link(&name) else { continue };
            if link.up && link.mtu == mtu {
                continue;
            }
            if !link.up {
                sysctl::prepare(&name);
            }
            match self.netlink.bring_up(link.index, mtu).await {
                Ok(()) => raised = true,
                Err(error) => tracing::error!(device = name, %error, "cannot bring the device up"),
            }
        }
        if raised && let Ok(facts) = self.netlink.facts().await {
            let unrouted = std::mem::take(&mut self.facts.unrouted);
            self.facts = Facts { unrouted, ..facts };
        }
    }

    /// Names every kernel setting in the way, or puts it right where the configuration says so.
    pub(super) fn check_sysctls(&self) {
        if self.plane.is_none() {
            return;
        }
        let mut devices: HashSet<&str> = HashSet::new();
        let local = self.engine.local();
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

/// What engines go on from: what is on disk, and a floor for nonces in case the disk is new.
pub(super) fn stored(store: &Store, clock: &Clock) -> Result<Stored, store::Error> {
    let mut stored = store.load()?;
    let floor = clock.wall(clock.now()).as_secs() << 20;
    stored.insert(etr::FLOOR_KEY.to_owned(), floor.to_be_bytes().to_vec());
    Ok(stored)
}

/// Paths given on the command line win over the file's.
pub(super) fn override_paths(config: &mut Config, options: &Options) {
    if let Some(socket) = &options.socket {
        config.management.socket.clone_from(socket);
    }
    if let Some(state) = &options.state {
        config.management.state.clone_from(state);
    }
}

fn start_plane(
    config: &Config,
    reader: Reader,
    upcalls: mpsc::Sender<Upcall>,
) -> Result<Option<Tun>, Error> {
    let tunnel_router = config.lisp.itr.is_some() || config.lisp.etr.is_some();
    if config.data_plane.driver == Driver::None || !tunnel_router {
        return Ok(None);
    }
    let devices: Vec<_> = config
        .instances
        .iter()
        .map(|i| (i.id, device_name(&config.data_plane.device, i.id)))
        .collect();
    let options: PlaneOptions = data_plane::options(config, &Facts::default());
    let upcall = Arc::new(move |upcall| upcalls.try_send(upcall).is_ok());
    Ok(Some(Tun::start(options, &devices, reader, upcall)?))
}

/// What the device of an instance carries: the configured MTU, or what fits every uplink, so that
/// the kernel itself tells hosts what is too big. It looks for the host in the main table, though,
/// and would tell another instance's host of the same address: devices of bound instances take
/// everything, and the data plane tells, which knows the instance.
fn device_mtu(config: &Config, instance: InstanceId, local: &[Uplink]) -> u32 {
    if instance != InstanceId::DEFAULT {
        return 65_535;
    }
    const WITHOUT_UPLINKS: u16 = 1500 - 56;
    const LEAST: u32 = 1280;
    let overhead = |uplink: &Uplink| if uplink.rloc.is_ipv6() { 56 } else { 36 };
    let fits = local.iter().map(|u| u.mtu.saturating_sub(overhead(u))).min();
    let mtu = config.data_plane.mtu.or(fits).unwrap_or(WITHOUT_UPLINKS);
    u32::from(mtu).max(LEAST)
}

fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Error::System {
        what: "read random numbers",
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(seed)
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::System { what, source }
}

/// How long a request over the control socket may wait for an answer from the network.
pub(super) const LOOKUP_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn router_that_lost_its_disk_goes_on_from_the_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(folder.path()).expect("a new store");
        let kept = ("ms/some".to_owned(), Some(b"value".to_vec()));
        store.write(&[kept]).expect("written");
        let clock = Clock::start();
        let stored = stored(&store, &clock).expect("read");
        let floor: [u8; 8] = stored[etr::FLOOR_KEY].as_slice().try_into().expect("8 octets");
        let seconds = u64::from_be_bytes(floor) >> 20;
        assert!(seconds.abs_diff(clock.wall(clock.now()).as_secs()) <= 1, "{seconds}");
        assert_eq!(stored["ms/some"], b"value", "besides what was kept");
    }
}
