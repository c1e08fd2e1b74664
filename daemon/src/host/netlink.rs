//! The one place that talks rtnetlink. No type of the netlink crate leaves it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, TryStreamExt};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope,
};
use rtnetlink::packet_route::link::{
    InfoKind, InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, LinkUnspec, MulticastGroup, RouteMessageBuilder};
use tokio::sync::Notify;

use weft_packet::addr::Prefix;

use super::facts::{Address, Facts, Link, UnderlayRoute};
use super::plan::{Action, Plan, Route, Rule, Selector};

/// Marks our rules and routes (`ip rule show`: `proto 76`), so that they can be told from
/// everybody else's.
const PROTOCOL: u8 = 76;

/// The note on devices that stay when their router goes.
pub(crate) const KEPT: &str = "weft keeps this device";

/// Packets that may wait for the data plane in each queue of a device. The kernel's default, 500,
/// overflows when a burst meets a busy processor.
const QUEUE: u32 = 2000;

/// Changes closer together than this are told as one: routes may come by the thousand.
const PAUSE: Duration = Duration::from_millis(20);

/// A conversation with the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Netlink {
    handle: Handle,
    /// Its dumps contain only what the question names, where the kernel can (Linux 4.20).
    strict: Handle,
}

impl Netlink {
    /// Opens the conversation. `changed` is notified when a link, address, route or rule changes.
    pub(crate) fn connect(changed: std::sync::Arc<Notify>) -> io::Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Rule,
        ];
        let (watch, _, mut messages) = rtnetlink::new_multicast_connection(&groups)?;
        tokio::spawn(watch);
        tokio::spawn(async move {
            // The first change is told at once; what follows within the pause is told as one.
            while messages.next().await.is_some() {
                while let Some(Some(_)) = messages.next().now_or_never() {}
                changed.notify_one();
                tokio::time::sleep(PAUSE).await;
            }
            tracing::error!("the kernel does not tell changes of links and routes any more");
        });
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let (connection, strict, _) = rtnetlink::new_connection_with_strict_check()
            .or_else(|_| rtnetlink::new_connection())?;
        tokio::spawn(connection);
        Ok(Self { handle, strict })
    }

    /// Links and addresses as they are now.
    pub(crate) async fn facts(&self) -> io::Result<Facts> {
        let mut facts = Facts::default();
        let mut links = self.handle.link().get().execute();
        while let Some(message) = links.try_next().await.map_err(io::Error::other)? {
            let link = link(&message);
            facts.links.insert(link.index, link);
        }
        let mut addresses = self.handle.address().get().execute();
        while let Some(message) = addresses.try_next().await.map_err(io::Error::other)? {
            facts.addresses.extend(address(&message));
        }
        facts.addresses.sort();
        Ok(facts)
    }

    /// True when packets to `target` that must leave through an interface have somewhere to go:
    /// a gateway, or a subnet of the interface. Linux takes any IPv4 address for a neighbour
    /// where an interface is demanded and no route is there; that is none.
    pub(crate) async fn has_route(&self, index: u32, target: IpAddr, subnets: &[Prefix]) -> bool {
        let query = match target {
            IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(ip, 32)
                .output_interface(index)
                .build(),
            IpAddr::V6(ip) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(ip, 128)
                .output_interface(index)
                .build(),
        };
        let mut answers = self.handle.route().get(query).execute();
        let Ok(Some(route)) = answers.try_next().await else { return false };
        let gateway =
            |a: &RouteAttribute| matches!(a, RouteAttribute::Gateway(_) | RouteAttribute::Via(_));
        let through = |a: &RouteAttribute| *a == RouteAttribute::Oif(index);
        route.attributes.iter().any(through)
            && (route.attributes.iter().any(gateway) || subnets.iter().any(|s| s.contains(target)))
    }

    /// IPv6 routes of the main table out of these interfaces.
    pub(crate) async fn underlay(
        &self,
        interfaces: &BTreeSet<u32>,
    ) -> io::Result<BTreeSet<UnderlayRoute>> {
        let mut query = RouteMessage::default();
        query.header.address_family = AddressFamily::Inet6;
        let mut found = BTreeSet::new();
        let mut routes = self.handle.route().get(query).execute();
        while let Some(message) = routes.try_next().await.map_err(io::Error::other)? {
            found.extend(underlay_route(&message, interfaces));
        }
        Ok(found)
    }

    /// Brings a device up with an MTU, and notes something about it.
    pub(crate) async fn bring_up(&self, index: u32, mtu: u32, note: &str) -> io::Result<()> {
        let message = LinkUnspec::new_with_index(index).mtu(mtu).txqueuelen(QUEUE).alias(note);
        self.handle.link().set(message.up().build()).execute().await.map_err(io::Error::other)
    }

    /// Removes a device.
    pub(crate) async fn remove_link(&self, index: u32) -> io::Result<()> {
        ignore_gone(self.handle.link().del(index).execute().await)
    }

    /// How many rules and routes of ours there are.
    pub(crate) async fn installed(&self) -> io::Result<(usize, usize)> {
        Ok((self.rules().await?.len(), self.routes().await?.len()))
    }

    /// Removes every rule and route of ours, also those a crashed run left.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        self.install(&Plan::default()).await
    }

    /// Makes our rules and routes what `plan` says: adds what is missing, removes what it does not
    /// name, and touches nothing else. Routes come before the rules that lead to them, and rules
    /// go after those that take over for them. What the kernel refuses does not keep the rest from
    /// being done; the first refusal is returned.
    pub(crate) async fn install(&self, plan: &Plan) -> io::Result<()> {
        let (mut routes, mut rules) = (plan.routes.clone(), plan.rules.clone());
        let (installed_rules, installed_routes) = (self.rules().await?, self.routes().await?);
        let mut done = Ok(());
        for (message, route) in installed_routes {
            if !route.is_some_and(|route| routes.remove(&route)) {
                done = done.and(ignore_gone(self.handle.route().del(message).execute().await));
            }
        }
        for route in routes {
            let added = self.handle.route().add(route_message(&route)).execute().await;
            done = done.and(ignore_there(added));
        }
        let needless: Vec<_> = installed_rules
            .into_iter()
            .filter(|(_, rule)| !rule.as_ref().is_some_and(|rule| rules.remove(rule)))
            .collect();
        for rule in rules {
            let mut request = self.handle.rule().add();
            *request.message_mut() = rule_message(&rule);
            done = done.and(ignore_there(request.execute().await));
        }
        for (message, _) in needless {
            done = done.and(ignore_gone(self.handle.rule().del(message).execute().await));
        }
        done
    }

    async fn rules(&self) -> io::Result<Vec<(RuleMessage, Option<Rule>)>> {
        let mut found = Vec::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            let mut rules = self.handle.rule().get(version).execute();
            while let Some(message) = rules.try_next().await.map_err(io::Error::other)? {
                let ours = RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL));
                if message.attributes.contains(&ours) {
                    let rule = rule(&message);
                    found.push((message, rule));
                }
            }
        }
        Ok(found)
    }

    async fn routes(&self) -> io::Result<Vec<(RouteMessage, Option<Route>)>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut query = RouteMessage::default();
            query.header.address_family = family;
            query.header.protocol = RouteProtocol::from(PROTOCOL);
            let mut routes = self.strict.route().get(query).execute();
            while let Some(message) = routes.try_next().await.map_err(io::Error::other)? {
                if message.header.protocol == RouteProtocol::from(PROTOCOL) {
                    let route = route(&message);
                    found.push((message, route));
                }
            }
        }
        Ok(found)
    }
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mtu: 1500,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: message.header.flags.contains(LinkFlags::LowerUp),
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        ..Link::default()
    };
    let mut related_elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::LinkNetNsId(_) => related_elsewhere = true,
            LinkAttribute::LinkInfo(about) => {
                link.veth |= about.contains(&LinkInfo::Kind(InfoKind::Veth));
                link.member |= about.iter().any(takes_frames);
            }
            _ => {}
        }
    }
    link.peer_elsewhere = link.veth && related_elsewhere;
    link
}

