//! AFI-encoded addresses and the LISP Canonical Address Format (RFC 8060).

use crate::addr::Mac;
use std::net::IpAddr;

/// An address as messages carry it: a 16-bit AFI and its body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(Default)]
pub enum Address {
    /// AFI 0: no address.
    #[default]
    None,
    /// AFI 1 or 2.
    Ip(IpAddr),
    /// A 48-bit MAC under either of its two AFIs.
    Mac(Mac, MacAfi),
    /// AFI 17: a distinguished name (RFC 9735), without its NUL.
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
}
