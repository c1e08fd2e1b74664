//! What user space and the program in the kernel tell each other: the values of the maps.
//!
//! The same types are in `data/ebpf/weft.h` and `cpu.h`; all three assert sizes and offsets. Numbers
//! are in host order. An IP address fills 16 octets, IPv4 the first four of them, except in
//! `locators` and the keys of `pairs` and `locals`, where IPv4 is mapped into IPv6. Index 0 of nodes,
//! leaves, groups, ways, slots, hops, locators, carried and received means "none".

use std::array;
use std::mem::{offset_of, size_of};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::records::join;

/// How packets are rewritten: two words, each of which is changed at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Config {
    /// Of outer packets, or [`Config::COPY_TTL`].
    pub(super) ttl: u8,
    /// Of outer packets, 0 to 63, or [`Config::COPY_DSCP`].
    pub(super) dscp: u8,
    pub(super) flags: u16,
    /// The only data port with a tunnel device, 0 = there are others, or none.
    pub(super) sole: u16,
    pub(super) pad: u16,
    /// A larger one after each change of the tables: what was cached is void. 0 is that of nothing.
    pub(super) generation: u64,
}

impl Config {
    pub(super) const COPY_TTL: u8 = 0;
    pub(super) const COPY_DSCP: u8 = 0xff;
    /// Outer IPv4 packets are not to be fragmented.
    pub(super) const DF: u16 = 1;
    /// TCP SYN packets go to the portable plane.
    pub(super) const MSS_CLAMP: u16 = 2;
    /// Decapsulated packets get the outer DSCP.
    pub(super) const DSCP_BACK: u16 = 4;
    /// The outer source must be a locator of the inner source's mapping.
    pub(super) const SOURCE_CHECK: u16 = 8;
    /// The inner destination need not be an EID of ours.
    pub(super) const DECAP_ANY: u16 = 16;
    /// Datagrams left to the portable plane are marked, because somebody else owns the port.
    pub(super) const STEER: u16 = 32;
    /// VXLAN is for us.
    pub(super) const VXLAN: u16 = 64;
    /// With [`Config::SOURCE_CHECK`]: and there must be such a mapping.
    pub(super) const SOURCE_KNOWN: u16 = 128;

    pub(super) fn words(self) -> [u64; 2] {
        let [flags, sole] = [self.flags, self.sole].map(u16::to_ne_bytes);
        let first = [self.ttl, self.dscp, flags[0], flags[1], sole[0], sole[1], 0, 0];
        [u64::from_ne_bytes(first), self.generation]
    }
}

/// An interface of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Port {
    /// Its number in the kernel, 0 = nobody is here.
    pub(super) ifindex: u32,
    /// Index of an [`Instance`].
    pub(super) instance: u32,
    pub(super) flags: u32,
    /// Of the instance.
    pub(super) id: u32,
}

impl Port {
    /// What comes in here may go into a tunnel.
    pub(super) const ENCAP: u32 = 1;
    /// What comes in here may come out of a tunnel.
    pub(super) const DECAP: u32 = 2;
    /// What goes out here goes straight into the namespace of the veth's peer.
    pub(super) const PEER: u32 = 4;

    pub(super) fn words(self) -> [u64; 2] {
        [[self.ifindex, self.instance], [self.flags, self.id]].map(join)
    }

    /// Where a port may be: the records from that of its number, modulo all, on.
    pub(super) fn places(ifindex: u32) -> impl Iterator<Item = u32> {
        (0..Self::NEAR).map(move |step| ifindex.wrapping_add(step) % Self::RECORDS)
    }

    pub(super) const RECORDS: u32 = 16384;
    const NEAR: u32 = 8;
}

/// An instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instance {
    pub(super) id: u32,
    /// Nodes the lookups start at, 0 where there are no entries.
    pub(super) root4: u32,
    pub(super) root6: u32,
    /// The TUN device, by which the kernel routes what was decapsulated.
    pub(super) device: u32,
    pub(super) flags: u32,
    /// The first of 256 nodes of depth 1, by first octet; 0 = only the root leads there.
    pub(super) wide4: u32,
    /// Nodes the lookups of source-prefixes start at, 0 = none has entries of its own.
    pub(super) scopes4: u32,
    pub(super) scopes6: u32,
}

impl Instance {
    pub(super) const USED: u32 = 1;
    /// The inner source need not be an EID of ours.
    pub(super) const ANY_SOURCE: u32 = 2;
}

/// A node of a trie of octets with path compression. The key is an address of 16 octets. A child
/// is one octet or more deeper than its parent; what was skipped must equal the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Node {
    /// The octets above the node, as big-endian numbers; `depth` of them count.
    pub(super) path_hi: u64,
    pub(super) path_lo: u64,
    pub(super) depth: u32,
    /// Of the prefix of exactly `depth` octets, if what leads here is [`Node::LEAFED`].
    pub(super) leaf: u32,
    /// By the octet at `depth`: marks and a node, a leaf, or 0.
    pub(super) next: [u32; 256],
}

