//! Links and nodes: names, addresses, gateways, what runs where.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;

use super::matrix::Variant;
use super::problem::{Problems, did_you_mean};
use super::raw;
use crate::action::Action;
use crate::quantity;
use crate::topology::{Attachment, Family, Impairment, Kind, Link, Node, Route, Subnet, Topology};

/// Interface names are at most this long.
const NAME_LIMIT: usize = 15;

/// Longest name of a lab.
const LAB_NAME_LIMIT: usize = 48;

/// Resolves everything but the checks.
pub(super) fn resolve(
    path: &Path,
    variant: &Variant,
    file: &raw::File,
    problems: &mut Problems,
) -> Topology {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = file.lab.name.as_ref().map(|name| name.get_ref().clone()).or(stem);
    let name = name.unwrap_or_default() + &variant.suffix;
    let span = file.lab.name.as_ref().map_or(0..0, Spanned::span);
    check_name(&name, LAB_NAME_LIMIT, span, problems);
    let mut topology = Topology {
        name,
        about: file.lab.about.clone(),
        file: path.to_owned(),
        text: variant.text.clone(),
        links: links(file, problems),
        nodes: Vec::new(),
        checks: Vec::new(),
        record: file.lab.record.0.iter().map(|link| link.get_ref().clone()).collect(),
    };
    let written: Vec<(&Spanned<String>, &raw::Node, &str)> = all_nodes(file);
    for (name, node, default_kind) in &written {
        let resolved = node_of(path, name, node, default_kind, &topology, problems);
        if topology.node(&resolved.name).is_some() || topology.link(&resolved.name).is_some() {
            let name = &resolved.name;
            problems.add(written_span(&written, name), format!("`{name}` is used twice"));
        }
        topology.nodes.push(resolved);
    }
    for (name, node, _) in &written {
        let routes = routes(name.get_ref(), node, &topology, problems);
        if let Some(node) = topology.nodes.iter_mut().find(|n| n.name == *name.get_ref()) {
            node.routes = routes;
        }
    }
    for link in &file.lab.record.0 {
        if topology.link(link.get_ref()).is_none() {
            unknown("link", link, topology.links.iter().map(|link| &*link.name), problems);
        }
    }
    topology
}

/// Says that no such thing exists, with advice.
pub(super) fn unknown<'a>(
    what: &str,
    name: &Spanned<String>,
    names: impl Iterator<Item = &'a str>,
    problems: &mut Problems,
) {
    let help = did_you_mean(name.get_ref(), names);
    let message = format!("no {what} is called `{}`", name.get_ref());
    problems.add_with_help(name.span(), message, help);
}

fn all_nodes(file: &raw::File) -> Vec<(&Spanned<String>, &raw::Node, &'static str)> {
    let nodes = file.node.iter().map(|(name, node)| (name, node, "weft"));
    let hosts = file.host.iter().map(|(name, node)| (name, node, "host"));
    let routers = file.router.iter().map(|(name, node)| (name, node, "router"));
    let mut all: Vec<_> = nodes.chain(hosts).chain(routers).collect();
    all.sort_by_key(|(name, ..)| name.span().start);
    all
}

fn written_span(written: &[(&Spanned<String>, &raw::Node, &str)], name: &str) -> Range<usize> {
    written
        .iter()
        .rev()
        .find(|(written, ..)| written.get_ref() == name)
        .map_or(0..0, |(written, ..)| written.span())
}

fn check_name(name: &str, limit: usize, span: Range<usize>, problems: &mut Problems) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > limit || name.starts_with('-') || !name.chars().all(allowed)
    {
        problems.add(
            span,
            format!("`{name}` is not a name; use at most {limit} of a-z, 0-9, `-` and `_`"),
        );
    }
}

