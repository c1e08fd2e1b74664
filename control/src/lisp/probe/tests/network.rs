//! Sites with several uplinks on a network in virtual time: delays, losses, black holes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use weft_fib::{Change, LocatorState, Uplink, UplinkId};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};
use weft_packet::lisp::{Action as Act, Locator, MapReply, MapRequest, MappingRecord, Ttl};
use weft_packet::wire::Wire;

use super::super::{Prober, Watch};
use crate::engine::{Action, Actions, Datagram, Instant, Random, Traffic};
use crate::lisp::config::Probing;
use crate::lisp::event::Event;
use crate::lisp::local::Local;

pub(super) fn secs(s: u64) -> Instant {
    Instant::after_start(Duration::from_secs(s))
}

pub(super) fn millis(ms: u64) -> Instant {
    Instant::after_start(Duration::from_millis(ms))
}

/// The address of an uplink of a site.
pub(super) fn v4(site: usize, uplink: usize) -> IpAddr {
    let [high, low] = u16::try_from(site).unwrap().to_be_bytes();
    Ipv4Addr::new(10, high, low, u8::try_from(uplink).unwrap() + 1).into()
}

pub(super) fn v6(site: usize, uplink: usize) -> IpAddr {
    let (site, uplink) = (u16::try_from(site).unwrap(), u16::try_from(uplink).unwrap());
    Ipv6Addr::new(0x2001, 0xdb8, site, uplink, 0, 0, 0, 1).into()
}

pub(super) fn eid(site: usize) -> EidPrefix {
    let [high, low] = u16::try_from(site).unwrap().to_be_bytes();
    let prefix = Prefix::new(Ipv4Addr::new(172, high, low, 0).into(), 24).unwrap();
    EidPrefix::new(InstanceId::DEFAULT, prefix)
}

/// Packets from `from` to `to` vanish; `None` is any address.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Hole {
    pub(super) from: Option<IpAddr>,
    pub(super) to: Option<IpAddr>,
}

/// Both directions of an uplink.
pub(super) fn black_hole(address: IpAddr) -> [Hole; 2] {
    [Hole { from: Some(address), to: None }, Hole { from: None, to: Some(address) }]
}

/// A site: an xTR with its uplinks, and what its forwarding table was told.
pub(super) struct Site {
    pub(super) prober: Prober,
    pub(super) local: Local,
    pub(super) locators: BTreeMap<IpAddr, LocatorState>,
    pub(super) events: Vec<(Instant, Event)>,
    pub(super) probes: Vec<(Instant, IpAddr)>,
    pub(super) wakeups: usize,
    /// Changes of what the forwarding table knows of locators.
    pub(super) moves: usize,
    /// Answers probes, as an xTR should.
    pub(super) answers: bool,
    totals: BTreeMap<(UplinkId, IpAddr), (u64, u64)>,
}

/// Packets at a steady pace from a site to another.
pub(super) struct Flow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) gap: Duration,
    /// Each is answered at once; an answer counts as delivered, a question does not.
    pub(super) ping: bool,
    /// Chooses among the ways.
    pub(super) hash: usize,
    pub(super) until: Instant,
    pub(super) delivered: Vec<Instant>,
}

enum Happening {
    Control { from: IpAddr, to: IpAddr, bytes: Vec<u8> },
    Data { from: IpAddr, to: IpAddr, flow: usize, answer: bool },
    Send { flow: usize },
    Window { site: usize },
}

pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) sites: Vec<Site>,
    pub(super) flows: Vec<Flow>,
    pub(super) holes: Vec<Hole>,
    /// One way.
    pub(super) delay: Duration,
    /// Each way, of control and data packets alike.
    pub(super) loss_percent: u64,
    queue: BTreeMap<(Instant, u64), Happening>,
    happened: u64,
    random: Random,
}

