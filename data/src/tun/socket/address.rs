//! Socket addresses as the kernel reads and writes them.
#![expect(clippy::cast_possible_truncation, reason = "sizes of kernel structures, which fit")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy, Default)]
#[repr(C, align(8))]
pub(super) struct Address([u8; Self::LENGTH]);

impl Address {
    /// Octets of the longer form.
    pub(super) const LENGTH: usize = size_of::<libc::sockaddr_in6>();

    pub(super) fn new(address: IpAddr, port: u16) -> Self {
        let mut octets = [0; Self::LENGTH];
        octets[2..4].copy_from_slice(&port.to_be_bytes());
        let family = match address {
            IpAddr::V4(a) => {
                octets[4..8].copy_from_slice(&a.octets());
                libc::AF_INET
            }
            IpAddr::V6(a) => {
                octets[8..24].copy_from_slice(&a.octets());
                libc::AF_INET6
            }
        };
        octets[..2].copy_from_slice(&(family.cast_unsigned() as libc::sa_family_t).to_ne_bytes());
        Self(octets)
    }

    /// How many octets count.
    pub(super) fn length(&self) -> libc::socklen_t {
        let length = match self.family() {
            libc::AF_INET => size_of::<libc::sockaddr_in>(),
            _ => Self::LENGTH,
        };
        length as libc::socklen_t
    }

    /// The IP address; `None` when the kernel wrote none.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        match self.family() {
            libc::AF_INET => self.0[4..].first_chunk::<4>().map(|a| Ipv4Addr::from(*a).into()),
            libc::AF_INET6 => self.0[8..].first_chunk::<16>().map(|a| Ipv6Addr::from(*a).into()),
            _ => None,
        }
    }

    pub(super) fn as_ptr(&self) -> *const libc::c_void {
        self.0.as_ptr().cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    fn family(&self) -> libc::c_int {
        libc::sa_family_t::from_ne_bytes([self.0[0], self.0[1]]).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Address::new(ip, 4341).ip(), Some(ip));
        }
        assert_eq!(Address::default().ip(), None);
        assert_eq!(Address::new("192.0.2.1".parse().unwrap(), 1).length(), 16);
    }
}
