//! `ping`: through the overlay, from an EID of this router, saying which locators carried it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};
use weft_manage::api::Request;

use crate::arguments::{Global, Ping};
use crate::client;
use crate::exit::{DENIED, End, NO, Outcome};
use crate::show::{out, text, whole};

/// Sends pings and reports each.
#[expect(clippy::disallowed_methods, reason = "a ping measures time")]
pub(crate) fn ping(ping: &Ping, global: &Global) -> Outcome {
    let way = way(ping, global)?;
    if !global.json {
        out(&format!("{} {}\n", ping.eid, way.text))?;
    }
    let socket = open(ping, way.source)?;
    let interval = Duration::try_from_secs_f64(ping.interval.clamp(0.01, 3600.0))
        .unwrap_or(Duration::from_secs(1));
    let mut tally = Tally::default();
    let mut carried = Carried::read(global)?;
    for sequence in 1..=ping.count.unwrap_or(u16::MAX) {
        let sent = Instant::now();
        socket
            .send(&echo_request(ping, sequence))
            .map_err(|error| End::new(NO, format!("cannot send to {}: {error}", ping.eid)))?;
        let trip = wait_for_answer(&socket, ping, sequence, sent, interval);
        let now = Carried::read(global)?;
        tally.add(trip);
        report(ping, global, sequence, trip, &carried.since(&now))?;
        carried = now;
        if ping.count.is_none_or(|count| sequence < count) {
            std::thread::sleep(interval.saturating_sub(sent.elapsed()));
        }
    }
    if !global.json {
        out(&tally.text())?;
    }
    if tally.trips.is_empty() { Err(End::silent(NO)) } else { Ok(()) }
}

/// What the router would do with the ping.
struct Way {
    source: Option<IpAddr>,
    text: String,
}

fn way(ping: &Ping, global: &Global) -> Result<Way, End> {
    let request = Request::Trace {
        source: ping.source.map(|ip| ip.to_string()),
        destination: ping.eid.to_string(),
        instance: ping.instance.id,
        protocol: None,
        ports: None,
        length: None,
    };
    let answer = client::ask(&global.socket, &request)?;
    let first = answer.items.first().map(|step| text(step, "text")).unwrap_or_default();
    let source = first.split_whitespace().next().and_then(|ip| ip.parse().ok());
    let source = ping.source.or(source).filter(|source| *source != ping.eid);
    let decision = answer.summary.get("decision").cloned().unwrap_or_default();
    let text = match text(&decision, "action").as_str() {
        "encapsulate" => {
            format!("via {} through {}", text(&decision, "rloc"), text(&decision, "uplink"))
        }
        "resolve" => "has no map-cache entry yet: the mapping system will be asked".to_owned(),
        _ => format!("is not reached through the overlay: {}", text(&decision, "text")),
    };
    Ok(Way { source, text })
}

