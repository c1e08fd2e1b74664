//! A data port that belongs to a tunnel device of the kernel, for its receive offload, and whose
//! datagrams the portable plane gets all the same.
//!
//! What the main program forwards it takes before any socket is looked for. The rest is marked, by
//! the main program or, on interfaces it does not run on, by one that does nothing else; and where
//! the kernel looks for the socket of a marked datagram, a third program names ours. Fragments are
//! put together in between, and a firewall sees the port that was sent to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;

use aya::maps::{Array, MapData, MapError, SockMap};
use aya::programs::links::LinkOrder;
use aya::programs::sk_lookup::SkLookupLink;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{ProgramError, SchedClassifier, SkLookup, TcAttachType};
use nix::net::if_::if_indextoname;

use super::gro::{self, Device};
use super::load::take;
use super::probe::{Refusal, sentence};
use crate::tun::Tun;

/// The compiled programs; their source lies beside them.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/steer.bpf.o");

/// Why a port cannot be shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// The kernel did not make the device.
    #[error("the kernel does not make a VXLAN-GPE device for UDP port {port}: {source}")]
    Device {
        /// The port that was to be its.
        port: u16,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel, or our rights, do not allow the programs.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A socket of the plane cannot be named.
    #[error("the kernel does not take the socket of the portable plane: {0}")]
    Socket(String),
}

/// An interface the main program does not run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherInterface {
    /// The kernel's number of it.
    pub interface: u32,
    /// Its packets have an Ethernet header.
    pub ethernet: bool,
}

/// A port that is shared. Dropping it gives the port free.
///
/// All calls have to be made in the network namespace of the plane.
pub struct SharedPort {
    port: u16,
    object: aya::Ebpf,
    sockets: SockMap<MapData>,
    attached: BTreeMap<OtherInterface, SchedClassifierLink>,
    _lookup: SkLookupLink,
    device: Device,
}

impl SharedPort {
    /// Gives the port to a device of the kernel. The plane has to be started after this, with the
    /// port as [`Options::steered`](crate::tun::Options::steered), and
    /// [brought in](SharedPort::serve).
    ///
    /// # Errors
    /// When it belongs to somebody else, or the kernel does not know one of the means.
    pub fn take(port: u16) -> Result<Self, SharingError> {
        let mut object = aya::Ebpf::load(OBJECT).map_err(Refusal::of)?;
        for program in [FRAMES, PACKETS] {
            classifier(&mut object, program)
                .and_then(SchedClassifier::load)
                .map_err(Refusal::of_program)?;
        }
        let lookup = attach_lookup(&mut object).map_err(Refusal::of_program)?;
        let sockets = take(&mut object, "sockets").and_then(SockMap::try_from);
        let sockets = sockets.map_err(Refusal::of_map)?;
        let shared = take(&mut object, "shared").and_then(Array::<MapData, u32>::try_from);
        let set = shared.and_then(|mut shared| shared.set(0, u32::from(port), 0));
        set.map_err(Refusal::of_map)?;
        let device =
            Device::create(port).map_err(|source| SharingError::Device { port, source })?;
        let attached = BTreeMap::new();
        let mut taken = Self { port, object, sockets, attached, _lookup: lookup, device };
        taken.watch(&[]);
        Ok(taken)
    }

    /// Removes the device that an earlier process left, so that the port is free.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn clear() -> io::Result<()> {
        gro::remove()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Brings the datagrams of the port to this plane.
    ///
    /// # Errors
    /// When the kernel does not take its sockets.
    pub fn serve(&mut self, plane: &Tun) -> Result<(), SharingError> {
        for (ipv6, socket) in plane.steered() {
            let set = self.sockets.set(u32::from(ipv6), &socket, 0);
            set.map_err(|error: MapError| SharingError::Socket(sentence(&error)))?;
        }
        Ok(())
    }

    /// Replaces the set of interfaces the main program does not run on. The loopback interface is
    /// always among them.
    pub fn watch(&mut self, interfaces: &[OtherInterface]) {
        let loopback = OtherInterface { interface: LOOPBACK, ethernet: true };
        let wanted: BTreeSet<_> = interfaces.iter().copied().chain([loopback]).collect();
        self.attached.retain(|interface, _| wanted.contains(interface));
        for other in wanted {
            if self.attached.contains_key(&other) {
                continue;
            }
            match attach(&mut self.object, other) {
                Ok(link) => {
                    self.attached.insert(other, link);
                }
                Err(error) => {
                    let OtherInterface { interface, .. } = other;
                    let error = sentence(&error);
                    tracing::warn!(interface, error, "packets to the data port are lost here");
                }
            }
        }
    }

    /// Leaves the device to the main program, which goes on without us.
    pub fn leave(self) {
        self.device.leave();
    }
}

fn classifier<'a>(
    object: &'a mut aya::Ebpf,
    name: &str,
) -> Result<&'a mut SchedClassifier, ProgramError> {
    object.program_mut(name).ok_or(ProgramError::UnexpectedProgramType)?.try_into()
}

fn attach_lookup(object: &mut aya::Ebpf) -> Result<SkLookupLink, ProgramError> {
    let program = object.program_mut(LOOKUP).ok_or(ProgramError::UnexpectedProgramType)?;
    let program: &mut SkLookup = program.try_into()?;
    program.load()?;
    let id = program.attach(File::open(OUR_NAMESPACE)?)?;
    program.take_link(id)
}

fn attach(
    object: &mut aya::Ebpf,
    other: OtherInterface,
) -> Result<SchedClassifierLink, ProgramError> {
    let name = if_indextoname(other.interface).map_err(io::Error::from)?;
    let name = name.to_str().map_err(io::Error::other)?;
    let program = classifier(object, if other.ethernet { FRAMES } else { PACKETS })?;
    let last = TcAttachOptions::TcxOrder(LinkOrder::last());
    let id = program.attach_with_options(name, TcAttachType::Ingress, last)?;
    program.take_link(id)
}

/// The programs in the object.
const FRAMES: &str = "steer_frames";
const PACKETS: &str = "steer_packets";
const LOOKUP: &str = "steer_sockets";

const LOOPBACK: u32 = 1;
/// Of the calling thread.
const OUR_NAMESPACE: &str = "/proc/thread-self/ns/net";
