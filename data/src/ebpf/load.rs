//! The program and its maps, as they are in the kernel.

use std::io;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering::Release};
use std::time::Duration;

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use aya::programs::{ProgramError, SchedClassifier};
use aya::util::online_cpus;
use aya::{EbpfLoader, Pod};
use nix::time::{ClockId, clock_getres};

use super::counters::Counters;
use super::layout::{
    Choice, Config, Counts, Cpu, Group, Hop, Instance, KnownHop, Leaf, Locator, Node, PairKey,
    Port, Received, Slots, Tunnel, Verdict, Volume,
};
use super::maps::Mapped;
use super::probe::Refusal;
use super::records::{Capacities, Full, Records, Table, fill, first, publish, split};

/// The compiled program; its source lies beside it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/weft.bpf.o");

/// The name of the program in the object, and of its filters where links do not exist.
pub(super) const PROGRAM: &str = "weft";

/// The program, and the maps that say where and for whom it runs.
pub(super) struct Loaded {
    object: aya::Ebpf,
    instances: Array<MapData, Instance>,
    instance_of: HashMap<MapData, u32, u32>,
    locals: HashMap<MapData, [u8; 16], u32>,
    /// What each processor has.
    cpus: Mapped<Cpu>,
}

/// The maps that hold the tables.
pub(super) struct Storage {
    nodes: Mapped<Node>,
    leaves: Mapped<Leaf>,
    groups: Mapped<Group>,
    ways: Mapped<Choice>,
    slots: Mapped<Slots>,
    hops: Mapped<Hop>,
    locators: Mapped<Locator>,
    carried: Mapped<Volume>,
    cpus: Mapped<Cpu>,
    received: Mapped<Received>,
    next_hops: Mapped<KnownHop>,
    pairs: HashMap<MapData, PairKey, u32>,
}

impl Loaded {
    /// Loads the program with maps of these sizes, all empty. It runs nowhere yet.
    pub(super) fn new(sizes: &Capacities) -> Result<(Self, Storage), Refusal> {
        Self::with_processors(processors(), sizes)
    }

    /// The same with tables for the first so many processors.
    fn with_processors(processors: u32, sizes: &Capacities) -> Result<(Self, Storage), Refusal> {
        let mut loader = EbpfLoader::new();
        let each = |records: u32| records.saturating_mul(processors);
        loader.override_global("most_leaves", &sizes.leaves, true);
        loader.override_global("most_pairs", &sizes.pairs, true);
        loader.override_global("most_hops", &sizes.hops, true);
        let times = TIMES.map(|(name, time)| (name, ticks(time)));
        for (name, time) in &times {
            loader.override_global(name, time, true);
        }
        for (map, records) in [
            ("nodes", sizes.nodes),
            ("leaves", sizes.leaves),
            ("groups", sizes.groups),
            ("ways", sizes.ways),
            ("slots", sizes.slots),
            ("hops", sizes.hops),
            ("locators", sizes.locators),
            ("next_hops", each(sizes.hops)),
            ("carried", each(sizes.leaves)),
            ("received", each(sizes.pairs)),
            ("each_cpu", processors),
            ("pairs", sizes.pairs),
            ("locals", MOST_LOCALS),
        ] {
            loader.map_max_entries(map, records);
        }
        let mut object = loader.load(OBJECT).map_err(Refusal::of)?;
        program(&mut object).and_then(SchedClassifier::load).map_err(Refusal::of_program)?;
        let cpus = take(&mut object, CPUS).map_err(Refusal::of_map)?;
        let storage = Storage::of(&mut object, &cpus).map_err(Refusal::of_map)?;
        let loaded = Self::of(object, &cpus).map_err(Refusal::of_map)?;
        Ok((loaded, storage))
    }

    fn of(mut object: aya::Ebpf, cpus: &Map) -> Result<Self, MapError> {
        Ok(Self {
            instances: take(&mut object, "instances")?.try_into()?,
            instance_of: take(&mut object, "instance_of")?.try_into()?,
            locals: take(&mut object, "locals")?.try_into()?,
            cpus: to_memory(cpus, CPUS)?,
            object,
        })
    }

    /// Whether there are processors that came after the program and have no tables in it.
    pub(super) fn lacks_processors(&self) -> bool {
        processors() > self.cpus.len()
    }

