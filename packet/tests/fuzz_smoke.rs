//! Fuzzing that runs everywhere: the seeds of `fuzz/corpus`, mutated by a generator of known seed.
//!
//! `WEFT_FUZZ_SEED` and `WEFT_FUZZ_ROUNDS` choose other runs; a failure prints what repeats it.

mod property;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

#[test]
fn mutated_seeds_never_panic_and_settle() {
    let seed = number("WEFT_FUZZ_SEED").unwrap_or(0x6c69_7370);
    let rounds = number("WEFT_FUZZ_ROUNDS").unwrap_or(60_000);
    println!("WEFT_FUZZ_SEED={seed} WEFT_FUZZ_ROUNDS={rounds} for each target");
    for (name, target) in property::TARGETS {
        let seeds = corpus(name);
        assert!(seeds.len() >= 8, "{name} has {} seeds", seeds.len());
        let mut random = Random(seed);
        for bytes in &seeds {
            check(name, target, bytes);
        }
        for _ in 0..rounds {
            check(name, target, &mutate(&seeds, &mut random));
        }
    }
}

/// Runs the target, and says which octets made it panic.
fn check(name: &str, target: property::Target, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        println!("{name}: {}", hex::encode(bytes));
        resume_unwind(panic);
    }
}

/// A seed with up to four changes.
fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match (random.below(8), bytes.get_mut(at)) {
            (0 | 1, Some(octet)) => *octet ^= 1 << random.below(8),
            (2, Some(octet)) => *octet = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            (3, Some(octet)) => *octet = octet.wrapping_add([1, 0xff][random.below(2)]),
            (4, _) => bytes.truncate(at),
            (5, Some(_)) => {
                bytes.remove(at);
            }
            (6, _) => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let to = at + random.below(bytes.len() + 1 - at);
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        bytes.truncate(4096);
    }
    bytes
}

/// The seeds of a target, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a seed can be read")).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }
}
