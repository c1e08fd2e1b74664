//! What every control plane is: a machine fed with facts and time that answers with actions.
//!
//! The caller owns sockets, clock and disk. It hands in what happened with the time it happened,
//! then carries out the [`Actions`] in order. The same inputs give the same actions, always:
//! tests, simulations and recorded journals replay exactly.

use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Add, Sub};
use std::time::Duration;
use weft_fib::{Change, UplinkId};
use weft_packet::addr::{EidPrefix, InstanceId};

use crate::lisp::event::Event;

/// Time since the router started.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Instant(Duration);

impl Instant {
    /// When the router started.
    pub const START: Self = Self(Duration::ZERO);

    /// `d` after the start.
    pub const fn after_start(d: Duration) -> Self {
        Self(d)
    }

    /// How long after the start.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(d))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.3}", self.0.as_secs_f64()))
    }
}

/// A datagram that came to the control port.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// The local address it came to.
    pub to: IpAddr,
    /// Its payload.
    pub bytes: &'a [u8],
}

/// A packet the forwarding table had no answer for; it is held while we ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Punt {
    /// The instance of the interface it came from.
    pub instance: InstanceId,
    /// Inner source address.
    pub source: IpAddr,
    /// Inner destination address.
    pub destination: IpAddr,
}

/// How much an entry of the forwarding table carried since it was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Packets.
    pub packets: u64,
    /// Octets of inner packets.
    pub bytes: u64,
}

/// What went between one local uplink and one remote locator since the router started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The local uplink.
    pub uplink: UplinkId,
    /// The remote locator.
    pub rloc: IpAddr,
    /// Packets encapsulated to it.
    pub sent: u64,
    /// Packets decapsulated that came from it.
    pub received: u64,
}

/// What [`Action::Store`] kept before a restart.
pub type Stored = HashMap<String, Vec<u8>>;

/// What an engine wants done, in order. One buffer is reused for every input.
#[derive(Debug, Default)]
pub struct Actions(pub Vec<Action>);

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a datagram from the control port (4342).
    Send {
        /// Local source address; `None` lets the kernel choose.
        from: Option<IpAddr>,
        /// The uplink it must leave through; `None` lets routing choose.
        uplink: Option<UplinkId>,
        /// To whom.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Change the forwarding table. Setting a route also releases the packets held for it.
    Forward(Change),
    /// Say how much the entry was used; the answer comes back as an input.
    AskUsage(EidPrefix),
    /// Keep a value across restarts (`None` forgets it). It is on disk before any [`Action::Send`]
    /// that follows it leaves.
    Store {
        /// `role/what[/which]`.
        key: String,
        /// Opaque to the store.
        value: Option<Vec<u8>>,
    },
    /// Something operators and programs may want to know.
    Notify(Event),
}

impl Actions {
    /// Asks for a datagram to be sent from wherever routing says.
    pub fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.0.push(Action::Send { from: None, uplink: None, to, bytes });
    }

    /// Asks for a datagram to be sent from a local address.
    pub fn send_from(&mut self, from: IpAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.0.push(Action::Send { from: Some(from), uplink: None, to, bytes });
    }

    /// Asks for a change of the forwarding table.
    pub fn forward(&mut self, change: Change) {
        self.0.push(Action::Forward(change));
    }

    /// Tells what happened.
    pub fn notify(&mut self, event: Event) {
        self.0.push(Action::Notify(event));
    }

    /// Keeps a value across restarts.
    pub fn store(&mut self, key: impl Into<String>, value: Option<Vec<u8>>) {
        self.0.push(Action::Store { key: key.into(), value });
    }
}

/// A source of random numbers, seeded at birth so that runs can be repeated.
///
/// The daemon seeds it from the operating system; its output is unpredictable to others as long
/// as the 256-bit state is (ChaCha12 keystream).
#[derive(Clone, Debug)]
pub struct Random(ChaCha);

/// At most one deadline for each key.
///
/// Moving a deadline later, the common case for soft state, touches only a map: the stale heap
/// entry finds out when it surfaces.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    deadline: HashMap<K, Instant, foldhash::fast::FixedState>,
    queue: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Self { deadline: HashMap::default(), queue: BinaryHeap::new() }
    }
}

impl<K: Ord + Clone + Hash> Timers<K> {
    /// Sets or moves the deadline of `key`.
    pub fn set(&mut self, key: K, at: Instant) {
        let before = self.deadline.insert(key.clone(), at);
        if before.is_none_or(|b| at < b) {
            self.queue.push(Reverse((at, key)));
        }
    }

    /// Sets the deadline of `key` unless an earlier one is set.
    pub fn set_earlier(&mut self, key: K, at: Instant) {
        if self.deadline.get(&key).is_none_or(|&b| at < b) {
            self.set(key, at);
        }
    }

    /// Forgets `key`.
    pub fn cancel(&mut self, key: &K) {
        self.deadline.remove(key);
    }

    /// When `key` is due.
    pub fn get(&self, key: &K) -> Option<Instant> {
        self.deadline.get(key).copied()
    }

    /// Takes one key whose deadline has passed.
    pub fn due(&mut self, now: Instant) -> Option<K> {
        self.settle();
        if self.queue.peek()?.0.0 > now {
            return None;
        }
        let Reverse((_, key)) = self.queue.pop()?;
        self.deadline.remove(&key);
        Some(key)
    }

