//! Forwarding, beside the kernel's own: plain, and through a VXLAN device. Every round measures
//! each quantity on all three networks directly after one another, so that whatever else the
//! machine does disturbs them alike; a ratio is the median of the rounds' ratios.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;

use super::chain::{Chain, FAR, Kind};
use super::figure::{Figure, median, number};
use super::{Tools, note};
use crate::run::{Result, output};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Quantity {
    Tcp1,
    Tcp4,
    Pps64,
    Pps64Flows,
    RoundTrip,
}

const QUANTITIES: [Quantity; 5] =
    [Quantity::Tcp1, Quantity::Tcp4, Quantity::Pps64, Quantity::Pps64Flows, Quantity::RoundTrip];

/// What every round measured, in its order.
type Samples = BTreeMap<(Quantity, Kind), Vec<f64>>;

/// Seconds of a TCP transfer, after one that does not count.
const TCP_SECONDS: &str = "4";
/// Seconds of a flood.
const FLOOD_SECONDS: f64 = 3.0;
/// Octets of UDP payload that make a frame of 64.
const PAYLOAD: &str = "18";
/// Addresses behind the far router that the flood of many destinations goes to.
const DESTINATIONS: &str = "16384";
const PORT: &str = "7001";

/// Measures the group.
pub(super) fn measure(tools: &Tools, rounds: usize) -> Result<Vec<Figure>> {
    note("bringing up the networks: plain, VXLAN, weft");
    let chains =
        Kind::ALL.iter().map(|kind| Chain::up(*kind, tools)).collect::<Result<Vec<Chain>>>()?;
    let mut samples = Samples::new();
    for round in 0..rounds {
        for quantity in QUANTITIES {
            // who goes first changes, so that nobody always runs on a warmer machine
            for chain in chains.iter().cycle().skip(round).take(chains.len()) {
                let value = quantity.measure(chain, tools)?;
                samples.entry((quantity, chain.kind)).or_default().push(value);
            }
            note(&format!("round {} of {rounds}: {}", round + 1, latest(&samples, quantity)));
        }
    }
    Ok(figures(&samples))
}

fn latest(samples: &Samples, quantity: Quantity) -> String {
    let of = |kind: &Kind| {
        let last = samples.get(&(quantity, *kind)).and_then(|values| values.last().copied());
        format!("{} {}", kind.name(), number(last.unwrap_or_default()))
    };
    let all: Vec<String> = Kind::ALL.iter().map(of).collect();
    format!("{:<20} {}  {}", quantity.name(), all.join("   "), quantity.unit())
}

fn figures(samples: &Samples) -> Vec<Figure> {
    let mut figures = Vec::new();
    for quantity in QUANTITIES {
        let plain = samples.get(&(quantity, Kind::Plain)).map_or(&[][..], Vec::as_slice);
        for kind in [Kind::Tun, Kind::Vxlan] {
            let ours = samples.get(&(quantity, kind)).map_or(&[][..], Vec::as_slice);
            let compared: Vec<f64> = ours
                .iter()
                .zip(plain)
                .map(|(ours, plain)| quantity.compare(*ours, *plain))
                .collect();
            let (Some(value), Some(ours), Some(plain)) =
                (median(&compared), median(ours), median(plain))
            else {
                continue;
            };
            let beside = format!("{} beside {} {}", number(ours), number(plain), quantity.unit());
            figures.push(Figure { id: quantity.id(kind), value, beside });
        }
    }
    figures
}

impl Quantity {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp1 => "TCP, 1 stream",
            Self::Tcp4 => "TCP, 4 streams",
            Self::Pps64 => "64 octets",
            Self::Pps64Flows => "64 octets, spread",
            Self::RoundTrip => "round trip",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Tcp1 | Self::Tcp4 => "Gbit/s",
            Self::Pps64 | Self::Pps64Flows => "kpps",
            Self::RoundTrip => "\u{b5}s",
        }
    }

    fn id(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Tcp1, Kind::Vxlan) => "dataplane.vxlan.tcp1",
            (Self::Tcp4, Kind::Vxlan) => "dataplane.vxlan.tcp4",
            (Self::Pps64, Kind::Vxlan) => "dataplane.vxlan.pps64",
            (Self::Pps64Flows, Kind::Vxlan) => "dataplane.vxlan.pps64_flows",
            (Self::RoundTrip, Kind::Vxlan) => "dataplane.vxlan.rtt_extra_us",
            (Self::Tcp1, _) => "dataplane.tun.tcp1",
            (Self::Tcp4, _) => "dataplane.tun.tcp4",
            (Self::Pps64, _) => "dataplane.tun.pps64",
            (Self::Pps64Flows, _) => "dataplane.tun.pps64_flows",
            (Self::RoundTrip, _) => "dataplane.tun.rtt_extra_us",
        }
    }

    fn compare(self, ours: f64, plain: f64) -> f64 {
        match self {
            Self::RoundTrip => ours - plain,
            _ => ours / plain.max(1e-9),
        }
    }

    fn measure(self, chain: &Chain, tools: &Tools) -> Result<f64> {
        match self {
            Self::Tcp1 => tcp(chain, "1"),
            Self::Tcp4 => tcp(chain, "4"),
            Self::Pps64 => flood(chain, tools, &[]),
            Self::Pps64Flows => flood(chain, tools, &[DESTINATIONS]),
            Self::RoundTrip => round_trip(chain),
        }
    }
}