impl Network {
    /// Sites with so many uplinks each; nobody watches anybody yet.
    pub(super) fn new(seed: u8, uplinks: &[usize], ipv6: bool) -> Self {
        let mut random = Random::new([seed; 32]);
        let address = if ipv6 { v6 } else { v4 };
        let site = |(site, &count): (usize, &usize)| Site {
            prober: Prober::new(Some(Probing::default()), random.fork()),
            local: Local::new((0..count).map(|n| uplink(n, address(site, n))).collect()),
            locators: BTreeMap::new(),
            events: Vec::new(),
            probes: Vec::new(),
            wakeups: 0,
            moves: 0,
            answers: true,
            totals: BTreeMap::new(),
        };
        let sites: Vec<_> = uplinks.iter().enumerate().map(site).collect();
        let mut network = Self {
            now: Instant::START,
            sites,
            flows: Vec::new(),
            holes: Vec::new(),
            delay: Duration::from_millis(20),
            loss_percent: 0,
            queue: BTreeMap::new(),
            happened: 0,
            random,
        };
        for site in 0..uplinks.len() {
            let phase = Duration::from_millis(network.random.below(500));
            network.put(Instant::START + phase, Happening::Window { site });
        }
        network
    }

    /// `watcher` begins to use the RLOCs of `site`.
    pub(super) fn watch(&mut self, watcher: usize, site: usize) {
        for rloc in self.addresses(site) {
            self.act(watcher, |prober, now, local, out| {
                prober.watch(now, Watch::Use { rloc, about: eid(site) }, local, out);
            });
        }
    }

    pub(super) fn release(&mut self, watcher: usize, site: usize) {
        for rloc in self.addresses(site) {
            self.act(watcher, |prober, now, local, out| {
                prober.watch(now, Watch::Release { rloc }, local, out);
            });
        }
    }

    pub(super) fn addresses(&self, site: usize) -> Vec<IpAddr> {
        self.sites[site].local.uplinks().iter().map(|u| u.rloc).collect()
    }

    /// The kernel says that an uplink went down or came up.
    pub(super) fn carrier(&mut self, site: usize, n: usize, up: bool) {
        let mut uplinks = self.sites[site].local.uplinks().to_vec();
        uplinks[n].up = up;
        self.sites[site].local = Local::new(uplinks);
        self.act(site, Prober::local_changed);
    }

    /// Traffic from now on until `until`: `ping`s are answered.
    pub(super) fn flow(&mut self, from: usize, to: usize, ping: bool, until: Instant) -> usize {
        let gap = Duration::from_millis(100);
        let hash = self.flows.len();
        self.flows.push(Flow { from, to, gap, ping, hash, until, delivered: vec![] });
        self.put(self.now, Happening::Send { flow: hash });
        hash
    }

    pub(super) fn run(&mut self, until: Instant) {
        loop {
            let queued = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let due = (0..self.sites.len())
                .filter_map(|s| Some((self.sites[s].prober.deadline()?, s)))
                .min();
            let next = queued.into_iter().chain(due.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|&at| at <= until) else { break };
            assert!(next >= self.now, "time goes forward");
            self.now = next;
            match due {
                Some((at, site)) if at == next => {
                    self.sites[site].wakeups += 1;
                    self.act(site, |prober, now, _, out| prober.tick(now, out));
                }
                _ => {
                    let (_, happening) = self.queue.pop_first().unwrap();
                    self.happen(happening);
                }
            }
        }
        self.now = until;
    }

    /// From `hole` on: how long until a flow was delivered without a break for the rest.
    pub(super) fn outage(&self, flow: usize, hole: Instant) -> Duration {
        let flow = &self.flows[flow];
        let mut last = hole;
        let mut healed = hole;
        let end = flow.until.min(self.now);
        for &at in flow.delivered.iter().filter(|&&at| at > hole).chain([&end]) {
            if at.since(last) > flow.gap * 3 {
                healed = at;
            }
            last = at;
        }
        healed.since(hole)
    }

