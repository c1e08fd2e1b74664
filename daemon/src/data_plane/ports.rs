//! Where the fast path is attached and whom it serves: a pure function of the configuration and of
//! what the kernel says of links and addresses.
//!
//! Every Ethernet link that is up gets the program. A bridge, bond or team takes the frames of its
//! members, so it gets the program in their place. Packets from hosts belong to the instance their
//! interface is bound to, else to the default one; packets from other tunnel routers say
//! themselves to which they belong, and are taken wherever one of our addresses is reached.

use std::collections::BTreeSet;
use std::net::IpAddr;

use weft_data::ebpf::{Instance, Port, SharedPorts};
use weft_manage::config::Config;
use weft_packet::addr::{EidPrefix, InstanceId};

use crate::host::facts::Facts;
use crate::host::plan::device_name;
use crate::host::uplinks;

/// The links the program is attached to.
pub(super) fn ports(config: &Config, facts: &Facts) -> Vec<Port> {
    let instance_of = |name: &str| {
        let bound = |i: &&weft_manage::config::Instance| i.interfaces.iter().any(|n| n == name);
        config.instances.iter().find(bound).map_or(InstanceId::DEFAULT, |instance| instance.id)
    };
    let uplinks: BTreeSet<u32> =
        uplinks::uplinks(&config.uplinks, facts).iter().map(|uplink| uplink.interface).collect();
    facts
        .links
        .values()
        .filter(|link| link.up && link.ethernet && !link.member)
        .filter(|link| !SharedPorts::owns_port(&link.name))
        .map(|link| Port {
            interface: link.index,
            instance: Some(instance_of(&link.name)),
            encapsulate: config.lisp.itr.is_some(),
            decapsulate: true,
            // Past an uplink's queue and counters, and past whoever listens there, nothing goes.
            peer: link.peer_elsewhere && !uplinks.contains(&link.index),
        })
        .collect()
}

/// The instances that have a device.
pub(super) fn instances(config: &Config, facts: &Facts) -> Vec<Instance> {
    let of = |instance: &weft_manage::config::Instance| {
        let device = facts.link(&device_name(&config.data_plane.device, instance.id))?.index;
        Some(Instance { id: instance.id, device, any_source: any_source(config, instance.id) })
    };
    config.instances.iter().filter_map(of).collect()
}

/// Our addresses: packets to them are for us.
pub(super) fn locals(facts: &Facts) -> Vec<IpAddr> {
    facts.addresses.iter().map(|address| address.ip).collect()
}

/// Are packets to be encapsulated whatever their source? Those from an interface bound to an
/// instance are. In the default instance they are for a Proxy-ITR, but for what it serves only: if
/// it can reach anything else through the overlay, the portable plane, to which rules bring just
/// the right packets, decides.
fn any_source(config: &Config, instance: InstanceId) -> bool {
    if instance != InstanceId::DEFAULT {
        return true;
    }
    let Some(itr) = config.lisp.itr.as_ref().filter(|itr| itr.proxy) else { return false };
    let served = |eid: EidPrefix| {
        itr.allowed_eids
            .iter()
            .any(|allowed| allowed.instance == eid.instance && allowed.prefix.covers(eid.prefix))
    };
    let mut statics = itr.static_map_cache.iter().map(|mapping| mapping.eid);
    itr.proxy_etrs.is_empty()
        && statics.all(|eid| eid.instance != InstanceId::DEFAULT || served(eid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::{Address, Link};
    use weft_manage::config::{UplinkNames, check_text};

    fn config(text: &str) -> Config {
        let (config, report) = check_text("weft.toml", text, &mut UplinkNames::default());
        config.unwrap_or_else(|| panic!("{}", report.render(false)))
    }

    fn facts(links: &[Link]) -> Facts {
        let links = links.iter().map(|link| (link.index, link.clone())).collect();
        Facts { links, ..Facts::default() }
    }

    fn link(index: u32, name: &str) -> Link {
        let name = name.to_owned();
        Link { index, name, mtu: 1500, up: true, carrier: true, ethernet: true, ..Link::default() }
    }

    const ITR: &str = "[itr]\nmap-resolvers = [\"192.0.2.1\"]\n";

    #[test]
    fn program_is_where_frames_are_seen_first() {
        let links = [
            link(2, "eth0"),
            Link { up: false, ..link(3, "eth1") },
            Link { ethernet: false, ..link(4, "lispTun0") },
            Link { member: true, ..link(5, "port1") },
            link(6, "bridge"),
            Link { peer_elsewhere: true, ..link(7, "veth") },
            link(8, "weft-gro-vxlan"),
        ];
        let ports = ports(&config(ITR), &facts(&links));
        let found: Vec<_> = ports.iter().map(|port| (port.interface, port.peer)).collect();
        assert_eq!(found, [(2, false), (6, false), (7, true)]);
        assert!(ports.iter().all(|port| port.encapsulate && port.decapsulate));
    }

    #[test]
    fn uplink_is_not_bypassed() {
        let veth = |index, name| Link { peer_elsewhere: true, ..link(index, name) };
        let mut facts = facts(&[veth(2, "eth0"), veth(3, "site")]);
        let ip = "192.0.2.1".parse().unwrap();
        facts.addresses =
            vec![Address { index: 2, ip, prefix_length: 24, usable: true, global: true }];
        let text = format!(
            "[locator-set.wan]\nrlocs = [{{ interface = \"eth0\" }}]\n{ITR}[etr]\n\
             locator-set = \"wan\"\n[[etr.map-server]]\naddress = \"192.0.2.1\"\nkey = \"k\"\n\
             [[etr.database-mapping]]\neid-prefix = \"10.0.0.0/8\"\n"
        );
        let ports = ports(&config(&text), &facts);
        let peers: Vec<_> = ports.iter().map(|port| (port.interface, port.peer)).collect();
        assert_eq!(peers, [(2, false), (3, true)]);
    }

    #[test]
    fn bound_interface_encapsulates_for_its_instance_only() {
        let text = format!("[vpn.red]\ninstance-id = 7\ninterfaces = [\"red0\"]\n{ITR}");
        let ports = ports(&config(&text), &facts(&[link(2, "eth0"), link(3, "red0")]));
        let instances: Vec<_> =
            ports.iter().map(|port| port.instance.map(InstanceId::get)).collect();
        assert_eq!(instances, [Some(0), Some(7)]);
    }

    #[test]
    fn only_a_plain_proxy_itr_takes_any_source_in_the_default_instance() {
        let default = |text: &str| any_source(&config(text), InstanceId::DEFAULT);
        let proxy = format!("{ITR}proxy = true\nallowed-eids = [\"10.0.0.0/8\"]\n");
        assert!(!default(ITR));
        assert!(default(&proxy));
        let elsewhere = "[[itr.static-map-cache]]\neid-prefix = \"172.16.0.0/12\"\n\
                         rlocs = [{ address = \"192.0.2.9\" }]\n";
        assert!(!default(&format!("{proxy}{elsewhere}")));
        assert!(default(&format!("{proxy}{}", elsewhere.replace("172.16.0.0/12", "10.1.0.0/16"))));
        assert!(!default(&format!("{proxy}[[itr.proxy-etr]]\naddress = \"192.0.2.8\"\n")));
    }
}