/// Gbit/s that arrived; sender on CPU 0, receiver on CPU 1.
fn tcp(chain: &Chain, streams: &str) -> Result<f64> {
    let client = [
        "timeout",
        "20",
        "iperf3",
        "--client",
        FAR,
        "--time",
        TCP_SECONDS,
        "--omit",
        "1",
        "--parallel",
        streams,
        "--affinity",
        "0,1",
        "--json",
    ];
    let answer: Value = json(&output(&mut chain.inside("h1", &client)?)?)?;
    let bits = answer.pointer("/end/sum_received/bits_per_second").and_then(Value::as_f64);
    bits.map(|bits| bits / 1e9).ok_or_else(|| format!("iperf3 gives no rate: {answer}"))
}

/// Thousands of packets that arrived in a second.
fn flood(chain: &Chain, tools: &Tools, spread: &[&str]) -> Result<f64> {
    let generator = tools.bench.to_string_lossy();
    let (counted, sent) = (FLOOD_SECONDS.to_string(), (FLOOD_SECONDS + 0.5).to_string());
    let receive = ["taskset", "-c", "1", &generator, "receive", "0.0.0.0", PORT, &counted];
    let receiver = chain.spawn("h2", &receive, Stdio::piped())?;
    wait_until_bound(chain)?;
    let mut send = vec!["taskset", "-c", "0", &generator, "send", FAR, PORT, &sent, PAYLOAD];
    send.extend(spread);
    output(&mut chain.inside("h1", &send)?)?;
    let answer = receiver.wait_with_output().map_err(|error| format!("the receiver: {error}"))?;
    let answer = json(&String::from_utf8_lossy(&answer.stdout))?;
    let rate = answer.get("per_s").and_then(Value::as_f64);
    rate.map(|rate| rate / 1e3).ok_or_else(|| format!("the receiver says {answer}"))
}

/// Waits until somebody in h2 listens to the flood.
fn wait_until_bound(chain: &Chain) -> Result {
    let port = format!(":{:04X} ", PORT.parse::<u16>().unwrap_or_default());
    for _ in 0..100 {
        let sockets = output(&mut chain.inside("h2", &["cat", "/proc/net/udp"])?)?;
        if sockets.contains(&port) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Err("the receiver of the flood did not start".into())
}

/// Median of a thousand pings, in microseconds.
fn round_trip(chain: &Chain) -> Result<f64> {
    let ping = ["ping", "-n", "-c", "1000", "-i", "0.002", FAR];
    let text = output(&mut chain.inside("h1", &ping)?)?;
    let times = text.lines().filter_map(|line| {
        let (_, after) = line.split_once("time=")?;
        after.split(' ').next()?.parse::<f64>().ok()
    });
    let times: Vec<f64> = times.map(|milliseconds| milliseconds * 1e3).collect();
    median(&times).ok_or_else(|| "ping got no answer".into())
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_each_round() {
        let mut samples = Samples::new();
        samples.insert((Quantity::Tcp1, Kind::Plain), vec![20.0, 10.0, 20.0]);
        samples.insert((Quantity::Tcp1, Kind::Tun), vec![10.0, 5.0, 2.0]);
        let figures = figures(&samples);
        assert_eq!(figures.len(), 1);
        assert_eq!((figures[0].id, figures[0].value), ("dataplane.tun.tcp1", 0.5));
        assert_eq!(figures[0].beside, "5 beside 20 Gbit/s");
    }

    #[test]
    fn a_round_trip_is_a_difference() {
        assert!((Quantity::RoundTrip.compare(115.0, 10.0) - 105.0).abs() < 1e-9);
    }
}
