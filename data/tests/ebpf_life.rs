//! A program that grows, and one that outlives its process, while packets flow.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod lab;

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lab::fast::{index, now, ports, refused};
use lab::{A, HOST_B, Lab, Plane};
use weft_data::ebpf::{Port, SharedPorts};
use weft_data::tun::Options;
use weft_fib::{Change, Encapsulation, GroupId, Route, Source};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

/// A folder for links, gone when dropped.
struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("weft-pins-{}-{name}", std::process::id())))
    }

    /// How many links there are. The kernel has files of its own in the folder.
    fn links(&self) -> usize {
        let files = fs::read_dir(&self.0).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("ingress-") || name.starts_with("arrival-")).count()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// Pings host B every millisecond while `work` is done; the number of packets sent and lost.
fn under_ping<T>(lab: &Lab, work: impl FnOnce() -> T) -> (T, u32, u32) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let pings = scope.spawn(|| {
            let (mut sent, mut got) = (0, 0);
            while sent == 0 || !done.load(Ordering::Relaxed) {
                let (said, _) = lab.run("ha", "ping -n -q -i 0.001 -c 500 -W 5 10.2.0.2");
                let words: Vec<&str> = said.split_whitespace().collect();
                let count = |word: &str| {
                    let place = words.iter().position(|other| other.starts_with(word)).unwrap();
                    words[..place].iter().rev().find_map(|w| w.parse::<u32>().ok()).unwrap()
                };
                sent += count("transmitted");
                got += count("received");
            }
            (sent, sent - got)
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        let (sent, lost) = pings.join().unwrap();
        (result, sent, lost)
    })
}

/// Packets that went by the portable plane.
fn slow(plane: &Plane) -> u64 {
    let counters = plane.tun.counters();
    counters.encapsulated.v4.packets + counters.decapsulated.v4.packets
}

