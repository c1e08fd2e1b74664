//! The program and the portable plane do the same: the same packets and the same table give the
//! same octets on the wire, the same counts and the same reasons, and they are what the
//! specification of the table says.
#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod lab;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::thread;
use std::time::Duration;

use lab::fast::{index, now, refused};
use lab::packets::{Dice, encapsulate, frame, mac, marker, marker_number};
use lab::wire::Wire;
use lab::{A, B, Lab, Plane};
use weft_data::tun::{ByFamily, Dscp, HoldLimits, Options, SourceCheck, Ttl, Tun};
use weft_fib::reference::Reference;
use weft_fib::{
    Change, DropReason, EidKey, Encapsulation, GroupId, PairCount, Path, Route, Source, Uplink,
    UplinkId, UsageCount,
};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};
use weft_packet::ip::checksum::Sum;
use weft_packet::ip::{Header, ecn};

/// What a run gave.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// What arrived, without what may differ, and how many times.
    arrived: BTreeMap<Vec<u8>, usize>,
    carried: ByFamily,
    drops: Vec<(DropReason, u64)>,
    usage: Vec<(EidKey, UsageCount)>,
    traffic: Vec<PairCount>,
    /// How many packets of all went by the program.
    fast: u64,
}

/// Frames sent at one end of a site, and those of a kind that appeared at the other.
struct Run<'a> {
    from: Wire,
    to: Wire,
    /// Frames that follow each batch, the portable plane's way.
    markers: Vec<Vec<u8>>,
    /// What of a frame to compare; `None` = it is of no interest.
    of_interest: &'a dyn Fn(&[u8]) -> Option<Vec<u8>>,
}

#[test]
fn packets_enter_tunnels_alike() {
    if refused() {
        return;
    }
    let lab = quiet_lab();
    // Somebody takes the packets: nobody says that they are refused.
    let _takers = lab.within("xb", || PORTS.map(|port| UdpSocket::bind(("::", port)).unwrap()));
    for last in RLOCS {
        lab.ip("xa", &format!("neigh add 192.0.2.{last} lladdr {} dev u0", text_of_mac(XB_U0)));
        lab.ip("xa", &format!("neigh add 2001:db8::{last} lladdr {} dev u0", text_of_mac(XB_U0)));
    }
    let (said, done) = lab.run("xa", "ethtool -K u0 tx-udp-segmentation off");
    assert!(done, "{said}");
    for seed in 1..=3 {
        let mut reference = Reference::default();
        let uplink = lab.within("xa", || index("u0"));
        let changes = table(&mut Dice(seed), A, uplink);
        for change in &changes {
            reference.apply(change.clone());
        }
        let mut dice = Dice(seed + 100);
        let frames: Vec<_> =
            (0..1500).map(|_| frame(XA_H0, HA_E0, &to_another_site(&mut dice, 1500))).collect();
        let [slow, fast] = [false, true].map(|fast| {
            let mut plane = start(&lab, A, fast, &options());
            // Of many prefixes the program looks up IPv4 from the second octet on.
            many_prefixes(if seed == 3 { 5000 } else { 0 })
                .for_each(|change| plane.fib.apply(change));
            // Another test that is starting a command may still hold the device of the plane before.
            lab.ip("xa", "route replace 10.2.0.0/16 dev weft0");
            lab.ip("xa", "route replace fd00:2::/48 dev weft0");
            for change in &changes {
                plane.fib.apply(change.clone());
            }
            plane.publish();
            let last = marker([10, 1, 0, 2], MARKED.octets(), 0);
            let run = Run {
                from: lab.wire("ha", "e0"),
                to: lab.wire("xb", "u0"),
                markers: vec![frame(XA_H0, HA_E0, &last)],
                of_interest: &tunnel_packet,
            };
            outcome(plane, run.all(&frames), fast, |tun| tun.encapsulated, |ebpf| ebpf.encapsulated)
        });
        slow.arrived.keys().for_each(|packet| is_as_specified(&reference, packet));
        same(&slow, &fast, 300);
    }
}

