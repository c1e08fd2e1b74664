//! `tcp`: one connection, one transfer of known octets, checked octet by octet at the far end.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Control, Error, Outcome, socket};
use crate::network::Network;
use crate::wait;

/// `tcp = { from, to, … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Tcp {
    /// The node that connects and sends.
    pub from: String,
    /// The node that listens.
    pub to: String,
    /// The address it listens at.
    pub destination: IpAddr,
    /// How much is sent.
    pub amount: Amount,
    /// A connection is expected; otherwise it must fail.
    pub reach: bool,
}

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// So many octets.
    Bytes(u64),
    /// As many as pass in this time.
    Time(Duration),
}

/// How long a connection may take, and how long it is tried where none is expected.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const REFUSE_LIMIT: Duration = Duration::from_secs(3);

/// A transfer that stands still for so long has failed, unless it goes on in the background: then
/// it is allowed to wait until what was broken is repaired.
const STALL_LIMIT: Duration = Duration::from_secs(10);
const BACKGROUND_STALL_LIMIT: Duration = Duration::from_mins(2);

/// Blocking calls return this often, to look around.
const TURN: Duration = Duration::from_millis(100);

const CHUNK: usize = 1 << 16;

/// What the receiving side has seen.
#[derive(Debug, Default)]
struct Received {
    bytes: u64,
    damaged_at: Option<u64>,
    stall: Duration,
}

impl Tcp {
    pub(super) fn run(&self, network: &Network, control: &Control) -> Result<Outcome, Error> {
        let address = SocketAddr::new(self.destination, 0);
        let listener = network.namespace(&self.to).enter(|| TcpListener::bind(address));
        let listener = socket(format!("tcp listener on {} ({address})", self.to), listener)?;
        let address = socket("tcp listener", listener.local_addr())?;
        let began = Instant::now();
        let limit = if self.reach { CONNECT_LIMIT } else { REFUSE_LIMIT };
        let stream = network.namespace(&self.from).enter(|| connect(address, limit));
        let connected = began.elapsed();
        match (stream, self.reach) {
            (Ok(stream), true) => self.transfer(&listener, stream, connected, control),
            (Ok(_), false) => Ok(Outcome {
                failures: vec![format!("{} could connect to {} ({address})", self.from, self.to)],
                ..Outcome::default()
            }),
            (Err(_), false) => {
                Ok(Outcome { summary: "no connection".into(), ..Outcome::default() })
            }
            (Err(error), true) => Ok(Outcome {
                failures: vec![format!(
                    "{} cannot connect to {} ({address}): {error}",
                    self.from, self.to
                )],
                ..Outcome::default()
            }),
        }
    }

    fn transfer(
        &self,
        listener: &TcpListener,
        stream: TcpStream,
        connected: Duration,
        control: &Control,
    ) -> Result<Outcome, Error> {
        let (incoming, _) = socket("accepting", listener.accept())?;
        let data = Data::new();
        let began = Instant::now();
        let (sent, received) = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&incoming, &data, control));
            let sent = self.send(stream, &data, control);
            let received = receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (sent, received)
        });
        let seconds = began.elapsed().as_secs_f64();
        wait::interrupted()?;
        Ok(self.judge(sent, received, connected, seconds))
    }

    fn judge(
        &self,
        sent: io::Result<u64>,
        received: io::Result<Received>,
        connected: Duration,
        seconds: f64,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let names = format!("{} to {} ({})", self.from, self.to, self.destination);
        let connect_ms = connected.as_secs_f64() * 1e3;
        outcome.figures.insert("connect-ms", connect_ms);
        let (sent, received) = match (sent, received) {
            (Ok(sent), Ok(received)) => (sent, received),
            (Err(error), _) => {
                outcome.failures.push(format!("{names}: sending stopped: {}", reason(&error)));
                return outcome;
            }
            (_, Err(error)) => {
                outcome.failures.push(format!("{names}: receiving stopped: {}", reason(&error)));
                return outcome;
            }
        };
        if let Some(at) = received.damaged_at {
            outcome.failures.push(format!("{names}: the octets differ from number {at} on"));
        } else if sent != received.bytes {
            let bytes = received.bytes;
            outcome.failures.push(format!("{names}: {sent} octets sent, {bytes} received"));
        }
        let rate = received.bytes as f64 * 8.0 / seconds.max(1e-9) / 1e6;
        outcome.figures.insert("bytes", received.bytes as f64);
        outcome.figures.insert("mbit-per-second", rate);
        outcome.figures.insert("outage-ms", received.stall.as_secs_f64() * 1e3);
        outcome.outage = Some(received.stall);
        outcome.summary = format!(
            "{:.1} MB, {rate:.0} Mbit/s, connected in {connect_ms:.1} ms",
            received.bytes as f64 / 1e6
        );
        outcome
    }

    /// Sends as much as wanted, and as long as the background lasts; gives the number of octets.
    fn send(&self, mut stream: TcpStream, data: &Data, control: &Control) -> io::Result<u64> {
        let began = Instant::now();
        let mut progress = began;
        let mut sent: u64 = 0;
        stream.set_write_timeout(Some(TURN))?;
        loop {
            let done = match self.amount {
                Amount::Bytes(bytes) => sent >= bytes,
                Amount::Time(time) => began.elapsed() >= time,
            };
            if control.stopped() || wait::interrupted().is_err() || done && control.may_finish() {
                break;
            }
            let left = match self.amount {
                Amount::Bytes(bytes) if control.may_finish() => bytes - sent,
                _ => CHUNK as u64,
            };
            let chunk = data.at(sent, usize::try_from(left).unwrap_or(CHUNK));
            match stream.write(chunk) {
                Ok(length) => {
                    sent += length as u64;
                    progress = Instant::now();
                }
                Err(error) if is_turn(&error) && progress.elapsed() < stall_limit(control) => {}
                Err(error) => return Err(error),
            }
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        Ok(sent)
    }
}