/// Links that are declared, and those that two or more nodes just use.
fn links(file: &raw::File, problems: &mut Problems) -> Vec<Link> {
    let mut links: Vec<Link> =
        file.link.iter().map(|(name, link)| link_of(name, link, file, problems)).collect();
    let mut undeclared: BTreeMap<&str, Vec<&Spanned<String>>> = BTreeMap::new();
    for (_, node, _) in all_nodes(file) {
        for name in node.links.keys().filter(|name| !file.link.contains_key(*name)) {
            undeclared.entry(name.get_ref()).or_default().push(name);
        }
    }
    let declared: Vec<&str> = file.link.keys().map(|name| name.get_ref().as_str()).collect();
    for (name, ends) in &undeclared {
        if let [only] = ends.as_slice() {
            let others = undeclared.iter().filter(|(_, ends)| ends.len() > 1);
            let names = declared.iter().copied().chain(others.map(|(name, _)| *name));
            problems.add_with_help(
                only.span(),
                format!("link `{name}` has one end only, and no [link.{name}] declares it"),
                did_you_mean(name, names),
            );
        }
        check_name(name, NAME_LIMIT, ends[0].span(), problems);
        let wire = will_be_impaired(name, file).then(Impairment::default);
        links.push(Link { name: (*name).to_owned(), subnets: Vec::new(), mtu: None, wire });
    }
    links
}

fn link_of(
    name: &Spanned<String>,
    link: &raw::Link,
    file: &raw::File,
    problems: &mut Problems,
) -> Link {
    check_name(name.get_ref(), NAME_LIMIT, name.span(), problems);
    let mut impairment = Impairment::default();
    let mut is_wire = link.wire || will_be_impaired(name.get_ref(), file);
    if let Some(delay) = &link.delay {
        is_wire = true;
        let parsed = problems.check(delay.span(), quantity::duration(delay.get_ref()));
        impairment.delay = parsed.unwrap_or_default();
    }
    if let Some(loss) = &link.loss {
        is_wire = true;
        let parsed = problems.check(loss.span(), quantity::percent(&loss.get_ref().0));
        impairment.loss = parsed.unwrap_or_default();
    }
    if let Some(rate) = &link.rate {
        is_wire = true;
        impairment.rate = problems.check(rate.span(), quantity::bit_rate(rate.get_ref()));
    }
    if let Some(queue) = &link.queue {
        impairment.queue = *queue.get_ref();
        if link.rate.is_none() {
            problems.add(queue.span(), "a queue fills only when the link has a `rate`");
        }
    }
    impairment.seed = link.seed.unwrap_or(impairment.seed);
    if let Some(mtu) = link.mtu.as_ref().filter(|mtu| *mtu.get_ref() < 68) {
        problems.add(mtu.span(), "an MTU is at least 68 (RFC 791), 1280 where IPv6 is used");
    }
    let subnets = link.subnet.0.iter().filter_map(|subnet| {
        let parsed = Subnet::parse(subnet.get_ref())
            .ok_or_else(|| format!("`{}` is not a subnet such as 10.0.0.0/24", subnet.get_ref()));
        problems.check(subnet.span(), parsed)
    });
    Link {
        subnets: subnets.collect(),
        name: name.get_ref().clone(),
        mtu: link.mtu.as_ref().map(|mtu| *mtu.get_ref()),
        wire: is_wire.then_some(impairment),
    }
}

/// Does any check do to the link what only a wire can?
fn will_be_impaired(link: &str, file: &raw::File) -> bool {
    let sentences = file.check.iter().flat_map(|check| &check.get_ref().actions.0);
    sentences.filter_map(|sentence| Action::parse(sentence.get_ref()).ok()).any(|action| {
        matches!(action, Action::Link { link: name, change } if name == link && change.needs_wire())
    })
}

fn node_of(
    path: &Path,
    name: &Spanned<String>,
    node: &raw::Node,
    default_kind: &str,
    topology: &Topology,
    problems: &mut Problems,
) -> Node {
    check_name(name.get_ref(), NAME_LIMIT, name.span(), problems);
    for file in node.files.keys() {
        if file.get_ref().contains('/') || file.get_ref().starts_with('.') {
            problems.add(file.span(), "a file of a node has a plain name");
        }
    }
    Node {
        name: name.get_ref().clone(),
        kind: kind(path, name, node, default_kind, problems),
        attachments: attachments(node, topology, problems),
        routes: Vec::new(),
        sysctls: node.sysctls.iter().map(|(k, v)| (k.get_ref().clone(), v.0.clone())).collect(),
        files: node.files.iter().map(|(k, v)| (k.get_ref().clone(), v.clone())).collect(),
        environment: node.environment.clone(),
    }
}