#[test]
fn packets_leave_tunnels_alike() {
    if refused() {
        return;
    }
    let lab = quiet_lab();
    lab.ip("hb", "addr flush dev e0");
    for last in HOSTS {
        lab.ip("xb", &format!("neigh add 10.2.0.{last} lladdr {} dev h0", text_of_mac(HB_E0)));
        lab.ip("xb", &format!("neigh add fd00:2::{last} lladdr {} dev h0", text_of_mac(HB_E0)));
    }
    for (seed, options) in [
        (1, options()),
        (2, Options { dscp_back: false, ..options() }),
        (3, Options { decapsulate_any: true, ..options() }),
        (4, Options { source_check: SourceCheck::Loose, ..options() }),
        (5, Options { source_check: SourceCheck::Strict, ..options() }),
    ] {
        let mut dice = Dice(seed + 200);
        let frames: Vec<_> = (0..1500).map(|_| from_a_tunnel(&mut dice)).collect();
        let [slow, fast] = [false, true].map(|fast| {
            let mut plane = start(&lab, B, fast, &options);
            // What comes from there is counted, and answers to it go somewhere.
            plane.map(A, Encapsulation::Lisp, false);
            if options.source_check != SourceCheck::Off {
                map_senders(&mut plane);
            }
            let run = Run {
                from: lab.wire("xa", "u0"),
                to: lab.wire("hb", "e0"),
                markers: markers_from_a_tunnel([10, 2, 0, HOSTS[0]].into()),
                of_interest: &site_packet,
            };
            outcome(plane, run.all(&frames), fast, |tun| tun.decapsulated, |ebpf| ebpf.decapsulated)
        });
        // How often the kernel tells a sender that a packet's life is over, it decides itself.
        let [slow, fast] = [slow, fast].map(|mut run| {
            run.usage.clear();
            run.drops.retain(|(reason, _)| !OF_ANSWERS.contains(reason));
            run.traffic.retain(|pair| pair.received > 0);
            run.traffic.iter_mut().for_each(|pair| pair.sent = 0);
            run
        });
        same(&slow, &fast, 300);
    }
}

/// Site B is a router between tunnels.
#[test]
fn packets_change_tunnels_alike() {
    if refused() {
        return;
    }
    let lab = quiet_lab();
    for setting in ["net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"] {
        lab.run("xa", &format!("sysctl -qw {setting}"));
    }
    for last in RLOCS {
        lab.ip("xb", &format!("neigh add 192.0.2.{last} lladdr {} dev u0", text_of_mac(XA_U0)));
        lab.ip("xb", &format!("neigh add 2001:db8::{last} lladdr {} dev u0", text_of_mac(XA_U0)));
    }
    let (said, done) = lab.run("xb", "ethtool -K u0 tx-udp-segmentation off");
    assert!(done, "{said}");
    for (seed, options) in [
        (1, options()),
        (2, Options { dscp_back: false, ..options() }),
        (3, Options { ttl: Ttl::Fixed(99), dscp: Dscp::Fixed(46), ..options() }),
    ] {
        let options = Options { decapsulate_any: true, ..options };
        let mut dice = Dice(seed + 300);
        let frames: Vec<_> = (0..2000).map(|_| from_tunnel_to_tunnel(&mut dice)).collect();
        let uplink = lab.within("xb", || index("u0"));
        let [slow, fast] = [false, true].map(|fast| {
            let mut plane = start(&lab, B, fast, &options);
            lab.ip("xb", "route replace 10.2.0.0/16 dev weft0");
            lab.ip("xb", "route replace fd00:2::/48 dev weft0");
            for change in table(&mut Dice(seed), B, uplink) {
                plane.fib.apply(change);
            }
            plane.publish();
            let run = Run {
                from: lab.wire("xa", "u0"),
                to: lab.wire("xa", "u0"),
                markers: markers_from_a_tunnel(MARKED),
                of_interest: &|frame| tunnel_packet(frame).filter(|_| frame[6..12] == mac(XB_U0)),
            };
            outcome(plane, run.all(&frames), fast, |tun| tun.encapsulated, |ebpf| ebpf.encapsulated)
        });
        let [slow, fast] = [slow, fast].map(|mut run| {
            run.drops.retain(|(reason, _)| OF_ARRIVALS.contains(reason));
            run
        });
        same(&slow, &fast, 50);
    }
}

/// A lab in which nobody sends but who is told to.
fn quiet_lab() -> Lab {
    let lab = Lab::new(1500);
    for (node, device, mac) in [
        ("ha", "e0", HA_E0),
        ("xa", "h0", XA_H0),
        ("xa", "u0", XA_U0),
        ("xb", "u0", XB_U0),
        ("xb", "h0", XB_H0),
        ("hb", "e0", HB_E0),
    ] {
        lab.ip(node, &format!("link set {device} address {}", text_of_mac(mac)));
    }
    lab
}

