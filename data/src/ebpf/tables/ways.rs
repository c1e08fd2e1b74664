//! Hops and the tables that share flows. Groups with the same locators, uplinks and shares use
//! the same ones, and none changes while it is in use: what changes gets a record of its own.

use std::net::IpAddr;
use std::time::Instant;

use weft_fib::{Encapsulation, Hop, Way};
use weft_packet::addr::InstanceId;

use super::pairs::Pairs;
use super::shared::{Claim, Shared};
use crate::ebpf::layout;
use crate::ebpf::records::{Records, Table, fill, join, split};
use crate::ebpf::slab::Slab;
use crate::pipeline::data_header::Head;

/// Hops in runs, one run for each way, and the tables of slots.
#[derive(Default)]
pub(super) struct Ways {
    hops: Shared<Box<[Octets]>>,
    slots: Shared<Box<[u8]>>,
    /// Of the hop written last. A record used again differs in it from what it was.
    version: u32,
}

/// A hop as the program reads it, but for its version.
type Octets = [u64; Table::Hops.width()];

/// What a way uses.
#[derive(Debug)]
pub(super) struct UsedWay {
    hops: Claim<Box<[Octets]>>,
    choice: UsedChoice,
    /// Whose packets by each hop are.
    pairs: Vec<u32>,
}

/// How one of several is chosen.
#[derive(Debug)]
pub(super) struct UsedChoice {
    slots: Option<Claim<Box<[u8]>>>,
    /// The one that is always chosen where there are no slots.
    only: u8,
}

impl UsedChoice {
    /// The record of a choice among a run that starts at `first`.
    pub(super) fn record(&self, first: u32) -> u64 {
        match &self.slots {
            Some(slots) => join([first, slots.first]),
            None => join([first + u32::from(self.only), 0]),
        }
    }
}

impl UsedWay {
    /// The record that names it.
    pub(super) fn record(&self) -> u64 {
        self.choice.record(self.hops.first)
    }
}

impl Ways {
    /// Writes what is new of a way.
    pub(super) fn claim(
        &mut self,
        records: &impl Records,
        pairs: &mut Pairs,
        way: &Way,
    ) -> UsedWay {
        let numbers: Vec<_> =
            way.hops().iter().map(|hop| pairs.join(records, hop.pair())).collect();
        let content: Box<[_]> =
            way.hops().iter().zip(&numbers).map(|(hop, pair)| octets(hop, *pair)).collect();
        let (hops, new) = self.hops.claim(content.clone(), content.len());
        if new {
            for (index, (hop, pair)) in (hops.first..).zip(content.iter().zip(&numbers)) {
                self.version = self.version.wrapping_add(1);
                fill(records.words(Table::Hops, index), with_version(*hop, self.version));
                pairs.add_hop(records, index, *pair);
            }
        }
        UsedWay { hops, choice: self.choice(records, way.slots()), pairs: numbers }
    }

    pub(super) fn give_back(
        &mut self,
        records: &impl Records,
        now: Instant,
        pairs: &mut Pairs,
        way: UsedWay,
    ) {
        if self.hops.give_back(now, &way.hops, way.pairs.len()) {
            for (index, _) in (way.hops.first..).zip(&way.pairs) {
                pairs.remove_hop(records, index);
            }
        }
        self.give_back_choice(now, &way.choice);
        for pair in way.pairs {
            pairs.leave(pair);
        }
    }

    /// Writes the table of slots, if it is new and there is more than one to choose from.
    pub(super) fn choice(&mut self, records: &impl Records, members: &[u8]) -> UsedChoice {
        let only = members.first().copied().unwrap_or(0);
        if members.len() < 2 {
            return UsedChoice { slots: None, only };
        }
        let (slots, new) = self.slots.claim(members.into(), 1);
        if new {
            let (chunks, _) = members.as_chunks();
            let words = chunks.iter().map(|chunk| u64::from_ne_bytes(*chunk));
            fill(records.words(Table::Slots, slots.first), words);
        }
        UsedChoice { slots: Some(slots), only }
    }

    pub(super) fn give_back_choice(&mut self, now: Instant, choice: &UsedChoice) {
        if let Some(slots) = &choice.slots {
            self.slots.give_back(now, slots, 1);
        }
    }

    /// The records it gives out.
    pub(super) fn slabs(&self) -> [(Table, &Slab); 2] {
        [(Table::Hops, self.hops.slab()), (Table::Slots, self.slots.slab())]
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.hops.wake(now);
        self.slots.wake(now);
    }
}

/// The record of a hop, with version 0.
fn octets(hop: &Hop, pair: u32) -> Octets {
    let [remote, local] = [hop.remote, hop.local].map(address);
    let [mtu, port] = [hop.mtu, hop.encapsulation.port()].map(u16::to_ne_bytes);
    let family = if hop.remote.is_ipv6() { 6 } else { 4 };
    let encapsulation = match hop.encapsulation {
        Encapsulation::Lisp => layout::Hop::LISP,
        Encapsulation::LispGpe => layout::Hop::LISP_GPE,
        Encapsulation::VxlanGpe => layout::Hop::VXLAN_GPE,
        Encapsulation::Vxlan => layout::Hop::VXLAN,
    };
    // The instance is not known here and its field is always valid: 0 is the default instance.
    let header = Head::of(hop.encapsulation, InstanceId::CONTROL, false)[0];
    let sizes = u32::from_ne_bytes([mtu[0], mtu[1], port[0], port[1]]);
    let kinds = u32::from_ne_bytes([family, header, encapsulation, 0]);
    [
        remote[0],
        remote[1],
        local[0],
        local[1],
        join([hop.interface, pair]),
        join([0, sizes]),
        join([kinds, 0]),
        0,
    ]
}

fn with_version(mut hop: Octets, version: u32) -> Octets {
    let [_, sizes] = split(hop[VERSION]);
    hop[VERSION] = join([version, sizes]);
    hop
}

/// The word a hop's version is in.
const VERSION: usize = std::mem::offset_of!(layout::Hop, version) / 8;

/// An address in 16 octets, IPv4 in the first four.
fn address(address: IpAddr) -> [u64; 2] {
    let mut octets = [[0; 8]; 2];
    match address {
        IpAddr::V4(a) => octets[0][..4].copy_from_slice(&a.octets()),
        IpAddr::V6(a) => octets.as_flattened_mut().copy_from_slice(&a.octets()),
    }
    octets.map(u64::from_ne_bytes)
}
