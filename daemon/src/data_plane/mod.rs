//! The data plane as the router sees it: the portable one always, and in front of it, where kernel
//! and rights allow it, programs in the kernel that forward what is plain (the *fast path*).
//!
//! The fast path follows the FIB by updates, and the host by [`DataPlane::follow`]. With
//! `on-exit = "keep"` it is pinned together with its tables and the devices are persistent, so that
//! the kernel goes on forwarding while no router runs. The next one starts with tables of its own
//! and takes over the places of the programs: what it has not learned yet waits in the portable
//! plane, and no packet is lost.

mod options;
mod ports;
mod shared;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weft_data::ebpf::{Counters, Ebpf, Port, SharedPorts};
use weft_data::tun::{ByFamily, Tun, Upcalls, Volume};
use weft_fib::{Fib, Reader};
use weft_manage::config::{Config, Driver, OnExit};
use weft_packet::lisp::VXLAN_PORT;

use shared::Entrances;

use crate::host::facts::Facts;
use crate::host::pins;
use crate::host::plan::device_name;

/// Why a data plane cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The portable plane.
    #[error(transparent)]
    Tun(weft_data::tun::Error),
    /// The port of VXLAN is not free, and a VXLAN device of the kernel may be why.
    #[error("dataplane.encapsulation is \"vxlan\", but UDP 4789 is in use: {PORT_OF_VXLAN}")]
    PortOfVxlan,
    /// The fast path was demanded, and the kernel or our rights do not allow it.
    #[error("dataplane.driver is \"ebpf\", but {0}")]
    Ebpf(String),
}

impl From<weft_data::tun::Error> for Error {
    fn from(error: weft_data::tun::Error) -> Self {
        match error {
            weft_data::tun::Error::Socket { port: Some(VXLAN_PORT), source, .. }
                if source.kind() == io::ErrorKind::AddrInUse =>
            {
                Self::PortOfVxlan
            }
            other => Self::Tun(other),
        }
    }
}

/// Who may have the port of VXLAN, and what to do then. A device of the kernel is no program's.
pub(crate) const PORT_OF_VXLAN: &str = "`ss -ulpn sport = :4789` shows who has it, and if it is no \
    program, it is a VXLAN device of the kernel, as Docker and Kubernetes have them (`ip -d link \
    show type vxlan`, perhaps in another namespace); move or stop that, or choose vxlan-gpe, which \
    has a port of its own";

/// The running data plane.
pub(crate) struct DataPlane {
    tun: Tun,
    fast: Fast,
    /// The data ports, if the kernel joins streams on them.
    shared: Option<SharedPorts>,
    /// Where packets to shared ports come in, by who takes care of them.
    entrances: Entrances,
    /// The kernel goes on forwarding when we stop.
    keeps: bool,
    /// Why the fast path does not take the packets of some interfaces.
    unserved: Option<String>,
    /// Cards where plain LISP was to be joined and cannot be, with reasons.
    unjoined: BTreeMap<String, String>,
    /// When the counts of entries were added to the FIB's.
    synced: Option<Instant>,
}

/// What became of the fast path.
enum Fast {
    Runs(Box<Ebpf>),
    /// The configuration wants the portable plane alone.
    NotWanted,
    /// Why it does not run.
    Refused(String),
}

/// The engine asks for counts again and again; they need not be newer than this. There may be a
/// million of them.
const SYNC_PAUSE: Duration = Duration::from_secs(2);

impl DataPlane {
    /// Opens devices and sockets and loads the programs, which are attached to nothing before
    /// [`DataPlane::follow`].
    pub(crate) fn start(
        config: &Config,
        fib: &mut Fib,
        reader: &Reader,
        upcalls: &Upcalls,
    ) -> Result<Self, Error> {
        let (fast, pins) = start_fast(config)?;
        let keeps = pins.is_some();
        if matches!(fast, Fast::Runs(_)) {
            fib.watch();
        }
        let mut options = options::options(config, &Facts::default());
        options.persistent = keeps;
        // What the kernel joins before the programs see it, they cannot forward.
        options.udp_gro = !matches!(fast, Fast::Runs(_));
        let devices: Vec<_> = config
            .instances
            .iter()
            .map(|i| (i.id, device_name(&config.data_plane.device, i.id)))
            .collect();
        let shared = match fast {
            Fast::Runs(_) => shared::take(config.lisp.encapsulation, pins.as_deref()),
            Fast::NotWanted | Fast::Refused(_) => None,
        };
        let (tun, shared) = shared::start(options, shared, |options| {
            Tun::start(options, &devices, reader.clone(), upcalls.clone())
        })?;
        Ok(Self {
            tun,
            fast,
            shared,
            entrances: Entrances::default(),
            keeps,
            unserved: None,
            unjoined: BTreeMap::new(),
            synced: None,
        })
    }