fn options() -> Options {
    let hold = HoldLimits { packets_per_eid: 0, ..HoldLimits::default() };
    Options { hold, queues: Some(1), udp_gro: false, vxlan: true, ..Options::default() }
}

fn start(lab: &Lab, site: usize, fast: bool, options: &Options) -> Plane {
    if fast {
        lab.fast_plane(site, false, options.clone())
    } else {
        lab.plane(site, false, 1500, options.clone())
    }
}

/// Uplinks of a site, groups and routes at random.
fn table(dice: &mut Dice, site: usize, interface: u32) -> Vec<Change> {
    let uplink = |id, rloc: &str| {
        let rloc = rloc.parse().unwrap();
        Uplink { id: UplinkId(id), rloc, interface, mtu: 1500, priority: 1, weight: 1, up: true }
    };
    let [v4, v6] = [format!("192.0.2.{}", site + 1), format!("2001:db8::{}", site + 1)];
    let uplinks = vec![uplink(1, &v4), uplink(2, &v6)];
    let mut changes = vec![Change::SetUplinks(uplinks)];
    for group in 1..8 {
        let paths = (0..=dice.roll(4)).map(|_| path(dice)).collect();
        changes.push(Change::SetGroup { id: GroupId(group), paths });
    }
    let mut route = |eid: String, from: Option<String>, route| {
        let eid = EidPrefix::new(InstanceId::DEFAULT, prefix(&eid));
        let key = EidKey { eid, from: from.map(|from| prefix(&from)) };
        changes.push(Change::SetRoute { key, source: Source::Lisp, route });
    };
    for _ in 0..60 {
        let (length, [a, b]) = (16 + dice.roll(17), [dice.roll(8), dice.roll(256)]);
        let from = format!("10.1.0.{}/{}", dice.roll(256), 8 + dice.roll(25));
        let from = dice.once_in(3).then_some(from);
        route(format!("10.2.{a}.{b}/{length}"), from, answer(dice));
        let (length, [a, b]) = (48 + dice.roll(81), [dice.roll(8), dice.roll(256)]);
        let from = format!("fd00:1::{:x}/{}", dice.roll(256), 16 + dice.roll(113));
        let from = dice.once_in(3).then_some(from);
        route(format!("fd00:2:0:{a}::{b:x}/{length}"), from, answer(dice));
    }
    let path = Path { weight: 1, priority: 1, ..path(dice) };
    let paths = vec![Path { rloc: Ipv4Addr::new(192, 0, 2, RLOCS[0]).into(), ..path }];
    route(format!("{MARKED}/32"), None, Route::Encapsulate(GroupId(99)));
    changes.push(Change::SetGroup { id: GroupId(99), paths });
    changes
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

/// So many, of which no packet is sent to any address.
fn many_prefixes(count: u32) -> impl Iterator<Item = Change> {
    (0..count).map(|number| {
        let eid = Prefix::host(Ipv4Addr::from_bits(0x0a80_0000 | number << 4).into());
        let eid = EidPrefix::new(InstanceId::DEFAULT, eid);
        Change::SetRoute { key: eid.into(), source: Source::Lisp, route: Route::Resolve }
    })
}

fn path(dice: &mut Dice) -> Path {
    let last = dice.one_of(&RLOCS);
    let v4 = IpAddr::from([192, 0, 2, last]);
    let v6 = format!("2001:db8::{last}").parse().unwrap();
    Path {
        rloc: dice.one_of(&[v4, v6]),
        priority: dice.one_of(&[1, 1, 1, 2, 255]),
        weight: dice.one_of(&[0, 1, 50, 100]),
        encapsulation: dice.one_of(&[
            Encapsulation::Lisp,
            Encapsulation::LispGpe,
            Encapsulation::VxlanGpe,
            Encapsulation::Vxlan,
        ]),
    }
}

fn answer(dice: &mut Dice) -> Route {
    match dice.roll(12) {
        0 => Route::Drop(DropReason::PolicyDenied),
        1 => Route::Resolve,
        2 => Route::Local,
        3 => Route::Encapsulate(GroupId(77)),
        _ => Route::Encapsulate(GroupId(u32::try_from(1 + dice.roll(7)).unwrap())),
    }
}

/// A packet of a host at site A, of so many octets at most.
fn to_another_site(dice: &mut Dice, most: u64) -> Vec<u8> {
    let (a, b) = (u8::try_from(dice.roll(8)).unwrap(), dice.octet());
    let odd = dice.roll(20);
    if dice.once_in(2) {
        let source = if odd == 0 { [10, 7, 7, 7] } else { [10, 1, 0, 2 + dice.octet() % 200] };
        let to = match odd {
            1 => [10, 9, 9, 9],
            2 => [224, 0, 0, 99],
            _ => [10, 2, a, b],
        };
        dice.ipv4(source, to, most)
    } else {
        let source = if odd == 0 { "fd00:7::7".to_owned() } else { format!("fd00:1::{b:x}") };
        let to = if odd == 1 { "fd00:9::9".to_owned() } else { format!("fd00:2:0:{a}::{b:x}") };
        let [source, to] = [source, to].map(|text| text.parse::<std::net::Ipv6Addr>().unwrap());
        dice.ipv6(source.octets(), to.octets(), most)
    }
}

/// A frame for xTR B with a packet for a host at site B, or for none.
fn from_a_tunnel(dice: &mut Dice) -> Vec<u8> {
    let (host, ipv6, port) = (dice.one_of(&HOSTS), dice.once_in(2), dice.one_of(&PORTS));
    let odd = dice.roll(20);
    let inner = if dice.once_in(2) {
        let source = if odd == 0 { [10, 7, 7, 7] } else { [10, 1, 0, 2 + dice.octet() % 200] };
        let to = match odd {
            1 => [10, 9, 9, 9],
            2 => [224, 0, 0, 99],
            _ => [10, 2, 0, host],
        };
        dice.ipv4(source, to, 1425)
    } else {
        let source = format!("fd00:1::{:x}", dice.octet());
        let to = if odd == 1 { "fd00:9::9".to_owned() } else { format!("fd00:2::{host}") };
        let [source, to] = [source, to].map(|text| text.parse::<std::net::Ipv6Addr>().unwrap());
        dice.ipv6(source.octets(), to.octets(), 1425)
    };
    frame(XB_U0, XA_U0, &encapsulate(dice, ipv6, port, &inner))
}

/// Why what arrives does not come out of its tunnel.
const OF_ARRIVALS: [DropReason; 6] = [
    DropReason::BadHeader,
    DropReason::UnknownInstance,
    DropReason::UnexpectedControl,
    DropReason::UnknownProtocol,
    DropReason::EcnDiscarded,
    DropReason::Malformed,
];
/// Why what the router tells senders does not leave.
const OF_ANSWERS: [DropReason; 3] =
    [DropReason::HoldEidFull, DropReason::NoUsableRloc, DropReason::NoNativeRoute];

const LOCATORS_OF_A: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// A packet in one tunnel that is to go into another.
fn from_tunnel_to_tunnel(dice: &mut Dice) -> Vec<u8> {
    let (ipv6, port) = (dice.once_in(2), dice.one_of(&PORTS));
    let inner = to_another_site(dice, 1425);
    frame(XB_U0, XA_U0, &encapsulate(dice, ipv6, port, &inner))
}

/// Of the other site some may send from its locators, some from another; of some nobody knows.
fn map_senders(plane: &mut Plane) {
    let path = |rloc: &str| {
        let (rloc, encapsulation) = (rloc.parse().unwrap(), Encapsulation::Lisp);
        Path { rloc, priority: 1, weight: 1, encapsulation }
    };
    let paths = LOCATORS_OF_A.map(path).into_iter().chain([path("198.51.100.9")]).collect();
    plane.fib.apply(Change::SetGroup { id: GroupId(1), paths });
    plane.group(GroupId(2), "192.0.2.66");
    for (eid, route) in [
        ("10.1.0.32/27", Route::Encapsulate(GroupId(2))),
        ("10.1.0.64/27", Route::Native),
        ("10.1.0.96/27", Route::Local),
        ("10.1.0.128/27", Route::Encapsulate(GroupId(3))),
        ("fd00:1::40/122", Route::Encapsulate(GroupId(2))),
        ("fd00:1::80/122", Route::Resolve),
    ] {
        plane.set(eid, route);
    }
    // whose mapping depends on whom they send to
    for (eid, from) in [("10.1.0.160/27", "10.2.0.2/31"), ("fd00:1::c0/122", "fd00:2::2/127")] {
        let eid = EidPrefix::new(InstanceId::DEFAULT, prefix(eid));
        let key = EidKey { eid, from: Some(prefix(from)) };
        let route = Route::Encapsulate(GroupId(2));
        plane.fib.apply(Change::SetRoute { key, source: Source::Lisp, route });
    }
}

/// One by way of each socket.
fn markers_from_a_tunnel(to: Ipv4Addr) -> Vec<Vec<u8>> {
    let sockets = PORTS.into_iter().flat_map(|port| [(false, port), (true, port)]);
    let numbered = (0..).zip(sockets);
    numbered
        .map(|(number, (ipv6, port))| {
            let inner = marker([10, 1, 0, 2], to.octets(), number);
            // The first of these numbers that wraps it in a plain way.
            let plain = (0..).map(|seed| encapsulate(&mut Dice(seed), ipv6, port, &inner));
            let mut plain = plain.filter(|packet| is_plain(packet, &inner));
            frame(XB_U0, XA_U0, &plain.next().unwrap())
        })
        .collect()
}

fn is_plain(packet: &[u8], inner: &[u8]) -> bool {
    let outer = Header::read(packet).unwrap();
    let (head, frame) = packet[outer.transport + 8..].split_at(8);
    let intact = outer.is_ipv6() || Sum::ZERO.with(&packet[..outer.transport]).is_right();
    let plain = if packet.len() - inner.len() == outer.transport + 30 {
        head == [8, 0, 0, 0, 0, 0, 0, 0] && frame[0] & 1 == 0 && frame[12..14] == [0x08, 0x00]
    } else {
        head == [0; 8] || head == [0x0c, 0, 0, 1, 0, 0, 0, 0]
    };
    intact
        && plain
        && packet.ends_with(inner)
        && LOCATORS_OF_A.contains(&&*outer.source.to_string())
        && outer.ttl > 100
        && ecn::MASK & outer.traffic_class == 0
}

impl Run<'_> {
    /// Sends frames in batches that fit into every queue, and gathers what arrives.
    fn all(mut self, frames: &[Vec<u8>]) -> BTreeMap<Vec<u8>, usize> {
        let mut arrived = BTreeMap::new();
        for batch in frames.chunks(64) {
            for frame in batch {
                self.from.send(frame);
            }
            self.gather(&mut arrived);
        }
        // The last batch was forwarded as a whole when what came after it was.
        self.gather(&mut arrived);
        arrived
    }

    fn gather(&mut self, arrived: &mut BTreeMap<Vec<u8>, usize>) {
        self.markers.iter().for_each(|marker| self.from.send(marker));
        let mut missing = self.markers.len();
        while missing > 0 {
            let frame = self.to.next().expect("what was sent after a batch arrives");
            let Some(packet) = (self.of_interest)(&frame) else { continue };
            if is_marker(&packet) {
                missing -= 1;
            } else {
                *arrived.entry(packet).or_default() += 1;
            }
        }
    }
}

