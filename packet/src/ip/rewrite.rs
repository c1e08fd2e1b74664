//! Edits of a packet in place. Each keeps the checksums as right as they were, and does nothing
//! to octets that are no packet.

use super::checksum;
use super::header::{Fragment, Header};
use super::protocol;

/// Sets TTL or hop limit.
pub fn set_ttl(packet: &mut [u8], ttl: u8) {
    match packet {
        [first, ..] if *first >> 4 == 4 => replace_v4(packet, 8, |[_, protocol]| [ttl, protocol]),
        [_, _, _, _, _, _, _, hop_limit, ..] => *hop_limit = ttl,
        _ => {}
    }
}

/// Sets DSCP and ECN.
pub fn set_traffic_class(packet: &mut [u8], class: u8) {
    match packet {
        [first, ..] if *first >> 4 == 4 => replace_v4(packet, 0, |[version, _]| [version, class]),
        [first, second, ..] => {
            *first = *first & 0xf0 | class >> 4;
            *second = *second & 0x0f | class << 4;
        }
        _ => {}
    }
}

/// True for a TCP segment that opens a connection. `header` is of `packet`.
pub fn is_syn(packet: &[u8], header: &Header) -> bool {
    header.protocol == protocol::TCP
        && header.fragment == Fragment::Whole
        && packet.get(header.transport + 13).is_some_and(|flags| flags & SYN != 0)
}

/// Lowers the MSS option of a TCP SYN to `limit` where it is above; true when it was. `header`
/// is of `packet`.
pub fn clamp_mss(packet: &mut [u8], header: &Header, limit: u16) -> bool {
    if header.protocol != protocol::TCP || header.fragment != Fragment::Whole {
        return false;
    }
    let Some(tcp) = packet.get_mut(header.transport..header.length) else { return false };
    let Some(at) = find_mss(tcp) else { return false };
    let old = u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    if old <= limit {
        return false;
    }
    tcp[at..at + 2].copy_from_slice(&limit.to_be_bytes());
    // At an odd offset the value straddles two words of the sum: each octet there counts in the
    // other half, which is the same as swapping both values.
    let (old, new) =
        if at % 2 == 0 { (old, limit) } else { (old.swap_bytes(), limit.swap_bytes()) };
    let sum = checksum::update(u16::from_be_bytes([tcp[16], tcp[17]]), old, new);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    true
}

/// Where the value of the MSS option of a SYN is (RFC 9293 §3.1).
fn find_mss(tcp: &[u8]) -> Option<usize> {
    let head: &[u8; 20] = tcp.first_chunk()?;
    if head[13] & SYN == 0 {
        return None;
    }
    let options = tcp.get(..usize::from(head[12] >> 4) * 4)?;
    let mut at = head.len();
    loop {
        match (*options.get(at)?, options.get(at + 1)) {
            (0, _) => return None,
            (1, _) => at += 1,
            (2, Some(4)) => return options.get(at + 2..at + 4).map(|_| at + 2),
            (_, Some(&length)) if length >= 2 => at += usize::from(length),
            _ => return None,
        }
    }
}

/// Replaces the 16-bit word at `at`, which is even, of an IPv4 header and updates its checksum.
fn replace_v4(packet: &mut [u8], at: usize, change: impl FnOnce([u8; 2]) -> [u8; 2]) {
    let Some(header) = packet.first_chunk_mut::<20>() else { return };
    let old = [header[at], header[at + 1]];
    let new = change(old);
    header[at..at + 2].copy_from_slice(&new);
    let sum = checksum::update(
        u16::from_be_bytes([header[10], header[11]]),
        u16::from_be_bytes(old),
        u16::from_be_bytes(new),
    );
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

const SYN: u8 = 0x02;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::checksum::Sum;
    use proptest::prelude::*;

    /// A SYN from 10.1.0.2 to 10.2.0.2 with these options, all checksums right.
    fn syn(options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 1, 0, 2, 10, 2, 0, 2];
        packet.extend([0x9c, 0x40, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0x50, SYN, 0xfa, 0xf0, 0, 0]);
        packet.extend([0, 0]);
        packet.extend(options);
        packet[32] += u8::try_from(options.len() / 4).unwrap() << 4;
        packet[3] = u8::try_from(packet.len()).unwrap();
        checksum::set_ipv4(&mut packet[..20]);
        let sum = transport_sum(&packet).checksum();
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn transport_sum(packet: &[u8]) -> Sum {
        let header = Header::read(packet).unwrap();
        let length = header.length - header.transport;
        Sum::pseudo_header(header.source, header.destination, header.protocol, length)
            .with(&packet[header.transport..])
    }

    fn all_right(packet: &[u8]) -> bool {
        Sum::ZERO.with(&packet[..20]).is_right() && transport_sum(packet).is_right()
    }

    #[test]
    fn clamps_wherever_the_option_is() {
        for options in [
            vec![2, 4, 0x05, 0xb4],
            vec![1, 2, 4, 0x05, 0xb4, 1, 1, 1],
            vec![4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 2, 4, 0x05, 0xb4],
        ] {
            let mut packet = syn(&options);
            let header = Header::read(&packet).unwrap();
            assert!(clamp_mss(&mut packet, &header, 1300));
            assert!(all_right(&packet), "{options:?}");
            assert!(packet.windows(4).any(|w| w == [2, 4, 0x05, 0x14]), "{options:?}");
            assert!(!clamp_mss(&mut packet, &header, 1400), "never raised");
        }
    }

    #[test]
    fn broken_options_are_left_alone() {
        for options in
            [vec![1, 2, 4, 5], vec![9, 0, 0, 0], vec![0, 2, 4, 5], vec![2, 3, 1, 1], vec![9]]
        {
            let mut options = options;
            options.resize(4, 0);
            let packet = syn(&options);
            let header = Header::read(&packet).unwrap();
            let mut clamped = packet.clone();
            assert!(!clamp_mss(&mut clamped, &header, 10), "{options:?}");
            assert_eq!(clamped, packet);
        }
    }

    proptest! {
        #[test]
        fn edits_keep_ipv4_checksums(ttl: u8, class: u8) {
            let mut packet = syn(&[]);
            set_ttl(&mut packet, ttl);
            set_traffic_class(&mut packet, class);
            prop_assert!(all_right(&packet));
            let header = Header::read(&packet).unwrap();
            prop_assert_eq!((header.ttl, header.traffic_class), (ttl, class));
        }

        #[test]
        fn edits_of_ipv6_touch_nothing_else(ttl: u8, class: u8, label in 0u32..1 << 20) {
            let mut packet = vec![0; 40];
            packet[..4].copy_from_slice(&(6 << 28 | label).to_be_bytes());
            set_ttl(&mut packet, ttl);
            set_traffic_class(&mut packet, class);
            let header = Header::read(&packet).unwrap();
            prop_assert_eq!((header.ttl, header.traffic_class), (ttl, class));
            let word = u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]);
            prop_assert_eq!(word & 0xf_ffff, label);
        }

        #[test]
        fn no_octets_panic(mut packet: Vec<u8>, limit: u16) {
            set_ttl(&mut packet, 1);
            set_traffic_class(&mut packet, 1);
            if let Ok(header) = Header::read(&packet) {
                clamp_mss(&mut packet, &header, limit);
            }
        }
    }
}