fn kind(
    path: &Path,
    name: &Spanned<String>,
    node: &raw::Node,
    default_kind: &str,
    problems: &mut Problems,
) -> Kind {
    let written = node.kind.as_ref().map_or(default_kind, |kind| kind.get_ref());
    let written = if node.kind.is_none() && node.command.is_some() { "command" } else { written };
    let mut only_for = |key: &Option<Spanned<String>>, key_name: &str, kind: &str| {
        if let Some(key) = key.as_ref().filter(|_| kind != written) {
            let message =
                format!("`{key_name}` is for nodes of kind \"{kind}\", not \"{written}\"");
            problems.add(key.span(), message);
        }
    };
    only_for(&node.config, "config", "weft");
    only_for(&node.config_file, "config-file", "weft");
    only_for(&node.command, "command", "command");
    only_for(&node.ready, "ready", "command");
    match written {
        "host" => Kind::Host,
        "router" => Kind::Router,
        "weft" => Kind::Weft { config: config(path, name, node, problems) },
        "command" => {
            let command = node.command.as_ref().map(|command| command.get_ref().clone());
            if command.is_none() {
                problems.add(name.span(), format!("node `{}` needs a `command`", name.get_ref()));
            }
            let ready = node.ready.as_ref().map(|ready| ready.get_ref().clone());
            Kind::Command { command: command.unwrap_or_default(), ready }
        }
        other => {
            let span = node.kind.as_ref().map_or_else(|| name.span(), Spanned::span);
            let help = "write \"weft\" (the default), \"host\", \"router\" or \"command\"; any other \
                        router is a `command`";
            let message = format!("`{other}` is not a kind of node");
            problems.add_with_help(span, message, Some(help.into()));
            Kind::Host
        }
    }
}

fn config(
    path: &Path,
    name: &Spanned<String>,
    node: &raw::Node,
    problems: &mut Problems,
) -> String {
    match (&node.config, &node.config_file) {
        (Some(config), None) => config.get_ref().clone(),
        (None, Some(file)) => {
            let folder = path.parent().unwrap_or(Path::new("."));
            let read = std::fs::read_to_string(folder.join(file.get_ref()))
                .map_err(|error| format!("cannot read `{}`: {error}", file.get_ref()));
            problems.check(file.span(), read).unwrap_or_default()
        }
        _ => {
            let name_text = name.get_ref();
            problems.add(
                name.span(),
                format!("node `{name_text}` runs weft and needs `config` or `config-file`"),
            );
            String::new()
        }
    }
}

fn attachments(node: &raw::Node, topology: &Topology, problems: &mut Problems) -> Vec<Attachment> {
    let mut written: Vec<_> = node.links.iter().collect();
    written.sort_by_key(|(name, _)| name.span().start);
    written
        .into_iter()
        .map(|(link, addresses)| Attachment {
            link: link.get_ref().clone(),
            addresses: addresses
                .0
                .iter()
                .filter_map(|text| address_on(link.get_ref(), text, topology, problems))
                .collect(),
        })
        .collect()
}

fn address_on(
    link: &str,
    written: &Spanned<String>,
    topology: &Topology,
    problems: &mut Problems,
) -> Option<Subnet> {
    let text = written.get_ref();
    let with_length = Subnet::parse(text);
    let address = with_length.map(|subnet| subnet.address).or_else(|| text.parse().ok());
    let Some(address): Option<IpAddr> = address else {
        problems.add(written.span(), format!("`{text}` is not an address"));
        return None;
    };
    let taken = topology.attached(link).find(|node| {
        let attachment = node.attachment(link);
        attachment.is_some_and(|a| a.addresses.iter().any(|used| used.address == address))
    });
    if let Some(taken) = taken {
        problems.add(written.span(), format!("`{address}` is an address of `{}`", taken.name));
    }
    if with_length.is_some() {
        return with_length;
    }
    let subnets = topology.link(link).map_or(&[][..], |link| &link.subnets);
    let of_family: Vec<&Subnet> =
        subnets.iter().filter(|subnet| Family::of(subnet.address) == Family::of(address)).collect();
    let length = match of_family.iter().find(|subnet| subnet.contains(address)) {
        Some(subnet) => subnet.length,
        None if of_family.is_empty() => usual_length(address),
        None => {
            problems.add_with_help(
                written.span(),
                format!("`{address}` is in no subnet of link `{link}`"),
                Some(format!("write its length: \"{address}/{}\"", usual_length(address))),
            );
            return None;
        }
    };
    Some(Subnet { address, length })
}