fn is_marker(packet: &[u8]) -> bool {
    (14..packet.len().min(90)).any(|start| marker_number(&packet[start..]).is_some())
}

/// The packet of a frame, without padding, with the frame's addresses in front.
fn packet_of(frame: &[u8]) -> Option<(Vec<u8>, Header)> {
    let header = Header::read(frame.get(14..)?).ok()?;
    Some((frame[..14 + header.length].to_vec(), header))
}

/// A packet in a tunnel, without what may differ: identification, flow label, source port,
/// checksums.
fn tunnel_packet(frame: &[u8]) -> Option<Vec<u8>> {
    let (mut packet, header) = packet_of(frame)?;
    if header.protocol != 17 || header.destination.is_multicast() {
        return None;
    }
    let udp = 14 + header.transport;
    if !PORTS.contains(&port_of(&packet, udp)) {
        return None;
    }
    if header.is_ipv6() {
        packet[15] &= 0xf0;
        packet[16..18].fill(0);
    } else {
        packet[18..20].fill(0);
        packet[24..26].fill(0);
    }
    packet[udp..udp + 2].fill(0);
    packet[udp + 6..udp + 8].fill(0);
    Some(packet)
}

/// A packet for a host that the router only forwards.
fn site_packet(frame: &[u8]) -> Option<Vec<u8>> {
    let (packet, header) = packet_of(frame)?;
    let of_the_router = match header.source {
        IpAddr::V4(source) => source == Ipv4Addr::new(10, 2, 0, 1),
        IpAddr::V6(source) => source.segments()[..2] != [0xfd00, 1],
    };
    (!of_the_router).then_some(packet)
}

