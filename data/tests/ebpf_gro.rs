//! Streams from a wire: the kernel joins their packets before the program sees them, and what the
//! program leaves reaches the portable plane although the port is not its own. Needs root and a
//! kernel that takes the program; each test makes its own network namespaces.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod lab;

use std::net::UdpSocket;
use std::time::Duration;

use lab::fast::{index, refused};
use lab::{A, B, HOST_A, HOST_B, Lab, Plane, options_for};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use weft_data::ebpf::{OtherInterface, SharedPorts};
use weft_data::tun::{ByFamily, MssClamp, Options};
use weft_fib::Encapsulation;
use weft_packet::ip::checksum::{Sum, set_ipv4};

const PORT: u16 = 4341;
const NODES: [&str; 2] = ["xa", "xb"];
const LOCATORS: [[&str; 2]; 2] = [["192.0.2.1", "2001:db8::1"], ["192.0.2.2", "2001:db8::2"]];

/// A plane whose ports are shared, with a mapping of the other site.
struct Shared {
    plane: Plane,
    ports: SharedPorts,
}

impl Shared {
    fn start(
        lab: &Lab,
        site: usize,
        encapsulation: Encapsulation,
        ipv6_outer: bool,
        options: Options,
    ) -> Self {
        let vxlan = encapsulation == Encapsulation::Vxlan;
        let mut ports = lab.within(NODES[site], || SharedPorts::take(encapsulation, None).unwrap());
        let options = Options { steered: true, vxlan, ..options };
        let mut plane = lab.fast_plane(site, ipv6_outer, options);
        lab.within(NODES[site], || ports.serve(&plane.tun).unwrap());
        plane.ebpf.as_mut().unwrap().set_sole(ports.sole());
        ports.set_locals(&LOCATORS[site].map(|address| address.parse().unwrap()));
        plane.map(1 - site, encapsulation, ipv6_outer);
        Self { plane, ports }
    }

    /// Has plain LISP joined, too, at the uplink.
    fn join_plain(&mut self, lab: &Lab, site: usize) {
        let refused = lab.within(NODES[site], || self.ports.join_plain(&[index("u0")].into()));
        assert_eq!(refused, []);
    }

    fn both(lab: &Lab, encapsulation: Encapsulation, ipv6_outer: bool) -> [Self; 2] {
        [A, B].map(|site| Self::start(lab, site, encapsulation, ipv6_outer, Options::default()))
    }
}

/// Makes the underlay a wire, which carries no super-packets; false where that cannot be done.
fn make_wire(lab: &Lab) -> bool {
    let features = "tso off tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off \
                    tx-udp-segmentation off gro on";
    NODES.into_iter().all(|node| lab.run(node, &format!("ethtool -K u0 {features}")).1)
}

/// How often something was given to the host of site B, however many packets it was.
fn deliveries(lab: &Lab) -> u64 {
    let (text, _) = lab.run("xb", "cat /sys/class/net/h0/statistics/tx_packets");
    text.trim().parse().unwrap()
}

#[test]
fn streams_are_joined_before_the_program_sees_them() {
    if refused() {
        return;
    }
    for (encapsulation, ipv6_outer) in [
        (Encapsulation::LispGpe, true),
        (Encapsulation::VxlanGpe, false),
        (Encapsulation::LispGpe, false),
        (Encapsulation::Vxlan, false),
        (Encapsulation::Vxlan, true),
        (Encapsulation::Lisp, false),
        (Encapsulation::Lisp, true),
    ] {
        let lab = Lab::new(1400);
        if !make_wire(&lab) {
            println!("skipped: no ethtool");
            return;
        }
        let [mut a, mut b] = Shared::both(&lab, encapsulation, ipv6_outer);
        if encapsulation == Encapsulation::Lisp {
            a.join_plain(&lab, A);
            b.join_plain(&lab, B);
        }
        for (ipv6, address) in [false, true].into_iter().zip(HOST_B) {
            lab.ping(address);
            let packets = || {
                let of = b.plane.fast().decapsulated;
                if ipv6 { of.v6.packets } else { of.v4.packets }
            };
            let (packets_before, deliveries_before) = (packets(), deliveries(&lab));
            assert!(lab.transfer(address, 16 << 20), "to {address}, IPv6 outside: {ipv6_outer}");
            let packets = packets() - packets_before;
            let deliveries = deliveries(&lab) - deliveries_before;
            let said = format!("{packets} packets in {deliveries} to {address}");
            assert!(packets > 10_000 && deliveries * 3 < packets, "{said}");
        }
        assert_eq!((a.plane.fast().failed, b.plane.fast().failed), (0, 0));
    }
}

