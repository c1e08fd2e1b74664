//! What is measured of a network, and how.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::chain::{Chain, FAR};
use crate::bench::Effort;
use crate::bench::figure::median;
use crate::run::{Result, output};

/// Something that is done with a network. Hosts' programs stay on one CPU each, the sender's on
/// CPU 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// TCP by so many streams.
    Tcp(u8),
    /// Datagrams that make frames of 64 octets, as fast as possible, to so many destinations.
    Flood(u32),
    /// A packet and its answer, every two milliseconds.
    Ping,
}

/// What a test tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Quantity {
    Tcp1,
    Tcp4,
    Pps64,
    /// CPU time of the whole machine for each packet of the flood.
    Cpu64,
    Pps64Flows,
    RoundTrip,
    RoundTripTail,
}

/// Addresses behind the far router that the flood of many flows goes to.
pub(super) const DESTINATIONS: u32 = 16_384;

/// Octets of UDP payload that make a frame of 64.
const PAYLOAD: &str = "18";
const PORT: &str = "7001";

/// Pings of a turn, and lines of ping that do not count: its first one, and answers while whatever
/// ran before is still in the way.
const PINGS: &str = "110";
const UNCOUNTED: usize = 11;

impl Test {
    /// How many times a round does it with the networks that are compared most closely. The more often
    /// they take turns, the less it matters that the machine is not the same from second to second.
    pub(super) fn turns(self, effort: Effort) -> usize {
        match self {
            _ if effort.quick => 1,
            Self::Tcp(_) => 8,
            Self::Flood(_) => 16,
            Self::Ping => 20,
        }
    }

    /// Does it; gives what it told.
    pub(super) fn run(self, chain: &Chain) -> Result<Vec<(Quantity, f64)>> {
        match self {
            Self::Tcp(streams) => {
                let quantity = if streams == 1 { Quantity::Tcp1 } else { Quantity::Tcp4 };
                Ok(vec![(quantity, tcp(chain, streams)?)])
            }
            Self::Flood(destinations) => {
                let flood = flood(chain, destinations)?;
                Ok(if destinations > 1 {
                    vec![(Quantity::Pps64Flows, flood.kpps)]
                } else {
                    vec![(Quantity::Pps64, flood.kpps), (Quantity::Cpu64, flood.cpu_ns)]
                })
            }
            Self::Ping => {
                let (middle, tail) = round_trip(chain)?;
                Ok(vec![(Quantity::RoundTrip, middle), (Quantity::RoundTripTail, tail)])
            }
        }
    }

    /// Where its results are shown while it goes on.
    pub(super) fn first(self) -> Quantity {
        match self {
            Self::Tcp(1) => Quantity::Tcp1,
            Self::Tcp(_) => Quantity::Tcp4,
            Self::Flood(1) => Quantity::Pps64,
            Self::Flood(_) => Quantity::Pps64Flows,
            Self::Ping => Quantity::RoundTrip,
        }
    }
}

impl Quantity {
    pub(super) const ALL: [Self; 7] = [
        Self::Tcp1,
        Self::Tcp4,
        Self::Pps64,
        Self::Cpu64,
        Self::Pps64Flows,
        Self::RoundTrip,
        Self::RoundTripTail,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Tcp1 => "TCP, 1 stream",
            Self::Tcp4 => "TCP, 4 streams",
            Self::Pps64 => "64 octets",
            Self::Cpu64 => "CPU a packet",
            Self::Pps64Flows => "64 octets, spread",
            Self::RoundTrip => "round trip",
            Self::RoundTripTail => "round trip, p99",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Tcp1 | Self::Tcp4 => "Gbit/s",
            Self::Pps64 | Self::Pps64Flows => "kpps",
            Self::Cpu64 => "ns",
            Self::RoundTrip | Self::RoundTripTail => "\u{b5}s",
        }
    }

    /// The end of its figures' names, as compared with the base network.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp1 => "tcp1",
            Self::Tcp4 => "tcp4",
            Self::Pps64 => "pps64",
            Self::Cpu64 => "cpu64",
            Self::Pps64Flows => "pps64_flows",
            Self::RoundTrip => "rtt_extra_us",
            Self::RoundTripTail => "rtt_p99_extra_us",
        }
    }

    /// A ratio; of times, where the base is nearly nothing, a difference.
    pub(super) fn compare(self, ours: f64, base: f64) -> f64 {
        match self {
            Self::RoundTrip | Self::RoundTripTail => ours - base,
            _ => ours / base.max(1e-9),
        }
    }
}