/// What the portable plane counted, once it has counted what it sent last.
fn settled(tun: &Tun) -> weft_data::tun::Counters {
    let mut counters = tun.counters();
    loop {
        thread::sleep(Duration::from_millis(50));
        let before = std::mem::replace(&mut counters, tun.counters());
        if counters == before {
            return counters;
        }
    }
}

/// What a plane did.
fn outcome(
    mut plane: Plane,
    arrived: BTreeMap<Vec<u8>, usize>,
    fast: bool,
    of_tun: impl Fn(&weft_data::tun::Counters) -> ByFamily,
    of_ebpf: impl Fn(&weft_data::ebpf::Counters) -> ByFamily,
) -> Outcome {
    let tun = settled(&plane.tun);
    let mut carried = of_tun(&tun);
    let mut by_program = ByFamily::default();
    if let Some(ebpf) = plane.ebpf.as_mut().filter(|_| fast) {
        by_program = of_ebpf(&ebpf.counters());
        ebpf.sync_traffic(now());
        ebpf.sync_usage();
    }
    for (sum, more) in [(&mut carried.v4, by_program.v4), (&mut carried.v6, by_program.v6)] {
        sum.packets += more.packets;
        sum.bytes += more.bytes;
    }
    // The kernel's own multicast gets into the devices.
    let drops = tun.drops().filter(|(reason, _)| *reason != DropReason::Multicast).collect();
    let mut usage: Vec<_> =
        plane.fib.routes(None).into_iter().map(|route| (route.key, route.usage)).collect();
    usage.sort_by_key(|(eid, _)| *eid);
    let mut traffic = plane.fib.traffic();
    traffic.sort_by_key(|pair| (pair.local, pair.rloc));
    let fast = by_program.v4.packets + by_program.v6.packets;
    Outcome { arrived, carried, drops, usage, traffic, fast }
}

