//! A path group, compiled: a flow hash picks the locator and the uplink in two table reads.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::choice::{View, refusal};
use crate::counters::Pair;
use crate::slots::{Slots, mix};
use crate::{DropReason, Encapsulation, Path, Uplink, UplinkId};

/// A compiled path group.
#[derive(Debug)]
pub struct Group {
    /// The locators that carry packets.
    ways: Box<[Way]>,
    /// Shares flow hashes among `ways`.
    slots: Slots,
    /// Every locator of the group, in order, whether it carries packets or not.
    rlocs: Box<[IpAddr]>,
    /// Why there is no way, if there is none.
    refusal: DropReason,
}

/// A locator that carries packets: one hop for each uplink it is reached through.
#[derive(Debug)]
pub struct Way {
    hops: Box<[Hop]>,
    /// Shares flow hashes among `hops`.
    slots: Arc<Slots>,
}

/// Where and how to send a packet.
#[derive(Debug)]
pub struct Hop {
    /// The remote locator, the outer destination.
    pub remote: IpAddr,
    /// The address of the uplink, the outer source.
    pub local: IpAddr,
    /// The kernel's number of the uplink's interface.
    pub interface: u32,
    /// The uplink.
    pub uplink: UplinkId,
    /// How to wrap the packet.
    pub encapsulation: Encapsulation,
    /// The largest inner packet that fits, in octets.
    pub mtu: u16,
    pair: Arc<Pair>,
}

/// The hop a flow takes and the table slots that said so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick<'a> {
    pub(crate) hop: &'a Hop,
    /// Slot of the locator, and how many there are.
    pub(crate) locator_slot: (usize, usize),
    /// Slot of the uplink, and how many there are.
    pub(crate) uplink_slot: (usize, usize),
}

impl Group {
    /// The hop of a flow. The same hash gives the same hop until locators or uplinks change.
    ///
    /// # Errors
    /// [`DropReason::NoUsableUplink`] when locators cannot be reached for want of an uplink of
    /// their family, [`DropReason::NoUsableRloc`] when there is no locator that may be used.
    pub fn pick(&self, flow_hash: u32) -> Result<&Hop, DropReason> {
        self.pick_slots(flow_hash).map(|pick| pick.hop)
    }

    /// As [`Group::pick`], with the reasons. Locator and uplink are chosen by different bits of
    /// the mixed hash, so that each share holds within every other.
    pub(crate) fn pick_slots(&self, flow_hash: u32) -> Result<Pick<'_>, DropReason> {
        let [a, b, c, d, ..] = mix(u64::from(flow_hash)).to_be_bytes();
        let (way, locator_slot) = self.slots.pick(u16::from_be_bytes([a, b]));
        let way = self.ways.get(way).ok_or(self.refusal)?;
        let (hop, uplink_slot) = way.slots.pick(u16::from_be_bytes([c, d]));
        let hop = way.hops.get(hop).ok_or(self.refusal)?;
        Ok(Pick {
            hop,
            locator_slot: (locator_slot, self.slots.len()),
            uplink_slot: (uplink_slot, way.slots.len()),
        })
    }

    /// The locators that carry packets, for a plane that makes its own table of them. A flow
    /// takes the one its slot names.
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }

    /// For each slot the number of a way: 512 slots, a single one, or none where there is no way.
    /// The first 16 bits of a flow's mixed hash choose the slot.
    pub fn slots(&self) -> &[u8] {
        self.slots.members()
    }

    /// Every locator of the group, in order, whether it carries packets or not.
    pub fn rlocs(&self) -> &[IpAddr] {
        &self.rlocs
    }

    /// True when `rloc` is a locator of the group, whether it carries packets or not.
    pub fn contains(&self, rloc: IpAddr) -> bool {
        self.rlocs.binary_search(&rloc).is_ok()
    }

    /// Compiles the paths for what is known of the underlay. `counter` gives the counter of an
    /// uplink and a remote locator, `shared` the table of a set of uplinks.
    pub(crate) fn compile(
        paths: &[Path],
        view: View<'_>,
        mut counter: impl FnMut(UplinkId, IpAddr) -> Arc<Pair>,
        shared: &mut UplinkSlots,
    ) -> Self {
        let verdicts = view.judge(paths);
        let carrying = || paths.iter().zip(&verdicts).filter(|(_, v)| v.carries()).map(|(p, _)| p);
        let members: Vec<_> = carrying().map(|path| (path.rloc, path.weight)).collect();
        let ways = carrying().map(|path| {
            let judged = view.judge_uplinks(path.rloc).into_iter();
            let uplinks: Vec<_> = judged.filter(|(_, v)| v.carries()).map(|(u, _)| u).collect();
            let hops = uplinks
                .iter()
                .map(|uplink| Hop::new(path, uplink, view, counter(uplink.id, path.rloc)));
            Way { hops: hops.collect(), slots: shared.slots(&uplinks) }
        });
        let ways = ways.collect();
        let mut rlocs: Vec<_> = paths.iter().map(|path| path.rloc).collect();
        rlocs.sort_unstable();
        rlocs.dedup();
        Self { ways, slots: Slots::new(&members), rlocs: rlocs.into(), refusal: refusal(&verdicts) }
    }
}

impl Way {
    /// One hop for each uplink.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// For each slot the number of a hop, as [`Group::slots`], chosen by the next 16 bits.
    pub fn slots(&self) -> &[u8] {
        self.slots.members()
    }
}

impl Hop {
    /// What counts packets sent this way.
    pub fn pair(&self) -> &Arc<Pair> {
        &self.pair
    }

    /// Counts packets sent this way.
    pub fn count(&self, packets: u64) {
        self.pair.send(packets);
    }

    fn new(path: &Path, uplink: &Uplink, view: View<'_>, pair: Arc<Pair>) -> Self {
        let outer = view.underlay.mtu(path.rloc).map_or(uplink.mtu, |mtu| mtu.min(uplink.mtu));
        Self {
            remote: path.rloc,
            local: uplink.rloc,
            interface: uplink.interface,
            uplink: uplink.id,
            encapsulation: path.encapsulation,
            mtu: outer.saturating_sub(path.encapsulation.overhead(path.rloc)),
            pair,
        }
    }
}

/// The tables that share flows among uplinks, by address and weight of each. Nearly all locators
/// are reached through the same uplinks, so nearly all groups share one.
#[derive(Debug, Default)]
pub(crate) struct UplinkSlots(HashMap<Vec<(IpAddr, u8)>, Arc<Slots>>);

impl UplinkSlots {
    fn slots(&mut self, uplinks: &[&Uplink]) -> Arc<Slots> {
        let members: Vec<_> = uplinks.iter().map(|u| (u.rloc, u.weight)).collect();
        if let Some(slots) = self.0.get(&members) {
            return slots.clone();
        }
        let slots = Arc::new(Slots::new(&members));
        self.0.insert(members, slots.clone());
        slots
    }
}
