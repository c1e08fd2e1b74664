use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicBool;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use weft_fib::Lpm;

use super::*;
use crate::ebpf::records::{Capacities, Memory};

fn memory(nodes: u32) -> Memory {
    let one = 1;
    Memory::new(&Capacities {
        nodes,
        leaves: one,
        groups: one,
        ways: one,
        slots: one,
        hops: one,
        locators: one,
        pairs: one,
    })
}

/// A trie of one family, and what it should say.
struct Both {
    memory: Memory,
    trie: Trie,
    start: Start,
    truth: Lpm<u32>,
    leaves: u32,
}

impl Both {
    fn new(nodes: u32) -> Self {
        let memory = memory(nodes);
        let mut trie = Trie::new(nodes);
        let start = Start { root: trie.root(&memory).unwrap(), ..Start::default() };
        Self { memory, trie, start, truth: Lpm::default(), leaves: UNKNOWN }
    }

    fn widen(&mut self) {
        self.trie.widen(&self.memory, Instant::now(), &mut self.start, 4096);
        assert_ne!(self.start.wide, 0);
    }

    fn set(&mut self, prefix: Prefix) {
        if self.truth.get_exact(prefix).is_none() {
            self.leaves += 1;
            self.truth.set(prefix, self.leaves);
            self.trie.insert(&self.memory, self.start.root, prefix, self.leaves).unwrap();
        }
    }

    fn clear(&mut self, prefix: Prefix) {
        let Some(leaf) = self.truth.clear(prefix) else { return };
        let heir = heirs(prefix).find_map(|heir| self.truth.get_exact(heir)).copied();
        let (now, heir) = (Instant::now(), heir.unwrap_or(0));
        self.trie.remove(&self.memory, now, self.start.root, prefix, leaf, heir);
    }

    fn agree(&self, address: IpAddr) -> Result<(), TestCaseError> {
        let truth = self.truth.get(address).map_or(0, |(_, leaf)| *leaf);
        for wide in [0, self.start.wide] {
            let start = Start { wide, ..self.start };
            prop_assert_eq!(lookup(&self.memory, start, address), truth, "{}", address);
        }
        Ok(())
    }
}

/// Octets that differ early, late and by one bit.
fn some_octet() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0u8), Just(1), Just(127), Just(128), Just(255), any::<u8>()]
}

fn some_v4() -> impl Strategy<Value = IpAddr> {
    [some_octet(), some_octet(), some_octet(), some_octet()].prop_map(|a| Ipv4Addr::from(a).into())
}

/// Few places where addresses differ, so that paths are long.
fn some_v6() -> impl Strategy<Value = IpAddr> {
    vec((0..16usize, some_octet()), 0..4).prop_map(|octets| {
        let mut address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).octets();
        for (at, octet) in octets {
            address[at] = octet;
        }
        Ipv6Addr::from(address).into()
    })
}

/// Prefixes of all lengths, with a preference for the edges of octets.
fn some_prefix(address: impl Strategy<Value = IpAddr>) -> impl Strategy<Value = Prefix> {
    (address, any::<prop::sample::Index>(), 0..4u8).prop_map(|(address, length, edge)| {
        let width = Prefix::host(address).length();
        let length = u8::try_from(length.index(usize::from(width) + 1)).unwrap();
        let length = match edge {
            0 => length,
            1 => length.next_multiple_of(8),
            2 => (length / 8 * 8 + 1).min(width),
            _ => width,
        };
        Prefix::new(address, length).unwrap()
    })
}

