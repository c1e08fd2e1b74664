//! The world: time, routers, and what is under way between them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use weft_control::engine::{Datagram, Instant, Random};
use weft_control::lisp::config::Config;
use weft_control::lisp::etr::Progress;
use weft_packet::addr::{EidPrefix, InstanceId};
use weft_packet::lisp::CONTROL_PORT;

use crate::laws::Laws;
use crate::network::{Cut, Network, Packet, Parcel, Quality};
use crate::node::{Effect, Effects, Fate, Input, Node, REPORT_EVERY};
use crate::transcript::Transcript;

/// Names a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) transcript: Transcript,
    pub(crate) random: Random,
    owners: HashMap<IpAddr, NodeId>,
    queue: BinaryHeap<Reverse<(Instant, u64, Happening)>>,
    happened: u64,
    /// The wake-up each node waits for.
    wakeups: Vec<Option<Instant>>,
    /// When each node was woken last, and how often at that time.
    woken: Vec<(Instant, u32)>,
    reporting: Vec<bool>,
    flows: Vec<Flow>,
    packets: Vec<Status>,
    /// Nodes that crash in the midst of what their next input causes, after so many actions.
    doomed: HashMap<NodeId, usize>,
    pub(crate) laws: Laws,
    /// Every control message sent so far, where somebody collects them.
    pub(crate) collected: Option<Vec<Vec<u8>>>,
    pub(crate) events: u64,
}

/// Something that will happen. Ordered only so that it can lie in a heap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrival(Arrival),
    Wake(NodeId),
    Report(NodeId),
    Flow(usize),
}

/// A parcel at its end. All are equal to the heap: time and order decide.
#[derive(Clone, Debug)]
struct Arrival(Box<Parcel>);

