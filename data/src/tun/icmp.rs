//! Tells hosts about packets that cannot be carried.

use std::io::IoSlice;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use weft_fib::DropReason;
use weft_packet::addr::InstanceId;
use weft_packet::ip::Header;
use weft_packet::ip::icmp::{self, Problem};

use super::counters::WorkerCounters;
use super::device::Devices;
use super::limiter::Limiter;
use super::offload::VirtioHeader;
use super::options::Options;

/// Sends ICMP errors through the device a packet came from, at a limited rate.
pub(super) struct Icmp {
    rate: Limiter,
    options: Arc<Options>,
    counters: Arc<WorkerCounters>,
}

/// The packet an error is about.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) instance: InstanceId,
    pub(super) packet: &'a [u8],
    /// What its header says.
    pub(super) header: &'a Header,
}

impl Icmp {
    pub(super) fn new(
        options: Arc<Options>,
        rate: u32,
        counters: Arc<WorkerCounters>,
        now: Instant,
    ) -> Self {
        Self { rate: Limiter::new(rate, now), options, counters }
    }

    pub(super) fn set_options(&mut self, options: Arc<Options>, rate: u32) {
        self.rate.set_rate(rate);
        self.options = options;
    }

    /// Tells the sender why its packet was dropped, where that is for it to know.
    pub(super) fn refuse(
        &mut self,
        devices: &Devices,
        subject: Subject<'_>,
        reason: DropReason,
        now: Instant,
    ) {
        let problem = match reason {
            DropReason::NegativeMapping
            | DropReason::UnknownInstance
            | DropReason::NoNativeRoute => Problem::NoRoute,
            DropReason::PolicyDenied | DropReason::AuthFailure => Problem::Prohibited,
            DropReason::NoUsableRloc
            | DropReason::NoUsableUplink
            | DropReason::LocalUndeliverable
            | DropReason::HoldTimeout => Problem::HostUnreachable,
            _ => return,
        };
        self.answer(devices, subject, problem, now);
    }

    /// Tells the sender of a packet about a problem, if that may be.
    pub(super) fn answer(
        &mut self,
        devices: &Devices,
        Subject { instance, packet, header }: Subject<'_>,
        problem: Problem,
        now: Instant,
    ) {
        let queue = devices.of(instance).and_then(|device| devices.queue(device));
        let source = self.source(instance, header.is_ipv6());
        let error = icmp::error(packet, header, problem, source);
        let (Some(queue), Some(error)) = (queue, error) else { return };
        if !self.rate.allow(now) {
            return;
        }
        let virtio = VirtioHeader::default().to_bytes();
        if queue.write(&[IoSlice::new(&virtio), IoSlice::new(&error)]).is_ok() {
            self.counters.icmp_sent.add(1);
        }
    }

    fn source(&self, instance: InstanceId, ipv6: bool) -> Option<IpAddr> {
        let source = self.options.icmp_sources.get(&instance)?;
        if ipv6 { source.v6.map(IpAddr::from) } else { source.v4.map(IpAddr::from) }
    }
}
