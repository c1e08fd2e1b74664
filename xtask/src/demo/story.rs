//! The chapters of the story, and what came of them.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use super::stage::{Stage, heading, say};
use crate::run::Result;

/// Solicit-Map-Requests to one RLOC are 3 s apart, and the new split caused one.
const BETWEEN_CHANGES: Duration = Duration::from_secs(4);

/// The story so far.
pub(super) struct Story {
    stage: Stage,
    results: Vec<(&'static str, String)>,
}

/// The hosts' EIDs of both families.
const H2: [(&str, &str); 2] = [("IPv4", "192.168.2.10"), ("IPv6", "2001:db8:b::10")];
/// A flow whose way is explained.
const FLOW: &str = "icmp 192.168.1.10 > 192.168.2.10";
/// Datagrams of 1000 octets, each a flow of its own.
const FLOWS: &str =
    "for port in $(seq 2001 4000); do printf %01000d 0 >/dev/udp/192.168.2.10/$port; done";
const WEIGHTS: &str = "s/\"x1-isp1\" }/\"x1-isp1\", weight = 75 }/; \
                       s/\"x1-isp2\" }/\"x1-isp2\", weight = 25 }/";
const UPLINKS: [&str; 2] = ["x1-isp1", "x1-isp2"];

/// A second pair of addresses, which the providers do route: the way without an overlay.
const PLAIN: &[(&str, &str)] = &[
    ("h1", "ip addr add 10.11.0.10/24 dev site1"),
    ("h1", "ip route add 10.12.0.0/24 via 10.11.0.1"),
    ("xtr1", "ip addr add 10.11.0.1/24 dev site1"),
    ("xtr1", "ip route add 10.12.0.0/24 via 10.1.1.1"),
    ("isp1", "ip route add 10.11.0.0/24 via 10.1.1.2"),
    ("isp1", "ip route add 10.12.0.0/24 via 10.1.2.2"),
    ("xtr2", "ip addr add 10.12.0.1/24 dev site2"),
    ("xtr2", "ip route add 10.11.0.0/24 via 10.1.2.1"),
    ("h2", "ip addr add 10.12.0.10/24 dev site2"),
    ("h2", "ip route add 10.11.0.0/24 via 10.12.0.1"),
];

impl Story {
    pub(super) fn new(stage: Stage) -> Self {
        Self { stage, results: Vec::new() }
    }

    /// Both sites are known to the mapping system.
    pub(super) fn registration(&mut self) -> Result {
        heading("The routers have registered their sites");
        self.stage.lab.wait_until_registered()?;
        self.stage.show("ms", &["weft", "map-server", "site"])?;
        self.stage.show("xtr1", &["weft", "status"])?;
        Ok(())
    }

    /// Nobody has asked for the other site yet, and still the first ping arrives.
    pub(super) fn first_ping(&mut self) -> Result {
        heading("The first ping: xtr1 has to ask where site 2 is, and loses nothing meanwhile");
        for (family, address) in H2 {
            let text = self.stage.show("h1", &["ping", "-n", "-c", "5", "-i", "0.2", address])?;
            let times: Vec<&str> = text
                .lines()
                .filter_map(|line| line.split_once("time="))
                .map(|(_, time)| time)
                .collect();
            let (Some(first), Some(last)) = (times.first(), times.last()) else {
                return Err("no ping was answered".into());
            };
            if times.len() != 5 {
                return Err(format!("{} of 5 pings were lost", 5 - times.len()));
            }
            let result = format!("0 of 5 lost, the first {first}, later {last}");
            let what = if family == "IPv4" { "first ping, IPv4" } else { "first ping, IPv6" };
            self.results.push((what, result));
        }
        say("\n  What it has learned:");
        self.stage.show("xtr1", &["weft", "map-cache"])?;
        Ok(())
    }

    /// TCP through the overlay, beside the same path without it.
    pub(super) fn throughput(&mut self) -> Result {
        heading("TCP through the overlay, and between the same hosts without one");
        say("  (for the comparison the providers get routes to a second pair of addresses)");
        for (node, command) in PLAIN {
            self.stage.lab.ask(node, &command.split(' ').collect::<Vec<_>>())?;
        }
        let overlay = self.transfer(H2[0].1)?;
        let plain = self.transfer("10.12.0.10")?;
        let ratio = overlay / plain.max(1e-9);
        let result = format!("{overlay:.1} of {plain:.1} Gbit/s, {ratio:.2} of plain forwarding");
        say(&format!("\n  {result}"));
        self.results.push(("TCP through the overlay", result));
        Ok(())
    }

