//! Which rules and routes bring packets to the data plane.
//!
//! Each instance has a TUN device and a routing table whose default route is that device. Rules,
//! first match first, in steps from the configured priority:
//!
//! 1. `iif EID-INTERFACE lookup TABLE` for interfaces bound to an instance, and `iif DEVICE lookup
//!    TABLE suppress_prefixlength 0` so that what is decapsulated stays in its instance;
//! 2. `iif DEVICE lookup main` for the default instance: decapsulated and natively forwarded
//!    packets take the ordinary way;
//! 3. `iif DEVICE unreachable`: what came from the data plane never returns to it, or packets
//!    without a route would go in circles;
//! 4. `to EID-PREFIX lookup main suppress_prefixlength 0`: traffic within the site stays native,
//!    but never leaves by a default route;
//! 5. `from EID-PREFIX lookup TABLE`: what our hosts send elsewhere goes to the data plane;
//! 6. `to ALLOWED-EID lookup TABLE` for a PITR, which takes packets from any source;
//! 7. `from RLOC lookup UPLINK-TABLE` where there are several IPv6 uplinks, since Linux takes the
//!    interface a socket demands for a mere hint with IPv6; and `oif UPLINK lookup UPLINK-TABLE`,
//!    since it does not look at the source when a BPF program asks for the way.
//!
//! Neighbouring EID-prefixes share a rule.

use std::collections::BTreeSet;
use std::net::IpAddr;
use weft_manage::config::{Config, Instance};
use weft_packet::addr::{InstanceId, Prefix};

use super::facts::{Address, Facts};

/// A routing rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    /// Lower is asked first.
    pub priority: u32,
    /// IPv6.
    pub ipv6: bool,
    /// What it matches.
    pub selector: Selector,
    /// What it does.
    pub action: Action,
}

/// What a rule does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// Looks in a table; 254 is main. Rules further down follow where it finds nothing.
    Lookup {
        /// The table.
        table: u32,
        /// Ignore default routes found there.
        no_default: bool,
    },
    /// Drops it and tells its sender.
    Unreachable,
}

/// What a rule matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Selector {
    /// Packets that came in there.
    Interface(String),
    /// Packets that are to leave there.
    Out(String),
    /// Packets from there.
    From(Prefix),
    /// Packets to there.
    To(Prefix),
}

/// A route in one of our tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    /// Which table.
    pub table: u32,
    /// To where.
    pub prefix: Prefix,
    /// Out of which interface.
    pub interface: u32,
    /// Directly attached subnet.
    pub connected: bool,
    /// The next router.
    pub gateway: Option<IpAddr>,
}

/// Everything we want installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Rules.
    pub rules: BTreeSet<Rule>,
    /// Routes.
    pub routes: BTreeSet<Route>,
}

/// Tables of uplinks come so far behind those of instances.
const UPLINK_TABLES: u32 = 0x8000;
/// The kernel's main table.
const MAIN: u32 = 254;

/// The device name of an instance: the configured one, `-NUMBER` behind it for all but the
/// default instance. Linux allows 15 characters.
pub(crate) fn device_name(base: &str, instance: InstanceId) -> String {
    if instance == InstanceId::DEFAULT {
        return base.to_owned();
    }
    let suffix = format!("-{instance}");
    let room = 15usize.saturating_sub(suffix.len());
    let base: String = base.chars().take(room).collect();
    format!("{base}{suffix}")
}

