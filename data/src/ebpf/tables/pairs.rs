//! What goes between locators, and who counts it.
//!
//! What is sent is counted with the hop. What is received the program counts with what it keeps of
//! pairs of locators, and moves it to the pair's record when that has to make room: each packet would
//! otherwise wait for one more cache line.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Instant;

use foldhash::fast::RandomState;
use weft_fib::{Pair, Peer, Update};

use crate::ebpf::layout::{PairKey, mapped};
use crate::ebpf::records::{Reading, Records, Table, split};
use crate::ebpf::slab::Slab;

/// The records of what is received.
pub(super) struct Pairs {
    slab: Slab,
    /// By record.
    entries: Vec<Option<Entry>>,
    /// Those nobody needs any more, and their records. They are looked at once more.
    gone: Vec<(u32, Entry)>,
    /// By hop.
    hops: Vec<Option<SentBy>>,
    /// By the address of the counter, which is there as long as the entry is.
    numbers: HashMap<usize, u32, RandomState>,
    /// By remote locator, in the order of our addresses, each once.
    peers: HashMap<IpAddr, Vec<Known>, RandomState>,
    /// A pair did not fit into the table.
    refused: bool,
}

/// A record in use.
struct Entry {
    pair: Arc<Pair>,
    received: Reading<1>,
    /// As it stands in the record.
    life: u32,
    /// Hops and peers that name it.
    users: u32,
}

/// What a hop sends.
struct SentBy {
    sent: Reading<1>,
    pair: Arc<Pair>,
}

impl SentBy {
    /// Moves what was counted to the FIB's counters.
    fn count(&mut self, records: &impl Records) {
        if let Some([sent]) = self.sent.take(records) {
            self.pair.send(sent);
        }
    }
}

/// An address of ours in the table of pairs.
struct Known {
    local: IpAddr,
    number: u32,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            slab: Slab::endless(),
            entries: Vec::new(),
            gone: Vec::new(),
            hops: Vec::new(),
            numbers: HashMap::default(),
            peers: HashMap::default(),
            refused: false,
        }
    }
}

impl Pairs {
    /// The record of a counter. Whoever has it has to leave it again.
    pub(super) fn join(&mut self, records: &impl Records, pair: &Arc<Pair>) -> u32 {
        let address = Arc::as_ptr(pair).addr();
        if let Some(&number) = self.numbers.get(&address) {
            if let Some(entry) = self.entry(number) {
                entry.users += 1;
            }
            return number;
        }
        let number = self.slab.take_one().unwrap_or(0);
        let life = new_life(records, number);
        let received = Reading::new(records, Table::Received, number);
        put(&mut self.entries, number, Entry { pair: pair.clone(), received, life, users: 1 });
        self.numbers.insert(address, number);
        number
    }

    /// Ends one use of a record.
    pub(super) fn leave(&mut self, number: u32) {
        let Some(entry) = self.entry(number) else { return };
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        let entry = self.entries.get_mut(number as usize).and_then(Option::take);
        if let Some(entry) = entry {
            self.numbers.remove(&Arc::as_ptr(&entry.pair).addr());
            self.gone.push((number, entry));
        }
    }

    /// Counts what a hop sends from now on, by the record that is its pair's.
    pub(super) fn add_hop(&mut self, records: &impl Records, hop: u32, number: u32) {
        let Some(entry) = self.entry(number) else { return };
        let pair = entry.pair.clone();
        put(
            &mut self.hops,
            hop,
            SentBy { sent: Reading::new(records, Table::NextHops, hop), pair },
        );
    }

    /// Counts it no more.
    pub(super) fn remove_hop(&mut self, records: &impl Records, hop: u32) {
        if let Some(mut sent) = self.hops.get_mut(hop as usize).and_then(Option::take) {
            sent.count(records);
        }
    }

