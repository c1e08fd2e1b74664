//! Two planes with static mappings carry the traffic of real hosts. Needs root; each test makes
//! its own network namespaces.

mod lab;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use lab::{A, B, ENCAPSULATIONS, HOST_A, HOST_B, KERNELS, Lab, impossible, options_for};
use weft_data::tun::{Counters, HoldLimits, MssClamp, Options, SourceCheck, Upcall};
use weft_fib::{DropReason, Encapsulation, Route};
use weft_packet::addr::InstanceId;

#[test]
fn every_encapsulation_carries_both_families_over_both() {
    if impossible() {
        return;
    }
    for encapsulation in ENCAPSULATIONS {
        for ipv6_outer in [false, true] {
            let lab = Lab::new(1400);
            let [a, b] = lab.planes(encapsulation, ipv6_outer);
            for address in HOST_B {
                let answer = lab.ping(address);
                // Two routers decremented it each way, and the tunnel is no hop of its own.
                assert!(answer.contains("ttl=62"), "{answer}");
                let arrived = lab.transfer(address, 8 << 20);
                assert!(arrived, "{encapsulation} to {address}, IPv6 outside: {ipv6_outer}");
            }
            let (sent, got) = (a.tun.counters(), b.tun.counters());
            assert!(sent.encapsulated.v4.packets > 5000 && sent.encapsulated.v6.packets > 5000);
            assert!(got.decapsulated.v4.bytes > 8 << 20 && got.decapsulated.v6.bytes > 8 << 20);
            assert!(got.deliveries < got.decapsulated.v4.packets, "flows were coalesced");
        }
    }
}

#[test]
fn first_packets_wait_for_their_mapping() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let mut a = lab.plane(A, false, 1500, Options::default());
    let mut b = lab.plane(B, false, 1500, Options::default());
    b.map(A, Encapsulation::Lisp, false);
    a.route(B, Route::Resolve);
    let (answers, punts) = std::thread::scope(|scope| {
        let ping = scope.spawn(|| lab.run("ha", "ping -n -c 3 -i 0.2 -W 5 10.2.0.2"));
        let punt = a.upcalls.recv_timeout(Duration::from_secs(20)).unwrap();
        while a.tun.counters().waiting < 3 {
            std::thread::yield_now();
        }
        a.map(B, Encapsulation::Lisp, false);
        let more: Vec<Upcall> = a.upcalls.try_iter().collect();
        (ping.join().unwrap().0, [vec![punt], more].concat())
    });
    assert!(answers.contains("3 received"), "none was lost: {answers}");
    let expected = Upcall::Punt {
        instance: InstanceId::DEFAULT,
        source: "10.1.0.2".parse().unwrap(),
        destination: "10.2.0.2".parse().unwrap(),
    };
    assert_eq!(punts, [expected], "asked once");
    let counters = a.tun.counters();
    assert_eq!((counters.held, counters.released, counters.waiting), (3, 3, 0));
}

#[test]
fn packets_that_wait_in_vain_are_refused() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let hold = HoldLimits { time: Duration::from_millis(50), ..HoldLimits::default() };
    let mut a = lab.plane(A, false, 1500, Options { hold, ..Options::default() });
    a.route(B, Route::Resolve);
    for address in HOST_B {
        let (said, _) = lab.run("ha", &format!("ping -n -c 1 -W 5 {address}"));
        assert!(said.contains("nreachable"), "{said}");
    }
    assert_eq!(a.tun.counters().dropped(DropReason::HoldTimeout), 2);
}