/// What must be installed for `config`, with interfaces as they are now. Those that do not
/// exist or are down get no routes.
pub(crate) fn plan(config: &Config, facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    let tunnel_router = config.lisp.itr.is_some() || config.lisp.etr.is_some();
    if !tunnel_router {
        return plan;
    }
    for (number, instance) in (0..).zip(&config.instances) {
        let table = config.data_plane.table.saturating_add(number);
        let device = device_name(&config.data_plane.device, instance.id);
        if let Some(link) = facts.link(&device).filter(|link| link.up) {
            for prefix in [Prefix::ALL_V4, Prefix::ALL_V6] {
                plan.routes.insert(Route {
                    table,
                    prefix,
                    interface: link.index,
                    connected: false,
                    gateway: None,
                });
            }
        }
        if instance.id == InstanceId::DEFAULT {
            default_instance(&mut plan, config, table, &device);
        } else {
            bound_instance(&mut plan, config, facts, instance, table, &device);
        }
    }
    underlay(&mut plan, config, facts);
    plan
}

/// What is sent from the RLOC of an uplink leaves through that uplink.
fn underlay(plan: &mut Plan, config: &Config, facts: &Facts) {
    let interfaces: BTreeSet<u32> = facts.underlay.iter().map(|route| route.interface).collect();
    let priority = config.data_plane.rule_priority.saturating_add(6);
    for (number, interface) in (0..).zip(interfaces) {
        let table = config.data_plane.table.saturating_add(UPLINK_TABLES).saturating_add(number);
        for address in facts.addresses_of(interface).filter(|a| a.global && a.ip.is_ipv6()) {
            plan.one(priority, Selector::From(Prefix::host(address.ip)), lookup(table));
        }
        if let Some(link) = facts.links.get(&interface) {
            let selector = Selector::Out(link.name.clone());
            plan.rules.insert(Rule { priority, ipv6: true, selector, action: lookup(table) });
        }
        // Neighbours must not be looked for behind the default route.
        let local = facts.addresses_of(interface).filter(|a| !a.global && a.ip.is_ipv6());
        for prefix in local.filter_map(Address::subnet) {
            plan.routes.insert(connected(table, prefix, interface));
        }
        let mut seen = BTreeSet::new();
        // In order of their metrics: of several routes to one prefix the preferred one.
        for route in facts.underlay.iter().filter(|route| route.interface == interface) {
            if seen.insert(route.prefix) {
                plan.routes.insert(Route {
                    table,
                    prefix: route.prefix,
                    interface,
                    connected: route.gateway.is_none() && route.prefix.length() > 0,
                    gateway: route.gateway,
                });
            }
        }
    }
}

fn bound_instance(
    plan: &mut Plan,
    config: &Config,
    facts: &Facts,
    instance: &Instance,
    table: u32,
    device: &str,
) {
    let priority = config.data_plane.rule_priority;
    for name in &instance.interfaces {
        plan.both(priority, name, lookup(table));
    }
    plan.both(priority, device, Action::Lookup { table, no_default: true });
    plan.both(priority.saturating_add(2), device, Action::Unreachable);
    // The kernel takes no route out of an interface that is down.
    for link in instance.interfaces.iter().filter_map(|name| facts.link(name)).filter(|l| l.up) {
        let subnets = facts.addresses_of(link.index).filter(|a| a.global);
        for prefix in subnets.filter_map(Address::subnet) {
            plan.routes.insert(connected(table, prefix, link.index));
        }
    }
}

fn connected(table: u32, prefix: Prefix, interface: u32) -> Route {
    Route { table, prefix, interface, connected: true, gateway: None }
}

fn default_instance(plan: &mut Plan, config: &Config, table: u32, device: &str) {
    let after = |steps: u32| config.data_plane.rule_priority.saturating_add(steps);
    plan.both(after(1), device, lookup(MAIN));
    plan.both(after(2), device, Action::Unreachable);
    let database = config.lisp.etr.iter().flat_map(|etr| &etr.database);
    let ours = database.map(|m| m.eid).filter(|eid| eid.instance == InstanceId::DEFAULT);
    for prefix in aggregated(ours.map(|eid| eid.prefix).collect()) {
        let within_site = Action::Lookup { table: MAIN, no_default: true };
        plan.one(after(3), Selector::To(prefix), within_site);
        plan.one(after(4), Selector::From(prefix), lookup(table));
    }
    let Some(itr) = config.lisp.itr.as_ref().filter(|itr| itr.proxy) else { return };
    for eid in itr.allowed_eids.iter().filter(|eid| eid.instance == InstanceId::DEFAULT) {
        plan.one(after(5), Selector::To(eid.prefix), lookup(table));
    }
}