impl PartialEq for Arrival {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Arrival {}
impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Arrival {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// A host that sends to another, again and again.
#[derive(Clone, Copy, Debug)]
struct Flow {
    at: NodeId,
    instance: InstanceId,
    source: IpAddr,
    destination: IpAddr,
    every: Duration,
    until: Instant,
}

/// How a packet fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// On its way, or lost on it.
    Away,
    /// It ended somewhere.
    At(NodeId, Fate),
}

impl World {
    pub(crate) fn new(seed: u64, quality: Quality) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            now: Instant::START,
            nodes: Vec::new(),
            network: Network::new(quality),
            transcript: Transcript::default(),
            random: Random::new(bytes),
            owners: HashMap::new(),
            queue: BinaryHeap::new(),
            happened: 0,
            wakeups: Vec::new(),
            woken: Vec::new(),
            reporting: Vec::new(),
            flows: Vec::new(),
            packets: Vec::new(),
            doomed: HashMap::new(),
            laws: Laws::default(),
            collected: None,
            events: 0,
        }
    }

    /// Adds a router and starts it.
    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len());
        for &address in &node.addresses {
            assert!(self.owners.insert(address, id).is_none(), "{address} twice");
        }
        self.nodes.push(node);
        self.wakeups.push(None);
        self.woken.push((Instant::START, 0));
        self.reporting.push(false);
        self.boot(id);
        id
    }

    pub(crate) fn node(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    pub(crate) fn boot(&mut self, id: NodeId) {
        self.act(&format!("{} starts", self.nodes[id.0].name));
        self.laws.booted(id);
        let random = self.random.fork();
        let effects = self.nodes[id.0].boot(self.now, random);
        self.laws.nothing_lost(self.now, id, &self.nodes[id.0]);
        self.apply(id, effects);
    }

    /// The node crashes at its next input, when so many of the actions it causes are done.
    pub(crate) fn crash_within(&mut self, id: NodeId, actions: usize) {
        self.doomed.insert(id, actions);
    }

    /// The router is told to be something else, until [`Self::restore`].
    pub(crate) fn reload(&mut self, id: NodeId, config: &Config, what: &str) {
        self.act(&format!("{}: {what}", self.nodes[id.0].name));
        let stored = self.nodes[id.0].stored.clone();
        self.input(id, &mut |lisp, now, out| {
            lisp.reconfigure(now, config.clone(), &stored, out);
        });
        if self.nodes[id.0].running.is_some() && config.map_server.is_some() {
            self.laws.nothing_lost(self.now, id, &self.nodes[id.0]);
        }
    }

    /// Whatever is wrong with a router itself ends.
    pub(crate) fn restore(&mut self, id: NodeId) {
        self.doomed.remove(&id);
        let config = self.nodes[id.0].config.clone();
        self.reload(id, &config, "configured as it should be");
        if self.nodes[id.0].running.is_none() {
            self.nodes[id.0].uplinks.iter_mut().for_each(|u| u.up = true);
            return self.boot(id);
        }
        let down: Vec<_> =
            self.nodes[id.0].uplinks.iter().filter(|u| !u.up).map(|u| u.rloc).collect();
        for rloc in down {
            self.set_uplink(id, &rloc.to_string(), true);
        }
    }

    pub(crate) fn crash(&mut self, id: NodeId) {
        self.act(&format!("{} crashes", self.nodes[id.0].name));
        self.nodes[id.0].crash();
        self.wakeups[id.0] = None;
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, seconds: f64) {
        self.run_for(Duration::from_secs_f64(seconds));
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.happen(at, happening);
        }
        self.now = end;
    }

    fn happen(&mut self, at: Instant, happening: Happening) {
        self.events += 1;
        match happening {
            Happening::Arrival(Arrival(parcel)) => self.arrive(*parcel),
            Happening::Wake(id) => self.wake(id, at),
            Happening::Report(id) => {
                self.reporting[id.0] = false;
                let effects = self.nodes[id.0].report(self.now);
                self.apply(id, effects);
            }
            Happening::Flow(index) => {
                let flow = self.flows[index];
                if self.now <= flow.until {
                    self.send(flow.at, flow.instance, flow.source, flow.destination);
                    self.later(flow.every, Happening::Flow(index));
                }
            }
        }
    }

    fn wake(&mut self, id: NodeId, at: Instant) {
        if self.wakeups[id.0] != Some(at) {
            return;
        }
        self.wakeups[id.0] = None;
        let (last, times) = self.woken[id.0];
        self.woken[id.0] = if last == self.now { (last, times + 1) } else { (self.now, 0) };
        assert!(times < 1000, "{} cannot sleep at {at}", self.nodes[id.0].name);
        self.input(id, &mut |lisp, now, out| lisp.tick(now, out));
    }

    fn arrive(&mut self, parcel: Parcel) {
        let (_, to) = parcel.ends();
        let Some(&id) = self.owners.get(&to) else { return };
        if !self.nodes[id.0].reachable_at(to) || self.nodes[id.0].running.is_none() {
            return;
        }
        match parcel {
            Parcel::Control { from, to, bytes } => {
                self.laws.received(self.now, id, &bytes);
                let datagram = Datagram { from, to: to.ip(), bytes: &bytes };
                self.input(id, &mut |lisp, now, out| lisp.packet(now, datagram, out));
            }
            Parcel::Data { from, to, packet } => {
                let Some(fate) = self.nodes[id.0].decapsulate(from, to, packet) else { return };
                self.end(id, packet, fate);
                self.schedule_report(id);
            }
        }
    }

    /// Gives a router's engine an input.
    pub(crate) fn input(&mut self, id: NodeId, input: Input<'_>) {
        let Some(survive) = self.doomed.remove(&id) else {
            let effects = self.nodes[id.0].input(self.now, input);
            return self.apply(id, effects);
        };
        let effects = self.nodes[id.0].input_and_crash(self.now, input, survive);
        self.apply(id, effects);
        self.crash(id);
    }

    /// Sends one packet from a host behind `at`.
    pub(crate) fn send(
        &mut self,
        at: NodeId,
        instance: InstanceId,
        source: IpAddr,
        destination: IpAddr,
    ) -> usize {
        let id = self.packets.len();
        self.packets.push(Status::Away);
        let packet = Packet { id, instance, source, destination, tunnels: 0 };
        let effects = self.nodes[at.0].packet(self.now, packet);
        self.apply(at, effects);
        id
    }

    /// A host behind `at` sends a packet now and then.
    pub(crate) fn flow(
        &mut self,
        at: NodeId,
        source: &str,
        destination: &str,
        every: Duration,
        seconds: u64,
    ) {
        let (source, destination) = (address(source), address(destination));
        let instance = InstanceId::DEFAULT;
        let until = self.now + Duration::from_secs(seconds);
        self.flows.push(Flow { at, instance, source, destination, every, until });
        let micros = u64::try_from(every.as_micros()).unwrap();
        let start = Duration::from_micros(self.random.below(micros));
        self.later(start, Happening::Flow(self.flows.len() - 1));
    }

    /// How a packet fared so far.
    pub(crate) fn status(&self, packet: usize) -> Status {
        self.packets[packet]
    }

    /// How many packets there were, and how many of those from `first` on were delivered.
    pub(crate) fn delivered_since(&self, first: usize) -> (usize, usize) {
        let recent = self.packets.get(first..).unwrap_or_default();
        let delivered = recent.iter().filter(|s| matches!(s, Status::At(_, Fate::Delivered)));
        (recent.len(), delivered.count())
    }

    pub(crate) fn packets(&self) -> usize {
        self.packets.len()
    }

    /// How far a router's registrations are.
    pub(crate) fn progress(&self, id: NodeId) -> Vec<Progress> {
        let running = self.nodes[id.0].running.as_ref();
        let etr = running.and_then(|running| running.lisp.etr());
        let status = etr.map(|etr| etr.status(self.now));
        status.map_or(Vec::new(), |s| s.registrations.iter().map(|r| r.state).collect())
    }

    /// The RLOCs a Map-Server holds for `eid`.
    pub(crate) fn registered_rlocs(&self, id: NodeId, eid: EidPrefix) -> Vec<String> {
        self.nodes[id.0].mapping(self.now, eid).unwrap_or_default()
    }

    /// The kernel says of one of a router's uplinks that it works or not.
    pub(crate) fn set_uplink(&mut self, id: NodeId, rloc: &str, up: bool) {
        let state = if up { "up" } else { "down" };
        self.act(&format!("{}: {rloc} {state}", self.nodes[id.0].name));
        let mut uplinks = self.nodes[id.0].uplinks.clone();
        for uplink in uplinks.iter_mut().filter(|u| u.rloc == address(rloc)) {
            uplink.up = up;
        }
        let effects = self.nodes[id.0].set_uplinks(self.now, uplinks);
        self.apply(id, effects);
    }

    pub(crate) fn cut(&mut self, cut: Cut, what: &str) {
        self.act(what);
        self.network.cut(cut);
    }

    pub(crate) fn act(&mut self, what: &str) {
        self.transcript.act(self.now, what);
    }

    /// Carries out what a router wants, as far as it concerns others.
    fn apply(&mut self, id: NodeId, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Sent(parcel) => self.dispatch(id, &parcel),
                Effect::Told(event) => {
                    self.transcript.event(self.now, &self.nodes[id.0].name, &event);
                }
                Effect::Ended(packet, fate) => self.end(id, packet, fate),
            }
        }
        if self.nodes[id.0].moved() {
            self.schedule_report(id);
        }
        self.reschedule(id);
    }

    fn dispatch(&mut self, id: NodeId, parcel: &Parcel) {
        self.laws.sent(self.now, id, parcel);
        if let (Some(collected), Parcel::Control { bytes, .. }) = (&mut self.collected, parcel) {
            collected.push(bytes.clone());
        }
        let (from, to) = parcel.ends();
        let up = self.nodes[id.0].reachable_at(from);
        let mut journeys = self.network.journeys(from, to, &mut self.random);
        if !up {
            journeys.clear();
        }
        if self.transcript.on {
            let receiver = self.owners.get(&to).map(|id| self.nodes[id.0].name.as_str());
            let receiver = receiver.map_or_else(|| to.to_string(), ToOwned::to_owned);
            let sender = self.nodes[id.0].name.clone();
            self.transcript.parcel(self.now, &sender, &receiver, parcel, journeys.len());
        }
        for journey in journeys {
            self.later(journey, Happening::Arrival(Arrival(Box::new(parcel.clone()))));
        }
    }

    fn end(&mut self, id: NodeId, packet: Packet, fate: Fate) {
        if fate != Fate::Held {
            let name = self.nodes[id.0].name.clone();
            self.transcript.fate(self.now, &name, &packet.destination.to_string(), fate);
        }
        if self.packets[packet.id] == Status::Away || fate == Fate::Delivered {
            self.packets[packet.id] =
                if fate == Fate::Held { Status::Away } else { Status::At(id, fate) };
        }
    }

    fn schedule_report(&mut self, id: NodeId) {
        if !std::mem::replace(&mut self.reporting[id.0], true) {
            self.later(REPORT_EVERY, Happening::Report(id));
        }
    }

    fn reschedule(&mut self, id: NodeId) {
        let deadline = self.nodes[id.0].deadline();
        if deadline == self.wakeups[id.0] {
            return;
        }
        self.wakeups[id.0] = deadline;
        if let Some(at) = deadline {
            self.happened += 1;
            self.queue.push(Reverse((at, self.happened, Happening::Wake(id))));
        }
    }

    fn later(&mut self, delay: Duration, happening: Happening) {
        self.happened += 1;
        self.queue.push(Reverse((self.now + delay, self.happened, happening)));
    }

    /// Injects a control message as if `from` had sent it.
    pub(crate) fn inject(&mut self, from: SocketAddr, to: &str, bytes: &[u8]) {
        let to = (address(to), CONTROL_PORT).into();
        let parcel = Parcel::Control { from, to, bytes: bytes.to_vec() };
        self.later(Duration::from_millis(1), Happening::Arrival(Arrival(Box::new(parcel))));
    }
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A seed that is printed if what follows fails.
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// One nobody tried, unless the environment names one.
    pub(crate) fn fresh() -> u64 {
        let given = std::env::var("WEFT_SIM_SEED").ok().and_then(|text| text.parse().ok());
        given.unwrap_or_else(|| RandomState::new().hash_one(0) >> 32)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "to see it again: WEFT_SIM_SEED={} cargo test -p weft-control --test sim",
                self.0
            );
        }
    }
}
