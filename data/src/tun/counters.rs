//! What the plane counts. Every worker counts for itself; readers add up.
//!
//! A worker is the only writer of its counters, so counting is a relaxed load and store; the
//! padding keeps two workers off one cache line.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use weft_fib::DropReason;

/// Packets and octets of inner packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Packets, as they are on the wire and not as the kernel batches them.
    pub packets: u64,
    /// Octets from the inner IP header on.
    pub bytes: u64,
}

/// [`Volume`] by family of the inner packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByFamily {
    /// IPv4.
    pub v4: Volume,
    /// IPv6.
    pub v6: Volume,
}

/// What all workers counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sent to a locator.
    pub encapsulated: ByFamily,
    /// Received from a locator and delivered.
    pub decapsulated: ByFamily,
    /// Forwarded as they were.
    pub native: ByFamily,
    /// Destinations the control plane was asked about.
    pub punts: u64,
    /// Questions it refused or the rate limit put off; they are asked again.
    pub punts_deferred: u64,
    /// Packets that had to wait for a mapping.
    pub held: u64,
    /// Held packets that were forwarded.
    pub released: u64,
    /// Packets that wait now.
    pub waiting: u64,
    /// ICMP errors sent to hosts.
    pub icmp_sent: u64,
    /// System calls that sent to the underlay; with [`Counters::encapsulated`] the batch size.
    pub sends: u64,
    /// Packets written to devices; with [`Counters::decapsulated`] how well flows coalesced.
    pub deliveries: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// How many packets were dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Every reason with its count, zero or not.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&reason| (reason, self.dropped(reason)))
    }
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct VolumeCells {
    packets: Cell,
    bytes: Cell,
}

/// [`ByFamily`] of one worker.
#[derive(Debug, Default)]
pub(super) struct FamilyCells {
    v4: VolumeCells,
    v6: VolumeCells,
}

impl FamilyCells {
    pub(super) fn add(&self, ipv6: bool, packets: u64, bytes: u64) {
        let cells = if ipv6 { &self.v6 } else { &self.v4 };
        cells.packets.add(packets);
        cells.bytes.add(bytes);
    }

    fn add_to(&self, sum: &mut ByFamily) {
        for (cells, volume) in [(&self.v4, &mut sum.v4), (&self.v6, &mut sum.v6)] {
            volume.packets += cells.packets.load();
            volume.bytes += cells.bytes.load();
        }
    }
}

/// What one worker counts.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct WorkerCounters {
    pub(super) encapsulated: FamilyCells,
    pub(super) decapsulated: FamilyCells,
    pub(super) native: FamilyCells,
    pub(super) punts: Cell,
    pub(super) punts_deferred: Cell,
    pub(super) held: Cell,
    pub(super) released: Cell,
    pub(super) waiting: Cell,
    pub(super) icmp_sent: Cell,
    pub(super) sends: Cell,
    pub(super) deliveries: Cell,
    drops: [Cell; DropReason::ALL.len()],
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            encapsulated: FamilyCells::default(),
            decapsulated: FamilyCells::default(),
            native: FamilyCells::default(),
            punts: Cell::default(),
            punts_deferred: Cell::default(),
            held: Cell::default(),
            released: Cell::default(),
            waiting: Cell::default(),
            icmp_sent: Cell::default(),
            sends: Cell::default(),
            deliveries: Cell::default(),
            drops: array::from_fn(|_| Cell::default()),
        }
    }
}

impl WorkerCounters {
    pub(super) fn dropped(&self, reason: DropReason, packets: u64) {
        self.drops[reason as usize].add(packets);
    }

    pub(super) fn add_to(&self, sum: &mut Counters) {
        self.encapsulated.add_to(&mut sum.encapsulated);
        self.decapsulated.add_to(&mut sum.decapsulated);
        self.native.add_to(&mut sum.native);
        sum.punts += self.punts.load();
        sum.punts_deferred += self.punts_deferred.load();
        sum.held += self.held.load();
        sum.released += self.released.load();
        sum.waiting += self.waiting.load();
        sum.icmp_sent += self.icmp_sent.load();
        sum.sends += self.sends.load();
        sum.deliveries += self.deliveries.load();
        for (total, cell) in sum.drops.iter_mut().zip(&self.drops) {
            *total += cell.load();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_workers_add_up() {
        let workers = [WorkerCounters::default(), WorkerCounters::default()];
        workers[0].encapsulated.add(false, 2, 200);
        workers[1].encapsulated.add(false, 1, 50);
        workers[1].encapsulated.add(true, 1, 70);
        workers[0].dropped(DropReason::TooBig, 3);
        let mut sum = Counters::default();
        for worker in &workers {
            worker.add_to(&mut sum);
        }
        assert_eq!(sum.encapsulated.v4, Volume { packets: 3, bytes: 250 });
        assert_eq!(sum.encapsulated.v6, Volume { packets: 1, bytes: 70 });
        assert_eq!(sum.dropped(DropReason::TooBig), 3);
        assert_eq!(sum.drops().map(|(_, n)| n).sum::<u64>(), 3);
    }
}
