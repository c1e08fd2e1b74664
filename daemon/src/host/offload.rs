//! What a network interface leaves to its hardware.
#![expect(unsafe_code, reason = "the ethtool ioctl has no safe form")]

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `struct ethtool_value` of `linux/ethtool.h`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// True when packets are handed to the interface with checksums that it must complete.
pub(crate) fn leaves_checksums(interface: &str) -> io::Result<bool> {
    let octets = interface.as_bytes();
    if octets.is_empty() || octets.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let asked = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = Value { command: ETHTOOL_GTXCSUM, data: 0 };
    // SAFETY: `ifreq` is plain data, for which all zero octets are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, &from) in request.ifr_name.iter_mut().zip(octets) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the descriptor is open; the kernel reads the name and reads and writes the value the
    // request points to, which is of the type the command expects and lives through the call.
    let code = unsafe { libc::ioctl(asked.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(value.data != 0) }
}

const ETHTOOL_GTXCSUM: u32 = 0x16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_completes_nothing_and_what_is_not_there_is_an_error() {
        assert!(leaves_checksums("lo").unwrap());
        assert!(leaves_checksums("no-such-if").is_err());
        assert!(leaves_checksums("").is_err());
    }
}