    /// Gives a prober an input and carries its actions out.
    pub(super) fn act(
        &mut self,
        site: usize,
        input: impl FnOnce(&mut Prober, Instant, &Local, &mut Actions),
    ) {
        let mut out = Actions::default();
        let this = &mut self.sites[site];
        let before = verdicts(this);
        input(&mut this.prober, self.now, &this.local, &mut out);
        let changed = before != verdicts(this);
        assert_eq!(changed, this.prober.take_uplink_changes(), "uplink changes are announced");
        for action in out.0 {
            match action {
                Action::Send { from, uplink, to, bytes } => {
                    let from = from.expect("a probe names its source");
                    let sender = self.sites[site].local.uplinks().iter().find(|u| u.rloc == from);
                    assert_eq!(sender.map(|u| u.id), uplink, "source and uplink belong together");
                    self.sites[site].probes.push((self.now, to.ip()));
                    self.transmit(from, to.ip(), bytes);
                }
                Action::Forward(Change::SetLocator { rloc, state }) => {
                    self.sites[site].moves += 1;
                    let before = self.sites[site].locators.insert(rloc, state.clone());
                    assert_ne!(before, Some(state), "only changes are told");
                }
                Action::Forward(Change::ClearLocator { rloc }) => {
                    let before = self.sites[site].locators.remove(&rloc);
                    assert!(before.is_some(), "only what is set is cleared");
                }
                Action::Notify(event) => self.sites[site].events.push((self.now, event)),
                other => panic!("a prober has no business with {other:?}"),
            }
        }
    }

    fn put(&mut self, at: Instant, happening: Happening) {
        self.happened += 1;
        self.queue.insert((at, self.happened), happening);
    }

    fn lost(&mut self, from: IpAddr, to: IpAddr) -> bool {
        let swallows = |h: &Hole| h.from.is_none_or(|f| f == from) && h.to.is_none_or(|t| t == to);
        self.holes.iter().any(swallows) || self.random.below(100) < self.loss_percent
    }

    fn transmit(&mut self, from: IpAddr, to: IpAddr, bytes: Vec<u8>) {
        if !self.lost(from, to) {
            self.put(self.now + self.delay, Happening::Control { from, to, bytes });
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Control { from, to, bytes } => self.control(from, to, &bytes),
            Happening::Data { from, to, flow, answer } => self.data(from, to, flow, answer),
            Happening::Send { flow } => {
                let (site, peer) = (self.flows[flow].from, self.flows[flow].to);
                self.send_data(site, peer, flow, false);
                let next = self.now + self.flows[flow].gap;
                if next <= self.flows[flow].until {
                    self.put(next, Happening::Send { flow });
                }
            }
            Happening::Window { site } => {
                let totals = self.sites[site].totals.iter();
                let traffic: Vec<_> = totals
                    .map(|(&(uplink, rloc), &(sent, received))| Traffic {
                        uplink,
                        rloc,
                        sent,
                        received,
                    })
                    .collect();
                self.act(site, |prober, now, local, out| prober.traffic(now, &traffic, local, out));
                self.put(self.now + Duration::from_millis(500), Happening::Window { site });
            }
        }
    }

    /// A control message arrives: a probe is answered, an answer goes to the prober.
    fn control(&mut self, from: IpAddr, to: IpAddr, bytes: &[u8]) {
        let Some(site) = self.owner(to) else { return };
        if bytes[0] >> 4 == 1 {
            let request = MapRequest::from_bytes(bytes).unwrap();
            if self.sites[site].answers {
                let back = request.itr_rlocs[0].ip().unwrap();
                self.transmit(to, back, answer(&request, to).to_bytes());
            }
            return;
        }
        let reply = MapReply::from_bytes(bytes).unwrap();
        self.act(site, |prober, now, _, out| {
            let datagram = Datagram { from: SocketAddr::new(from, 4342), to, bytes };
            assert!(prober.reply(now, datagram, &reply, out));
        });
    }

    fn data(&mut self, from: IpAddr, to: IpAddr, flow: usize, answer: bool) {
        let Some(site) = self.owner(to) else { return };
        let id = self.sites[site].local.uplinks().iter().find(|u| u.rloc == to).unwrap().id;
        self.sites[site].totals.entry((id, from)).or_default().1 += 1;
        if self.flows[flow].ping && !answer {
            self.send_data(site, self.flows[flow].from, flow, true);
        } else {
            self.flows[flow].delivered.push(self.now);
        }
    }