#[test]
fn refusals_tell_the_sender_why() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let mut a = lab.plane(A, false, 1500, Options::default());
    for (reason, v4, v6) in [
        (DropReason::NegativeMapping, "Destination Net Unreachable", "No route"),
        (DropReason::PolicyDenied, "Packet filtered", "Administratively prohibited"),
    ] {
        a.route(B, Route::Drop(reason));
        a.tun.sample_drops(true);
        for (address, words) in HOST_B.into_iter().zip([v4, v6]) {
            let (said, _) = lab.run("ha", &format!("ping -n -c 1 -W 5 {address}"));
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(a.tun.counters().dropped(reason), 2);
        // The kernel's own multicast may be among them.
        let samples = a.tun.drops().into_iter().filter(|sample| sample.reason == reason);
        let versions: Vec<u8> = samples.map(|sample| sample.head[0] >> 4).collect();
        assert_eq!(versions, [4, 6]);
    }
}

#[test]
fn too_big_packets_are_reported_or_fragmented() {
    if impossible() {
        return;
    }
    for (encapsulation, mtu) in [(Encapsulation::Lisp, 1464), (Encapsulation::Vxlan, 1450)] {
        let lab = Lab::new(1500);
        let [a, _b] = lab.planes(encapsulation, false);
        for (address, headers) in HOST_B.into_iter().zip([28, 48]) {
            lab.ping(address);
            let fits = format!("ping -n -c 1 -W 5 -M do -s {} {address}", mtu - headers);
            assert!(lab.run("ha", &fits).1, "{encapsulation} to {address}");
            let large = format!("ping -n -c 1 -W 5 -M do -s {} {address}", mtu + 1 - headers);
            let (said, _) = lab.run("ha", &large);
            let told = [format!("mtu = {mtu}"), format!("mtu={mtu}")];
            assert!(told.iter().any(|told| said.contains(told)), "{said}");
        }
        assert_eq!(a.tun.counters().dropped(DropReason::TooBig), 2);
        let (said, answered) = lab.run("ha", "ping -n -c 1 -W 5 -M dont -s 1472 10.2.0.2");
        assert!(answered, "fragmented: {said}");
        for address in HOST_B {
            assert!(lab.transfer(address, 4 << 20), "TCP learns the size too");
        }
    }
}

#[test]
fn a_small_path_mtu_is_learnt_by_all() {
    if impossible() {
        return;
    }
    for (encapsulation, ipv6_outer, inner) in [
        (Encapsulation::Lisp, false, 1264),
        (Encapsulation::Lisp, true, 1244),
        (Encapsulation::Vxlan, false, 1250),
        (Encapsulation::Vxlan, true, 1230),
    ] {
        let lab = Lab::new(1400);
        let [a, _b] = lab.planes(encapsulation, ipv6_outer);
        lab.ping(HOST_B[0]);
        // The table says 1500, the kernel knows better.
        lab.ip("xa", "link set u0 mtu 1300");
        let (said, _) = lab.run("ha", "ping -n -c 1 -W 5 -M do -s 1350 10.2.0.2");
        let upcall = a.upcalls.recv_timeout(Duration::from_secs(20)).unwrap();
        let rloc: IpAddr = if ipv6_outer { "2001:db8::2" } else { "192.0.2.2" }.parse().unwrap();
        assert_eq!(upcall, Upcall::PathMtu { rloc, mtu: 1300 });
        assert!(
            said.contains(&format!("mtu = {inner}")) || said.contains(&format!("mtu={inner}")),
            "{said}"
        );
        assert!(lab.transfer(HOST_B[0], 4 << 20), "and TCP adapts");
    }
}

#[test]
fn an_mss_clamp_spares_tcp_the_discovery() {
    if impossible() {
        return;
    }
    for encapsulation in [Encapsulation::Lisp, Encapsulation::Vxlan] {
        let lab = Lab::new(1500);
        let [a, b] = lab.planes(encapsulation, false);
        for plane in [&a, &b] {
            plane.tun.set_options(Options { mss_clamp: MssClamp::Auto, ..Options::default() });
        }
        for address in HOST_B {
            lab.ping(address);
            assert!(lab.transfer(address, 4 << 20));
        }
        assert_eq!(a.tun.counters().dropped(DropReason::TooBig), 0);
    }
}

