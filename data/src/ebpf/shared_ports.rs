//! Data ports that belong to tunnel devices of the kernel, for its receive offload, and whose
//! datagrams the portable plane gets all the same.
//!
//! What the main program forwards it takes before any socket is looked for. The rest is marked, by
//! the main program or, on interfaces it does not run on, by one that does nothing else; and where
//! the kernel looks for the socket of a marked datagram, a third program names ours. Fragments are
//! put together in between, and a firewall sees the port that was sent to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::{io, mem};

use aya::EbpfLoader;
use aya::maps::{HashMap, MapData, SockMap};
use aya::programs::links::LinkOrder;
use aya::programs::sk_lookup::SkLookupLink;
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{ProgramError, SchedClassifier, SkLookup, TcAttachType};
use nix::net::if_::if_indextoname;
use weft_fib::Encapsulation;
use weft_packet::lisp::{DATA_PORT, VXLAN_GPE_PORT, VXLAN_PORT};

use super::gro::{self, Device};
use super::layout::mapped;
use super::load::{absent_is_fine, take};
use super::pins::{self, Pins};
use super::prepass::Prepass;
use super::probe::{Refusal, sentence};
use super::warn;
use crate::tun::Tun;

/// The compiled programs; their source lies beside them.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../ebpf/steer.bpf.o");

