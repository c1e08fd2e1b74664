//! Single messages and inputs.

use std::net::{IpAddr, SocketAddr};
use weft_fib::UplinkId;
use weft_packet::lisp::{Address, MapReply, MapRequest};
use weft_packet::wire::Wire;

use super::super::{Prober, Watch};
use super::network::{Network, Site, answer, black_hole, eid, secs, v4};
use crate::engine::{Action, Actions, Datagram, Instant, Random};
use crate::lisp::config::Probing;
use crate::lisp::event::{Direction, Event, Refusal};
use crate::lisp::local::Local;

/// A prober with one uplink that has just probed 10.0.1.1, and its probe.
fn probed() -> (Prober, Local, MapRequest) {
    let network = Network::new(1, &[1], false);
    let local = network.sites[0].local.clone();
    let mut prober = Prober::new(Some(Probing::default()), Random::new([1; 32]));
    let mut out = Actions::default();
    let watch = Watch::Use { rloc: v4(1, 0), about: eid(1) };
    prober.watch(Instant::START, watch, &local, &mut out);
    assert!(out.0.is_empty());
    prober.tick(secs(2), &mut out);
    let [Action::Send { from, uplink, to, bytes }] = &out.0[..] else { panic!("{out:?}") };
    assert_eq!((*from, *uplink), (Some(v4(0, 0)), Some(UplinkId(0))));
    assert_eq!(*to, SocketAddr::new(v4(1, 0), 4342));
    (prober, local, MapRequest::from_bytes(bytes).unwrap())
}

/// Hands an answer in; the refusal, if any.
fn hand_in(prober: &mut Prober, from: IpAddr, reply: &MapReply) -> Option<Refusal> {
    let mut out = Actions::default();
    let datagram = Datagram { from: SocketAddr::new(from, 4342), to: v4(0, 0), bytes: &[] };
    assert!(prober.reply(secs(2), datagram, reply, &mut out));
    match out.0.pop()? {
        Action::Notify(Event::Refused { reason, .. }) => Some(reason),
        other => panic!("{other:?}"),
    }
}

fn answers(prober: &Prober) -> u64 {
    prober.status(secs(2)).rlocs[0].pairs[0].answered
}

#[test]
fn probe_is_a_map_request_about_the_prefix_from_and_back_to_the_local_address() {
    let (_, _, request) = probed();
    assert!(request.probe && !request.smr && !request.no_reply);
    assert_eq!(request.source_eid, Address::None);
    assert_eq!(request.itr_rlocs, [Address::Ip(v4(0, 0))]);
    assert_eq!(request.eids[0].eid.prefix(), Some(eid(1)));
}

#[test]
fn only_the_probed_rloc_can_answer_and_only_once() {
    let (mut prober, _, request) = probed();
    let good = answer(&request, v4(1, 0));
    assert_eq!(hand_in(&mut prober, v4(2, 0), &good), Some(Refusal::WrongAnswer));

    let mut proxied = good.clone();
    proxied.records[0].authoritative = false;
    assert_eq!(hand_in(&mut prober, v4(1, 0), &proxied), Some(Refusal::WrongAnswer));

    let mut empty = good.clone();
    empty.records.clear();
    assert_eq!(hand_in(&mut prober, v4(1, 0), &empty), Some(Refusal::WrongAnswer));

    let mut forged = good.clone();
    forged.nonce.0 ^= 1;
    assert_eq!(hand_in(&mut prober, v4(1, 0), &forged), Some(Refusal::UnknownNonce));
    assert_eq!(answers(&prober), 0);

    assert_eq!(hand_in(&mut prober, v4(1, 0), &good), None);
    assert_eq!(answers(&prober), 1);
    assert_eq!(hand_in(&mut prober, v4(1, 0), &good), Some(Refusal::UnknownNonce));
    assert_eq!(answers(&prober), 1);
}

#[test]
fn other_map_replies_are_left_to_others() {
    let (mut prober, _, request) = probed();
    let mut reply = answer(&request, v4(1, 0));
    reply.probe = false;
    let datagram = Datagram { from: SocketAddr::new(v4(1, 0), 4342), to: v4(0, 0), bytes: &[] };
    let mut out = Actions::default();
    assert!(!prober.reply(secs(2), datagram, &reply, &mut out));
    assert!(out.0.is_empty());
}

