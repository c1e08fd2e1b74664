//! A flood of small datagrams, and its counterpart that counts them. Sending and receiving take
//! many datagrams a system call, so that the network between is what is measured.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt, sockopt,
};
use serde_json::{Value, json};

use crate::parse;

/// Datagrams a system call.
const BATCH: usize = 64;
/// Not counted at the start of a reception: queues fill, caches warm.
const WARM_UP: Duration = Duration::from_millis(200);
/// How long a receiver lets datagrams gather once it has taken all. If it waited for each, a sixth
/// of what is measured would be how long a processor takes to wake another.
const NAP: Duration = Duration::from_micros(100);

/// `send ADDRESS PORT SECONDS PAYLOAD [DESTINATIONS]`: as fast as possible. With DESTINATIONS,
/// every datagram goes to another address of ADDRESS/16; without, the host's own routing table is
/// asked but once.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn send(words: &[&str]) -> Result<Value, String> {
    let (address, port, seconds, payload, destinations) = match words {
        [address, port, seconds, payload] => (address, port, seconds, payload, 0),
        [address, port, seconds, payload, destinations] => {
            (address, port, seconds, payload, parse(destinations)?)
        }
        _ => return Err(crate::HELP.into()),
    };
    if destinations > 1 << 16 {
        return Err("a /16 has 65536 destinations".into());
    }
    let to = SocketAddr::new(parse(address)?, parse(port)?);
    let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).map_err(|e| e.to_string())?;
    let _ = setsockopt(&socket, sockopt::SndBufForce, &(8 << 20));
    let bytes = vec![0; parse(payload)?];
    let iov: Vec<[IoSlice<'_>; 1]> = (0..BATCH).map(|_| [IoSlice::new(&bytes)]).collect();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    if destinations == 0 {
        socket.connect(to).map_err(|e| format!("{to}: {e}"))?;
    }
    let mut spread = Spread { to, destinations, state: 12_345 };
    let mut addresses = vec![None; BATCH];
    let end = Instant::now() + Duration::from_secs_f64(parse(seconds)?);
    let (mut sent, mut refused) = (0u64, 0u64);
    while Instant::now() < end {
        if destinations > 0 {
            addresses.fill_with(|| Some(SockaddrStorage::from(spread.next())));
        }
        match sendmmsg(socket.as_raw_fd(), &mut headers, &iov, &addresses, [], MsgFlags::empty()) {
            Ok(results) => sent += results.count() as u64,
            Err(_) => refused += 1,
        }
    }
    Ok(json!({ "sent": sent, "refused": refused }))
}

/// Where the next datagram goes.
struct Spread {
    to: SocketAddr,
    destinations: u32,
    state: u32,
}

impl Spread {
    fn next(&mut self) -> SocketAddr {
        let IpAddr::V4(base) = self.to.ip() else { return self.to };
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // An odd multiplier scatters neighbouring numbers over the /16 without collisions.
        let host = ((self.state >> 8) % self.destinations * 40_503) & 0xffff;
        let address = Ipv4Addr::from_bits(base.to_bits() & 0xffff_0000 | host);
        SocketAddr::new(address.into(), self.to.port())
    }
}

/// `receive ADDRESS PORT SECONDS`: counts from shortly after the first datagram on, and what CPU
/// time the whole machine spent meanwhile.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
pub(crate) fn receive(words: &[&str]) -> Result<Value, String> {
    let [address, port, seconds] = words else { return Err(crate::HELP.into()) };
    let at = SocketAddr::new(parse(address)?, parse(port)?);
    let socket = UdpSocket::bind(at).map_err(|e| format!("{at}: {e}"))?;
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20));
    let mut buffers = vec![[0u8; 2048]; BATCH];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
    if !wait(&socket, 10_000) {
        return Err("nothing comes".into());
    }
    let first = Instant::now();
    let end = first + Duration::from_secs_f64(parse(seconds)?);
    let mut counted: Option<(Instant, Duration, u64)> = None;
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        if counted.is_none() && now - first >= WARM_UP {
            counted = Some((now, machine_time(), 0));
        }
        let mut iov: Vec<[IoSliceMut<'_>; 1]> =
            buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmmsg(socket.as_raw_fd(), &mut headers, iov.iter_mut(), flags, None) {
            Ok(messages) => {
                let received = messages.count() as u64;
                if let Some((.., packets)) = &mut counted {
                    *packets += received;
                }
            }
            Err(_) => std::thread::sleep(NAP),
        }
    }
    let (since, spent, packets) = counted.ok_or("too short to count anything")?;
    let (elapsed, spent) = (since.elapsed(), machine_time().saturating_sub(spent));
    Ok(json!({
        "packets": packets,
        "per_s": packets as f64 / elapsed.as_secs_f64().max(1e-9),
        "cpu_ns_per_packet": spent.as_nanos() as f64 / packets.max(1) as f64,
    }))
}

/// What all CPUs of the machine have spent on something so far.
fn machine_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    busy(&stat)
}

/// The time of `/proc/stat` that is neither idle nor another guest's; nor is it that of work that
/// is only done when there is no other.
fn busy(stat: &str) -> Duration {
    let columns = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // hundredths of seconds, on whatever machine
    let ticks: Vec<u64> = columns.filter_map(|column| column.parse().ok()).collect();
    match ticks.as_slice() {
        [user, _nice, system, _idle, _waiting, interrupts, softirqs, ..] => {
            Duration::from_millis(10 * (user + system + interrupts + softirqs))
        }
        _ => Duration::ZERO,
    }
}

fn wait(socket: &UdpSocket, milliseconds: u16) -> bool {
    use std::os::fd::AsFd;
    let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::from(milliseconds)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_stolen_time_is_spent_by_nobody() {
        let stat = "cpu  100 20 300 9999 8888 4 50 7777 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(busy(stat), Duration::from_millis(4540));
        assert_eq!(busy(""), Duration::ZERO);
    }

    #[test]
    fn a_spread_flood_reaches_every_destination() {
        let to = SocketAddr::new([10, 2, 0, 2].into(), 7001);
        let mut spread = Spread { to, destinations: 64, state: 12_345 };
        let reached: std::collections::BTreeSet<_> = (0..10_000).map(|_| spread.next()).collect();
        assert_eq!(reached.len(), 64);
    }
}
