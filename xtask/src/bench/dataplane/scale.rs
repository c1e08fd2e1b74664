//! The eBPF data plane with a full table beside itself with an empty one. A map-cache of a million
//! prefixes takes a mapping system to fill; here `weft-bench fill` runs the data plane and fills
//! it, and no router.

use serde_json::Value;

use super::network::{FEW, MANY};
use super::quantity::{DESTINATIONS, Quantity, Test};
use super::rounds::Samples;
use crate::bench::figure::{Figure, median, number};
use crate::bench::{Effort, Measured, Tools, note};
use crate::run::Result;

/// Forwarding, lookups and updates.
pub(in crate::bench) fn measure(tools: &Tools, effort: Effort) -> Result<Measured> {
    let mut missing = Vec::new();
    let mut told = Vec::new();
    let tests = [Test::Flood(DESTINATIONS)];
    let samples = Samples::take(&[FEW, MANY], &tests, (tools, effort), &mut missing, |chains| {
        let full = chains.iter().find(|chain| chain.network == MANY);
        if let Some(said) = full.and_then(|chain| chain.filled.first()) {
            note(&format!("x1 says {said}"));
            told.push(said.clone());
        }
        Ok(())
    })?;
    let mut figures = Vec::new();
    let quantity = Quantity::Pps64Flows;
    let both = samples.median(quantity, &MANY).zip(samples.median(quantity, &FEW));
    if let Some((value, (many, few))) = samples.compare(quantity, &MANY, &FEW).zip(both) {
        let beside = format!("{} beside {} {}", number(many), number(few), quantity.unit());
        figures.push(Figure::new("dataplane.ebpf.pps64_1m", value, beside));
    }
    figures.extend(table_figures(&told));
    Ok(Measured { figures, missing })
}

/// What those who filled the table in each round say of it.
fn table_figures(told: &[Value]) -> Vec<Figure> {
    let value = |name: &str| {
        let values: Vec<f64> = told.iter().filter_map(|said| said[name].as_f64()).collect();
        median(&values)
    };
    let text = |name: &str| value(name).map_or_else(|| "?".to_owned(), number);
    let lookup = value("lookup_ns").map(|ns| {
        let beside = format!(
            "kernel's trie {}; {} addresses again and again {}, kernel's {}; one {}",
            text("kernel_trie_ns"),
            text("hot"),
            text("lookup_hot_ns"),
            text("kernel_trie_hot_ns"),
            text("lookup_same_ns")
        );
        Figure::new("dataplane.ebpf.lookup_1m_ns", ns, beside)
    });
    let update = value("update_per_s").map(|rate| {
        let beside = format!(
            "of {} prefixes; through the FIB {}, replaced {}",
            text("prefixes"),
            text("through_fib_per_s"),
            text("replaced_per_s")
        );
        Figure::new("dataplane.ebpf.update_per_s", rate, beside)
    });
    lookup.into_iter().chain(update).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_not_told_is_no_figure() {
        let told = json!({ "prefixes": 1_000_000, "update_per_s": 900_000.0 });
        let figures = table_figures(&[told]);
        assert_eq!(figures.len(), 1);
        assert_eq!(figures[0].id, "dataplane.ebpf.update_per_s");
        assert!(figures[0].beside.starts_with("of 1000000 prefixes"), "{:?}", figures[0]);
    }
}
