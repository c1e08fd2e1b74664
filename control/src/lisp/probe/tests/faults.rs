//! Things break: how long packets are lost, what is told, and to whom.

use std::time::Duration;
use weft_fib::UplinkId;

use super::network::{Hole, Network, black_hole, millis, secs, v4, v6};
use crate::engine::Instant;

/// Two sites with two uplinks each that use each other.
fn two_sites(seed: u8, ipv6: bool) -> Network {
    let mut network = Network::new(seed, &[2, 2], ipv6);
    network.watch(0, 1);
    network.watch(1, 0);
    network
}

/// When an uplink breaks: after things settled, at any phase of windows and rounds.
fn some_moment(seed: u8) -> Instant {
    millis(30_000 + u64::from(seed) * 137)
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

#[test]
fn black_hole_of_an_uplink_is_healed_within_seconds_on_both_sides() {
    let mut outages = Vec::new();
    for seed in 0..40 {
        let ipv6 = seed % 2 == 1;
        let address = if ipv6 { v6 } else { v4 };
        let mut network = two_sites(seed, ipv6);
        let pings = [network.flow(0, 1, true, secs(120)), network.flow(1, 0, true, secs(120))];
        let both = [network.flow(0, 1, false, secs(120)), network.flow(1, 0, false, secs(120))];
        let hole = some_moment(seed);
        network.run(hole);
        network.holes.extend(black_hole(address(0, 0)));
        network.run(secs(120));
        let worst = pings.into_iter().chain(both).map(|f| network.outage(f, hole)).max().unwrap();
        assert!(worst < Duration::from_secs(5), "seed {seed}: {worst:?}");
        outages.push(worst);

        let (here, there) = (&network.sites[0], &network.sites[1]);
        assert_eq!(here.story(), [format!("uplink-down {}", address(0, 0))], "seed {seed}");
        assert!(here.locators.is_empty(), "remote locators stay up: {:?}", here.locators);
        assert_eq!(there.story(), [format!("rloc-down {}", address(0, 0))], "seed {seed}");
        assert!(there.locators[&address(0, 0)].down);
        assert!(!there.locators.contains_key(&address(0, 1)));
    }
    assert!(median(outages) < Duration::from_secs(3));
}

#[test]
fn black_hole_under_many_flows_that_come_and_go_different_ways_is_healed_too() {
    let mut outages = Vec::new();
    for seed in 0..40 {
        let mut network = two_sites(seed, false);
        let mut flows = Vec::new();
        for n in 0..12 {
            flows.push(network.flow(n % 2, 1 - n % 2, n % 3 == 0, secs(90)));
        }
        let hole = some_moment(seed);
        network.run(hole);
        network.holes.extend(black_hole(v4(1, usize::from(seed % 2))));
        network.run(secs(90));
        for flow in flows {
            let outage = network.outage(flow, hole);
            assert!(outage < Duration::from_secs(5), "seed {seed}, flow {flow}: {outage:?}");
            outages.push(outage);
        }
    }
    assert!(median(outages) < Duration::from_secs(3));
}

#[test]
fn single_flow_whose_answers_take_another_uplink_is_healed_too() {
    for seed in 0..40 {
        let mut network = two_sites(seed, false);
        // The hash decides: hash 2 leaves site 0 through its second uplink towards the first of
        // site 1; the answers come from there. Breaking either end of that way stops the pings.
        network.flow(0, 1, false, Instant::START);
        network.flow(0, 1, false, Instant::START);
        let ping = network.flow(0, 1, true, secs(90));
        let hole = some_moment(seed);
        network.run(hole);
        let broken = if seed % 2 == 0 { v4(0, 1) } else { v4(1, 0) };
        network.holes.extend(black_hole(broken));
        network.run(secs(90));
        let outage = network.outage(ping, hole);
        assert!(outage < Duration::from_secs(5), "seed {seed}: {outage:?}");
    }
}

#[test]
fn lone_pings_are_healed_too_though_the_far_end_only_answers() {
    for seed in 0..40 {
        let mut network = two_sites(seed, false);
        let pings = network.flow(0, 1, true, secs(90));
        network.flows[pings].gap =
            Duration::from_millis([20, 100, 200, 333][usize::from(seed % 4)]);
        let hole = some_moment(seed);
        network.run(hole);
        let broken = if seed < 20 { v4(0, 0) } else { v4(1, 0) };
        network.holes.extend(black_hole(broken));
        network.run(secs(90));
        let outage = network.outage(pings, hole);
        assert!(outage < Duration::from_secs(5), "seed {seed}: {outage:?}");
    }
}

#[test]
fn uplink_that_only_receives_or_only_sends_is_dead() {
    for seed in 0..20 {
        let mut network = two_sites(seed, false);
        let flow = network.flow(0, 1, true, secs(90));
        let hole = some_moment(seed);
        network.run(hole);
        let address = Some(v4(0, 0));
        network.holes.push(match seed % 2 {
            0 => Hole { from: address, to: None },
            _ => Hole { from: None, to: address },
        });
        network.run(secs(90));
        assert!(network.outage(flow, hole) < Duration::from_secs(5), "seed {seed}");
        assert!(!network.sites[0].prober.uplink_ok(UplinkId(0), false), "seed {seed}");
        assert_eq!(network.sites[1].story(), [format!("rloc-down {}", v4(0, 0))]);
    }
}

#[test]
fn uplink_of_a_silent_site_is_found_dead_by_regular_probes() {
    let mut network = two_sites(3, false);
    network.run(secs(60));
    network.holes.extend(black_hole(v4(0, 1)));
    network.run(secs(80));
    assert_eq!(network.sites[0].story(), ["uplink-down 10.0.0.2"]);
    assert_eq!(network.sites[1].story(), ["rloc-down 10.0.0.2"]);
}

#[test]
fn dead_site_is_not_taken_for_a_dead_uplink() {
    let mut network = Network::new(5, &[2, 2, 1], false);
    network.watch(0, 1);
    network.watch(0, 2);
    network.run(secs(60));
    for n in 0..2 {
        network.holes.extend(black_hole(v4(1, n)));
    }
    network.run(secs(90));
    let mut story = network.sites[0].story();
    story.sort();
    assert_eq!(story, ["rloc-down 10.0.1.1", "rloc-down 10.0.1.2"]);
    assert!(network.sites[0].locators[&v4(1, 0)].down);
    assert!(!network.sites[0].locators.contains_key(&v4(2, 0)));
}

#[test]
fn only_site_in_use_may_die_without_blame_on_the_uplinks() {
    let mut network = Network::new(6, &[2, 1], false);
    network.watch(0, 1);
    let ping = network.flow(0, 1, true, secs(200));
    network.run(secs(60));
    network.holes.extend(black_hole(v4(1, 0)));
    network.run(secs(90));
    assert_eq!(network.sites[0].story(), ["rloc-down 10.0.1.1"]);
    network.holes.clear();
    network.run(secs(120));
    assert_eq!(network.sites[0].story(), ["rloc-down 10.0.1.1", "rloc-up 10.0.1.1"]);
    assert!(network.sites[0].locators.is_empty());
    assert!(network.flows[ping].delivered.last().unwrap() > &secs(119));
}

#[test]
fn broken_way_between_two_that_work_is_avoided_and_nobody_is_blamed() {
    let mut network = Network::new(7, &[2, 1, 1], false);
    network.watch(0, 1);
    network.watch(0, 2);
    network.run(secs(60));
    network.holes.push(Hole { from: Some(v4(0, 0)), to: Some(v4(1, 0)) });
    network.run(secs(90));
    assert!(network.sites[0].story().is_empty());
    assert_eq!(network.sites[0].locators[&v4(1, 0)].not_via, [UplinkId(0)]);
    network.holes.clear();
    network.run(secs(120));
    assert!(network.sites[0].locators.is_empty());
}

#[test]
fn with_a_single_uplink_the_rlocs_are_down() {
    let mut network = Network::new(8, &[1, 2], false);
    network.watch(0, 1);
    network.run(secs(60));
    network.holes.extend(black_hole(v4(0, 0)));
    network.run(secs(90));
    assert!(network.sites[0].prober.uplink_ok(UplinkId(0), false));
    assert!(network.sites[0].locators.values().all(|state| state.down));
    assert_eq!(network.sites[0].locators.len(), 2);
}

#[test]
fn uplink_is_up_again_after_two_answers() {
    let mut network = two_sites(9, false);
    network.run(secs(30));
    network.holes.extend(black_hole(v4(0, 0)));
    network.run(secs(60));
    network.holes.clear();
    network.run(secs(120));
    let site = &network.sites[0];
    assert_eq!(site.story(), ["uplink-down 10.0.0.1", "uplink-up 10.0.0.1"]);
    let up = site.when("uplink-up 10.0.0.1").unwrap();
    assert!(up >= millis(67_500), "one answer is not enough: {up}");
    assert!(up <= secs(86));
    assert!(site.prober.uplink_ok(UplinkId(0), false));
    assert!(network.sites.iter().all(|site| site.locators.is_empty()));
    assert_eq!(network.sites[1].story(), ["rloc-down 10.0.0.1", "rloc-up 10.0.0.1"]);
}

#[test]
fn dead_uplink_is_found_working_again_though_nothing_is_in_use_any_more() {
    let mut network = Network::new(10, &[2, 1], false);
    network.watch(0, 1);
    network.run(secs(30));
    network.holes.extend(black_hole(v4(0, 0)));
    network.run(secs(60));
    network.release(0, 1);
    network.run(secs(90));
    assert_eq!(network.sites[0].story(), ["uplink-down 10.0.0.1"]);
    network.holes.clear();
    network.run(secs(120));
    assert_eq!(network.sites[0].story(), ["uplink-down 10.0.0.1", "uplink-up 10.0.0.1"]);
    let asked = network.sites[0].probes.len();
    network.run(secs(300));
    assert_eq!(network.sites[0].probes.len(), asked, "nothing is left to ask");
}

#[test]
fn last_uplink_is_used_though_it_was_found_dead() {
    let mut network = two_sites(11, false);
    network.run(secs(30));
    network.holes.extend(black_hole(v4(0, 0)));
    network.run(secs(60));
    network.carrier(0, 1, false);
    assert!(network.sites[0].prober.uplink_ok(UplinkId(0), false));
    network.run(secs(90));
    assert!(network.sites[0].locators.values().all(|state| state.down));
    network.holes.clear();
    network.run(secs(120));
    assert!(network.sites[0].locators.is_empty());
    assert_eq!(network.sites[0].status_states(network.now), ["up"]);
}

#[test]
fn uplink_death_with_hundreds_of_rlocs_is_found_without_a_storm() {
    let mut sites = vec![1; 301];
    sites[0] = 2;
    let mut network = Network::new(12, &sites, false);
    let mut flows = Vec::new();
    for peer in 1..=300 {
        network.watch(0, peer);
        if peer % 10 == 0 {
            network.watch(peer, 0);
            flows.push(network.flow(0, peer, true, secs(60)));
        }
    }
    network.run(secs(30));
    assert!(network.sites[0].peak(secs(2)) < 120, "{}", network.sites[0].peak(secs(2)));
    network.holes.extend(black_hole(v4(0, 0)));
    network.run(secs(60));
    assert_eq!(network.sites[0].story(), ["uplink-down 10.0.0.1"]);
    assert!(network.sites[0].peak(secs(30)) < 400, "{}", network.sites[0].peak(secs(30)));
    assert!(network.sites[0].locators.is_empty());
    for flow in flows {
        assert!(network.outage(flow, secs(30)) < Duration::from_secs(5));
    }
}
