//! Rounds, and what they give together. Every round makes the networks anew, since where their
//! memory lies is worth some hundredths, and does each test in many turns, with the networks
//! directly after one another, so that whatever else the machine does disturbs them alike; a figure
//! is the median of the turns' comparisons.

use std::collections::BTreeMap;

use super::chain::Chain;
use super::check;
use super::network::Network;
use super::quantity::{Quantity, Test};
use crate::bench::figure::{Figure, median, number};
use crate::bench::{Effort, Measured, Tools, note};
use crate::run::Result;

/// What every turn told of a network, in its order; `None` where a test failed.
#[derive(Default)]
pub(super) struct Samples(BTreeMap<(Quantity, &'static str), Vec<Option<f64>>>);

/// Brings up the networks. One of weft's that does not come up is missing, and the rest goes on;
/// without the kernel's there is nothing to compare with.
pub(super) fn bring_up(
    networks: &[Network],
    tools: &Tools,
    missing: &mut Vec<String>,
) -> Result<Vec<Chain>> {
    let titles: Vec<&str> = networks.iter().map(|network| network.title).collect();
    note(&format!("bringing up the networks: {}", titles.join(", ")));
    let mut chains = Vec::new();
    for network in networks {
        match Chain::up(*network, tools) {
            Ok(chain) => chains.push(chain),
            Err(error) if network.is_weft() => {
                let error = format!("{}: {error}", network.title);
                note(&error);
                if !missing.contains(&error) {
                    missing.push(error);
                }
            }
            Err(error) => return Err(format!("{}: {error}", network.title)),
        }
    }
    Ok(chains)
}

/// Who goes first changes, so that nobody always runs on a warmer machine, and so does who follows
/// whom.
fn order<T>(chains: &[T], turn: usize) -> Vec<&T> {
    let mut order: Vec<_> = chains.iter().cycle().skip(turn / 2).take(chains.len()).collect();
    if turn % 2 == 1 {
        order.reverse();
    }
    order
}

impl Samples {
    /// Does every test in every round, and `after` each what only its networks can tell.
    pub(super) fn take(
        networks: &[Network],
        tests: &[Test],
        (tools, effort): (&Tools, Effort),
        missing: &mut Vec<String>,
        mut after: impl FnMut(&[Chain]) -> Result,
    ) -> Result<Self> {
        let mut samples = Self::default();
        for round in 0..effort.rounds {
            let chains = bring_up(networks, tools, missing)?;
            for test in tests {
                samples.take_turns(&chains, *test, round, effort, missing);
                let told = samples.since(round * test.turns(effort), &chains, test.first());
                note(&format!("round {} of {}: {told}", round + 1, effort.rounds));
            }
            for chain in &chains {
                if let Err(error) = check::carried(chain) {
                    missing.push(format!("{} as it should be: {error}", chain.network.title));
                }
            }
            after(&chains)?;
        }
        Ok(samples)
    }

    /// Does a test in all turns of a round.
    fn take_turns(
        &mut self,
        chains: &[Chain],
        test: Test,
        round: usize,
        effort: Effort,
        missing: &mut Vec<String>,
    ) {
        let turns = test.turns(effort);
        for turn in 0..turns {
            for chain in order(chains, turn) {
                if chain.network.takes_part(turn) {
                    self.take_one(chain, test, round * turns + turn, effort, missing);
                }
            }
        }
    }

    fn take_one(
        &mut self,
        chain: &Chain,
        test: Test,
        turn: usize,
        effort: Effort,
        missing: &mut Vec<String>,
    ) {
        match test.run(chain) {
            Ok(told) => {
                for (quantity, value) in told {
                    self.put(quantity, &chain.network, turn, value);
                }
            }
            Err(error) => {
                let title = chain.network.title;
                let round = turn / test.turns(effort) + 1;
                missing.push(format!("round {round}, {title}, {}: {error}", test.first().title()));
            }
        }
    }

    fn put(&mut self, quantity: Quantity, network: &Network, turn: usize, value: f64) {
        let values = self.0.entry((quantity, network.name)).or_default();
        values.resize(turn, None);
        values.push(Some(value));
    }

    /// The turns' values of one network.
    fn of(&self, quantity: Quantity, network: &Network) -> &[Option<f64>] {
        self.0.get(&(quantity, network.name)).map_or(&[], Vec::as_slice)
    }

    /// The middle of the turns that gave something.
    pub(super) fn median(&self, quantity: Quantity, network: &Network) -> Option<f64> {
        let values: Vec<f64> = self.of(quantity, network).iter().flatten().copied().collect();
        median(&values)
    }

    /// The middle of the turns' comparisons with the same turn of `base`.
    pub(super) fn compare(
        &self,
        quantity: Quantity,
        network: &Network,
        base: &Network,
    ) -> Option<f64> {
        let turns = self.of(quantity, network).iter().zip(self.of(quantity, base));
        let both = turns.filter_map(|(ours, base)| Some(quantity.compare((*ours)?, (*base)?)));
        median(&both.collect::<Vec<_>>())
    }

    /// The figures of all networks but the base, their names beginning with `begin` behind the
    /// network's.
    pub(super) fn figures(&self, networks: &[Network], base: &Network, begin: &str) -> Measured {
        let mut figures = Vec::new();
        for network in networks.iter().filter(|network| network.name != base.name) {
            for quantity in Quantity::ALL {
                let compared = self.compare(quantity, network, base);
                let both = self.median(quantity, network).zip(self.median(quantity, base));
                let Some((value, (ours, theirs))) = compared.zip(both) else { continue };
                let id = format!("dataplane.{}.{begin}{}", network.name, quantity.name());
                let (ours, theirs) = (number(ours), number(theirs));
                figures.push(Figure::new(
                    id,
                    value,
                    format!("{ours} beside {theirs} {}", quantity.unit()),
                ));
            }
        }
        figures.into()
    }

    /// The middle of each network's turns from `first` on, in one line.
    fn since(&self, first: usize, chains: &[Chain], quantity: Quantity) -> String {
        let of = |chain: &Chain| {
            let values = self.of(quantity, &chain.network).iter().skip(first).flatten();
            let middle = median(&values.copied().collect::<Vec<_>>());
            format!("{} {}", chain.network.title, middle.map_or("-".into(), number))
        };
        let all: Vec<String> = chains.iter().map(of).collect();
        format!("{:<18} {}  {}", quantity.title(), all.join("   "), quantity.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::dataplane::network::{FORWARDING, PLAIN, VXLAN, WIRE};
    use crate::bench::figure::is_known;

    fn samples(values: &[(&Network, [f64; 3])]) -> Samples {
        let mut samples = Samples::default();
        for (network, rounds) in values {
            for (round, value) in rounds.iter().enumerate() {
                samples.put(Quantity::Tcp1, network, round, *value);
            }
        }
        samples
    }

    #[test]
    fn ratios_are_taken_within_each_round() {
        let tun = FORWARDING.iter().find(|network| network.name == "tun").unwrap();
        let samples = samples(&[(&PLAIN, [20.0, 10.0, 20.0]), (tun, [10.0, 5.0, 2.0])]);
        let figures = samples.figures(&FORWARDING, &PLAIN, "").figures;
        assert_eq!(figures.len(), 1);
        assert_eq!((figures[0].id.as_str(), figures[0].value), ("dataplane.tun.tcp1", 0.5));
        assert_eq!(figures[0].beside, "5 beside 20 Gbit/s");
    }

    #[test]
    fn everybody_goes_first_and_follows_both_neighbours() {
        let orders: Vec<_> = (0..6).map(|turn| order(&[1, 2, 3], turn)).collect();
        assert_eq!(orders[0], [&1, &2, &3]);
        assert_eq!(orders[1], [&3, &2, &1]);
        assert_eq!(orders[2], [&2, &3, &1]);
        let firsts: Vec<_> = orders.iter().map(|order| *order[0]).collect();
        assert_eq!(firsts, [1, 3, 2, 1, 3, 2]);
    }

    #[test]
    fn a_round_that_failed_is_compared_with_nothing() {
        let mut samples = samples(&[(&PLAIN, [10.0, 20.0, 30.0])]);
        samples.put(Quantity::Tcp1, &VXLAN, 1, 10.0);
        assert_eq!(samples.compare(Quantity::Tcp1, &VXLAN, &PLAIN), Some(0.5));
        assert_eq!(samples.compare(Quantity::Tcp4, &VXLAN, &PLAIN), None);
    }

    #[test]
    fn every_figure_has_its_line_in_the_table() {
        let known = |networks: &[Network], base: &Network, begin: &str, flows: bool| {
            for network in networks.iter().filter(|network| network.name != base.name) {
                for quantity in Quantity::ALL {
                    let tested = flows || quantity != Quantity::Pps64Flows;
                    let id = format!("dataplane.{}.{begin}{}", network.name, quantity.name());
                    assert!(!tested || is_known(&id), "{id}");
                }
            }
        };
        known(&FORWARDING, &PLAIN, "", true);
        known(&WIRE, &VXLAN, "wire_", false);
    }
}