/// True when what the link is a port of takes its frames before anybody else. A VRF does not.
fn takes_frames(about: &LinkInfo) -> bool {
    use InfoPortKind::{Bond, Bridge, Other, Team};
    let LinkInfo::PortKind(kind) = about else { return false };
    matches!(kind, Bond | Bridge | Team) || *kind == Other("ovs".into())
}

fn address(message: &AddressMessage) -> Option<Address> {
    let mut ip = None;
    let mut flags = AddressFlags::empty();
    for attribute in &message.attributes {
        match attribute {
            // On point-to-point links Local is ours and Address the peer's.
            AddressAttribute::Local(local) => ip = Some(*local),
            AddressAttribute::Address(address) if ip.is_none() => ip = Some(*address),
            AddressAttribute::Flags(given) => flags = *given,
            _ => {}
        }
    }
    let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed | AddressFlags::Deprecated;
    Some(Address {
        index: message.header.index,
        ip: ip?,
        prefix_length: message.header.prefix_len,
        usable: !flags.intersects(unusable),
        global: message.header.scope == AddressScope::Universe,
    })
}

fn route(message: &RouteMessage) -> Option<Route> {
    let ipv6 = message.header.address_family == AddressFamily::Inet6;
    let mut route = Route {
        table: u32::from(message.header.table),
        prefix: if ipv6 { Prefix::ALL_V6 } else { Prefix::ALL_V4 },
        interface: 0,
        connected: message.header.scope == RouteScope::Link,
        gateway: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Oif(index) => route.interface = *index,
            RouteAttribute::Destination(destination) => {
                let length = message.header.destination_prefix_length;
                route.prefix = Prefix::new(route_address(destination)?, length)?;
            }
            RouteAttribute::Gateway(gateway) => route.gateway = Some(route_address(gateway)?),
            _ => {}
        }
    }
    // The kernel knows no link scope for IPv6 routes.
    if ipv6 {
        route.connected = route.prefix.length() > 0 && route.gateway.is_none();
    }
    Some(route)
}

