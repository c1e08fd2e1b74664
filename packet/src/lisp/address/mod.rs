//! AFI-encoded addresses: a 16-bit address family and a body of the length it implies.
//!
//! The family 16387 is the LISP Canonical Address Format (RFC 8060), which nests: [`Lcaf`] holds
//! every assigned type, and keeps unknown ones as they came. An unknown family ends decoding,
//! since nobody knows how long its body is (RFC 9301 §5.1).

mod geo;
mod keys;
mod lcaf;
mod paths;

use crate::addr::{InstanceId, Mac};
use crate::wire::{Error, Reader, Wire, Writer};
use std::net::IpAddr;

pub use geo::{GeoCoordinates, GeoLocation, Sexagesimal};
pub use keys::{OpaqueKey, SecurityKey};
pub use lcaf::{Lcaf, UnknownLcaf};
pub use paths::{Application, MulticastInfo, NatTraversal, PathHop, Replica, SourceDestination};

/// An address as messages carry it: a 16-bit AFI and its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// AFI 0: no address.
    #[default]
    None,
    /// AFI 1 or 2.
    Ip(IpAddr),
    /// A 48-bit MAC under either of its two AFIs.
    Mac(Mac, MacAfi),
    /// AFI 17: a distinguished name (RFC 9735), without its NUL; at most [`Address::NAME_MAX`]
    /// ASCII characters.
    Name(String),
    /// AFI 16387.
    Lcaf(Box<Lcaf>),
}

/// Which AFI carries a MAC: peers disagree, so what came in goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MacAfi {
    /// AFI 6 (RFC 8060 §4.10.2).
    Six,
    /// AFI 16389 (IANA).
    Mac48,
}

impl Address {
    /// The longest distinguished name we take or send, in characters.
    pub const NAME_MAX: usize = 255;

    /// How many bits the innermost address has; `None` where a mask length says nothing: no
    /// address, and LCAFs that hold several or carry masks of their own.
    pub fn width(&self) -> Option<usize> {
        match self {
            Self::None => None,
            Self::Ip(IpAddr::V4(_)) => Some(32),
            Self::Ip(IpAddr::V6(_)) => Some(128),
            Self::Mac(..) => Some(48),
            // The NUL counts (RFC 9735 §4).
            Self::Name(name) => Some((name.len() + 1) * 8),
            Self::Lcaf(lcaf) => match &**lcaf {
                Lcaf::InstanceId { address, .. } => address.width(),
                _ => None,
            },
        }
    }

    /// `ip` in `instance`; the default instance needs no LCAF.
    pub fn in_instance(instance: InstanceId, ip: IpAddr) -> Self {
        if instance == InstanceId::DEFAULT {
            return Self::Ip(ip);
        }
        let instance = instance.get();
        Lcaf::InstanceId { mask_len: 0, instance, address: Self::Ip(ip) }.into()
    }