/// Sets and clears prefixes, comparing every answer near each change and near all at the end. The
/// trie becomes wide before one of the changes, if that is given.
fn follow(
    changes: &[(bool, Prefix)],
    others: &[IpAddr],
    wide: Option<usize>,
) -> Result<(), TestCaseError> {
    let mut both = Both::new(1 << 11);
    let wide = wide.filter(|at| *at < changes.len());
    for (at, &(set, prefix)) in changes.iter().enumerate() {
        if wide == Some(at) {
            both.widen();
        }
        if set {
            both.set(prefix);
        } else {
            both.clear(prefix);
        }
        both.agree(prefix.address())?;
        both.agree(prefix.last())?;
    }
    let edges = changes.iter().flat_map(|(_, prefix)| [prefix.address(), prefix.last()]);
    for address in edges.chain(others.iter().copied()) {
        both.agree(address)?;
    }
    let mut afresh = Both::new(1 << 11);
    if wide.is_some() {
        afresh.widen();
    }
    both.truth.iter().for_each(|(prefix, _)| afresh.set(prefix));
    prop_assert_eq!(both.trie.nodes(), afresh.trie.nodes(), "removal leaves nothing behind");
    let eids = both.truth.iter().map(|(prefix, _)| ((), prefix));
    let estimate = estimate(eids);
    prop_assert!(estimate.is_power_of_two() && estimate <= 4 * both.trie.nodes());
    for (_, prefix) in changes {
        both.clear(*prefix);
    }
    prop_assert_eq!(both.trie.nodes(), if wide.is_some() { 257 } else { 1 });
    both.trie.forget(Instant::now(), both.start);
    prop_assert_eq!(both.trie.nodes(), 0);
    Ok(())
}

/// Changes among few prefixes, so that most are set and cleared again and again.
fn some_changes(
    prefix: impl Strategy<Value = Prefix>,
) -> impl Strategy<Value = Vec<(bool, Prefix)>> {
    (vec(prefix, 1..40), vec((any::<bool>(), any::<prop::sample::Index>()), 1..200)).prop_map(
        |(prefixes, changes)| {
            let change = |(set, at): (bool, prop::sample::Index)| (set, *at.get(&prefixes));
            changes.into_iter().map(change).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn ipv4_is_answered_as_by_the_fib(
        changes in some_changes(some_prefix(some_v4())),
        others in vec(some_v4(), 20),
        wide in prop::option::of(0..100usize),
    ) {
        follow(&changes, &others, wide)?;
    }

    #[test]
    fn ipv6_is_answered_as_by_the_fib(
        changes in some_changes(some_prefix(some_v6())), others in vec(some_v6(), 20)
    ) {
        follow(&changes, &others, None)?;
    }
}

#[test]
fn every_length_of_one_address_nests() {
    for address in ["10.130.255.1", "2001:db8:ff00:1::8001"] {
        let address: IpAddr = address.parse().unwrap();
        let width = Prefix::host(address).length();
        let prefixes = || (0..=width).map(|length| Prefix::new(address, length).unwrap());
        let mut both = Both::new(1 << 10);
        prefixes().for_each(|prefix| both.set(prefix));
        for prefix in prefixes().collect::<Vec<_>>().into_iter().rev() {
            both.agree(address).unwrap();
            both.agree(prefix.last()).unwrap();
            both.clear(prefix);
        }
        assert_eq!(both.trie.nodes(), 1);
    }
}

#[test]
fn a_full_trie_does_not_know_rather_than_answer_wrongly() {
    let mut both = Both::new(4);
    both.set("0.0.0.0/0".parse().unwrap());
    both.set("10.1.2.3/32".parse().unwrap());
    let other = "10.1.77.3/32".parse().unwrap();
    let (root, nodes) = (both.start.root, both.trie.nodes());
    let answer =
        |both: &Both, address: &str| lookup(&both.memory, both.start, address.parse().unwrap());
    assert_eq!(both.trie.insert(&both.memory, root, other, 9), Err(Full));
    assert_eq!(both.trie.nodes(), nodes, "what could not be used was given back");
    assert_eq!(answer(&both, "10.1.77.3"), UNKNOWN, "not that of 0.0.0.0/0");
    assert_eq!(answer(&both, "10.1.2.3"), UNKNOWN, "the way to it was needed");
    assert_eq!(answer(&both, "11.1.77.3"), 2);

    both.trie.insert(&both.memory, root, "10.0.0.0/7".parse().unwrap(), 10).unwrap();
    assert_eq!(answer(&both, "11.1.77.3"), 10);
    assert_eq!(answer(&both, "10.1.77.3"), UNKNOWN, "still");
    both.trie.remove(&both.memory, Instant::now(), root, other, 9, 0);
    assert_eq!(answer(&both, "10.1.77.3"), UNKNOWN, "still");
}

#[test]
fn a_reader_gets_the_answer_of_before_or_after() {
    let memory = memory(1 << 14);
    let mut trie = Trie::new(1 << 14);
    let root = trie.root(&memory).unwrap();
    let start = Start { root, ..Start::default() };
    let always: Prefix = "10.0.0.0/8".parse().unwrap();
    trie.insert(&memory, root, always, 2).unwrap();
    // Every block of 65536 addresses has one prefix that comes and goes, of leaf 2 and more,
    // beside a host that stays.
    let toggled: Vec<_> = (0..64u8)
        .map(|block| (Prefix::new([10, block, 128, 0].into(), 16 + block % 17).unwrap(), block))
        .map(|(prefix, block)| (prefix, u32::from(block) + 3, [10, block, 200, 1]))
        .collect();
    for (_, leaf, host) in &toggled {
        trie.insert(&memory, root, Prefix::host((*host).into()), leaf + 100).unwrap();
    }
    let (stop, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = [0; 64];
            while !stop.load(Relaxed) {
                for ((prefix, leaf, host), last) in toggled.iter().zip(&mut last) {
                    let now = lookup(&memory, start, prefix.address());
                    let steady = lookup(&memory, start, (*host).into());
                    let right = (now == 2 || now == *leaf) && steady == leaf + 100;
                    stop.fetch_or(!right, Relaxed);
                    assert!(right, "{now} for {prefix}, {steady} for its neighbour");
                    changes.fetch_add(u64::from(*last != now), Relaxed);
                    *last = now;
                }
            }
        });
        let enough = || changes.load(Relaxed) > 2000;
        for round in 0..100_000 {
            if round == 20 {
                trie.widen(&memory, Instant::now(), &mut start.clone(), 4096);
            }
            for (prefix, leaf, _) in &toggled {
                trie.insert(&memory, root, *prefix, *leaf).unwrap();
            }
            for (prefix, leaf, _) in &toggled {
                trie.remove(&memory, Instant::now(), root, *prefix, *leaf, 0);
            }
            trie.wake(Instant::now());
            if enough() || stop.load(Relaxed) {
                break;
            }
            thread::yield_now();
        }
        stop.store(true, Relaxed);
        assert!(enough(), "the reader hardly saw anything change");
    });
}

