//! TAP devices: the ends of a wire. Opened inside a node's namespace, they stay there, while the
//! file that carries their frames belongs to the wire.
#![expect(unsafe_code, reason = "TUN ioctls")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::network::Namespace;

/// One TAP device.
#[derive(Debug)]
pub(super) struct Tap {
    file: File,
}

mod ioctl {
    // linux/if_tun.h declares both with an int, and passes a pointer to something else in the first
    nix::ioctl_write_ptr_bad!(set_interface, nix::request_code_write!(b'T', 202, 4), libc::ifreq);
    nix::ioctl_write_ptr!(set_carrier, b'T', 226, libc::c_int);
}

impl Tap {
    /// Creates the device `name` in a namespace.
    pub(super) fn create(namespace: &Namespace, name: &str) -> io::Result<Self> {
        let file = namespace.enter(|| {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open("/dev/net/tun")?;
            let request = interface_request(name)?;
            // SAFETY: `request` is a whole ifreq that lives until the call returns.
            unsafe { ioctl::set_interface(file.as_raw_fd(), &raw const request) }?;
            Ok(file)
        })?;
        Ok(Self { file })
    }

    /// Gives the node a carrier or takes it away.
    pub(super) fn set_carrier(&self, carrier: bool) -> io::Result<()> {
        let carrier = libc::c_int::from(carrier);
        // SAFETY: the kernel reads one int, which lives until the call returns.
        unsafe { ioctl::set_carrier(self.file.as_raw_fd(), &raw const carrier) }?;
        Ok(())
    }

    /// The next frame the node has sent; nothing if there is none now.
    pub(super) fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        match (&self.file).read(buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            // the interface is down: nothing is sent on it
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Delivers a frame to the node. A frame that cannot be delivered is lost, as on any wire.
    pub(super) fn write(&self, frame: &[u8]) {
        let _lost = (&self.file).write(frame);
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: an ifreq is plain data for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::other(format!("`{name}` is too long for an interface")));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    Ok(request)
}
