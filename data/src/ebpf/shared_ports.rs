//! Data ports that belong to tunnel devices of the kernel, for its receive offload, and whose
//! datagrams the portable plane gets all the same.
//!
//! What the main program forwards it takes before any socket is looked for. The rest is marked, by
//! the main program or, on interfaces it does not run on, by one that does nothing else; and where
//! the kernel looks for the socket of a marked datagram, a third program names ours. Fragments are
//! put together in between, and a firewall sees the port that was sent to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::{io, mem};

use aya::maps::{HashMap, MapData, SockMap};
use aya::programs::links::LinkOrder;
use aya::programs::sk_lookup::SkLookupLink;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{ProgramError, SchedClassifier, SkLookup, TcAttachType};
use nix::net::if_::if_indextoname;
use weft_packet::lisp::{DATA_PORT, VXLAN_GPE_PORT};

use super::gro::{self, Device};
use super::load::{absent_is_fine, take};
use super::probe::{Refusal, sentence};
use super::{mapped, warn};
use crate::tun::Tun;

/// The compiled programs; their source lies beside them.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/steer.bpf.o");

/// Why ports cannot be shared.
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

/// The data ports, shared. Dropping them gives the ports free.
///
/// All calls have to be made in the network namespace of the plane.
pub struct SharedPorts {
    object: aya::Ebpf,
    sockets: SockMap<MapData>,
    addresses: HashMap<MapData, [u8; 16], u32>,
    ours: BTreeSet<[u8; 16]>,
    attached: BTreeMap<OtherInterface, SchedClassifierLink>,
    _lookup: SkLookupLink,
    devices: Vec<Device>,
}

impl SharedPorts {
    /// Gives the ports to devices of the kernel. The plane has to be started after this, as
    /// [`Options::steered`](crate::tun::Options::steered), and [brought in](SharedPorts::serve).
    ///
    /// # Errors
    /// When a port belongs to somebody else, or the kernel does not know one of the means.
    pub fn take() -> Result<Self, SharingError> {
        let mut object = aya::Ebpf::load(OBJECT).map_err(Refusal::of)?;
        for program in [FRAMES, PACKETS] {
            classifier(&mut object, program)
                .and_then(SchedClassifier::load)
                .map_err(Refusal::of_program)?;
        }
        let lookup = attach_lookup(&mut object).map_err(Refusal::of_program)?;
        let sockets = take(&mut object, "sockets").and_then(SockMap::try_from);
        let addresses = take(&mut object, "addresses").and_then(HashMap::try_from);
        // As long as there is one alone, the lookup is not asked what may be joined.
        let devices = PORTS.iter().map(|&(port, name)| {
            Device::create(name, port).map_err(|source| SharingError::Device { port, source })
        });
        let mut taken = Self {
            sockets: sockets.map_err(Refusal::of_map)?,
            addresses: addresses.map_err(Refusal::of_map)?,
            ours: BTreeSet::new(),
            attached: BTreeMap::new(),
            _lookup: lookup,
            devices: devices.collect::<Result<_, _>>()?,
            object,
        };
        taken.watch(&[]);
        Ok(taken)
    }

    /// Removes the devices that an earlier process left, so that the ports are free.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn clear() -> io::Result<()> {
        PORTS.iter().try_for_each(|(_, name)| gro::remove(name))
    }

    /// Brings the datagrams of the ports to this plane.
    ///
    /// # Errors
    /// When the kernel does not take its sockets.
    pub fn serve(&mut self, plane: &Tun) -> Result<(), SharingError> {
        for steered in plane.steered() {
            let Some(port) = PORTS.iter().position(|(port, _)| *port == steered.port) else {
                continue;
            };
            let place = 2 * u32::from(port == 1) + u32::from(steered.ipv6);
            let set = self.sockets.set(place, &steered.as_fd(), 0);
            set.map_err(|error| SharingError::Socket(sentence(&error)))?;
        }
        Ok(())
    }

    /// Replaces the set of our addresses: streams to them are joined, and no others.
    pub fn set_locals(&mut self, addresses: &[IpAddr]) {
        let now: BTreeSet<_> = addresses.iter().map(|address| mapped(*address)).collect();
        let before = mem::replace(&mut self.ours, now);
        for gone in before.difference(&self.ours) {
            warn("an address of ours", absent_is_fine(self.addresses.remove(gone)));
        }
        for new in self.ours.difference(&before) {
            warn("an address of ours", self.addresses.insert(new, 1, 0));
        }
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

    /// Leaves the devices to the main program, which goes on without us.
    pub fn leave(self) {
        self.devices.into_iter().for_each(Device::leave);
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

/// The ports, and what their devices are called.
const PORTS: [(u16, &str); 2] = [(DATA_PORT, "weft-gro"), (VXLAN_GPE_PORT, "weft-gro-gpe")];

const LOOPBACK: u32 = 1;
/// Of the calling thread.
const OUR_NAMESPACE: &str = "/proc/thread-self/ns/net";
