//! Interfaces, ports and kernel settings.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use weft_fib::{Encapsulation, Uplink};
use weft_manage::config::{Config, UplinkPlace};
use weft_packet::lisp::{CONTROL_PORT, DATA_PORT, VXLAN_GPE_PORT, VXLAN_PORT};

use super::Finding;
use crate::data_plane::PORT_OF_VXLAN;
use crate::host::facts::Facts;
use crate::host::{offload, sysctl};

/// The kernel settings that are not as they must be, or that all are.
pub(super) fn settings(config: &Config, facts: &Facts) -> Vec<Finding> {
    let check = "settings";
    let interfaces: BTreeSet<&str> = config
        .uplinks
        .iter()
        .filter_map(|uplink| match &uplink.place {
            UplinkPlace::Interface { name, .. } => Some(name.as_str()),
            UplinkPlace::Address(_) => None,
        })
        .filter(|name| facts.link(name).is_some())
        .collect();
    let wrong: Vec<_> = sysctl::needed(interfaces.into_iter())
        .iter()
        .filter_map(sysctl::Setting::check)
        .map(|wrong| {
            let setting = &wrong.setting;
            if config.data_plane.set_sysctls {
                let text = format!("{} is {}; the router will set it", setting.name, wrong.found);
                return Finding::right(check, text);
            }
            let value = setting.wanted.first().copied().unwrap_or_default();
            Finding::wrong(
                check,
                format!("{} is {}: {}", setting.name, wrong.found, setting.why),
                format!("sysctl -w {}={value}, or dataplane.set-sysctls = true", setting.name),
            )
        })
        .collect();
    match wrong.as_slice() {
        [] => vec![Finding::right(check, "forwarding is on, no strict reverse-path filter")],
        _ => wrong,
    }
}

/// Are the UDP ports free? A router that runs here has them.
pub(super) fn ports(carries: bool, vxlan: bool, running: bool) -> Vec<Finding> {
    let check = "ports";
    if running {
        return vec![Finding::right(check, "the router that runs here has its UDP ports")];
    }
    let data: &[u16] = match (carries, vxlan) {
        (false, _) => &[],
        (true, false) => &[DATA_PORT, VXLAN_GPE_PORT],
        (true, true) => &[DATA_PORT, VXLAN_GPE_PORT, VXLAN_PORT],
    };
    let ports: Vec<u16> = [&[CONTROL_PORT], data].concat();
    let taken: Vec<_> = ports
        .iter()
        .filter_map(|port| Some((port, can_bind(*port).err()?)))
        .map(|(port, error)| {
            let text = format!("UDP {port}: {error}; no LISP packets can be received");
            let fix = match *port {
                VXLAN_PORT => PORT_OF_VXLAN.to_owned(),
                _ => format!("ss -ulpn sport = :{port} shows who has it; stop that program"),
            };
            Finding::wrong(check, text, fix)
        })
        .collect();
    match taken.as_slice() {
        [] => {
            let names: Vec<_> = ports.iter().map(ToString::to_string).collect();
            vec![Finding::right(check, format!("UDP {} can be opened", names.join(", ")))]
        }
        _ => taken,
    }
}

/// Does each uplink work, and what is the largest packet it carries?
pub(super) fn uplinks(config: &Config, local: &[Uplink], facts: &Facts) -> Vec<Finding> {
    let check = "uplink";
    let mut findings = Vec::new();
    for configured in &config.uplinks {
        let place = match &configured.place {
            UplinkPlace::Interface { name, .. } => name.clone(),
            UplinkPlace::Address(address) => address.to_string(),
        };
        let mut found = local.iter().filter(|uplink| uplink.id == configured.id).peekable();
        if found.peek().is_none() {
            let (text, fix) = absent(&configured.place, facts);
            findings.push(Finding::wrong(check, text, fix));
        }
        let encapsulation = config.lisp.encapsulation;
        findings.extend(found.map(|uplink| uplink_finding(&place, uplink, encapsulation)));
    }
    findings
}