    /// A new split over the uplinks, without a restart.
    pub(super) fn load_split(&mut self) -> Result {
        heading("Three quarters of the traffic to provider 1, from now on");
        let stage = &self.stage;
        stage.show("xtr1", &["sed", "-i", WEIGHTS, "weft.toml"])?;
        stage.show("xtr1", &["weft", "config", "reload"])?;
        let before = self.sent_octets()?;
        stage.show("h1", &["bash", "-c", FLOWS])?;
        let after = self.sent_octets()?;
        let sent: Vec<f64> =
            after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let all = sent.iter().sum::<f64>().max(1.0);
        let share =
            |(uplink, octets): (&&str, &f64)| format!("{uplink} {:.0} %", octets / all * 100.0);
        let shares: Vec<String> = UPLINKS.iter().zip(&sent).map(share).collect();
        let result = shares.join(", ");
        say(&format!("\n  by the interfaces' counters: {result}"));
        self.results.push(("split, configured 75/25", result));
        Ok(())
    }

    /// An uplink is unplugged under a ping.
    pub(super) fn carrier_loss(&mut self) -> Result {
        heading("Somebody unplugs the uplink that the ping uses");
        say("  (after a pause: peers are told of a change every 3 s at most, RFC 9301 \u{a7}6.1)");
        sleep(BETWEEN_CHANGES);
        let (uplink, outage) = self.outage("down", 300)?;
        self.results.push(("outage, uplink unplugged", outage));
        self.stage.show("xtr1", &["weft", "monitor", "--last", "8", "--past-only", "--changes"])?;
        self.stage.act(&format!("link {uplink} up xtr1"))?;
        self.wait_until_uplinks_are_up()
    }

    /// An uplink drops everything and nobody says so.
    pub(super) fn black_hole(&mut self) -> Result {
        heading("The uplink's provider drops everything and says nothing");
        let (uplink, outage) = self.outage("blackhole", 1000)?;
        self.results.push(("outage, silent", outage));
        self.stage.show("xtr1", &["weft", "rloc"])?;
        self.stage.act(&format!("link {uplink} heal xtr1"))
    }

    /// What came of all of it.
    pub(super) fn summary(&self) {
        heading("What you have seen");
        for (what, result) in &self.results {
            say(&format!("  {what:<26} {result}"));
        }
    }

    /// Gbit/s from h1 to an address of h2.
    fn transfer(&self, to: &str) -> Result<f64> {
        let mut server = self.stage.lab.exec("h2", &["timeout", "20", "iperf3", "-s", "-1"])?;
        server.stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = server.spawn().map_err(|error| format!("iperf3: {error}"))?;
        self.wait_for_server()?;
        let client = ["iperf3", "-c", to, "-t", "3", "-f", "g"];
        let text = self.stage.show_some("h1", &client, |line| line.contains("receiver"))?;
        server.wait().map_err(|error| format!("iperf3: {error}"))?;
        let line = text.lines().find(|line| line.contains("receiver")).unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let rate =
            words.iter().position(|word| *word == "Gbits/sec").and_then(|at| at.checked_sub(1));
        rate.and_then(|at| words.get(at)?.parse().ok()).ok_or_else(|| format!("no rate in {text}"))
    }

    fn wait_for_server(&self) -> Result {
        for _ in 0..50 {
            if self.stage.lab.ask("h2", &["cat", "/proc/net/tcp6"])?.contains(":1451 ") {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        Err("the iperf3 server does not start".into())
    }

    /// Octets that xtr1 has sent through each of its uplinks.
    fn sent_octets(&self) -> Result<Vec<f64>> {
        let of = |uplink: &&str| {
            let path = format!("/sys/class/net/{uplink}/statistics/tx_bytes");
            let text = self.stage.lab.ask("xtr1", &["cat", &path])?;
            text.trim().parse().map_err(|_| format!("{path}: {text}"))
        };
        UPLINKS.iter().map(of).collect()
    }

    /// Breaks the uplink that a ping uses; gives its name and how long the ping was out.
    fn outage(&self, verb: &str, count: u32) -> Result<(String, String)> {
        let trace = ["weft", "trace", FLOW];
        self.stage.show_some("xtr1", &trace, |line| line.contains("result"))?;
        let explained = self.stage.lab.json("xtr1", &["weft", "trace", "--json", FLOW])?;
        let uplink = explained.pointer("/summary/decision/uplink").and_then(|name| name.as_str());
        let uplink = uplink.ok_or("the trace names no uplink")?.to_owned();
        let pings = self.stage.ping_on("h1", H2[0].1, count)?;
        sleep(Duration::from_secs(1));
        self.stage.act(&format!("link {uplink} {verb} xtr1"))?;
        let (outage, ended) = pings.longest_outage()?;
        if !ended {
            return Err("the ping did not come back".into());
        }
        let result = match outage {
            0 => "no ping lost".to_owned(),
            some => format!("{some} ms"),
        };
        say(&format!("\n  outage: {result}"));
        Ok((uplink, result))
    }

    fn wait_until_uplinks_are_up(&self) -> Result {
        self.stage.wait_for("xtr1", &["weft", "interface", "--json"], |answer| {
            let items = answer["items"].as_array().cloned().unwrap_or_default();
            items.iter().filter(|item| item["role"] == "uplink").all(|item| item["state"] == "up")
        })
    }
}
