//! Nothing breaks: how quiet it is.

use std::time::Duration;
use weft_fib::UplinkId;

use super::network::{Network, black_hole, secs, v4};
use crate::lisp::event::Event;

#[test]
fn ten_percent_loss_is_no_failure() {
    for seed in 0..5 {
        let mut network = Network::new(seed, &[2, 2], false);
        network.watch(0, 1);
        network.watch(1, 0);
        network.loss_percent = 10;
        for n in 0..4 {
            let flow = network.flow(n % 2, 1 - n % 2, n < 2, secs(3600));
            network.flows[flow].gap = Duration::from_millis(200);
        }
        network.run(secs(3600));
        for site in &network.sites {
            assert!(site.story().is_empty(), "seed {seed}: {:?}", site.story());
            assert!(site.moves < 30, "seed {seed}: packets moved {} times", site.moves);
            let per_round = site.probes.len() / 360;
            assert!(per_round < 20, "seed {seed}: {per_round} probes in 10 s");
        }
    }
}

#[test]
fn lost_path_on_a_lossy_network_is_still_found() {
    for seed in 0..20 {
        let mut network = Network::new(seed, &[2, 2], false);
        network.watch(0, 1);
        network.watch(1, 0);
        network.loss_percent = 10;
        let flow = network.flow(0, 1, true, secs(400));
        network.run(secs(300));
        network.holes.extend(black_hole(v4(0, 0)));
        network.run(secs(330));
        assert!(!network.sites[0].prober.uplink_ok(UplinkId(0), false), "seed {seed}");
        let after = network.flows[flow].delivered.iter().filter(|&&at| at > secs(305)).count();
        assert!(after > 150, "seed {seed}: {after} of 250 pings answered");
    }
}

#[test]
fn one_way_traffic_costs_little() {
    let mut network = Network::new(2, &[2, 2], false);
    network.watch(0, 1);
    network.flow(0, 1, false, secs(600));
    network.run(secs(600));
    let sent = network.sites[0].probes.len();
    // Four pairs every 10 s; the one that carries the traffic every 2 to 2.5 s besides.
    assert!((400..=600).contains(&sent), "{sent}");
    assert!(network.sites[0].story().is_empty());
    assert!(network.sites[0].locators.is_empty());
}

#[test]
fn traffic_that_pauses_and_comes_back_costs_little() {
    let mut network = Network::new(2, &[2, 2], false);
    network.watch(0, 1);
    network.watch(1, 0);
    network.flow(0, 1, false, secs(600));
    for start in (0..600).step_by(5) {
        network.run(secs(start));
        network.flow(1, 0, false, secs(start + 2));
    }
    network.run(secs(600));
    assert!(network.sites[0].probes.len() < 900, "{}", network.sites[0].probes.len());
    assert!(network.sites[0].story().is_empty());
}

#[test]
fn peer_that_answers_no_probes_stays_up_while_data_comes_from_it() {
    let mut network = Network::new(3, &[2, 1], false);
    network.sites[1].answers = false;
    network.watch(0, 1);
    network.flow(0, 1, true, secs(600));
    network.run(secs(600));
    let site = &network.sites[0];
    assert!(site.story().is_empty(), "{:?}", site.story());
    assert!(site.locators.is_empty());
    assert!(site.probes.len() < 150, "{}", site.probes.len());
    let status = site.prober.status(network.now);
    assert_eq!(status.rlocs[0].why, "does not answer probes, but packets come from it");
    assert_eq!(status.rlocs[0].loss, None);
}

#[test]
fn peer_that_answers_nothing_at_all_is_down_until_data_comes() {
    let mut network = Network::new(4, &[2, 1], false);
    network.sites[1].answers = false;
    network.watch(0, 1);
    network.run(secs(20));
    assert_eq!(network.sites[0].story(), ["rloc-down 10.0.1.1"]);
    let Event::RlocDown { why, .. } = &network.sites[0].events[0].1 else { panic!() };
    assert!(why.contains("never answered"), "{why}");
    network.flow(1, 0, false, secs(30));
    network.run(secs(30));
    assert_eq!(network.sites[0].story(), ["rloc-down 10.0.1.1", "rloc-up 10.0.1.1"]);
}

#[test]
fn idle_xtr_sleeps() {
    let mut network = Network::new(5, &[2, 1, 1, 1, 1, 1], false);
    for peer in 1..=5 {
        network.watch(0, peer);
    }
    network.run(secs(600));
    let site = &network.sites[0];
    // Five RLOCs, two uplinks, 60 intervals: ten probes an interval, one wake-up for two probes.
    assert!((560..=640).contains(&site.probes.len()), "{}", site.probes.len());
    assert!(site.wakeups <= 320, "{}", site.wakeups);
    assert!(site.peak(secs(2)) <= 10, "rounds are spread: {}", site.peak(secs(2)));
}

#[test]
fn new_rloc_is_probed_within_about_a_second() {
    for seed in 0..20 {
        let mut network = Network::new(seed, &[2, 2], false);
        network.watch(0, 1);
        network.run(secs(2));
        assert!(network.sites[0].probes.len() == 4, "seed {seed}");
        assert!(network.sites[0].probes.iter().all(|p| p.0.since_start().as_millis() <= 1250));
    }
}

#[test]
fn long_way_is_no_failure() {
    let mut network = Network::new(6, &[2, 2], false);
    network.delay = Duration::from_millis(700);
    network.watch(0, 1);
    network.watch(1, 0);
    network.flow(0, 1, true, secs(600));
    network.run(secs(600));
    assert!(network.sites.iter().all(|site| site.story().is_empty()));
    assert!(network.sites[0].locators.is_empty());
    let rtt = network.sites[0].prober.status(network.now).rlocs[0].rtt.unwrap();
    assert!((1.39..1.41).contains(&rtt), "{rtt}");
}
