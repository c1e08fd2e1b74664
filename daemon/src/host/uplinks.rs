//! The local uplinks as they are: configured places joined with what the kernel says of them.

use std::net::IpAddr;
use weft_fib::Uplink;
use weft_manage::config::{self, UplinkPlace};

use super::facts::{Address, Facts, Link};

/// The uplinks with their current addresses. An interface without a usable address contributes
/// none; one without carrier contributes its addresses as not working.
pub(crate) fn uplinks(configured: &[config::Uplink], facts: &Facts) -> Vec<Uplink> {
    let mut found: Vec<_> = configured.iter().flat_map(|uplink| of_place(uplink, facts)).collect();
    found.sort_by_key(|uplink| (uplink.id, uplink.rloc));
    found.dedup_by_key(|uplink| (uplink.id, uplink.rloc));
    found
}

fn of_place(configured: &config::Uplink, facts: &Facts) -> Vec<Uplink> {
    let candidates: Vec<(&Link, &Address)> = match &configured.place {
        UplinkPlace::Interface { name, ipv6 } => facts
            .link(name)
            .into_iter()
            .flat_map(|link| facts.addresses_of(link.index).map(move |address| (link, address)))
            .filter(|(_, a)| a.global && ipv6.is_none_or(|v6| a.ip.is_ipv6() == v6))
            .collect(),
        UplinkPlace::Address(ip) => facts
            .addresses
            .iter()
            .filter(|address| address.ip == *ip)
            .filter_map(|address| Some((facts.links.get(&address.index)?, address)))
            .collect(),
    };
    one_of_each_family(&candidates)
        .into_iter()
        .map(|(link, address)| Uplink {
            id: configured.id,
            rloc: address.ip,
            interface: link.index,
            mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
            priority: configured.priority,
            weight: configured.weight,
            up: link.up
                && link.carrier
                && address.usable
                && !facts.unrouted.contains(&(link.index, address.ip.is_ipv6())),
        })
        .collect()
}

/// The first usable address of each family: an interface is one locator a family, however many
/// addresses it has.
fn one_of_each_family<'a>(candidates: &[(&'a Link, &'a Address)]) -> Vec<(&'a Link, &'a Address)> {
    let pick = |ipv6: bool| {
        let of_family = || candidates.iter().filter(move |(_, a)| a.ip.is_ipv6() == ipv6);
        of_family()
            .find(|(_, a)| a.usable && !is_unique_local(a.ip))
            .or_else(|| of_family().find(|(_, a)| a.usable))
            .or_else(|| of_family().next())
            .copied()
    };
    [pick(false), pick(true)].into_iter().flatten().collect()
}

/// A ULA serves as RLOC only where there is nothing better.
fn is_unique_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unique_local())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_fib::UplinkId;

    fn facts(carrier: bool, ips: &[&str]) -> Facts {
        let link =
            Link { index: 3, name: "eth0".into(), mtu: 1500, up: true, carrier, ..Link::default() };
        let address = |ip: &&str| Address {
            index: 3,
            ip: ip.parse().unwrap(),
            prefix_length: 24,
            usable: true,
            global: !ip.starts_with("fe80"),
        };
        let addresses = ips.iter().map(address).collect();
        Facts { links: [(3, link)].into(), addresses, ..Facts::default() }
    }

    fn eth0(ipv6: Option<bool>) -> Vec<config::Uplink> {
        let place = UplinkPlace::Interface { name: "eth0".into(), ipv6 };
        vec![config::Uplink { id: UplinkId(0), place, priority: 1, weight: 100 }]
    }

    fn rlocs(found: &[Uplink]) -> Vec<String> {
        found.iter().map(|u| u.rloc.to_string()).collect()
    }

    #[test]
    fn one_locator_a_family_and_a_ula_only_where_there_is_nothing_else() {
        let all = facts(true, &["192.0.2.1", "192.0.2.2", "fd00::1", "2001:db8::1", "fe80::1"]);
        assert_eq!(rlocs(&uplinks(&eth0(None), &all)), ["192.0.2.1", "2001:db8::1"]);
        let ula = facts(true, &["fd00::1", "fe80::1"]);
        assert_eq!(rlocs(&uplinks(&eth0(None), &ula)), ["fd00::1"]);
        assert!(uplinks(&eth0(Some(false)), &ula).is_empty());
    }

    #[test]
    fn without_a_route_only_that_family_is_not_up() {
        let mut facts = facts(true, &["192.0.2.1", "2001:db8::1"]);
        facts.unrouted.insert((3, false));
        let up: Vec<_> = uplinks(&eth0(None), &facts).iter().map(|u| u.up).collect();
        assert_eq!(up, [false, true]);
    }

    #[test]
    fn without_carrier_the_uplink_stays_but_is_not_up() {
        let found = uplinks(&eth0(None), &facts(false, &["192.0.2.1"]));
        assert_eq!(found.len(), 1);
        assert!(!found[0].up);
    }
}