#[test]
fn messages_are_told_when_somebody_listens() {
    let mut network = Network::new(2, &[1, 1], false);
    network.watch(0, 1);
    network.run(secs(3));
    assert!(network.sites[0].events.is_empty());
    network.sites[0].prober.set_trace(true);
    network.act(0, |prober, now, _, out| assert!(prober.probe_now(now, v4(1, 0), out)));
    network.run(secs(4));
    let directions: Vec<_> = network.sites[0]
        .events
        .iter()
        .map(|(_, event)| match event {
            Event::Message { direction, kind, eid: about, .. } => (*direction, *kind, *about),
            other => panic!("{other:?}"),
        })
        .collect();
    let wanted = [
        (Direction::Out, "rloc-probe", Some(eid(1))),
        (Direction::In, "rloc-probe-reply", Some(eid(1))),
    ];
    assert_eq!(directions, wanted);
}

#[test]
fn rlocs_not_in_use_are_not_probed_on_request() {
    let mut network = Network::new(2, &[1, 1], false);
    network.act(0, |prober, now, _, out| assert!(!prober.probe_now(now, v4(1, 0), out)));
    network.watch(0, 1);
    network.release(0, 1);
    network.run(secs(60));
    assert!(network.sites[0].probes.is_empty());
}

#[test]
fn kernel_changes_are_followed_at_once() {
    let mut network = Network::new(3, &[2, 1], false);
    network.carrier(0, 1, false);
    network.watch(0, 1);
    network.run(secs(60));
    assert_eq!(network.sites[0].status_states(network.now), ["up"]);
    let before = network.sites[0].probes.len();
    network.carrier(0, 1, true);
    network.run(secs(60));
    assert_eq!(network.sites[0].probes.len(), before + 2, "a new pair is asked at once");
    network.run(secs(61));
    assert_eq!(network.sites[0].status_states(network.now), ["up", "up"]);
    network.carrier(0, 0, false);
    network.run(secs(120));
    assert_eq!(network.sites[0].status_states(network.now), ["up"]);
    assert!(network.sites[0].story().is_empty());
}

#[test]
fn without_probing_everything_works() {
    let mut network = Network::new(4, &[2, 2, 1], false);
    network.watch(0, 1);
    network.watch(0, 2);
    network.run(secs(30));
    network.holes.extend(black_hole(v4(0, 0)));
    network.holes.extend(black_hole(v4(2, 0)));
    network.run(secs(60));
    assert_eq!(network.sites[0].locators.len(), 1);
    network.act(0, |prober, now, _, out| prober.reconfigure(now, None, out));
    assert!(network.sites[0].locators.is_empty());
    assert!(network.sites[0].prober.uplink_ok(UplinkId(0), false));
    let mut story = network.sites[0].story();
    story.sort();
    assert_eq!(
        story,
        ["rloc-down 10.0.2.1", "rloc-up 10.0.2.1", "uplink-down 10.0.0.1", "uplink-up 10.0.0.1"]
    );
    let asked = network.sites[0].probes.len();
    network.run(secs(120));
    assert_eq!(network.sites[0].probes.len(), asked);
    assert_eq!(network.sites[0].prober.deadline(), None);

    let faster = Probing { interval: std::time::Duration::from_secs(1), ..Probing::default() };
    network.act(0, |prober, now, _, out| prober.reconfigure(now, Some(faster), out));
    network.run(secs(130));
    assert!(network.sites[0].locators[&v4(2, 0)].down);
    assert!(!network.sites[0].prober.uplink_ok(UplinkId(0), false));
}

#[test]
fn status_reads_well_as_json() {
    let mut network = Network::new(5, &[2, 1], false);
    network.watch(0, 1);
    network.run(secs(30));
    network.holes.extend(black_hole(v4(0, 0)));
    network.run(secs(60));
    let status = serde_json::to_value(network.sites[0].prober.status(network.now)).unwrap();
    assert_eq!(status["retry-interval"], 1.0);
    let uplink = &status["uplinks"][0];
    assert_eq!(uplink["state"], "down");
    assert_eq!(
        uplink["why"],
        "no answer to probes from 10.0.0.1 by any of 1 RLOCs; 10.0.1.1 answers 10.0.0.2"
    );
    let rloc = &status["rlocs"][0];
    assert_eq!((&rloc["rloc"], &rloc["state"]), (&"10.0.1.1".into(), &"up".into()));
    assert_eq!(rloc["about"], "172.0.1.0/24");
    assert_eq!(rloc["pairs"][0]["state"], "down");
    assert_eq!(rloc["pairs"][1]["state"], "up");
}

impl Site {
    /// The states of the pairs of the first RLOC.
    pub(super) fn status_states(&self, now: Instant) -> Vec<&'static str> {
        let status = self.prober.status(now);
        status.rlocs[0]
            .pairs
            .iter()
            .map(|pair| match pair.state {
                super::super::State::Up => "up",
                super::super::State::Down => "down",
                super::super::State::Unknown => "unknown",
            })
            .collect()
    }
}
