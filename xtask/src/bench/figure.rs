//! What is measured and what we want to reach, and the table of both.

use std::collections::BTreeMap;

/// How good a figure should be. Nothing fails because of it.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
    /// Only shown, to compare with.
    Any,
}

/// A figure that can be measured.
pub(super) struct Row {
    id: &'static str,
    what: &'static str,
    reach: Reach,
}

const fn row(id: &'static str, what: &'static str, reach: Reach) -> Row {
    Row { id, what, reach }
}

/// Every figure, in the order of the table. Ratios are to the kernel's plain forwarding.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("dataplane.ebpf.tcp1", "TCP, 1 stream: weft ebpf / plain", Reach::AtLeast(1.0)),
    row("dataplane.ebpf.tcp4", "TCP, 4 streams: weft ebpf / plain", Reach::AtLeast(0.98)),
    row("dataplane.ebpf.pps64", "64-octet frames, one flow: weft ebpf / plain", Reach::AtLeast(1.1)),
    row("dataplane.ebpf.pps64_flows", "64-octet frames, 16384 flows: weft ebpf / plain", Reach::Any),
    row("dataplane.ebpf.cpu64", "CPU time of a 64-octet frame: weft ebpf / plain", Reach::Any),
    row("dataplane.ebpf.rtt_extra_us", "round trip beyond plain, median, \u{b5}s", Reach::AtMost(1.0)),
    row("dataplane.ebpf.rtt_p99_extra_us", "round trip beyond plain, 99th percentile, \u{b5}s", Reach::Any),
    row("dataplane.ebpf.wire_tcp1", "wire, TCP, 1 stream: weft ebpf (VXLAN-GPE) / kernel VXLAN", Reach::AtLeast(1.1)),
    row("dataplane.ebpf.wire_tcp4", "wire, TCP, 4 streams: weft ebpf (VXLAN-GPE) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf.wire_pps64", "wire, 64-octet frames: weft ebpf (VXLAN-GPE) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf.wire_cpu64", "wire, CPU time of a 64-octet frame: weft ebpf (VXLAN-GPE) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf.wire_rtt_extra_us", "wire, round trip beyond kernel VXLAN, \u{b5}s", Reach::Any),
    row("dataplane.ebpf.wire_rtt_p99_extra_us", "the same, 99th percentile", Reach::Any),
    row("dataplane.ebpf_lisp.wire_tcp1", "wire, TCP, 1 stream: weft ebpf (LISP) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf_lisp.wire_tcp4", "wire, TCP, 4 streams: weft ebpf (LISP) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf_lisp.wire_pps64", "wire, 64-octet frames: weft ebpf (LISP) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf_lisp.wire_cpu64", "wire, CPU time of a 64-octet frame: weft ebpf (LISP) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf_lisp.wire_rtt_extra_us", "wire, round trip beyond kernel VXLAN, \u{b5}s", Reach::Any),
    row("dataplane.ebpf_lisp.wire_rtt_p99_extra_us", "the same, 99th percentile", Reach::Any),
    row("dataplane.ebpf_lisp_joined.wire_tcp1", "wire, TCP, 1 stream: weft ebpf (LISP, joined) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf_lisp_joined.wire_tcp4", "wire, TCP, 4 streams: weft ebpf (LISP, joined) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf_lisp_joined.wire_pps64", "wire, 64-octet frames: weft ebpf (LISP, joined) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf_lisp_joined.wire_cpu64", "wire, CPU time of a 64-octet frame: weft ebpf (LISP, joined) / kernel VXLAN", Reach::Any),
    row("dataplane.ebpf_lisp_joined.wire_rtt_extra_us", "wire, LISP joined, round trip beyond kernel VXLAN, \u{b5}s", Reach::Any),
    row("dataplane.ebpf_lisp_joined.wire_rtt_p99_extra_us", "the same, 99th percentile", Reach::Any),
    row("dataplane.ebpf.pps64_1m", "16384 flows: 1 M prefixes / 1 prefix", Reach::AtLeast(0.97)),
    row("dataplane.ebpf.lookup_1m_ns", "lookup among 1 M prefixes, ns", Reach::AtMost(80.0)),
    row("dataplane.ebpf.pps64_100k", "16384 flows: 100 k prefixes / 1 prefix", Reach::Any),
    row("dataplane.ebpf.lookup_100k_ns", "lookup among 100 k prefixes, ns", Reach::Any),
    row("dataplane.ebpf.pps64_1k", "16384 flows: 1 k prefixes / 1 prefix", Reach::Any),
    row("dataplane.ebpf.lookup_1k_ns", "lookup among 1 k prefixes, ns", Reach::Any),
    row("dataplane.ebpf.update_per_s", "prefixes installed a second", Reach::AtLeast(500_000.0)),
    row("dataplane.restart_lost", "packets lost while the router is restarted", Reach::AtMost(0.0)),
    row("dataplane.tun.tcp1", "TCP, 1 stream: weft tun / plain", Reach::AtLeast(0.55)),
    row("dataplane.tun.tcp4", "TCP, 4 streams: weft tun / plain", Reach::Any),
    row("dataplane.tun.pps64", "64-octet frames, one flow: weft tun / plain", Reach::AtLeast(1.0)),
    row("dataplane.tun.pps64_flows", "64-octet frames, 16384 flows: weft tun / plain", Reach::AtLeast(0.8)),
    row("dataplane.tun.cpu64", "CPU time of a 64-octet frame: weft tun / plain", Reach::Any),
    row("dataplane.tun.rtt_extra_us", "round trip beyond plain, median, \u{b5}s", Reach::Any),
    row("dataplane.tun.rtt_p99_extra_us", "round trip beyond plain, 99th percentile, \u{b5}s", Reach::Any),
    row("dataplane.vxlan.tcp1", "TCP, 1 stream: kernel VXLAN / plain", Reach::Any),
    row("dataplane.vxlan.tcp4", "TCP, 4 streams: kernel VXLAN / plain", Reach::Any),
    row("dataplane.vxlan.pps64", "64-octet frames, one flow: kernel VXLAN / plain", Reach::Any),
    row("dataplane.vxlan.pps64_flows", "64-octet frames, 16384 flows: kernel VXLAN / plain", Reach::Any),
    row("dataplane.vxlan.cpu64", "CPU time of a 64-octet frame: kernel VXLAN / plain", Reach::Any),
    row("dataplane.vxlan.rtt_extra_us", "round trip beyond plain, kernel VXLAN, \u{b5}s", Reach::Any),
    row("dataplane.vxlan.rtt_p99_extra_us", "the same, 99th percentile", Reach::Any),
    row("dataplane.gpe.tcp1", "TCP, 1 stream: kernel VXLAN-GPE / plain", Reach::Any),
    row("dataplane.gpe.tcp4", "TCP, 4 streams: kernel VXLAN-GPE / plain", Reach::Any),
    row("dataplane.gpe.pps64", "64-octet frames, one flow: kernel VXLAN-GPE / plain", Reach::Any),
    row("dataplane.gpe.pps64_flows", "64-octet frames, 16384 flows: kernel VXLAN-GPE / plain", Reach::Any),
    row("dataplane.gpe.cpu64", "CPU time of a 64-octet frame: kernel VXLAN-GPE / plain", Reach::Any),
    row("dataplane.gpe.rtt_extra_us", "round trip beyond plain, kernel VXLAN-GPE, \u{b5}s", Reach::Any),
    row("dataplane.gpe.rtt_p99_extra_us", "the same, 99th percentile", Reach::Any),
    row("dataplane.direct.tcp1", "TCP, 1 stream: no router / plain", Reach::Any),
    row("dataplane.direct.tcp4", "TCP, 4 streams: no router / plain", Reach::Any),
    row("dataplane.direct.pps64", "64-octet frames, one flow: no router / plain", Reach::Any),
    row("dataplane.direct.pps64_flows", "64-octet frames, 16384 flows: no router / plain", Reach::Any),
    row("dataplane.direct.cpu64", "CPU time of a 64-octet frame: no router / plain", Reach::Any),
    row("dataplane.direct.rtt_extra_us", "round trip beyond plain, no router, \u{b5}s", Reach::Any),
    row("dataplane.direct.rtt_p99_extra_us", "the same, 99th percentile", Reach::Any),
    row("dataplane.plain.wire_tcp1", "wire, TCP, 1 stream: plain / kernel VXLAN", Reach::Any),
    row("dataplane.plain.wire_tcp4", "wire, TCP, 4 streams: plain / kernel VXLAN", Reach::Any),
    row("dataplane.plain.wire_pps64", "wire, 64-octet frames: plain / kernel VXLAN", Reach::Any),
    row("dataplane.plain.wire_cpu64", "wire, CPU time of a 64-octet frame: plain / kernel VXLAN", Reach::Any),
    row("dataplane.plain.wire_rtt_extra_us", "wire, round trip beyond kernel VXLAN, plain, \u{b5}s", Reach::Any),
    row("dataplane.plain.wire_rtt_p99_extra_us", "the same, 99th percentile", Reach::Any),
    row("dataplane.gpe.wire_tcp1", "wire, TCP, 1 stream: kernel VXLAN-GPE / kernel VXLAN", Reach::Any),
    row("dataplane.gpe.wire_tcp4", "wire, TCP, 4 streams: kernel VXLAN-GPE / kernel VXLAN", Reach::Any),
    row("dataplane.gpe.wire_pps64", "wire, 64-octet frames: kernel VXLAN-GPE / kernel VXLAN", Reach::Any),
    row("dataplane.gpe.wire_cpu64", "wire, CPU time of a 64-octet frame: kernel VXLAN-GPE / kernel VXLAN", Reach::Any),
    row("dataplane.gpe.wire_rtt_extra_us", "wire, round trip beyond kernel VXLAN, kernel VXLAN-GPE, \u{b5}s", Reach::Any),
    row("dataplane.gpe.wire_rtt_p99_extra_us", "the same, 99th percentile", Reach::Any),
    row("firstpacket.lost", "packets lost while nobody knew the way", Reach::AtMost(0.0)),
    row("firstpacket.connect_extra_ms", "cold TCP connect beyond both mapping round trips, ms", Reach::AtMost(10.0)),
    row("outage.carrier_ms", "outage when an uplink loses its carrier, ms", Reach::AtMost(200.0)),
    row("outage.blackhole_ms", "outage when an uplink dies silently, ms", Reach::AtMost(5000.0)),
    row("ms.register_per_s", "Map-Registers a second of one core", Reach::AtLeast(150_000.0)),
    row("ms.request_per_s", "Map-Requests a second of one core", Reach::AtLeast(250_000.0)),
    row("ms.bytes_per_registration", "octets of memory a registration takes", Reach::AtMost(300.0)),
    row("idle.wakeups_per_s", "wake-ups a second of an idle router", Reach::Below(5.0)),
    row("storm.established_loss", "packets of known destinations lost in a storm", Reach::AtMost(0.0)),
    row("storm.requests_per_destination", "Map-Requests for each unknown destination of it", Reach::AtMost(1.0)),
    row("storm.requests_per_destination_silent", "the same when the mapping system is silent", Reach::Any),
];