    /// Sends as a forwarding table would: usable locators and uplinks, chosen by the flow's hash.
    fn send_data(&mut self, site: usize, peer: usize, flow: usize, answer: bool) {
        let Some((uplink, local, remote)) = self.way(site, peer, self.flows[flow].hash) else {
            return;
        };
        self.sites[site].totals.entry((uplink, remote)).or_default().0 += 1;
        if !self.lost(local, remote) {
            let data = Happening::Data { from: local, to: remote, flow, answer };
            self.put(self.now + self.delay, data);
        }
    }

    fn way(&self, site: usize, peer: usize, hash: usize) -> Option<(UplinkId, IpAddr, IpAddr)> {
        let this = &self.sites[site];
        let state = |rloc: &IpAddr| this.locators.get(rloc).cloned().unwrap_or_default();
        let all = self.addresses(peer);
        let mut rlocs: Vec<_> = all.iter().filter(|r| !state(r).down).copied().collect();
        if rlocs.is_empty() {
            rlocs = all;
        }
        let rloc = rlocs[hash % rlocs.len()];
        let up = this.local.uplinks().iter().filter(|u| u.up);
        let ok: Vec<_> =
            up.filter(|u| this.prober.uplink_ok(u.id, u.rloc.is_ipv6())).cloned().collect();
        let not_via = state(&rloc).not_via;
        let mut via: Vec<_> = ok.iter().filter(|u| !not_via.contains(&u.id)).collect();
        if via.is_empty() {
            via = ok.iter().collect();
        }
        let uplink = via.get((hash / 2) % via.len().max(1))?;
        Some((uplink.id, uplink.rloc, rloc))
    }

    fn owner(&self, address: IpAddr) -> Option<usize> {
        self.sites.iter().position(|s| s.local.uplinks().iter().any(|u| u.up && u.rloc == address))
    }
}

impl Site {
    /// The events that are no messages, in words.
    pub(super) fn story(&self) -> Vec<String> {
        self.events.iter().filter_map(|(_, event)| word(event)).collect()
    }

    /// When an event with this word came first.
    pub(super) fn when(&self, wanted: &str) -> Option<Instant> {
        self.events.iter().find(|(_, e)| word(e).as_deref() == Some(wanted)).map(|&(at, _)| at)
    }

    /// Most probes within any second.
    pub(super) fn peak(&self, since: Instant) -> usize {
        let times: Vec<_> = self.probes.iter().map(|p| p.0).filter(|&at| at >= since).collect();
        (0..times.len())
            .map(|i| times[i..].iter().take_while(|t| t.since(times[i]).as_secs() < 1).count())
            .max()
            .unwrap_or(0)
    }
}

fn word(event: &Event) -> Option<String> {
    match event {
        Event::RlocUp { rloc } => Some(format!("rloc-up {rloc}")),
        Event::RlocDown { rloc, .. } => Some(format!("rloc-down {rloc}")),
        Event::UplinkUp { rloc, .. } => Some(format!("uplink-up {rloc}")),
        Event::UplinkDown { rloc, .. } => Some(format!("uplink-down {rloc}")),
        _ => None,
    }
}

fn verdicts(site: &Site) -> Vec<bool> {
    let uplinks = site.local.uplinks().iter();
    uplinks.map(|u| site.prober.uplink_ok(u.id, u.rloc.is_ipv6())).collect()
}

fn uplink(n: usize, rloc: IpAddr) -> Uplink {
    let id = UplinkId(u16::try_from(n).unwrap());
    Uplink { id, rloc, interface: 2, mtu: 1500, priority: 1, weight: 50, up: true }
}

/// What an ETR answers to a probe.
pub(super) fn answer(request: &MapRequest, rloc: IpAddr) -> MapReply {
    let locator = Locator { local: true, probed: true, ..Locator::unicast(rloc, 1, 100) };
    let record = MappingRecord {
        eid: request.eids[0].eid.clone(),
        ttl: Ttl(1440),
        action: Act::NoAction,
        authoritative: true,
        version: 0,
        locators: vec![locator],
    };
    MapReply { probe: true, nonce: request.nonce, records: vec![record], ..MapReply::default() }
}
