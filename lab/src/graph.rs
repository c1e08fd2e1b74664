//! A lab as a picture: for the terminal, or for Graphviz.

use std::fmt::Write as _;

use crate::topology::{Attachment, Kind, Link, Node, Topology};

/// Each link with everyone who is attached.
pub fn text(topology: &Topology) -> String {
    let mut out = String::new();
    for link in &topology.links {
        let attached: Vec<(&Node, &Attachment)> = topology
            .attached(&link.name)
            .filter_map(|node| Some((node, node.attachment(&link.name)?)))
            .collect();
        writeln!(out, "{}{}", link.name, describe_link(link)).expect("writing to a string");
        let width = attached.iter().map(|(node, _)| node.name.len()).max().unwrap_or(0);
        for (at, (node, attachment)) in attached.iter().enumerate() {
            let branch = if at + 1 == attached.len() { "└─" } else { "├─" };
            let addresses = addresses(attachment).join("  ");
            let (name, kind) = (&node.name, kind(node));
            writeln!(out, " {branch} {name:width$}  {kind:7}  {addresses}")
                .expect("writing to a string");
        }
    }
    out
}

/// For `dot -Tsvg`.
pub fn dot(topology: &Topology) -> String {
    let mut out = format!("graph \"{}\" {{\n  node [fontname=\"sans-serif\"];\n", topology.name);
    for node in &topology.nodes {
        let shape = if node.forwards() { "box" } else { "ellipse" };
        writeln!(out, "  \"{}\" [shape={shape}];", node.name).expect("writing to a string");
    }
    for link in &topology.links {
        let label = format!("{}{}", link.name, describe_link(link));
        writeln!(out, "  \"link {}\" [shape=plaintext label=\"{label}\"];", link.name)
            .expect("writing to a string");
        for node in topology.attached(&link.name) {
            let label = node.attachment(&link.name).map(|a| addresses(a).join("\\n"));
            let label = label.unwrap_or_default();
            writeln!(out, "  \"{}\" -- \"link {}\" [label=\"{label}\"];", node.name, link.name)
                .expect("writing to a string");
        }
    }
    out + "}\n"
}

fn describe_link(link: &Link) -> String {
    let mut words: Vec<String> = link.subnets.iter().map(ToString::to_string).collect();
    words.extend(link.mtu.map(|mtu| format!("mtu {mtu}")));
    if let Some(wire) = &link.wire {
        words.push("wire".into());
        if !wire.delay.is_zero() {
            words.push(format!("delay {:?}", wire.delay));
        }
        if wire.loss > 0.0 {
            words.push(format!("loss {}%", wire.loss));
        }
        words.extend(wire.rate.map(|rate| format!("rate {} Mbit/s", rate / 1e6)));
    }
    if words.is_empty() { String::new() } else { format!("  {}", words.join(" ")) }
}

fn addresses(attachment: &Attachment) -> Vec<String> {
    attachment.addresses.iter().map(ToString::to_string).collect()
}

fn kind(node: &Node) -> &'static str {
    match node.kind {
        Kind::Weft { .. } => "weft",
        Kind::Host => "host",
        Kind::Router => "router",
        Kind::Command { .. } => "command",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LAB: &str = r#"
        [link.core]
        subnet = "10.0.0.0/24"
        delay = "5ms"
        [router.r1]
        links = { core = "10.0.0.1" }
        [host.h1]
        links = { core = "10.0.0.2" }
    "#;

    fn topology() -> Topology {
        crate::file::parse(Path::new("x.toml"), LAB, false).unwrap().remove(0)
    }

    #[test]
    fn a_link_is_followed_by_its_nodes() {
        assert_eq!(
            text(&topology()),
            "core  10.0.0.0/24 wire delay 5ms\n ├─ r1  router   10.0.0.1/24\n \
             └─ h1  host     10.0.0.2/24\n"
        );
    }

    #[test]
    fn graphviz_gets_an_edge_for_each_interface() {
        let dot = dot(&topology());
        assert!(dot.contains("\"r1\" [shape=box];"), "{dot}");
        assert!(dot.contains("\"h1\" -- \"link core\" [label=\"10.0.0.2/24\"];"), "{dot}");
    }
}
