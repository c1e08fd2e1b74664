//! The portable data plane: a TUN device per instance and UDP sockets, with every offload the
//! kernel has.
//!
//! The kernel routes packets to remote EIDs into the device of their instance; a worker reads
//! them (TCP and UDP as super-packets), asks the FIB, and sends them to a locator. Packets that
//! come to the data ports go the other way. One worker serves one queue of every device and its
//! own share of the receive sockets, and shares nothing with the others on the way of a packet.

mod counters;
mod decapsulate;
mod delivery;
mod device;
mod encapsulate;
mod hold;
mod icmp;
mod ledger;
mod limiter;
mod mailbox;
mod offload;
mod options;
mod outbox;
mod pace;
mod placement;
mod samples;
mod socket;
mod upcall;
mod welcome;
mod worker;

pub use crate::pipeline::{Dscp, MssClamp, SourceCheck, Ttl};
pub use counters::{ByFamily, Counters, Volume};
pub use options::{HoldLimits, IcmpSource, Options};
pub use samples::DroppedPacket;
pub use upcall::{Upcall, Upcalls};

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use nix::sys::epoll::{Epoll, EpollCreateFlags};
use weft_fib::Reader;
use weft_packet::addr::{EidPrefix, InstanceId};

use counters::WorkerCounters;
use device::Queue;
use mailbox::{Command, Mailbox};
use samples::Samples;
use socket::{PrivatePorts, Receiver, Senders};
use worker::Parts;

/// Why the plane could not start or take an instance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a TUN device.
    #[error("cannot open TUN device `{device}`: {source}{}", remedy(source))]
    Device {
        /// Its name.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a UDP socket.
    #[error("cannot open {what}: {source}")]
    Socket {
        /// Which socket, in words.
        what: String,
        /// The data port it was to receive from.
        port: Option<u16>,
        /// What the kernel said.
        source: io::Error,
    },
    /// The instance already has a device.
    #[error("instance {0} already has a device")]
    Exists(InstanceId),
    /// Something else of the system failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What to do about a TUN device that the kernel refused, where that is known.
fn remedy(refused: &io::Error) -> &'static str {
    match refused.raw_os_error() {
        Some(libc::EACCES) => "; this user needs access to /dev/net/tun, which mostly has mode 666",
        Some(libc::EPERM) => "; it takes the capability CAP_NET_ADMIN",
        Some(libc::ENOENT) => "; there is no /dev/net/tun: try `modprobe tun`",
        _ => "",
    }
}

/// A running plane. Dropping it stops the workers and removes the devices.
pub struct Tun {
    workers: Vec<Handle>,
    persistent: bool,
    /// The devices are left when the workers have stopped.
    devices_stay: bool,
    devices: Mutex<BTreeMap<InstanceId, String>>,
    senders: Arc<Senders>,
    /// A socket of each port and family, where the ports are somebody else's.
    steered: Vec<Steered>,
    samples: Arc<Samples>,
}

/// A socket that gets the datagrams of a port that is not its own.
#[derive(Debug)]
pub struct Steered {
    /// Which.
    pub port: u16,
    /// Those over IPv6; otherwise over IPv4.
    pub ipv6: bool,
    socket: OwnedFd,
}

impl AsFd for Steered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A worker as other threads see it.
struct Handle {
    mailbox: Arc<Mailbox>,
    counters: Arc<WorkerCounters>,
    thread: Option<JoinHandle<()>>,
}

impl Tun {
    /// Opens a device for each instance and the receive sockets, and starts the workers; all in
    /// the network namespace of the calling thread.
    #[expect(clippy::needless_pass_by_value, reason = "each worker takes a clone")]
    pub fn start(
        options: Options,
        instances: &[(InstanceId, String)],
        reader: Reader,
        upcalls: Upcalls,
    ) -> Result<Self, Error> {
        let workers = options.queues.unwrap_or_else(default_queues).max(1);
        let senders = Senders::open(options.source_ports, SEND_BUFFER)
            .map_err(|(what, source)| Error::Socket { what, port: None, source })?;
        let senders = Arc::new(senders);
        set_path_mtu_discovery(&senders, options.path_mtu_discovery)?;
        let mut private = PrivatePorts::default();
        let mut receivers: Vec<Vec<Receiver>> = (0..workers)
            .map(|_| Receiver::open_all(&options, &mut private))
            .collect::<Result<_, _>>()
            .map_err(|(what, port, source)| Error::Socket { what, port: Some(port), source })?;
        let mut tun = Self {
            workers: Vec::new(),
            persistent: options.persistent,
            devices_stay: false,
            devices: Mutex::default(),
            senders: senders.clone(),
            steered: steered(&receivers, options.steered)
                .map_err(|source| Error::System { what: "cannot share a socket", source })?,
            samples: Arc::default(),
        };
        let options = Arc::new(options);
        for (number, receivers) in receivers.drain(..).enumerate() {
            let mailbox = Mailbox::new().map_err(system("cannot make an event"))?;
            let parts = Parts {
                number,
                workers,
                receivers,
                senders: senders.clone(),
                reader: reader.clone(),
                upcalls: upcalls.clone(),
                options: options.clone(),
                counters: Arc::default(),
                samples: tun.samples.clone(),
                mailbox: Arc::new(mailbox),
                poll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
                    .map_err(system("cannot make an epoll"))?,
            };
            tun.workers.push(Handle::start(parts)?);
        }
        for (instance, device) in instances {
            tun.add_instance(*instance, device)?;
        }
        Ok(tun)
    }

