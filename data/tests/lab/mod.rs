//! Two sites and the underlay between them: four network namespaces in a row, host A, xTR A,
//! xTR B, host B, with a plane in each xTR whose table the test writes.
#![expect(clippy::unwrap_used, reason = "a lab that cannot be built fails the test")]
#![allow(dead_code, reason = "no test file uses all of it")]

pub(crate) mod fast;
pub(crate) mod packets;
pub(crate) mod wire;

use fast::index;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use sha2::{Digest, Sha256};
use weft_data::ebpf::Ebpf;
use weft_data::tun::{Options, Tun, Upcall};
use weft_fib::{Change, Encapsulation, Fib, GroupId, Path, Route, Source, Uplink, UplinkId};
use weft_packet::addr::{EidPrefix, InstanceId};

/// All there are.
pub(crate) const ENCAPSULATIONS: [Encapsulation; 4] =
    [Encapsulation::Lisp, Encapsulation::LispGpe, Encapsulation::VxlanGpe, Encapsulation::Vxlan];
/// What the kernel can do, too, and whether over IPv6.
pub(crate) const KERNELS: [(Encapsulation, bool); 4] = [
    (Encapsulation::VxlanGpe, false),
    (Encapsulation::VxlanGpe, true),
    (Encapsulation::Vxlan, false),
    (Encapsulation::Vxlan, true),
];

/// Addresses of hosts and xTRs: the same at both sites but for one digit.
pub(crate) const HOST_A: [&str; 2] = ["10.1.0.2", "fd00:1::2"];
pub(crate) const HOST_B: [&str; 2] = ["10.2.0.2", "fd00:2::2"];
const EIDS: [[&str; 2]; 2] = [["10.1.0.0/24", "fd00:1::/64"], ["10.2.0.0/24", "fd00:2::/64"]];
const RLOCS: [[&str; 2]; 2] = [["192.0.2.1", "2001:db8::1"], ["192.0.2.2", "2001:db8::2"]];
const DEVICE: &str = "weft0";
const NODES: [&str; 2] = ["xa", "xb"];
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

/// The namespaces; removed when dropped.
pub(crate) struct Lab {
    prefix: String,
}

/// A plane in an xTR, and its table.
pub(crate) struct Plane {
    pub(crate) tun: Tun,
    pub(crate) ebpf: Option<Ebpf>,
    pub(crate) fib: Fib,
    pub(crate) upcalls: Receiver<Upcall>,
}

/// Why the tests of this file cannot run here.
pub(crate) fn impossible() -> bool {
    let reason = if !nix::unistd::geteuid().is_root() {
        "not root"
    } else if File::open("/dev/net/tun").is_err() {
        "no /dev/net/tun"
    } else if Command::new("ip").arg("-V").output().is_err() {
        "no ip command"
    } else {
        return false;
    };
    println!("skipped: {reason}");
    true
}

