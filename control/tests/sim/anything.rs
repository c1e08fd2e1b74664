//! Nothing anybody sends brings a router down.

use std::net::SocketAddr;
use std::time::Duration;
use weft_control::engine::Random;
use weft_control::lisp::config::Resolve;

use crate::network::Quality;
use crate::places::{Xtr, mapping_system};
use crate::world::{Seed, World};

const ADDRESSES: [&str; 4] = ["198.51.100.2", "192.0.2.1", "203.0.113.1", "192.0.2.2"];

/// Real messages, damaged and sent to the wrong places, over and over.
#[test]
fn damaged_messages() {
    let seed = Seed(Seed::fresh());
    let mut world = World::new(seed.0, Quality::GOOD);
    world.add(mapping_system("ms", ADDRESSES[0], Resolve::Local));
    let one = world.add(Xtr::new(1, &ADDRESSES[1..3], &ADDRESSES[..1]).node());
    let two = world.add(Xtr::new(2, &ADDRESSES[3..], &ADDRESSES[..1]).node());
    world.collected = Some(Vec::new());
    for (at, from, to) in [(one, "10.1.0.1", "10.2.0.1"), (two, "10.2.0.1", "10.1.0.1")] {
        world.flow(at, from, to, Duration::from_millis(100), 200);
    }
    world.run(20.0);
    world.set_uplink(one, ADDRESSES[1], false);
    world.run(10.0);
    world.set_uplink(one, ADDRESSES[1], true);
    world.run(10.0);
    let messages = world.collected.take().unwrap();
    for _ in 0..50_000 {
        let mut random = world.random.fork();
        let mut bytes = messages[pick(&mut random, messages.len())].clone();
        damage(&mut bytes, &mut random);
        let from = ADDRESSES[pick(&mut random, ADDRESSES.len())];
        let to = ADDRESSES[pick(&mut random, ADDRESSES.len())];
        let from = SocketAddr::new(from.parse().unwrap(), 4342);
        world.inject(from, to, &bytes);
        world.run_for(Duration::from_millis(5));
    }
    let first = world.packets();
    world.flow(two, "10.2.0.5", "10.1.0.5", Duration::from_secs(1), 20);
    world.run(60.0);
    let (sent, delivered) = world.delivered_since(first);
    assert!(delivered + 2 >= sent && sent > 0, "{delivered} of {sent}");
}

/// Some octets differ, are missing, or are too many.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        let at = pick(random, bytes.len());
        if let Some(octet) = bytes.get_mut(at) {
            *octet = random.u64().to_be_bytes()[0];
        }
    }
    match random.below(8) {
        0 => bytes.truncate(pick(random, bytes.len())),
        1 => bytes.extend(random.u64().to_be_bytes()),
        _ => {}
    }
}

fn pick(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}
