use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use weft_fib::{
    Change, EidKey, Encapsulation, Fib, Forwarding, Group, GroupId, LocatorState, Path, Reader,
    Source, Uplink, UplinkId,
};
use weft_packet::addr::{EidPrefix, Prefix};

use super::*;
use crate::ebpf::LEAST;
use crate::ebpf::layout::{Leaf, PairKey, mapped};
use crate::ebpf::records::{Memory, first, join, split};
use crate::ebpf::trie;

const LARGE: Capacities = Capacities {
    nodes: 1 << 11,
    leaves: 1 << 10,
    groups: 64,
    ways: 256,
    slots: 64,
    hops: 1024,
    locators: 256,
    pairs: 256,
};

const TINY: Capacities = Capacities { nodes: 4, leaves: 4, ..LEAST };

/// A FIB and its mirror.
struct Router {
    fib: Fib,
    reader: Reader,
    tables: Tables<Memory>,
    now: Instant,
}

/// Source, destination and hash of a flow.
type Flow = (IpAddr, IpAddr, u32);

/// A hop as far as a packet shows it: remote, local, interface, MTU, port.
type Shown = (IpAddr, IpAddr, u32, u16, u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    NotHere,
    Local,
    Hop(Shown),
}

/// Kind and group of a leaf.
fn target(word: u64) -> [u32; 2] {
    let [kind, group] = split(word);
    [kind & ((1 << Leaf::KIND_BITS) - 1), group]
}

impl Router {
    fn new(sizes: &Capacities) -> Self {
        let (mut fib, reader) = Fib::new();
        fib.watch();
        Self { fib, reader, tables: Tables::new(Memory::new(sizes)), now: Instant::now() }
    }