#[test]
fn joined_packets_go_into_another_tunnel_as_they_are() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    if !make_wire(&lab) {
        println!("skipped: no ethtool");
        return;
    }
    let [mut a, mut b] = Shared::both(&lab, Encapsulation::LispGpe, false);
    let any =
        Options { decapsulate_any: true, steered: true, udp_gro: false, ..Options::default() };
    let _c = lab.connect_third_site([&mut a.plane, &mut b.plane], &any);
    lab.ping("10.3.0.1");
    let sent = || {
        let (text, _) = lab.run("xb", "cat /sys/class/net/u1/statistics/tx_packets");
        text.trim().parse::<u64>().unwrap()
    };
    let before = sent();
    assert!(lab.transfer_between(["ha", "xc"], "10.3.0.1", 16 << 20));
    let (sent, packets) = (sent() - before, b.plane.fast().encapsulated.v4.packets);
    assert!(packets > 10_000 && sent * 3 < packets, "{packets} packets in {sent}");
    assert!(lab.transfer_between(["xc", "ha"], HOST_A[0], 4 << 20));
    assert_eq!(b.plane.fast().failed, 0);
}

#[test]
fn what_the_program_leaves_reaches_the_portable_plane() {
    if refused() {
        return;
    }
    let clamps = Options { mss_clamp: MssClamp::Auto, ..Options::default() };
    for ipv6_outer in [false, true] {
        for encapsulation in [Encapsulation::Lisp, Encapsulation::LispGpe, Encapsulation::Vxlan] {
            let lab = Lab::new(1500);
            let vxlan = encapsulation == Encapsulation::Vxlan;
            let unlimited = Options { vxlan, path_mtu_discovery: false, ..Options::default() };
            let mut a = lab.plane(A, ipv6_outer, 9000, unlimited);
            a.map(B, encapsulation, ipv6_outer);
            let mut b = Shared::start(&lab, B, encapsulation, ipv6_outer, clamps.clone());
            if encapsulation == Encapsulation::Lisp {
                b.join_plain(&lab, B);
            }
            for address in HOST_B {
                lab.ping(address);
                let what = format!("{encapsulation} to {address}, IPv6 outside: {ipv6_outer}");
                let portable = || {
                    let ByFamily { v4, v6 } = b.plane.tun.counters().decapsulated;
                    v4.packets + v6.packets
                };
                let before = portable();
                // The answer is too big for the way back, which is another matter.
                lab.run("ha", &format!("ping -n -c 1 -W 1 -s 1450 {address}"));
                assert_eq!(portable(), before + 1, "fragments of the underlay, {what}");
                assert!(lab.transfer(address, 4 << 20), "{what}");
            }
            let left = b.plane.fast();
            assert!(left.left("syn") > 0, "{left:?}");
            let portable = b.plane.tun.counters().decapsulated;
            // What a socket sent as one comes as one, but not past a program at the card.
            let few = if encapsulation == Encapsulation::Lisp { 1 } else { 2 };
            assert!(portable.v4.packets > few && portable.v6.packets > few, "{portable:?}");
        }
    }
}

#[test]
fn joined_packets_reach_the_portable_plane_as_well() {
    if refused() {
        return;
    }
    for encapsulation in [Encapsulation::LispGpe, Encapsulation::Vxlan, Encapsulation::Lisp] {
        let lab = Lab::new(1400);
        if !make_wire(&lab) {
            println!("skipped: no ethtool");
            return;
        }
        let _a = Shared::start(&lab, A, encapsulation, false, Options::default());
        let mut b = Shared::start(&lab, B, encapsulation, false, Options::default());
        if encapsulation == Encapsulation::Lisp {
            b.join_plain(&lab, B);
        }
        b.plane.ebpf.as_mut().unwrap().set_instances(&[]);
        for address in HOST_B {
            lab.ping(address);
            assert!(lab.transfer(address, 8 << 20), "{encapsulation} to {address}");
            assert_eq!(lab.echo(address, 500, 1200), 500);
        }
        assert_eq!(b.plane.fast().decapsulated.v4.packets, 0);
        assert!(b.plane.tun.counters().decapsulated.v4.packets > 5000);
    }
}