/// Receives until the sender ends.
fn receive(mut stream: &TcpStream, data: &Data, control: &Control) -> io::Result<Received> {
    let mut received = Received::default();
    let mut buffer = vec![0; CHUNK];
    let mut progress = Instant::now();
    stream.set_read_timeout(Some(TURN))?;
    while wait::interrupted().is_ok() && !control.stopped() {
        let epoch = control.epoch();
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let expected = data.at(received.bytes, length);
                if received.damaged_at.is_none() && buffer[..length] != *expected {
                    received.damaged_at = Some(received.bytes);
                }
                received.bytes += length as u64;
                received.stall = received.stall.max(progress.elapsed());
                progress = Instant::now();
                control.answered();
                control.recovered(epoch);
            }
            Err(error) if is_turn(&error) && progress.elapsed() < stall_limit(control) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(received)
}

fn stall_limit(control: &Control) -> Duration {
    if control.may_finish() { STALL_LIMIT } else { BACKGROUND_STALL_LIMIT }
}

/// Connects from the namespace of the calling thread.
fn connect(to: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.connect_timeout(&to.into(), limit)?;
    Ok(socket.into())
}

/// The kernel's words for a stall would say "temporarily unavailable".
fn reason(error: &io::Error) -> String {
    if is_turn(error) { format!("no progress for {STALL_LIMIT:?}") } else { error.to_string() }
}

fn is_turn(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// An endless stream of octets that both sides know. Its period is a prime, so that a lost, doubled
/// or moved segment of any usual size shows.
struct Data(Vec<u8>);

const PERIOD: usize = 65_521;

impl Data {
    fn new() -> Self {
        let mut state: u32 = 0x2545_f491;
        let period: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[0]
        })
        .take(PERIOD)
        .collect();
        Self([period.as_slice(), &period, &period].concat())
    }

    /// The octets from number `position` on, at most `length` and at most one chunk.
    fn at(&self, position: u64, length: usize) -> &[u8] {
        let start = usize::try_from(position % PERIOD as u64).unwrap_or(0);
        &self.0[start..start + length.min(CHUNK)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_octets_are_one_stream_however_they_are_cut() {
        let data = Data::new();
        let whole = data.at(65_000, 4000).to_vec();
        let cut = [data.at(65_000, 600), data.at(65_600, 3400)].concat();
        assert_eq!(whole, cut);
    }

    #[test]
    fn a_moved_segment_shows() {
        let data = Data::new();
        assert_ne!(data.at(0, 1460), data.at(1460, 1460));
        assert_ne!(data.at(0, 1460), data.at(65_536, 1460));
    }

    #[test]
    fn octets_that_differ_fail_the_transfer() {
        let tcp = Tcp {
            from: "h1".into(),
            to: "h2".into(),
            destination: "192.0.2.1".parse().unwrap(),
            amount: Amount::Bytes(10),
            reach: true,
        };
        let judge = |bytes, damaged_at| {
            let received = Received { bytes, damaged_at, stall: Duration::ZERO };
            tcp.judge(Ok(10), Ok(received), Duration::from_millis(1), 1.0).failures.len()
        };
        assert_eq!(judge(10, None), 0);
        assert_eq!(judge(9, None), 1);
        assert_eq!(judge(10, Some(3)), 1);
    }
}
