//! A worker: one thread that serves one queue of every device and its own receive sockets.
//!
//! It sleeps in `epoll` until there is something to do, and without a time limit unless packets
//! wait for a mapping. Each source of packets is served a batch at a time, so none starves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::prctl;
use weft_fib::Reader;
use weft_packet::addr::{EidPrefix, InstanceId};

use super::counters::WorkerCounters;
use super::delivery::Delivery;
use super::device::{Devices, Queue};
use super::hold::{Eid, Hold};
use super::icmp::Icmp;
use super::ledger::Ledger;
use super::limiter::Limiter;
use super::mailbox::{Command, Mailbox};
use super::offload::Coalescer;
use super::options::{HoldLimits, Options};
use super::outbox::Outbox;
use super::pace::Pace;
use super::placement::Placement;
use super::samples::Samples;
use super::socket::{Inbox, PathMtu, Receiver, Senders};
use super::upcall::{Upcall, Upcalls};

/// What a worker is made of; it builds the rest itself, in its own thread.
pub(super) struct Parts {
    /// Which worker it is, of how many.
    pub(super) number: usize,
    pub(super) workers: usize,
    pub(super) receivers: Vec<Receiver>,
    pub(super) senders: Arc<Senders>,
    pub(super) reader: Reader,
    pub(super) upcalls: Upcalls,
    pub(super) options: Arc<Options>,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) samples: Arc<Samples>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) poll: Epoll,
}

/// A worker. How packets go out is in `encapsulate`, how they come in in `decapsulate`.
pub(super) struct Worker {
    workers: usize,
    pub(super) devices: Devices,
    pub(super) receivers: Vec<Receiver>,
    pub(super) senders: Arc<Senders>,
    upcalls: Upcalls,
    pub(super) options: Arc<Options>,
    /// This worker's share of the hold.
    pub(super) limits: HoldLimits,
    pub(super) ledger: Ledger,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) coalescer: Coalescer,
    pub(super) delivery: Delivery,
    pub(super) hold: Hold,
    pub(super) icmp: Icmp,
    pub(super) pace: Pace,
    pub(super) placement: Placement,
    punts: Limiter,
    /// Path MTUs the control plane was told of, and when.
    reported: HashMap<IpAddr, (u16, Instant)>,
    mailbox: Arc<Mailbox>,
    poll: Epoll,
    /// When the current batch began.
    pub(super) now: Instant,
}

impl Parts {
    /// Works until told to stop.
    pub(super) fn run(self) {
        let now = clock();
        let rate = |rate| share(rate, self.workers);
        let mut worker = Worker {
            workers: self.workers,
            devices: Devices::default(),
            receivers: self.receivers,
            senders: self.senders,
            upcalls: self.upcalls,
            limits: share_of_hold(&self.options.hold, self.workers),
            ledger: Ledger::new(self.counters.clone(), self.samples, now),
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            coalescer: Coalescer::default(),
            delivery: Delivery::new(),
            hold: Hold::default(),
            icmp: Icmp::new(self.options.clone(), rate(self.options.icmp_rate), self.counters, now),
            pace: Pace::new(now),
            placement: Placement::new(now),
            punts: Limiter::new(rate(self.options.punt_rate), now),
            options: self.options,
            reported: HashMap::new(),
            mailbox: self.mailbox,
            poll: self.poll,
            now,
        };
        if let Err(error) = worker.watch_sockets(self.number == 0) {
            tracing::error!(%error, "data plane worker cannot watch its sockets");
        }
        worker.work(&self.reader);
    }
}