/// On many machines a container network has the port of VXLAN.
#[test]
fn devices_of_others_keep_the_port_of_vxlan() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    for (node, site) in NODES.into_iter().zip([A, B]) {
        let [here, there] = [LOCATORS[site][0], LOCATORS[1 - site][0]];
        let device = format!("type vxlan id 9 dstport 4789 local {here} remote {there}");
        lab.ip(node, &format!("link add theirs {device}"));
        lab.ip(node, "link set theirs up");
        lab.ip(node, &format!("addr add 198.51.100.{}/24 dev theirs", site + 1));
    }
    let between = |what: &str| {
        let (said, answered) = lab.run("xa", "ping -n -c 3 -i 0.2 -W 2 198.51.100.2");
        assert!(answered, "{what}: {said}");
        assert!(lab.transfer_between(NODES, "198.51.100.2", 4 << 20), "{what}");
    };
    between("before");
    let taken = lab.within("xa", || SharedPorts::take(Encapsulation::Vxlan, None).map(drop));
    assert!(taken.unwrap_err().to_string().contains("4789"));
    let planes = Shared::both(&lab, Encapsulation::LispGpe, false);
    between("beside us");
    assert!(lab.ping(HOST_B[0]).contains("ttl=62"));
    // What we send their device drops: it has another network.
    let [mut a, _b] = planes;
    a.plane.map(B, Encapsulation::Vxlan, false);
    let before = a.plane.fast().encapsulated.v4.packets;
    assert!(!lab.run("ha", &format!("ping -n -c 1 -W 1 {}", HOST_B[0])).1, "nobody is there");
    assert!(a.plane.fast().encapsulated.v4.packets > before, "although we may send it");
    between("whatever we send");
}

/// Segments of a TCP stream in LISP-GPE, each an octet payload of its own number.
fn segments(count: u8) -> Vec<u8> {
    let (source, destination) = ([10, 1, 0, 2], [10, 2, 0, 2]);
    let segment = |number: u8| {
        let mut ip = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0];
        ip.extend([source, destination].concat());
        let mut tcp = vec![0x13, 0x88, 0x13, 0x89, 0, 0];
        tcp.extend((1 + u16::from(number) * PAYLOAD).to_be_bytes());
        tcp.extend([0, 0, 0, 1, 0x50, 0x10, 2, 0, 0, 0, 0, 0]);
        tcp.extend([number; PAYLOAD as usize]);
        let length = ip.len() + tcp.len();
        ip[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        set_ipv4(&mut ip);
        let pseudo = Sum::pseudo_header(source.into(), destination.into(), 6, tcp.len());
        let sum = pseudo.with(&tcp).checksum();
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        [&[12, 0, 0, 1, 0, 0, 7, 0][..], &ip, &tcp].concat()
    };
    (0..count).flat_map(segment).collect()
}

const PAYLOAD: u16 = 1000;