/// Why ports cannot be shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharingError {
    /// The kernel did not make the device.
    #[error("the kernel does not make a VXLAN device for UDP port {port}: {source}")]
    Device {
        /// The port that was to be its.
        port: u16,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel, or our rights, do not allow the programs.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The folder for links that outlive the process cannot be used.
    #[error("cannot use the pin folder: {0}")]
    Pins(io::Error),
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
/// At first there is a device for one port alone, since the kernel then looks for no socket before
/// it joins packets, which costs as much as the joining. But it then joins what comes to that port
/// whoever it is for, and cannot take apart again what only passes through; and it joins nothing
/// on other ports. Whoever learns that this matters has to [complete](SharedPorts::complete) the devices.
///
/// All calls have to be made in the network namespace of the plane.
pub struct SharedPorts {
    object: aya::Ebpf,
    sockets: SockMap<MapData>,
    addresses: HashMap<MapData, [u8; 16], u32>,
    ours: BTreeSet<[u8; 16]>,
    attached: BTreeMap<OtherInterface, SchedClassifierLink>,
    _lookup: SkLookupLink,
    prepass: Prepass,
    devices: Vec<Device>,
    /// VXLAN is for us.
    vxlan: bool,
    /// The port of the only device.
    sole: Option<u16>,
    /// Keep the ports that have no device from others.
    held: Vec<UdpSocket>,
}

impl SharedPorts {
    /// Takes the ports, that of VXLAN only if it is `encapsulation`, and gives that of
    /// `encapsulation` to a device of the kernel. The plane has to be started after this, as
    /// [`Options::steered`](crate::tun::Options::steered), and [brought in](SharedPorts::serve).
    /// In the folder `pins` is what is to outlive the process at [cards](SharedPorts::join_plain),
    /// or did.
    ///
    /// # Errors
    /// When a port belongs to somebody else, or the kernel does not know one of the means.
    pub fn take(encapsulation: Encapsulation, pins: Option<&Path>) -> Result<Self, SharingError> {
        let vxlan = encapsulation == Encapsulation::Vxlan;
        let sole = encapsulation.port();
        let serves_vxlan = u32::from(vxlan);
        let mut loader = EbpfLoader::new();
        loader.override_global("serves_vxlan", &serves_vxlan, true);
        let mut object = loader.load(OBJECT).map_err(Refusal::of)?;
        for program in [FRAMES, PACKETS] {
            classifier(&mut object, program)
                .and_then(SchedClassifier::load)
                .map_err(Refusal::of_program)?;
        }
        let pins = pins.map(|folder| Pins::open(folder, pins::ARRIVAL)).transpose();
        let pins = pins.map_err(SharingError::Pins)?;
        let lookup = attach_lookup(&mut object).map_err(Refusal::of_program)?;
        let sockets = take(&mut object, "sockets").and_then(SockMap::try_from);
        let addresses = take(&mut object, "addresses").and_then(HashMap::try_from);
        let mut taken = Self {
            sockets: sockets.map_err(Refusal::of_map)?,
            addresses: addresses.map_err(Refusal::of_map)?,
            ours: BTreeSet::new(),
            attached: BTreeMap::new(),
            _lookup: lookup,
            prepass: Prepass::new(pins),
            devices: Vec::new(),
            vxlan,
            sole: Some(sole),
            held: Vec::new(),
            object,
        };
        for shared in &PORTS {
            let source = |source| SharingError::Device { port: shared.port, source };
            if shared.port == sole {
                taken.devices.push(shared.device().map_err(source)?);
            } else {
                gro::remove(shared.device).map_err(source)?;
                if shared.is_ours(vxlan) {
                    taken.held.push(hold(shared.port).map_err(source)?);
                }
            }
        }
        taken.watch(&[]);
        Ok(taken)
    }

    /// The port of the only device, as long as there is only one.
    pub fn sole(&self) -> Option<u16> {
        self.sole
    }

    /// Makes the devices for the other ports.
    pub fn complete(&mut self) {
        let Some(sole) = self.sole.take() else { return };
        self.held.clear();
        for shared in
            PORTS.iter().filter(|shared| shared.port != sole && shared.is_ours(self.vxlan))
        {
            match shared.device() {
                Ok(device) => self.devices.push(device),
                Err(error) => {
                    let port = shared.port;
                    tracing::warn!(port, %error, "streams to a port are not joined: no device for it");
                }
            }
        }
    }

    /// Removes the devices that an earlier process left, so that the ports are free.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn clear() -> io::Result<()> {
        PORTS.iter().try_for_each(|shared| gro::remove(shared.device))
    }

    /// Whether a device is called like one of those that own ports. No packet comes in by them.
    pub fn owns_port(device: &str) -> bool {
        PORTS.iter().any(|shared| shared.device == device)
    }

    /// Brings the datagrams of the ports to this plane.
    ///
    /// # Errors
    /// When the kernel does not take its sockets.
    pub fn serve(&mut self, plane: &Tun) -> Result<(), SharingError> {
        for steered in plane.steered() {
            let Some((place, _)) = (0..).zip(&PORTS).find(|(_, of)| of.port == steered.port) else {
                continue;
            };
            let set = self.sockets.set(2 * place + u32::from(steered.ipv6), &steered.as_fd(), 0);
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

    /// Has packets of plain LISP joined, too, that come in by these interfaces and by no others:
    /// a program of the card's driver (XDP) says of them what they carry. Gives back the
    /// interfaces it cannot be attached to, with reasons; the next call tries them again.
    pub fn join_plain(&mut self, interfaces: &BTreeSet<u32>) -> Vec<(u32, String)> {
        self.prepass.follow(&mut self.object, interfaces)
    }

    /// Leaves the devices to the main program, which goes on without us. All of them: nobody will
    /// notice that one is too few.
    pub fn leave(mut self) {
        self.complete();
        self.prepass.leave();
        self.devices.into_iter().for_each(Device::leave);
    }
}

/// A socket that nobody reads, on a port that marked datagrams alone are for.
fn hold(port: u16) -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))
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

/// A port and its device.
struct Shared {
    port: u16,
    device: &'static str,
    /// It is a device for VXLAN-GPE, otherwise for VXLAN.
    generic: bool,
}

impl Shared {
    fn is_ours(&self, vxlan: bool) -> bool {
        vxlan || self.port != VXLAN_PORT
    }

    fn device(&self) -> io::Result<Device> {
        Device::create(self.device, self.port, self.generic)
    }
}

/// In the order in which the programs number their sockets.
const PORTS: [Shared; 3] = [
    Shared { port: DATA_PORT, device: "weft-gro", generic: true },
    Shared { port: VXLAN_GPE_PORT, device: "weft-gro-gpe", generic: true },
    Shared { port: VXLAN_PORT, device: "weft-gro-vxlan", generic: false },
];

const LOOPBACK: u32 = 1;
/// Of the calling thread.
const OUR_NAMESPACE: &str = "/proc/thread-self/ns/net";
