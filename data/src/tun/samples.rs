//! A look at packets as they are dropped, for `weft monitor`. Costs nothing while nobody looks.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use weft_fib::DropReason;
use weft_packet::addr::InstanceId;

/// The head of a packet that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedPacket {
    /// Why.
    pub reason: DropReason,
    /// Its instance.
    pub instance: InstanceId,
    /// Its first octets, at most [`DroppedPacket::HEAD`], from the inner IP header on; where
    /// the encapsulation could not be read, from the octets behind the UDP header on.
    pub head: Vec<u8>,
}

impl DroppedPacket {
    /// How much of a packet is kept.
    pub const HEAD: usize = 128;
}

/// The most recent dropped packets of all workers.
#[derive(Debug, Default)]
pub(super) struct Samples {
    on: AtomicBool,
    recent: Mutex<VecDeque<DroppedPacket>>,
}

impl Samples {
    pub(super) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
        if !on {
            self.drain();
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Keeps the head of `packet`; the oldest sample makes room.
    pub(super) fn keep(&self, reason: DropReason, instance: InstanceId, packet: &[u8]) {
        let head = packet[..packet.len().min(DroppedPacket::HEAD)].to_vec();
        let Ok(mut recent) = self.recent.lock() else { return };
        if recent.len() == CAPACITY {
            recent.pop_front();
        }
        recent.push_back(DroppedPacket { reason, instance, head });
    }

    /// Takes what was kept, oldest first.
    pub(super) fn drain(&self) -> Vec<DroppedPacket> {
        self.recent.lock().map(|mut recent| recent.drain(..).collect()).unwrap_or_default()
    }
}

const CAPACITY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_forgets_when_switched_off() {
        let samples = Samples::default();
        assert!(!samples.is_on());
        samples.switch(true);
        for n in 0..=CAPACITY {
            let n = u8::try_from(n % 256).unwrap();
            samples.keep(DropReason::Malformed, InstanceId::DEFAULT, &[n; 300]);
        }
        let kept = samples.drain();
        assert_eq!(kept.len(), CAPACITY);
        assert_eq!(kept[0].head, [1; DroppedPacket::HEAD], "the first one made room");
        samples.keep(DropReason::Malformed, InstanceId::DEFAULT, &[1]);
        samples.switch(false);
        assert!(samples.drain().is_empty());
    }
}
