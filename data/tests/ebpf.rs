//! The program in front of the portable plane: it carries what it can, and nobody notices what it
//! cannot. Needs root and a kernel that takes the program; each test makes its own network
//! namespaces.

mod lab;

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use lab::fast::{index, now, ports, refused};
use lab::{A, B, ENCAPSULATIONS, HOST_A, HOST_B, KERNELS, Lab, Plane, options_for};
use weft_data::ebpf::{Instance, Port};
use weft_data::tun::{MssClamp, Options, SourceCheck};
use weft_fib::{Change, DropReason, Encapsulation, GroupId, Route, Source};
use weft_packet::addr::{EidPrefix, InstanceId};

#[test]
fn every_encapsulation_is_carried_in_the_kernel() {
    if refused() {
        return;
    }
    for encapsulation in ENCAPSULATIONS {
        for ipv6_outer in [false, true] {
            let lab = Lab::new(1400);
            let [a, b] = lab.fast_planes(encapsulation, ipv6_outer);
            for address in HOST_B {
                let answer = lab.ping(address);
                assert!(answer.contains("ttl=62"), "{answer}");
                let arrived = lab.transfer(address, 8 << 20);
                assert!(arrived, "{encapsulation} to {address}, IPv6 outside: {ipv6_outer}");
                assert_eq!(lab.echo(address, 1000, 1200), 1000);
            }
            let (sent, got) = (a.fast(), b.fast());
            let what = format!("{encapsulation}, IPv6 outside: {ipv6_outer}: {sent:?} {got:?}");
            for (encapsulated, decapsulated) in [
                (sent.encapsulated.v4, got.decapsulated.v4),
                (sent.encapsulated.v6, got.decapsulated.v6),
            ] {
                assert!(encapsulated.packets > 6000 && encapsulated.bytes > 8 << 20, "{what}");
                assert!(decapsulated.packets > 6000 && decapsulated.bytes > 8 << 20, "{what}");
            }
            assert_eq!((sent.failed, got.failed), (0, 0));
            let slow = (a.tun.counters().encapsulated, b.tun.counters().decapsulated);
            let few = slow.0.v4.packets + slow.0.v6.packets + slow.1.v4.packets + slow.1.v6.packets;
            assert!(few < 100, "nearly all went by the program: {slow:?} {what}");
        }
    }
}

#[test]
fn a_program_and_a_portable_plane_understand_each_other() {
    if refused() {
        return;
    }
    for encapsulation in ENCAPSULATIONS {
        for ipv6_outer in [false, true] {
            for fast in [A, B] {
                let lab = Lab::new(1400);
                let planes = [A, B].map(|site| {
                    let mut plane = if site == fast {
                        lab.fast_plane(site, ipv6_outer, options_for(encapsulation))
                    } else {
                        lab.plane(site, ipv6_outer, 1500, options_for(encapsulation))
                    };
                    plane.map(1 - site, encapsulation, ipv6_outer);
                    plane
                });
                for address in HOST_B {
                    assert!(lab.ping(address).contains("ttl=62"));
                    let what = format!("{encapsulation} to {address}, program at {fast}");
                    assert!(lab.transfer(address, 4 << 20), "{what}");
                    assert_eq!(lab.echo(address, 500, 1200), 500, "{what}");
                }
                for address in HOST_A {
                    let what = format!("{encapsulation} back to {address}, program at {fast}");
                    assert!(lab.transfer_back(address, 4 << 20), "{what}");
                    // One buffer with many datagrams: the portable plane's, or the host's.
                    assert!(lab.burst_back(address, 40_000), "{what}");
                }
                let counters = planes[fast].fast();
                assert!(counters.encapsulated.v4.packets > 500, "{counters:?}");
                assert_eq!(counters.failed, 0);
                if fast == A {
                    assert!(counters.left("batch") > 0, "many datagrams in a buffer: {counters:?}");
                }
            }
        }
    }
}