    /// The portable plane.
    pub(crate) fn tun(&self) -> &Tun {
        &self.tun
    }

    /// Brings everything that follows from configuration, links and addresses up to date.
    pub(crate) fn follow(&mut self, config: &Config, facts: &Facts) {
        let mut options = options::options(config, facts);
        options.persistent = self.keeps;
        if let Some(shared) = &mut self.shared {
            options.steered = true;
            shared.set_locals(&ports::locals(facts));
        }
        self.join_plain(config, facts);
        if let Fast::Runs(fast) = &mut self.fast {
            options.udp_gro = false;
            fast.set_options(&options);
            fast.set_instances(&ports::instances(config, facts));
            fast.set_locals(&ports::locals(facts));
            let ports = ports::ports(config, facts);
            let unserved = fast.set_ports(&ports).err();
            self.entrances = Entrances::of(&ports, unserved.as_ref(), config, facts);
            let unserved = unserved.map(|error| error.to_string());
            if let Some(error) = unserved.as_ref().filter(|_| unserved != self.unserved) {
                tracing::warn!("{error}; the portable plane does");
            }
            self.unserved = unserved;
        }
        self.watch_entrances();
        if self.shared.as_ref().and_then(SharedPorts::sole)
            != Some(config.lisp.encapsulation.port())
        {
            self.complete_devices();
        }
        self.tun.set_options(options);
    }

    fn join_plain(&mut self, config: &Config, facts: &Facts) {
        let unjoined = shared::join_plain(self.shared.as_mut(), config, facts);
        for (card, error) in unjoined.iter().filter(|_| unjoined != self.unjoined) {
            tracing::warn!(card, error, "streams in plain LISP are forwarded packet by packet");
        }
        self.unjoined = unjoined;
    }

    /// Sees to it that packets to shared ports reach the portable plane by every link.
    fn watch_entrances(&mut self) {
        let (Some(shared), Fast::Runs(fast)) = (&mut self.shared, &mut self.fast) else { return };
        let others = self.entrances.of_nobody(fast.is_attached());
        shared.watch(&others);
        fast.set_sole(shared.sole());
        // Nobody looks there at what passes through.
        if !others.is_empty() {
            self.complete_devices();
        }
    }

    /// Has the kernel join streams on every data port, and look whom they are for.
    fn complete_devices(&mut self) {
        if let (Some(shared), Fast::Runs(fast)) = (&mut self.shared, &mut self.fast) {
            shared.complete();
            fast.set_sole(None);
        }
    }

    /// Hands what was published to the fast path.
    pub(crate) fn published(&mut self, fib: &mut Fib) {
        if let Fast::Runs(fast) = &mut self.fast {
            let before = fast.is_attached();
            fast.apply(now(), fib.take_updates());
            if before != fast.is_attached() {
                self.watch_entrances();
            }
        }
    }

    /// Adds what the fast path counted between locators to the FIB's counters.
    pub(crate) fn sync_traffic(&mut self) {
        let Fast::Runs(fast) = &mut self.fast else { return };
        fast.sync_traffic(now());
        if self.shared.as_ref().is_some_and(|shared| shared.sole().is_some())
            && fast.counters().beside > 0
        {
            tracing::info!(
                "tunnels of others pass through, or peers use another encapsulation than we: from \
                 now on the kernel joins streams on every data port, and looks whom they are for"
            );
            self.complete_devices();
        }
    }

    /// The same of what each entry carried; `lazily` not if that was done a moment ago.
    pub(crate) fn sync_usage(&mut self, lazily: bool) {
        let now = now();
        let recent = |at: Instant| now.saturating_duration_since(at) < SYNC_PAUSE;
        if let Fast::Runs(fast) = &mut self.fast
            && !(lazily && self.synced.is_some_and(recent))
        {
            fast.sync_usage();
            self.synced = Some(now);
        }
    }

