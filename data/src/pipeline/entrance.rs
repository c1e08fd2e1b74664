//! Into the tunnel.

use weft_fib::DropReason;
use weft_packet::ip::{Header, Scope, ecn};

use super::policy::{Dscp, Ttl};

/// What the outer IP header takes from the inner one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
}

impl Outer {
    /// The outer fields for `inner`, whose TTL was already decremented by this router
    /// (RFC 9300 §5.3; ECN by RFC 6040 §4.1).
    pub fn of(inner: &Header, ttl: Ttl, dscp: Dscp) -> Self {
        let ttl = match ttl {
            Ttl::Copy => inner.ttl,
            Ttl::Fixed(ttl) => ttl,
        };
        let dscp = match dscp {
            Dscp::Copy => inner.traffic_class & !ecn::MASK,
            Dscp::Fixed(dscp) => dscp << 2,
        };
        Self { ttl: ttl.max(1), traffic_class: dscp | ecn::encapsulate(inner.traffic_class) }
    }
}

/// Why a router does not forward a packet whatever its table says.
pub fn unforwardable(inner: &Header) -> Option<DropReason> {
    match Scope::of(inner.destination) {
        Scope::Multicast => Some(DropReason::Multicast),
        Scope::Link => Some(DropReason::NotRoutable),
        Scope::Unicast if inner.ttl == 0 => Some(DropReason::TtlExceeded),
        Scope::Unicast => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(ttl: u8, class: u8, destination: [u8; 4]) -> Header {
        let mut packet = [0x45, class, 0, 20, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 1, 0, 2, 0, 0, 0, 0];
        packet[16..].copy_from_slice(&destination);
        Header::read(&packet).unwrap()
    }

    #[test]
    fn fields_are_copied_or_fixed() {
        let packet = inner(63, 0xba, [10, 2, 0, 2]);
        let copied = Outer::of(&packet, Ttl::Copy, Dscp::Copy);
        assert_eq!(copied, Outer { ttl: 63, traffic_class: 0xba });
        let fixed = Outer::of(&packet, Ttl::Fixed(255), Dscp::Fixed(1));
        assert_eq!(fixed, Outer { ttl: 255, traffic_class: 0x06 }, "ECN stays");
    }

    #[test]
    fn only_unicast_with_life_left_is_forwarded() {
        assert_eq!(unforwardable(&inner(1, 0, [10, 2, 0, 2])), None);
        assert_eq!(unforwardable(&inner(0, 0, [10, 2, 0, 2])), Some(DropReason::TtlExceeded));
        assert_eq!(unforwardable(&inner(1, 0, [224, 0, 0, 5])), Some(DropReason::Multicast));
        assert_eq!(unforwardable(&inner(1, 0, [169, 254, 0, 5])), Some(DropReason::NotRoutable));
    }
}
