//! What routers say to each other, line by line.

use std::time::Duration;
use weft_control::lisp::config::{Resolve, Secret};
use weft_packet::addr::InstanceId;

use crate::network::{Cut, Quality};
use crate::node::Fate;
use crate::places::{Xtr, mapping_system};
use crate::world::{NodeId, Status, World, address};

const MS: &str = "198.51.100.2";

/// Two sites with two uplinks each, and one router that is Map-Server and Map-Resolver.
struct Story {
    world: World,
    ms: NodeId,
    one: NodeId,
    two: NodeId,
}

fn quiet(number: u64, rlocs: &[&str]) -> Xtr {
    Xtr { probing: None, ..Xtr::new(number, rlocs, &[MS]) }
}

fn told(one: &Xtr, two: &Xtr) -> Story {
    let mut world = World::new(1, Quality::GOOD);
    let ms = world.add(mapping_system("ms", MS, Resolve::Local));
    let one = world.add(one.node());
    let two = world.add(two.node());
    Story { world, ms, one, two }
}

impl Story {
    fn listen(&mut self) {
        self.world.transcript.on = true;
    }

    /// The lines so far, but for those with one of these words.
    fn without(&mut self, words: &[&str]) -> String {
        let transcript = self.world.transcript.take();
        let lines = transcript.lines().filter(|line| !words.iter().any(|w| line.contains(w)));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn ping(&mut self) -> usize {
        let (source, destination) = (address("10.1.0.1"), address("10.2.0.1"));
        self.world.send(self.one, InstanceId::DEFAULT, source, destination)
    }
}

/// A registration is acknowledged; the next one comes a minute later with the next nonce.
#[test]
fn registration() {
    let mut world = World::new(1, Quality::GOOD);
    world.transcript.on = true;
    world.add(mapping_system("ms", MS, Resolve::Local));
    world.add(quiet(1, &["192.0.2.1", "203.0.113.1"]).node());
    world.run(70.0);
    insta::assert_snapshot!(world.transcript.take(), @r#"
         0.000  -- ms starts
         0.000  -- xtr1 starts
         0.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 1, ttl 3m, 192.0.2.1 1/100 203.0.113.1 1/100
         0.010  ms            ! sites: 10.1.0.0/16 registered
         0.010  ms > xtr1     map-notify 10.1.0.0/16 nonce 1, ttl 3m, 192.0.2.1 1/100 203.0.113.1 1/100
         0.020  xtr1          ! registered with 198.51.100.2: 1
        60.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 2, ttl 3m, 192.0.2.1 1/100 203.0.113.1 1/100
        60.010  ms > xtr1     map-notify 10.1.0.0/16 nonce 2, ttl 3m, 192.0.2.1 1/100 203.0.113.1 1/100
    "#);
}

/// A Map-Server that is away when the router starts is asked again and again, and found.
#[test]
fn registration_with_a_map_server_that_is_away() {
    let mut world = World::new(1, Quality::GOOD);
    let ms = world.add(mapping_system("ms", MS, Resolve::Local));
    world.crash(ms);
    world.transcript.on = true;
    world.add(quiet(1, &["192.0.2.1"]).node());
    world.run(20.0);
    world.boot(ms);
    world.run(20.0);
    insta::assert_snapshot!(world.transcript.take(), @r#"
         0.000  -- xtr1 starts
         0.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 1, ttl 3m, 192.0.2.1 1/100
         1.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 2, ttl 3m, 192.0.2.1 1/100
         3.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 3, ttl 3m, 192.0.2.1 1/100
         7.000  xtr1          ! lost 198.51.100.2: no Map-Notify after 3 Map-Registers for 10.1.0.0/16
         7.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 4, ttl 3m, 192.0.2.1 1/100
        15.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 5, ttl 3m, 192.0.2.1 1/100
        20.000  -- ms starts
        31.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 6, ttl 3m, 192.0.2.1 1/100
        31.010  ms            ! sites: 10.1.0.0/16 registered
        31.010  ms > xtr1     map-notify 10.1.0.0/16 nonce 6, ttl 3m, 192.0.2.1 1/100
        31.020  xtr1          ! registered with 198.51.100.2: 1
    "#);
}

/// The first packet waits for its mapping, the next does not.
#[test]
fn first_packet() {
    let mut story = told(&quiet(1, &["192.0.2.1"]), &quiet(2, &["192.0.2.2"]));
    story.world.run(5.0);
    story.listen();
    story.ping();
    story.world.run(1.0);
    story.ping();
    story.world.run(1.0);
    insta::assert_snapshot!(story.world.transcript.take(), @r#"
        5.000  xtr1 > ms     map-request 10.2.0.1/32 nonce #1, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        5.010  ms > xtr2     map-request 10.2.0.1/32 nonce #1, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        5.020  xtr2 > xtr1   map-reply 10.2.0.0/16 nonce #1, ttl 3m, 192.0.2.2 1/100
        5.030  xtr1          ! learned 10.2.0.0/16 from 192.0.2.2: ttl 3m, 192.0.2.2 1/100
        5.030  xtr1 > xtr2   packet 10.1.0.1 > 10.2.0.1 in 192.0.2.1 > 192.0.2.2
        5.040  xtr2          packet to 10.2.0.1 delivered
        6.000  xtr1 > xtr2   packet 10.1.0.1 > 10.2.0.1 in 192.0.2.1 > 192.0.2.2
        6.010  xtr2          packet to 10.2.0.1 delivered
    "#);
}

/// What no site holds is outside of LISP, and known to be for a while.
#[test]
fn packet_to_the_internet() {
    let mut story = told(&quiet(1, &["192.0.2.1"]), &quiet(2, &["192.0.2.2"]));
    story.world.run(5.0);
    story.listen();
    let (one, source) = (story.one, address("10.1.0.1"));
    for destination in ["8.8.8.8", "9.9.9.9", "10.77.0.1"] {
        story.world.send(one, InstanceId::DEFAULT, source, address(destination));
        story.world.run(1.0);
    }
    insta::assert_snapshot!(story.world.transcript.take(), @r#"
        5.000  xtr1 > ms     map-request 8.8.8.8/32 nonce #1, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        5.010  ms > xtr1     map-reply 8.0.0.0/7 nonce #1, ttl 15m, natively-forward
        5.020  xtr1          ! learned 8.0.0.0/7 from 198.51.100.2: ttl 15m, natively-forward
        5.020  xtr1          packet to 8.8.8.8 native
        6.000  xtr1          packet to 9.9.9.9 native
        7.000  xtr1 > ms     map-request 10.77.0.1/32 nonce #2, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        7.010  ms > xtr1     map-reply 10.64.0.0/10 nonce #2, ttl 1m, natively-forward
        7.020  xtr1          ! learned 10.64.0.0/10 from 198.51.100.2: ttl 1m, natively-forward
        7.020  xtr1          packet to 10.77.0.1 native
    "#);
}

/// A mapping in use is asked for again before it ends; packets never wait for it. Once it is out
/// of use it ends.
#[test]
fn refresh_and_expiry() {
    let mut story = told(&quiet(1, &["192.0.2.1"]), &quiet(2, &["192.0.2.2"]));
    story.world.run(5.0);
    story.ping();
    story.world.run(1.0);
    let every = Duration::from_secs(1);
    story.world.flow(story.one, "10.1.0.1", "10.2.0.1", every, 160);
    let first = story.world.packets();
    story.world.run(140.0);
    story.listen();
    story.world.run(600.0);
    let (sent, delivered) = story.world.delivered_since(first);
    assert_eq!(sent, delivered, "no packet waits or is lost");
    insta::assert_snapshot!(story.without(&["packet", "map-register", "map-notify"]), @r#"
        157.901  xtr1 > ms     map-request 10.2.0.0/16 nonce #1, for 192.0.2.1:4342 (encapsulated)
        157.911  ms > xtr2     map-request 10.2.0.0/16 nonce #1, for 192.0.2.1:4342 (encapsulated)
        157.921  xtr2 > xtr1   map-reply 10.2.0.0/16 nonce #1, ttl 3m, 192.0.2.2 1/100
        311.965  xtr1 > ms     map-request 10.2.0.0/16 nonce #2, for 192.0.2.1:4342 (encapsulated)
        311.975  ms > xtr2     map-request 10.2.0.0/16 nonce #2, for 192.0.2.1:4342 (encapsulated)
        311.985  xtr2 > xtr1   map-reply 10.2.0.0/16 nonce #2, ttl 3m, 192.0.2.2 1/100
        462.389  xtr1 > ms     map-request 10.2.0.0/16 nonce #3, for 192.0.2.1:4342 (encapsulated)
        462.399  ms > xtr2     map-request 10.2.0.0/16 nonce #3, for 192.0.2.1:4342 (encapsulated)
        462.409  xtr2 > xtr1   map-reply 10.2.0.0/16 nonce #3, ttl 3m, 192.0.2.2 1/100
        642.419  xtr1          ! removed 10.2.0.0/16: idle
    "#);
}

/// An uplink loses its carrier: the Map-Server hears of it, then the peer, which asks anew.
#[test]
fn solicit_map_request_after_a_locator_change() {
    let one = quiet(1, &["192.0.2.1"]);
    let mut story = told(&one, &quiet(2, &["192.0.2.2", "203.0.113.2"]));
    story.world.run(5.0);
    for (at, from, to) in [(story.one, "10.1.0.1", "10.2.0.1"), (story.two, "10.2.0.1", "10.1.0.1")]
    {
        story.world.flow(at, from, to, Duration::from_millis(200), 60);
    }
    story.world.run(10.0);
    story.listen();
    story.world.set_uplink(story.two, "192.0.2.2", false);
    story.world.run(10.0);
    let first = story.world.packets();
    story.world.run(5.0);
    let (sent, delivered) = story.world.delivered_since(first);
    assert_eq!(sent, delivered);
    insta::assert_snapshot!(story.without(&["packet"]), @r#"
        15.000  -- xtr2: 192.0.2.2 down
        15.000  xtr2          ! own 192.0.2.2 is down
        15.000  xtr2 > ms     map-register 10.2.0.0/16 nonce 2, ttl 3m, 203.0.113.2 1/100
        15.010  ms            ! sites: 10.2.0.0/16 changed
        15.010  ms > xtr2     map-notify 10.2.0.0/16 nonce 2, ttl 3m, 203.0.113.2 1/100
        15.020  xtr2 > xtr1   smr 10.2.0.0/16 nonce #1
        15.030  xtr1 > ms     smr-invoked-map-request 10.2.0.0/16 nonce #2, for 192.0.2.1:4342 (encapsulated)
        15.040  ms > xtr2     smr-invoked-map-request 10.2.0.0/16 nonce #2, for 192.0.2.1:4342 (encapsulated)
        15.050  xtr2 > xtr1   map-reply 10.2.0.0/16 nonce #2, ttl 3m, 203.0.113.2 1/100
        15.060  xtr1          ! learned 10.2.0.0/16 from 203.0.113.2: ttl 3m, 203.0.113.2 1/100
    "#);
}

/// A Map-Server that crashed answers at once for all it had acknowledged, and takes no old nonce.
#[test]
fn map_server_restart() {
    let mut story = told(&quiet(1, &["192.0.2.1"]), &quiet(2, &["192.0.2.2"]));
    story.world.run(30.0);
    story.listen();
    story.world.crash(story.ms);
    story.world.run(1.0);
    story.world.boot(story.ms);
    story.ping();
    story.world.run(50.0);
    insta::assert_snapshot!(story.world.transcript.take(), @r#"
        30.000  -- ms crashes
        31.000  -- ms starts
        31.000  xtr1 > ms     map-request 10.2.0.1/32 nonce #1, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        31.010  ms > xtr2     map-request 10.2.0.1/32 nonce #1, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        31.020  xtr2 > xtr1   map-reply 10.2.0.0/16 nonce #1, ttl 3m, 192.0.2.2 1/100
        31.030  xtr1          ! learned 10.2.0.0/16 from 192.0.2.2: ttl 3m, 192.0.2.2 1/100
        31.030  xtr1 > xtr2   packet 10.1.0.1 > 10.2.0.1 in 192.0.2.1 > 192.0.2.2
        31.040  xtr2          packet to 10.2.0.1 delivered
        60.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 2, ttl 3m, 192.0.2.1 1/100
        60.000  xtr2 > ms     map-register 10.2.0.0/16 nonce 2, ttl 3m, 192.0.2.2 1/100
        60.010  ms            ! refused map-register: replayed
        60.010  ms            ! refused map-register: replayed
        61.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 3, ttl 3m, 192.0.2.1 1/100
        61.000  xtr2 > ms     map-register 10.2.0.0/16 nonce 3, ttl 3m, 192.0.2.2 1/100
        61.010  ms            ! refused map-register: replayed
        61.010  ms            ! refused map-register: replayed
        63.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 4, ttl 3m, 192.0.2.1 1/100
        63.000  xtr2 > ms     map-register 10.2.0.0/16 nonce 4, ttl 3m, 192.0.2.2 1/100
        63.010  ms > xtr1     map-notify 10.1.0.0/16 nonce 4, ttl 3m, 192.0.2.1 1/100
        63.010  ms > xtr2     map-notify 10.2.0.0/16 nonce 4, ttl 3m, 192.0.2.2 1/100
    "#);
}

/// One of two ways swallows everything, unseen by the kernel: probes find out, packets move.
#[test]
fn black_hole() {
    let xtr = |number, rlocs| Xtr::new(number, rlocs, &[MS]);
    let one = xtr(1, &["192.0.2.1"]);
    let mut story = told(&one, &xtr(2, &["192.0.2.2", "203.0.113.2"]));
    story.world.run(5.0);
    for host in 1..=8 {
        let (a, b) = (format!("10.1.0.{host}"), format!("10.2.0.{host}"));
        story.world.flow(story.one, &a, &b, Duration::from_millis(250), 60);
        story.world.flow(story.two, &b, &a, Duration::from_millis(250), 60);
    }
    story.world.run(20.0);
    story.listen();
    story.world.cut(Cut::to(address("192.0.2.2")), "nothing gets to 192.0.2.2 any more");
    story.world.run(8.0);
    let first = story.world.packets();
    story.world.run(5.0);
    let (sent, delivered) = story.world.delivered_since(first);
    assert!(delivered + 16 >= sent, "{delivered} of {sent}: the last are on their way");
    insta::assert_snapshot!(story.without(&["packet", "reply"]), @r#"
        25.000  -- nothing gets to 192.0.2.2 any more
        25.750  xtr1 > xtr2   rloc-probe 192.0.2.1 > 192.0.2.2 (lost)
        26.070  xtr2 > xtr1   rloc-probe 192.0.2.2 > 192.0.2.1
        26.320  xtr2 > xtr1   rloc-probe 192.0.2.2 > 192.0.2.1
        26.320  xtr2 > xtr1   rloc-probe 203.0.113.2 > 192.0.2.1
        26.750  xtr1 > xtr2   rloc-probe 192.0.2.1 > 192.0.2.2 (lost)
        27.000  xtr1 > xtr2   rloc-probe 192.0.2.1 > 192.0.2.2 (lost)
        27.000  xtr1 > xtr2   rloc-probe 192.0.2.1 > 203.0.113.2
        27.070  xtr2 > xtr1   rloc-probe 192.0.2.2 > 192.0.2.1
        27.320  xtr2 > xtr1   rloc-probe 192.0.2.2 > 192.0.2.1
        27.750  xtr1 > xtr2   rloc-probe 192.0.2.1 > 192.0.2.2 (lost)
        28.000  xtr1 > xtr2   rloc-probe 192.0.2.1 > 192.0.2.2 (lost)
        28.070  xtr2 > xtr1   rloc-probe 192.0.2.2 > 192.0.2.1
        28.320  xtr2 > xtr1   rloc-probe 192.0.2.2 > 192.0.2.1
        28.750  xtr1 > xtr2   rloc-probe 192.0.2.1 > 192.0.2.2 (lost)
        29.000  xtr1 > xtr2   rloc-probe 192.0.2.1 > 192.0.2.2 (lost)
        29.070  xtr2          ! own 192.0.2.2 is down
        29.070  xtr2 > ms     map-register 10.2.0.0/16 nonce 2, ttl 3m, 203.0.113.2 1/100
        29.080  ms            ! sites: 10.2.0.0/16 changed
        29.080  ms > xtr2     map-notify 10.2.0.0/16 nonce 2, ttl 3m, 203.0.113.2 1/100
        29.090  xtr2 > xtr1   smr 10.2.0.0/16 nonce #1
        29.100  xtr1 > ms     smr-invoked-map-request 10.2.0.0/16 nonce #2, for 192.0.2.1:4342 (encapsulated)
        29.110  ms > xtr2     smr-invoked-map-request 10.2.0.0/16 nonce #2, for 192.0.2.1:4342 (encapsulated)
        29.130  xtr1          ! learned 10.2.0.0/16 from 203.0.113.2: ttl 3m, 203.0.113.2 1/100
        31.750  xtr2 > xtr1   rloc-probe 192.0.2.2 > 192.0.2.1
        31.750  xtr2 > xtr1   rloc-probe 203.0.113.2 > 192.0.2.1
        33.500  xtr1 > xtr2   rloc-probe 192.0.2.1 > 203.0.113.2
    "#);
}

/// A router that is stopped takes its registration back; its site is not found any more.
#[test]
fn shutdown() {
    let mut story = told(&quiet(1, &["192.0.2.1"]), &quiet(2, &["192.0.2.2"]));
    story.world.run(30.0);
    story.listen();
    story.world.input(story.two, &mut |lisp, now, out| lisp.shutdown(now, out));
    story.world.crash(story.two);
    story.world.run(1.0);
    let packet = story.ping();
    story.world.run(1.0);
    assert_eq!(story.world.status(packet), Status::At(story.one, Fate::Native));
    insta::assert_snapshot!(story.world.transcript.take(), @r#"
        30.000  xtr2 > ms     map-register 10.2.0.0/16 nonce 2, withdrawn
        30.000  -- xtr2 crashes
        30.010  ms            ! sites: 10.2.0.0/16 withdrawn
        31.000  xtr1 > ms     map-request 10.2.0.1/32 nonce #1, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        31.010  ms > xtr1     map-reply 10.2.0.0/15 nonce #1, ttl 1m, natively-forward
        31.020  xtr1          ! learned 10.2.0.0/15 from 198.51.100.2: ttl 1m, natively-forward
        31.020  xtr1          packet to 10.2.0.1 native
    "#);
}

/// A Map-Server answers for a site that asked it to; the site is not troubled.
#[test]
fn proxy_reply() {
    let two = Xtr { proxy_reply: true, ..quiet(2, &["192.0.2.2"]) };
    let mut story = told(&quiet(1, &["192.0.2.1"]), &two);
    story.world.run(5.0);
    story.listen();
    story.ping();
    story.world.run(1.0);
    insta::assert_snapshot!(story.world.transcript.take(), @r#"
        5.000  xtr1 > ms     map-request 10.2.0.1/32 nonce #1, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        5.010  ms > xtr1     map-reply 10.2.0.0/16 nonce #1, ttl 3m, 192.0.2.2 1/100
        5.020  xtr1          ! learned 10.2.0.0/16 from 198.51.100.2: ttl 3m, 192.0.2.2 1/100
        5.020  xtr1 > xtr2   packet 10.1.0.1 > 10.2.0.1 in 192.0.2.1 > 192.0.2.2
        5.030  xtr2          packet to 10.2.0.1 delivered
    "#);
}

/// The first Map-Resolver is dead: the next one is asked, and stays the one that is asked.
#[test]
fn resolver_failover() {
    let one = Xtr {
        map_resolvers: vec![address("198.51.100.9"), address(MS)],
        ..quiet(1, &["192.0.2.1"])
    };
    let mut story = told(&one, &quiet(2, &["192.0.2.2"]));
    story.world.run(5.0);
    story.listen();
    story.ping();
    story.world.run(10.0);
    story.world.send(story.one, InstanceId::DEFAULT, address("10.1.0.1"), address("8.8.8.8"));
    story.world.run(1.0);
    insta::assert_snapshot!(story.world.transcript.take(), @r#"
         5.000  xtr1 > 198.51.100.9 map-request 10.2.0.1/32 nonce #1, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
         6.000  xtr1 > ms     map-request 10.2.0.1/32 nonce #2, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
         6.010  ms > xtr2     map-request 10.2.0.1/32 nonce #2, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
         6.020  xtr2 > xtr1   map-reply 10.2.0.0/16 nonce #2, ttl 3m, 192.0.2.2 1/100
         6.030  xtr1          ! asks 198.51.100.2 instead of 198.51.100.9
         6.030  xtr1          ! learned 10.2.0.0/16 from 192.0.2.2: ttl 3m, 192.0.2.2 1/100
         6.030  xtr1 > xtr2   packet 10.1.0.1 > 10.2.0.1 in 192.0.2.1 > 192.0.2.2
         6.040  xtr2          packet to 10.2.0.1 delivered
        15.000  xtr1 > ms     map-request 8.8.8.8/32 nonce #3, asked by 10.1.0.1, for 192.0.2.1:4342 (encapsulated)
        15.010  ms > xtr1     map-reply 8.0.0.0/7 nonce #3, ttl 15m, natively-forward
        15.020  xtr1          ! learned 8.0.0.0/7 from 198.51.100.2: ttl 15m, natively-forward
        15.020  xtr1          packet to 8.8.8.8 native
    "#);
}

/// A site with another key than the Map-Server's is refused, and says so itself.
#[test]
fn wrong_key() {
    let mut world = World::new(1, Quality::GOOD);
    world.add(mapping_system("ms", MS, Resolve::Local));
    world.transcript.on = true;
    let mut node = quiet(1, &["192.0.2.1"]).node();
    if let Some(etr) = &mut node.config.etr {
        etr.map_servers[0].key = Secret::new("apples");
    }
    world.add(node);
    world.run(10.0);
    insta::assert_snapshot!(world.transcript.take(), @r#"
        0.000  -- xtr1 starts
        0.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 1, ttl 3m, 192.0.2.1 1/100
        0.010  ms            ! refused map-register: wrong-key
        1.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 2, ttl 3m, 192.0.2.1 1/100
        1.010  ms            ! refused map-register: wrong-key
        3.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 3, ttl 3m, 192.0.2.1 1/100
        3.010  ms            ! refused map-register: wrong-key
        7.000  xtr1          ! lost 198.51.100.2: no Map-Notify after 3 Map-Registers for 10.1.0.0/16
        7.000  xtr1 > ms     map-register 10.1.0.0/16 nonce 4, ttl 3m, 192.0.2.1 1/100
        7.010  ms            ! refused map-register: wrong-key
    "#);
}

/// A reload that adds one EID-prefix and removes another touches nothing else: a flow to a third
/// loses no packet.
#[test]
fn reload_under_traffic() {
    let mut two = quiet(2, &["192.0.2.2"]);
    two.eids = vec!["10.2.0.0/16".to_owned(), "10.20.0.0/16".to_owned()];
    let mut story = told(&quiet(1, &["192.0.2.1"]), &two);
    story.world.run(5.0);
    story.ping();
    story.world.run(1.0);
    story.world.flow(story.one, "10.1.0.1", "10.2.0.1", Duration::from_millis(50), 5);
    let first = story.world.packets();
    story.world.run(2.0);
    story.listen();
    two.eids = vec!["10.2.0.0/16".to_owned(), "10.22.0.0/16".to_owned()];
    let config = two.config();
    story.world.reload(story.two, &config, "10.20.0.0/16 goes, 10.22.0.0/16 comes");
    story.world.run(10.0);
    let (sent, delivered) = story.world.delivered_since(first);
    assert_eq!(sent, delivered);
    insta::assert_snapshot!(story.without(&["packet"]), @r#"
        8.000  -- xtr2: 10.20.0.0/16 goes, 10.22.0.0/16 comes
        8.000  xtr2 > ms     map-register 10.2.0.0/16 nonce 2, ttl 3m, 192.0.2.2 1/100, 1 more records
        8.000  xtr2 > ms     map-register 10.20.0.0/16 nonce 3, withdrawn
        8.010  ms            ! sites: 10.22.0.0/16 registered
        8.010  ms > xtr2     map-notify 10.2.0.0/16 nonce 2, ttl 3m, 192.0.2.2 1/100, 1 more records
        8.010  ms            ! sites: 10.20.0.0/16 withdrawn
        8.010  ms > xtr2     map-notify 10.20.0.0/16 nonce 3, withdrawn
    "#);
}
