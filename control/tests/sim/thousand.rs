//! A thousand sites, three Map-Servers, two Map-Resolvers, and a bad day.

use std::time::Duration;
use weft_control::lisp::config::Resolve;
use weft_control::lisp::etr::Progress;
use weft_packet::addr::InstanceId;

use crate::network::{Cut, Quality};
use crate::node::Fate;
use crate::places::{Xtr, mapping_system, resolver};
use crate::world::{NodeId, Seed, Status, World, address};

const SITES: u64 = 1000;
const SERVERS: [&str; 3] = ["198.51.100.2", "198.51.100.3", "198.51.100.4"];
const RESOLVERS: [&str; 2] = ["198.51.100.8", "198.51.100.9"];

fn rloc(site: u64) -> String {
    format!("192.0.{}.{}", site / 250, site % 250 + 1)
}

/// A host of a site.
fn host(site: u64) -> String {
    format!("10.{}.{}.1", site / 250, site % 250)
}

struct Country {
    world: World,
    servers: Vec<NodeId>,
    sites: Vec<NodeId>,
}

impl Country {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, Quality::INTERNET);
        let servers = SERVERS.map(|at| world.add(mapping_system(at, at, Resolve::Local)));
        for at in RESOLVERS {
            world.add(resolver(at, at, &SERVERS));
        }
        let mut country = Self { world, servers: servers.into(), sites: Vec::new() };
        for site in 0..SITES {
            let at = pick(site % 2);
            let mut xtr = Xtr::new(site, &[&rloc(site)], &SERVERS);
            xtr.eids = vec![format!("10.{}.{}.0/24", site / 250, site % 250)];
            xtr.map_resolvers = vec![address(RESOLVERS[at]), address(RESOLVERS[1 - at])];
            xtr.proxy_reply = site % 3 == 0;
            country.sites.push(country.world.add(xtr.node()));
            country.world.run(0.01);
        }
        country
    }

    /// Every site talks to two others.
    fn talk(&mut self, seconds: u64) {
        for site in 0..SITES {
            for _ in 0..2 {
                let peer = self.world.random.below(SITES);
                let at = self.sites[pick(site)];
                let every = Duration::from_secs(4);
                self.world.flow(at, &host(site), &host(peer), every, seconds);
            }
        }
    }

    /// A Map-Server crashes, a Map-Resolver is cut off, one site in twenty loses its power and
    /// one in twenty its uplink.
    fn bad_day(&mut self) {
        self.world.crash_within(self.servers[0], 1);
        self.world.cut(Cut::to(address(RESOLVERS[0])), "a Map-Resolver is cut off");
        for _ in 0..SITES / 20 {
            let random = &mut self.world.random;
            let (dark, alone) = (pick(random.below(SITES)), pick(random.below(SITES)));
            self.world.crash(self.sites[dark]);
            let rloc = rloc(alone as u64);
            self.world.set_uplink(self.sites[alone], &rloc, false);
        }
    }

    fn good_night(&mut self) {
        self.world.network.mend_all();
        self.world.network.quality = Quality::GOOD;
        for id in self.servers.iter().chain(&self.sites).copied().collect::<Vec<_>>() {
            self.world.restore(id);
        }
    }

    fn unregistered(&self) -> usize {
        let registered =
            |id: &&NodeId| self.world.progress(**id).iter().all(|p| *p == Progress::Registered);
        self.sites.len() - self.sites.iter().filter(registered).count()
    }

    /// Of so many pairs drawn by lot, those that cannot talk.
    fn unreachable(&mut self, pairs: usize) -> Vec<String> {
        let mut sent = Vec::new();
        for _ in 0..pairs {
            let (from, to) = (self.world.random.below(SITES), self.world.random.below(SITES));
            let (at, source) = (self.sites[pick(from)], address(&host(from)));
            let packet = self.world.send(at, InstanceId::DEFAULT, source, address(&host(to)));
            sent.push((packet, format!("{} > {}", host(from), host(to))));
        }
        self.world.run(15.0);
        let delivered = |packet| matches!(packet, Status::At(_, Fate::Delivered));
        sent.retain(|(packet, _)| !delivered(self.world.status(*packet)));
        sent.into_iter().map(|(_, pair)| pair).collect()
    }
}

fn pick(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

#[test]
fn country_recovers_from_a_bad_day() {
    let seed = Seed(Seed::fresh());
    let mut country = Country::new(seed.0);
    country.world.run(5.0);
    assert_eq!(country.unregistered(), 0, "a thousand registrations in fifteen seconds");
    country.talk(60);
    let first = country.world.packets();
    country.world.run(20.0);
    let (sent, delivered) = country.world.delivered_since(first);
    assert!(delivered * 100 >= sent * 90, "{delivered} of {sent}");

    country.bad_day();
    country.world.run(30.0);
    country.good_night();
    country.world.run(200.0);
    assert_eq!(country.unregistered(), 0);
    assert_eq!(country.unreachable(2000), Vec::<String>::new());
}