    /// The first deadline.
    #[expect(clippy::should_implement_trait, reason = "it only looks, and is no iterator")]
    pub fn next(&mut self) -> Option<Instant> {
        self.settle();
        self.queue.peek().map(|e| e.0.0)
    }

    /// Brings the queue's head up to date: drops cancelled keys, moves postponed ones.
    fn settle(&mut self) {
        while let Some(Reverse((queued, key))) = self.queue.peek() {
            match self.deadline.get(key) {
                Some(at) if at == queued => return,
                Some(&at) if at > *queued => {
                    let key = key.clone();
                    self.queue.pop();
                    self.queue.push(Reverse((at, key)));
                }
                _ => {
                    self.queue.pop();
                }
            }
        }
    }
}

impl Random {
    /// Starts from 256 random bits.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha::new(seed))
    }

    /// A generator of its own for a part of an engine.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.u64().to_ne_bytes());
        }
        Self::new(seed)
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next()
    }

    /// A random number below `bound`; 0 for `bound` 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64 }
    }

    /// `d` give or take up to `percent` of it.
    pub fn jitter(&mut self, d: Duration, percent: u32) -> Duration {
        let span = u64::try_from((d * percent / 100).as_nanos()).unwrap_or(u64::MAX / 4);
        (d + Duration::from_nanos(self.below(span * 2 + 1))).saturating_sub(d * percent / 100)
    }
}

/// The ChaCha12 keystream (RFC 8439's block function with 12 rounds), 64 bits at a time.
#[derive(Clone, Debug)]
struct ChaCha {
    key: [u32; 8],
    counter: u64,
    block: [u64; 8],
    used: usize,
}

impl ChaCha {
    fn new(seed: [u8; 32]) -> Self {
        let mut key = [0; 8];
        for (word, octets) in key.iter_mut().zip(seed.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*octets);
        }
        Self { key, counter: 0, block: [0; 8], used: 8 }
    }

    fn next(&mut self) -> u64 {
        if self.used == self.block.len() {
            self.refill();
        }
        let value = self.block[self.used];
        self.used += 1;
        value
    }

    #[expect(clippy::cast_possible_truncation, reason = "the counter's halves are two words")]
    fn refill(&mut self) {
        let [k0, k1, k2, k3, k4, k5, k6, k7] = self.key;
        let (low, high) = (self.counter as u32, (self.counter >> 32) as u32);
        let start = [
            0x6170_7865,
            0x3320_646e,
            0x7962_2d32,
            0x6b20_6574,
            k0,
            k1,
            k2,
            k3,
            k4,
            k5,
            k6,
            k7,
            low,
            high,
            0,
            0,
        ];
        let mut state = start;
        for _ in 0..6 {
            for [a, b, c, d] in [
                [0, 4, 8, 12],
                [1, 5, 9, 13],
                [2, 6, 10, 14],
                [3, 7, 11, 15],
                [0, 5, 10, 15],
                [1, 6, 11, 12],
                [2, 7, 8, 13],
                [3, 4, 9, 14],
            ] {
                quarter_round(&mut state, a, b, c, d);
            }
        }
        for (i, word) in self.block.iter_mut().enumerate() {
            let low = state[2 * i].wrapping_add(start[2 * i]);
            let high = state[2 * i + 1].wrapping_add(start[2 * i + 1]);
            *word = u64::from(low) | u64::from(high) << 32;
        }
        self.counter = self.counter.wrapping_add(1);
        self.used = 0;
    }
}

#[expect(clippy::many_single_char_names, reason = "the names of RFC 8439")]
fn quarter_round(s: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    for (left, right) in [(16, 12), (8, 7)] {
        s[a] = s[a].wrapping_add(s[b]);
        s[d] = (s[d] ^ s[a]).rotate_left(left);
        s[c] = s[c].wrapping_add(s[d]);
        s[b] = (s[b] ^ s[c]).rotate_left(right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(s: u64) -> Instant {
        Instant::after_start(Duration::from_secs(s))
    }

    #[test]
    fn postponed_deadline_is_due_once_and_then() {
        let mut timers = Timers::default();
        timers.set("a", secs(1));
        timers.set("a", secs(5));
        timers.set("b", secs(2));
        assert_eq!(timers.next(), Some(secs(2)));
        assert_eq!(timers.due(secs(4)), Some("b"));
        assert_eq!(timers.due(secs(4)), None);
        assert_eq!(timers.due(secs(5)), Some("a"));
        assert_eq!(timers.due(secs(99)), None);
    }

    #[test]
    fn earlier_deadline_wins_and_cancelled_one_never_comes() {
        let mut timers = Timers::default();
        timers.set("a", secs(9));
        timers.set("a", secs(3));
        timers.set("b", secs(4));
        timers.cancel(&"b");
        assert_eq!(timers.due(secs(9)), Some("a"));
        assert_eq!(timers.due(secs(9)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn random_repeats_from_its_seed_and_stays_in_bounds() {
        let (mut a, mut b) = (Random::new([7; 32]), Random::new([7; 32]));
        assert!((0..100).all(|_| a.u64() == b.u64()));
        assert_ne!(Random::new([8; 32]).u64(), Random::new([7; 32]).u64());
        assert!((0..1000).all(|_| a.below(10) < 10));
        let d = Duration::from_secs(10);
        assert!((0..1000).all(|_| {
            let j = a.jitter(d, 25);
            j >= d * 3 / 4 && j <= d * 5 / 4
        }));
    }
}
