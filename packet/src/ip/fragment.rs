//! Fragmentation of IPv4 packets (RFC 791 §3.2), for those too big for a tunnel whose senders
//! allow it.

use super::checksum;
use super::header::Header;

/// Splits an IPv4 packet into fragments of at most `mtu` octets and gives the header and payload
/// of each to `emit`, in order. False, with nothing emitted, when it must not or cannot be split:
/// IPv6, DF, or an `mtu` with no room for eight octets of payload. `header` is of `packet`; a
/// fragment is split further.
pub fn split(
    packet: &[u8],
    header: &Header,
    mtu: usize,
    mut emit: impl FnMut(&[u8], &[u8]),
) -> bool {
    if header.is_ipv6() || header.dont_fragment {
        return false;
    }
    let (Some(first), Some(mut payload)) =
        (packet.get(..header.transport), packet.get(header.transport..header.length))
    else {
        return false;
    };
    // All fragments but the last carry a multiple of eight octets.
    let room = mtu.saturating_sub(first.len()) & !7;
    let (Some(&[high, low]), true) = (first.get(6..8).and_then(<[u8]>::first_chunk), room > 0)
    else {
        return false;
    };
    let field = u16::from_be_bytes([high, low]);
    let (more_after, first_offset) = (field & MORE_FRAGMENTS, field & OFFSET);
    let mut offset = first_offset;
    let mut head = first.to_vec();
    loop {
        let (piece, rest) = payload.split_at(payload.len().min(room));
        let more = if rest.is_empty() { more_after } else { MORE_FRAGMENTS };
        finish_header(&mut head, piece.len(), more | offset & OFFSET);
        emit(&head, piece);
        if rest.is_empty() {
            return true;
        }
        if offset == first_offset {
            head = later_header(first);
        }
        offset = offset.saturating_add(saturated(piece.len() / 8));
        payload = rest;
    }
}

/// The header of the fragments after the first: only options with the copied flag stay.
fn later_header(first: &[u8]) -> Vec<u8> {
    let (fixed, mut options) = first.split_at(first.len().min(20));
    let mut head = fixed.to_vec();
    while let [kind, rest @ ..] = options {
        let length = match (kind, rest.first()) {
            (0, _) => break,
            (1, _) => 1,
            (_, Some(&length)) if length >= 2 => usize::from(length),
            _ => break,
        };
        let Some((option, after)) = options.split_at_checked(length) else { break };
        if kind & COPIED != 0 {
            head.extend_from_slice(option);
        }
        options = after;
    }
    head.resize(head.len().next_multiple_of(4), 0);
    let words = u8::try_from(head.len() / 4).unwrap_or(MOST_WORDS).min(MOST_WORDS);
    if let Some(version) = head.first_mut() {
        *version = 0x40 | words;
    }
    head
}

fn finish_header(head: &mut [u8], payload: usize, field: u16) {
    let length = saturated(head.len() + payload);
    head[2..4].copy_from_slice(&length.to_be_bytes());
    head[6..8].copy_from_slice(&field.to_be_bytes());
    checksum::set_ipv4(head);
}

/// A count of an IPv4 packet's octets: as the packet's own length field holds it, it fits.
fn saturated(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

const MORE_FRAGMENTS: u16 = 0x2000;
/// In units of eight octets.
const OFFSET: u16 = 0x1fff;
/// What four bits can say of the header's length.
const MOST_WORDS: u8 = 15;
/// The option is copied into every fragment.
const COPIED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::Fragment;
    use crate::ip::checksum::Sum;
    use proptest::prelude::*;

    fn packet(options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x40, 0, 0, 0, 0x12, 0x34, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 1, 0, 2, 10, 2, 0, 2]);
        packet.extend(options);
        packet[0] |= u8::try_from(packet.len() / 4).unwrap();
        packet.extend(payload);
        let length = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet
    }

    fn fragments(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
        let header = Header::read(packet).unwrap();
        let mut fragments = Vec::new();
        split(packet, &header, mtu, |head, payload| fragments.push([head, payload].concat()));
        fragments
    }

    fn reassemble(fragments: &[Vec<u8>]) -> Vec<u8> {
        let mut payload = Vec::new();
        for (n, fragment) in fragments.iter().enumerate() {
            let header = Header::read(fragment).unwrap();
            let field = u16::from_be_bytes([fragment[6], fragment[7]]);
            assert_eq!(usize::from(field & 0x1fff) * 8, payload.len());
            assert_eq!(field & MORE_FRAGMENTS == 0, n + 1 == fragments.len());
            assert!(Sum::ZERO.with(&fragment[..header.transport]).is_right());
            payload.extend(&fragment[header.transport..header.length]);
        }
        payload
    }

    #[test]
    fn only_copied_options_stay_in_later_fragments() {
        // Record route (7) is not copied, loose source route (131) is.
        let options = [7, 3, 4, 131, 3, 4, 1, 0];
        let parts = fragments(&packet(&options, &[7; 100]), 76);
        assert_eq!(parts[0][20..28], options);
        assert_eq!(parts[1][..1], [0x46]);
        assert_eq!(parts[1][20..24], [131, 3, 4, 0]);
    }

    #[test]
    fn a_fragment_is_split_further() {
        let whole = packet(&[], &[9; 400]);
        let mut parts = fragments(&whole, 220);
        let again = fragments(&parts.remove(0), 120);
        assert_eq!(Header::read(&again[0]).unwrap().fragment, Fragment::First);
        parts.splice(0..0, again);
        assert_eq!(reassemble(&parts), [9; 400]);
    }

    #[test]
    fn refuses_what_must_not_be_split() {
        let mut df = packet(&[], &[0; 100]);
        df[6] = 0x40;
        assert!(fragments(&df, 60).is_empty());
        assert!(fragments(&packet(&[], &[0; 100]), 27).is_empty(), "no room for eight octets");
    }

    proptest! {
        #[test]
        fn fragments_reassemble(payload in prop::collection::vec(any::<u8>(), 1..3000), mtu in 28usize..1500) {
            let parts = fragments(&packet(&[], &payload), mtu);
            prop_assert!(parts.iter().all(|part| part.len() <= mtu));
            prop_assert_eq!(reassemble(&parts), payload);
        }

        #[test]
        fn no_octets_panic(mut octets in prop::collection::vec(any::<u8>(), 20..200), mtu in 0usize..200) {
            octets[0] = 0x40 | octets[0] & 0x0f;
            octets[2] = 0;
            if let Ok(header) = Header::read(&octets) {
                split(&octets, &header, mtu, |_, _| {});
            }
        }
    }
}
