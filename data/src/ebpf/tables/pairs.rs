//! What goes between locators, and who counts it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;
use weft_fib::{Pair, Peer, Update};

use crate::ebpf::layout::{PairKey, mapped};
use crate::ebpf::records::{Reading, Records, Table};
use crate::ebpf::slab::Slab;

/// The records of traffic.
pub(super) struct Pairs {
    slab: Slab,
    /// By record.
    entries: Vec<Option<Entry>>,
    /// By the address of the counter, which is there as long as the entry is.
    numbers: HashMap<usize, u32, RandomState>,
    /// By remote locator, in the order of our addresses, each once.
    peers: HashMap<IpAddr, Vec<Known>, RandomState>,
    /// A pair did not fit into the table.
    refused: bool,
}

/// A record of traffic in use.
struct Entry {
    pair: Arc<Pair>,
    traffic: Reading,
    /// Hops and peers that name it.
    users: u32,
}

impl Entry {
    /// Moves what was counted to the FIB's counters.
    fn count(&mut self, records: &impl Records) {
        if let Some([sent, received]) = self.traffic.take(records) {
            self.pair.send(sent);
            self.pair.receive(received);
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
        let traffic = Reading::new(records, Table::Traffic, number);
        put(&mut self.entries, number, Entry { pair: pair.clone(), traffic, users: 1 });
        self.numbers.insert(address, number);
        number
    }

    /// Ends one use of a record.
    pub(super) fn leave(&mut self, records: &impl Records, now: Instant, number: u32) {
        let Some(entry) = self.entry(number) else { return };
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        entry.count(records);
        let address = Arc::as_ptr(&entry.pair).addr();
        self.numbers.remove(&address);
        self.entries[number as usize] = None;
        self.slab.release(now, number, 1);
    }

    /// Replaces our addresses at which packets of a remote locator are counted.
    pub(super) fn set_peers(
        &mut self,
        records: &mut impl Records,
        now: Instant,
        rloc: IpAddr,
        peers: &[Peer],
    ) {
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
            self.leave(records, now, number);
        }
        if !known.is_empty() {
            self.peers.insert(rloc, known);
        }
    }

    /// Counts packets of a remote locator no more.
    pub(super) fn clear_peers(&mut self, records: &mut impl Records, now: Instant, rloc: IpAddr) {
        self.set_peers(records, now, rloc, &[]);
    }

    /// Moves what was counted to the FIB's counters.
    pub(super) fn sync(&mut self, records: &impl Records) {
        self.entries.iter_mut().flatten().for_each(|entry| entry.count(records));
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