#[test]
fn an_underlay_without_offloads_still_carries_everything() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let [_a, _b] = lab.planes(Encapsulation::Lisp, false);
    let (said, done) = lab.run("xa", "ethtool -K u0 tx off");
    if !done {
        println!("skipped: {said}");
        return;
    }
    for address in HOST_B {
        lab.ping(address);
        assert!(lab.transfer(address, 4 << 20));
    }
}

#[test]
fn what_a_kernel_next_door_left_unfinished_is_finished() {
    if impossible() {
        return;
    }
    for (encapsulation, ipv6_outer) in KERNELS {
        let lab = Lab::new(1400);
        let mut a = lab.plane(A, ipv6_outer, 1500, options_for(encapsulation));
        a.map(B, encapsulation, ipv6_outer);
        lab.kernel_peer(encapsulation, ipv6_outer);
        for (site_mtu, udp_gro, mss_clamp) in
            [(None, true, MssClamp::Off), (Some(1400), false, MssClamp::Fixed(1100))]
        {
            let site_mtus = site_mtu.map(|mtu| (InstanceId::DEFAULT, mtu)).into_iter().collect();
            a.tun.set_options(Options { site_mtus, udp_gro, mss_clamp, ..Options::default() });
            for (there, back) in HOST_B.into_iter().zip(HOST_A) {
                lab.ping(there);
                let before = a.tun.counters();
                let what = format!("{encapsulation}, IPv6 outside: {ipv6_outer}");
                assert!(lab.transfer(there, 8 << 20), "to {there}, {what}");
                assert!(lab.transfer_back(back, 8 << 20), "to {back}, {what}");
                let after = a.tun.counters();
                let got = |c: &Counters| c.decapsulated.v4.packets + c.decapsulated.v6.packets;
                let least = (8 << 20) / site_mtu.map_or(1280, u64::from);
                assert!(got(&after) - got(&before) > least, "counted as what they become");
                assert!(lab.burst_back(back, 9500), "to {back}, with offload: {udp_gro}");
            }
        }
        let counters = a.tun.counters();
        assert_eq!(counters.dropped(DropReason::Malformed), 0);
        assert!(counters.deliveries * 4 < counters.decapsulated.v4.packets, "not one by one");
    }
}

#[test]
fn datagrams_may_come_joined_or_one_by_one() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let [a, b] = lab.planes(Encapsulation::Lisp, false);
    lab.ping(HOST_B[0]);
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| lab.transfer(HOST_B[0], 32 << 20));
        while !transfer.is_finished() {
            for udp_gro in [false, true] {
                for plane in [&a, &b] {
                    plane.tun.set_options(Options { udp_gro, ..Options::default() });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert!(transfer.join().unwrap());
    });
    for plane in [&a, &b] {
        plane.tun.set_options(Options { udp_gro: false, ..Options::default() });
    }
    for address in HOST_B {
        lab.ping(address);
        assert!(lab.transfer(address, 4 << 20));
    }
}