impl Lab {
    /// Hosts with this MTU; the underlay has 1500.
    pub(crate) fn new(host_mtu: u16) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let lab = Self { prefix: format!("weft-d{}-{number}", std::process::id()) };
        for node in ["ha", "xa", "xb", "hb"] {
            ip(&format!("netns add {}", lab.name(node)));
            lab.ip(node, "link set lo up");
            lab.sysctl(node, "net.ipv6.conf.all.accept_dad=0");
            lab.sysctl(node, "net.ipv6.conf.default.accept_dad=0");
        }
        lab.link(("ha", "e0"), ("xa", "h0"), host_mtu);
        lab.link(("hb", "e0"), ("xb", "h0"), host_mtu);
        lab.link(("xa", "u0"), ("xb", "u0"), 1500);
        for (n, host, xtr) in [(1, "ha", "xa"), (2, "hb", "xb")] {
            for setting in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
                lab.sysctl(xtr, setting);
            }
            lab.address(host, "e0", &[format!("10.{n}.0.2/24"), format!("fd00:{n}::2/64")]);
            lab.address(xtr, "h0", &[format!("10.{n}.0.1/24"), format!("fd00:{n}::1/64")]);
            lab.address(xtr, "u0", &[format!("192.0.2.{n}/24"), format!("2001:db8::{n}/64")]);
            // as the daemon has it on its devices: from random addresses the kernel would send redirects
            lab.sysctl(xtr, "net.ipv6.conf.default.addr_gen_mode=1");
            lab.ip(host, &format!("route add default via 10.{n}.0.1"));
            lab.ip(host, &format!("-6 route add default via fd00:{n}::1"));
        }
        lab
    }

    /// Starts a plane at a site, with nothing but its own EIDs in the table.
    pub(crate) fn plane(&self, site: usize, ipv6_outer: bool, mtu: u16, options: Options) -> Plane {
        let (mut fib, reader) = Fib::new();
        let rloc = RLOCS[site][usize::from(ipv6_outer)].parse().unwrap();
        let node = NODES[site];
        let (id, interface) = (UplinkId(1), self.within(node, || index("u0")));
        let uplink = Uplink { id, rloc, interface, mtu, priority: 1, weight: 100, up: true };
        fib.apply(Change::SetUplinks(vec![uplink]));
        for eid in EIDS[site] {
            fib.apply(route(eid, Source::Local, Route::Local));
        }
        fib.publish();
        let (sender, upcalls) = channel();
        let sender = Mutex::new(sender);
        let take = Arc::new(move |upcall| sender.lock().unwrap().send(upcall).is_ok());
        let instances = [(InstanceId::DEFAULT, DEVICE.to_owned())];
        let tun = self.within(node, || Tun::start(options, &instances, reader, take).unwrap());
        self.ip(node, &format!("link set {DEVICE} up mtu 9000"));
        for (family, eid) in ["-4", "-6"].into_iter().zip(EIDS[1 - site]) {
            self.ip(node, &format!("{family} route replace {eid} dev {DEVICE}"));
        }
        Plane { tun, ebpf: None, fib, upcalls }
    }

    /// Makes the kernel the tunnel endpoint of site B, by VXLAN-GPE or by VXLAN. It takes packets
    /// without UDP checksum over IPv6, too (RFC 6935).
    pub(crate) fn kernel_peer(&self, encapsulation: Encapsulation, ipv6_outer: bool) {
        if encapsulation == Encapsulation::Vxlan {
            self.kernel_peer_by_frames(ipv6_outer);
        } else {
            self.kernel_peer_by_packets(ipv6_outer);
        }
    }

    /// A device on a network of Ethernet, as a router of a VXLAN fabric has it. It does not ask
    /// who there is: where to send frames to is written.
    fn kernel_peer_by_frames(&self, ipv6_outer: bool) {
        const PEER: &str = "02:00:00:00:00:0a";
        let [there, here] = [RLOCS[A], RLOCS[B]].map(|of| of[usize::from(ipv6_outer)]);
        let device = format!("id 0 dstport 4789 local {here} nolearning udp6zerocsumrx");
        let fabric = "address ba:25:cd:f4:ad:38";
        self.ip("xb", &format!("link add vx0 mtu 1430 {fabric} type vxlan {device}"));
        self.ip("xb", "link set vx0 up");
        let (said, done) =
            self.run("xb", &format!("bridge fdb append {PEER} dev vx0 dst {there} self"));
        assert!(done, "{said}");
        for (family, (via, eid)) in
            ["-4", "-6"].into_iter().zip(["169.254.1.1", "fe80::1"].into_iter().zip(EIDS[A]))
        {
            self.ip("xb", &format!("{family} neigh add {via} lladdr {PEER} dev vx0"));
            self.ip("xb", &format!("{family} route add {eid} via {via} dev vx0 onlink"));
        }
    }

    fn kernel_peer_by_packets(&self, ipv6_outer: bool) {
        self.ip("xb", "link add gpe0 type vxlan external gpe dstport 4790 udp6zerocsumrx");
        self.ip("xb", "link set gpe0 up mtu 1440");
        let rloc = RLOCS[A][usize::from(ipv6_outer)];
        let outer = if ipv6_outer { "ip6" } else { "ip" };
        for (family, eid) in ["-4", "-6"].into_iter().zip(EIDS[A]) {
            let encap = format!("encap {outer} id 0 dst {rloc}");
            self.ip("xb", &format!("{family} route add {eid} {encap} dev gpe0"));
        }
    }

    /// Planes at both sites with mappings of each other.
    pub(crate) fn planes(&self, encapsulation: Encapsulation, ipv6_outer: bool) -> [Plane; 2] {
        [A, B].map(|site| {
            let mut plane = self.plane(site, ipv6_outer, 1500, options_for(encapsulation));
            plane.map(1 - site, encapsulation, ipv6_outer);
            plane
        })
    }

    /// Runs `work` in a thread inside a namespace.
    pub(crate) fn within<T: Send>(&self, node: &str, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.name(node))).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// Runs a command in a namespace; its output, and whether it succeeded.
    pub(crate) fn run(&self, node: &str, command: &str) -> (String, bool) {
        let name = self.name(node);
        let output = Command::new("ip")
            .args(["netns", "exec", &name])
            .args(command.split(' '))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8(text).unwrap(), output.status.success())
    }

    /// Pings once from host A, again until an answer comes: neighbours have to be found first.
    pub(crate) fn ping(&self, address: &str) -> String {
        let mut said = String::new();
        for _ in 0..20 {
            let (text, answered) = self.run("ha", &format!("ping -n -c 1 -W 1 {address}"));
            if answered {
                return text;
            }
            said = text;
        }
        panic!("no answer from {address}: {said}");
    }

    /// Sends `length` octets by TCP from host A to an address of host B; true when they arrive
    /// as they were sent.
    pub(crate) fn transfer(&self, address: &str, length: usize) -> bool {
        self.transfer_between(["ha", "hb"], address, length)
    }

    /// As [`Self::transfer`], from host B to an address of host A.
    pub(crate) fn transfer_back(&self, address: &str, length: usize) -> bool {
        self.transfer_between(["hb", "ha"], address, length)
    }

    /// Sends `length` octets from host B to an address of host A with one system call, as
    /// datagrams of 1000 octets; true when each arrives by itself.
    pub(crate) fn burst_back(&self, address: &str, length: usize) -> bool {
        let receiver = self.within("ha", || UdpSocket::bind((address, 0)).unwrap());
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let to = receiver.local_addr().unwrap();
        let octets: Vec<u8> = (0..length).map(|n| (n / 1000 % 256).try_into().unwrap()).collect();
        self.within("hb", || {
            let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
            let sender = UdpSocket::bind(any).unwrap();
            setsockopt(&sender, UdpGsoSegment, &1000).unwrap();
            sender.send_to(&octets, to).unwrap();
        });
        octets.chunks(1000).all(|expected| {
            let mut datagram = [0; 2000];
            receiver.recv(&mut datagram).is_ok_and(|length| &datagram[..length] == expected)
        })
    }

    /// As [`Self::transfer`], between any nodes.
    pub(crate) fn transfer_between(
        &self,
        [from, to]: [&str; 2],
        address: &str,
        length: usize,
    ) -> bool {
        let ip: IpAddr = address.parse().unwrap();
        let listener = self.within(to, || TcpListener::bind(SocketAddr::new(ip, 0)).unwrap());
        let listening = listener.local_addr().unwrap();
        let octets: Vec<u8> =
            (0..length).map(|n| (n * n / 251 % 256).try_into().unwrap()).collect();
        let received = thread::scope(|scope| {
            let receiver = scope.spawn(move || {
                let mut octets = Vec::new();
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_to_end(&mut octets).unwrap();
                Sha256::digest(&octets)
            });
            let mut stream = self.within(from, || TcpStream::connect(listening).unwrap());
            stream.write_all(&octets).unwrap();
            drop(stream);
            receiver.join().unwrap()
        });
        received == Sha256::digest(&octets)
    }

    pub(crate) fn ip(&self, node: &str, command: &str) {
        ip(&format!("-n {} {command}", self.name(node)));
    }

    fn name(&self, node: &str) -> String {
        format!("{}-{node}", self.prefix)
    }

    fn link(&self, (a, a_name): (&str, &str), (b, b_name): (&str, &str), mtu: u16) {
        let (a_node, b_node) = (self.name(a), self.name(b));
        ip(&format!(
            "link add {a_name} netns {a_node} mtu {mtu} type veth \
             peer name {b_name} netns {b_node} mtu {mtu}"
        ));
        self.ip(a, &format!("link set {a_name} up"));
        self.ip(b, &format!("link set {b_name} up"));
    }

    fn address(&self, node: &str, device: &str, [v4, v6]: &[String; 2]) {
        self.ip(node, &format!("addr add {v4} dev {device}"));
        self.ip(node, &format!("addr add {v6} dev {device} nodad"));
    }

    fn sysctl(&self, node: &str, setting: &str) {
        let (said, done) = self.run(node, &format!("sysctl -qw {setting}"));
        assert!(done, "{setting}: {said}");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in ["ha", "xa", "xb", "hb", "xc"] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(node)]).output();
        }
    }
}

