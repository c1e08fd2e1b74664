//! The router itself: one thread that owns engine, FIB and store, and carries out what the
//! engine asks for.
//!
//! ```text
//!   UDP 4342 ──▶ ┌────────┐ ──▶ store (on disk first) ──▶ UDP 4342
//!   punts ─────▶ │ engine │ ──▶ FIB ──▶ published to the data plane, held packets released
//!   netlink ───▶ │        │ ──▶ events ──▶ journal: log, monitor, counts
//!   timer ─────▶ └────────┘
//! ```

mod answers;
mod carry_out;
mod lifecycle;
mod links;
mod monitor;
mod reload;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use weft_control::engine::{Actions, Instant, Traffic};
use weft_control::lisp::Lisp;
use weft_data::tun::Upcall;
use weft_fib::Fib;
use weft_manage::config::{Config, Driver, OnExit, UplinkNames};
use weft_packet::addr::Nonce;

use crate::api::{Call, SocketFile};
use crate::clock::Clock;
use crate::control_port::{self, ControlPort};
use crate::data_plane::{self, DataPlane};
use crate::host::facts::Facts;
use crate::host::netlink::Netlink;
use crate::journal::Journal;
use crate::store::{self, Store};

/// What `weft run` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// Overrides `management.socket`.
    pub socket: Option<PathBuf>,
    /// Overrides `management.state`.
    pub state: Option<PathBuf>,
    /// What `dataplane.driver = "auto"` means.
    pub driver: Option<Driver>,
    /// `dataplane.on-exit` where the configuration does not say.
    pub on_exit: Option<OnExit>,
    /// Overrides `dataplane.pin-path`.
    pub pin_path: Option<PathBuf>,
}