fn absent(place: &UplinkPlace, facts: &Facts) -> (String, String) {
    match place {
        UplinkPlace::Interface { name, .. } if facts.link(name).is_none() => (
            format!("there is no interface `{name}`"),
            "name one of those of `ip -brief link` in the locator-set".into(),
        ),
        UplinkPlace::Interface { name, .. } => (
            format!("{name} has no address that others can reach"),
            format!("ip address add ADDRESS/LENGTH dev {name}"),
        ),
        UplinkPlace::Address(address) => (
            format!("no interface has the address {address}"),
            format!("ip address add {address}/LENGTH dev INTERFACE"),
        ),
    }
}

fn uplink_finding(place: &str, uplink: &Uplink, encapsulation: Encapsulation) -> Finding {
    let check = "uplink";
    let overhead = encapsulation.overhead(uplink.rloc);
    let inner = uplink.mtu.saturating_sub(overhead);
    let rloc = uplink.rloc;
    if !uplink.up {
        let text = format!("{place} ({rloc}) is down, or without carrier");
        return Finding::wrong(check, text, format!("ip link set {place} up; look at the cable"));
    }
    if inner < LEAST_IPV6_MTU {
        return Finding::wrong(
            check,
            format!("{place} ({rloc}) has MTU {}: IPv6 needs {LEAST_IPV6_MTU} inside", uplink.mtu),
            format!("ip link set {place} mtu {}", LEAST_IPV6_MTU + overhead),
        );
    }
    let told = if inner < 1500 { ", hosts are told of it" } else { "" };
    Finding::right(check, format!("{place} ({rloc}) carries inner packets of {inner}{told}"))
}

/// Do uplinks leave work to hardware they do not have?
pub(super) fn offloads(local: &[Uplink], facts: &Facts) -> Vec<Finding> {
    let names: BTreeMap<u32, &str> = local
        .iter()
        .filter_map(|uplink| facts.links.get(&uplink.interface))
        .filter(|link| link.veth && offload::leaves_checksums(&link.name).unwrap_or(false))
        .map(|link| (link.index, link.name.as_str()))
        .collect();
    names
        .into_values()
        .map(|name| {
            Finding::doubtful(
                "offload",
                format!(
                    "{name} is a veth end and leaves checksums unfinished: a tunnel router in user \
                     space at the other end may get packets with wrong ones inside"
                ),
                format!("ethtool -K {name} tx off, if the other end is no weft"),
            )
        })
        .collect()
}

fn can_bind(port: u16) -> io::Result<()> {
    for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        let address = SocketAddr::new(any, port);
        let socket =
            match Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP)) {
                Ok(socket) => socket,
                // No IPv6 here.
                Err(_) if any.is_ipv6() => continue,
                Err(error) => return Err(error),
            };
        if any.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
    }
    Ok(())
}

const LEAST_IPV6_MTU: u16 = 1280;

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use weft_fib::UplinkId;

    fn uplink(mtu: u16, up: bool) -> Uplink {
        let rloc = "192.0.2.1".parse().unwrap();
        Uplink { id: UplinkId(0), rloc, interface: 3, mtu, priority: 1, weight: 100, up }
    }

    #[test]
    fn uplink_says_what_fits_and_what_does_not() {
        let fine = uplink_finding("eth0", &uplink(1500, true), Encapsulation::Lisp);
        assert_eq!(fine.state, State::Right);
        assert!(fine.text.contains("inner packets of 1464, hosts are told"), "{}", fine.text);
        let narrow = uplink_finding("eth0", &uplink(1300, true), Encapsulation::Lisp);
        assert_eq!(narrow.state, State::Wrong);
        assert_eq!(narrow.fix.as_deref(), Some("ip link set eth0 mtu 1316"));
        let frames = uplink_finding("eth0", &uplink(1300, true), Encapsulation::Vxlan);
        assert_eq!(frames.fix.as_deref(), Some("ip link set eth0 mtu 1330"));
        assert_eq!(
            uplink_finding("eth0", &uplink(1500, false), Encapsulation::Lisp).state,
            State::Wrong
        );
    }

    #[test]
    fn port_of_another_program_is_named_with_who_to_ask() {
        let other = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = other.local_addr().unwrap().port();
        assert!(can_bind(port).is_err());
        drop(other);
        assert!(can_bind(port).is_ok());
    }
}