#[test]
fn the_kernels_own_tunnel_endpoint_understands_the_program() {
    if refused() {
        return;
    }
    for (encapsulation, ipv6_outer) in KERNELS {
        let lab = Lab::new(1400);
        let mut a = lab.fast_plane(A, ipv6_outer, options_for(encapsulation));
        a.map(B, encapsulation, ipv6_outer);
        lab.kernel_peer(encapsulation, ipv6_outer);
        for (there, back) in HOST_B.into_iter().zip(HOST_A) {
            lab.ping(there);
            let what = format!("{encapsulation}, IPv6 outside: {ipv6_outer}");
            assert!(lab.transfer(there, 8 << 20), "to {there}, {what}");
            assert!(lab.transfer_back(back, 8 << 20), "to {back}, {what}");
            assert!(lab.burst_back(back, 9500), "to {back}, {what}");
        }
        let counters = a.fast();
        for volume in [counters.encapsulated.v4, counters.decapsulated.v6] {
            assert!(volume.bytes > 8 << 20, "{counters:?}");
        }
        assert_eq!(counters.failed, 0);
    }
}

#[test]
fn too_big_packets_are_reported_by_the_portable_plane() {
    if refused() {
        return;
    }
    for (encapsulation, mtu) in [(Encapsulation::Lisp, 1464), (Encapsulation::Vxlan, 1450)] {
        let lab = Lab::new(1500);
        let [a, _b] = lab.fast_planes(encapsulation, false);
        for (address, headers) in HOST_B.into_iter().zip([28, 48]) {
            lab.ping(address);
            let before = a.fast().left("too-big");
            let fits = format!("ping -n -c 1 -W 5 -M do -s {} {address}", mtu - headers);
            assert!(lab.run("ha", &fits).1, "{encapsulation} to {address}");
            assert_eq!(a.fast().left("too-big"), before);
            let large = format!("ping -n -c 1 -W 5 -M do -s {} {address}", mtu + 1 - headers);
            let (said, _) = lab.run("ha", &large);
            let told = [format!("mtu = {mtu}"), format!("mtu={mtu}")];
            assert!(told.iter().any(|told| said.contains(told)), "{said}");
            assert!(a.fast().left("too-big") > before);
        }
        let (said, answered) = lab.run("ha", "ping -n -c 1 -W 5 -M dont -s 1472 10.2.0.2");
        assert!(answered, "fragmented: {said}");
        for address in HOST_B {
            assert!(lab.transfer(address, 4 << 20), "TCP learns the size too");
        }
        assert!(a.fast().encapsulated.v4.bytes > 4 << 20);
    }
}

#[test]
fn what_the_program_does_not_understand_goes_the_other_way() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    for address in HOST_B {
        lab.ping(address);
        let (said, answered) = lab.run("ha", &format!("ping -n -c 2 -W 5 -s 4000 {address}"));
        assert!(answered, "fragments: {said}");
    }
    let (said, answered) = lab.run("ha", "ping -n -c 1 -W 5 -R 10.2.0.2");
    assert!(answered, "IPv4 options: {said}");
    for address in HOST_B {
        let (said, _) = lab.run("ha", &format!("ping -n -c 1 -W 5 -t 1 {address}"));
        assert!(said.contains("ime exceeded") || said.contains("ime to live"), "{said}");
    }
    let counters = a.fast();
    for reason in ["fragment", "headers", "ttl"] {
        assert!(counters.left(reason) > 0, "{reason}: {counters:?}");
    }
    assert_eq!(counters.failed, 0);
}

#[test]
fn a_first_packet_waits_and_those_behind_it_fly() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let mut a = lab.fast_plane(A, false, Options::default());
    let mut b = lab.fast_plane(B, false, Options::default());
    b.map(A, Encapsulation::Lisp, false);
    a.route(B, Route::Resolve);
    let answers = std::thread::scope(|scope| {
        let ping = scope.spawn(|| lab.run("ha", "ping -n -c 20 -i 0.1 -W 5 10.2.0.2"));
        a.upcalls.recv_timeout(Duration::from_secs(20)).unwrap();
        a.map(B, Encapsulation::Lisp, false);
        ping.join().unwrap().0
    });
    assert!(answers.contains("20 received"), "none was lost: {answers}");
    assert!(a.tun.counters().released > 0);
    assert!(a.fast().encapsulated.v4.packets > 10, "{:?}", a.fast());
}