    /// Looks up the held packets of these EIDs again, after the table has changed.
    pub fn release(&self, eids: EidPrefix) {
        self.tell(|| Command::Release(eids));
    }

    /// What all workers counted since the start.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        self.workers.iter().for_each(|worker| worker.counters.add_to(&mut sum));
        sum
    }

    /// Changes how the plane behaves; packets read from now on see it.
    pub fn set_options(&self, options: Options) {
        if let Err(error) = set_path_mtu_discovery(&self.senders, options.path_mtu_discovery) {
            tracing::warn!(%error, "path MTU discovery stays as it was");
        }
        let options = Arc::new(options);
        self.tell(|| Command::Options(options.clone()));
    }

    /// Opens a device for one more instance, in the network namespace of the calling thread.
    pub fn add_instance(&self, instance: InstanceId, device: &str) -> Result<(), Error> {
        let mut devices = self.lock_devices();
        if devices.contains_key(&instance) {
            return Err(Error::Exists(instance));
        }
        let queues = Queue::open_all(device, self.workers.len(), self.persistent)
            .map_err(|source| Error::Device { device: device.to_owned(), source })?;
        devices.insert(instance, device.to_owned());
        for (worker, queue) in self.workers.iter().zip(queues) {
            worker.mailbox.put(Command::AddDevice(instance, queue));
        }
        Ok(())
    }

    /// Closes the device of an instance, and returns when it is gone; false when it has none.
    pub fn remove_instance(&self, instance: InstanceId) -> bool {
        let mut devices = self.lock_devices();
        if devices.remove(&instance).is_none() {
            return false;
        }
        let (done, all_done) = mpsc::channel();
        self.tell(|| Command::RemoveDevice(instance, done.clone()));
        drop(done);
        // Nothing is ever sent: the wait ends when every worker has dropped its end.
        let _ = all_done.recv();
        true
    }

    /// Every instance with the name of its device.
    pub fn devices(&self) -> Vec<(InstanceId, String)> {
        self.lock_devices().iter().map(|(instance, device)| (*instance, device.clone())).collect()
    }

    /// A socket for each port and family that waits for datagrams, if [`Options::steered`]. Each
    /// stands for those of all workers, which the kernel chooses from by itself.
    pub fn steered(&self) -> &[Steered] {
        &self.steered
    }

    /// Starts or stops keeping the heads of dropped packets.
    pub fn sample_drops(&self, on: bool) {
        self.samples.switch(on);
    }

    /// Takes the heads of packets dropped since the last call, oldest first.
    pub fn drops(&self) -> Vec<DroppedPacket> {
        self.samples.drain()
    }

    /// Stops the workers and removes the devices.
    pub fn stop(self) {
        drop(self);
    }

    /// Stops the workers and leaves the devices, with the routes and rules that point to them: a
    /// plane started for devices of the same names takes them over. What is routed into them
    /// until then is lost.
    pub fn detach(mut self) {
        self.devices_stay = true;
    }

    fn tell(&self, command: impl Fn() -> Command) {
        self.workers.iter().for_each(|worker| worker.mailbox.put(command()));
    }

    fn lock_devices(&self) -> MutexGuard<'_, BTreeMap<InstanceId, String>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        let devices_stay = self.devices_stay;
        self.tell(|| Command::Stop { devices_stay });
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            if thread.join().is_err() {
                tracing::error!("data plane worker panicked");
            }
        }
    }
}

impl Handle {
    fn start(parts: Parts) -> Result<Self, Error> {
        let (mailbox, counters) = (parts.mailbox.clone(), parts.counters.clone());
        let thread = thread::Builder::new()
            .name(format!("weft-tun-{}", parts.number))
            .spawn(move || parts.run())
            .map_err(|source| Error::System { what: "cannot start a thread", source })?;
        Ok(Self { mailbox, counters, thread: Some(thread) })
    }
}

/// The sockets of the first worker, if others have to bring them their datagrams.
fn steered(receivers: &[Vec<Receiver>], steered: bool) -> io::Result<Vec<Steered>> {
    let first = receivers.iter().take(usize::from(steered)).flatten();
    first
        .map(|receiver| {
            let socket = receiver.as_fd().try_clone_to_owned()?;
            Ok(Steered { port: receiver.port, ipv6: receiver.ipv6, socket })
        })
        .collect()
}

fn system(what: &'static str) -> impl Fn(nix::Error) -> Error {
    move |source| Error::System { what, source: source.into() }
}

fn set_path_mtu_discovery(senders: &Senders, on: bool) -> Result<(), Error> {
    senders
        .set_path_mtu_discovery(on)
        .map_err(|source| Error::System { what: "cannot set path MTU discovery", source })
}

/// One queue for two CPUs: the hosts' side and the control plane want the other, and fewer workers
/// make larger batches. More than four are not known to help.
fn default_queues() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).clamp(1, MOST_QUEUES)
}

const MOST_QUEUES: usize = 4;
/// Send buffer of each socket, octets: a few batches.
const SEND_BUFFER: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_refused_tells_the_remedy() {
        for (errno, remedy) in [
            (libc::EACCES, "/dev/net/tun"),
            (libc::EPERM, "CAP_NET_ADMIN"),
            (libc::ENOENT, "modprobe tun"),
        ] {
            let source = io::Error::from_raw_os_error(errno);
            let said = Error::Device { device: "weft0".into(), source }.to_string();
            assert!(said.contains("`weft0`") && said.contains(remedy), "{said}");
        }
    }
}
