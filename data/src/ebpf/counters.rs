//! What the program counts. Every CPU counts for itself; readers add up.

use super::layout::{Counts, EXCEPTIONS};
use crate::tun::{ByFamily, Volume};

/// What the program did since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sent to a locator.
    pub encapsulated: ByFamily,
    /// Received from a locator and delivered.
    pub decapsulated: ByFamily,
    /// Dropped, because a step failed that could not be taken back.
    pub failed: u64,
    /// Datagrams for which one tunnel device is too few; see [`Ebpf::set_sole`](super::Ebpf::set_sole).
    pub beside: u64,
    exceptions: [u64; EXCEPTIONS.len()],
}

impl Counters {
    /// Why packets that looked like ours were left to the portable plane: each reason with its
    /// count, zero or not.
    pub fn exceptions(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        EXCEPTIONS.into_iter().zip(self.exceptions)
    }

    /// How many were left to it for this reason, one of those of [`Counters::exceptions`].
    pub fn left(&self, reason: &str) -> u64 {
        self.exceptions().find(|(word, _)| *word == reason).map_or(0, |(_, count)| count)
    }

    pub(super) fn add(&mut self, cpu: &Counts) {
        add(&mut self.encapsulated, cpu.encapsulated_packets, cpu.encapsulated_bytes);
        add(&mut self.decapsulated, cpu.decapsulated_packets, cpu.decapsulated_bytes);
        self.failed += cpu.failed;
        self.beside += cpu.beside;
        for (sum, count) in self.exceptions.iter_mut().zip(cpu.exceptions) {
            *sum += count;
        }
    }
}

fn add(sum: &mut ByFamily, packets: [u64; 2], bytes: [u64; 2]) {
    let families = [&mut sum.v4, &mut sum.v6].into_iter();
    for (volume, (packets, bytes)) in families.zip(packets.into_iter().zip(bytes)) {
        *volume = Volume { packets: volume.packets + packets, bytes: volume.bytes + bytes };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_add_up() {
        let mut cpu = Counts {
            encapsulated_packets: [2, 1],
            encapsulated_bytes: [200, 90],
            failed: 1,
            ..Counts::default()
        };
        cpu.exceptions[5] = 4;
        let mut counters = Counters::default();
        counters.add(&cpu);
        counters.add(&cpu);
        assert_eq!(counters.encapsulated.v4, Volume { packets: 4, bytes: 400 });
        assert_eq!(counters.encapsulated.v6, Volume { packets: 2, bytes: 180 });
        assert_eq!((counters.failed, counters.left("too-big"), counters.left("ttl")), (2, 8, 0));
    }
}
