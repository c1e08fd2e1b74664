//! The fast path: a program in the kernel that forwards what it is sure of, in front of the
//! portable plane, which does everything else.
//!
//! The program runs at the ingress of interfaces. A packet that it can forward completely, by
//! tables it shares with us, never leaves the kernel; any other it does not touch, and the kernel
//! brings that to the TUN device or the UDP socket as if there were no program. So packets wait
//! for their mapping, are refused, fragmented and answered in one place. The tables are a mirror
//! of the FIB, kept by its [updates](weft_fib::Update).

mod attach;
mod attached;
mod counters;
mod gro;
mod instances;
mod layout;
mod load;
mod maps;
mod pins;
mod ports;
mod prepass;
mod probe;
mod records;
mod shared_ports;
mod slab;
mod tables;
mod trie;

pub use counters::Counters;
pub use probe::Refusal;
pub use records::{Capacities, Full};
pub use shared_ports::{OtherInterface, SharedPorts, SharingError};

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aya::maps::MapError;
use weft_fib::Update;
use weft_packet::addr::InstanceId;

use attach::Hook;
use attached::Unserved;
use instances::Instances;
use layout::{Config, mapped};
use load::{Loaded, Storage};
use pins::Pins;
use ports::Ports;
use probe::sentence;
use tables::Tables;

use crate::pipeline::{Dscp, MssClamp, SourceCheck, Ttl};
use crate::tun;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel, or our rights, do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The folder for links that outlive the process cannot be used.
    #[error("cannot use the pin folder {}: {source}", folder.display())]
    Pins {
        /// The folder.
        folder: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Interfaces that the program could not be attached to, with reasons; the others it is.
    #[error("packets of some interfaces are not forwarded in the kernel: {}", list(.0))]
    Ports(Vec<(u32, String)>),
}

/// An instance the program forwards for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which.
    pub id: InstanceId,
    /// The kernel's number of its TUN device: decapsulated packets are routed as if they came
    /// from there.
    pub device: u32,
    /// Take packets from any source, and not only from our EIDs (a Proxy-ITR).
    pub any_source: bool,
}

/// An Ethernet interface the program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The kernel's number of it.
    pub interface: u32,
    /// The instance that packets to encapsulate belong to; `None` = the default instance.
    pub instance: Option<InstanceId>,
    /// Encapsulate what comes in.
    pub encapsulate: bool,
    /// Decapsulate what comes in.
    pub decapsulate: bool,
    /// It is a veth whose peer is in a namespace of its own, which it only leads to: hand
    /// packets over to the peer directly.
    pub peer: bool,
}

/// The program, running, and the tables it reads. Dropping it takes the program off all
/// interfaces. All calls have to be made in the network namespace of the interfaces.
pub struct Ebpf {
    ports: Ports,
    loaded: Loaded,
    tables: Tables<Storage>,
    config: Config,
    instances: Instances,
    locals: BTreeSet<[u8; 16]>,
    /// What programs of before counted.
    before: Counters,
    /// The program before this one, which packets may still have been in when it was replaced.
    replaced: Option<(Instant, Loaded)>,
    /// Since when the program may not run, because its tables lack something.
    incomplete: Option<Instant>,
    /// When tables for new processors were tried.
    processors_tried: Option<Instant>,
    loads: u32,
}

impl Ebpf {
    /// Whether the kernel and our rights allow it: loads the program and attaches it to the
    /// loopback interface for a moment, where it leaves every packet alone.
    ///
    /// # Errors
    /// Why not.
    pub fn probe() -> Result<(), Refusal> {
        let (mut loaded, _) = Loaded::new(&LEAST)?;
        find_hook(&mut loaded).map(drop)
    }

    /// Loads the program, with empty tables and on no interface yet. In the folder `pins` are
    /// the links that are to outlive the process, or did; it is made, and a BPF file system
    /// mounted on it, if need be.
    ///
    /// Interfaces come last: [`Ebpf::set_ports`] lets the program work, and on interfaces that a
    /// process before this one left it on, replaces that one's program.
    pub fn start(options: &tun::Options, pins: Option<&Path>) -> Result<Self, Error> {
        let pins = match pins.map(|folder| (folder, Pins::open(folder, pins::INGRESS))) {
            None => None,
            Some((_, Ok(pins))) => Some(pins),
            Some((folder, Err(source))) => {
                return Err(Error::Pins { folder: folder.to_owned(), source });
            }
        };
        let (mut loaded, storage) = Loaded::new(&FIRST)?;
        let hook = find_hook(&mut loaded)?;
        let config = Config { generation: 1, ..config(options) };
        loaded.set_config(config);
        Ok(Self {
            ports: Ports::new(hook, pins),
            loaded,
            tables: Tables::new(storage),
            config,
            instances: Instances::default(),
            locals: BTreeSet::new(),
            before: Counters::default(),
            replaced: None,
            incomplete: None,
            processors_tried: None,
            loads: 1,
        })
    }