#[test]
fn routes_that_change_take_packets_off_the_program() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [mut a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    lab.ping(HOST_B[0]);
    a.route(B, Route::Drop(DropReason::PolicyDenied));
    // What the program remembers of the tables it forgets at once.
    let refused = || lab.run("ha", "ping -n -c 1 -W 5 10.2.0.2").0.contains("Packet filtered");
    assert!(refused());
    let before = a.fast().encapsulated.v4.packets;
    assert!(refused());
    assert_eq!(a.fast().encapsulated.v4.packets, before);
    a.set("10.2.0.2/32", Route::Encapsulate(GroupId(1)));
    lab.ping(HOST_B[0]);
    assert!(a.fast().encapsulated.v4.packets > before);
}

#[test]
fn locators_that_are_ours_no_more_are_forgotten_at_once() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let mut a = lab.fast_plane(A, false, Options::default());
    let mut b = lab.fast_plane(B, false, Options::default());
    a.map(B, Encapsulation::Lisp, false);
    let send = || lab.run("ha", "ping -n -c 1 -W 1 10.2.0.2");
    send();
    let before = b.fast().decapsulated.v4.packets;
    assert!(before > 0);
    b.ebpf.as_mut().unwrap().set_locals(&[]);
    send();
    assert_eq!(b.fast().decapsulated.v4.packets, before, "the portable plane's");
}

#[test]
fn packets_are_counted_in_the_forwarding_table() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [mut a, mut b] = lab.fast_planes(Encapsulation::Lisp, false);
    assert!(lab.transfer(HOST_B[0], 4 << 20));
    for plane in [&mut a, &mut b] {
        plane.ebpf.as_mut().unwrap().sync_traffic(now());
        plane.ebpf.as_mut().unwrap().sync_usage();
        plane.set("10.9.0.0/24", Route::Local); // what was cached is void
    }
    assert!(lab.transfer(HOST_B[0], 4 << 20));
    for plane in [&mut a, &mut b] {
        plane.ebpf.as_mut().unwrap().sync_traffic(now());
        plane.ebpf.as_mut().unwrap().sync_usage();
    }
    let routes = a.fib.routes(None);
    let eid = "10.2.0.0/24".parse().unwrap();
    let usage = routes.iter().find(|route| route.key.eid.prefix == eid).unwrap().usage;
    assert!(usage.bytes > 8 << 20 && usage.packets > 6000, "{usage:?}");
    let [sent] = a.fib.traffic()[..] else { panic!("one pair: {:?}", a.fib.traffic()) };
    let [got] = b.fib.traffic()[..] else { panic!("one pair: {:?}", b.fib.traffic()) };
    assert!(sent.sent > 6000 && got.received == sent.sent, "{sent:?} {got:?}");
}

#[test]
fn what_each_prefix_carried_is_known_whoever_else_sends() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [mut a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    // The verdicts on these share two places, so they keep making room for each other.
    let hosts = [[10, 2, 0, 2], [10, 2, 128, 1], [10, 3, 0, 0]];
    let eids = hosts.map(|host| format!("{}/32", Ipv4Addr::from(host)));
    for eid in &eids {
        a.set(eid, Route::Encapsulate(GroupId(1)));
    }
    let mut wire = lab.wire("ha", "e0");
    let frames = hosts.map(|host| lab.frame(&[], host));
    let before = a.fast().encapsulated.v4.packets;
    let sent = |turns: u64| turns * frames.len() as u64;
    let count = |a: &Plane| a.fast().encapsulated.v4.packets - before;
    for turn in 1..=10 {
        for frame in &frames {
            wire.send(frame);
        }
        let arrived = |a: &Plane| count(a) == sent(turn);
        (0..100).take_while(|_| !arrived(&a)).for_each(|_| sleep(Duration::from_millis(20)));
        if turn % 4 == 0 {
            a.set(&format!("10.9.{turn}.0/24"), Route::Local);
        }
        if turn % 2 == 0 {
            a.ebpf.as_mut().unwrap().sync_usage();
        }
    }
    assert_eq!(count(&a), sent(10));
    for (eid, host) in eids.iter().zip(hosts) {
        let eid = EidPrefix::new(InstanceId::DEFAULT, eid.parse().unwrap());
        let usage = a.fib.usage(eid).unwrap();
        assert_eq!((usage.packets, usage.bytes), (10, 280), "to {host:?}");
    }
}