impl Node {
    /// Marks a node one octet deeper.
    pub(super) const CHILD: u32 = 1 << 31;
    /// Marks a node more than one octet deeper. Only there a reader has to look at the path in
    /// the head, which saves a miss in the cache for each level of a large trie.
    pub(super) const SKIPS: u32 = 1 << 30;
    /// Marks a [`Node::CHILD`] whose leaf counts.
    pub(super) const LEAFED: u32 = 1 << 29;
    /// The number of a child.
    pub(super) const INDEX: u32 = Self::LEAFED - 1;
}

impl Default for Node {
    fn default() -> Self {
        Self { path_hi: 0, path_lo: 0, depth: 0, leaf: 0, next: [0; 256] }
    }
}

/// A prefix: what to do with packets to it. Of a source-prefix with entries of its own: above the kind
/// the leaf of the next wider one, and then the node the lookups of its entries start at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Leaf {
    /// What to do, in the lower two bits, above them the length of the prefix, and then which of the
    /// prefixes this is that had the leaf one after the other.
    pub(super) kind: u32,
    /// Index into the groups.
    pub(super) group: u32,
}

impl Leaf {
    /// The portable plane knows.
    pub(super) const NONE: u32 = 0;
    pub(super) const LOCAL: u32 = 1;
    pub(super) const ENCAP: u32 = 2;
    /// Bits of the kind, and of the length behind them.
    pub(super) const KIND_BITS: u32 = 2;
    pub(super) const LENGTH_BITS: u32 = 8;
    /// Bits below those of the life.
    pub(super) const BELOW_LIFE: u32 = Self::KIND_BITS + Self::LENGTH_BITS;
}

/// What was sent into tunnels because of a leaf. What a [`Verdict`] still has comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Volume {
    pub(super) packets: u64,
    /// Of inner packets.
    pub(super) bytes: u64,
}

/// What the tables say of packets from one host to another. The program alone writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Verdict {
    /// Generation, source and destination.
    pub(super) question: [u64; 5],
    pub(super) instance: u32,
    /// Index of the leaf, 0 = none.
    pub(super) leaf: u32,
    /// As the leaf said.
    pub(super) target: Leaf,
    /// Packets in the lower half, octets in the upper, that [`Volume`] has not yet.
    pub(super) volume: u64,
}

impl Verdict {
    /// Of each processor.
    pub(super) const RECORDS: u32 = 32768;
}

/// One of several, by flow hash: a group chooses among ways (locators), a way among hops
/// (uplinks).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Choice {
    /// Index of the first to choose from, 0 = there is none.
    pub(super) first: u32,
    /// Index of [`Slots`], 0 = there is one.
    pub(super) slots: u32,
}

/// Neighbouring [`Locator`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Run {
    pub(super) first: u32,
    /// 0 = there are none, or nobody knows.
    pub(super) count: u32,
}

/// Who carries packets to prefixes, and who may send those from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Group {
    pub(super) choice: Choice,
    /// All, whether they carry packets or not.
    pub(super) locators: Run,
}

/// The address of a locator, IPv4 mapped into IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Locator {
    pub(super) octets: [u8; 16],
}

/// Which of them has each slot of the flow hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Slots {
    pub(super) member: [u8; 512],
}

impl Default for Slots {
    fn default() -> Self {
        Self { member: [0; 512] }
    }
}

/// Where and how to send a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Hop {
    pub(super) remote: [u8; 16],
    pub(super) local: [u8; 16],
    /// The uplink's interface.
    pub(super) interface: u32,
    /// Whose packets by it are: the index of [`Received`].
    pub(super) pair: u32,
    /// Differs when the hop differs: what was cached of the old one is void.
    pub(super) version: u32,
    /// The largest inner packet, octets.
    pub(super) mtu: u16,
    /// UDP destination.
    pub(super) port: u16,
    /// 4 or 6, of both locators.
    pub(super) family: u8,
    /// First octet of the data header.
    pub(super) header0: u8,
    pub(super) encapsulation: u8,
    /// To a cache line.
    pub(super) pad: [u8; 13],
}

impl Hop {
    pub(super) const LISP: u8 = 0;
    pub(super) const LISP_GPE: u8 = 1;
    pub(super) const VXLAN_GPE: u8 = 2;
    pub(super) const VXLAN: u8 = 3;
}

/// What packets by a hop need. The program alone writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct KnownHop {
    /// Packets, since the start.
    pub(super) sent: u64,
    pub(super) rest: [u64; 15],
}

/// What came from one locator to another. What a [`Tunnel`] still has comes on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Received {
    pub(super) packets: u64,
    /// Which of the pairs that had this record one after the other.
    pub(super) life: u64,
}

/// Locators between which packets are counted; the value is an index of [`Received`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub(super) struct PairKey {
    pub(super) local: [u8; 16],
    pub(super) remote: [u8; 16],
}

