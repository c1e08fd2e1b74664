//! A TUN device with offloads: one file descriptor per queue.
#![expect(unsafe_code, reason = "the ioctls that make a TUN device have no safe form")]
#![expect(clippy::cast_possible_truncation, reason = "constants of the kernel, which fit")]

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use foldhash::fast::RandomState;
use weft_packet::addr::InstanceId;

use super::offload::VirtioHeader;

/// One queue of a device. The kernel removes the device with its last queue, unless it is
/// persistent.
#[derive(Debug)]
pub(super) struct Queue {
    file: File,
    /// UDP super-packets may be written.
    takes_udp: bool,
}

impl Queue {
    /// Makes the device `name` with this many queues, or takes it over if it is there.
    pub(super) fn open_all(name: &str, queues: usize, persistent: bool) -> io::Result<Vec<Self>> {
        let queues = (0..queues).map(|_| Self::open(name)).collect::<io::Result<Vec<_>>>()?;
        queues.iter().try_for_each(|queue| queue.set_persistent(persistent))?;
        Ok(queues)
    }

    /// Whether the device stays when nobody has a queue of it.
    pub(super) fn set_persistent(&self, on: bool) -> io::Result<()> {
        let on = libc::c_ulong::from(on);
        // SAFETY: the descriptor is open and the argument is passed by value.
        result(unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETPERSIST, on) })
    }

    /// Reads one packet behind its virtio header.
    pub(super) fn read(&self, buffer: &mut [u8]) -> nix::Result<usize> {
        nix::unistd::read(&self.file, buffer)
    }

    /// Writes one packet; the pieces start with its virtio header.
    pub(super) fn write(&self, pieces: &[IoSlice<'_>]) -> nix::Result<usize> {
        nix::sys::uio::writev(&self.file, pieces)
    }

    /// True when UDP super-packets may be written.
    pub(super) fn takes_udp(&self) -> bool {
        self.takes_udp
    }

    fn open(name: &str) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")?;
        attach(&file, name)?;
        let takes_udp = set_offloads(&file, EVERY_OFFLOAD).is_ok();
        if !takes_udp {
            // Kernels before 6.2 do not know UDP segmentation on TUN.
            set_offloads(&file, EVERY_OFFLOAD & !UDP_OFFLOADS)?;
        }
        Ok(Self { file, takes_udp })
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A worker's queue of each instance's device. Places stay while a device is there.
#[derive(Debug, Default)]
pub(super) struct Devices {
    places: Vec<Option<(InstanceId, Queue)>>,
    by_instance: HashMap<InstanceId, usize, RandomState>,
}

impl Devices {
    /// Adds a device and gives its place.
    pub(super) fn add(&mut self, instance: InstanceId, queue: Queue) -> usize {
        let free = self.places.iter().position(Option::is_none);
        let place = free.unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some((instance, queue));
        self.by_instance.insert(instance, place);
        place
    }

    /// Takes the device of an instance away.
    pub(super) fn remove(&mut self, instance: InstanceId) -> Option<Queue> {
        let place = self.by_instance.remove(&instance)?;
        self.places[place].take().map(|(_, queue)| queue)
    }

    /// Every queue.
    pub(super) fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.places.iter().flatten().map(|(_, queue)| queue)
    }

    /// The place of an instance's device.
    pub(super) fn of(&self, instance: InstanceId) -> Option<usize> {
        self.by_instance.get(&instance).copied()
    }

    /// The instance of the device at a place.
    pub(super) fn instance(&self, place: usize) -> Option<InstanceId> {
        Some(self.places.get(place)?.as_ref()?.0)
    }

    /// The queue of the device at a place.
    pub(super) fn queue(&self, place: usize) -> Option<&Queue> {
        Some(&self.places.get(place)?.as_ref()?.1)
    }
}

/// Attaches a new queue to the device `name`, making the device if there is none.
fn attach(file: &File, name: &str) -> io::Result<()> {
    let octets = name.as_bytes();
    if octets.is_empty() || octets.len() >= libc::IFNAMSIZ || octets.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an interface name"));
    }
    // SAFETY: `ifreq` is plain data, for which all zero octets are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, &from) in request.ifr_name.iter_mut().zip(octets) {
        *to = from.cast_signed() as libc::c_char;
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    let length: libc::c_int = const { VirtioHeader::LENGTH as u8 as libc::c_int };
    // SAFETY: the descriptor is open; both requests read only the value pointed to, which is of
    // the type they expect and lives through the call.
    unsafe {
        result(libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request))?;
        result(libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const length))
    }
}

fn set_offloads(file: &File, offloads: libc::c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open and the argument is passed by value.
    let code = unsafe {
        libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads))
    };
    result(code)
}

fn result(code: libc::c_int) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const UDP_OFFLOADS: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;
const EVERY_OFFLOAD: libc::c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN | UDP_OFFLOADS;
