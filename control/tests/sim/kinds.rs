//! Networks of several kinds: all roles in one router, several instances, IPv6, and the way out
//! of LISP and back.

use std::time::Duration;
use weft_control::lisp::config::{Config, Etr, ProxyEtr, Resolve};
use weft_packet::addr::{EidPrefix, InstanceId};

use crate::network::Quality;
use crate::node::{Fate, Node};
use crate::places::{Xtr, mapping_system};
use crate::world::{NodeId, Status, World, address};

const MS: &str = "198.51.100.2";

fn quiet(number: u64, rlocs: &[&str]) -> Xtr {
    Xtr { probing: None, ..Xtr::new(number, rlocs, &[MS]) }
}

/// Sends a packet and says how it fared.
fn ping(world: &mut World, at: NodeId, instance: u32, from: &str, to: &str) -> Status {
    let instance = InstanceId::new(instance).unwrap();
    let packet = world.send(at, instance, address(from), address(to));
    world.run(2.0);
    world.status(packet)
}

/// A Map-Server and Map-Resolver that has a site of its own, and registers it with itself.
#[test]
fn all_roles_in_one_router() {
    let mut world = World::new(1, Quality::GOOD);
    let mut hub = quiet(3, &[MS]).node();
    let server = mapping_system("ms", MS, Resolve::Local).config;
    hub.config.map_server = server.map_server;
    hub.config.map_resolver = server.map_resolver;
    let hub = world.add(hub);
    let one = world.add(quiet(1, &["192.0.2.1"]).node());
    world.run(5.0);
    let there = ping(&mut world, one, 0, "10.1.0.1", "10.3.0.1");
    assert_eq!(there, Status::At(hub, Fate::Delivered));
    let back = ping(&mut world, hub, 0, "10.3.0.1", "10.1.0.1");
    assert_eq!(back, Status::At(one, Fate::Delivered));
}

/// The same prefix in two instances, at two sites each.
#[test]
fn instances_do_not_mix() {
    let mut world = World::new(1, Quality::GOOD);
    let mut ms = mapping_system("ms", MS, Resolve::Local);
    let instances = [0, 7, 8].map(|i| InstanceId::new(i).unwrap());
    if let Some(server) = &mut ms.config.map_server {
        let prefix = server.sites[0].eid_prefixes[0].prefix;
        server.sites[0].eid_prefixes =
            instances.iter().map(|i| EidPrefix::new(*i, prefix)).collect();
    }
    world.add(ms);
    let mut site = |number, rloc: &str, instance: usize, eids: &str| {
        let mut xtr = quiet(number, &[rloc]);
        xtr.eids = vec![eids.to_owned()];
        let mut node = xtr.node();
        node.config.instances = instances.to_vec();
        for mapping in node.config.etr.iter_mut().flat_map(|etr| &mut etr.database) {
            mapping.eid.instance = instances[instance];
        }
        world.add(node)
    };
    let red = site(1, "192.0.2.1", 1, "10.1.0.0/16");
    let red_too = site(2, "192.0.2.2", 1, "10.2.0.0/16");
    let blue = site(3, "192.0.2.3", 2, "10.1.0.0/16");
    let blue_too = site(4, "192.0.2.4", 2, "10.2.0.0/16");
    world.run(5.0);
    let to = "10.2.0.1";
    assert_eq!(ping(&mut world, red, 7, "10.1.0.1", to), Status::At(red_too, Fate::Delivered));
    assert_eq!(ping(&mut world, blue, 8, "10.1.0.1", to), Status::At(blue_too, Fate::Delivered));
    assert_eq!(ping(&mut world, blue, 7, "10.1.0.1", to), Status::At(red_too, Fate::Delivered));
    assert_eq!(ping(&mut world, red, 0, "10.1.0.1", to), Status::At(red, Fate::Native));
}

/// IPv6 hosts over an IPv4 underlay, IPv4 hosts over an IPv6 one.
#[test]
fn either_family_over_the_other() {
    for (rlocs, server, from, to) in [
        (["192.0.2.1", "192.0.2.2"], MS, "2001:db8:1::1", "2001:db8:2::1"),
        (["2001:db8:f::1", "2001:db8:f::2"], "2001:db8:f::9", "10.1.0.1", "10.2.0.1"),
    ] {
        let mut world = World::new(1, Quality::GOOD);
        let mut ms = mapping_system("ms", server, Resolve::Local);
        if let Some(config) = &mut ms.config.map_server {
            let all = EidPrefix::new(InstanceId::DEFAULT, "2001:db8::/32".parse().unwrap());
            config.sites[0].eid_prefixes.push(all);
        }
        world.add(ms);
        let mut site = |number: u64, rloc: &str| {
            let mut xtr = Xtr::new(number, &[rloc], &[server]);
            xtr.eids.push(format!("2001:db8:{number}::/48"));
            world.add(xtr.node())
        };
        let (one, two) = (site(1, rlocs[0]), site(2, rlocs[1]));
        world.run(5.0);
        assert_eq!(ping(&mut world, one, 0, from, to), Status::At(two, Fate::Delivered));
    }
}

/// Packets to the Internet leave through Proxy-ETRs. One that dies is found out by probes,
/// although it holds no EID.
#[test]
fn proxy_etrs() {
    let mut world = World::new(1, Quality::GOOD);
    world.add(mapping_system("ms", MS, Resolve::Local));
    let petr = |name: &str, at: &str| {
        let mut node = Xtr { eids: Vec::new(), ..Xtr::new(9, &[at], &[]) }.node();
        name.clone_into(&mut node.name);
        node.config =
            Config { etr: Some(Etr { proxy: true, ..Etr::default() }), ..Config::default() };
        node
    };
    let first = world.add(petr("petr1", "203.0.113.1"));
    let second = world.add(petr("petr2", "203.0.113.2"));
    let mut site: Node = Xtr::new(1, &["192.0.2.1"], &[MS]).node();
    if let Some(itr) = &mut site.config.itr {
        let proxy = |at: &str, priority| ProxyEtr {
            address: address(at),
            ipv4: true,
            ipv6: false,
            priority,
            weight: 100,
        };
        itr.proxy_etrs = vec![proxy("203.0.113.1", 1), proxy("203.0.113.2", 2)];
    }
    let site = world.add(site);
    world.run(5.0);
    let out = ping(&mut world, site, 0, "10.1.0.1", "8.8.8.8");
    assert_eq!(out, Status::At(first, Fate::Exited));
    world.flow(site, "10.1.0.1", "8.8.8.8", Duration::from_millis(500), 100);
    world.crash(first);
    world.run(30.0);
    let out = ping(&mut world, site, 0, "10.1.0.1", "8.8.8.8");
    assert_eq!(out, Status::At(second, Fate::Exited));
}
