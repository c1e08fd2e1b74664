//! A router: an engine, a forwarding table, and the little a daemon does between them.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use weft_control::engine::{Action, Actions, Instant, Punt, Random, Stored, Traffic, Usage};
use weft_control::lisp::Lisp;
use weft_control::lisp::config::Config;
use weft_control::lisp::event::Event;
use weft_fib::{Change, DropReason, Fib, Forwarding, Reader, Uplink};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};
use weft_packet::lisp::CONTROL_PORT;

use crate::network::{Packet, Parcel};

/// A router, running or not.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) uplinks: Vec<Uplink>,
    pub(crate) config: Config,
    pub(crate) running: Option<Running>,
    /// What is on its disk.
    pub(crate) stored: Stored,
}

/// What a crash destroys.
pub(crate) struct Running {
    pub(crate) lisp: Lisp,
    pub(crate) fib: Fib,
    reader: Reader,
    boot: Instant,
    held: BTreeMap<(InstanceId, IpAddr), VecDeque<Packet>>,
    /// Data moved since the last report.
    moved: bool,
}

/// Something a router did.
pub(crate) enum Effect {
    Sent(Parcel),
    Told(Event),
    Ended(Packet, Fate),
}

/// What a router did in answer to one input, in order.
pub(crate) type Effects = Vec<Effect>;

/// What became of a packet in a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    Native,
    Held,
    Dropped(DropReason),
    /// It came to a tunnel router that does not have its destination.
    NotHere,
    /// Out of a tunnel, into the Internet, by a Proxy-ETR.
    Exited,
}

/// An engine's input.
pub(crate) type Input<'a> = &'a mut dyn FnMut(&mut Lisp, Instant, &mut Actions);

impl Node {
    pub(crate) fn new(
        name: &str,
        addresses: &[IpAddr],
        uplinks: Vec<Uplink>,
        config: Config,
    ) -> Self {
        Self {
            name: name.to_owned(),
            addresses: addresses.to_vec(),
            uplinks,
            config,
            running: None,
            stored: Stored::default(),
        }
    }

    /// Starts, or starts again with what is on disk.
    pub(crate) fn boot(&mut self, now: Instant, random: Random) -> Effects {
        let (fib, reader) = Fib::new();
        let mut actions = Actions::default();
        let (config, uplinks) = (self.config.clone(), self.uplinks.clone());
        let lisp = Lisp::new(Instant::START, config, uplinks, random, &self.stored, &mut actions);
        let held = BTreeMap::new();
        self.running = Some(Running { lisp, fib, reader, boot: now, held, moved: false });
        self.carry_out(now, actions, usize::MAX)
    }

    /// The power goes.
    pub(crate) fn crash(&mut self) {
        self.running = None;
    }

    /// When the engine wants to be woken, in the world's time.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let running = self.running.as_mut()?;
        let own = running.lisp.deadline()?;
        Some(running.boot + own.since_start())
    }

    pub(crate) fn input(&mut self, now: Instant, input: Input<'_>) -> Effects {
        self.input_and_crash(now, input, usize::MAX)
    }

    /// Gives the engine an input and carries out the first `survive` actions only.
    pub(crate) fn input_and_crash(
        &mut self,
        now: Instant,
        input: Input<'_>,
        survive: usize,
    ) -> Effects {
        let Some(running) = &mut self.running else { return Effects::default() };
        let mut actions = Actions::default();
        let time = running.time(now);
        input(&mut running.lisp, time, &mut actions);
        self.carry_out(now, actions, survive)
    }

    fn carry_out(&mut self, now: Instant, actions: Actions, survive: usize) -> Effects {
        let mut effects = Effects::default();
        let Some(running) = &mut self.running else { return effects };
        let mut queue: VecDeque<_> = actions.0.into_iter().take(survive).collect();
        while !queue.is_empty() {
            let mut released = Vec::new();
            for action in std::mem::take(&mut queue) {
                match action {
                    Action::Send { from, to, bytes, .. } => {
                        let family = |a: &&IpAddr| a.is_ipv6() == to.is_ipv6();
                        let source = from.or_else(|| self.addresses.iter().find(family).copied());
                        let Some(source) = source else { continue };
                        let from = (source, CONTROL_PORT).into();
                        effects.push(Effect::Sent(Parcel::Control { from, to, bytes }));
                    }
                    Action::Forward(change) => {
                        if let Change::SetRoute { key, .. } = &change {
                            released.push(key.eid);
                        }
                        running.fib.apply(change);
                    }
                    Action::AskUsage(eid) => {
                        let count = running.fib.usage(eid).unwrap_or_default();
                        let usage = Usage { packets: count.packets, bytes: count.bytes };
                        let mut more = Actions::default();
                        let time = running.time(now);
                        running.lisp.used(time, eid, usage, &mut more);
                        queue.extend(more.0);
                    }
                    Action::Store { key, value: Some(value) } => {
                        self.stored.insert(key, value);
                    }
                    Action::Store { key, value: None } => {
                        self.stored.remove(&key);
                    }
                    Action::Notify(event) => effects.push(Effect::Told(event)),
                }
            }
            running.fib.publish();
            for packet in running.release(&released) {
                running.forward(now, packet, &mut effects, &mut queue);
            }
        }
        effects
    }

    /// A host behind this router sends a packet.
    pub(crate) fn packet(&mut self, now: Instant, packet: Packet) -> Effects {
        let Some(running) = &mut self.running else { return Effects::default() };
        let (mut effects, mut queue) = (Effects::default(), VecDeque::new());
        running.forward(now, packet, &mut effects, &mut queue);
        let more = self.carry_out(now, Actions(queue.into()), usize::MAX);
        effects.extend(more);
        effects
    }

    /// An encapsulated packet arrives.
    pub(crate) fn decapsulate(&mut self, from: IpAddr, to: IpAddr, packet: Packet) -> Option<Fate> {
        let proxy = self.config.etr.as_ref().is_some_and(|etr| etr.proxy);
        let running = self.running.as_mut()?;
        running.moved = true;
        let tables = running.reader.enter()?;
        tables.received(to, from, 1);
        if tables.is_local(packet.instance, packet.destination) {
            return Some(Fate::Delivered);
        }
        Some(if proxy { Fate::Exited } else { Fate::NotHere })
    }

    /// The counters, if packets moved since the last time.
    pub(crate) fn report(&mut self, now: Instant) -> Effects {
        let Some(running) = &mut self.running else { return Effects::default() };
        if !std::mem::take(&mut running.moved) {
            return Effects::default();
        }
        let pairs: Vec<_> = running
            .fib
            .traffic()
            .into_iter()
            .map(|pair| Traffic {
                uplink: pair.uplink,
                rloc: pair.rloc,
                sent: pair.sent,
                received: pair.received,
            })
            .collect();
        self.input(now, &mut |lisp, now, out| lisp.traffic(now, &pairs, out))
    }

    /// Whether anything was forwarded since the last report.
    pub(crate) fn moved(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.moved)
    }

    /// The uplinks as the kernel sees them now.
    pub(crate) fn set_uplinks(&mut self, now: Instant, uplinks: Vec<Uplink>) -> Effects {
        self.uplinks = uplinks;
        let uplinks = self.uplinks.clone();
        self.input(now, &mut |lisp, now, out| lisp.uplinks(now, uplinks.clone(), out))
    }

    /// The RLOCs this Map-Server answers with for `eid`.
    pub(crate) fn mapping(&self, now: Instant, eid: EidPrefix) -> Option<Vec<String>> {
        let running = self.running.as_ref()?;
        let mapping = running.lisp.map_server()?.mapping(running.time(now), eid)?;
        Some(mapping.locators.iter().map(|l| l.rloc.clone()).collect())
    }

    /// Whether the address works as far as this router's links go.
    pub(crate) fn reachable_at(&self, address: IpAddr) -> bool {
        self.uplinks.iter().all(|uplink| uplink.rloc != address || uplink.up)
    }
}