    /// Applies changes; they are published and mirrored together.
    fn say(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<(), Full> {
        changes.into_iter().for_each(|change| self.fib.apply(change));
        self.fib.publish();
        let mut result = Ok(());
        for update in self.fib.take_updates() {
            result = self.tables.apply(self.now, update);
        }
        result
    }

    fn grow(&mut self) {
        for _ in 0..20 {
            if self.tables.rebuild(self.now, Memory::new(&self.tables.larger())).is_ok() {
                return;
            }
        }
        panic!("never large enough: {:?}", self.tables.larger());
    }

    /// What the FIB says.
    fn right(&self, instance: InstanceId, flow: Flow) -> Answer {
        let tables = self.reader.enter().unwrap();
        let (source, destination, hash) = flow;
        match tables.lookup(instance, source, destination).forwarding {
            Forwarding::Local => Answer::Local,
            Forwarding::Encapsulate(group) => shown(group, hash),
            _ => Answer::NotHere,
        }
    }

    /// What the program would do.
    fn given(&self, instance: InstanceId, (source, destination, hash): Flow) -> Answer {
        let records = &self.tables.records;
        let leaf = self.leaf(instance, source, destination);
        let word = |table, index| first(records.words(table, index));
        match target(word(Table::Leaves, leaf)) {
            [Leaf::LOCAL, _] => Answer::Local,
            [Leaf::ENCAP, group] => {
                let spread = mix(hash);
                let way = self.choose(word(Table::Groups, group), spread >> 48);
                let hop = self.choose(word(Table::Ways, way), spread >> 32);
                if hop == 0 { Answer::NotHere } else { self.hop(hop) }
            }
            _ => Answer::NotHere,
        }
    }

    /// The leaf the program finds.
    fn leaf(&self, instance: InstanceId, source: IpAddr, destination: IpAddr) -> u32 {
        let start = self.tables.starts(instance)[usize::from(destination.is_ipv6())];
        scopes::lookup(&self.tables.records, start, source, destination)
    }

    /// Whether packets between addresses may come from a locator, as the program would say; `None` =
    /// there is no locator-set.
    fn may_send(
        &self,
        instance: InstanceId,
        (source, destination): (IpAddr, IpAddr),
        rloc: IpAddr,
    ) -> Option<bool> {
        let records = &self.tables.records;
        let leaf = self.leaf(instance, destination, source);
        match target(first(records.words(Table::Leaves, leaf))) {
            [Leaf::LOCAL, _] => Some(false),
            [Leaf::ENCAP, group] => {
                let run = records.words(Table::Groups, group).get(1..).map_or(0, first);
                let [start, count] = split(run);
                let octets = |index| -> Vec<u8> {
                    let words = records.words(Table::Locators, index).iter();
                    words.flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect()
                };
                Some((start..start + count).any(|index| octets(index) == mapped(rloc)))
            }
            _ => None,
        }
    }

    /// Whether that is what the FIB says. A group that is not there has no locators.
    fn is_right_about(
        &self,
        instance: InstanceId,
        between: (IpAddr, IpAddr),
        rloc: IpAddr,
    ) -> bool {
        let tables = self.reader.enter().unwrap();
        let given = self.may_send(instance, between, rloc);
        match tables.source_matches(instance, between, rloc) {
            None => given != Some(true),
            right => given == right,
        }
    }

    fn choose(&self, choice: u64, slot: u64) -> u32 {
        let [first, slots] = split(choice);
        if first == 0 || slots == 0 {
            return first;
        }
        let words = self.tables.records.words(Table::Slots, slots);
        let slot = usize::try_from(slot & 511).unwrap();
        let octets = |word: &AtomicU64| word.load(Relaxed).to_ne_bytes();
        words.get(slot / 8).map_or(0, |word| first + u32::from(octets(word)[slot % 8]))
    }

    fn hop(&self, index: u32) -> Answer {
        let words = self.tables.records.words(Table::Hops, index);
        let octets: Vec<u8> =
            words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        let Some([rlocs, rest]) = octets.split_at_checked(32).map(<[_; 2]>::from) else {
            return Answer::NotHere;
        };
        let address = |octets: &[u8]| -> IpAddr {
            match rest[16] {
                4 => Ipv4Addr::from(<[u8; 4]>::try_from(&octets[..4]).unwrap()).into(),
                6 => Ipv6Addr::from(<[u8; 16]>::try_from(octets).unwrap()).into(),
                family => panic!("family {family}"),
            }
        };
        let short = |at: usize| u16::from_ne_bytes([rest[at], rest[at + 1]]);
        let interface = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]);
        let (remote, local) = (address(&rlocs[..16]), address(&rlocs[16..]));
        Answer::Hop((remote, local, interface, short(12), short(14)))
    }

    /// True when nothing is in use any more.
    fn is_empty(&mut self) -> bool {
        self.tables.sync_traffic(self.now);
        let used: Vec<_> = self.tables.slabs().map(|(_, slab)| slab.used()).into();
        // One leaf belongs to the tries.
        used == [1, 0, 0, 0, 0, 0, 0] && self.tables.nodes() == 0
    }
}

fn shown(group: &Group, hash: u32) -> Answer {
    group.pick(hash).map_or(Answer::NotHere, |hop| {
        let port = hop.encapsulation.port();
        Answer::Hop((hop.remote, hop.local, hop.interface, hop.mtu, port))
    })
}

/// As in the program.
fn mix(hash: u32) -> u64 {
    let value = u64::from(hash);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

fn rloc(v6: bool, host: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, host.into()).into()
    } else {
        Ipv4Addr::new(192, 0, 2, host).into()
    }
}

fn uplink(id: u16, rloc: IpAddr) -> Uplink {
    let interface = u32::from(id) + 10;
    let (id, mtu) = (UplinkId(id), 1500);
    Uplink { id, rloc, interface, mtu, priority: 1, weight: 1, up: true }
}

fn path(rloc: IpAddr, weight: u8) -> Path {
    Path { rloc, priority: 1, weight, encapsulation: Encapsulation::Lisp }
}

fn group(id: u32, paths: &[Path]) -> Change {
    Change::SetGroup { id: GroupId(id), paths: paths.into() }
}