/// A measured figure.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) id: String,
    pub(super) value: f64,
    /// What it was made of.
    pub(super) beside: String,
}

impl Figure {
    pub(super) fn new(id: impl Into<String>, value: f64, beside: impl Into<String>) -> Self {
        Self { id: id.into(), value, beside: beside.into() }
    }
}

impl Reach {
    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("\u{2265} {}", number(bound)),
            Self::AtMost(bound) => format!("\u{2264} {}", number(bound)),
            Self::Below(bound) => format!("< {}", number(bound)),
            Self::Any => String::new(),
        }
    }

    fn mark(self, value: f64) -> &'static str {
        let reached = match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Below(bound) => value < bound,
            Self::Any => return " ",
        };
        if reached { "\u{2713}" } else { "\u{2717}" }
    }
}

/// The figures as people read them.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut out =
        format!("{:<41} {:>9}   {:<10}  {:<61}  {}\n", "ID", "FIGURE", "REACH", "WHAT", "BESIDE");
    for row in ROWS {
        let Some(figure) = figures.iter().find(|figure| figure.id == row.id) else { continue };
        let line = format!(
            "{:<41} {:>9} {} {:<10}  {:<61}  {}",
            row.id,
            number(figure.value),
            row.reach.mark(figure.value),
            row.reach.text(),
            row.what,
            figure.beside,
        );
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// The figures as programs read them: one object of `id: number`.
pub(super) fn json(figures: &[Figure]) -> String {
    serde_json::to_string_pretty(&by_id(figures)).expect("names and numbers are JSON") + "\n"
}

/// The figures by their names.
pub(super) fn by_id(figures: &[Figure]) -> BTreeMap<&str, f64> {
    figures.iter().map(|figure| (figure.id.as_str(), rounded(figure.value))).collect()
}

/// True for a figure that has its line in the table.
#[cfg(test)]
pub(super) fn is_known(id: &str) -> bool {
    ROWS.iter().any(|row| row.id == id)
}

/// The middle value; the mean of the middle two of an even number. `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => sorted.get(middle).copied(),
        _ => Some(f64::midpoint(*sorted.get(middle - 1)?, *sorted.get(middle)?)),
    }
}

/// Three significant digits, and no fraction above 100.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => trimmed(&format!("{value:.1}")),
        small if small >= 0.01 => trimmed(&format!("{value:.2}")),
        _ => format!("{value:.5}"),
    }
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn rounded(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disturbed_round_does_not_move_the_median() {
        assert_eq!(median(&[1.0, 9.0, 1.2]), Some(1.2));
        assert_eq!(median(&[1.0, 2.0]), Some(1.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_table_says_what_was_reached_and_what_was_not() {
        let figure = |id, value| Figure::new(id, value, "beside");
        let text = table(&[figure("idle.wakeups_per_s", 5.0), figure("dataplane.tun.tcp1", 0.551)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("0.55 \u{2713} \u{2265} 0.55"), "{text}");
        assert!(lines[2].contains("5 \u{2717} < 5"), "{text}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn programs_get_names_and_numbers() {
        let figures = [Figure::new("outage.carrier_ms", 50.0, "")];
        let value: serde_json::Value = serde_json::from_str(&json(&figures)).unwrap();
        assert_eq!(value, serde_json::json!({ "outage.carrier_ms": 50.0 }));
    }

    #[test]
    fn no_two_rows_have_the_same_name() {
        let names: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