impl Worker {
    fn work(&mut self, reader: &Reader) {
        let mut events = [EpollEvent::empty(); 64];
        if let Err(error) = prctl::set_timerslack(TIMER_SLACK) {
            tracing::debug!(%error, "rests between batches may be longer than meant");
        }
        loop {
            let timeout = self.timeout();
            let count = match self.poll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "data plane worker cannot wait");
                    return;
                }
            };
            self.now = clock();
            for event in &events[..count] {
                match Token::from_number(event.data()) {
                    Token::Mail => {
                        if !self.read_mail(reader) {
                            return;
                        }
                    }
                    Token::Device(device) => {
                        if !self.serve_device(reader, device) {
                            self.lose_device(device);
                        }
                    }
                    Token::Receiver(receiver) => self.serve_receiver(reader, receiver),
                    Token::Sender(sender) => self.read_errors(sender),
                }
            }
            self.tend_hold();
            self.placement.end_round(self.now);
            if let Some(rest) = self.pace.end_round(self.now) {
                thread::sleep(rest);
            }
        }
    }

    /// Carries out what other threads asked for; false to stop.
    fn read_mail(&mut self, reader: &Reader) -> bool {
        let mut released: Vec<EidPrefix> = Vec::new();
        for command in self.mailbox.take() {
            match command {
                Command::Options(options) => {
                    if options.udp_gro != self.options.udp_gro {
                        self.set_udp_gro(reader, options.udp_gro);
                    }
                    self.set_options(options);
                }
                Command::AddDevice(instance, queue) => self.add_device(instance, queue),
                Command::RemoveDevice(instance, _done) => {
                    if let Some(queue) = self.devices.remove(instance) {
                        let _ = self.poll.delete(&queue);
                        set_persistent(&queue, false);
                    }
                }
                Command::Release(eid) => released.push(eid),
                Command::Stop { devices_stay } => {
                    self.devices.queues().for_each(|queue| set_persistent(queue, devices_stay));
                    return false;
                }
            }
        }
        if !released.is_empty() && !self.hold.is_empty() {
            let eids = self.hold.covered(&released);
            self.release(reader, &eids);
        }
        true
    }

    fn set_options(&mut self, options: Arc<Options>) {
        self.limits = share_of_hold(&options.hold, self.workers);
        self.punts.set_rate(share(options.punt_rate, self.workers));
        self.icmp.set_options(options.clone(), share(options.icmp_rate, self.workers));
        self.options = options;
    }

    /// What the sockets hold already was joined, or not, as they were told before; read
    /// otherwise, packets would be lost.
    fn set_udp_gro(&mut self, reader: &Reader, on: bool) {
        for n in 0..self.receivers.len() {
            self.serve_receiver(reader, n);
            if let Err(error) = self.receivers[n].set_gro(on) {
                tracing::warn!(%error, on, "the receive offload of UDP stays as it was");
            }
        }
    }

    fn add_device(&mut self, instance: InstanceId, queue: Queue) {
        let device = self.devices.add(instance, queue);
        if let Some(queue) = self.devices.queue(device)
            && let Err(error) = self.poll.add(queue, Token::Device(device).readable())
        {
            tracing::error!(%instance, %error, "TUN device cannot be watched");
        }
    }

    /// The device was removed by someone else: its descriptor would wake us for ever.
    fn lose_device(&mut self, device: usize) {
        if let Some(queue) = self.devices.queue(device) {
            let _ = self.poll.delete(queue);
        }
    }

    /// Watches the receive sockets and, as one worker does for all, the errors of the senders.
    fn watch_sockets(&self, senders: bool) -> nix::Result<()> {
        self.poll.add(self.mailbox.as_fd(), Token::Mail.readable())?;
        for (n, receiver) in self.receivers.iter().enumerate() {
            self.poll.add(receiver, Token::Receiver(n).readable())?;
        }
        if senders {
            for (n, fd) in self.senders.iter() {
                let errors_only = EpollEvent::new(EpollFlags::empty(), Token::Sender(n).number());
                self.poll.add(fd, errors_only)?;
            }
        }
        Ok(())
    }

    /// Routers on the path complained about what a socket sent.
    fn read_errors(&mut self, sender: u16) {
        self.senders.learn(sender, &mut self.outbox.learnt);
        self.report_learnt();
        self.outbox.learnt.clear();
    }

    /// Tells the control plane what was learnt about path MTUs: once for each change, and again
    /// after a while if packets still meet it.
    pub(super) fn report_learnt(&mut self) {
        for &PathMtu { rloc, mtu } in &self.outbox.learnt {
            let known = self.reported.get(&rloc).is_some_and(|&(known, when)| {
                known == mtu && self.now.duration_since(when) < REPORT_AGAIN
            });
            if !known && (self.upcalls)(Upcall::PathMtu { rloc, mtu }) {
                if self.reported.len() >= MOST_REPORTED {
                    self.reported.clear();
                }
                self.reported.insert(rloc, (mtu, self.now));
            }
        }
    }

    /// Asks the control plane about what is held, and drops what waited too long.
    fn tend_hold(&mut self) {
        if !self.hold.is_empty() {
            self.ask();
            while let Some((eid, held)) = self.hold.expire(&self.limits, self.now) {
                self.hold_ended(eid, &held);
            }
        }
        self.ledger.counters.waiting.set(self.hold.len() as u64);
    }

    fn ask(&mut self) {
        while let Some((eid, source)) = self.hold.unasked() {
            if !self.ask_about(eid, source) {
                return;
            }
            self.hold.asked(&eid);
        }
    }

    /// Asks the control plane about an EID; false when it has to be asked again.
    pub(super) fn ask_about(&mut self, eid: Eid, source: IpAddr) -> bool {
        let punt = Upcall::Punt { instance: eid.instance, source, destination: eid.address };
        let asked = self.punts.allow(self.now) && (self.upcalls)(punt);
        let counters = &self.ledger.counters;
        if asked { &counters.punts } else { &counters.punts_deferred }.add(1);
        asked
    }

    /// How long to sleep: for ever, unless packets are held.
    fn timeout(&mut self) -> EpollTimeout {
        let Some(deadline) = self.hold.deadline(&self.limits) else { return EpollTimeout::NONE };
        let mut wait = deadline.saturating_duration_since(clock());
        if self.hold.unasked().is_some() {
            wait = wait.min(ASK_AGAIN);
        }
        // Rounded up, so that what we wake for is due.
        EpollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(EpollTimeout::ZERO)
    }
}