/// The fewest prefixes that hold the same addresses: the kernel looks at one rule after the other
/// for each packet.
fn aggregated(mut prefixes: Vec<Prefix>) -> Vec<Prefix> {
    prefixes.sort_unstable();
    let mut fewest: Vec<Prefix> = Vec::new();
    for mut prefix in prefixes {
        if fewest.last().is_some_and(|last| last.covers(prefix)) {
            continue;
        }
        // Two halves make their whole, which may be a half in turn.
        while let Some(whole) = fewest
            .last()
            .filter(|last| last.length() == prefix.length())
            .and_then(|last| prefix.parent().filter(|parent| parent.covers(*last)))
        {
            fewest.pop();
            prefix = whole;
        }
        fewest.push(prefix);
    }
    fewest
}

fn lookup(table: u32) -> Action {
    Action::Lookup { table, no_default: false }
}

impl Plan {
    /// A rule about what comes in by an interface, for both families.
    fn both(&mut self, priority: u32, interface: &str, action: Action) {
        for ipv6 in [false, true] {
            let selector = Selector::Interface(interface.to_owned());
            self.rules.insert(Rule { priority, ipv6, selector, action });
        }
    }

    /// A rule about a prefix, for its family.
    fn one(&mut self, priority: u32, selector: Selector, action: Action) {
        let (Selector::From(prefix) | Selector::To(prefix)) = &selector else { return };
        let ipv6 = prefix.is_ipv6();
        self.rules.insert(Rule { priority, ipv6, selector, action });
    }
}

