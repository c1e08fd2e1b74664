//! How long a lookup takes in the kernel, in the tables of the running program: a second program
//! with the same lookup walks through addresses, and the time of its loop is taken off. The
//! kernel's own table for prefixes is measured beside it, since memory is not equally fast
//! everywhere.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, MapInfo};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions, loaded_programs};
use aya::{Ebpf, EbpfLoader};
use serde_json::{Value, json};
use weft_packet::addr::Prefix;

use super::prefixes::Dice;

/// The program; its source lies beside it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/lookup.bpf.o");

/// Addresses that are looked up, and how many of them when all are hot.
const KEYS: u32 = 1 << 20;
const HOT: u32 = 1 << 14;
/// Lookups of a measurement, and measurements, of which the fastest counts: whatever else runs
/// only makes them longer.
const LOOKUPS: u32 = 1 << 20;
const REPETITIONS: usize = 9;

/// The maps of the running program that this one reads.
const SHARED: [&str; 2] = ["nodes", "instances"];

/// `struct task` of the programs: count, mask; found, pad; ns; sum.
type Task = [u64; 4];

/// What is done with each address: the name of the program that does it.
const IDLE: &str = "time_idle";
const OURS: &str = "time_ours";
const KERNEL: &str = "time_kernel";

/// The programs in the kernel, and what they are told.
struct Bench {
    object: Ebpf,
    task: Array<MapData, Task>,
}

/// Nanoseconds of a lookup: of addresses all over the table, and of a few of them again and again.
/// `pins` is a folder of a BPF file system.
pub(super) fn measure(prefixes: &[Prefix], pins: &Path) -> Result<Value, String> {
    let mut loader = EbpfLoader::new();
    let pinned = Pinned::share(pins)?;
    for (name, file) in &pinned.0 {
        loader.map_pin_path(name, file.clone());
    }
    let mut object = loader.load(OBJECT).map_err(|error| explain(&error))?;
    let keys = object.map_mut("keys").ok_or("the program has no keys")?;
    let mut keys: Array<_, u64> = keys.try_into().map_err(|error| explain(&error))?;
    for (index, key) in (0..KEYS).zip(addresses(prefixes)) {
        keys.set(index, key, 0).map_err(|error| explain(&error))?;
    }
    fill_kernel_table(&mut object, prefixes)?;
    let mut bench = Bench::load(object)?;
    Ok(json!({
        "lookup_ns": bench.run(KEYS, OURS)?,
        "lookup_hot_ns": bench.run(HOT, OURS)?,
        "lookup_same_ns": bench.run(1, OURS)?,
        "hot": HOT,
        "kernel_trie_ns": bench.run(KEYS, KERNEL)?,
        "kernel_trie_hot_ns": bench.run(HOT, KERNEL)?,
    }))
}

/// Puts the prefixes into the kernel's own table.
fn fill_kernel_table(object: &mut Ebpf, prefixes: &[Prefix]) -> Result<(), String> {
    let table = object.map_mut("prefixes").ok_or("the program has no prefixes")?;
    let mut table: LpmTrie<_, u32, u32> = table.try_into().map_err(|error| explain(&error))?;
    for (number, prefix) in (1..).zip(prefixes) {
        let IpAddr::V4(address) = prefix.address() else { continue };
        let key = Key::new(prefix.length().into(), address.to_bits().to_be());
        table.insert(&key, number, 0).map_err(|error| explain(&error))?;
    }
    Ok(())
}

impl Bench {
    fn load(mut object: Ebpf) -> Result<Self, String> {
        let task = object.take_map("tasks").ok_or("the object has no tasks")?;
        let task = task.try_into().map_err(|error| explain(&error))?;
        let mut bench = Self { object, task };
        for name in [IDLE, OURS, KERNEL] {
            bench.program(name)?.load().map_err(|error| explain(&error))?;
        }
        Ok(bench)
    }

    fn program(&mut self, name: &str) -> Result<&mut SchedClassifier, String> {
        let program = self.object.program_mut(name).ok_or_else(|| format!("no program {name}"))?;
        program.try_into().map_err(|error| explain(&error))
    }