impl Plane {
    /// Maps the other site's EIDs to its RLOC.
    pub(crate) fn map(&mut self, other: usize, encapsulation: Encapsulation, ipv6_outer: bool) {
        let rloc = RLOCS[other][usize::from(ipv6_outer)].parse().unwrap();
        let paths = vec![Path { rloc, priority: 1, weight: 100, encapsulation }];
        self.fib.apply(Change::SetGroup { id: GroupId(1), paths });
        self.route(other, Route::Encapsulate(GroupId(1)));
    }

    /// Makes an address the only uplink; an interface of 0 leaves the way to the kernel.
    pub(crate) fn uplink(&mut self, rloc: &str, interface: u32) {
        self.uplinks(&[(rloc, interface)]);
    }

    /// Makes these addresses the uplinks, numbered from 1 on.
    pub(crate) fn uplinks(&mut self, uplinks: &[(&str, u32)]) {
        let uplinks = (1..).zip(uplinks).map(|(id, (rloc, interface))| {
            let (id, rloc, interface) = (UplinkId(id), rloc.parse().unwrap(), *interface);
            Uplink { id, rloc, interface, mtu: 1500, priority: 1, weight: 100, up: true }
        });
        self.fib.apply(Change::SetUplinks(uplinks.collect()));
    }

