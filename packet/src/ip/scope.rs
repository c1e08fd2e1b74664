//! How far an address reaches.

use std::net::{IpAddr, Ipv4Addr};

/// How far a destination reaches, as far as a router that forwards unicast cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One host, anywhere.
    Unicast,
    /// A group, or every host of a link.
    Multicast,
    /// Never leaves a link or host: link-local, loopback, unspecified.
    Link,
}

impl Scope {
    /// The scope of `address`.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) if a.is_multicast() || a == Ipv4Addr::BROADCAST => Self::Multicast,
            // 0.0.0.0/8 is "this network" (RFC 6890 §2.2.2).
            IpAddr::V4(a) if a.is_link_local() || a.is_loopback() || a.octets()[0] == 0 => {
                Self::Link
            }
            IpAddr::V6(a) if a.is_multicast() => Self::Multicast,
            IpAddr::V6(a) if a.is_unicast_link_local() || a.is_loopback() || a.is_unspecified() => {
                Self::Link
            }
            _ => Self::Unicast,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        for (address, scope) in [
            ("10.0.0.1", Scope::Unicast),
            ("224.0.0.251", Scope::Multicast),
            ("255.255.255.255", Scope::Multicast),
            ("169.254.0.1", Scope::Link),
            ("127.0.0.1", Scope::Link),
            ("0.0.0.0", Scope::Link),
            ("2001:db8::1", Scope::Unicast),
            ("ff02::1", Scope::Multicast),
            ("fe80::1", Scope::Link),
            ("::1", Scope::Link),
            ("::", Scope::Link),
        ] {
            assert_eq!(Scope::of(address.parse().unwrap()), scope, "{address}");
        }
    }
}
