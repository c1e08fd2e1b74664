//! The LISP Canonical Address Format: a type, a length, and one of these (RFC 8060 §3).
//!
//! The length bounds each body, so a wrong count inside cannot reach beyond it; octets left over
//! in a known type are refused. Unknown types keep their octets (RFC 9306 §3).

use super::Address;
use super::geo::{GeoCoordinates, GeoLocation};
use super::keys::{OpaqueKey, SecurityKey};
use super::paths::{Application, MulticastInfo, NatTraversal, PathHop, Replica, SourceDestination};
use crate::wire::{Error, Reader, Wire, Writer};

/// A LISP Canonical Address (RFC 8060 §3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lcaf {
    /// Type 2: an address within an instance.
    InstanceId {
        /// How many leading bits of `instance` are significant; matters only when `address` is
        /// [`Address::None`] and the LCAF stands for a range of instances.
        mask_len: u8,
        /// 32 bits here, 24 in the data plane.
        instance: u32,
        /// The address in that instance.
        address: Address,
    },
    /// Type 1: several addresses of one thing.
    AfiList(Vec<Address>),
    /// Type 0: nothing.
    Null,
    /// Type 3: an address and the autonomous system it belongs to.
    AsNumber {
        /// The autonomous system.
        number: u32,
        /// The address.
        address: Address,
    },
    /// Type 4: an address for the packets of one application.
    Application(Application),
    /// Type 5: where on earth, the form before RFC 10040.
    GeoCoordinates(GeoCoordinates),
    /// Type 6: a key only its owner can read.
    OpaqueKey(OpaqueKey),
    /// Type 7: what a Map-Server sees of an xTR behind a NAT.
    NatTraversal(NatTraversal),
    /// Type 8: a nonce to use with the locator.
    Nonce {
        /// 24 bits.
        nonce: u32,
        /// The locator.
        address: Address,
    },
    /// Type 9: source and group of a multicast entry.
    Multicast(MulticastInfo),
    /// Type 10: the routers to go through, first to last.
    Path(Vec<PathHop>),
    /// Type 11: public keys for a locator (RFC 8061, RFC 8111).
    SecurityKey(SecurityKey),
    /// Type 12: a source and a destination prefix.
    SourceDestination(SourceDestination),
    /// Type 13: where to replicate a multicast packet to.
    Replication(Vec<Replica>),
    /// Type 14: attributes of an address as JSON.
    Json {
        /// B: the text is binary-encoded JSON.
        binary: bool,
        /// The document, as it came.
        text: Vec<u8>,
        /// The address.
        address: Address,
    },
    /// Type 15: an attribute of an address.
    KeyValue {
        /// The address.
        key: Address,
        /// Its attribute.
        value: Address,
    },
    /// Type 16: the encapsulations a locator accepts.
    Encapsulations {
        /// One bit each, `0x40` GUE, `0x20` Geneve, `0x10` NVGRE, `0x08` VXLAN-GPE, `0x04` VXLAN,
        /// `0x02` layer-2 LISP, `0x01` LISP.
        formats: u32,
        /// The locator.
        address: Address,
    },
    /// Type 17: where on earth (RFC 10040).
    GeoLocation(GeoLocation),
    /// Type 17 with 4 octets: a service path, as some peers use that number.
    ServicePath {
        /// Service Path Identifier, 24 bits.
        path: u32,
        /// Service Index.
        index: u8,
    },
    /// Type 255: a vendor's own (RFC 9306 §4).
    Vendor {
        /// Whose: an OUI, 24 bits.
        oui: u32,
        /// What only the vendor can read.
        data: Vec<u8>,
    },
    /// Any other type, kept as it came.
    Unknown(UnknownLcaf),
}

/// An LCAF of a type we do not know: to be ignored, or passed on octet by octet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownLcaf {
    /// Its type; none of those [`Lcaf`] names.
    pub kind: u8,
    /// The 8 flags of the header.
    pub flags: u8,
    /// The second reserved octet, which some types use.
    pub reserved: u8,
    /// What follows the Length field.
    pub body: Vec<u8>,
}

impl From<Lcaf> for Address {
    fn from(lcaf: Lcaf) -> Self {
        Self::Lcaf(Box::new(lcaf))
    }
}

