//! Recording packets to a pcap file, and counting those that match a filter. On a link every
//! attached node's sent frames are recorded, so each frame appears once, whatever the link is made
//! of; at a node its interfaces are recorded in both directions. `tcpdump` evaluates filters.
#![expect(unsafe_code, reason = "binding a packet socket and asking it for its losses")]

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{LinkAddr, recvfrom, setsockopt, sockopt};

use crate::network::Network;

/// A recording that is going on.
#[derive(Debug)]
pub struct Capture {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

/// One interface to record.
struct Tap {
    socket: OwnedFd,
    sent_only: bool,
}

/// Recording did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket or file failed.
    #[error("recording {path}: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel had no room for some packets, so a count would be wrong.
    #[error("recording {path}: {lost} packets were lost")]
    Lost {
        /// The file.
        path: PathBuf,
        /// How many.
        lost: u64,
    },
    /// Filters need tcpdump.
    #[error("tcpdump, which evaluates filters, cannot be started: {0}")]
    NoTcpdump(io::Error),
    /// The filter cannot be evaluated.
    #[error("filter `{filter}`: {message}")]
    Filter {
        /// The filter.
        filter: String,
        /// What tcpdump says.
        message: String,
    },
}

impl Capture {
    /// Starts recording a link or node; packets sent after this returns are recorded.
    pub fn start(network: &Network, on: &str, path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Record { path: path.to_owned(), source };
        let taps = open_taps(network, on).map_err(failed)?;
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        file.write_all(&file_header()).map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || record(&taps, file, &stop)
        });
        Ok(Self { path: path.to_owned(), stop, thread })
    }

    /// Ends the recording; all packets sent before are in the file.
    pub fn finish(self) -> Result<PathBuf, Error> {
        self.stop.store(true, Ordering::Release);
        match self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Ok(0) => Ok(self.path),
            Ok(lost) => Err(Error::Lost { path: self.path, lost }),
            Err(source) => Err(Error::Record { path: self.path, source }),
        }
    }
}

/// The packets of a recording that match a filter, one line each.
pub fn matching(path: &Path, filter: Option<&str>) -> Result<Vec<String>, Error> {
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.args(["-n", "-q", "-tt", "-r"]).arg(path).args(filter);
    let said = tcpdump_output(tcpdump, filter)?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// Is this a filter that can be evaluated? Where there is no tcpdump that shows later.
pub fn check_filter(filter: &str) -> Result<(), Error> {
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.args(["-d", "-y", "EN10MB", filter]);
    match tcpdump_output(tcpdump, Some(filter)) {
        Ok(_) | Err(Error::NoTcpdump(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn tcpdump_output(mut tcpdump: Command, filter: Option<&str>) -> Result<String, Error> {
    let failed = |message| Error::Filter { filter: filter.unwrap_or_default().to_owned(), message };
    let output = tcpdump.stdin(Stdio::null()).output().map_err(Error::NoTcpdump)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(said.lines().last().unwrap_or("tcpdump failed").to_owned()))
}

fn open_taps(network: &Network, on: &str) -> io::Result<Vec<Tap>> {
    let topology = network.topology();
    let is_link = topology.link(on).is_some();
    let mut taps = Vec::new();
    for node in &topology.nodes {
        for attachment in &node.attachments {
            if (is_link && attachment.link == on) || (!is_link && node.name == on) {
                let socket =
                    network.namespace(&node.name).enter(|| packet_socket(&attachment.link))?;
                taps.push(Tap { socket, sent_only: is_link });
            }
        }
    }
    Ok(taps)
}

/// A socket that gets every frame of an interface in the namespace of the calling thread.
fn packet_socket(interface: &str) -> io::Result<OwnedFd> {
    // bound before it has a protocol, so that it never sees another interface's frames
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is open and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20))?;
    let index = nix::net::if_::if_nametoindex(interface)?;
    // SAFETY: a sockaddr_ll is plain data for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?.to_be();
    address.sll_ifindex = index.cast_signed();
    let length = u32::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the address is a whole sockaddr_ll of the given length that lives until the return.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// Writes what the sockets receive until told to stop; gives the number of lost packets.
fn record(taps: &[Tap], mut file: BufWriter<File>, stop: &AtomicBool) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let stopping = stop.load(Ordering::Acquire);
        let mut fds: Vec<PollFd<'_>> = taps
            .iter()
            .map(|tap| PollFd::new(std::os::fd::AsFd::as_fd(&tap.socket), PollFlags::POLLIN))
            .collect();
        match poll(&mut fds, PollTimeout::from(if stopping { 0_u8 } else { 50 })) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        for tap in taps {
            while let Some(length) = receive(tap, &mut buffer)? {
                file.write_all(&packet_header(length))?;
                file.write_all(&buffer[..length])?;
            }
        }
        if stopping {
            file.flush()?;
            return Ok(taps.iter().map(|tap| losses(&tap.socket)).sum());
        }
    }
}

/// The next frame to be recorded; an interface that went down has none.
fn receive(tap: &Tap, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match recvfrom::<LinkAddr>(tap.socket.as_raw_fd(), buffer) {
            Ok((length, from)) => {
                let sent = from.is_some_and(|from| from.pkttype() == libc::PACKET_OUTGOING);
                if sent || !tap.sent_only {
                    return Ok(Some(length));
                }
            }
            Err(nix::errno::Errno::EAGAIN) => return Ok(None),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::ENETDOWN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn losses(socket: &OwnedFd) -> u64 {
    // SAFETY: tpacket_stats is two integers for which all zeroes is a value.
    let mut statistics: libc::tpacket_stats = unsafe { std::mem::zeroed() };
    let mut length = u32::try_from(size_of_val(&statistics)).unwrap_or(0);
    // SAFETY: the kernel writes at most `length` octets into `statistics`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result == 0 { statistics.tp_drops.into() } else { 0 }
}

/// The header of a pcap file with nanoseconds and Ethernet frames.
fn file_header() -> Vec<u8> {
    let (major, minor) = (2_u16, 4_u16);
    let mut header = 0xa1b2_3c4d_u32.to_ne_bytes().to_vec();
    header.extend(major.to_ne_bytes());
    header.extend(minor.to_ne_bytes());
    for word in [0_u32, 0, 1 << 18, 1] {
        header.extend(word.to_ne_bytes());
    }
    header
}

fn packet_header(length: usize) -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
    [seconds, now.subsec_nanos(), length, length].into_iter().flat_map(u32::to_ne_bytes).collect()
}
