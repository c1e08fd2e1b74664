//! From topology to kernel: namespaces, sysctls, bridges, wires, addresses, routes, in this order.

use std::fs;
use std::path::PathBuf;

use super::script::Script;
use super::{Error, Namespace, Network};
use crate::process::{self, Process};
use crate::topology::{Link, Node};
use crate::wait;
use crate::wire;

/// The wires that were started, by the name of their link.
type Wires = Vec<(String, Process)>;

impl Network {
    /// Builds everything but the processes of the nodes. `wire_command` starts a wire when a
    /// specification file is added to it; `note` hears of each started wire at once, so that it can
    /// be ended even if the rest fails.
    pub fn build(
        &self,
        wire_command: &[PathBuf],
        mut note: impl FnMut(&str, Process) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.create_namespaces()?;
        for node in &self.topology.nodes {
            self.write_sysctls(node, &default_sysctls(node))?;
        }
        for link in self.topology.links.iter().filter(|link| link.wire.is_none()) {
            self.build_bridge(link)?;
        }
        for (link, wire) in self.start_wires(wire_command)? {
            note(&link, wire)?;
        }
        for link in self.topology.links.iter().filter(|link| link.wire.is_some()) {
            self.wait_for_wire(&link.name)?;
        }
        for node in &self.topology.nodes {
            self.configure_node(node)?;
        }
        Ok(())
    }

    fn create_namespaces(&self) -> Result<(), Error> {
        let mut script = Script::default();
        let names = self.topology.nodes.iter().map(|node| &node.name);
        for name in names.chain(self.topology.links.iter().map(|link| &link.name)) {
            script.add(format_args!("netns add {}", self.topology.namespace(name)));
        }
        Ok(script.run(None)?)
    }

    fn write_sysctls(&self, node: &Node, sysctls: &[(String, String)]) -> Result<(), Error> {
        let namespace = self.namespace(&node.name);
        for (key, value) in sysctls {
            let path = format!("/proc/sys/{}", key.replace('.', "/"));
            namespace.enter(|| fs::write(&path, value)).map_err(|source| Error::Sysctl {
                node: node.name.clone(),
                key: key.clone(),
                value: value.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn build_bridge(&self, link: &Link) -> Result<(), Error> {
        let namespace = self.namespace(&link.name);
        let mtu = link.mtu.map(|mtu| format!(" mtu {mtu}")).unwrap_or_default();
        let mut script = Script::default();
        // no spanning tree and no snooping: a port forwards everything from its first moment
        script.add(format_args!(
            "link add bridge{mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ));
        script.add(format_args!("link set bridge addrgenmode none up"));
        for node in self.topology.attached(&link.name) {
            script.add(format_args!(
                "link add {port}{mtu} type veth peer name {link}{mtu} netns {namespace}",
                port = node.name,
                link = link.name,
                namespace = self.topology.namespace(&node.name),
            ));
            script.add(format_args!("link set {} addrgenmode none master bridge up", node.name));
        }
        Ok(script.run(Some(&namespace))?)
    }

    fn start_wires(&self, wire_command: &[PathBuf]) -> Result<Wires, Error> {
        let mut wires = Wires::new();
        for link in &self.topology.links {
            let Some(impairment) = &link.wire else { continue };
            let ends = self.topology.attached(&link.name).map(|node| wire::End {
                node: node.name.clone(),
                namespace: self.topology.namespace(&node.name),
            });
            let specification = wire::Specification {
                link: link.name.clone(),
                socket: self.wire_socket(&link.name),
                impairment: impairment.clone(),
                ends: ends.collect(),
            };
            let path = self.directory.join(format!("{}.wire.json", link.name));
            let text = serde_json::to_vec_pretty(&specification).unwrap_or_default();
            fs::write(&path, text).map_err(|source| Error::File { path: path.clone(), source })?;
            let mut start = process::Start::new(&self.namespace(&link.name), &link.name);
            start.words.extend(wire_command.iter().map(|word| word.as_os_str().to_owned()));
            start.words.push(path.into_os_string());
            start.directory.clone_from(&self.directory);
            start.log = self.directory.join(format!("{}.wire.log", link.name));
            wires.push((link.name.clone(), start.spawn()?));
        }
        Ok(wires)
    }

    fn wait_for_wire(&self, link: &str) -> Result<(), Error> {
        let socket = self.wire_socket(link);
        let up = wait::until(wire::START_LIMIT, || wire::order(&socket, "hello").ok())?;
        up.ok_or_else(|| Error::Wire {
            link: link.to_owned(),
            message: format!(
                "did not start, see {}",
                self.directory.join(format!("{link}.wire.log")).display()
            ),
        })
    }

    /// Addresses, routes, and the sysctls of the lab file, which may name interfaces.
    fn configure_node(&self, node: &Node) -> Result<(), Error> {
        self.write_sysctls(node, &node.sysctls)?;
        let mut script = Script::default();
        script.add(format_args!("link set lo up"));
        for attachment in &node.attachments {
            let link = &attachment.link;
            if let Some(mtu) = self.topology.link(link).and_then(|link| link.mtu) {
                script.add(format_args!("link set {link} mtu {mtu}"));
            }
            script.add(format_args!("link set {link} up"));
            for address in &attachment.addresses {
                let nodad = if address.address.is_ipv6() { " nodad" } else { "" };
                script.add(format_args!("addr add {address} dev {link}{nodad}"));
            }
        }
        for route in &node.routes {
            let via = route.via.map(|via| format!(" via {via}")).unwrap_or_default();
            let link = route.link.as_ref().map(|link| format!(" dev {link}")).unwrap_or_default();
            let metric = route.metric.map(|m| format!(" metric {m}")).unwrap_or_default();
            script.add(format_args!("route add {}{via}{link}{metric}", route.to));
        }
        Ok(script.run(Some(&self.namespace(&node.name)))?)
    }
}

/// Addresses must be usable at once and nothing may configure itself; routers forward.
fn default_sysctls(node: &Node) -> Vec<(String, String)> {
    let mut sysctls = vec![
        ("net.ipv6.conf.all.accept_dad", "0"),
        ("net.ipv6.conf.default.accept_dad", "0"),
        ("net.ipv6.conf.default.accept_ra", "0"),
    ];
    if node.forwards() {
        sysctls.extend([
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.default.rp_filter", "0"),
        ]);
    }
    sysctls.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

impl Network {
    /// The namespaces of all nodes and links.
    pub fn namespaces(&self) -> impl Iterator<Item = Namespace> {
        let nodes = self.topology.nodes.iter().map(|node| &node.name);
        let links = self.topology.links.iter().map(|link| &link.name);
        nodes.chain(links).map(|name| self.namespace(name))
    }
}
