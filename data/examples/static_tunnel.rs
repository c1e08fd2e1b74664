//! A tunnel without a control plane: one static mapping for each family, packets to it go to one
//! locator. Useful to look at the data plane alone, and to measure it.
//!
//! `static_tunnel DEVICE LOCAL REMOTE LOCAL-EIDS REMOTE-EIDS [ENCAPSULATION] [QUEUES]`; EIDs are
//! prefixes separated by commas.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use weft_data::tun::{Options, Tun};
use weft_fib::{Change, Encapsulation, Fib, GroupId, Path, Route, Source, Uplink, UplinkId};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [device, local, remote, local_eids, remote_eids, rest @ ..] = &arguments[..] else {
        return Err("DEVICE LOCAL REMOTE LOCAL-EIDS REMOTE-EIDS [ENCAPSULATION] [QUEUES]".into());
    };
    let encapsulation = match rest.first().map(String::as_str) {
        None | Some("lisp") => Encapsulation::Lisp,
        Some("lisp-gpe") => Encapsulation::LispGpe,
        Some("vxlan-gpe") => Encapsulation::VxlanGpe,
        Some("vxlan") => Encapsulation::Vxlan,
        Some(other) => return Err(format!("`{other}` is no encapsulation").into()),
    };
    let queues = rest.get(1).map(|text| text.parse()).transpose()?;
    let (mut fib, reader) = Fib::new();
    fib.apply(Change::SetUplinks(vec![Uplink {
        id: UplinkId(1),
        rloc: local.parse()?,
        interface: 0,
        mtu: 1500,
        priority: 1,
        weight: 100,
        up: true,
    }]));
    let rloc = remote.parse()?;
    let paths = vec![Path { rloc, priority: 1, weight: 100, encapsulation }];
    fib.apply(Change::SetGroup { id: GroupId(1), paths });
    let routes = [(local_eids, Route::Local), (remote_eids, Route::Encapsulate(GroupId(1)))];
    for (prefixes, route) in routes {
        for prefix in prefixes.split(',') {
            let prefix: Prefix = prefix.parse()?;
            let eid = EidPrefix::new(InstanceId::DEFAULT, prefix);
            fib.apply(Change::SetRoute { key: eid.into(), source: Source::Static, route });
        }
    }
    fib.publish();
    let vxlan = encapsulation == Encapsulation::Vxlan;
    let options = Options { queues, vxlan, ..Options::default() };
    let instances = [(InstanceId::DEFAULT, device.clone())];
    let tun = Tun::start(options, &instances, reader, Arc::new(|_| true))?;
    println!("ready");
    let mut seen = tun.counters();
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let counters = tun.counters();
        if counters != seen {
            println!("{counters:?}");
        }
        seen = counters;
    }
}