    /// Changes how packets are rewritten.
    pub fn set_options(&mut self, options: &tun::Options) {
        let Config { sole, generation, .. } = self.config;
        self.configure(Config { sole, generation, ..config(options) });
        // Who may send was judged by the options of before.
        self.forget_cached();
    }

    /// Says which data port is the only one with a tunnel device, if one is
    /// ([`SharedPorts::sole`]). [`Counters::beside`] then grows with datagrams for which that is too
    /// few: those to this port that only pass through, and those to other ports that a device
    /// could have joined.
    pub fn set_sole(&mut self, port: Option<u16>) {
        self.configure(Config { sole: port.unwrap_or(0), ..self.config });
    }

    /// Replaces the set of instances.
    pub fn set_instances(&mut self, instances: &[Instance]) {
        warn("an instance", self.instances.set(instances, &mut self.loaded));
        self.write_instances();
        report(self.ports.write(&mut self.loaded, &self.instances));
        self.forget_cached();
    }

    /// Replaces the set of interfaces, and attaches the program accordingly.
    ///
    /// # Errors
    /// [`Error::Ports`] when some interfaces cannot be served. The next call tries them again.
    pub fn set_ports(&mut self, ports: &[Port]) -> Result<(), Error> {
        self.ports.set(ports);
        let mut unserved = self.ports.write(&mut self.loaded, &self.instances);
        if self.incomplete.is_none() {
            unserved.extend(self.ports.attach(&mut self.loaded));
        }
        if unserved.is_empty() { Ok(()) } else { Err(Error::Ports(unserved)) }
    }

    /// Replaces the set of our locators: packets to them are decapsulated.
    pub fn set_locals(&mut self, addresses: &[IpAddr]) {
        let now: BTreeSet<_> = addresses.iter().map(|address| mapped(*address)).collect();
        let before = mem::replace(&mut self.locals, now);
        for gone in before.difference(&self.locals) {
            warn("a locator of ours", self.loaded.set_local(*gone, false));
        }
        for new in self.locals.difference(&before) {
            warn("a locator of ours", self.loaded.set_local(*new, true));
        }
        self.forget_cached();
    }

    /// Brings the tables up to date. Tables that are too small are replaced, together with the
    /// program, by larger ones; packets flow all the while. If the kernel has no memory for that
    /// the program is taken off all interfaces, and the portable plane does everything, until
    /// a later call succeeds.
    pub fn apply(&mut self, now: Instant, updates: Vec<Update>) {
        let mut full = self.incomplete.is_some_and(|since| now.duration_since(since) >= RETRY);
        let changed = !updates.is_empty();
        for update in updates {
            full |= self.tables.apply(now, update).is_err() && self.incomplete.is_none();
        }
        self.write_instances();
        if changed {
            self.forget_cached();
        }
        self.forget_replaced(now);
        if full {
            self.grow(now);
        }
    }

    /// Adds what went between locators to the counters of the forwarding table. Cheap, and to be
    /// called regularly: tables and programs that were replaced go then, too, and processors that
    /// were added begin to forward.
    pub fn sync_traffic(&mut self, now: Instant) {
        self.tables.sync_traffic(now);
        self.tables.wake(now);
        self.forget_replaced(now);
        self.serve_new_processors(now);
    }

    /// Adds what each entry carried to the counters of the forwarding table. Looks at every
    /// entry.
    pub fn sync_usage(&mut self) {
        self.tables.sync_usage();
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        let mut sum = self.before.clone();
        self.loaded.add_to(&mut sum);
        if let Some((_, replaced)) = &self.replaced {
            replaced.add_to(&mut sum);
        }
        sum
    }

    /// Whether the program is on its interfaces. It is not while the kernel has no memory for the
    /// tables it needs; the portable plane gets all packets then.
    pub fn is_attached(&self) -> bool {
        self.incomplete.is_none()
    }

    /// How many times a program was loaded: once at the start, and whenever tables grew.
    pub fn loads(&self) -> u32 {
        self.loads
    }

    /// Stops. With `keep` the program stays where it is and forwards by its last tables, until
    /// another process takes the interfaces over; this takes a pin folder.
    pub fn detach(mut self, keep: bool) {
        if keep && !self.ports.leave() {
            tracing::warn!("the program does not outlive the router: its links are not pinned");
        }
    }

    /// Ends what the program keeps of the tables, which have changed.
    fn forget_cached(&mut self) {
        let generation = self.config.generation.wrapping_add(1);
        self.configure(Config { generation, ..self.config });
    }

    fn configure(&mut self, config: Config) {
        if config != mem::replace(&mut self.config, config) {
            self.loaded.set_config(config);
        }
    }

