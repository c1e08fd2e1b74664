//! `udp-flows`: many flows that differ in their source port only, each counted at the far end.
//! This is what load sharing is measured with.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use super::{Control, Error, Outcome, socket};
use crate::network::{Namespace, Network};
use crate::wait;

/// `udp-flows = { from, to, … }`
#[derive(Debug, Clone, PartialEq)]
pub struct UdpFlows {
    /// The sending node.
    pub from: String,
    /// The receiving node.
    pub to: String,
    /// The address it receives at.
    pub destination: IpAddr,
    /// How many flows.
    pub flows: u16,
    /// Packets of each flow.
    pub packets: u32,
    /// Octets after the UDP header.
    pub size: u16,
    /// Packets a second, all flows together.
    pub rate: u32,
    /// Percent that may be lost; nothing: any number.
    pub loss: Option<f64>,
}

/// Flow number and a cookie stand at the front of each packet.
const SMALLEST: usize = 10;

/// Source ports are counted from here, below the range the kernel picks from.
const FIRST_PORT: u16 = 10_000;

/// Flows that are open at the same time; a process may open about a thousand files.
const BATCH: u16 = 200;

/// How long the last packets may take.
const LINGER: Duration = Duration::from_secs(1);

const COOKIE: [u8; 8] = *b"weft-lab";