fn route_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::from(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::from(*ip)),
        _ => None,
    }
}

/// A unicast route of the main table out of one of `interfaces`; not of link-local scope.
fn underlay_route(message: &RouteMessage, interfaces: &BTreeSet<u32>) -> Option<UnderlayRoute> {
    let parsed = route(message)?;
    let main = parsed.table == u32::from(RouteHeader::RT_TABLE_MAIN);
    let unicast = message.header.kind == RouteType::Unicast;
    let learned = message.header.flags.contains(RouteFlags::Cloned);
    let IpAddr::V6(ip) = parsed.prefix.address() else { return None };
    if !main || !unicast || learned || ip.is_unicast_link_local() || ip.is_multicast() {
        return None;
    }
    let metric = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    interfaces.contains(&parsed.interface).then_some(UnderlayRoute {
        interface: parsed.interface,
        prefix: parsed.prefix,
        metric: metric.unwrap_or_default(),
        gateway: parsed.gateway,
    })
}

fn route_message(route: &Route) -> RouteMessage {
    let (ip, length) = (route.prefix.address(), route.prefix.length());
    let scope = if route.connected { RouteScope::Link } else { RouteScope::Universe };
    match ip {
        IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(ip, length)
            .output_interface(route.interface)
            .table_id(route.table)
            .protocol(RouteProtocol::from(PROTOCOL))
            .scope(scope)
            .kind(RouteType::Unicast)
            .build(),
        IpAddr::V6(ip) => {
            let message = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(ip, length)
                .output_interface(route.interface)
                .table_id(route.table)
                .protocol(RouteProtocol::from(PROTOCOL))
                .kind(RouteType::Unicast);
            match route.gateway {
                Some(IpAddr::V6(gateway)) => message.gateway(gateway).build(),
                _ => message.build(),
            }
        }
    }
}

fn rule(message: &RuleMessage) -> Option<Rule> {
    let mut rule = Rule {
        priority: 0,
        ipv6: message.header.family == AddressFamily::Inet6,
        selector: Selector::Interface(String::new()),
        action: Action::Unreachable,
    };
    let (mut number, mut suppressed) = (u32::from(message.header.table), false);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => number = *table,
            RuleAttribute::SuppressPrefixLen(0) => suppressed = true,
            RuleAttribute::Iifname(name) => rule.selector = Selector::Interface(name.clone()),
            RuleAttribute::Oifname(name) => rule.selector = Selector::Out(name.clone()),
            RuleAttribute::Source(ip) => {
                rule.selector = Selector::From(Prefix::new(*ip, message.header.src_len)?);
            }
            RuleAttribute::Destination(ip) => {
                rule.selector = Selector::To(Prefix::new(*ip, message.header.dst_len)?);
            }
            _ => {}
        }
    }
    match message.header.action {
        RuleAction::ToTable => {
            rule.action = Action::Lookup { table: number, no_default: suppressed };
            Some(rule)
        }
        RuleAction::Unreachable => Some(rule),
        _ => None,
    }
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = if rule.ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.attributes = vec![
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL)),
    ];
    match rule.action {
        Action::Lookup { table, no_default } => {
            message.header.action = RuleAction::ToTable;
            message.attributes.push(RuleAttribute::Table(table));
            if no_default {
                message.attributes.push(RuleAttribute::SuppressPrefixLen(0));
            }
        }
        Action::Unreachable => message.header.action = RuleAction::Unreachable,
    }
    match &rule.selector {
        Selector::Interface(name) => message.attributes.push(RuleAttribute::Iifname(name.clone())),
        Selector::Out(name) => message.attributes.push(RuleAttribute::Oifname(name.clone())),
        Selector::From(prefix) => {
            message.header.src_len = prefix.length();
            message.attributes.push(RuleAttribute::Source(prefix.address()));
        }
        Selector::To(prefix) => {
            message.header.dst_len = prefix.length();
            message.attributes.push(RuleAttribute::Destination(prefix.address()));
        }
    }
    message
}

/// What is gone already need not be removed.
fn ignore_gone(result: Result<(), rtnetlink::Error>) -> io::Result<()> {
    ignore(result, &[libc::ENOENT, libc::ESRCH, libc::ENODEV])
}

/// What is there already need not be added.
fn ignore_there(result: Result<(), rtnetlink::Error>) -> io::Result<()> {
    ignore(result, &[libc::EEXIST])
}

fn ignore(result: Result<(), rtnetlink::Error>, codes: &[i32]) -> io::Result<()> {
    match result {
        Err(rtnetlink::Error::NetlinkError(error)) if codes.contains(&error.raw_code().abs()) => {
            Ok(())
        }
        other => other.map_err(io::Error::other),
    }
}