    /// Nanoseconds of one lookup among so many keys, a power of two.
    fn run(&mut self, keys: u32, name: &str) -> Result<f64, String> {
        let idle = self.fastest(keys, IDLE)?;
        Ok((self.fastest(keys, name)? - idle) / f64::from(LOOKUPS))
    }

    /// The shortest time of several runs of a program, in nanoseconds.
    fn fastest(&mut self, keys: u32, name: &str) -> Result<f64, String> {
        let mut best = f64::INFINITY;
        for _ in 0..REPETITIONS {
            let wanted = [pair(LOOKUPS, keys - 1), 0, 0, 0];
            self.task.set(0, wanted, 0).map_err(|error| explain(&error))?;
            let frame = [0; 64];
            let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::new() };
            self.program(name)?.test_run(options).map_err(|error| explain(&error))?;
            let [_, found, ns, _] = self.task.get(&0, 0).map_err(|error| explain(&error))?;
            if name != IDLE && found != u64::from(LOOKUPS) {
                return Err(format!("found {found} of {LOOKUPS} addresses"));
            }
            best = best.min(ns as f64);
        }
        Ok(best)
    }
}

/// Addresses that are in the prefixes, each prefix as often as every other.
fn addresses(prefixes: &[Prefix]) -> impl Iterator<Item = u64> {
    let mut dice = Dice::new();
    std::iter::repeat_with(move || {
        let which = dice.throw() as usize % prefixes.len().max(1);
        let prefix = prefixes.get(which).copied()?;
        let IpAddr::V4(address) = prefix.address() else { return None };
        let host = dice.throw() & u32::MAX.checked_shr(prefix.length().into()).unwrap_or(0);
        Some(u64::from(address.to_bits() | host) << 32)
    })
    .map_while(|key| key)
}

/// Maps of ours under names by which another program can be given them; removed when dropped.
struct Pinned(Vec<(&'static str, std::path::PathBuf)>);

impl Pinned {
    fn share(folder: &Path) -> Result<Self, String> {
        let ids = maps_of_our_program()?;
        let mut pinned = Self(Vec::new());
        for name in SHARED {
            let is_it = |id: &&u32| {
                MapInfo::from_id(**id).is_ok_and(|info| info.name_as_str() == Some(name))
            };
            let id = ids.iter().find(is_it).ok_or_else(|| format!("there is no map {name}"))?;
            let map = MapData::from_id(*id).map_err(|error| explain(&error))?;
            let file = folder.join(format!("{name}-{}", std::process::id()));
            map.pin(&file).map_err(|error| explain(&error))?;
            pinned.0.push((name, file));
        }
        Ok(pinned)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        for (_, file) in &self.0 {
            // it goes with the file system at the latest
            let _ = fs::remove_file(file);
        }
    }
}

/// The maps of the program this process has loaded last.
fn maps_of_our_program() -> Result<Vec<u32>, String> {
    let descriptors = fs::read_dir("/proc/self/fdinfo").map_err(|error| error.to_string())?;
    let program_id = |file: fs::DirEntry| -> Option<u32> {
        let text = fs::read_to_string(file.path()).ok()?;
        text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
    };
    let ours = descriptors.flatten().filter_map(program_id).max();
    let ours = ours.ok_or("this process has no program in the kernel")?;
    let info = loaded_programs().flatten().find(|info| info.id() == ours);
    let maps = info.and_then(|info| info.map_ids().ok().flatten());
    maps.ok_or_else(|| "the kernel does not tell the maps of a program".to_owned())
}

/// Two numbers as they lie in a struct, the first one first.
fn pair(first: u32, second: u32) -> u64 {
    u64::from(second) << 32 | u64::from(first)
}

/// An error with its causes.
fn explain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_lies_in_a_prefix() {
        let prefixes: Vec<Prefix> =
            ["10.2.0.0/16", "192.0.2.1/32"].map(|text| text.parse().unwrap()).into();
        let keys: Vec<u64> = addresses(&prefixes).take(1000).collect();
        let inside = |key: &u64| {
            let bits = u32::try_from(key >> 32).unwrap();
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(bits));
            prefixes.iter().any(|prefix| prefix.contains(address))
        };
        assert!(keys.len() == 1000 && keys.iter().all(inside));
        assert_eq!(addresses(&[]).count(), 0);
    }
}