fn route(eid: &str, route: Route) -> Change {
    let eid = EidPrefix::new(InstanceId::DEFAULT, eid.parse().unwrap());
    Change::SetRoute { key: eid.into(), source: Source::Lisp, route }
}

fn some_address() -> impl Strategy<Value = IpAddr> {
    let octet = || prop_oneof![Just(0u8), Just(1), Just(0x80), Just(0xff)];
    (any::<bool>(), octet(), octet()).prop_map(|(v6, high, low)| {
        if v6 {
            Ipv6Addr::new(0x2001, 0xdb8, high.into(), 0, 0, 0, 0, low.into()).into()
        } else {
            Ipv4Addr::new(10, high, 0, low).into()
        }
    })
}

fn some_prefix() -> impl Strategy<Value = Prefix> {
    let length = prop_oneof![Just(0u8), Just(7), Just(8), 0..=32u8, Just(32)];
    (some_address(), length).prop_map(|(address, length)| {
        let length = if address.is_ipv6() { length * 4 } else { length };
        Prefix::new(address, length).unwrap()
    })
}

fn some_key() -> impl Strategy<Value = EidKey> {
    let instance = prop_oneof![Just(InstanceId::DEFAULT), Just(InstanceId::new(7).unwrap())];
    (instance, some_prefix(), weighted(0.4, some_prefix())).prop_map(|(instance, prefix, from)| {
        let from = from.filter(|from| from.is_ipv6() == prefix.is_ipv6());
        EidKey { eid: EidPrefix::new(instance, prefix), from }
    })
}

fn some_flow() -> impl Strategy<Value = Flow> {
    let pair = (some_address(), some_address());
    let pair = pair.prop_filter("one family", |(from, to)| from.is_ipv6() == to.is_ipv6());
    (pair, any::<u32>()).prop_map(|((source, destination), hash)| (source, destination, hash))
}

fn some_route() -> impl Strategy<Value = Route> {
    let id = (0..4u32).prop_map(|id| Route::Encapsulate(GroupId(id)));
    prop_oneof![Just(Route::Local), Just(Route::Native), Just(Route::Resolve), id.clone(), id]
}

fn some_rloc() -> impl Strategy<Value = IpAddr> {
    (any::<bool>(), 1..5u8).prop_map(|(v6, host)| rloc(v6, host))
}

fn some_paths() -> impl Strategy<Value = Vec<Path>> {
    let encapsulation = prop_oneof![Just(Encapsulation::Lisp), Just(Encapsulation::Vxlan)];
    let path = (some_rloc(), 1..3u8, 0..3u8, encapsulation).prop_map(
        |(rloc, priority, weight, encapsulation)| Path { rloc, priority, weight, encapsulation },
    );
    vec(path, 0..5)
}

fn some_uplinks() -> impl Strategy<Value = Vec<Uplink>> {
    let uplink =
        (0..4u16, any::<bool>(), 0..3u8, any::<bool>()).prop_map(|(id, v6, weight, up)| {
            let host = 100 + u8::try_from(id).unwrap();
            Uplink { weight, up, ..uplink(id, rloc(v6, host)) }
        });
    vec(uplink, 0..4)
}

fn some_change() -> impl Strategy<Value = Change> {
    let source = || prop_oneof![Just(Source::Lisp), Just(Source::Static)];
    let set_route = (some_key(), source(), some_route())
        .prop_map(|(key, source, route)| Change::SetRoute { key, source, route });
    prop_oneof![
        6 => set_route,
        3 => (some_key(), source()).prop_map(|(key, source)| Change::ClearRoute { key, source }),
        4 => (0..4u32, some_paths())
            .prop_map(|(id, paths)| Change::SetGroup { id: GroupId(id), paths }),
        1 => (0..4u32).prop_map(|id| Change::ClearGroup { id: GroupId(id) }),
        1 => (some_rloc(), any::<bool>()).prop_map(|(rloc, down)| {
            Change::SetLocator { rloc, state: LocatorState { down, not_via: vec![] } }
        }),
        1 => (some_rloc(), 1000..1500u16)
            .prop_map(|(rloc, mtu)| Change::SetPathMtu { rloc, mtu: Some(mtu) }),
        2 => some_uplinks().prop_map(Change::SetUplinks),
    ]
}