#[test]
fn strangers_and_garbage_are_dropped_and_counted() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let [_a, b] = lab.planes(Encapsulation::Vxlan, false);
    let check = Options { source_check: SourceCheck::Strict, ..Options::default() };
    b.tun.set_options(check);
    lab.ping(HOST_B[0]);
    let inner = |source: [u8; 4], destination: [u8; 4]| {
        let mut packet = vec![0x45, 0, 0, 20, 0, 0, 0, 0, 9, 17, 0, 0];
        packet.extend([source, destination].concat());
        packet
    };
    let lisp = |head: [u8; 8], packet: Vec<u8>| [head.to_vec(), packet].concat();
    let vxlan = |destination: u8, ether_type: u16, packet: Vec<u8>| {
        let addresses = [destination, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        let head = [[8, 0, 0, 0, 0, 0, 0, 0].as_slice(), &addresses].concat();
        [head, ether_type.to_be_bytes().to_vec(), packet].concat()
    };
    let good = inner([10, 1, 0, 9], [10, 2, 0, 2]);
    let sent = [
        (4341, vec![], None),
        (4341, vec![1, 2, 3], Some(DropReason::BadHeader)),
        (4341, lisp([0; 8], vec![0x45]), Some(DropReason::Malformed)),
        (4341, lisp([8, 0, 0, 0, 0, 0, 7, 0], good.clone()), Some(DropReason::UnknownInstance)),
        (
            4341,
            lisp([8, 0, 0, 0, 255, 255, 255, 0], good.clone()),
            Some(DropReason::UnexpectedControl),
        ),
        (4341, lisp([0; 8], inner([10, 1, 0, 9], [10, 9, 0, 2])), Some(DropReason::NotLocalEid)),
        (4341, lisp([0; 8], inner([10, 7, 0, 9], [10, 2, 0, 2])), Some(DropReason::SourceRejected)),
        (4341, lisp([0; 8], inner([10, 1, 0, 9], [224, 0, 0, 1])), Some(DropReason::Multicast)),
        (4341, lisp([0; 8], vec![0x90; 30]), Some(DropReason::UnknownProtocol)),
        (4790, lisp([8, 0, 0, 0, 0, 0, 0, 0], good.clone()), Some(DropReason::BadHeader)),
        (4789, vxlan(0xba, 0x0800, vec![0x45]), Some(DropReason::Malformed)),
        (4789, vxlan(0xba, 0x86dd, good.clone()), Some(DropReason::Malformed)),
        (4789, vxlan(0xff, 0x0806, vec![0; 28]), Some(DropReason::UnknownProtocol)),
        (4789, vxlan(0x01, 0x0800, good), Some(DropReason::Multicast)),
        (4789, vec![8, 0, 0, 0, 0, 0, 0, 0, 0xba], Some(DropReason::BadHeader)),
    ];
    lab.within("xa", || {
        let socket = UdpSocket::bind("192.0.2.1:0").unwrap();
        for (port, octets, _) in &sent {
            socket.send_to(octets, ("192.0.2.2", *port)).unwrap();
        }
    });
    lab.ping(HOST_B[0]);
    let counters = b.tun.counters();
    for (_, octets, reason) in sent.iter().filter(|(.., reason)| reason.is_some()) {
        let reason = reason.unwrap();
        let times = sent.iter().filter(|(.., other)| *other == Some(reason)).count();
        assert!(counters.dropped(reason) >= times as u64, "{reason}: {octets:02x?}");
    }
}

#[test]
fn native_packets_go_on_by_the_kernels_routes() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let mut planes = [A, B].map(|site| lab.plane(site, false, 1500, Options::default()));
    for (site, plane) in planes.iter_mut().enumerate() {
        let (node, other) = (["xa", "xb"][site], 1 - site);
        plane.route(other, Route::Native);
        let (n, via) = (other + 1, other + 1);
        for (family, to, via) in [
            ("-4", format!("10.{n}.0.0/24"), format!("192.0.2.{via}")),
            ("-6", format!("fd00:{n}::/64"), format!("2001:db8::{via}")),
        ] {
            lab.ip(node, &format!("{family} rule add iif weft0 lookup 100"));
            lab.ip(node, &format!("{family} route add {to} via {via} table 100"));
        }
    }
    for address in HOST_B {
        let answer = lab.ping(address);
        assert!(answer.contains("ttl=62"), "the plane is no hop: {answer}");
        assert!(lab.transfer(address, 4 << 20));
    }
    let native = planes[A].tun.counters().native;
    assert!(native.v4.bytes > 4 << 20 && native.v6.bytes > 4 << 20);
}