/// The length of an address written without one, on a link without subnets.
fn usual_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 24 } else { 64 }
}

fn routes(
    name: &str,
    node: &raw::Node,
    topology: &Topology,
    problems: &mut Problems,
) -> Vec<Route> {
    let mut routes = Vec::new();
    if let Some(via) = &node.via {
        let next_hops = next_hops(name, via, topology, problems);
        routes.extend(next_hops.into_iter().map(|via| default_route(via, None)));
    }
    for route in &node.routes.0 {
        routes.extend(route_of(name, route, topology, problems));
    }
    routes
}

fn default_route(via: IpAddr, metric: Option<u32>) -> Route {
    let to = Subnet::everything(Family::of(via));
    Route { to, via: Some(via), link: None, metric }
}

/// `PREFIX|default [via ADDRESS|NODE] [link LINK] [metric NUMBER]`
fn route_of(
    name: &str,
    written: &Spanned<String>,
    topology: &Topology,
    problems: &mut Problems,
) -> Vec<Route> {
    let words: Vec<&str> = written.get_ref().split_whitespace().collect();
    let (mut via, mut link, mut metric, mut wrong) =
        (None, None, None, words.len().is_multiple_of(2));
    for pair in words.get(1..).unwrap_or_default().chunks_exact(2) {
        match *pair {
            ["via", value] => via = Some(Spanned::new(written.span(), value.to_owned())),
            ["link" | "dev", value] => link = Some(value.to_owned()),
            ["metric", value] => {
                metric = value.parse::<u32>().ok();
                wrong |= metric.is_none();
            }
            _ => wrong = true,
        }
    }
    let to = words.first().copied().unwrap_or_default();
    let prefix = Subnet::parse(to);
    if wrong || (prefix.is_none() && to != "default") || (via.is_none() && link.is_none()) {
        problems.add(
            written.span(),
            format!(
                "`{}` is not a route; write \"default via 10.0.0.1 metric 100\", \
                 \"10.9.0.0/16 via NODE\" or \"10.9.0.0/16 link LINK\"",
                written.get_ref()
            ),
        );
        return Vec::new();
    }
    if let Some(link) = link
        .as_ref()
        .filter(|link| topology.node(name).is_some_and(|node| node.attachment(link).is_none()))
    {
        problems.add(written.span(), format!("node `{name}` has no link `{link}`"));
    }
    match via {
        Some(via) => next_hops(name, &via, topology, problems)
            .into_iter()
            .filter(|via| prefix.is_none_or(|to| Family::of(to.address) == Family::of(*via)))
            .map(|via| Route {
                to: prefix.unwrap_or(Subnet::everything(Family::of(via))),
                link: link.clone(),
                ..default_route(via, metric)
            })
            .collect(),
        None => prefix.map(|to| Route { to, via: None, link, metric }).into_iter().collect(),
    }
}

/// The addresses at which a neighbour can be reached: a literal one, or those of the named node on
/// links that both are attached to.
fn next_hops(
    name: &str,
    via: &Spanned<String>,
    topology: &Topology,
    problems: &mut Problems,
) -> Vec<IpAddr> {
    if let Ok(address) = via.get_ref().parse() {
        return vec![address];
    }
    let Some(neighbor) = topology.node(via.get_ref()) else {
        unknown("node", via, topology.nodes.iter().map(|node| &*node.name), problems);
        return Vec::new();
    };
    let Some(node) = topology.node(name) else { return Vec::new() };
    let mut found = Vec::new();
    for attachment in &node.attachments {
        let Some(theirs) = neighbor.attachment(&attachment.link) else { continue };
        let reachable = theirs
            .addresses
            .iter()
            .map(|subnet| subnet.address)
            .filter(|address| attachment.addresses.iter().any(|ours| ours.contains(*address)));
        for address in reachable {
            if !found.iter().any(|known| Family::of(*known) == Family::of(address)) {
                found.push(address);
            }
        }
    }
    if found.is_empty() {
        let message = format!("`{}` shares no subnet with `{name}`", via.get_ref());
        problems.add(via.span(), message);
    }
    found
}