    /// The program, to attach it.
    pub(super) fn program(&mut self) -> Result<&mut SchedClassifier, ProgramError> {
        program(&mut self.object)
    }

    /// Says how packets are rewritten.
    pub(super) fn set_config(&self, config: Config) {
        for processor in 0..self.cpus.len() {
            for (word, value) in self.cpus.words(processor).iter().zip(config.words()) {
                word.store(value, Release);
            }
        }
    }

    /// Says what is done with packets that come in by an interface; `None` = nothing.
    pub(super) fn set_port(&mut self, interface: u32, port: Option<Port>) -> Result<(), MapError> {
        let (mut found, mut free) = (None, None);
        for place in Port::places(interface) {
            let [known, _] = split(first(self.port(0, place)));
            match known {
                _ if known == interface => found = found.or(Some(place)),
                0 => free = free.or(Some(place)),
                _ => {}
            }
        }
        let Some(place) = found.or(free.filter(|_| port.is_some())) else {
            return if port.is_some() { Err(too_many_ports()) } else { Ok(()) };
        };
        let [whose, what] = port.unwrap_or_default().words();
        for processor in 0..self.cpus.len() {
            let words = self.port(processor, place);
            let [known, told] = [first(words), words.get(1..).map_or(0, first)];
            if [known, told] == [whose, what] {
                continue; // it forwards, and shall not stop for a moment
            }
            publish(words, 0);
            fill(words, [0, what]);
            publish(words, whose);
        }
        Ok(())
    }

    /// A port of a processor.
    fn port(&self, processor: u32, place: u32) -> &[AtomicU64] {
        let offset = offset_of!(Cpu, ports) + place as usize * size_of::<Port>();
        self.cpus.part::<Port>(processor, offset)
    }

    /// Writes an instance to its place.
    pub(super) fn set_instance(&mut self, index: u32, to: Instance) -> Result<(), MapError> {
        self.instances.set(index, to, 0)?;
        self.instance_of.insert(to.id, index, 0)
    }

    /// Forgets the instance with this number at this place.
    pub(super) fn clear_instance(&mut self, index: u32, id: u32) -> Result<(), MapError> {
        absent_is_fine(self.instance_of.remove(&id))?;
        self.instances.set(index, Instance::default(), 0)
    }

    /// Says whether an address, IPv4 mapped into IPv6, is one of ours.
    pub(super) fn set_local(&mut self, address: [u8; 16], ours: bool) -> Result<(), MapError> {
        if ours {
            self.locals.insert(address, 1, 0)
        } else {
            absent_is_fine(self.locals.remove(&address))
        }
    }

    /// Adds what all CPUs counted.
    pub(super) fn add_to(&self, sum: &mut Counters) {
        for processor in 0..self.cpus.len() {
            let counts = self.cpus.part::<Counts>(processor, offset_of!(Cpu, counts));
            sum.add(&Counts::read(counts));
        }
    }
}

impl Storage {
    fn of(object: &mut aya::Ebpf, cpus: &Map) -> Result<Self, MapError> {
        Ok(Self {
            cpus: to_memory(cpus, CPUS)?,
            nodes: mapped(object, "nodes")?,
            leaves: mapped(object, "leaves")?,
            groups: mapped(object, "groups")?,
            ways: mapped(object, "ways")?,
            slots: mapped(object, "slots")?,
            hops: mapped(object, "hops")?,
            locators: mapped(object, "locators")?,
            carried: mapped(object, "carried")?,
            received: mapped(object, "received")?,
            next_hops: mapped(object, "next_hops")?,
            pairs: take(object, "pairs")?.try_into()?,
        })
    }
}

impl Records for Storage {
    fn records(&self, table: Table) -> u32 {
        match table {
            Table::Nodes => self.nodes.len(),
            Table::Leaves => self.leaves.len(),
            Table::Groups => self.groups.len(),
            Table::Ways => self.ways.len(),
            Table::Slots => self.slots.len(),
            Table::Hops => self.hops.len(),
            Table::Locators => self.locators.len(),
            Table::Carried => self.carried.len() / self.processors(),
            Table::Verdicts => Verdict::RECORDS,
            Table::Received => self.received.len() / self.processors(),
            Table::NextHops => self.next_hops.len() / self.processors(),
            Table::Tunnels => Tunnel::RECORDS,
        }
    }