#[test]
fn an_mss_clamp_sees_every_connection() {
    if refused() {
        return;
    }
    let lab = Lab::new(1500);
    let [mut a, mut b] = lab.fast_planes(Encapsulation::Lisp, false);
    let options = Options { mss_clamp: MssClamp::Auto, udp_gro: false, ..Options::default() };
    for plane in [&mut a, &mut b] {
        plane.tun.set_options(options.clone());
        plane.ebpf.as_mut().unwrap().set_options(&options);
    }
    for address in HOST_B {
        lab.ping(address);
        assert!(lab.transfer(address, 4 << 20));
    }
    assert_eq!(a.tun.counters().dropped(DropReason::TooBig), 0);
    assert!(a.fast().left("syn") > 0 && a.fast().encapsulated.v4.bytes > 4 << 20);
}

#[test]
fn packets_reach_containers_directly() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [_a, mut b] = lab.fast_planes(Encapsulation::Lisp, false);
    lab.within("xb", || b.ebpf.as_mut().unwrap().set_ports(&ports(true)).unwrap());
    for address in HOST_B {
        assert!(lab.ping(address).contains("ttl=62"));
        assert!(lab.transfer(address, 4 << 20));
    }
    assert!(b.fast().decapsulated.v4.bytes > 4 << 20);
    assert_eq!(b.fast().failed, 0);
}

#[test]
fn programs_of_others_see_what_is_not_ours() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let (said, done) = lab.run("xa", "tc qdisc add dev h0 clsact");
    assert!(done, "{said}");
    let (said, done) = lab.run(
        "xa",
        "tc filter add dev h0 ingress protocol ip u32 match ip dst 10.1.0.1 action drop",
    );
    if !done {
        println!("skipped: {said}");
        return;
    }
    let [a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    lab.ping(HOST_B[0]);
    assert!(a.fast().encapsulated.v4.packets > 0);
    let (said, answered) = lab.run("ha", "ping -n -c 1 -W 1 10.1.0.1");
    assert!(!answered, "the filter of somebody else drops it: {said}");
}

/// A VLAN has an interface, and that a program, of its own.
#[test]
fn frames_of_a_vlan_are_none_of_its_card() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    lab.ping(HOST_B[0]);
    let mut wire = lab.wire("ha", "e0");
    let before = a.fast().encapsulated.v4.packets;
    let mut send = |tag: &[u8]| wire.send(&lab.frame(tag, [10, 2, 0, 2]));
    send(&[0x81, 0x00, 0, 5]);
    send(&[0x88, 0xa8, 0, 5]);
    send(&[0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6]);
    send(&[]);
    let count = || a.fast().encapsulated.v4.packets - before;
    (0..100).take_while(|_| count() == 0).for_each(|_| sleep(Duration::from_millis(20)));
    assert_eq!(count(), 1, "the one without a tag");
}

#[test]
fn packets_out_of_one_tunnel_go_into_another() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [mut a, mut b] = lab.fast_planes(Encapsulation::Lisp, false);
    let any = Options { decapsulate_any: true, udp_gro: false, ..Options::default() };
    let _c = lab.connect_third_site([&mut a, &mut b], &any);
    lab.ping("10.3.0.1");
    assert!(lab.transfer_between(["ha", "xc"], "10.3.0.1", 4 << 20));
    assert!(lab.transfer_between(["xc", "ha"], HOST_A[0], 4 << 20));
    // C's portable plane sends datagrams with checksums, which B's makes anew.
    let (portable, fast) = (b.tun.counters(), b.fast());
    assert!(portable.encapsulated.v4.bytes > 4 << 20, "{portable:?} {fast:?}");
    assert!(fast.encapsulated.v4.bytes > 4 << 20, "{portable:?} {fast:?}");
    assert!(fast.decapsulated.v4.bytes > 4 << 20, "{portable:?} {fast:?}");
    assert_eq!(fast.failed, 0);
}

