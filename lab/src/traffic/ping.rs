//! `ping`: echo requests at a steady pace, each accounted for. From the times they were sent and
//! which of them were answered follows the longest outage.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::icmp::{Answer, Echo};
use super::{Control, Error, Outcome, socket};
use crate::network::Network;
use crate::wait;

/// `ping = { from, to, … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Ping {
    /// The sending node.
    pub from: String,
    /// The destination as the lab file names it.
    pub to: String,
    /// The destination.
    pub destination: IpAddr,
    /// How many.
    pub count: u32,
    /// Time between two.
    pub interval: Duration,
    /// Octets after the ICMP header.
    pub size: u16,
    /// Percent that may be lost; nothing: any number.
    pub loss: Option<f64>,
    /// Nothing on the way may fragment.
    pub df: bool,
    /// An answer "too big" is required.
    pub too_big: Option<TooBig>,
    /// Answers are expected; otherwise there must be none.
    pub reach: bool,
}

/// Which "too big" is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooBig {
    /// Any.
    Any,
    /// One that names this MTU.
    Mtu(u32),
}

/// So many answers in a row mean that traffic flows again.
const RECOVERED: usize = 10;

/// How long the last answers may take.
const LINGER: Duration = Duration::from_secs(1);

/// One echo request.
#[derive(Debug, Clone, Copy)]
struct Request {
    sent: Instant,
    epoch: u32,
    answered: Option<Instant>,
}

/// All that happened.
#[derive(Debug, Default)]
struct Record {
    requests: Vec<Request>,
    received: u32,
    duplicates: u32,
    damaged: u32,
    unreachable: u32,
    too_big: Option<u32>,
    send_error: Option<String>,
}

impl Ping {
    pub(super) fn run(&self, network: &Network, control: &Control) -> Result<Outcome, Error> {
        static IDENTIFIER: AtomicU16 = AtomicU16::new(1);
        let identifier = IDENTIFIER.fetch_add(1, Ordering::Relaxed);
        let cookie = u64::from(std::process::id()) << 16 | u64::from(identifier);
        let echo = socket(
            format!("ping from {}", self.from),
            network.namespace(&self.from).enter(|| {
                Echo::open(self.destination, identifier, cookie, self.size.into(), self.df)
            }),
        )?;
        let mut record = Record::default();
        let mut buffer = vec![0; 1 << 16];
        let mut next = Instant::now();
        while !control.stopped() && (record.sent() < self.count || !control.may_finish()) {
            wait::interrupted()?;
            if Instant::now() >= next {
                record.send(&echo, control.epoch());
                next += self.interval;
                if !self.reach || self.too_big.is_some() {
                    control.answered();
                }
            }
            wait_readable(&echo, next)?;
            record.receive(&echo, &mut buffer, control)?;
        }
        let end = Instant::now() + LINGER;
        while !record.complete() && self.reach && Instant::now() < end && !control.stopped() {
            wait::interrupted()?;
            wait_readable(&echo, end)?;
            record.receive(&echo, &mut buffer, control)?;
        }
        Ok(self.judge(&record))
    }

    fn judge(&self, record: &Record) -> Outcome {
        let (sent, received) = (record.sent(), record.received);
        let lost = sent - received;
        let percent = f64::from(lost) * 100.0 / f64::from(sent.max(1));
        let outage = longest_outage(&record.requests, self.interval);
        let mut outcome = Outcome { outage: Some(outage), ..Outcome::default() };
        let figures = &mut outcome.figures;
        figures.insert("sent", sent.into());
        figures.insert("received", received.into());
        figures.insert("lost", lost.into());
        figures.insert("duplicates", record.duplicates.into());
        figures.insert("outage-ms", outage.as_secs_f64() * 1e3);
        let mut words = vec![format!("{received}/{sent}")];
        if let Some((least, mean, most)) = record.round_trips() {
            figures.extend([("rtt-min-ms", least), ("rtt-ms", mean), ("rtt-max-ms", most)]);
            words.push(format!("{mean:.1} ms"));
        }
        if lost > 0 && self.reach && self.too_big.is_none() {
            let outage = outage.as_secs_f64() * 1e3;
            words.push(format!("{lost} lost, longest outage {outage:.0} ms"));
        }
        if let Some(mtu) = record.too_big {
            figures.insert("mtu", mtu.into());
            words.push(format!("too big, MTU {mtu}"));
        }
        outcome.summary = words.join(", ");
        outcome.failures = self.failures(record, percent);
        outcome
    }