impl Running {
    /// What the engine takes for the time: it began when it was started.
    fn time(&self, now: Instant) -> Instant {
        Instant::after_start(now.since(self.boot))
    }

    /// Packets held that `released` cover.
    fn release(&mut self, released: &[EidPrefix]) -> Vec<Packet> {
        let mut packets = Vec::new();
        self.held.retain(|&(instance, destination), queue| {
            let host = EidPrefix::new(instance, Prefix::host(destination));
            let covered = released.iter().any(|eid| eid.covers(host));
            if covered {
                packets.extend(queue.drain(..));
            }
            !covered
        });
        packets
    }

    /// Looks a packet up and sends it on its way.
    fn forward(
        &mut self,
        now: Instant,
        packet: Packet,
        effects: &mut Effects,
        queue: &mut VecDeque<Action>,
    ) {
        let Some(tables) = self.reader.enter() else { return };
        let lookup = tables.lookup(packet.instance, packet.source, packet.destination);
        lookup.count(1, 100);
        let fate = match lookup.forwarding {
            Forwarding::Local => Fate::Delivered,
            Forwarding::Native => Fate::Native,
            Forwarding::Drop(reason) => Fate::Dropped(reason),
            Forwarding::Resolve => Fate::Held,
            Forwarding::Encapsulate(group) => match group.pick(flow_hash(packet)) {
                Err(reason) => Fate::Dropped(reason),
                Ok(hop) => {
                    hop.count(1);
                    self.moved = true;
                    let packet = Packet { tunnels: packet.tunnels + 1, ..packet };
                    let (from, to) = (hop.local, hop.remote);
                    return effects.push(Effect::Sent(Parcel::Data { from, to, packet }));
                }
            },
        };
        drop(tables);
        if fate == Fate::Held {
            let held = self.held.entry((packet.instance, packet.destination)).or_default();
            held.push_back(packet);
            if held.len() > MAX_HELD {
                held.pop_front();
            }
            let mut out = Actions::default();
            let punt = Punt {
                instance: packet.instance,
                source: packet.source,
                destination: packet.destination,
            };
            let time = self.time(now);
            self.lisp.punt(time, punt, &mut out);
            queue.extend(out.0);
        }
        effects.push(Effect::Ended(packet, fate));
    }
}

/// All packets between two hosts take one way.
fn flow_hash(packet: Packet) -> u32 {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    };
    let mixed = octets(packet.source).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ octets(packet.destination).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    u32::try_from((mixed >> 64 ^ mixed >> 32 ^ mixed) & 0xffff_ffff).unwrap()
}

/// Packets held for one destination while it is looked up.
const MAX_HELD: usize = 64;

/// Between reports of what was forwarded.
pub(crate) const REPORT_EVERY: Duration = Duration::from_millis(500);