    fn processors(&self) -> u32 {
        self.cpus.len()
    }

    fn words(&self, table: Table, index: u32) -> &[AtomicU64] {
        match table {
            Table::Nodes => self.nodes.words(index),
            Table::Leaves => self.leaves.words(index),
            Table::Groups => self.groups.words(index),
            Table::Ways => self.ways.words(index),
            Table::Slots => self.slots.words(index),
            Table::Hops => self.hops.words(index),
            Table::Locators => self.locators.words(index),
            Table::Carried => self.carried.words(index),
            Table::Verdicts => {
                self.of_cpu::<Verdict>(index, Verdict::RECORDS, offset_of!(Cpu, verdicts))
            }
            Table::Received => self.received.words(index),
            Table::NextHops => self.next_hops.words(index),
            Table::Tunnels => {
                self.of_cpu::<Tunnel>(index, Tunnel::RECORDS, offset_of!(Cpu, tunnels))
            }
        }
    }

    fn set_pair(&mut self, key: PairKey, received: u32) -> Result<(), Full> {
        self.pairs.insert(key, received, 0).map_err(|error| {
            tracing::debug!(%error, "cannot count a pair of locators");
            Full
        })
    }

    fn clear_pair(&mut self, key: PairKey) {
        if let Err(error) = absent_is_fine(self.pairs.remove(&key)) {
            tracing::debug!(%error, "cannot forget a pair of locators");
        }
    }
}

impl Storage {
    /// A record of the tables that begin at `offset` of what each processor has, and have so many.
    fn of_cpu<T: Pod>(&self, index: u32, records: u32, offset: usize) -> &[AtomicU64] {
        let (processor, place) = (index / records, index % records);
        self.cpus.part::<T>(processor, offset + place as usize * size_of::<T>())
    }
}

/// Processors, numbered from 0 on, that have tables of their own: those that are there. One that
/// comes later leaves packets to the portable plane until the program is loaded again.
fn processors() -> u32 {
    let online = online_cpus().ok().and_then(|online| online.into_iter().max());
    online.unwrap_or(0).saturating_add(1)
}

/// How many ticks of the kernel's clock a time is, and one at least.
fn ticks(time: Duration) -> u64 {
    let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(TICK, Duration::from);
    u64::try_from(time.as_nanos().div_ceil(tick.as_nanos().max(1))).unwrap_or(u64::MAX).max(1)
}

fn program(object: &mut aya::Ebpf) -> Result<&mut SchedClassifier, ProgramError> {
    object.program_mut(PROGRAM).ok_or(ProgramError::UnexpectedProgramType)?.try_into()
}

pub(super) fn take(object: &mut aya::Ebpf, name: &str) -> Result<Map, MapError> {
    object.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

fn mapped<T: Pod>(object: &mut aya::Ebpf, name: &str) -> Result<Mapped<T>, MapError> {
    to_memory(&take(object, name)?, name)
}

fn to_memory<T: Pod>(map: &Map, name: &str) -> Result<Mapped<T>, MapError> {
    let Map::Array(map) = map else { return Err(MapError::InvalidName { name: name.to_owned() }) };
    Mapped::of(map).map_err(|error| {
        let said = format!("cannot map `{name}`: {error}");
        MapError::IoError(io::Error::new(error.kind(), said))
    })
}

pub(super) fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn too_many_ports() -> MapError {
    MapError::IoError(io::Error::other(
        "too many interfaces have numbers that are near to each other",
    ))
}

/// The map of what each processor has.
const CPUS: &str = "each_cpu";

/// The program's times, as `maps.h` names them. Patience is needed since some neighbours do not answer
/// to redirected packets at all.
const TIMES: [(&str, Duration); 3] = [
    ("moment", Duration::from_millis(10)),
    ("patience", Duration::from_millis(20)),
    ("silence", Duration::from_secs(1)),
];

/// A tick, where the kernel does not tell: that of the slowest clock.
const TICK: Duration = Duration::from_millis(10);

/// How many addresses of ours there may be.
const MOST_LOCALS: u32 = 4096;

#[cfg(test)]
mod tests;
