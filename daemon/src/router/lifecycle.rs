//! Start and stop: what is opened in which order, and what is left behind: nothing, or a kernel
//! that goes on forwarding.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use weft_control::engine::{Action, Actions, Random};
use weft_control::lisp::{Lisp, Stored, etr};
use weft_data::tun::{Upcall, Upcalls};
use weft_fib::{Fib, Reader};
use weft_manage::config::{Config, Driver, UplinkNames, load};

use super::{Error, Inputs, Options, Router, TrafficWatch};
use crate::clock::Clock;
use crate::control_port::ControlPort;
use crate::data_plane::DataPlane;
use crate::host::netlink::Netlink;
use crate::host::uplinks;
use crate::journal::Journal;
use crate::store::{self, Store};
use crate::{api, data_plane, too_big};

/// Punts and the like that may wait for the control plane.
const UPCALLS: usize = 4096;

impl Router {
    /// Opens everything, in an order in which a failure leaves nothing behind.
    pub(super) async fn start(options: Options) -> Result<(Self, Inputs), Error> {
        // First of all: a signal that comes while the rest is opened ends a router that cleans up.
        let (terminate, interrupt, hangup) =
            Inputs::signals().map_err(system("watch for signals"))?;
        let mut names = UplinkNames::default();
        let mut config = load(&options.config, &mut names)
            .map_err(|report| Error::Config(report.to_string()))?;
        override_paths(&mut config, &options);
        let links_changed = Arc::new(Notify::new());
        let netlink = Netlink::connect(links_changed.clone()).map_err(system("open netlink"))?;
        let facts = netlink.facts().await.map_err(system("read links and addresses"))?;
        let store = Store::open(&config.management.state)?;
        let port = ControlPort::open(&config.control_listen)?;
        let (calls, socket) = api::listen(&config.management)?;
        let (mut fib, reader) = Fib::new();
        let (upcalls_in, upcalls) = mpsc::channel(UPCALLS);
        let plane = start_plane(&config, &mut fib, &reader, upcalls_in)?;
        if !plane.as_ref().is_some_and(DataPlane::keeps) {
            netlink.flush().await.map_err(system("remove rules and routes of an earlier run"))?;
        }
        let clock = Clock::start();
        let mut actions = Actions::default();
        let local = uplinks::uplinks(&config.uplinks, &facts);
        let stored = stored(&store, &clock)?;
        let random = Random::new(seed()?);
        let now = clock.now();
        let engine = Lisp::new(now, config.lisp.clone(), local, random, &stored, &mut actions);
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
            socket,
            netlink,
            facts,
            actions,
            path_mtus: HashMap::new(),
            traffic: TrafficWatch::default(),
            lookups: HashMap::new(),
            drops_watched: None,
            uplinks_checked: HashSet::new(),
        };
        router.check_sysctls();
        router.open_ways().await;
        router.links_changed().await;
        router.carry_out();
        let inputs = Inputs { upcalls, links_changed, calls, terminate, interrupt, hangup };
        Ok((router, inputs))
    }

    /// Withdraws what is registered, and removes what is installed; leaves both where the kernel
    /// goes on forwarding.
    pub(super) async fn stop(mut self) {
        let keeps = self.plane.as_ref().is_some_and(DataPlane::keeps);
        let now = self.clock.now();
        self.engine.shutdown(now, &mut self.actions);
        if keeps {
            tracing::info!("stopping; the kernel goes on forwarding what it knows");
            // Nothing is withdrawn, and nothing is told to the tables that stay.
            self.actions.0.retain(|action| matches!(action, Action::Store { .. }));
        } else {
            tracing::info!("stopping");
        }
        self.carry_out();
        if !keeps && let Err(error) = self.netlink.flush().await {
            tracing::warn!(%error, "rules or routes could not be removed");
        }
        if let Some(plane) = self.plane.take() {
            plane.stop();
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

/// Paths given on the command line win over the file's; what else is given there holds where the
/// file leaves it open.
pub(super) fn override_paths(config: &mut Config, options: &Options) {
    if let Some(socket) = &options.socket {
        config.management.socket.clone_from(socket);
    }
    if let Some(state) = &options.state {
        config.management.state.clone_from(state);
    }
    let plane = &mut config.data_plane;
    if let Some(driver) = options.driver.filter(|_| plane.driver == Driver::Auto) {
        plane.driver = driver;
    }
    plane.on_exit = plane.on_exit.or(options.on_exit);
    if let Some(pin_path) = &options.pin_path {
        plane.pin_path.clone_from(pin_path);
    }
}

fn start_plane(
    config: &Config,
    fib: &mut Fib,
    reader: &Reader,
    upcalls: mpsc::Sender<Upcall>,
) -> Result<Option<DataPlane>, Error> {
    let tunnel_router = config.lisp.itr.is_some() || config.lisp.etr.is_some();
    if config.data_plane.driver == Driver::None || !tunnel_router {
        data_plane::forget_pins(&config.data_plane.pin_path);
        return Ok(None);
    }
    let upcall = move |upcall| upcalls.try_send(upcall).is_ok();
    let upcalls: Upcalls = Arc::new(upcall.clone());
    let plane = DataPlane::start(config, fib, reader, &upcalls)?;
    if plane.driver() == "ebpf" {
        // Needs CAP_NET_RAW, which nothing else does.
        if let Err(error) = too_big::watch(upcall) {
            tracing::warn!(%error, "the MTU of paths is not learned: it takes the capability CAP_NET_RAW");
        }
    }
    Ok(Some(plane))
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
        let mut store = Store::open(folder.path()).expect("a new store");
        let kept = ("ms/some".to_owned(), Some(b"value".to_vec()));
        let clock = Clock::start();
        store.write(clock.now(), vec![kept]).expect("written");
        let stored = stored(&store, &clock).expect("read");
        let floor: [u8; 8] = stored[etr::FLOOR_KEY].as_slice().try_into().expect("8 octets");
        let seconds = u64::from_be_bytes(floor) >> 20;
        assert!(seconds.abs_diff(clock.wall(clock.now()).as_secs()) <= 1, "{seconds}");
        assert_eq!(stored["ms/some"], b"value", "besides what was kept");
    }
}
