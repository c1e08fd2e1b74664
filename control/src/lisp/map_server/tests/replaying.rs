//! Map-Registers sent again by somebody else (RFC 9301 §5.6).

use super::*;
use crate::lisp::config::Replay;

const ETR: &str = "203.0.113.1";
const EID: &str = "10.1.0.0/16";

/// A Map-Register with xTR-ID 1 and this nonce, signed.
fn numbered(world: &mut World, nonce: u64) -> Vec<u8> {
    let mut message = world.registering(vec![record(EID, &[ETR])]);
    (message.nonce, message.xtr) = (Nonce(nonce), Some(named(1)));
    signed_register(&message, KEY)
}

fn strict() -> World {
    World::with_site(&[EID], |site| site.replay = Replay::Strict)
}

#[test]
fn strict_takes_no_message_twice_not_even_after_a_crash() {
    let mut world = strict();
    let first = numbered(&mut world, 100);
    assert_eq!(world.deliver_register(ETR, &first).refusals(), []);
    assert_eq!(world.deliver_register(ETR, &first).refusals(), [Refusal::Replayed]);
    let older = numbered(&mut world, 99);
    assert_eq!(world.deliver_register(ETR, &older).refusals(), [Refusal::Replayed]);

    let config = world.config();
    world.restart(config);
    assert_eq!(world.deliver_register(ETR, &first).refusals(), [Refusal::Replayed]);
    let later = numbered(&mut world, 110);
    assert_eq!(world.deliver_register(ETR, &later).refusals(), []);
}

#[test]
fn replay_from_elsewhere_changes_nothing() {
    let mut world = strict();
    let old = numbered(&mut world, 1);
    world.deliver_register(ETR, &old);
    let mut moved = world.registering(vec![record(EID, &["203.0.113.2"])]);
    (moved.nonce, moved.xtr) = (Nonce(2), Some(named(1)));
    world.send_register(ETR, &moved, KEY);
    assert_eq!(world.deliver_register("198.51.100.66", &old).refusals(), [Refusal::Replayed]);
    assert_eq!(world.locators(EID), ["203.0.113.2"]);
}

#[test]
fn most_renewals_are_not_written() {
    let mut world = strict();
    let mut stores = 0;
    for nonce in 1..=30 {
        let message = numbered(&mut world, nonce);
        stores += world.deliver_register(ETR, &message).stores();
        world.pass(secs(60));
    }
    assert_eq!(stores, 1 + 10, "the registration, and every third nonce");
}

#[test]
fn orderly_end_refuses_nobody_afterwards() {
    let mut world = strict();
    for nonce in 1..=50 {
        let message = numbered(&mut world, nonce);
        world.deliver_register(ETR, &message);
    }
    let mut out = Actions::default();
    world.server.shutdown(&mut out);
    world.done(out);
    let config = world.config();
    world.restart(config);
    let last = numbered(&mut world, 50);
    assert_eq!(world.deliver_register(ETR, &last).refusals(), [Refusal::Replayed]);
    let next = numbered(&mut world, 51);
    assert_eq!(world.deliver_register(ETR, &next).refusals(), []);
}

#[test]
fn burst_is_settled_when_it_is_over() {
    let mut world = strict();
    for nonce in 1..=200 {
        let message = numbered(&mut world, nonce);
        world.deliver_register(ETR, &message);
    }
    world.pass(secs(3));
    let config = world.config();
    world.restart(config);
    let refused: Vec<_> = (201..=205)
        .filter(|nonce| {
            let message = numbered(&mut world, *nonce);
            !world.deliver_register(ETR, &message).refusals().is_empty()
        })
        .collect();
    assert_eq!(refused, [201, 202], "a slow sender's share");
}

#[test]
fn another_key_starts_anew() {
    let mut world = strict();
    let message = numbered(&mut world, 500);
    world.deliver_register(ETR, &message);
    let mut config = world.config();
    config.sites[0].keys = vec![(0, config::Secret::new(b"new".as_slice()))];
    world.reconfigure(config.clone());
    let mut anew = world.registering(vec![record(EID, &[ETR])]);
    (anew.nonce, anew.xtr) = (Nonce(1), Some(named(1)));
    assert_eq!(world.send_register(ETR, &anew, b"new").refusals(), []);

    config.sites[0].keys = vec![(0, config::Secret::new(b"newer".as_slice()))];
    world.restart(config);
    assert_eq!(world.send_register(ETR, &anew, b"newer").refusals(), [], "changed while down");
}

#[test]
fn each_xtr_counts_for_itself() {
    let mut world = strict();
    let message = numbered(&mut world, 500);
    world.deliver_register(ETR, &message);
    let mut other = world.registering(vec![record(EID, &[ETR])]);
    (other.nonce, other.xtr) = (Nonce(1), Some(named(2)));
    assert_eq!(world.send_register(ETR, &other, KEY).refusals(), []);
}

#[test]
fn auto_is_strict_with_those_that_count() {
    let mut world = World::with_site(&[EID], |_| {});
    let messages: Vec<_> = (1..=6).map(|nonce| numbered(&mut world, nonce)).collect();
    for message in &messages {
        assert_eq!(world.deliver_register(ETR, message).refusals(), []);
    }
    assert_eq!(world.deliver_register(ETR, &messages[2]).refusals(), [Refusal::Replayed]);
    let config = world.config();
    world.restart(config);
    assert_eq!(world.deliver_register(ETR, &messages[5]).refusals(), [Refusal::Replayed]);
}

#[test]
fn auto_and_off_live_with_random_nonces() {
    for policy in [Replay::Auto, Replay::Off] {
        let mut world = World::with_site(&[EID], |site| site.replay = policy);
        let mut random = Random::new([9; 32]);
        for _ in 0..2000 {
            let message = numbered(&mut world, random.u64());
            assert_eq!(world.deliver_register(ETR, &message).refusals(), []);
        }
        assert_eq!(world.disk.len(), 1, "no nonce was written");
    }
}
