//! Out of the tunnel.

use weft_fib::DropReason;
use weft_packet::ip::{self, Header, ecn};

/// The outer header a packet arrived with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// TTL or hop limit as received.
    pub ttl: u8,
    /// DSCP and ECN as received.
    pub traffic_class: u8,
}

/// Gives `packet` the TTL, ECN field and, with `dscp_back`, the DSCP it leaves the tunnel with
/// (RFC 9300 §5.3; ECN by RFC 6040 §4.2), and updates `header`, which is of it.
pub fn leave(
    packet: &mut [u8],
    header: &mut Header,
    outer: Arrival,
    dscp_back: bool,
) -> Result<(), DropReason> {
    let inner = header.traffic_class;
    let ecn = ecn::decapsulate(inner, outer.traffic_class).ok_or(DropReason::EcnDiscarded)?;
    let dscp = if dscp_back { outer.traffic_class } else { inner } & !ecn::MASK;
    if inner != dscp | ecn {
        header.traffic_class = dscp | ecn;
        ip::set_traffic_class(packet, dscp | ecn);
    }
    if outer.ttl < header.ttl {
        header.ttl = outer.ttl;
        ip::set_ttl(packet, outer.ttl);
    }
    if header.ttl == 0 { Err(DropReason::TtlExceeded) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(ttl: u8, class: u8, outer: Arrival, back: bool) -> Result<(u8, u8), DropReason> {
        let mut packet = [0x45, class, 0, 20, 0, 0, 0, 0, ttl, 17, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2];
        let mut header = Header::read(&packet).unwrap();
        leave(&mut packet, &mut header, outer, back)?;
        assert_eq!(Header::read(&packet).unwrap(), header);
        Ok((header.ttl, header.traffic_class))
    }

    #[test]
    fn the_smaller_ttl_and_the_worse_congestion_go_on() {
        let outer = Arrival { ttl: 60, traffic_class: 0xb8 | ecn::CE };
        assert_eq!(through(63, ecn::ECT_0, outer, true), Ok((60, 0xb8 | ecn::CE)));
        assert_eq!(through(63, ecn::ECT_0, outer, false), Ok((60, ecn::CE)));
        assert_eq!(through(5, 0x48 | ecn::ECT_1, outer, false), Ok((5, 0x48 | ecn::CE)));
        assert_eq!(through(63, 0, outer, true), Err(DropReason::EcnDiscarded));
        assert_eq!(
            through(0, 0, Arrival { ttl: 9, traffic_class: 0 }, true),
            Err(DropReason::TtlExceeded)
        );
    }
}
