//! The nouns of the network: prefixes, instances, identifiers. Each can only hold values that
//! exist, so nothing behind the edge checks them again.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IPv4 or IPv6 prefix. Bits behind the length are zero by construction, so equal prefixes
/// are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// `0.0.0.0/0`.
    pub const ALL_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };
    /// `::/0`.
    pub const ALL_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), length: 0 };

    /// The prefix of `length` bits that contains `address`; `None` when `length` exceeds the
    /// family's width. Bits behind the length are cleared.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(a) if length <= 32 => {
                IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask_v4(length)))
            }
            IpAddr::V6(a) if length <= 128 => {
                IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask_v6(length)))
            }
            _ => return None,
        };
        Some(Self { address, length })
    }

    /// The prefix that holds just `address`: /32 or /128.
    pub fn host(address: IpAddr) -> Self {
        Self { address, length: width(address) }
    }

    /// The first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits are significant.
    pub fn length(self) -> u8 {
        self.length
    }

    /// True for IPv6.
    pub fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// True when the prefix holds a single address.
    pub fn is_host(self) -> bool {
        self.length == width(self.address)
    }

    /// True when `address` lies in the prefix.
    pub fn contains(self, address: IpAddr) -> bool {
        Self::new(address, self.length) == Some(self) && address.is_ipv6() == self.address.is_ipv6()
    }

    /// True when every address of `other` lies in the prefix (a prefix covers itself).
    pub fn covers(self, other: Self) -> bool {
        other.length >= self.length && self.contains(other.address)
    }

    /// True when some address lies in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The prefix one bit shorter; `None` for length 0.
    pub fn parent(self) -> Option<Self> {
        Self::new(self.address, self.length.checked_sub(1)?)
    }

    /// The last address, the broadcast address of an IPv4 subnet.
    pub fn last(self) -> IpAddr {
        match self.address {
            IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() | !mask_v4(self.length)).into(),
            IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() | !mask_v6(self.length)).into(),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.address, self.length))
    }
}

/// Why text is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash is no IPv4 or IPv6 address.
    #[error("`{0}` is not an IPv4 or IPv6 address")]
    Address(String),
    /// The part behind the slash is no number, or wider than the family.
    #[error("`{0}` is not a prefix length")]
    Length(String),
    /// Bits are set behind the prefix length.
    #[error("host bits set in `{given}`; did you mean \"{meant}\"?")]
    HostBits {
        /// As written.
        given: String,
        /// With the host bits cleared.
        meant: Prefix,
    },
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Parses `192.0.2.0/24`; an address alone is its host prefix. Host bits must be zero.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let parsed: IpAddr =
            address.parse().map_err(|_| PrefixError::Address(address.to_owned()))?;
        let Some(length) = length else { return Ok(Self::host(parsed)) };
        let bad = || PrefixError::Length(length.to_owned());
        let bits = length.parse().map_err(|_| bad())?;
        let prefix = Self::new(parsed, bits).ok_or_else(bad)?;
        if prefix.address != parsed {
            return Err(PrefixError::HostBits { given: text.to_owned(), meant: prefix });
        }
        Ok(prefix)
    }
}

/// A LISP Instance-ID: 24 bits in the data plane (RFC 9300 §5.3). 0 is the default instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(u32);

impl InstanceId {
    /// The instance of everything that names none.
    pub const DEFAULT: Self = Self(0);
    /// Payload of this instance is a control message for the xTR itself (NAT traversal draft).
    pub const CONTROL: Self = Self(0xff_ffff);

    /// `None` above 24 bits.
    pub const fn new(value: u32) -> Option<Self> {
        if value < 1 << 24 { Some(Self(value)) } else { None }
    }

    /// The 24-bit number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A VXLAN Network Identifier (RFC 7348 §5), 24 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

impl Vni {
    /// `None` above 24 bits.
    pub const fn new(value: u32) -> Option<Self> {
        if value < 1 << 24 { Some(Self(value)) } else { None }
    }

    /// The 24-bit number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl From<InstanceId> for Vni {
    fn from(instance: InstanceId) -> Self {
        Self(instance.get())
    }
}

/// An EID-prefix in its instance: what a mapping is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EidPrefix {
    /// The instance the prefix lives in; others may hold the same prefix.
    pub instance: InstanceId,
    /// The addresses.
    pub prefix: Prefix,
}

impl EidPrefix {
    /// `prefix` in `instance`.
    pub const fn new(instance: InstanceId, prefix: Prefix) -> Self {
        Self { instance, prefix }
    }

    /// True when `other` is of the same instance and inside.
    pub fn covers(self, other: Self) -> bool {
        self.instance == other.instance && self.prefix.covers(other.prefix)
    }
}

impl fmt::Display for EidPrefix {
    /// `10.0.0.0/8`, or `[7]10.0.0.0/8` outside the default instance.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.instance == InstanceId::DEFAULT {
            self.prefix.fmt(f)
        } else {
            f.pad(&format!("[{}]{}", self.instance, self.prefix))
        }
    }
}

/// Ties an answer to its question; never zero in a Map-Register (RFC 9301 §5.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u64);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names one xTR of a site, 128 bits (RFC 9301 §5.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XtrId(pub [u8; 16]);

impl fmt::Display for XtrId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Names a site, 64 bits (RFC 9301 §5.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u64);

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// True for the address of a group of stations, also of all of them.
    pub const fn is_group(self) -> bool {
        let Self([first, ..]) = self;
        first & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02x}", if position == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// The width of the family of `address` in bits.
const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

const fn mask_v4(length: u8) -> u32 {
    if length == 0 { 0 } else { u32::MAX << (32 - length) }
}

const fn mask_v6(length: u8) -> u128 {
    if length == 0 { 0 } else { u128::MAX << (128 - length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn covers_only_the_own_family() {
        assert!(prefix("0.0.0.0/0").covers(prefix("10.0.0.0/8")));
        assert!(!prefix("::/0").covers(prefix("10.0.0.0/8")));
        assert!(prefix("2001:db8::/32").contains("2001:db8::1".parse().unwrap()));
        assert!(!prefix("10.0.0.0/8").covers(prefix("0.0.0.0/0")));
    }

    #[test]
    fn refuses_host_bits_and_says_what_was_meant() {
        let error = "192.168.1.7/24".parse::<Prefix>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "host bits set in `192.168.1.7/24`; did you mean \"192.168.1.0/24\"?"
        );
        assert!("10.0.0.0/33".parse::<Prefix>().is_err());
        assert!("10.0.0/8".parse::<Prefix>().is_err());
    }

    #[test]
    fn last_address_is_the_broadcast_address() {
        assert_eq!(prefix("192.0.2.0/25").last(), "192.0.2.127".parse::<IpAddr>().unwrap());
        assert_eq!(prefix("::/0").last(), IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)));
    }

    #[test]
    fn instance_has_24_bits() {
        assert!(InstanceId::new(0x00ff_ffff).is_some());
        assert!(InstanceId::new(0x0100_0000).is_none());
    }
}