/// For VXLAN-GPE the kernel cannot take apart again what it has joined.
#[test]
fn streams_that_only_pass_through_are_not_joined() {
    if refused() {
        return;
    }
    const COUNT: u8 = 20;
    let lab = Lab::new(1500);
    let far = lab.run("xb", "ethtool -K h0 tx-udp_tnl-segmentation off tso off");
    if !make_wire(&lab) || !far.1 {
        println!("skipped: no ethtool");
        return;
    }
    let mut ports = lab.within("xb", || SharedPorts::take(Encapsulation::LispGpe, None).unwrap());
    lab.within("xb", || ports.complete());
    ports.set_locals(&LOCATORS[B].map(|address| address.parse().unwrap()));
    lab.ip("xa", "route add 10.2.0.0/24 via 192.0.2.2");
    lab.run("xa", &format!("ping -n -c 3 -i 0.2 -W 2 {}", HOST_B[0]));
    let receiver = lab.within("hb", || UdpSocket::bind((HOST_B[0], PORT)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let sender = lab.within("xa", || UdpSocket::bind("192.0.2.1:0").unwrap());
    let stream = segments(COUNT);
    let one = stream.len() / usize::from(COUNT);
    setsockopt(&sender, UdpGsoSegment, &i32::try_from(one).unwrap()).unwrap();
    sender.send_to(&stream, (HOST_B[0], PORT)).unwrap();
    for number in 0..COUNT {
        let mut octets = vec![0; 1 << 16];
        let length = receiver.recv(&mut octets).expect("not one is missing");
        assert_eq!((length, octets[length - 1]), (one, number));
    }
}

/// Sends an octet to port 4341 of site B's host, past the overlay; gives the source port
/// it was sent from and the one it arrived with.
fn pass_through(lab: &Lab) -> [u16; 2] {
    lab.ip("xa", "route add 10.2.0.2/32 via 192.0.2.2");
    let sender = lab.within("xa", || UdpSocket::bind("192.0.2.1:0").unwrap());
    let receiver = lab.within("hb", || UdpSocket::bind((HOST_B[0], PORT)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    sender.send_to(&[1], (HOST_B[0], PORT)).unwrap();
    let (length, from) = receiver.recv_from(&mut [0; 2]).unwrap();
    assert_eq!(length, 1);
    lab.ip("xa", "route del 10.2.0.2/32");
    [sender.local_addr().unwrap().port(), from.port()]
}

#[test]
fn the_program_says_when_one_device_is_too_few() {
    if refused() {
        return;
    }
    for (theirs, passing, asked) in [
        (Encapsulation::LispGpe, false, false),
        (Encapsulation::Lisp, false, false),
        (Encapsulation::VxlanGpe, false, true),
        (Encapsulation::LispGpe, true, true),
    ] {
        let lab = Lab::new(1400);
        let mut b = Shared::start(&lab, B, Encapsulation::LispGpe, false, Options::default());
        let _a = Shared::start(&lab, A, theirs, false, Options::default());
        lab.ping(HOST_B[0]);
        if passing {
            let _ = pass_through(&lab);
        }
        assert_eq!(b.plane.fast().beside > 0, asked, "{theirs}, others' tunnels: {passing}");

        let taken = || lab.within("xb", || UdpSocket::bind(("0.0.0.0", 4790)).is_err());
        assert!(taken(), "whoever has a device or not");
        lab.within("xb", || b.ports.complete());
        assert!(b.ports.sole().is_none() && taken());
        lab.within("xb", || b.plane.ebpf.as_mut().unwrap().set_sole(None));
        let before = b.plane.fast().beside;
        lab.ping(HOST_B[0]);
        assert_eq!(b.plane.fast().beside, before, "nobody asks any more");
    }
}

#[test]
fn interfaces_without_the_program_lead_to_the_sockets() {
    if refused() {
        return;
    }
    for encapsulation in [Encapsulation::Lisp, Encapsulation::LispGpe, Encapsulation::Vxlan] {
        let lab = Lab::new(1400);
        let mut a = lab.plane(A, false, 1500, options_for(encapsulation));
        a.map(B, encapsulation, false);
        let mut b = Shared::start(&lab, B, encapsulation, false, Options::default());
        lab.within("xb", || b.plane.ebpf.as_mut().unwrap().set_ports(&[]).unwrap());
        let (said, answered) = lab.run("ha", "ping -n -c 1 -W 1 10.2.0.2");
        assert!(!answered, "nobody steers: {said}");
        let uplink = lab.within("xb", || index("u0"));
        let others = [OtherInterface { interface: uplink, ethernet: true }];
        lab.within("xb", || b.ports.watch(&others));
        let [sent, arrived] = pass_through(&lab);
        assert_eq!(arrived, sent, "what only passes through is not touched");
        for address in HOST_B {
            lab.ping(address);
            assert!(lab.transfer(address, 4 << 20));
        }
        assert_eq!(b.plane.fast().decapsulated.v4.packets, 0);
        assert!(b.plane.tun.counters().decapsulated.v4.packets > 1000);
    }
}

#[test]
fn the_port_is_free_again_afterwards() {
    if refused() {
        return;
    }
    let lab = Lab::new(1400);
    let bind = || lab.within("xa", || UdpSocket::bind(("0.0.0.0", PORT)).map(drop));
    let take = || lab.within("xa", || SharedPorts::take(Encapsulation::LispGpe, None));
    let port = take().unwrap();
    assert!(bind().is_err(), "it is the device's");
    let second = take().map(drop).unwrap_err().to_string();
    assert!(second.contains("4790"), "there is one already: {second}");
    drop(port);
    bind().unwrap();
    let left = take().unwrap();
    lab.within("xa", || left.leave());
    assert!(bind().is_err(), "it is left behind");
    lab.within("xa", || SharedPorts::clear().unwrap());
    bind().unwrap();
    lab.ip("xa", "link add weft-gro type veth peer name other");
    lab.within("xa", || SharedPorts::clear().unwrap());
    lab.ip("xa", "link del weft-gro");
}