#[test]
fn nodes_that_ran_out_because_others_rest_become_more() {
    let memory = memory(16);
    let mut trie = Trie::new(16);
    let root = trie.root(&memory).unwrap();
    let prefix: Prefix = "10.1.2.0/24".parse().unwrap();
    while trie.insert(&memory, root, prefix, 2).is_ok() {
        trie.remove(&memory, Instant::now(), root, prefix, 2, 0);
    }
    assert_eq!((trie.nodes(), trie.nodes_wanted(16, false)), (1, 16));
    assert_eq!(trie.nodes_wanted(16, true), 64);
}

#[test]
fn children_that_skip_octets_or_have_a_leaf_are_marked() {
    let mut both = Both::new(256);
    let prefixes = [
        "10.1.2.0/24",
        "10.1.3.3/32",
        "10.1.3.4/32",
        "10.1.0.0/16",
        "10.2.3.4/32",
        "10.2.9.9/32",
        "10.0.0.0/8",
    ];
    let check = |both: &Both| {
        let (mut skipping, mut leafed) = (0, 0);
        let mut nodes = vec![both.start.root];
        while let Some(parent) = nodes.pop() {
            let parent = Node::of(&both.memory, parent);
            for octet in 0..=u8::MAX {
                let Slot::Node(child) = parent.slot(octet) else { continue };
                let number = parent.number(octet);
                let skips = Node::of(&both.memory, child).depth() != parent.depth() + 1;
                assert_eq!(number & layout::Node::SKIPS != 0, skips, "{number:#x}");
                assert_eq!(number & layout::Node::CHILD != 0, !skips, "{number:#x}");
                skipping += u32::from(skips);
                leafed += u32::from(number & layout::Node::LEAFED != 0);
                nodes.push(child);
            }
        }
        (skipping, leafed)
    };
    for prefix in prefixes {
        both.set(prefix.parse().unwrap());
        check(&both);
    }
    assert_eq!(check(&both), (0, 2), "10.0.0.0/8 and 10.1.0.0/16 have nodes below them");
    let cleared = [("10.0.0.0/8", (0, 1)), ("10.1.0.0/16", (0, 0)), ("10.1.2.0/24", (1, 0))];
    for (prefix, left) in cleared {
        both.clear(prefix.parse().unwrap());
        assert_eq!(check(&both), left, "without {prefix}");
    }
}