    /// The word for what runs, as in the configuration.
    pub(crate) fn driver(&self) -> &'static str {
        match self.fast {
            Fast::Runs(_) => "ebpf",
            Fast::NotWanted | Fast::Refused(_) => "tun",
        }
    }

    /// Why the fast path does not run, where it was wanted.
    pub(crate) fn refused(&self) -> Option<&str> {
        match &self.fast {
            Fast::Refused(why) => Some(why),
            Fast::Runs(_) | Fast::NotWanted => None,
        }
    }

    /// Cards where plain LISP was to be joined and cannot be, with reasons.
    pub(crate) fn unjoined(&self) -> &BTreeMap<String, String> {
        &self.unjoined
    }

    /// True when the kernel goes on forwarding after a stop.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    /// The interfaces at which the fast path takes packets.
    pub(crate) fn attached(&self, config: &Config, facts: &Facts) -> Vec<String> {
        if !matches!(self.fast, Fast::Runs(_)) {
            return Vec::new();
        }
        let ports = ports::ports(config, facts);
        let name = |port: &Port| Some(facts.links.get(&port.interface)?.name.clone());
        ports.iter().filter_map(name).collect()
    }

    /// Packets the fast path began to forward and could not.
    pub(crate) fn lost(&self) -> u64 {
        self.fast_counters().map_or(0, |counters| counters.failed)
    }

    /// What the fast path counted.
    pub(crate) fn fast_counters(&self) -> Option<Counters> {
        match &self.fast {
            Fast::Runs(fast) => Some(fast.counters()),
            Fast::NotWanted | Fast::Refused(_) => None,
        }
    }

    /// Packets encapsulated and decapsulated, by whichever plane.
    pub(crate) fn carried(&self) -> (ByFamily, ByFamily) {
        let portable = self.tun.counters();
        let fast = self.fast_counters();
        let both = |portable: ByFamily, of: fn(&Counters) -> ByFamily| {
            fast.as_ref().map_or(portable, |fast| sum(portable, of(fast)))
        };
        let encapsulated = both(portable.encapsulated, |fast| fast.encapsulated);
        (encapsulated, both(portable.decapsulated, |fast| fast.decapsulated))
    }

    /// Stops forwarding, or leaves it to the kernel if that was wanted.
    pub(crate) fn stop(self) {
        if let Fast::Runs(fast) = self.fast {
            fast.detach(self.keeps);
        }
        if self.keeps {
            if let Some(shared) = self.shared {
                shared.leave();
            }
            self.tun.detach();
        } else {
            self.tun.stop();
        }
    }
}

/// The fast path, and where it is kept if it is. What an earlier router kept is ended here if
/// nobody takes it over.
fn start_fast(config: &Config) -> Result<(Fast, Option<PathBuf>), Error> {
    let plane = &config.data_plane;
    let wanted = matches!(plane.driver, Driver::Auto | Driver::Ebpf);
    let fast = if !wanted {
        Fast::NotWanted
    } else if let Some(why) = fast_path_refused() {
        Fast::Refused(why)
    } else {
        let pins = pins(config);
        let options = options::options(config, &Facts::default());
        match Ebpf::start(&options, pins.as_deref()) {
            Ok(fast) => return Ok((Fast::Runs(Box::new(fast)), pins)),
            Err(error) => Fast::Refused(error.to_string()),
        }
    };
    forget_pins(&plane.pin_path);
    match fast {
        Fast::Refused(why) if plane.driver == Driver::Ebpf => Err(Error::Ebpf(why)),
        Fast::Refused(why) => {
            tracing::info!(why, "the kernel does not forward by itself; the portable plane does");
            Ok((Fast::Refused(why), None))
        }
        other => Ok((other, None)),
    }
}

/// Why packets cannot be forwarded in the kernel here.
pub(crate) fn fast_path_refused() -> Option<String> {
    Ebpf::probe().err().map(|refusal| refusal.to_string())
}

/// Where the fast path is to be pinned, if it is.
fn pins(config: &Config) -> Option<PathBuf> {
    let plane = &config.data_plane;
    if plane.on_exit.unwrap_or_default() == OnExit::Clean {
        forget_pins(&plane.pin_path);
        return None;
    }
    match pins::prepare(&plane.pin_path) {
        Ok(directory) => Some(directory),
        Err(error) => {
            tracing::warn!("the kernel cannot go on forwarding while the router is away: {error}");
            None
        }
    }
}

/// Ends what an earlier router left forwarding: nobody would tell it of changes any more.
pub(crate) fn forget_pins(path: &Path) -> bool {
    if let Err(error) = SharedPorts::clear() {
        tracing::warn!(%error, "the data ports are not given free");
    }
    match pins::remove(path) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "what is pinned there stays");
            false
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the fast path needs to know when tables are free")]
fn now() -> Instant {
    Instant::now()
}

fn sum(a: ByFamily, b: ByFamily) -> ByFamily {
    let add = |a: Volume, b: Volume| Volume {
        packets: a.packets.saturating_add(b.packets),
        bytes: a.bytes.saturating_add(b.bytes),
    };
    ByFamily { v4: add(a.v4, b.v4), v6: add(a.v6, b.v6) }
}