    fn failures(&self, record: &Record, percent: f64) -> Vec<String> {
        let mut failures = Vec::new();
        let names = format!("{} to {} ({})", self.from, self.to, self.destination);
        if !self.reach {
            if record.received > 0 {
                failures.push(format!("{names}: {} answers, expected none", record.received));
            }
            return failures;
        }
        if self.loss.is_some_and(|allowed| percent > allowed) {
            let (lost, sent) = (record.sent() - record.received, record.sent());
            failures.push(format!("{names}: {lost} of {sent} lost{}", record.reasons()));
        }
        match (self.too_big, record.too_big) {
            (Some(_), None) => failures.push(format!("{names}: nobody said \"too big\"")),
            (Some(TooBig::Mtu(wanted)), Some(mtu)) if wanted != mtu => {
                let message = format!("\"too big\" names MTU {mtu}, expected {wanted}");
                failures.push(format!("{names}: {message}"));
            }
            _ => {}
        }
        if record.damaged > 0 {
            failures.push(format!("{names}: {} answers were damaged", record.damaged));
        }
        failures
    }
}

impl Record {
    fn sent(&self) -> u32 {
        u32::try_from(self.requests.len()).unwrap_or(u32::MAX)
    }

    fn complete(&self) -> bool {
        self.received == self.sent()
    }

    fn send(&mut self, echo: &Echo, epoch: u32) {
        let number = self.requests.len() as u64;
        self.requests.push(Request { sent: Instant::now(), epoch, answered: None });
        match echo.send(number) {
            Ok(()) => {}
            // a packet that this node cannot send is as lost as one that died later
            Err(error) => self.send_error = Some(error.to_string()),
        }
    }

    fn receive(&mut self, echo: &Echo, buffer: &mut [u8], control: &Control) -> Result<(), Error> {
        loop {
            let length = match io::Read::read(&mut &echo.socket, buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // an ICMP error that the kernel reports on the socket; we read the packet itself
                Err(error) if error.raw_os_error().is_some() => continue,
                Err(source) => return Err(Error::Socket { what: "ping".into(), source }),
            };
            match echo.parse(&buffer[..length]) {
                Some(Answer::Reply { number, intact }) => self.reply(number, intact, control),
                Some(Answer::TooBig { mtu }) => self.too_big = Some(mtu),
                Some(Answer::Unreachable { .. }) => self.unreachable += 1,
                None => {}
            }
        }
    }

    fn reply(&mut self, number: u64, intact: bool, control: &Control) {
        let request = usize::try_from(number).ok().and_then(|at| self.requests.get_mut(at));
        let Some(request) = request else { return };
        self.damaged += u32::from(!intact);
        if request.answered.is_some() {
            self.duplicates += 1;
            return;
        }
        request.answered = Some(Instant::now());
        let epoch = request.epoch;
        self.received += 1;
        control.answered();
        if self.flows_since(number, epoch) {
            control.recovered(epoch);
        }
    }

    /// Were this request and those right before it, all of this epoch, answered?
    fn flows_since(&self, number: u64, epoch: u32) -> bool {
        let end = usize::try_from(number).map_or(usize::MAX, |number| number.saturating_add(1));
        let row = end.checked_sub(RECOVERED).and_then(|start| self.requests.get(start..end));
        row.is_some_and(|row| {
            row.iter().all(|request| request.answered.is_some() && request.epoch == epoch)
        })
    }

    fn round_trips(&self) -> Option<(f64, f64, f64)> {
        let times: Vec<f64> = self
            .requests
            .iter()
            .filter_map(|request| Some((request.answered? - request.sent).as_secs_f64() * 1e3))
            .collect();
        let least = times.iter().copied().reduce(f64::min)?;
        let most = times.iter().copied().reduce(f64::max)?;
        Some((least, times.iter().sum::<f64>() / times.len() as f64, most))
    }

