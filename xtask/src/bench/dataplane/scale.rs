//! The eBPF data plane with tables of several sizes beside itself with one prefix. A map-cache of a
//! million prefixes takes a mapping system to fill; here `weft-bench fill` runs the data plane and fills
//! it, and no router.

use std::collections::BTreeMap;

use serde_json::Value;

use super::network::FILLED;
use super::quantity::{DESTINATIONS, Quantity, Test};
use super::rounds::Samples;
use crate::bench::figure::{Figure, median, number};
use crate::bench::{Effort, Measured, Tools, note};
use crate::run::Result;

/// What those who filled a table say of it, one for each round, by the name of the table.
type Told = BTreeMap<&'static str, Vec<Value>>;

/// Forwarding, lookups and updates.
pub(in crate::bench) fn measure(tools: &Tools, effort: Effort) -> Result<Measured> {
    let mut missing = Vec::new();
    let mut told = Told::new();
    let tests = [Test::Flood(DESTINATIONS)];
    let samples = Samples::take(&FILLED, &tests, (tools, effort), &mut missing, |chains| {
        for chain in chains {
            if let Some(said) = chain.filled.first() {
                note(&format!("{}: x1 says {said}", chain.network.title));
                told.entry(chain.network.name).or_default().push(said.clone());
            }
        }
        Ok(())
    })?;
    let mut figures = Vec::new();
    let quantity = Quantity::Pps64Flows;
    let [base, larger @ ..] = &FILLED;
    for network in larger {
        let both = samples.median(quantity, network).zip(samples.median(quantity, base));
        if let Some((value, (ours, few))) = samples.compare(quantity, network, base).zip(both) {
            let beside = format!("{} beside {} {}", number(ours), number(few), quantity.unit());
            let id = format!("dataplane.ebpf.pps64_{}", network.name);
            figures.push(Figure::new(id, value, beside));
        }
        figures.extend(told.get(network.name).and_then(|told| lookup(network.name, told)));
    }
    figures.extend(told.get("1m").and_then(|told| update(told)));
    Ok(Measured { figures, missing })
}

fn median_of(told: &[Value], name: &str) -> Option<f64> {
    let values: Vec<f64> = told.iter().filter_map(|said| said[name].as_f64()).collect();
    median(&values)
}

fn text_of(told: &[Value], name: &str) -> String {
    median_of(told, name).map_or_else(|| "?".to_owned(), number)
}

/// How long a lookup takes in a table of this size.
fn lookup(size: &str, told: &[Value]) -> Option<Figure> {
    let text = |name| text_of(told, name);
    let beside = format!(
        "kernel's trie {}; {} addresses again and again {}, kernel's {}; one {}",
        text("kernel_trie_ns"),
        text("hot"),
        text("lookup_hot_ns"),
        text("kernel_trie_hot_ns"),
        text("lookup_same_ns")
    );
    let ns = median_of(told, "lookup_ns")?;
    Some(Figure::new(format!("dataplane.ebpf.lookup_{size}_ns"), ns, beside))
}

/// How fast the table was filled.
fn update(told: &[Value]) -> Option<Figure> {
    let text = |name| text_of(told, name);
    let beside = format!(
        "of {} prefixes; through the FIB {}, replaced {}",
        text("prefixes"),
        text("through_fib_per_s"),
        text("replaced_per_s")
    );
    Some(Figure::new("dataplane.ebpf.update_per_s", median_of(told, "update_per_s")?, beside))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::is_known;
    use serde_json::json;

    #[test]
    fn what_was_not_told_is_no_figure() {
        let told = [json!({ "prefixes": 1_000_000, "update_per_s": 900_000.0 })];
        assert!(lookup("1m", &told).is_none());
        let update = update(&told).unwrap();
        assert_eq!((update.id.as_str(), update.value), ("dataplane.ebpf.update_per_s", 900_000.0));
        assert!(update.beside.starts_with("of 1000000 prefixes"), "{update:?}");
    }

    #[test]
    fn every_size_has_its_lines_in_the_table() {
        for network in FILLED.iter().skip(1) {
            assert!(is_known(&format!("dataplane.ebpf.pps64_{}", network.name)));
            assert!(is_known(&format!("dataplane.ebpf.lookup_{}_ns", network.name)));
        }
    }
}
