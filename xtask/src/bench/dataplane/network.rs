//! The networks that are compared: the same hosts, and between them routers that differ.

/// What the routers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routers {
    /// Something of the kernel's, by its name in `chain.sh`.
    Kernel(&'static str),
    /// `weft run`.
    Weft {
        driver: &'static str,
        encapsulation: &'static str,
        /// Plain LISP is joined at the card, too.
        joins_plain: bool,
    },
    /// The eBPF data plane alone, with a table of so many prefixes.
    Filled { prefixes: u32 },
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// The middle of its figures' names.
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    pub(super) routers: Routers,
    /// Packets cross the underlay at its MTU, as with a network card, and not as the super-packets
    /// they are inside one machine.
    pub(super) wire: bool,
    /// Of those whose comparison has to be exact: it takes part in every turn.
    pub(super) close: bool,
}

impl Network {
    const fn kernel(name: &'static str, title: &'static str) -> Self {
        Self { name, title, routers: Routers::Kernel(name), wire: false, close: false }
    }

    const fn weft(
        name: &'static str,
        title: &'static str,
        driver: &'static str,
        encapsulation: &'static str,
    ) -> Self {
        let routers = Routers::Weft { driver, encapsulation, joins_plain: false };
        Self { name, title, routers, wire: false, close: false }
    }

    const fn plain_lisp_joined(name: &'static str, title: &'static str) -> Self {
        let routers = Routers::Weft { driver: "ebpf", encapsulation: "lisp", joins_plain: true };
        Self { name, title, routers, wire: false, close: false }
    }

    const fn filled(name: &'static str, title: &'static str, prefixes: u32) -> Self {
        Self { name, title, routers: Routers::Filled { prefixes }, wire: false, close: false }
    }

    const fn on_the_wire(self) -> Self {
        Self { wire: true, ..self }
    }

    const fn closely(self) -> Self {
        Self { close: true, ..self }
    }

    /// Whether it takes part in this turn of a round. Most do not need many.
    pub(super) fn takes_part(&self, turn: usize) -> bool {
        self.close || turn.is_multiple_of(4)
    }

    /// Its routers are ours: they may be refused by the kernel.
    pub(super) fn is_weft(&self) -> bool {
        !matches!(self.routers, Routers::Kernel(_))
    }

    /// The device through which packets go to the portable plane, where few should.
    pub(super) fn fast_device(&self) -> Option<&'static str> {
        match self.routers {
            Routers::Weft { driver: "ebpf", .. } => Some("lispTun0"),
            Routers::Filled { .. } => Some(FILLED_DEVICE),
            Routers::Kernel(_) | Routers::Weft { .. } => None,
        }
    }

    /// The beginning of its namespaces' names.
    pub(super) fn prefix(&self) -> String {
        format!("weft-bench-{}{}", self.name, if self.wire { "-wire" } else { "" })
    }
}

/// The device of a filled table.
pub(super) const FILLED_DEVICE: &str = "filled0";

pub(super) const PLAIN: Network = Network::kernel("plain", "plain");
pub(super) const VXLAN: Network = Network::kernel("vxlan", "vxlan");
const DIRECT: Network = Network::kernel("direct", "direct");
const GPE: Network = Network::kernel("gpe", "vxlan-gpe");
const TUN: Network = Network::weft("tun", "weft tun", "tun", "lisp");
pub(super) const EBPF: Network = Network::weft("ebpf", "weft ebpf", "ebpf", "lisp").closely();

/// Super-packets may cross the underlay. What is compared most closely goes side by side: the
/// machine is not the same from second to second.
pub(super) const FORWARDING: [Network; 6] = [DIRECT, TUN, PLAIN.closely(), EBPF, VXLAN, GPE];

/// They may not. What weft encapsulates as VXLAN-GPE, the kernel can coalesce before it is
/// decapsulated; plain LISP only where a program at the card says what it is.
pub(super) const WIRE: [Network; 6] = [
    PLAIN.on_the_wire(),
    GPE.on_the_wire(),
    VXLAN.on_the_wire().closely(),
    Network::weft("ebpf", "weft vxlan-gpe", "ebpf", "vxlan-gpe").on_the_wire().closely(),
    Network::weft("ebpf_lisp", "weft lisp", "ebpf", "lisp").on_the_wire(),
    Network::plain_lisp_joined("ebpf_lisp_joined", "weft lisp, joined").on_the_wire(),
];

/// The eBPF data plane with tables of several sizes, the smallest one first. The largest is compared with
/// it most closely.
pub(super) const FILLED: [Network; 4] = [
    Network::filled("1", "1 prefix", 1).closely(),
    Network::filled("1k", "1 k", 1000),
    Network::filled("100k", "100 k", 100_000),
    Network::filled("1m", "1 M", 1_000_000).closely(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_networks_share_namespaces() {
        let all = || FORWARDING.iter().chain(&WIRE).chain(&FILLED);
        let prefixes: BTreeSet<String> = all().map(Network::prefix).collect();
        assert_eq!(prefixes.len(), all().count());
    }

    #[test]
    fn some_take_part_in_all_turns_and_all_in_some() {
        let turns = |network: &Network| (0..8).filter(|turn| network.takes_part(*turn)).count();
        assert_eq!(FORWARDING.map(|network| turns(&network)), [2, 2, 8, 8, 2, 2]);
        assert_eq!(WIRE.map(|network| turns(&network)), [2, 2, 8, 8, 2, 2]);
        assert_eq!(FILLED.map(|network| turns(&network)), [8, 2, 2, 8]);
    }
}