fn open(ping: &Ping, source: Option<IpAddr>) -> Result<Socket, End> {
    let protocol = if ping.eid.is_ipv6() { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
    let open = || -> std::io::Result<Socket> {
        let domain = Domain::for_address(SocketAddr::new(ping.eid, 0));
        // A raw socket sees the header; where it is not allowed, a datagram socket may be.
        let socket = Socket::new(domain, Type::RAW, Some(protocol))
            .or_else(|_| Socket::new(domain, Type::DGRAM, Some(protocol)))?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect(&SocketAddr::new(ping.eid, 0).into())?;
        Ok(socket)
    };
    open().map_err(|error| {
        End::new(DENIED, format!("cannot open an ICMP socket: {error}"))
            .help("run it as root on the router, or name one of its EIDs with --source")
    })
}

/// Echo request, identified by our process. The kernel fills in the ICMPv6 checksum.
fn echo_request(ping: &Ping, sequence: u16) -> Vec<u8> {
    let kind = if ping.eid.is_ipv6() { 128 } else { 8 };
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(identifier());
    packet.extend(sequence.to_be_bytes());
    packet.extend((0..ping.size).map(|n| n.to_be_bytes()[1]));
    if !ping.eid.is_ipv6() {
        let sum = weft_packet::ip::checksum::Sum::default().with(&packet).checksum();
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn identifier() -> [u8; 2] {
    let [.., a, b] = std::process::id().to_be_bytes();
    [a, b]
}

/// Waits up to a second, or the interval if that is longer.
#[expect(clippy::disallowed_methods, reason = "a ping measures time")]
fn wait_for_answer(
    socket: &Socket,
    ping: &Ping,
    sequence: u16,
    sent: Instant,
    interval: Duration,
) -> Option<Duration> {
    let until = sent + interval.max(Duration::from_secs(1));
    loop {
        let left = until.checked_duration_since(Instant::now()).filter(|d| !d.is_zero())?;
        socket.set_read_timeout(Some(left)).ok()?;
        let mut reader = socket;
        let mut bytes = [0; 2048];
        let length = std::io::Read::read(&mut reader, &mut bytes).ok()?;
        if is_answer(bytes.get(..length)?, ping, sequence) {
            return Some(sent.elapsed());
        }
        // Not ours: another program's echo, or an error; keep waiting.
    }
}

fn is_answer(bytes: &[u8], ping: &Ping, sequence: u16) -> bool {
    let (message, kind) = if ping.eid.is_ipv6() {
        (Some(bytes), 129)
    } else {
        // Raw IPv4 sockets give the IP header too.
        let header = match bytes.first() {
            Some(first) if first >> 4 == 4 => usize::from(first & 0x0f) * 4,
            _ => 0,
        };
        (bytes.get(header..), 0)
    };
    let Some([found, 0, _, _, i0, i1, s0, s1]) = message.and_then(|m| m.first_chunk::<8>()) else {
        return false;
    };
    *found == kind && [*i0, *i1] == identifier() && [*s0, *s1] == sequence.to_be_bytes()
}

/// Packets by locator, sent and received.
struct Carried(BTreeMap<String, (u64, u64)>);

impl Carried {
    fn read(global: &Global) -> Result<Self, End> {
        let answer = client::ask(&global.socket, &Request::Rloc)?;
        let row =
            |item: &Value| (text(item, "rloc"), (whole(item, "sent"), whole(item, "received")));
        Ok(Self(answer.items.iter().map(row).collect()))
    }

    /// The locators used meanwhile: out, and in.
    fn since(&self, now: &Self) -> (Vec<String>, Vec<String>) {
        let before = |rloc: &String| self.0.get(rloc).copied().unwrap_or_default();
        let grown = |pick: fn((u64, u64)) -> u64| {
            let more = now.0.iter().filter(|(rloc, v)| pick(**v) > pick(before(rloc)));
            more.map(|(rloc, _)| rloc.clone()).collect()
        };
        (grown(|v| v.0), grown(|v| v.1))
    }
}

fn report(
    ping: &Ping,
    global: &Global,
    sequence: u16,
    trip: Option<Duration>,
    (sent_to, received_from): &(Vec<String>, Vec<String>),
) -> Outcome {
    if global.json {
        let item = json!({
            "eid": ping.eid.to_string(), "sequence": sequence,
            "rtt": trip.map(|t| t.as_secs_f64()), "out": sent_to, "in": received_from,
        });
        return out(&format!("{item}\n"));
    }
    let Some(trip) = trip else {
        return out(&format!("no answer: seq {sequence}  out {}\n", sent_to.join(" ")));
    };
    let milliseconds = trip.as_secs_f64() * 1e3;
    out(&format!(
        "{} bytes from {}: seq {sequence} {milliseconds:.2} ms  out {}  in {}\n",
        ping.size + 8,
        ping.eid,
        sent_to.join(" "),
        received_from.join(" "),
    ))
}

/// What came of all pings.
#[derive(Default)]
struct Tally {
    sent: usize,
    trips: Vec<f64>,
}

impl Tally {
    fn add(&mut self, trip: Option<Duration>) {
        self.sent += 1;
        self.trips.extend(trip.map(|t| t.as_secs_f64() * 1e3));
    }

    fn text(&self) -> String {
        let lost = self.sent - self.trips.len();
        let percent = lost * 100 / self.sent.max(1);
        let head = format!("{} sent, {} received, {percent}% loss", self.sent, self.trips.len());
        if self.trips.is_empty() {
            return head + "\n";
        }
        let least = self.trips.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.trips.iter().copied().fold(0.0, f64::max);
        let mean = self.trips.iter().sum::<f64>() / self.trips.len() as f64;
        format!("{head}, {least:.2}/{mean:.2}/{most:.2} ms\n")
    }
}