    /// Makes a path group of one locator.
    pub(crate) fn group(&mut self, id: GroupId, rloc: &str) {
        let rloc = rloc.parse().unwrap();
        let encapsulation = Encapsulation::Lisp;
        let paths = vec![Path { rloc, priority: 1, weight: 100, encapsulation }];
        self.fib.apply(Change::SetGroup { id, paths });
    }

    /// Sets what happens to packets to any prefix.
    pub(crate) fn set(&mut self, eid: &str, to: Route) {
        self.fib.apply(route(eid, Source::Static, to));
        self.publish();
        self.tun.release(eid_prefix(eid));
    }

    /// Sets what happens to packets to the other site, and releases what waits for it.
    pub(crate) fn route(&mut self, other: usize, to: Route) {
        for eid in EIDS[other] {
            self.fib.apply(route(eid, Source::Static, to));
        }
        self.publish();
        for eid in EIDS[other] {
            self.tun.release(eid_prefix(eid));
        }
    }
}

/// Options of a plane that receives what is wrapped so.
pub(crate) fn options_for(encapsulation: Encapsulation) -> Options {
    Options { vxlan: encapsulation == Encapsulation::Vxlan, ..Options::default() }
}

fn route(eid: &str, source: Source, route: Route) -> Change {
    Change::SetRoute { key: eid_prefix(eid).into(), source, route }
}

fn eid_prefix(eid: &str) -> EidPrefix {
    EidPrefix::new(InstanceId::DEFAULT, eid.parse().unwrap())
}

fn ip(command: &str) {
    let output = Command::new("ip").args(command.split_whitespace()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {command}: {said}");
}
