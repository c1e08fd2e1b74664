//! The data ports, which the kernel joins streams on: those that come from a wire packet by packet
//! reach the fast path in super-packets. LISP without the next-protocol bit is joined only at the
//! interfaces that the configuration names. What is sent to us is the choice of others, most
//! probably that of our own configuration: the port of that gets a device at once, and the others
//! when the fast path says that it matters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use weft_data::ebpf::{Error, OtherInterface, Port, SharedPorts};
use weft_data::tun::{self, Options, Tun};
use weft_fib::Encapsulation;
use weft_manage::config::Config;

use crate::host::facts::Facts;
use crate::host::plan::device_name;

/// Shares the data ports, that of VXLAN only if wanted; `None` where that cannot be done.
pub(super) fn take(encapsulation: Encapsulation, pins: Option<&Path>) -> Option<SharedPorts> {
    SharedPorts::take(encapsulation, pins)
        .inspect_err(|error| {
            tracing::info!("streams from a wire are forwarded packet by packet: {error}");
        })
        .ok()
}

/// Starts the portable plane, with sockets that get what is left of the shared ports; without
/// sharing where it does not work out.
pub(super) fn start(
    options: Options,
    shared: Option<SharedPorts>,
    start: impl Fn(Options) -> Result<Tun, tun::Error>,
) -> Result<(Tun, Option<SharedPorts>), tun::Error> {
    if let Some(mut shared) = shared {
        let tun = start(Options { steered: true, ..options.clone() });
        let tun = tun.map_err(|error| error.to_string());
        let served = tun.and_then(|tun| match shared.serve(&tun) {
            Ok(()) => Ok(tun),
            Err(error) => Err(error.to_string()),
        });
        match served {
            Ok(tun) => return Ok((tun, Some(shared))),
            Err(error) => {
                tracing::warn!("streams from a wire are forwarded packet by packet: {error}");
            }
        }
    }
    Ok((start(options)?, None))
}

/// Has plain LISP joined at the cards that the configuration names. Gives back where that cannot be
/// done, with reasons.
pub(super) fn join_plain(
    ports: Option<&mut SharedPorts>,
    config: &Config,
    facts: &Facts,
) -> BTreeMap<String, String> {
    let named = config.data_plane.join_plain_lisp.iter();
    let Some(ports) = ports else {
        return named.map(|name| (name.clone(), "nothing is joined here".to_owned())).collect();
    };
    let (mut cards, mut unjoined) = (BTreeMap::new(), BTreeMap::new());
    for name in named {
        match facts.link(name) {
            Some(link) => cards.insert(link.index, name.clone()),
            None => unjoined.insert(name.clone(), "it is not there".to_owned()),
        };
    }
    let refused = ports.join_plain(&cards.keys().copied().collect()).into_iter();
    unjoined.extend(refused.filter_map(|(index, error)| Some((cards.remove(&index)?, error))));
    unjoined
}

/// The links that packets to the ports may come in by.
#[derive(Default)]
pub(super) struct Entrances {
    /// The fast path is attached there, unless it is attached nowhere.
    fast: Vec<u32>,
    /// It is not.
    others: Vec<OtherInterface>,
}

impl Entrances {
    /// Sorts the links; `unserved` is what the fast path said of its own, `ports`.
    pub(super) fn of(
        ports: &[Port],
        unserved: Option<&Error>,
        config: &Config,
        facts: &Facts,
    ) -> Self {
        let unserved = match unserved {
            Some(Error::Ports(unserved)) => unserved.as_slice(),
            _ => &[],
        };
        let framed = unserved.iter().map(|(interface, _)| framed(*interface));
        let others = framed.chain(unframed(config, facts)).collect();
        Self { fast: ports.iter().map(|port| port.interface).collect(), others }
    }

    /// Those where somebody has to steer packets in the place of the fast path.
    pub(super) fn of_nobody(&self, fast: bool) -> Vec<OtherInterface> {
        let more = self.fast.iter().filter(|_| !fast).map(|interface| framed(*interface));
        self.others.iter().copied().chain(more).collect()
    }
}

fn framed(interface: u32) -> OtherInterface {
    OtherInterface { interface, ethernet: true }
}

/// Links without Ethernet, but for our own devices.
fn unframed(config: &Config, facts: &Facts) -> impl Iterator<Item = OtherInterface> {
    let devices: BTreeSet<_> = config
        .instances
        .iter()
        .map(|instance| device_name(&config.data_plane.device, instance.id))
        .collect();
    let links = facts.links.values();
    links
        .filter(|link| link.up && !link.ethernet && link.name != LOOPBACK)
        .filter(move |link| !devices.contains(&link.name) && !SharedPorts::owns_port(&link.name))
        .map(|link| OtherInterface { interface: link.index, ethernet: false })
}

/// Always taken care of, and its packets do have an Ethernet header.
const LOOPBACK: &str = "lo";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::Link;
    use weft_manage::config::{UplinkNames, check_text};

    #[test]
    fn links_without_the_fast_path_are_watched_but_not_our_own() {
        let text = "[itr]\nmap-resolvers = [\"192.0.2.1\"]\n";
        let (config, report) = check_text("weft.toml", text, &mut UplinkNames::default());
        let config = config.unwrap_or_else(|| panic!("{}", report.render(false)));
        let ours = device_name(&config.data_plane.device, config.instances[0].id);
        let link = |index, name: &str, up, ethernet| {
            let name = name.to_owned();
            (index, Link { index, name, up, ethernet, ..Link::default() })
        };
        let facts = Facts {
            links: [
                link(1, "lo", true, false),
                link(2, "eth0", true, true),
                link(3, "ppp0", true, false),
                link(4, "ppp1", false, false),
                link(5, &ours, true, false),
                link(7, "weft-gro", true, false),
            ]
            .into(),
            ..Facts::default()
        };
        let port = |interface| Port {
            interface,
            instance: None,
            encapsulate: true,
            decapsulate: true,
            peer: false,
        };
        let unserved = Error::Ports(vec![(6, "no memory".to_owned())]);
        let entrances = Entrances::of(&[port(2), port(6)], Some(&unserved), &config, &facts);
        let ppp = OtherInterface { interface: 3, ethernet: false };
        assert_eq!(entrances.of_nobody(true), [framed(6), ppp]);
        assert_eq!(entrances.of_nobody(false), [framed(6), ppp, framed(2), framed(6)]);
    }
}