#[test]
fn who_may_send_is_what_the_mapping_says_now() {
    if refused() {
        return;
    }
    for (ipv6_outer, rloc, other) in
        [(false, "192.0.2.1", "192.0.2.77"), (true, "2001:db8::1", "2001:db8::77")]
    {
        let lab = Lab::new(1400);
        let [_a, mut b] = lab.fast_planes(Encapsulation::Lisp, ipv6_outer);
        let check =
            Options { source_check: SourceCheck::Strict, udp_gro: false, ..Options::default() };
        b.tun.set_options(check.clone());
        b.ebpf.as_mut().unwrap().set_options(&check);
        for address in HOST_B {
            lab.ping(address);
            assert!(lab.transfer(address, 4 << 20));
        }
        let fast = b.fast();
        assert!(fast.decapsulated.v4.bytes > 4 << 20, "{fast:?}");
        assert!(fast.decapsulated.v6.bytes > 4 << 20, "{fast:?}");
        b.group(GroupId(1), other);
        b.publish();
        for address in HOST_B {
            assert!(!lab.run("ha", &format!("ping -n -c 1 -W 1 {address}")).1);
        }
        assert!(b.tun.counters().dropped(DropReason::SourceRejected) >= 2);
        b.group(GroupId(1), rloc);
        b.publish();
        let before = b.fast().decapsulated.v4.packets;
        lab.ping(HOST_B[0]);
        assert!(b.fast().decapsulated.v4.packets > before);
    }
}

#[test]
fn each_instance_has_tables_of_its_own() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let seven = InstanceId::new(7).unwrap();
    let planes = lab.fast_planes(Encapsulation::VxlanGpe, false);
    let planes =
        planes.into_iter().zip(["xa", "xb"]).enumerate().map(|(site, (mut plane, node))| {
            // Instance 0 knows nobody, and everything is in instance 7.
            for (of, local) in [(site, true), (1 - site, false)] {
                for eid in [format!("10.{}.0.0/24", of + 1), format!("fd00:{}::/64", of + 1)] {
                    let eid = |instance| EidPrefix::new(instance, eid.parse().unwrap());
                    let route = if local { Route::Local } else { Route::Encapsulate(GroupId(1)) };
                    let source = if local { Source::Local } else { Source::Static };
                    let default = eid(InstanceId::DEFAULT);
                    plane.fib.apply(Change::ClearRoute { key: default.into(), source });
                    plane.fib.apply(Change::SetRoute { key: eid(seven).into(), source, route });
                    let family = if eid(seven).prefix.address().is_ipv6() { "-6" } else { "-4" };
                    if !local {
                        lab.ip(node, &format!("{family} route del {} dev weft0", default.prefix));
                    }
                }
            }
            plane.publish();
            lab.within(node, || plane.tun.add_instance(seven, "weft7").unwrap());
            lab.ip(node, "link set weft7 up mtu 9000");
            lab.ip(node, &format!("route add 10.{}.0.0/24 dev weft7", 2 - site));
            lab.ip(node, &format!("-6 route add fd00:{}::/64 dev weft7", 2 - site));
            let ebpf = plane.ebpf.as_mut().unwrap();
            lab.within(node, || {
                let default = InstanceId::DEFAULT;
                ebpf.set_instances(
                    &[(default, "weft0"), (seven, "weft7")].map(|(id, device)| Instance {
                        id,
                        device: index(device),
                        any_source: false,
                    }),
                );
                ebpf.set_ports(&ports(false).map(|port| Port { instance: Some(seven), ..port }))
                    .unwrap();
            });
            plane
        });
    let planes: Vec<_> = planes.collect();
    for address in HOST_B {
        assert!(lab.ping(address).contains("ttl=62"));
        assert!(lab.transfer(address, 4 << 20));
    }
    for plane in &planes {
        let counters = plane.fast();
        assert!(counters.encapsulated.v4.packets > 10, "{counters:?}");
        assert!(counters.decapsulated.v6.packets > 10, "{counters:?}");
        assert_eq!(counters.left("instance"), 0);
    }
}

#[test]
fn sources_that_are_no_eids_of_ours_are_a_matter_of_choice() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let [mut a, _b] = lab.fast_planes(Encapsulation::Lisp, false);
    lab.ip("ha", "addr add 10.9.0.2/32 dev e0");
    // There is no way back.
    let ping = || lab.run("ha", "ping -n -c 1 -W 1 -I 10.9.0.2 10.2.0.2");
    let by =
        |a: &Plane| (a.tun.counters().encapsulated.v4.packets, a.fast().encapsulated.v4.packets);
    ping();
    let (slow, fast) = by(&a);
    assert_eq!((slow, fast), (1, 0), "the portable plane asks the kernel's rules");
    lab.within("xa", || {
        let (id, device) = (InstanceId::DEFAULT, index("weft0"));
        a.ebpf.as_mut().unwrap().set_instances(&[Instance { id, device, any_source: true }]);
    });
    assert!((0..20).any(|_| {
        ping();
        by(&a).1 > 0
    }));
}