/// An address of the router that hosts of `instance` know, to send ICMP errors from.
pub(crate) fn router_address(
    config: &Config,
    facts: &Facts,
    of: &Instance,
    ipv6: bool,
) -> Option<IpAddr> {
    let etr = config.lisp.etr.as_ref()?;
    let own = |ip: IpAddr| {
        etr.database.iter().any(|m| m.eid.instance == of.id && m.eid.prefix.contains(ip))
    };
    let bound: Vec<u32> =
        of.interfaces.iter().filter_map(|name| facts.link(name)).map(|link| link.index).collect();
    facts
        .addresses
        .iter()
        .filter(|a| a.global && a.ip.is_ipv6() == ipv6)
        .filter(|a| bound.is_empty() || bound.contains(&a.index))
        .find(|a| own(a.ip))
        .map(|a| a.ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::{Link, UnderlayRoute};
    use weft_manage::config::{UplinkNames, check_text};

    /// The routes out of an interface bound to an instance, when it is up or not.
    fn routes_of_red(up: bool) -> Vec<String> {
        let text = "[vpn.red]\ninstance-id = 7\ninterfaces = [\"lo\"]\n[itr]\n\
                    map-resolvers = [\"192.0.2.1\"]\n";
        let (config, report) = check_text("weft.toml", text, &mut UplinkNames::default());
        let config = config.unwrap_or_else(|| panic!("{}", report.render(false)));
        let link =
            Link { index: 1, name: "lo".into(), mtu: 1500, up, carrier: up, ..Link::default() };
        let ip = "192.168.1.1".parse().unwrap();
        let address = Address { index: 1, ip, prefix_length: 24, usable: true, global: true };
        let (links, addresses) = ([(1, link)].into(), vec![address]);
        let plan = plan(&config, &Facts { links, addresses, ..Facts::default() });
        assert!(!plan.rules.is_empty());
        plan.routes.iter().map(|route| route.prefix.to_string()).collect()
    }

    #[test]
    fn interface_that_is_down_gets_no_routes() {
        assert_eq!(routes_of_red(true), ["192.168.1.0/24"]);
        assert!(routes_of_red(false).is_empty());
    }

    #[test]
    fn each_ipv6_uplink_has_a_table_for_its_source_and_for_its_interface() {
        let text = "[itr]\nmap-resolvers = [\"192.0.2.1\"]\n";
        let (config, report) = check_text("weft.toml", text, &mut UplinkNames::default());
        let config = config.unwrap_or_else(|| panic!("{}", report.render(false)));
        let mut facts = Facts::default();
        for (index, name) in [(1, "one"), (2, "two")] {
            let up = Link { index, name: name.into(), up: true, ..Link::default() };
            facts.links.insert(index, up);
            for (ip, global) in [(format!("2001:db8:{index}::2"), true), ("fe80::2".into(), false)]
            {
                let ip = ip.parse().unwrap();
                facts.addresses.push(Address {
                    index,
                    ip,
                    prefix_length: 64,
                    usable: true,
                    global,
                });
            }
            let gateway = Some(format!("2001:db8:{index}::1").parse().unwrap());
            let (interface, prefix) = (index, Prefix::ALL_V6);
            let route = UnderlayRoute { interface, prefix, metric: 100 * index, gateway };
            facts.underlay.insert(route);
        }
        let plan = plan(&config, &facts);
        for (index, name) in [(1, "one"), (2, "two")] {
            let table_of = |selector: Selector| {
                let mut rules = plan.rules.iter().filter(|rule| rule.selector == selector);
                rules.next().map(|rule| rule.action)
            };
            let source = format!("2001:db8:{index}::2/128").parse().unwrap();
            let table = table_of(Selector::From(source));
            assert!(matches!(table, Some(Action::Lookup { .. })), "{table:?}");
            assert_eq!(table_of(Selector::Out(name.into())), table);
            let Some(Action::Lookup { table, .. }) = table else { return };
            let routes: Vec<_> = plan.routes.iter().filter(|r| r.table == table).collect();
            assert!(routes.iter().all(|route| route.interface == index));
            let prefixes: Vec<_> = routes.iter().map(|route| route.prefix.to_string()).collect();
            assert_eq!(prefixes, ["::/0", "fe80::/64"]);
        }
    }

    #[test]
    fn neighbours_share_a_rule_and_nothing_is_added() {
        let fewest = |texts: &[&str]| -> Vec<String> {
            let prefixes = texts.iter().map(|text| text.parse().unwrap()).collect();
            aggregated(prefixes).iter().map(ToString::to_string).collect()
        };
        let quarters = ["10.0.3.0/24", "10.0.0.0/24", "10.0.2.0/24", "10.0.1.0/24"];
        assert_eq!(fewest(&quarters), ["10.0.0.0/22"]);
        assert_eq!(fewest(&quarters[..3]), ["10.0.0.0/24", "10.0.2.0/23"]);
        assert_eq!(fewest(&["10.0.1.0/24", "10.0.2.0/24"]), ["10.0.1.0/24", "10.0.2.0/24"]);
        assert_eq!(fewest(&["10.0.0.0/25", "10.0.0.0/8", "10.9.0.0/16"]), ["10.0.0.0/8"]);
        assert_eq!(fewest(&["::/1", "8000::/1", "0.0.0.0/1"]), ["0.0.0.0/1", "::/0"]);
    }

    #[test]
    fn device_names_fit_the_kernel() {
        let seven = InstanceId::new(7).unwrap();
        assert_eq!(device_name("weft0", InstanceId::DEFAULT), "weft0");
        assert_eq!(device_name("weft0", seven), "weft0-7");
        let long = device_name("averylongdevice", InstanceId::new(0xff_fffe).unwrap());
        assert_eq!((long.len(), long.as_str()), (15, "averyl-16777214"));
    }
}
