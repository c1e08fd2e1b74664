//! The forwarding table from outside: what control planes say, what data planes then read.
#![expect(clippy::unwrap_used, reason = "tests")]

mod counts;
mod explanation;
mod groups;
mod publication;
mod specification;
mod updates;

use std::net::{IpAddr, Ipv4Addr};

use weft_fib::{
    Change, Encapsulation, GroupId, LocatorState, Path, Route, Source, Uplink, UplinkId,
};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

/// Who sends where it does not matter who does.
const ANYONE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));

/// An address.
fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A prefix in the default instance.
fn eid(text: &str) -> EidPrefix {
    EidPrefix::new(InstanceId::DEFAULT, text.parse::<Prefix>().unwrap())
}

/// `source` says `route` about a prefix of the default instance.
fn route(text: &str, source: Source, route: Route) -> Change {
    Change::SetRoute { key: eid(text).into(), source, route }
}

/// `source` says nothing about it any more.
fn no_route(text: &str, source: Source) -> Change {
    Change::ClearRoute { key: eid(text).into(), source }
}

/// A group of (locator, priority, weight).
fn group(id: u32, paths: &[(&str, u8, u8)]) -> Change {
    let paths = paths.iter().map(|&(rloc, priority, weight)| Path {
        rloc: address(rloc),
        priority,
        weight,
        encapsulation: Encapsulation::Lisp,
    });
    Change::SetGroup { id: GroupId(id), paths: paths.collect() }
}

/// A locator is down.
fn down(rloc: &str) -> Change {
    let state = LocatorState { down: true, not_via: vec![] };
    Change::SetLocator { rloc: address(rloc), state }
}

/// A locator does not answer through these uplinks.
fn not_via(rloc: &str, uplinks: &[u16]) -> Change {
    let not_via = uplinks.iter().copied().map(UplinkId).collect();
    Change::SetLocator { rloc: address(rloc), state: LocatorState { down: false, not_via } }
}

/// A working uplink with an MTU of 1500.
fn uplink(id: u16, rloc: &str, priority: u8, weight: u8) -> Uplink {
    Uplink {
        id: UplinkId(id),
        rloc: address(rloc),
        interface: u32::from(id) + 10,
        mtu: 1500,
        priority,
        weight,
        up: true,
    }
}

/// An uplink that does not work.
fn broken(uplink: &Uplink) -> Uplink {
    Uplink { up: false, ..uplink.clone() }
}
