//! The eBPF data plane with a table of any size and no router: what its forwarding is worth with a
//! million prefixes, how fast they get there, and how long it takes to find one.

mod lookup;
mod prefixes;

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use weft_data::ebpf::{Ebpf, Instance, Port};
use weft_data::tun::{Options, Tun};
use weft_fib::{Change, Encapsulation, Fib, GroupId, Route, Source, Uplink, UplinkId};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

use crate::parse;

/// Mappings that have a locator-set of their own; the others share.
const GROUPS: u32 = 1000;
/// Changes that become visible together.
const BATCH: usize = 1000;
/// Prefixes that get another locator-set when all are there.
const REPLACED: usize = 100_000;

/// What is on the command line.
struct Words {
    device: String,
    local: IpAddr,
    remote: IpAddr,
    local_eid: Prefix,
    remote_eid: Prefix,
    prefixes: usize,
    host_port: String,
    uplink: String,
    pins: String,
}

/// A table and the planes that forward by it.
struct Planes {
    fib: Fib,
    ebpf: Ebpf,
    /// Has what the program leaves alone; stops when dropped.
    _tun: Tun,
}

/// CPU time that changes took: through the table, and of that in the eBPF data plane.
#[derive(Default)]
struct Took {
    changes: usize,
    all: Duration,
    ebpf: Duration,
}

/// `fill DEVICE LOCAL REMOTE LOCAL-EID REMOTE-EID PREFIXES HOST-PORT UPLINK PINS`: forwards until
/// it is ended; prints one JSON object when the table is full.
pub(crate) fn fill(words: &[&str]) -> Result<Value, String> {
    let words = Words::read(words)?;
    let mut planes = Planes::start(&words)?;
    let prefixes = prefixes::of(words.remote_eid, words.prefixes);
    let installed = planes.install(&prefixes, 1);
    let replaced = planes.install(prefixes.get(..REPLACED).unwrap_or(&prefixes), 2);
    planes.attach(&words)?;
    let mut told = json!({
        "prefixes": prefixes.len(),
        "loads": planes.ebpf.loads(),
        "update_per_s": installed.per_s(installed.ebpf),
        "through_fib_per_s": installed.per_s(installed.all),
        "replaced_per_s": replaced.per_s(replaced.ebpf),
    });
    if prefixes.len() > 1 {
        merge(&mut told, lookup::measure(&prefixes, Path::new(&words.pins)));
    }
    println!("{told}");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    planes.forward()
}

impl Words {
    fn read(words: &[&str]) -> Result<Self, String> {
        let [device, local, remote, local_eid, remote_eid, prefixes, host_port, uplink, pins] =
            words
        else {
            return Err(crate::HELP.into());
        };
        Ok(Self {
            device: (*device).to_owned(),
            local: parse(local)?,
            remote: parse(remote)?,
            local_eid: parse(local_eid)?,
            remote_eid: parse(remote_eid)?,
            prefixes: parse(prefixes)?,
            host_port: (*host_port).to_owned(),
            uplink: (*uplink).to_owned(),
            pins: (*pins).to_owned(),
        })
    }
}

impl Planes {
    /// Both planes with a table that has an uplink, our own EIDs and the groups.
    fn start(words: &Words) -> Result<Self, String> {
        let (mut fib, reader) = Fib::new();
        fib.watch();
        fib.apply(Change::SetUplinks(vec![Uplink {
            id: UplinkId(1),
            rloc: words.local,
            interface: interface(&words.uplink)?,
            mtu: 1500,
            priority: 1,
            weight: 100,
            up: true,
        }]));
        for group in 1..=GROUPS {
            let path = weft_fib::Path {
                rloc: words.remote,
                priority: 1,
                weight: 100,
                encapsulation: Encapsulation::Lisp,
            };
            fib.apply(Change::SetGroup { id: GroupId(group), paths: vec![path] });
        }
        fib.apply(set(words.local_eid, Source::Local, Route::Local));
        fib.publish();
        // what the program takes out of a super-packet must not have been put together before
        let options = Options { udp_gro: false, ..Options::default() };
        let instances = [(InstanceId::DEFAULT, words.device.clone())];
        let tun = Tun::start(options.clone(), &instances, reader, Arc::new(|_| true))
            .map_err(|error| error.to_string())?;
        let up = ["link", "set", &words.device, "up"];
        let up = Command::new("ip").args(up).status().map_err(|error| format!("ip: {error}"))?;
        if !up.success() {
            return Err(format!("{} does not come up", words.device));
        }
        let mut ebpf = Ebpf::start(&options, None).map_err(|error| error.to_string())?;
        let id = InstanceId::DEFAULT;
        let device = interface(&words.device)?;
        ebpf.set_instances(&[Instance { id, device, any_source: false }]);
        ebpf.set_locals(&[words.local]);
        ebpf.apply(now(), fib.take_updates());
        Ok(Self { fib, ebpf, _tun: tun })
    }

    /// Lets the program work.
    fn attach(&mut self, words: &Words) -> Result<(), String> {
        let port = Port {
            interface: interface(&words.host_port)?,
            instance: Some(InstanceId::DEFAULT),
            encapsulate: true,
            decapsulate: false,
            peer: false,
        };
        let interface = interface(&words.uplink)?;
        let uplink = Port { interface, encapsulate: false, decapsulate: true, ..port };
        self.ebpf.set_ports(&[port, uplink]).map_err(|error| error.to_string())
    }

    /// Maps the prefixes to groups, beginning with this one.
    fn install(&mut self, prefixes: &[Prefix], first: u32) -> Took {
        let mut took = Took { changes: prefixes.len(), ..Took::default() };
        let mut groups = (1..=GROUPS).cycle().skip(first as usize - 1);
        let began = spent();
        for batch in prefixes.chunks(BATCH) {
            for (prefix, group) in batch.iter().zip(&mut groups) {
                let route = Route::Encapsulate(GroupId(group));
                self.fib.apply(set(*prefix, Source::Static, route));
            }
            self.fib.publish();
            let updates = self.fib.take_updates();
            let began = spent();
            self.ebpf.apply(now(), updates);
            took.ebpf += spent().saturating_sub(began);
        }
        took.all = spent().saturating_sub(began);
        took
    }

    /// Keeps the tables as a router would, until somebody ends us.
    fn forward(mut self) -> ! {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            self.ebpf.apply(now(), self.fib.take_updates());
            self.ebpf.sync_traffic(now());
        }
    }
}

impl Took {
    fn per_s(&self, time: Duration) -> f64 {
        self.changes as f64 / time.as_secs_f64().max(1e-9)
    }
}

fn set(prefix: Prefix, source: Source, route: Route) -> Change {
    let eid = EidPrefix::new(InstanceId::DEFAULT, prefix);
    Change::SetRoute { key: eid.into(), source, route }
}

fn interface(name: &str) -> Result<u32, String> {
    if_nametoindex(name).map_err(|error| format!("{name}: {error}"))
}

/// Adds what was found out, or why it was not.
fn merge(told: &mut Value, found: Result<Value, String>) {
    let found = found.unwrap_or_else(|error| json!({ "lookup_error": error }));
    if let (Some(told), Value::Object(found)) = (told.as_object_mut(), found) {
        told.extend(found);
    }
}

/// CPU time of this thread: others on the machine do not count.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "the data plane wants to know when tables are free")]
fn now() -> Instant {
    Instant::now()
}