/// Why the router could not start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is not valid; the text is the whole report.
    #[error("{0}")]
    Config(String),
    /// The control port could not be opened.
    #[error(transparent)]
    ControlPort(#[from] control_port::Error),
    /// The state file could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The data plane could not start.
    #[error("the data plane cannot start: {0}")]
    DataPlane(#[from] data_plane::Error),
    /// The management socket could not be opened.
    #[error("cannot open the management socket {}: {source}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A running router.
struct Router {
    options: Options,
    config: Config,
    names: UplinkNames,
    clock: Clock,
    engine: Lisp,
    fib: Fib,
    plane: Option<DataPlane>,
    port: ControlPort,
    store: Store,
    #[expect(dead_code, reason = "removes the management socket when it is dropped")]
    socket: SocketFile,
    journal: Journal,
    netlink: Netlink,
    facts: Facts,
    actions: Actions,
    path_mtus: HashMap<IpAddr, Instant>,
    traffic: TrafficWatch,
    lookups: HashMap<Nonce, mpsc::Sender<weft_manage::api::Response>>,
    drops_watched: Option<Instant>,
    /// Numbers of the uplink interfaces whose kernel settings were looked at.
    uplinks_checked: HashSet<u32>,
}

/// What the router waits for.
struct Inputs {
    upcalls: mpsc::Receiver<Upcall>,
    links_changed: Arc<Notify>,
    calls: mpsc::Receiver<Call>,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// When the traffic counters were read, and what they said.
#[derive(Debug, Default)]
struct TrafficWatch {
    next: Option<Instant>,
    last: Vec<Traffic>,
    quiet: u32,
}

/// Why the main loop ended a turn.
enum Turn {
    Go,
    Stop,
}

/// Control messages taken in one turn before actions are carried out.
const BATCH: usize = 256;
/// Between readings of the traffic counters while packets flow, and while none do.
const TRAFFIC_BUSY: Duration = Duration::from_millis(250);
const TRAFFIC_QUIET: Duration = Duration::from_secs(2);
/// Quiet readings until the slower pace.
const QUIET_READINGS: u32 = 20;

/// Runs a router until it is told to stop. `ready` is called once it works.
pub async fn run(options: Options, ready: impl FnOnce(&Config)) -> Result<(), Error> {
    let (mut router, mut inputs) = Router::start(options).await?;
    ready(&router.config);
    while let Turn::Go = router.turn(&mut inputs).await {}
    router.stop().await;
    Ok(())
}

impl Inputs {
    fn signals() -> io::Result<(Signal, Signal, Signal)> {
        Ok((
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        ))
    }
}

impl Router {
    /// Waits for something to happen, hands it to the engine, and carries out what follows.
    async fn turn(&mut self, inputs: &mut Inputs) -> Turn {
        let deadline = self.deadline();
        tokio::select! {
            received = self.port.receive(BATCH) => self.received(received),
            Some(upcall) = inputs.upcalls.recv() => {
                self.upcall(upcall);
                for _ in 1..BATCH {
                    let Ok(upcall) = inputs.upcalls.try_recv() else { break };
                    self.upcall(upcall);
                }
            }
            () = sleep_until(deadline.map(|at| self.clock.at(at))) => self.tick(),
            () = inputs.links_changed.notified() => self.links_changed().await,
            Some(call) = inputs.calls.recv() => self.call(call).await,
            _ = inputs.hangup.recv() => self.hangup().await,
            _ = inputs.terminate.recv() => return Turn::Stop,
            _ = inputs.interrupt.recv() => return Turn::Stop,
        }
        self.carry_out();
        Turn::Go
    }

    fn deadline(&mut self) -> Option<Instant> {
        let path_mtu = self.path_mtus.values().copied().min();
        [self.engine.deadline(), self.traffic.next, path_mtu, self.drops_watched]
            .into_iter()
            .flatten()
            .min()
    }

    fn received(&mut self, received: io::Result<Vec<control_port::Received>>) {
        let datagrams = match received {
            Ok(datagrams) => datagrams,
            Err(error) => {
                tracing::error!(%error, "cannot read the control port");
                return;
            }
        };
        let now = self.clock.now();
        for datagram in &datagrams {
            let datagram = weft_control::engine::Datagram {
                from: datagram.from,
                to: datagram.to,
                bytes: &datagram.bytes,
            };
            self.engine.packet(now, datagram, &mut self.actions);
        }
    }

    fn upcall(&mut self, upcall: Upcall) {
        let now = self.clock.now();
        match upcall {
            Upcall::Punt { instance, source, destination } => {
                let punt = weft_control::engine::Punt { instance, source, destination };
                self.engine.punt(now, punt, &mut self.actions);
            }
            Upcall::PathMtu { rloc, mtu } if self.sends_to(rloc) => {
                self.path_mtu_learned(now, rloc, mtu);
            }
            Upcall::PathMtu { rloc, mtu } => {
                tracing::debug!(%rloc, mtu, "path MTU of a locator that is not in use");
            }
        }
    }

    /// True when packets were encapsulated to that locator.
    fn sends_to(&mut self, rloc: IpAddr) -> bool {
        self.plane.iter_mut().for_each(DataPlane::sync_traffic);
        self.fib.traffic().iter().any(|pair| pair.rloc == rloc && pair.sent > 0)
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if self.traffic.next.is_some_and(|at| at <= now) {
            self.read_traffic(now);
        }
        self.forget_path_mtus(now);
        if self.drops_watched.is_some_and(|at| at <= now) {
            self.pass_on_drops(now);
        }
        self.engine.tick(now, &mut self.actions);
    }

    /// Shows the engine what flows: 4 readings a second while packets do, fewer otherwise, and one
    /// before any change of ours, of which everybody who sends to us by now has to be told.
    fn read_traffic(&mut self, now: Instant) {
        self.plane.iter_mut().for_each(DataPlane::sync_traffic);
        let current: Vec<Traffic> = self
            .fib
            .traffic()
            .into_iter()
            .map(|pair| Traffic {
                uplink: pair.uplink,
                rloc: pair.rloc,
                sent: pair.sent,
                received: pair.received,
            })
            .collect();
        let moved = current != self.traffic.last;
        self.traffic.quiet = if moved { 0 } else { self.traffic.quiet.saturating_add(1) };
        let busy = self.traffic.quiet < QUIET_READINGS;
        self.traffic.next = Some(now + if busy { TRAFFIC_BUSY } else { TRAFFIC_QUIET });
        if busy {
            self.engine.traffic(now, &current, &mut self.actions);
        }
        self.traffic.last = current;
    }
}

/// Never ready without a deadline.
async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
