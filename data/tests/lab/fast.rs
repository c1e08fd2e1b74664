//! The program in front of the planes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use weft_data::ebpf::{Counters, Ebpf, Instance, Port, Refusal};
use weft_data::tun::{Options, Tun};
use weft_fib::{Change, Encapsulation, Fib, GroupId, LocatorState, Route, UplinkId};
use weft_packet::addr::InstanceId;

use super::{A, B, DEVICE, Lab, NODES, Plane, RLOCS, impossible, options_for};

/// Why the tests of the program cannot run here. A kernel that has everything must take it.
pub(crate) fn refused() -> bool {
    if impossible() {
        return true;
    }
    match Ebpf::probe() {
        Ok(()) => false,
        Err(refusal @ Refusal::Program(_)) if has_everything() => panic!("{refusal}"),
        Err(refusal) => {
            println!("skipped: {refusal}");
            true
        }
    }
}

/// Whether this is Linux 6.6 or later.
fn has_everything() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(6))
}

/// The host's port and the uplink of an xTR, in whose namespace this is asked.
pub(crate) fn ports(peer: bool) -> [Port; 2] {
    let instance = Some(InstanceId::DEFAULT);
    let port = Port { interface: 0, instance, encapsulate: false, decapsulate: false, peer: false };
    [
        Port { interface: index("h0"), encapsulate: true, peer, ..port },
        Port { interface: index("u0"), decapsulate: true, ..port },
    ]
}

/// The kernel's number of a device of the namespace this is asked in.
pub(crate) fn index(device: &str) -> u32 {
    if_nametoindex(device).unwrap()
}

impl Lab {
    /// As [`Lab::plane`], with the program in front of it.
    pub(crate) fn fast_plane(&self, site: usize, ipv6_outer: bool, options: Options) -> Plane {
        let options = Options { udp_gro: false, ..options };
        let mut plane = self.plane(site, ipv6_outer, 1500, options.clone());
        plane.ebpf = Some(self.ebpf(site, &mut plane, &options, None));
        plane
    }

    /// As [`Lab::planes`], with the program in front of both.
    pub(crate) fn fast_planes(&self, encapsulation: Encapsulation, ipv6_outer: bool) -> [Plane; 2] {
        [A, B].map(|site| {
            let mut plane = self.fast_plane(site, ipv6_outer, options_for(encapsulation));
            plane.map(1 - site, encapsulation, ipv6_outer);
            plane
        })
    }

    /// Starts the program at a site, with the plane's table, on the host's port and the uplink.
    pub(crate) fn ebpf(
        &self,
        site: usize,
        plane: &mut Plane,
        options: &Options,
        pins: Option<&Path>,
    ) -> Ebpf {
        self.within(NODES[site], || {
            let mut ebpf = Ebpf::start(options, pins).unwrap();
            let id = InstanceId::DEFAULT;
            ebpf.set_instances(&[Instance { id, device: index(DEVICE), any_source: false }]);
            ebpf.set_locals(&RLOCS[site].map(|rloc| rloc.parse().unwrap()));
            plane.fib.watch();
            plane.fib.take_updates();
            ebpf.apply(now(), plane.fib.snapshot_updates());
            ebpf.set_ports(&ports(false)).unwrap();
            ebpf
        })
    }

    /// Adds a third xTR, `xc`, whose uplink is at xTR B and which is its own host, 10.3.0.1. Its
    /// portable plane sends what is for site A to xTR B.
    pub(crate) fn third_site(&self) -> Plane {
        super::ip(&format!("netns add {}", self.name("xc")));
        self.ip("xc", "link set lo up");
        self.link(("xb", "u1"), ("xc", "u0"), 1500);
        self.ip("xb", "addr add 203.0.113.1/24 dev u1");
        self.ip("xc", "addr add 203.0.113.2/24 dev u0");
        self.ip("xc", "addr add 10.3.0.1/32 dev lo");
        self.ip("xc", "route add default via 203.0.113.1");
        let plane = self.within("xc", || {
            let (fib, reader) = Fib::new();
            let (sender, upcalls) = channel();
            let sender = Mutex::new(sender);
            let take = Arc::new(move |upcall| sender.lock().unwrap().send(upcall).is_ok());
            let instances = [(InstanceId::DEFAULT, DEVICE.to_owned())];
            let tun = Tun::start(Options::default(), &instances, reader, take).unwrap();
            let mut plane = Plane { tun, ebpf: None, fib, upcalls };
            plane.uplink("203.0.113.2", 0);
            plane
        });
        self.ip("xc", &format!("link set {DEVICE} up mtu 1400"));
        self.ip("xc", &format!("route add 10.1.0.0/24 dev {DEVICE} src 10.3.0.1"));
        plane
    }

