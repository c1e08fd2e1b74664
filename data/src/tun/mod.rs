//! The portable data plane: a TUN device per instance and UDP sockets, with every offload the
//! kernel has.
//!
//! The kernel routes packets to remote EIDs into the device of their instance; a worker reads
//! them (TCP and UDP as super-packets), asks the FIB, and sends them to a locator. Packets that
//! come to the data ports go the other way. One worker serves one queue of every device and its
//! own share of the receive sockets, and shares nothing with the others on the way of a packet.

mod counters;
mod options;
mod samples;
mod upcall;

pub use counters::{ByFamily, Counters, Volume};
pub use options::{Dscp, HoldLimits, IcmpSource, MssClamp, Options, SourceCheck, Ttl};
pub use samples::DroppedPacket;
pub use upcall::{Upcall, Upcalls};

use std::io;
use weft_fib::Reader;
use weft_packet::addr::{EidPrefix, InstanceId};

/// Why the plane could not start or take an instance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a TUN device.
    #[error("cannot open TUN device `{device}`: {source}")]
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

/// A running plane. Dropping it stops the workers and removes the devices.
pub struct Tun {
    _never: std::convert::Infallible,
}

impl Tun {
    /// Opens a device for each instance and the receive sockets, and starts the workers.
    pub fn start(
        _options: Options,
        _instances: &[(InstanceId, String)],
        _reader: Reader,
        _upcalls: Upcalls,
    ) -> Result<Self, Error> {
        Err(Error::System { what: "start", source: io::ErrorKind::Unsupported.into() })
    }

    /// Looks up the held packets of these EIDs again, after the table has changed.
    pub fn release(&self, _eids: EidPrefix) {}

    /// What all workers counted since the start.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }

    /// Changes how the plane behaves; packets read from now on see it.
    pub fn set_options(&self, _options: Options) {}

    /// Opens a device for one more instance.
    pub fn add_instance(&self, _instance: InstanceId, _device: &str) -> Result<(), Error> {
        Ok(())
    }

    /// Closes the device of an instance; false when it has none.
    pub fn remove_instance(&self, _instance: InstanceId) -> bool {
        false
    }

    /// Every instance with the name of its device.
    pub fn devices(&self) -> Vec<(InstanceId, String)> {
        Vec::new()
    }

    /// Starts or stops keeping the heads of dropped packets.
    pub fn sample_drops(&self, _on: bool) {}

    /// Takes the heads of packets dropped since the last call, oldest first.
    pub fn drops(&self) -> Vec<DroppedPacket> {
        Vec::new()
    }

    /// Stops the workers and removes the devices.
    pub fn stop(self) {}
}
