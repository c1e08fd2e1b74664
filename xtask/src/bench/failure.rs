//! What traffic suffers when something breaks or somebody scans the world. On the quickstart
//! network.

use super::figure::{Figure, median, number};
use super::sites::{evidence, lab_file, lab_test};
use super::{Tools, note};
use crate::run::Result;

/// The second uplink is only used when the first is dead.
const PREFERENCE: &str = ", priority = 2";

/// What must be so before anything is broken. Who asks for a site before it has registered is told
/// for a minute that there is none, so nobody asks.
const BEGINNING: &str = r#"
[[check]]
name = "the sites register"
until = "10s"
on = "ms"
run = "weft map-server site --json"
json = { "$.items[*].registered" = true }

[[check]]
name = "the ping flows"
until = "10s"
ping = { from = "h1", to = "h2" }
"#;

const OUTAGE: &str = r#"
[[check]]
name = "outage"
while = { ping = { from = "h1", to = "h2", count = 100, interval = "10ms", loss = 100 } }
do = ["wait 3s", "link x1-isp1 VERB xtr1"]
"#;

const STORM: &str = r#"
[[check]]
name = "answered"
capture = { on = "xtr1", filter = "dst host 10.0.0.2 and udp dst port 4342 and udp[8] & 0xf0 = 0x80", packets = { min = 0 } }
while = [
  { ping = { from = "h1", to = "h2", count = 100, interval = "10ms", loss = 100 } },
  { storm = { from = "h1", to = "172.16.0.0/15", destinations = 20000, rate = "10000/s" } },
]
do = "wait 5s"

[[check]]
name = "the mapping system falls silent"
do = "link core blackhole ms"

[[check]]
name = "silent"
capture = { on = "xtr1", filter = "dst host 10.0.0.2 and udp dst port 4342 and udp[8] & 0xf0 = 0x80", packets = { min = 0 } }
while = [
  { ping = { from = "h1", to = "h2", count = 100, interval = "10ms", loss = 100 } },
  { storm = { from = "h1", to = "100.64.0.0/15", destinations = 20000, rate = "10000/s" } },
]
do = "wait 5s"
"#;

/// An uplink dies under a ping of 10 ms, audibly and silently. It is the preferred one of its site,
/// so the ping's packets of both directions are on it.
pub(super) fn outage(tools: &Tools, rounds: usize) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (id, verb) in [("outage.carrier_ms", "down"), ("outage.blackhole_ms", "blackhole")] {
        let checks = BEGINNING.to_owned() + &OUTAGE.replace("VERB", verb);
        let file = lab_file(tools, &format!("bench-{verb}"), PREFERENCE, &checks)?;
        let mut outages = Vec::new();
        for _ in 0..rounds {
            let report = lab_test(tools, &file)?;
            outages.push(evidence(&report, "outage", "ping", "outage-ms")?);
        }
        let all: Vec<String> = outages.iter().map(|ms| number(*ms)).collect();
        note(&format!("{verb}: {} ms", all.join(", ")));
        let longest = outages.iter().copied().fold(0.0, f64::max);
        let beside = format!("longest {} of {rounds}", number(longest));
        figures.extend(median(&outages).map(|value| Figure::new(id, value, beside)));
    }
    Ok(figures)
}

/// Packets to thousands of destinations nobody has, beside a ping that must not notice: once with
/// a mapping system that answers, once with a silent one.
pub(super) fn storm(tools: &Tools, rounds: usize) -> Result<Vec<Figure>> {
    let file = lab_file(tools, "bench-storm", "", &(BEGINNING.to_owned() + STORM))?;
    let (mut lost, mut sent) = (0.0, 0.0);
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let report = lab_test(tools, &file)?;
        for (check, ratios) in ["answered", "silent"].iter().zip(&mut ratios) {
            let gone = evidence(&report, check, "ping", "lost")?;
            lost += gone;
            sent += evidence(&report, check, "ping", "sent")?;
            let requests = evidence(&report, check, "capture", "packets")?;
            ratios.push(requests / evidence(&report, check, "storm", "sent")?.max(1.0));
            note(&format!(
                "{check}: {} pings lost, {} Map-Requests",
                number(gone),
                number(requests)
            ));
        }
    }
    let beside = format!("of {} pings during storms of 10000 destinations a second", number(sent));
    let mut figures = vec![Figure::new("storm.established_loss", lost, beside)];
    let ids = ["storm.requests_per_destination", "storm.requests_per_destination_silent"];
    for (id, ratios) in ids.into_iter().zip(&ratios) {
        let beside = "Map-Requests until 5 s later".to_owned();
        figures.extend(median(ratios).map(|value| Figure::new(id, value, beside)));
    }
    Ok(figures)
}
