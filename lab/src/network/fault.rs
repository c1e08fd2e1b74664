//! Breaking and repairing links while they carry traffic.

use super::script::Script;
use super::{Error, Network};
use crate::action::LinkChange;
use crate::topology::Subnet;
use crate::wire;

impl Network {
    /// Changes a link.
    pub fn change_link(&self, link: &str, change: &LinkChange) -> Result<(), Error> {
        if let LinkChange::Mtu(mtu) = change {
            return self.set_mtu(link, *mtu);
        }
        let is_wire = self.topology.link(link).is_some_and(|link| link.wire.is_some());
        if is_wire { self.order_wire(link, change) } else { self.change_port(link, change) }
    }

    /// Adds or removes an address.
    pub fn change_address(
        &self,
        node: &str,
        link: &str,
        add: bool,
        address: Subnet,
    ) -> Result<(), Error> {
        let verb = if add { "add" } else { "del" };
        let nodad = if add && address.address.is_ipv6() { " nodad" } else { "" };
        let mut script = Script::default();
        script.add(format_args!("addr {verb} {address} dev {link}{nodad}"));
        Ok(script.run(Some(&self.namespace(node)))?)
    }

    /// Bridged: the port going down is a loss of carrier for the node at its other end; a port
    /// that left the bridge keeps its carrier and leads nowhere.
    fn change_port(&self, link: &str, change: &LinkChange) -> Result<(), Error> {
        let mut script = Script::default();
        match change {
            LinkChange::Down(node) => script.add(format_args!("link set {node} down")),
            LinkChange::Up(node) => script.add(format_args!("link set {node} up")),
            LinkChange::Blackhole(node) => script.add(format_args!("link set {node} nomaster")),
            LinkChange::Heal(node) => script.add(format_args!("link set {node} master bridge")),
            LinkChange::Mtu(_) | LinkChange::Delay(_) | LinkChange::Loss(_) => {}
            LinkChange::Rate(_) => {}
        }
        Ok(script.run(Some(&self.namespace(link)))?)
    }

    fn order_wire(&self, link: &str, change: &LinkChange) -> Result<(), Error> {
        wire::order(&self.wire_socket(link), &change.to_string()).map_err(|error| Error::Wire {
            link: link.to_owned(),
            message: format!("{change}: {error}"),
        })
    }

    fn set_mtu(&self, link: &str, mtu: u16) -> Result<(), Error> {
        let is_bridge = self.topology.link(link).is_some_and(|link| link.wire.is_none());
        let mut ports = Script::default();
        for node in self.topology.attached(link) {
            let mut script = Script::default();
            script.add(format_args!("link set {link} mtu {mtu}"));
            script.run(Some(&self.namespace(&node.name)))?;
            ports.add(format_args!("link set {} mtu {mtu}", node.name));
        }
        if is_bridge {
            ports.run(Some(&self.namespace(link)))?;
        }
        Ok(())
    }
}

impl Network {
    /// Packets a node has sent on a link so far; nothing if the interface is gone.
    pub fn sent_packets(&self, node: &str, link: &str) -> Option<u64> {
        let read = || std::fs::read_to_string("/proc/thread-self/net/dev");
        let text = self.namespace(node).enter(read).ok()?;
        let fields = text.lines().find_map(|line| {
            let (name, fields) = line.split_once(':')?;
            (name.trim() == link).then_some(fields)
        })?;
        // eight columns of what was received come first: octets, packets, …
        fields.split_whitespace().nth(9)?.parse().ok()
    }
}