impl UdpFlows {
    pub(super) fn run(&self, network: &Network, control: &Control) -> Result<Outcome, Error> {
        let what = format!("udp receiver on {} ({})", self.to, self.destination);
        let receiver = socket(what, network.namespace(&self.to).enter(|| self.open_receiver()))?;
        let to = socket("udp receiver", receiver.local_addr())?;
        let namespace = network.namespace(&self.from);
        let all_sent = AtomicBool::new(false);
        let (rounds, arrivals) = std::thread::scope(|scope| {
            let receive = scope.spawn(|| self.receive(&receiver, &all_sent, control));
            let rounds = self.send(&namespace, to, control);
            all_sent.store(true, Ordering::Release);
            (rounds, receive.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let arrivals = socket("udp receiver", arrivals)?;
        let rounds = rounds?;
        wait::interrupted()?;
        Ok(self.judge(&arrivals, rounds))
    }

    fn judge(&self, arrivals: &[u64], rounds: u64) -> Outcome {
        let each = u64::from(self.packets) * rounds;
        let sent = each * u64::from(self.flows);
        let received: u64 = arrivals.iter().sum();
        let lost = sent.saturating_sub(received);
        let whole = arrivals.iter().filter(|count| **count >= each).count();
        let silent = arrivals.iter().filter(|count| **count == 0).count();
        let percent = lost as f64 * 100.0 / sent.max(1) as f64;
        let mut outcome = Outcome {
            summary: format!("{received}/{sent} packets, {whole}/{} flows whole", self.flows),
            ..Outcome::default()
        };
        outcome.figures.extend([
            ("sent", sent as f64),
            ("received", received as f64),
            ("lost", lost as f64),
            ("flows", f64::from(self.flows)),
            ("flows-whole", whole as f64),
        ]);
        if self.loss.is_some_and(|allowed| percent > allowed) {
            outcome.failures.push(format!(
                "{} to {} ({}): {lost} of {sent} packets lost, {silent} of {} flows silent",
                self.from, self.to, self.destination, self.flows
            ));
        }
        outcome
    }

    fn open_receiver(&self) -> io::Result<UdpSocket> {
        let receiver = UdpSocket::bind(SocketAddr::new(self.destination, 0))?;
        setsockopt(&receiver, sockopt::RcvBufForce, &(32 << 20))?;
        receiver.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(receiver)
    }

    /// Arrivals by flow.
    fn receive(
        &self,
        receiver: &UdpSocket,
        all_sent: &AtomicBool,
        control: &Control,
    ) -> io::Result<Vec<u64>> {
        let mut arrivals = vec![0; self.flows.into()];
        let mut buffer = vec![0; 1 << 16];
        let mut end: Option<Instant> = None;
        while wait::interrupted().is_ok() && end.is_none_or(|end| Instant::now() < end) {
            if end.is_none() && all_sent.load(Ordering::Acquire) {
                end = Some(Instant::now() + LINGER);
            }
            let epoch = control.epoch();
            match receiver.recv(&mut buffer) {
                Ok(length) => {
                    let flow = flow_of(&buffer[..length]);
                    if let Some(count) = flow.and_then(|flow| arrivals.get_mut(flow)) {
                        *count += 1;
                        control.answered();
                        control.recovered(epoch);
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) =>
                {
                    // silence after the last packet: nothing is under way any more
                    if end.is_some() && arrivals.iter().all(|count| *count >= self.packets.into()) {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(arrivals)
    }

    /// Sends all flows, again and again while the background lasts; gives the number of rounds.
    fn send(&self, from: &Namespace, to: SocketAddr, control: &Control) -> Result<u64, Error> {
        let mut pace = Pace::new(self.rate);
        let mut rounds = 0;
        loop {
            let mut first = 0;
            while first < self.flows {
                let flows = first..self.flows.min(first.saturating_add(BATCH));
                let what = format!("udp flows from {}", self.from);
                let sockets = socket(what, from.enter(|| open_senders(flows.clone(), to)))?;
                for _ in 0..self.packets {
                    for (flow, sender) in flows.clone().zip(&sockets) {
                        pace.wait()?;
                        // a packet that cannot be sent is counted as lost
                        let _lost = sender.send(&packet(flow, self.size));
                    }
                }
                first = flows.end;
            }
            rounds += 1;
            if control.may_finish() || control.stopped() {
                return Ok(rounds);
            }
        }
    }
}

fn open_senders(flows: std::ops::Range<u16>, to: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    flows
        .map(|flow| {
            let sender = UdpSocket::bind((any, FIRST_PORT + flow))?;
            sender.connect(to)?;
            Ok(sender)
        })
        .collect()
}

fn packet(flow: u16, size: u16) -> Vec<u8> {
    let mut packet = COOKIE.to_vec();
    packet.extend(flow.to_be_bytes());
    packet.resize(usize::from(size).max(SMALLEST), 0);
    packet
}

fn flow_of(packet: &[u8]) -> Option<usize> {
    let (cookie, rest) = packet.split_first_chunk::<8>()?;
    let flow = u16::from_be_bytes(*rest.first_chunk()?);
    (*cookie == COOKIE).then_some(flow.into())
}

/// Spreads packets evenly over time.
pub(super) struct Pace {
    began: Instant,
    sent: u32,
    rate: u32,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self { began: Instant::now(), sent: 0, rate }
    }

    /// Waits until the next packet may be sent. Sleeps only when a millisecond ahead.
    pub(super) fn wait(&mut self) -> Result<(), wait::Interrupted> {
        let due = self.began + Duration::from_secs_f64(f64::from(self.sent) / f64::from(self.rate));
        let ahead = due.saturating_duration_since(Instant::now());
        if ahead > Duration::from_millis(1) {
            wait::pass(ahead)?;
        }
        self.sent = self.sent.wrapping_add(1);
        if self.sent == 0 {
            self.began = Instant::now();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flows() -> UdpFlows {
        UdpFlows {
            from: "h1".into(),
            to: "h2".into(),
            destination: "192.0.2.1".parse().unwrap(),
            flows: 3,
            packets: 2,
            size: 64,
            rate: 1000,
            loss: Some(0.0),
        }
    }

    #[test]
    fn a_packet_names_its_flow() {
        assert_eq!(flow_of(&packet(513, 64)), Some(513));
        assert_eq!(packet(1, 0).len(), SMALLEST);
        assert_eq!(flow_of(b"something else"), None);
    }

    #[test]
    fn each_flow_is_accounted_for() {
        let whole = flows().judge(&[2, 2, 2], 1);
        assert_eq!(whole.failures, [] as [String; 0]);
        assert_eq!(whole.summary, "6/6 packets, 3/3 flows whole");
        let broken = flows().judge(&[2, 0, 1], 1);
        assert_eq!(broken.summary, "3/6 packets, 1/3 flows whole");
        assert_eq!(
            broken.failures,
            ["h1 to h2 (192.0.2.1): 3 of 6 packets lost, 1 of 3 flows silent"]
        );
    }
}