/// Gbit/s that arrived in a second, after one that does not count.
fn tcp(chain: &Chain, streams: u8) -> Result<f64> {
    let streams = streams.to_string();
    let client = ["timeout", "20", "iperf3", "--client", FAR, "--json", "--affinity", "0,1"];
    let mut client = chain.inside("h1", &client)?;
    client.args(["--time", "1", "--omit", "1", "--parallel", &streams]);
    // Whatever the machine is set to: what BBR makes of paths without a bottleneck is no measure.
    client.args(["--congestion", "cubic"]);
    let answer = json(&output(&mut client)?)?;
    let bits = answer.pointer("/end/sum_received/bits_per_second").and_then(Value::as_f64);
    match bits {
        Some(bits) if bits > 0.0 => Ok(bits / 1e9),
        Some(_) => Err("nothing arrived by TCP".into()),
        None => Err(format!("iperf3 gives no rate: {answer}")),
    }
}

/// What a flood told.
struct Flood {
    /// Thousands of packets that arrived in a second.
    kpps: f64,
    /// CPU time of the whole machine for each.
    cpu_ns: f64,
}

fn flood(chain: &Chain, destinations: u32) -> Result<Flood> {
    let generator = chain.generator();
    let receive = ["taskset", "-c", "1", &generator, "receive", "0.0.0.0", PORT, "0.8"];
    let receiver = chain.spawn("h2", &receive, Stdio::piped())?;
    wait_until_bound(chain)?;
    let destinations = destinations.to_string();
    let mut send = vec!["taskset", "-c", "0", &generator, "send", FAR, PORT, "1.1", PAYLOAD];
    if destinations != "1" {
        send.push(&destinations);
    }
    output(&mut chain.inside("h1", &send)?)?;
    let answer = receiver.wait_with_output().map_err(|error| format!("the receiver: {error}"))?;
    let answer = json(&String::from_utf8_lossy(&answer.stdout))?;
    let number = |name: &str| {
        let number = answer.get(name).and_then(Value::as_f64);
        number.ok_or_else(|| format!("the receiver gives no {name}: {answer}"))
    };
    Ok(Flood { kpps: number("per_s")? / 1e3, cpu_ns: number("cpu_ns_per_packet")? })
}

/// Waits until somebody in h2 listens to the flood.
fn wait_until_bound(chain: &Chain) -> Result {
    let port = format!(":{:04X} ", PORT.parse::<u16>().unwrap_or_default());
    for _ in 0..100 {
        let sockets = output(&mut chain.inside("h2", &["cat", "/proc/net/udp"])?)?;
        if sockets.contains(&port) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("the receiver of the flood did not start".into())
}

/// Median and 99th percentile of many pings, in microseconds.
fn round_trip(chain: &Chain) -> Result<(f64, f64)> {
    let ping = ["taskset", "-c", "0", "ping", "-n", "-c", PINGS, "-i", "0.002", FAR];
    let text = output(&mut chain.inside("h1", &ping)?)?;
    let times = text.lines().skip(UNCOUNTED).filter_map(|line| {
        let (_, after) = line.split_once("time=")?;
        after.split(' ').next()?.parse::<f64>().ok()
    });
    let mut times: Vec<f64> = times.map(|milliseconds| milliseconds * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let tail = times.get(times.len() * 99 / 100).copied();
    median(&times).zip(tail).ok_or_else(|| "ping got no answer".into())
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_a_difference_and_a_rate_a_ratio() {
        assert!((Quantity::RoundTrip.compare(115.0, 10.0) - 105.0).abs() < 1e-9);
        assert!((Quantity::Pps64.compare(220.0, 200.0) - 1.1).abs() < 1e-9);
    }

    #[test]
    fn what_a_test_shows_first_is_one_of_its_quantities() {
        let tests = [Test::Tcp(1), Test::Tcp(4), Test::Flood(1), Test::Flood(9), Test::Ping];
        let shown: Vec<&str> = tests.iter().map(|test| test.first().name()).collect();
        assert_eq!(shown, ["tcp1", "tcp4", "pps64", "pps64_flows", "rtt_extra_us"]);
    }
}