/// What takes back whatever these changes said.
fn undo(changes: &[Change]) -> Vec<Change> {
    let undone = changes.iter().filter_map(|change| match change {
        Change::SetRoute { key, source, .. } => {
            Some(Change::ClearRoute { key: *key, source: *source })
        }
        Change::SetGroup { id, .. } => Some(Change::ClearGroup { id: *id }),
        _ => None,
    });
    undone.chain([Change::SetUplinks(vec![])]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_flow_goes_as_the_fib_says(
        batches in vec(vec(some_change(), 1..12), 1..10),
        packets in vec(some_flow(), 16),
        sender in some_rloc(),
    ) {
        let mut router = Router::new(&LARGE);
        for batch in &batches {
            router.say(batch.clone()).unwrap();
            router.now += Duration::from_millis(400);
            for &flow in &packets {
                for instance in [InstanceId::DEFAULT, InstanceId::new(7).unwrap()] {
                    let right = router.right(instance, flow);
                    prop_assert_eq!(router.given(instance, flow), right, "{:?}", flow);
                    let (source, destination, _) = flow;
                    prop_assert!(router.is_right_about(instance, (source, destination), sender));
                }
            }
        }
        let undone = undo(&batches.concat());
        router.say(undone).unwrap();
        prop_assert!(router.is_empty());
    }

    #[test]
    fn tables_without_room_leave_packets_alone_until_they_grow(
        batches in vec(vec(some_change(), 1..12), 1..8),
        packets in vec(some_flow(), 16),
    ) {
        let mut router = Router::new(&TINY);
        for (batch, grow) in batches.iter().zip([false, true].into_iter().cycle()) {
            let _ = router.say(batch.clone());
            let full = router.tables.is_full();
            for &flow in &packets {
                let right = router.right(InstanceId::DEFAULT, flow);
                let given = router.given(InstanceId::DEFAULT, flow);
                prop_assert!(given == right || (full && given == Answer::NotHere), "{given:?}");
            }
            if grow && full {
                router.grow();
                for &flow in &packets {
                    let right = router.right(InstanceId::DEFAULT, flow);
                    prop_assert_eq!(router.given(InstanceId::DEFAULT, flow), right);
                }
            }
        }
        let undone = undo(&batches.concat());
        let _ = router.say(undone);
        router.grow();
        prop_assert!(router.is_empty());
    }
}

/// A site with one uplink, a group of two locators and an entry.
fn site(sizes: &Capacities) -> Router {
    let mut router = Router::new(sizes);
    let changes = [
        Change::SetUplinks(vec![uplink(0, rloc(false, 100))]),
        group(1, &[path(rloc(false, 1), 1), path(rloc(false, 2), 1)]),
        route("10.1.0.0/16", Route::Encapsulate(GroupId(1))),
    ];
    let _ = router.say(changes);
    router
}

/// The program counts a packet of 100 octets of flow `hash`, sent and answered.
fn carry(tables: &Tables<Memory>, hash: u32, locator: u8) {
    let records = &tables.records;
    let start = tables.starts(InstanceId::DEFAULT)[0];
    let leaf = trie::lookup(records, start, [10, 1, 2, 3].into());
    let add = |table, index, counter: usize, n| {
        records.words(table, index)[counter].fetch_add(n, Relaxed);
    };
    add(Table::Carried, leaf, 0, 1);
    add(Table::Carried, leaf, 1, 100);
    let mapped = |host| Ipv4Addr::new(192, 0, 2, host).to_ipv6_mapped().octets();
    let key = PairKey { local: mapped(100), remote: mapped(locator) };
    let pair = records.pair(key).unwrap();
    let mut hops = 1..records.records(Table::Hops);
    let of_pair = |hop: &u32| split(records.words(Table::Hops, *hop)[4].load(Relaxed))[1] == pair;
    add(Table::NextHops, hops.find(of_pair).unwrap(), 0, u64::from(hash));
    add(Table::Received, pair, 0, 1);
}

#[test]
fn what_the_program_counts_reaches_the_fib_once() {
    let mut router = site(&LARGE);
    carry(&router.tables, 3, 1);
    carry(&router.tables, 4, 2);
    for _ in 0..2 {
        router.tables.sync_usage();
        router.tables.sync_traffic(router.now);
    }
    let usage = router.fib.routes(None)[0].usage;
    assert_eq!((usage.packets, usage.bytes), (2, 200));
    let sent: Vec<_> = router.fib.traffic().iter().map(|pair| (pair.sent, pair.received)).collect();
    assert_eq!(sent, [(3, 1), (4, 1)]);
}

/// Has the program hold packets for whoever counts what comes from a locator.
fn hold(tables: &Tables<Memory>, tunnel: u32, locator: u8, packets: u64) {
    let records = &tables.records;
    let mapped = |host| Ipv4Addr::new(192, 0, 2, host).to_ipv6_mapped().octets();
    let pair = records.pair(PairKey { local: mapped(100), remote: mapped(locator) }).unwrap();
    let [life, _] = split(records.words(Table::Received, pair)[1].load(Relaxed));
    let words = records.words(Table::Tunnels, tunnel);
    words[5].store(join([pair, life]), Relaxed);
    words[6].store(packets, Relaxed);
}

#[test]
fn what_the_program_holds_is_counted_once_wherever_it_moves() {
    let mut router = site(&LARGE);
    let received = |router: &mut Router| {
        router.tables.sync_traffic(router.now);
        router.fib.traffic().iter().map(|pair| pair.received).sum::<u64>()
    };
    let [first, last] = [0, 7];
    hold(&router.tables, first, 1, 3);
    hold(&router.tables, last, 1, 2);
    assert_eq!((received(&mut router), received(&mut router)), (5, 5));
    carry(&router.tables, 0, 1);
    hold(&router.tables, first, 1, 2);
    assert_eq!(received(&mut router), 5, "one of them moved to the pair");
    hold(&router.tables, last, 2, 1);
    assert_eq!(received(&mut router), 6, "two of them are lost, one is the other pair's");
    hold(&router.tables, first, 1, 4);
    assert_eq!(received(&mut router), 6, "less than there was");
    hold(&router.tables, first, 1, 5);
    assert_eq!(received(&mut router), 7);
}

#[test]
fn what_is_held_for_a_pair_that_goes_is_counted_and_not_for_the_next_one() {
    let router = site(&LARGE);
    let pair_of = |host| {
        router.tables.pairs.snapshot().find_map(|update| match update {
            Update::Peers(remote, peers) if remote == rloc(false, host) => {
                Some(peers[0].pair.clone())
            }
            _ => None,
        })
    };
    let counted = || -> Vec<_> {
        router.fib.traffic().iter().map(|pair| (pair.rloc, pair.received)).collect()
    };
    let (mut pairs, records, mut now) = (Pairs::default(), Memory::new(&LARGE), router.now);
    let hold = |number: u32, packets| {
        let [life, _] = split(records.words(Table::Received, number)[1].load(Relaxed));
        let words = records.words(Table::Tunnels, 0);
        words[5].store(join([number, life]), Relaxed);
        words[6].store(packets, Relaxed);
    };
    let number = pairs.join(&records, &pair_of(1).unwrap());
    hold(number, 3);
    pairs.leave(number);
    pairs.sync(&records, now);
    assert_eq!(counted(), [(rloc(false, 1), 3)]);
    now += Duration::from_secs(1);
    pairs.wake(now);
    assert_eq!(pairs.join(&records, &pair_of(2).unwrap()), number, "used again");
    pairs.sync(&records, now);
    assert_eq!(counted(), [(rloc(false, 1), 3)]);
    hold(number, 1);
    pairs.sync(&records, now);
    assert_eq!(counted(), [(rloc(false, 1), 3), (rloc(false, 2), 1)]);
}

#[test]
fn what_replaced_tables_counted_is_not_lost() {
    let mut router = site(&TINY);
    router.grow();
    let before = std::mem::replace(&mut router.tables, Tables::new(Memory::new(&LARGE)));
    // The one place where both programs run: the old tables are counted in while the new ones
    // are already the mirror.
    let mut tables = before;
    tables.rebuild(router.now, Memory::new(&LARGE)).unwrap();
    let old = &tables.replaced.last().unwrap().records;
    let word = &old.words(Table::Carried, 2)[0];
    word.fetch_add(7, Relaxed);
    carry(&tables, 1, 1);
    tables.sync_usage();
    assert_eq!(router.fib.routes(None)[0].usage.packets, 8);

    let word = &tables.replaced.last().unwrap().records.words(Table::Carried, 2)[0];
    word.fetch_add(5, Relaxed);
    router.now += RETIREMENT;
    tables.apply(router.now, Update::GroupGone(GroupId(99))).unwrap();
    assert_eq!(router.fib.routes(None)[0].usage.packets, 13);
    assert!(tables.replaced.is_empty());
}

#[test]
fn groups_of_the_same_locators_share_hops_and_slots() {
    let mut router = site(&LARGE);
    let used = |router: &Router| router.tables.ways.slabs().map(|(_, slab)| slab.used());
    assert_eq!(used(&router), [2, 1]);
    let more = (2..50).map(|id| group(id, &[path(rloc(false, 1), 1), path(rloc(false, 2), 1)]));
    router.say(more).unwrap();
    assert_eq!(used(&router), [2, 1]);
    router.say((1..49).map(|id| Change::ClearGroup { id: GroupId(id) })).unwrap();
    assert_eq!(used(&router), [2, 1], "the last one still needs them");
    router.say([Change::ClearGroup { id: GroupId(49) }]).unwrap();
    assert_eq!(used(&router), [0, 0]);
}

#[test]
fn what_a_packet_on_its_way_may_read_does_not_change_under_it() {
    let mut router = site(&LARGE);
    let records = |router: &Router, table, count: u32| -> Vec<Vec<u64>> {
        let words = |index| router.tables.records.words(table, index).iter();
        let load = |word: &AtomicU64| word.load(Relaxed);
        (1..=count).map(|index| words(index).map(load).collect()).collect()
    };
    let look = |router: &Router| {
        [(Table::Hops, 2), (Table::Ways, 2), (Table::Slots, 1)]
            .map(|(table, count)| records(router, table, count))
    };
    let before = look(&router);
    for host in 3..10 {
        let paths = [path(rloc(false, host), 1), path(rloc(true, host), 9)];
        router.say([group(1, &paths)]).unwrap();
    }
    assert_eq!(look(&router), before, "a moment later");
    router.now += Duration::from_secs(1);
    let others = (20..40).map(|host| group(host.into(), &[path(rloc(false, host), 1)]));
    router.say(others).unwrap();
    assert_ne!(look(&router)[0], before[0], "used again");
}

#[test]
fn a_locator_that_renumbers_is_counted_under_its_new_address() {
    let mut router = site(&LARGE);
    let mapped = |host| Ipv4Addr::new(192, 0, 2, host).to_ipv6_mapped().octets();
    let pair = |router: &Router, local| {
        router.tables.records.pair(PairKey { local: mapped(local), remote: mapped(1) })
    };
    let number = pair(&router, 100);
    assert!(number.is_some());
    router.say([Change::SetUplinks(vec![uplink(0, rloc(false, 101))])]).unwrap();
    assert_eq!(pair(&router, 100), None);
    assert_eq!(pair(&router, 101), number, "the same uplink, so the same counter");
}