    fn reasons(&self) -> String {
        let unreachable =
            (self.unreachable > 0).then(|| format!(", {} times \"unreachable\"", self.unreachable));
        let reasons = [
            self.send_error.as_ref().map(|error| format!(", last error when sending: {error}")),
            unreachable,
            self.too_big.map(|mtu| format!(", \"too big\" with MTU {mtu}")),
        ];
        reasons.into_iter().flatten().collect()
    }
}

/// From the sending of the first lost packet of a row to that of the next one answered.
fn longest_outage(requests: &[Request], interval: Duration) -> Duration {
    let mut longest = Duration::ZERO;
    let mut since: Option<Instant> = None;
    for request in requests {
        match (request.answered, since) {
            (None, None) => since = Some(request.sent),
            (Some(_), Some(start)) => {
                longest = longest.max(request.sent - start);
                since = None;
            }
            _ => {}
        }
    }
    match (since, requests.last()) {
        (Some(start), Some(last)) => longest.max(last.sent + interval - start),
        _ => longest,
    }
}

fn wait_readable(echo: &Echo, until: Instant) -> Result<(), Error> {
    // short enough to notice an interruption or the end of a background's task
    let limit = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
    let mut fds = [PollFd::new(echo.socket.as_fd(), PollFlags::POLLIN)];
    match ppoll(&mut fds, Some(TimeSpec::from(limit)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => socket("ping", Err(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(10);

    /// Requests 10 ms apart; a dot is a lost one.
    fn requests(answered: &str) -> Vec<Request> {
        let start = Instant::now();
        let request = |(at, c): (usize, char)| {
            let sent = start + INTERVAL * u32::try_from(at).unwrap();
            Request { sent, epoch: 0, answered: (c != '.').then_some(sent) }
        };
        answered.chars().enumerate().map(request).collect()
    }

    fn ping() -> Ping {
        Ping {
            from: "h1".into(),
            to: "h2".into(),
            destination: "192.0.2.1".parse().unwrap(),
            count: 4,
            interval: INTERVAL,
            size: 56,
            loss: Some(0.0),
            df: false,
            too_big: None,
            reach: true,
        }
    }

    fn record(answered: &str) -> Record {
        let requests = requests(answered);
        let received = requests.iter().filter(|request| request.answered.is_some()).count();
        Record { received: u32::try_from(received).unwrap(), requests, ..Record::default() }
    }

    #[test]
    fn the_longest_row_of_lost_packets_is_the_outage() {
        let outage = |answered| longest_outage(&requests(answered), INTERVAL).as_millis();
        assert_eq!(outage("!!!!"), 0);
        assert_eq!(outage("!.!..!!"), 20);
        assert_eq!(outage("...!!"), 30);
        assert_eq!(outage("!!..."), 30);
        assert_eq!(outage(""), 0);
    }

    #[test]
    fn loss_is_judged_in_percent() {
        assert_eq!(ping().judge(&record("!!!!")).failures, [] as [String; 0]);
        let failures = ping().judge(&record("!.!!")).failures;
        assert_eq!(failures, ["h1 to h2 (192.0.2.1): 1 of 4 lost"]);
        let tolerant = Ping { loss: Some(25.0), ..ping() };
        assert_eq!(tolerant.judge(&record("!.!!")).failures, [] as [String; 0]);
    }

    #[test]
    fn an_answer_fails_a_ping_that_must_not_get_one() {
        let isolated = Ping { reach: false, ..ping() };
        assert_eq!(isolated.judge(&record("....")).failures, [] as [String; 0]);
        assert_eq!(isolated.judge(&record("!...")).failures.len(), 1);
    }

    #[test]
    fn too_big_must_name_the_right_mtu() {
        let wants = Ping { too_big: Some(TooBig::Mtu(1400)), loss: None, ..ping() };
        assert_eq!(wants.judge(&record("....")).failures.len(), 1);
        let names = |mtu| Record { too_big: Some(mtu), ..record("....") };
        assert_eq!(wants.judge(&names(1400)).failures, [] as [String; 0]);
        assert_eq!(wants.judge(&names(1500)).failures.len(), 1);
    }
}