#[test]
fn tables_grow_under_traffic_and_lose_nothing() {
    if refused() {
        return;
    }
    const ROUTES: u32 = 100_000;
    let lab = Lab::new(1400);
    let [mut a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    lab.ping(HOST_B[0]);
    let loads = a.ebpf.as_ref().unwrap().loads();
    let before = slow(&a);
    let ((), sent, lost) = under_ping(&lab, || {
        for n in 0..ROUTES {
            let network = Ipv4Addr::from_bits(0x1400_0000 + n * 256);
            let prefix = Prefix::new(network.into(), 24).unwrap();
            let eid = EidPrefix::new(InstanceId::DEFAULT, prefix);
            let route = Route::Encapsulate(GroupId(1));
            a.fib.apply(Change::SetRoute { key: eid.into(), source: Source::Lisp, route });
            if n % 1000 == 0 {
                a.publish();
            }
        }
        a.publish();
    });
    assert_eq!(lost, 0, "of {sent}");
    assert!(a.ebpf.as_ref().unwrap().loads() > loads, "the tables had to grow");
    assert_eq!(slow(&a), before, "nothing went the other way meanwhile");
    let counters = a.fast();
    assert!(counters.encapsulated.v4.packets >= u64::from(sent), "{counters:?}");
    a.ebpf.as_mut().unwrap().sync_usage();
    let later = now() + Duration::from_secs(10);
    let before_they_go = a.fast();
    a.ebpf.as_mut().unwrap().sync_traffic(later);
    assert_eq!(a.fast().encapsulated, before_they_go.encapsulated, "programs of before count");
    let eid = "10.2.0.0/24".parse().unwrap();
    let routes = a.fib.routes(None);
    let usage = routes.iter().find(|route| route.key.eid.prefix == eid).unwrap().usage;
    assert!(usage.packets >= u64::from(sent), "{usage:?}");
}

#[test]
fn a_router_is_replaced_without_a_packet_lost() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let pins = Pins::new("replaced");
    let options = Options { udp_gro: false, ..Options::default() };
    let [mut a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    a.ebpf = None;
    a.ebpf = Some(lab.ebpf(A, &mut a, &options, Some(&pins.0)));
    lab.ping(HOST_B[0]);
    assert_eq!(pins.links(), 2);
    let before = slow(&a);
    let ((), sent, lost) = under_ping(&lab, || {
        for _ in 0..3 {
            a.ebpf.take().unwrap().detach(true);
            assert_eq!(pins.links(), 2);
            lab.transfer(HOST_B[0], 1 << 20);
            a.ebpf = Some(lab.ebpf(A, &mut a, &options, Some(&pins.0)));
        }
    });
    assert_eq!(lost, 0, "of {sent}");
    assert_eq!(slow(&a), before, "the program stayed where it was");
    let counted = a.fast().encapsulated.v4.packets;
    lab.ping(HOST_B[0]);
    assert!(a.fast().encapsulated.v4.packets > counted, "and it is the last one that works");
}

#[test]
fn a_router_that_stops_for_good_leaves_nothing() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let pins = Pins::new("stopped");
    let options = Options { udp_gro: false, ..Options::default() };
    let [mut a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    a.ebpf = None;
    a.ebpf = Some(lab.ebpf(A, &mut a, &options, Some(&pins.0)));
    lab.ping(HOST_B[0]);
    a.ebpf.take().unwrap().detach(false);
    assert_eq!(pins.links(), 0);
    let before = slow(&a);
    lab.ping(HOST_B[0]);
    assert!(slow(&a) > before, "the portable plane does it all");
}

#[test]
fn links_of_interfaces_that_are_gone_go_too() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let pins = Pins::new("gone");
    let options = Options { udp_gro: false, ..Options::default() };
    let [mut a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    a.ebpf = None;
    lab.ip("xa", "link add d0 type veth peer name d1");
    let mut ebpf = lab.ebpf(A, &mut a, &options, Some(&pins.0));
    lab.within("xa", || {
        let mut ports = ports(false).to_vec();
        ports.push(Port { interface: index("d0"), ..ports[0] });
        ebpf.set_ports(&ports).unwrap();
    });
    assert_eq!(pins.links(), 3);
    ebpf.detach(true);
    lab.ip("xa", "link del d0");
    assert_eq!(pins.links(), 3);
    a.ebpf = Some(lab.ebpf(A, &mut a, &options, Some(&pins.0)));
    assert_eq!(pins.links(), 2);
    lab.ping(HOST_B[0]);
}

#[test]
fn interfaces_that_do_not_exist_are_named_and_the_others_served() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [mut a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    let ebpf = a.ebpf.as_mut().unwrap();
    let error = lab.within("xa", || {
        let mut ports = ports(false).to_vec();
        ports.push(Port { interface: 9999, ..ports[0] });
        ebpf.set_ports(&ports).unwrap_err()
    });
    assert!(error.to_string().contains("9999"), "{error}");
    lab.ping(HOST_B[0]);
    assert!(a.fast().encapsulated.v4.packets > 0);
}

#[test]
fn what_joins_plain_lisp_stays_at_the_card_until_it_is_not_wanted() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let pins = Pins::new("cards");
    let take =
        || lab.within("xa", || SharedPorts::take(Encapsulation::Lisp, Some(&pins.0)).unwrap());
    let follow = |ports: &mut SharedPorts, cards: &[u32]| {
        lab.within("xa", || ports.join_plain(&cards.iter().copied().collect()))
    };
    let at_card = || {
        let (said, _) = lab.run("xa", "ip -o -d link show u0");
        said.split("prog/xdp id ").nth(1).map(|rest| rest.split(' ').next().unwrap().to_owned())
    };
    let card = lab.within("xa", || index("u0"));
    let mut ports = take();
    let refused = follow(&mut ports, &[card, LOOPBACK]);
    assert_eq!(refused, [(LOOPBACK, "its driver takes no XDP program".to_owned())]);
    let first = at_card().expect("and the other is served");

    lab.within("xa", || ports.leave());
    assert_eq!((at_card().as_ref(), pins.links()), (Some(&first), 1), "left behind");
    let mut ports = take();
    assert_eq!(at_card().as_ref(), Some(&first), "until the next knows what is wanted");
    assert_eq!(follow(&mut ports, &[card]), []);
    assert!(at_card().is_some_and(|second| second != first), "with addresses of its own");

    assert_eq!(follow(&mut ports, &[]), []);
    assert_eq!((at_card(), pins.links()), (None, 0), "not wanted any more");
    assert_eq!(follow(&mut ports, &[card]), []);
    lab.within("xa", || drop(ports));
    assert_eq!((at_card(), pins.links()), (None, 0), "stopped for good");
}

#[test]
fn a_card_with_the_program_of_another_is_left_to_that() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let pins = Pins::new("theirs");
    let [mut theirs, mut ours] = ["xa", "xb"].map(|node| {
        let pins = (node == "xa").then_some(pins.0.as_path());
        lab.within(node, || SharedPorts::take(Encapsulation::Lisp, pins).unwrap())
    });
    let card = lab.within("xa", || index("u0"));
    let join = |ports: &mut SharedPorts| lab.within("xa", || ports.join_plain(&[card].into()));
    assert_eq!(join(&mut theirs), []);
    assert_eq!(join(&mut ours), [(card, "another XDP program is there".to_owned())]);
}

const LOOPBACK: u32 = 1;
