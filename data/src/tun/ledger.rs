//! Where a worker writes down what became of packets.

use std::sync::Arc;
use std::time::Instant;

use weft_fib::DropReason;
use weft_packet::addr::InstanceId;

use super::counters::WorkerCounters;
use super::limiter::Limiter;
use super::samples::Samples;

/// A worker's counters, and the drop samples all workers share.
pub(super) struct Ledger {
    pub(super) counters: Arc<WorkerCounters>,
    samples: Arc<Samples>,
    sample_rate: Limiter,
}

impl Ledger {
    pub(super) fn new(counters: Arc<WorkerCounters>, samples: Arc<Samples>, now: Instant) -> Self {
        Self { counters, samples, sample_rate: Limiter::new(SAMPLES_PER_SECOND, now) }
    }

    /// Counts dropped packets and perhaps keeps the head of the first, which `packet` is.
    pub(super) fn drop(
        &mut self,
        reason: DropReason,
        instance: InstanceId,
        packet: &[u8],
        packets: u64,
        now: Instant,
    ) {
        self.counters.dropped(reason, packets);
        if self.samples.is_on() && self.sample_rate.allow(now) {
            self.samples.keep(reason, instance, packet);
        }
    }
}

const SAMPLES_PER_SECOND: u32 = 500;