    /// Replaces the program by one with tables for processors that came after it. Those that have
    /// theirs go on if that fails.
    fn serve_new_processors(&mut self, now: Instant) {
        let tried = |at: Instant| now.duration_since(at) < RETRY;
        if self.incomplete.is_some()
            || self.processors_tried.is_some_and(tried)
            || !self.loaded.lacks_processors()
        {
            return;
        }
        self.processors_tried = Some(now);
        match self.load_larger(now) {
            Ok(()) => report(self.ports.swap(&mut self.loaded)),
            Err(refusal) => {
                tracing::warn!(error = %refusal, "new processors leave packets to the portable plane");
            }
        }
    }

    /// Replaces tables that are full by larger ones.
    fn grow(&mut self, now: Instant) {
        match self.load_larger(now) {
            Ok(()) => {
                self.incomplete = None;
                report(self.ports.swap(&mut self.loaded));
            }
            Err(refusal) => {
                tracing::error!(error = %refusal, "packets are not forwarded in the kernel: \
                    tables cannot grow");
                self.incomplete = Some(now);
                self.ports.detach();
            }
        }
    }

    /// Loads another program with larger tables and fills them. Nothing changes if that fails.
    fn load_larger(&mut self, now: Instant) -> Result<(), Refusal> {
        let loaded = loop {
            let (mut loaded, storage) = Loaded::new(&self.tables.larger())?;
            loaded.set_config(self.config);
            for local in &self.locals {
                loaded.set_local(*local, true).map_err(Refusal::of_map)?;
            }
            if self.tables.rebuild(now, storage).is_ok() {
                break loaded;
            }
        };
        let old = mem::replace(&mut self.loaded, loaded);
        if let Some((_, older)) = self.replaced.replace((now, old)) {
            older.add_to(&mut self.before);
        }
        self.loads += 1;
        self.instances.forget_written();
        self.ports.forget_written();
        self.write_instances();
        report(self.ports.write(&mut self.loaded, &self.instances));
        Ok(())
    }

    fn write_instances(&mut self) {
        let starts = |id| self.tables.starts(id);
        warn("an instance", self.instances.write(&mut self.loaded, starts));
    }

    /// Lets the program before this one go, once nothing can be in it any more.
    fn forget_replaced(&mut self, now: Instant) {
        let over = |since: &Instant| now.duration_since(*since) >= RETIREMENT;
        if let Some((_, replaced)) = self.replaced.take_if(|(since, _)| over(since)) {
            replaced.add_to(&mut self.before);
        }
    }
}

fn find_hook(loaded: &mut Loaded) -> Result<Hook, Refusal> {
    Hook::find(loaded.program().map_err(Refusal::of_program)?)
}

fn config(options: &tun::Options) -> Config {
    let flag = |on: bool, flag| if on { flag } else { 0 };
    Config {
        ttl: match options.ttl {
            Ttl::Copy => Config::COPY_TTL,
            Ttl::Fixed(ttl) => ttl.max(1),
        },
        dscp: match options.dscp {
            Dscp::Copy => Config::COPY_DSCP,
            Dscp::Fixed(dscp) => dscp,
        },
        flags: flag(options.path_mtu_discovery, Config::DF)
            | flag(options.mss_clamp != MssClamp::Off, Config::MSS_CLAMP)
            | flag(options.dscp_back, Config::DSCP_BACK)
            | flag(options.source_check != SourceCheck::Off, Config::SOURCE_CHECK)
            | flag(options.source_check == SourceCheck::Strict, Config::SOURCE_KNOWN)
            | flag(options.decapsulate_any, Config::DECAP_ANY)
            | flag(options.steered, Config::STEER)
            | flag(options.vxlan, Config::VXLAN),
        ..Config::default()
    }
}

/// What the program lacks then, the portable plane does.
fn warn(what: &str, result: Result<(), MapError>) {
    if let Err(error) = result {
        tracing::warn!(error = sentence(&error), "the program cannot be told of {what}");
    }
}

fn report(unserved: Unserved) {
    for (interface, error) in unserved {
        tracing::warn!(interface, error, "packets of an interface are not forwarded in the kernel");
    }
}

fn list(unserved: &[(u32, String)]) -> String {
    let entries: Vec<_> =
        unserved.iter().map(|(number, error)| format!("number {number}: {error}")).collect();
    entries.join(", ")
}

/// The tables of a program that is only to be tried.
const LEAST: Capacities = Capacities {
    nodes: 2,
    leaves: 2,
    groups: 2,
    ways: 2,
    slots: 2,
    hops: 2,
    locators: 2,
    pairs: 2,
};

/// The tables to begin with: some 5 MB. Hops have a record for each processor besides.
const FIRST: Capacities = Capacities {
    nodes: 1 << 12,
    leaves: 1 << 14,
    groups: 1 << 11,
    ways: 1 << 11,
    slots: 1 << 8,
    hops: 1 << 10,
    locators: 1 << 11,
    pairs: 1 << 10,
};

/// When larger tables are tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How long a program that was replaced is kept for its last counts.
const RETIREMENT: Duration = Duration::from_secs(1);
