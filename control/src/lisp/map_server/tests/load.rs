//! Many of everything: bounds hold and nothing is left behind.

use super::*;

const ETR: &str = "203.0.113.1";

/// Registers `count` host prefixes, twenty in a message.
fn register_hosts(world: &mut World, count: u32) {
    for first in (0..count).step_by(20) {
        let hosts = (first..count.min(first + 20)).map(|n| {
            let host = IpAddr::V4((0x0a00_0000 + n).into());
            record(&host.to_string(), &[ETR])
        });
        let message = world.registering(hosts.collect());
        world.send_register(ETR, &message, KEY);
    }
}

#[test]
fn ten_thousand_hosts_share_one_locator_set_and_leave_nothing() {
    let mut world = World::with_site(&["10.0.0.0/8"], |site| {
        site.accept_more_specifics = true;
        site.proxy_reply = true;
    });
    register_hosts(&mut world, 10_000);
    let status = world.server.status();
    assert_eq!((status.mappings, status.registrations), (10_000, 10_000));
    assert_eq!((status.locator_sets, status.xtrs), (1, 1));
    assert_eq!(world.ask("10.0.39.15").record().eid.prefix(), Some(eid("10.0.39.15")));
    world.pass(secs(100));
    register_hosts(&mut world, 5_000);
    assert_eq!(world.pass(secs(80)).site_changes().len(), 5_000);
    assert_eq!(world.pass(secs(100)).site_changes().len(), 5_000);
    let status = world.server.status();
    assert_eq!((status.mappings, status.locator_sets, status.xtrs), (0, 0, 0));
    assert!(world.disk.is_empty());
    assert_eq!(world.server.deadline(), None);
}

#[test]
fn what_is_kept_for_a_host_prefix_is_small() {
    use super::super::database::{Mapping, Registration};
    assert!(size_of::<Mapping>() + size_of::<Registration>() <= 64);
}

#[test]
fn one_tick_is_bounded_and_the_rest_is_due_at_once() {
    let mut world = World::with_site(&["10.0.0.0/8"], |site| {
        site.accept_more_specifics = true;
        site.max_mappings = 100_000;
    });
    register_hosts(&mut world, 10_040);
    let later = world.now + secs(1000);
    let mut out = Actions::default();
    world.server.tick(later, &mut out);
    assert_eq!(world.server.status().mappings, 40);
    assert!(world.server.deadline().unwrap() <= later);
    world.server.tick(later, &mut out);
    assert_eq!(world.server.status().mappings, 0);
}

#[test]
fn slots_are_used_again() {
    let mut world = World::with_site(&["10.0.0.0/8"], |site| site.accept_more_specifics = true);
    for round in 0..50_u8 {
        let host = format!("10.0.0.{round}");
        world.register(ETR, vec![record(&host, &[ETR])]);
        world.register(ETR, vec![withdrawal(&host)]);
    }
    world.register(ETR, vec![record("10.0.0.1", &[ETR])]);
    assert_eq!(world.pass(secs(179)).site_changes(), [""; 0], "stale deadlines mean nothing");
    assert_eq!(world.pass(secs(1)).site_changes(), ["expired 10.0.0.1/32"]);
}
