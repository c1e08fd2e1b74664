//! Which addresses can be RLOCs at all (RFC 9301 §5.4: no broadcast, no multicast).

use std::net::IpAddr;

use weft_packet::ip::Scope;

/// True for unicast addresses a packet can be routed to from anywhere in the underlay. Loopback
/// counts where the one who named it is on this very host.
pub(super) fn routable(address: IpAddr, named_by: IpAddr) -> bool {
    if address.is_loopback() {
        return named_by.is_loopback();
    }
    let reserved = match address {
        IpAddr::V4(a) => a.octets()[0] >= 240,
        IpAddr::V6(a) => a.to_ipv4_mapped().is_some(),
    };
    Scope::of(address) == Scope::Unicast && !reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicast_only() {
        let usable =
            |address: &str| routable(address.parse().unwrap(), "192.0.2.1".parse().unwrap());
        assert!(["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"].into_iter().all(usable));
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "169.254.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:192.0.2.1",
        ];
        assert!(!never.into_iter().any(usable));
    }

    #[test]
    fn loopback_is_for_those_on_this_host() {
        let loopback = "127.0.0.1".parse().unwrap();
        assert!(routable(loopback, "127.0.0.1".parse().unwrap()));
    }
}