    /// The IP address, plain or within LCAFs; the first of an AFI-List. LCAFs that hold several
    /// addresses with roles of their own have no such address.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Lcaf(lcaf) => match &**lcaf {
                Lcaf::AfiList(list) => list.iter().find_map(Self::ip),
                Lcaf::InstanceId { address, .. }
                | Lcaf::AsNumber { address, .. }
                | Lcaf::Nonce { address, .. }
                | Lcaf::Json { address, .. }
                | Lcaf::Encapsulations { address, .. } => address.ip(),
                Lcaf::GeoCoordinates(geo) => geo.address.ip(),
                Lcaf::GeoLocation(geo) => geo.address.ip(),
                Lcaf::SecurityKey(key) => key.address.ip(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Refuses what a router must not act upon: a vendor's format it does not know, at any depth
    /// (RFC 9306 §4). Other unknown LCAFs may be ignored and pass.
    pub(super) fn understood(self) -> Result<Self, Error> {
        match &self {
            Self::Lcaf(lcaf) => lcaf
                .vendor()
                .map_or(Ok(self), |oui| Err(Error::Invalid("vendor of the LCAF", oui.into()))),
            _ => Ok(self),
        }
    }

    /// Reads an address that lies within `depth` LCAFs.
    pub(super) fn read_nested(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        Ok(match r.u16("AFI")? {
            AFI_NONE => Self::None,
            AFI_IPV4 => Self::Ip(r.ipv4("IPv4 address")?.into()),
            AFI_IPV6 => Self::Ip(r.ipv6("IPv6 address")?.into()),
            AFI_MAC_SIX => Self::Mac(Mac(r.array("MAC address")?), MacAfi::Six),
            AFI_MAC_48 => Self::Mac(Mac(r.array("MAC address")?), MacAfi::Mac48),
            AFI_NAME => Self::Name(read_name(r)?),
            AFI_LCAF if depth < DEPTH_MAX => Self::Lcaf(Box::new(Lcaf::read(r, depth + 1)?)),
            AFI_LCAF => return Err(Error::Refused("LCAFs nest deeper than 8")),
            other => return Err(Error::Invalid("AFI", other.into())),
        })
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl Wire for Address {
    #[inline]
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        Self::read_nested(r, 0)
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::None => w.u16(AFI_NONE),
            Self::Ip(ip @ IpAddr::V4(_)) => w.u16(AFI_IPV4).ip(*ip),
            Self::Ip(ip @ IpAddr::V6(_)) => w.u16(AFI_IPV6).ip(*ip),
            Self::Mac(mac, MacAfi::Six) => w.u16(AFI_MAC_SIX).bytes(mac.0),
            Self::Mac(mac, MacAfi::Mac48) => w.u16(AFI_MAC_48).bytes(mac.0),
            Self::Name(name) => write_name(name, w),
            Self::Lcaf(lcaf) => {
                lcaf.write(w.u16(AFI_LCAF));
                w
            }
        };
    }
}

/// Takes ASCII up to a NUL (RFC 9735 §3).
fn read_name(r: &mut Reader<'_>) -> Result<String, Error> {
    const WHAT: &str = "distinguished name";
    let window = r.peek().iter().take(Address::NAME_MAX + 1);
    let Some(len) = window.clone().position(|&octet| octet == 0) else {
        return Err(if window.len() > Address::NAME_MAX {
            Error::Refused("distinguished name above 255 characters")
        } else {
            Error::Truncated(WHAT)
        });
    };
    let bytes = r.bytes(len, WHAT)?;
    r.u8(WHAT)?;
    if let Some(&octet) = bytes.iter().find(|octet| !octet.is_ascii()) {
        return Err(Error::Invalid("character in a distinguished name", octet.into()));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// Writes what a reader takes back: ASCII, no NUL within, bounded.
fn write_name<'w>(name: &str, w: &'w mut Writer) -> &'w mut Writer {
    w.u16(AFI_NAME);
    for character in name.chars().take_while(|&c| c != '\0').take(Address::NAME_MAX) {
        w.u8(u8::try_from(character).ok().filter(u8::is_ascii).unwrap_or(b'?'));
    }
    w.u8(0)
}

/// How many LCAFs may lie within each other.
const DEPTH_MAX: u8 = 8;

const AFI_NONE: u16 = 0;
const AFI_IPV4: u16 = 1;
const AFI_IPV6: u16 = 2;
const AFI_MAC_SIX: u16 = 6;
const AFI_NAME: u16 = 17;
const AFI_LCAF: u16 = 0x4003;
const AFI_MAC_48: u16 = 0x4005;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_ends_at_its_nul() {
        let mut r = Reader::new(b"\0\x11david\0rest");
        assert_eq!(Address::read(&mut r), Ok(Address::Name("david".to_owned())));
        assert_eq!(r.rest(), b"rest");
        assert_eq!(
            Address::from_bytes(b"\0\x11david"),
            Err(Error::Truncated("distinguished name"))
        );
        assert_eq!(
            Address::from_bytes(b"\0\x11d\xe9\0"),
            Err(Error::Invalid("character in a distinguished name", 0xe9))
        );
    }

    #[test]
    fn name_is_bounded() {
        let name = |len| [b"\0\x11".as_slice(), &vec![b'x'; len], b"\0"].concat();
        assert!(Address::from_bytes(&name(255)).is_ok());
        assert_eq!(
            Address::from_bytes(&name(256)),
            Err(Error::Refused("distinguished name above 255 characters"))
        );
    }

    #[test]
    fn eight_nested_lcafs_pass_and_nine_do_not() {
        let nest =
            |depth| (0..depth).fold(Address::None, |inner, _| Lcaf::AfiList(vec![inner]).into());
        let (eight, nine): (Address, Address) = (nest(8), nest(9));
        assert_eq!(Address::from_bytes(&eight.to_bytes()), Ok(eight));
        assert_eq!(
            Address::from_bytes(&nine.to_bytes()),
            Err(Error::Refused("LCAFs nest deeper than 8"))
        );
    }

    #[test]
    fn unknown_family_is_refused() {
        assert_eq!(Address::from_bytes(&[0x77, 0x77, 1, 2]), Err(Error::Invalid("AFI", 0x7777)));
    }
}
