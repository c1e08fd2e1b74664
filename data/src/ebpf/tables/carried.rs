//! What the program sent into tunnels because of each leaf.
//!
//! It counts that in its verdicts on pairs of hosts, and moves it to the leaf when a verdict has to
//! make room: of packets to many prefixes each would otherwise wait for one more cache line.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Acquire;

use foldhash::fast::RandomState;

use crate::ebpf::layout::Leaf;
use crate::ebpf::records::{Records, Table, split, sums};

/// What leaves carried of which verdicts hold a part, by leaf: packets and octets.
pub(super) struct Carried(HashMap<u32, [u64; 2], RandomState>);

impl Carried {
    /// Reads what the verdicts hold for leaves that are in use, as `is_used` says of a leaf and its
    /// life. Looks at every verdict.
    pub(super) fn read(records: &impl Records, is_used: impl Fn(u32, u32) -> bool) -> Self {
        let held = || held(records).filter(|held| is_used(held.leaf, held.life));
        // First the leaves, then the verdicts: what moves meanwhile is missing until the next time,
        // and not there twice.
        let mut carried: HashMap<_, _, RandomState> =
            held().map(|held| (held.leaf, sums(records, Table::Carried, held.leaf))).collect();
        for Held { leaf, volume: [packets, octets], .. } in held() {
            if let Some(sum) = carried.get_mut(&leaf) {
                sum[0] = sum[0].wrapping_add(packets.into());
                sum[1] = sum[1].wrapping_add(octets.into());
            }
        }
        Self(carried)
    }

    /// What a leaf carried, and those that had it before.
    pub(super) fn of(&self, records: &impl Records, leaf: u32) -> [u64; 2] {
        let known = self.0.get(&leaf).copied();
        known.unwrap_or_else(|| sums(records, Table::Carried, leaf))
    }
}

/// What a verdict holds for its leaf.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    leaf: u32,
    life: u32,
    /// Packets and octets.
    volume: [u32; 2],
}

impl Held {
    /// `None` if it holds nothing, or begins to do so for another leaf just now.
    fn of(words: &[AtomicU64]) -> Option<Self> {
        let [.., whose, target, volume] = words else { return None };
        if volume.load(Acquire) == 0 {
            return None;
        }
        let look = || {
            let [_, leaf] = split(whose.load(Acquire));
            let [kind, _] = split(target.load(Acquire));
            (leaf, kind >> Leaf::BELOW_LIFE)
        };
        let (leaf, life) = look();
        let volume = split(volume.load(Acquire));
        (look() == (leaf, life)).then_some(Self { leaf, life, volume })
    }
}

fn held(records: &impl Records) -> impl Iterator<Item = Held> {
    let verdicts = records.processors() * records.records(Table::Verdicts);
    (0..verdicts).filter_map(|index| Held::of(records.words(Table::Verdicts, index)))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "time has to start somewhere")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::{Duration, Instant};

    use weft_fib::{EidKey, Usage};
    use weft_packet::addr::{EidPrefix, InstanceId};

    use super::super::routes::{Routes, Target};
    use super::*;
    use crate::ebpf::LEAST;
    use crate::ebpf::records::{Capacities, Memory, first, join};

    /// The first leaf that is given out.
    const LEAF: u32 = 2;
    const SIZES: Capacities = Capacities { leaves: 4, ..LEAST };

    fn key() -> EidKey {
        EidPrefix::new(InstanceId::DEFAULT, "10.9.0.0/16".parse().unwrap()).into()
    }

    /// Has an entry made, which gets the leaf; gives what counts for it.
    fn enter(routes: &mut Routes, records: &Memory, now: Instant) -> Arc<Usage> {
        let usage = Arc::new(Usage::default());
        routes.set(records, now, key(), Target::Local, usage.clone());
        usage
    }

    /// Has a verdict hold packets of 100 octets for whoever has the leaf.
    fn hold(records: &Memory, verdict: u32, packets: u32) {
        let words = records.words(Table::Verdicts, verdict);
        words[5].store(join([0, LEAF]), Relaxed);
        words[6].store(first(records.words(Table::Leaves, LEAF)), Relaxed);
        words[7].store(join([packets, 100 * packets]), Relaxed);
    }

    #[test]
    fn what_verdicts_hold_is_counted_once_wherever_it_moves() {
        let records = Memory::new(&SIZES);
        let mut routes = Routes::new(&records);
        let usage = enter(&mut routes, &records, Instant::now());
        let mut counted = || {
            routes.sync(&records);
            (usage.count().packets, usage.count().bytes)
        };
        let [first, last] = [0, 7];
        hold(&records, first, 3);
        hold(&records, last, 2);
        assert_eq!(counted(), (5, 500));
        assert_eq!(counted(), (5, 500));
        for (word, what) in records.words(Table::Carried, LEAF).iter().zip([3, 300]) {
            word.fetch_add(what, Relaxed);
        }
        hold(&records, first, 0);
        assert_eq!(counted(), (5, 500), "moved to the leaf");
        hold(&records, first, 1);
        assert_eq!(counted(), (6, 600));
    }

    #[test]
    fn what_verdicts_hold_for_one_prefix_is_not_counted_for_the_next() {
        let records = Memory::new(&SIZES);
        let mut routes = Routes::new(&records);
        let mut now = Instant::now();
        enter(&mut routes, &records, now);
        hold(&records, 0, 9);
        routes.clear(&records, now, key());
        now += Duration::from_secs(1);
        routes.wake(now);
        let usage = enter(&mut routes, &records, now);
        routes.sync(&records);
        assert_eq!(usage.count().packets, 0);
        hold(&records, 0, 2);
        routes.sync(&records);
        assert_eq!(usage.count().packets, 2);
    }
}