fn same(slow: &Outcome, fast: &Outcome, least: u64) {
    assert!(fast.fast > least, "the program did its part: {}", fast.fast);
    let all: BTreeSet<_> = slow.arrived.keys().chain(fast.arrived.keys()).collect();
    let differences: Vec<_> = all
        .into_iter()
        .map(|packet| (packet, [slow, fast].map(|run| run.arrived.get(packet).copied())))
        .filter(|(_, [slow, fast])| slow != fast)
        .map(|(packet, counts)| format!("{counts:?}: {:02x?}\n", &packet[..packet.len().min(110)]))
        .collect();
    assert!(differences.is_empty(), "the plane, the program:\n{}", differences.concat());
    assert_eq!(slow.carried, fast.carried);
    assert_eq!(slow.drops, fast.drops);
    assert_eq!(slow.usage, fast.usage);
    assert_eq!(slow.traffic, fast.traffic);
}

/// The UDP destination of a frame whose UDP header is there.
fn port_of(frame: &[u8], udp: usize) -> u16 {
    u16::from_be_bytes([frame[udp + 2], frame[udp + 3]])
}

/// A packet in a tunnel goes where the specification says that it may.
fn is_as_specified(reference: &Reference, packet: &[u8]) {
    let outer = Header::read(&packet[14..]).unwrap();
    let udp = 14 + outer.transport;
    let port = port_of(packet, udp);
    let frame_header = if port == 4789 { 14 } else { 0 };
    let inner = Header::read(&packet[udp + 16 + frame_header..]).unwrap();
    let (_, _, route) = reference.lookup(InstanceId::DEFAULT, inner.source, inner.destination);
    let Route::Encapsulate(group) = route else { panic!("{route:?}: {packet:02x?}") };
    let choices = reference.choices(group).unwrap();
    let allowed = choices.iter().any(|choice| {
        (choice.remote, choice.local) == (outer.destination, outer.source)
            && choice.encapsulation.port() == port
            && inner.length <= usize::from(choice.mtu)
    });
    assert!(allowed, "{choices:?}: {packet:02x?}");
}

fn text_of_mac(last: u8) -> String {
    format!("02:00:00:00:00:{last:02x}")
}

/// Where encapsulated packets go.
const PORTS: [u16; 3] = [4341, 4790, 4789];
/// The last octets of Ethernet addresses.
const HA_E0: u8 = 1;
const XA_H0: u8 = 2;
const XA_U0: u8 = 3;
const XB_U0: u8 = 4;
const XB_H0: u8 = 5;
const HB_E0: u8 = 6;
/// The last octets of remote locators, and of hosts at site B.
const RLOCS: [u8; 5] = [10, 11, 12, 13, 14];
const HOSTS: [u8; 4] = [2, 3, 4, 5];
/// An EID of its own for what marks the end of a batch.
const MARKED: Ipv4Addr = Ipv4Addr::new(10, 2, 255, 1);