    /// Connects the third site with site A: B is the router between their tunnels, by `options`, with an
    /// uplink towards each.
    pub(crate) fn connect_third_site(&self, [a, b]: [&mut Plane; 2], options: &Options) -> Plane {
        let mut c = self.third_site();
        c.set("10.3.0.0/24", Route::Local);
        c.group(GroupId(1), "192.0.2.2");
        c.set("10.1.0.0/24", Route::Encapsulate(GroupId(1)));
        a.set("10.3.0.0/24", Route::Encapsulate(GroupId(1)));
        self.ip("xa", "route add 10.3.0.0/24 dev weft0");
        let [u0, u1] = self.within("xb", || ["u0", "u1"].map(index));
        b.uplinks(&[("192.0.2.2", u0), ("203.0.113.1", u1)]);
        for (rloc, other) in [("192.0.2.1", 2), ("203.0.113.2", 1)] {
            let state = LocatorState { down: false, not_via: vec![UplinkId(other)] };
            b.fib.apply(Change::SetLocator { rloc: rloc.parse().unwrap(), state });
        }
        b.group(GroupId(3), "203.0.113.2");
        b.set("10.3.0.0/24", Route::Encapsulate(GroupId(3)));
        self.ip("xb", "route add 10.3.0.0/24 dev weft0");
        b.tun.set_options(options.clone());
        let ebpf = b.ebpf.as_mut().unwrap();
        ebpf.set_options(options);
        self.within("xb", || {
            let [h0, u0] = ports(false);
            ebpf.set_ports(&[h0, u0, Port { interface: u1, ..u0 }]).unwrap();
        });
        c
    }

    /// Sends datagrams of `length` octets from host A to an address of host B, which sends them
    /// back; how many returned as they were sent.
    pub(crate) fn echo(&self, address: &str, count: usize, length: usize) -> usize {
        const AT_ONCE: usize = 50;
        let ip: IpAddr = address.parse().unwrap();
        let any = if ip.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        let server = self.within("hb", || UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap());
        let client = self.within("ha", || UdpSocket::bind(any).unwrap());
        let to = server.local_addr().unwrap();
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        client.connect(to).unwrap();
        let datagram = |n: usize| -> Vec<u8> {
            (0..length).map(|m| ((n + m) % 251).try_into().unwrap()).collect()
        };
        thread::scope(|scope| {
            scope.spawn(|| reflect(&server));
            let mut returned = 0;
            for start in (0..count).step_by(AT_ONCE) {
                let batch: Vec<_> = (start..count.min(start + AT_ONCE)).map(datagram).collect();
                for datagram in &batch {
                    client.send(datagram).unwrap();
                }
                let mut octets = vec![0; 1 << 16];
                for _ in &batch {
                    let Ok(got) = client.recv(&mut octets) else { break };
                    returned += usize::from(batch.iter().any(|sent| sent == &octets[..got]));
                }
            }
            self.within("hb", || {
                UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap().send_to(&[], to).unwrap();
            });
            returned
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the lab is whom the clock is asked by")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sends back what comes, until it is nothing.
fn reflect(server: &UdpSocket) {
    let mut octets = vec![0; 1 << 16];
    while let Ok((length @ 1.., from)) = server.recv_from(&mut octets) {
        server.send_to(&octets[..length], from).unwrap();
    }
}

impl Plane {
    /// Shows changes to both planes.
    pub(crate) fn publish(&mut self) {
        self.fib.publish();
        if let Some(ebpf) = &mut self.ebpf {
            ebpf.apply(now(), self.fib.take_updates());
        }
    }

    /// What the program counted.
    pub(crate) fn fast(&self) -> Counters {
        self.ebpf.as_ref().unwrap().counters()
    }
}