/// Why a packet that looked like ours was left to the portable plane: the index of a count in
/// [`Totals::exceptions`], as the word it is shown by.
pub(super) const EXCEPTIONS: [&str; 16] = [
    "miss",
    "headers",
    "fragment",
    "ttl",
    "no-hop",
    "too-big",
    "syn",
    "route",
    "room",
    "data-header",
    "instance",
    "batch",
    "inner",
    "destination",
    "source-check",
    "ecn",
];

/// What is known of the locators that packets came from and to. The program alone writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Tunnel {
    pub(super) generation: u64,
    pub(super) locators: PairKey,
    /// Index of [`Received`], 0 = nobody counts, and its life.
    pub(super) pair: [u32; 2],
    /// Packets that the pair has not yet.
    pub(super) received: u64,
    pub(super) ours: u8,
    pub(super) pad: [u8; 7],
}

impl Tunnel {
    /// Of each processor.
    pub(super) const RECORDS: u32 = 4096;
}

/// What a processor did. Arrays of two: inner IPv4, inner IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Counts {
    pub(super) encapsulated_packets: [u64; 2],
    pub(super) encapsulated_bytes: [u64; 2],
    /// Dropped, because a step failed that cannot be taken back.
    pub(super) failed: u64,
    /// Datagrams for which one tunnel device is too few.
    pub(super) beside: u64,
    pub(super) decapsulated_packets: [u64; 2],
    pub(super) decapsulated_bytes: [u64; 2],
    pub(super) exceptions: [u64; EXCEPTIONS.len()],
    /// To cache lines of its own.
    pub(super) pad: [u64; 4],
}

impl Counts {
    /// Reads them while the program counts.
    pub(super) fn read(words: &[AtomicU64]) -> Self {
        let mut words = words.iter();
        let mut next = || words.next().map_or(0, |word| word.load(Relaxed));
        Self {
            encapsulated_packets: [next(), next()],
            encapsulated_bytes: [next(), next()],
            failed: next(),
            beside: next(),
            decapsulated_packets: [next(), next()],
            decapsulated_bytes: [next(), next()],
            exceptions: array::from_fn(|_| next()),
            pad: Default::default(),
        }
    }
}

/// All that a processor goes by, did and keeps.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Cpu {
    pub(super) options: Config,
    pub(super) counts: Counts,
    pub(super) ports: [Port; Port::RECORDS as usize],
    pub(super) verdicts: [Verdict; Verdict::RECORDS as usize],
    pub(super) tunnels: [Tunnel; Tunnel::RECORDS as usize],
    /// The program's alone.
    pub(super) hosts: [[u64; 16]; 4096],
}

/// An address in 16 octets, IPv4 mapped into IPv6.
pub(super) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

const _: () = {
    assert!(size_of::<Config>() == 16);
    assert!(offset_of!(Config, flags) == 2);
    assert!(offset_of!(Config, sole) == 4);
    assert!(offset_of!(Config, generation) == 8);
    assert!(size_of::<Port>() == 16);
    assert!(offset_of!(Port, flags) == 8);
    assert!(size_of::<Instance>() == 32);
    assert!(offset_of!(Instance, device) == 12);
    assert!(size_of::<Node>() == 1048);
    assert!(offset_of!(Node, depth) == 16);
    assert!(offset_of!(Node, next) == 24);
    assert!(size_of::<Leaf>() == 8);
    assert!(size_of::<Volume>() == 16);
    assert!(size_of::<Verdict>() == 64);
    assert!(offset_of!(Verdict, instance) == 40);
    assert!(offset_of!(Verdict, target) == 48);
    assert!(size_of::<Choice>() == 8);
    assert!(size_of::<Group>() == 16);
    assert!(offset_of!(Group, locators) == 8);
    assert!(size_of::<Locator>() == 16);
    assert!(size_of::<Slots>() == 512);
    assert!(size_of::<Hop>() == 64);
    assert!(offset_of!(Hop, interface) == 32);
    assert!(offset_of!(Hop, version) == 40);
    assert!(offset_of!(Hop, mtu) == 44);
    assert!(offset_of!(Hop, family) == 48);
    assert!(size_of::<Received>() == 16);
    assert!(size_of::<KnownHop>() == 128);
    assert!(offset_of!(KnownHop, sent) == 0);
    assert!(size_of::<PairKey>() == 32);
    assert!(size_of::<Tunnel>() == 64);
    assert!(offset_of!(Tunnel, received) == 48);
    assert!(offset_of!(Cpu, counts.failed) == 48);
    assert!(offset_of!(Cpu, counts.decapsulated_packets) == 64);
    assert!(offset_of!(Cpu, counts.exceptions) == 96);
    assert!(offset_of!(Cpu, ports) == 256);
    assert!(offset_of!(Cpu, verdicts) == 256 + 16384 * 16);
    assert!(size_of::<Cpu>() == offset_of!(Cpu, verdicts) + 32768 * 64 + 4096 * (64 + 128));
};