    /// Replaces our addresses at which packets of a remote locator are counted.
    pub(super) fn set_peers(&mut self, records: &mut impl Records, rloc: IpAddr, peers: &[Peer]) {
        let mut known: Vec<Known> = Vec::with_capacity(peers.len());
        for peer in peers {
            if known.iter().all(|other| other.local != peer.local) {
                let number = self.join(records, &peer.pair);
                known.push(Known { local: peer.local, number });
            }
        }
        let old = self.peers.remove(&rloc).unwrap_or_default();
        for Known { local, number } in &known {
            if !old.iter().any(|old| old.local == *local && old.number == *number) {
                self.refused |= records.set_pair(key(*local, rloc), *number).is_err();
            }
        }
        for Known { local, number } in old {
            if known.iter().all(|new| new.local != local) {
                records.clear_pair(key(local, rloc));
            }
            self.leave(number);
        }
        if !known.is_empty() {
            self.peers.insert(rloc, known);
        }
    }

    /// Counts packets of a remote locator no more.
    pub(super) fn clear_peers(&mut self, records: &mut impl Records, rloc: IpAddr) {
        self.set_peers(records, rloc, &[]);
    }

    /// Moves what was counted to the FIB's counters. Looks at every pair, every hop, and every record
    /// that the program keeps of locators.
    pub(super) fn sync(&mut self, records: &impl Records, now: Instant) {
        self.hops.iter_mut().flatten().for_each(|hop| hop.count(records));
        let kept = self
            .entries
            .iter_mut()
            .zip(0..)
            .filter_map(|(entry, number)| entry.as_mut().map(|entry| (number, entry)));
        let gone = self.gone.iter_mut().map(|(number, entry)| (*number, entry));
        // First the pairs, then what is held for them: what moves meanwhile is missing until the next
        // time, and not there twice.
        let all: Vec<_> = kept
            .chain(gone)
            .map(|(number, entry)| (number, entry.received.now(records), entry))
            .collect();
        let held = held(records);
        for (number, [moved], entry) in all {
            let held = held.get(&[number, entry.life]).copied().unwrap_or(0);
            if let Some([received]) = entry.received.take_up_to([moved.wrapping_add(held)]) {
                entry.pair.receive(received);
            }
        }
        for (number, _) in self.gone.drain(..) {
            self.slab.release(now, number, 1);
        }
    }

    pub(super) fn snapshot(&self) -> impl Iterator<Item = Update> {
        self.peers.iter().map(|(rloc, known)| {
            let peers = known.iter().filter_map(|Known { local, number }| {
                let entry = self.entries.get(*number as usize)?.as_ref()?;
                Some(Peer { local: *local, pair: entry.pair.clone() })
            });
            Update::Peers(*rloc, peers.collect())
        })
    }

    /// The records it gives out.
    pub(super) fn slab(&self) -> &Slab {
        &self.slab
    }

    /// True when a pair did not fit into its table.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.slab.wake(now);
    }

    fn entry(&mut self, number: u32) -> Option<&mut Entry> {
        self.entries.get_mut(number as usize)?.as_mut()
    }
}

/// Gives a record a new life, and what it is.
fn new_life(records: &impl Records, number: u32) -> u32 {
    let each = records.records(Table::Received);
    let records = (0..records.processors())
        .filter(|_| number < each)
        .filter_map(|processor| records.words(Table::Received, processor * each + number).get(1));
    let mut life = 0;
    for word in records {
        [life, _] = split(word.load(Relaxed)).map(|half| half.wrapping_add(1));
        word.store(life.into(), Relaxed);
    }
    life
}

/// What the program holds for pairs, by record and life.
fn held(records: &impl Records) -> HashMap<[u32; 2], u64, RandomState> {
    let tunnels = records.processors() * records.records(Table::Tunnels);
    let mut all = HashMap::default();
    for index in 0..tunnels {
        let [.., pair, received, _] = records.words(Table::Tunnels, index) else { continue };
        let (whose, received) = (pair.load(Acquire), received.load(Acquire));
        // the program may begin to count for another just now
        if received != 0 && pair.load(Acquire) == whose {
            let sum: &mut u64 = all.entry(split(whose)).or_default();
            *sum = sum.wrapping_add(received);
        }
    }
    all
}

fn key(local: IpAddr, remote: IpAddr) -> PairKey {
    PairKey { local: mapped(local), remote: mapped(remote) }
}

/// Puts a value at a place, however far behind the end; gives the one before.
pub(super) fn put<T>(entries: &mut Vec<Option<T>>, number: u32, entry: T) -> Option<T> {
    let number = number as usize;
    if number >= entries.len() {
        entries.resize_with(number + 1, || None);
    }
    entries[number].replace(entry)
}