#[test]
fn a_storm_of_misses_spares_established_flows() {
    if impossible() {
        return;
    }
    const EIDS: usize = 100;
    let lab = Lab::new(1400);
    let hold = HoldLimits { eids: EIDS, ..HoldLimits::default() };
    let mut a = lab.plane(A, false, 1500, Options { hold, punt_rate: 50, ..Options::default() });
    let mut b = lab.plane(B, false, 1500, Options::default());
    a.map(B, Encapsulation::Lisp, false);
    b.map(A, Encapsulation::Lisp, false);
    a.set("10.64.0.0/10", Route::Resolve);
    lab.ip("xa", "route add 10.64.0.0/10 dev weft0");
    lab.ping(HOST_B[0]);
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            lab.within("ha", || {
                let socket = UdpSocket::bind("10.1.0.2:0").unwrap();
                for n in 0..60_000u32 {
                    let to = Ipv4Addr::from_bits(0x0a40_0000 | n);
                    // A full queue on the way is what a storm is about.
                    let _ = socket.send_to(&[0; 32], (to, 9));
                }
            });
        });
        assert!(lab.transfer(HOST_B[0], 8 << 20));
        storm.join().unwrap();
    });
    let counters = a.tun.counters();
    let evicted = counters.dropped(DropReason::HoldFull);
    let expired = counters.dropped(DropReason::HoldTimeout);
    assert!(counters.held > 1000 && evicted > 0, "{counters:?}");
    assert!(counters.waiting <= EIDS as u64 + 1, "{counters:?}");
    assert_eq!(counters.held, counters.released + counters.waiting + evicted + expired);
    assert!(counters.punts < counters.held, "questions are limited");
}

#[test]
fn instances_come_and_go_while_others_carry_traffic() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let [a, _b] = lab.planes(Encapsulation::Lisp, false);
    lab.ping(HOST_B[0]);
    let seven = InstanceId::new(7).unwrap();
    lab.within("xa", || a.tun.add_instance(seven, "weft7").unwrap());
    assert!(lab.within("xa", || a.tun.add_instance(seven, "weft8").is_err()));
    let devices = [(InstanceId::DEFAULT, "weft0".to_owned()), (seven, "weft7".to_owned())];
    assert_eq!(a.tun.devices(), devices);
    assert!(lab.run("xa", "ip link show weft7").1);
    assert!(a.tun.remove_instance(seven));
    assert!(!a.tun.remove_instance(seven));
    assert!(!lab.run("xa", "ip link show weft7").1, "gone when the call returns");
    assert!(lab.transfer(HOST_B[0], 1 << 20));
    a.tun.stop();
    assert!(!lab.run("xa", "ip link show weft0").1);
}

#[test]
fn devices_may_outlive_their_plane() {
    if impossible() {
        return;
    }
    let lab = Lab::new(1400);
    let there = || lab.run("xa", "ip link show weft0").1;
    let routes = || lab.run("xa", "ip route show dev weft0").0;
    let [a, _b] = lab.planes(Encapsulation::Lisp, false);
    lab.ping(HOST_B[0]);
    let routed = routes();
    assert!(routed.contains("10.2.0.0/24"), "{routed}");
    a.tun.detach();
    assert!(there() && !lab.run("ha", "ping -n -c 1 -W 1 10.2.0.2").1, "a device of nobody");
    let kept = routes();
    assert!(kept.contains("10.2.0.0/24"), "{kept}");

    // Another plane takes it over; that it has another number of queues does not matter.
    let queues = Some(3);
    let mut a = lab.plane(A, false, 1500, Options { queues, ..Options::default() });
    a.map(B, Encapsulation::Lisp, false);
    for address in HOST_B {
        lab.ping(address);
        assert!(lab.transfer(address, 4 << 20));
    }
    assert_eq!(routes(), routed);
    a.tun.stop();
    assert!(!there(), "the next plane cleans up");

    // A persistent device is one from its start; told to remove it, the plane does all the same.
    let lasting = Options { persistent: true, ..Options::default() };
    let a = lab.plane(A, false, 1500, lasting);
    let seven = InstanceId::new(7).unwrap();
    lab.within("xa", || a.tun.add_instance(seven, "weft7").unwrap());
    let (said, _) = lab.run("xa", "ip -d link show weft7");
    assert!(said.contains("persist on"), "{said}");
    assert!(a.tun.remove_instance(seven));
    assert!(!lab.run("xa", "ip link show weft7").1);
    a.tun.stop();
    assert!(!there());
}
