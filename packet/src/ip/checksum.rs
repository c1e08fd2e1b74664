//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use std::net::IpAddr;

/// A running one's complement sum. Pieces are added in the order of the packet, and every piece
/// but the last has even length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Nothing added yet.
    pub const ZERO: Self = Self(0);

    /// The pseudo header of TCP, UDP and ICMPv6 (RFC 8200 §8.1): `length` counts the octets from
    /// the transport header on. Addresses of mixed families count as they are.
    pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Self {
        let words = |address| match address {
            IpAddr::V4(a) => u64::from(u32::from_ne_bytes(a.octets())),
            IpAddr::V6(a) => sum_words(a.octets().as_chunks().0),
        };
        // No packet is longer than 32 bits can say, jumbograms included.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let rest = u64::from(u32::from(protocol).to_be()) + u64::from(length.to_be());
        Self(words(source) + words(destination) + rest)
    }

    /// The sum with the length field of a pseudo header added.
    pub fn with_length(self, octets: usize) -> Self {
        Self(add_around(self.0, (octets as u64).to_be()))
    }

    /// The sum with `bytes` added.
    pub fn with(self, bytes: &[u8]) -> Self {
        // Sums are formed in the machine's byte order (RFC 1071 §2 (B)), of 32-bit words in 64-bit
        // lanes, which carries cannot leave and which suit vector instructions.
        let (blocks, rest) = bytes.as_chunks::<32>();
        let mut lanes = [0; 8];
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks().0) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let (words, rest) = rest.as_chunks();
        let last = match *rest {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => [0; 4],
        };
        let sum = lanes.iter().sum::<u64>() + sum_words(words) + sum_words(&[last]);
        Self(add_around(self.0, sum))
    }

    /// The sum without `bytes`, which were added before: an even number of them, at an even place
    /// of the packet.
    pub fn without<const N: usize>(self, bytes: [u8; N]) -> Self {
        self.with(&bytes.map(|byte| !byte))
    }

    /// The 16-bit sum, not complemented: what a partial checksum holds.
    pub fn folded(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        u16::from_be((sum & 0xffff) as u16)
    }

    /// The checksum of what was added.
    pub fn checksum(self) -> u16 {
        !self.folded()
    }

    /// The checksum for UDP, where zero means that there is none (RFC 768).
    pub fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }

    /// True when what was added holds its own right checksum.
    pub fn is_right(self) -> bool {
        self.folded() == 0xffff
    }
}

/// The checksum after one 16-bit word of what it covers changed from `old` to `new` (RFC 1624
/// equation 3).
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) as u16)
}

/// Writes the checksum of an IPv4 header, options included, into it. What is too short for one
/// is left as it is.
pub fn set_ipv4(header: &mut [u8]) {
    if let Some(field) = header.get_mut(10..12) {
        field.fill(0);
        let checksum = Sum::ZERO.with(header).checksum();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// No packet has so many words that the sum overflows.
fn sum_words(words: &[[u8; 4]]) -> u64 {
    words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum()
}

const fn add_around(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 §1 as it is written: 16-bit words, end-around carry.
    fn by_definition(bytes: &[u8]) -> u16 {
        bytes.chunks(2).fold(0, |sum: u16, pair| {
            let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            let (sum, carry) = sum.overflowing_add(word);
            sum + u16::from(carry)
        })
    }

    /// Zero has two forms in one's complement.
    fn same(a: u16, b: u16) -> bool {
        a == b || (a.is_multiple_of(0xffff) && b.is_multiple_of(0xffff))
    }

    #[test]
    fn example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::ZERO.with(&bytes).folded(), 0xddf2);
    }

    #[test]
    fn carries_survive_the_worst_octets() {
        for length in 0..200 {
            let bytes = vec![0xff; length];
            assert!(same(Sum::ZERO.with(&bytes).folded(), by_definition(&bytes)), "{length}");
        }
    }

    proptest! {
        #[test]
        fn what_was_added_can_be_taken_away(
            kept in prop::collection::vec(any::<u16>(), 1..40), gone: [u8; 4],
        ) {
            let kept: Vec<u8> = kept.into_iter().flat_map(u16::to_be_bytes).collect();
            let sum = Sum::ZERO.with(&kept);
            prop_assert!(same(sum.with(&gone).without(gone).folded(), sum.folded()));
        }
    }

    #[test]
    fn set_checksum_is_right() {
        let mut header = [0x45, 0, 0, 20, 1, 2, 0x40, 0, 64, 6, 9, 9, 10, 0, 0, 1, 10, 0, 0, 2];
        set_ipv4(&mut header);
        assert!(Sum::ZERO.with(&header).is_right());
        set_ipv4(&mut header[..5]);
    }

    #[test]
    fn pseudo_headers_are_summed_as_they_are_drawn() {
        let octets = |fields: [&[u8]; 4]| Sum::ZERO.with(&fields.concat()).folded();
        let (a, b) = ([10, 1, 0, 2], [255, 255, 0, 3]);
        let drawn = octets([&a, &b, &[0, 6], &[0x9c, 0x40]]);
        assert_eq!(Sum::pseudo_header(a.into(), b.into(), 6, 40_000).folded(), drawn);
        let (a, b) = ([0xfd; 16], [0xfe; 16]);
        let drawn = octets([&a, &b, &70_000u32.to_be_bytes(), &[0, 0, 0, 17]]);
        assert_eq!(Sum::pseudo_header(a.into(), b.into(), 17, 70_000).folded(), drawn);
        let zero = Sum::pseudo_header(a.into(), b.into(), 17, 0).with_length(70_000);
        assert_eq!(zero.folded(), drawn);
    }

    proptest! {
        #[test]
        fn sum_agrees_with_the_definition(bytes: Vec<u8>, split in 0usize..64) {
            let at = (split * 2).min(bytes.len());
            let sum = Sum::ZERO.with(&bytes[..at]).with(&bytes[at..]);
            prop_assert!(same(sum.folded(), by_definition(&bytes)));
        }

        #[test]
        fn update_agrees_with_summing_again(mut words: [u16; 10], at in 0usize..10, new: u16) {
            let sum = |words: &[u16; 10]| {
                let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
                Sum::ZERO.with(&bytes).checksum()
            };
            let before = sum(&words);
            let updated = update(before, words[at], new);
            words[at] = new;
            prop_assert!(same(updated, sum(&words)));
        }
    }
}