/// What an event is about, as a number the kernel keeps for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Mail,
    Device(usize),
    Receiver(usize),
    Sender(u16),
}

impl Token {
    fn readable(self) -> EpollEvent {
        EpollEvent::new(EpollFlags::EPOLLIN, self.number())
    }

    fn number(self) -> u64 {
        match self {
            Self::Mail => 0,
            Self::Device(n) => 1 << 32 | n as u64,
            Self::Receiver(n) => 2 << 32 | n as u64,
            Self::Sender(n) => 3 << 32 | u64::from(n),
        }
    }

    fn from_number(number: u64) -> Self {
        let index = (number & 0xffff_ffff) as usize;
        match number >> 32 {
            1 => Self::Device(index),
            2 => Self::Receiver(index),
            3 => Self::Sender(u16::try_from(index).unwrap_or(u16::MAX)),
            _ => Self::Mail,
        }
    }
}

fn set_persistent(queue: &Queue, on: bool) {
    // A device that was removed by someone else cannot be asked.
    if let Err(error) = queue.set_persistent(on) {
        tracing::debug!(%error, on, "a TUN device stays, or goes, as it was told before");
    }
}

/// A worker's share of a rate, never nothing of something.
fn share(rate: u32, workers: usize) -> u32 {
    rate.div_ceil(u32::try_from(workers).unwrap_or(1).max(1))
}

fn share_of_hold(limits: &HoldLimits, workers: usize) -> HoldLimits {
    let workers = workers.max(1);
    HoldLimits {
        eids: limits.eids.div_ceil(workers),
        bytes: limits.bytes.div_ceil(workers),
        ..*limits
    }
}

#[expect(clippy::disallowed_methods, reason = "the data plane keeps its own time")]
fn clock() -> Instant {
    Instant::now()
}

/// How late the kernel may end a rest, in nanoseconds.
const TIMER_SLACK: u64 = 5_000;
/// How soon a question the control plane had no time for is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// How soon a path MTU is reported again that packets still meet.
const REPORT_AGAIN: Duration = Duration::from_secs(1);
/// Locators whose reports are remembered.
const MOST_REPORTED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for token in [Token::Mail, Token::Device(7), Token::Receiver(3), Token::Sender(31)] {
            assert_eq!(Token::from_number(token.number()), token);
        }
    }

    #[test]
    fn workers_share_what_is_bounded() {
        assert_eq!((share(2000, 4), share(1, 4), share(0, 4)), (500, 1, 0));
        let limits = share_of_hold(&HoldLimits::default(), 2);
        assert_eq!((limits.packets_per_eid, limits.eids, limits.bytes), (64, 4096, 8 << 20));
    }
}