impl Lcaf {
    /// The type number.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::AfiList(_) => 1,
            Self::InstanceId { .. } => 2,
            Self::AsNumber { .. } => 3,
            Self::Application(_) => 4,
            Self::GeoCoordinates(_) => 5,
            Self::OpaqueKey(_) => 6,
            Self::NatTraversal(_) => 7,
            Self::Nonce { .. } => 8,
            Self::Multicast(_) => 9,
            Self::Path(_) => 10,
            Self::SecurityKey(_) => 11,
            Self::SourceDestination(_) => 12,
            Self::Replication(_) => 13,
            Self::Json { .. } => 14,
            Self::KeyValue { .. } => 15,
            Self::Encapsulations { .. } => 16,
            Self::GeoLocation(_) | Self::ServicePath { .. } => 17,
            Self::Vendor { .. } => 255,
            Self::Unknown(unknown) => unknown.kind,
        }
    }

    /// True when nothing inside has a type we know, so the whole must be ignored (RFC 9306 §3).
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::InstanceId { address: Address::Lcaf(inner), .. } => inner.is_unknown(),
            Self::AfiList(list) => {
                !list.is_empty()
                    && list.iter().all(|a| matches!(a, Address::Lcaf(l) if l.is_unknown()))
            }
            _ => false,
        }
    }

    /// The addresses right inside this one.
    pub fn inner(&self) -> Vec<&Address> {
        match self {
            Self::Null
            | Self::OpaqueKey(_)
            | Self::ServicePath { .. }
            | Self::Vendor { .. }
            | Self::Unknown(_) => Vec::new(),
            Self::InstanceId { address, .. }
            | Self::AsNumber { address, .. }
            | Self::Nonce { address, .. }
            | Self::Json { address, .. }
            | Self::Encapsulations { address, .. } => vec![address],
            Self::Application(application) => vec![&application.address],
            Self::GeoCoordinates(geo) => vec![&geo.address],
            Self::GeoLocation(geo) => vec![&geo.address],
            Self::SecurityKey(key) => vec![&key.address],
            Self::KeyValue { key, value } => vec![key, value],
            Self::Multicast(multicast) => vec![&multicast.source, &multicast.group],
            Self::SourceDestination(pair) => vec![&pair.source, &pair.destination],
            Self::AfiList(list) => list.iter().collect(),
            Self::Path(hops) => hops.iter().map(|hop| &hop.address).collect(),
            Self::Replication(replicas) => {
                replicas.iter().map(|replica| &replica.address).collect()
            }
            Self::NatTraversal(nat) => [&nat.global_etr, &nat.map_server, &nat.private_etr]
                .into_iter()
                .chain(&nat.rtrs)
                .collect(),
        }
    }

    /// The OUI of a vendor's format here or in an address inside.
    pub(super) fn vendor(&self) -> Option<u32> {
        match self {
            Self::Vendor { oui, .. } => return Some(*oui),
            // The most frequent by far; spares it the list of addresses.
            Self::InstanceId { address: Address::Ip(_) | Address::Mac(..), .. } => return None,
            _ => {}
        }
        self.inner().into_iter().find_map(|address| match address {
            Address::Lcaf(lcaf) => lcaf.vendor(),
            _ => None,
        })
    }

    /// Reads what follows the AFI; `depth` counts this LCAF.
    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        r.u8("LCAF Rsvd1")?;
        let flags = r.u8("LCAF Flags")?;
        let kind = r.u8("LCAF Type")?;
        let reserved = r.u8("LCAF Rsvd2")?;
        let length = r.u16("LCAF Length")?;
        let mut body = r.within(length.into(), "LCAF body")?;
        let lcaf = Self::read_body(kind, flags, reserved, &mut body, depth)?;
        match body.remaining() {
            0 => Ok(lcaf),
            _ => Err(Error::Invalid("LCAF Length", length.into())),
        }
    }

    fn read_body(
        kind: u8,
        flags: u8,
        reserved: u8,
        r: &mut Reader<'_>,
        depth: u8,
    ) -> Result<Self, Error> {
        let address = |r: &mut Reader<'_>| Address::read_nested(r, depth);
        Ok(match kind {
            0 => Self::Null,
            1 => Self::AfiList(until_end(r, address)?),
            2 => Self::InstanceId {
                mask_len: reserved,
                instance: r.u32("Instance ID")?,
                address: address(r)?,
            },
            3 => Self::AsNumber { number: r.u32("AS Number")?, address: address(r)? },
            4 => Self::Application(Application::read(r, depth)?),
            5 => Self::GeoCoordinates(GeoCoordinates::read(r, depth)?),
            6 => Self::OpaqueKey(OpaqueKey::read(r)?),
            7 => Self::NatTraversal(NatTraversal::read(r, depth)?),
            8 => Self::Nonce { nonce: r.u32("Nonce")? & BITS_24, address: address(r)? },
            9 => Self::Multicast(MulticastInfo::read(r, reserved, depth)?),
            10 => Self::Path(until_end(r, |r| PathHop::read(r, depth))?),
            11 => Self::SecurityKey(SecurityKey::read(r, depth)?),
            12 => Self::SourceDestination(SourceDestination::read(r, depth)?),
            13 => Self::Replication(until_end(r, |r| Replica::read(r, depth))?),
            14 => {
                let length = r.u16("JSON length")?;
                let text = r.bytes(length.into(), "JSON text")?.to_vec();
                Self::Json { binary: reserved & 1 != 0, text, address: address(r)? }
            }
            15 => Self::KeyValue { key: address(r)?, value: address(r)? },
            16 => Self::Encapsulations {
                formats: r.u32("Encapsulation Format")?,
                address: address(r)?,
            },
            17 if r.remaining() == 4 => {
                let word = r.u32("Service Path")?;
                let [_, _, _, index] = word.to_be_bytes();
                Self::ServicePath { path: word >> 8, index }
            }
            17 => Self::GeoLocation(GeoLocation::read(r, depth)?),
            255 => Self::Vendor { oui: r.u32("OUI")? & BITS_24, data: r.rest().to_vec() },
            _ => Self::Unknown(UnknownLcaf { kind, flags, reserved, body: r.rest().to_vec() }),
        })
    }

    /// Appends everything after the AFI.
    pub(super) fn write(&self, w: &mut Writer) {
        let (flags, reserved) = match self {
            Self::InstanceId { mask_len, .. } => (0, *mask_len),
            Self::Multicast(multicast) => (0, multicast.signal),
            Self::Json { binary, .. } => (0, u8::from(*binary)),
            Self::Unknown(unknown) => (unknown.flags, unknown.reserved),
            _ => (0, 0),
        };
        w.u8(0).u8(flags).u8(self.kind()).u8(reserved).with_len16(|w| self.write_body(w));
    }

    fn write_body(&self, w: &mut Writer) {
        match self {
            Self::Null => {}
            Self::AfiList(list) => {
                w.each(list);
            }
            Self::InstanceId { instance: word, address, .. }
            | Self::AsNumber { number: word, address }
            | Self::Encapsulations { formats: word, address } => address.write(w.u32(*word)),
            Self::Nonce { nonce, address } => address.write(w.u32(nonce & BITS_24)),
            Self::Application(application) => application.write(w),
            Self::GeoCoordinates(geo) => geo.write(w),
            Self::OpaqueKey(key) => key.write(w),
            Self::NatTraversal(nat) => nat.write(w),
            Self::Multicast(multicast) => multicast.write(w),
            Self::Path(hops) => {
                for hop in hops {
                    hop.write(w);
                }
            }
            Self::SecurityKey(key) => key.write(w),
            Self::SourceDestination(pair) => pair.write(w),
            Self::Replication(replicas) => {
                for replica in replicas {
                    replica.write(w);
                }
            }
            Self::Json { text, address, .. } => {
                w.with_len16(|w| {
                    w.bytes(text);
                });
                address.write(w);
            }
            Self::KeyValue { key, value } => {
                key.write(w);
                value.write(w);
            }
            Self::GeoLocation(geo) => geo.write(w),
            Self::ServicePath { path, index } => {
                w.u32(path << 8 | u32::from(*index));
            }
            Self::Vendor { oui, data } => {
                w.u32(oui & BITS_24).bytes(data);
            }
            Self::Unknown(unknown) => {
                w.bytes(&unknown.body);
            }
        }
    }
}

/// Reads items until the LCAF ends; each takes at least its AFI, so their number is bounded.
pub(super) fn until_end<T>(
    r: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    while !r.is_empty() {
        items.push(item(r)?);
    }
    Ok(items)
}

const BITS_24: u32 = 0x00ff_ffff;
