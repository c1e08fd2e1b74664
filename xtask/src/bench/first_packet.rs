//! Nobody knows anybody: what the first packet and the first connection of a pair of sites suffer.
//! On the quickstart network.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::figure::{Figure, median, number};
use super::sites::{H2, lab_file};
use super::{Tools, note};
use crate::lab::Lab;
use crate::run::Result;

/// Cold starts of a round.
const COLD_STARTS: usize = 2;
/// Between two of them: an ETR answers the same question of the same ITR every three seconds, and
/// a cold start asks twice.
const PACE: Duration = Duration::from_secs(6);
const ROUTERS: [&str; 2] = ["xtr1", "xtr2"];
const PORT: &str = "7002";

/// What is lost, and how much longer a TCP connection takes than asking for the mapping of either
/// side.
#[expect(clippy::disallowed_methods, reason = "keeps a pace")]
pub(super) fn measure(tools: &Tools, rounds: usize) -> Result<Vec<Figure>> {
    let lab = Lab::up(&tools.weft, &lab_file(tools, "bench-sites", "", "")?)?;
    lab.wait_until_registered()?;
    let _listener = listen(&lab, tools)?;
    let bench = tools.bench.to_string_lossy();
    let (mut connects, mut extras) = (Vec::new(), Vec::new());
    let (mut sent, mut lost) = (0, 0);
    for start in 1..=rounds * COLD_STARTS {
        let began = Instant::now();
        forget(&lab)?;
        let connect = lab.number("h1", &[&bench, "connect", H2[0], PORT], "/connect_ms")?;
        let asked = lookup(&lab, "xtr1")? + lookup(&lab, "xtr2")?;
        connects.push(connect);
        extras.push(connect - asked);
        for address in H2 {
            forget(&lab)?;
            let (pinged, answered) = lab.ping("h1", address, 3)?;
            sent += pinged;
            lost += pinged - answered;
        }
        note(&format!(
            "cold start {start}: connected in {} ms, asked for {} ms; {lost} of {sent} pings lost",
            number(connect),
            number(asked)
        ));
        if start < rounds * COLD_STARTS {
            sleep(PACE.saturating_sub(began.elapsed()));
        }
    }
    let (Some(extra), Some(connect)) = (median(&extras), median(&connects)) else {
        return Ok(Vec::new());
    };
    let slowest = connects.iter().copied().fold(0.0, f64::max);
    Ok(vec![
        Figure::new(
            "firstpacket.lost",
            f64::from(lost),
            format!("of {sent} pings to where nobody had sent before"),
        ),
        Figure::new(
            "firstpacket.connect_extra_ms",
            extra,
            format!("connected in {} ms, slowest {}", number(connect), number(slowest)),
        ),
    ])
}

/// Both routers know no mapping any more.
fn forget(lab: &Lab) -> Result {
    for router in ROUTERS {
        lab.ask(router, &["weft", "map-cache", "flush"])?;
        let cache = lab.json(router, &["weft", "map-cache", "--json"])?;
        if cache["items"].as_array().is_none_or(|items| !items.is_empty()) {
            return Err(format!("{router} still knows {}", cache["items"]));
        }
    }
    Ok(())
}

/// Milliseconds from a router's last Map-Request to the Map-Reply.
fn lookup(lab: &Lab, router: &str) -> Result<f64> {
    let monitor = ["weft", "monitor", "--json", "--past-only", "--last", "100", "--changes"];
    let events = lab.ask(router, &monitor)?;
    let mut latest = events.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    let learned: Option<Value> = latest.find(|event: &Value| event["kind"] == "mapping-learned");
    let took = learned.as_ref().and_then(|event| event["took"].as_f64());
    took.map(|seconds| seconds * 1e3).ok_or_else(|| format!("{router} has learned nothing"))
}

/// Somebody in h2 who accepts connections as long as we live.
fn listen(lab: &Lab, tools: &Tools) -> Result<Child> {
    let bench = tools.bench.to_string_lossy();
    let mut listener = lab.exec("h2", &[&bench, "listen", H2[0], PORT])?;
    listener.stdin(Stdio::piped()).stdout(Stdio::null());
    listener.spawn().map_err(|error| format!("weft-bench listen: {error}"))
}
