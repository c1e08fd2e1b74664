//! Prefixes to fill a table with: the same ones every time.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use weft_packet::addr::Prefix;

/// Numbers that look random and are always the same (xorshift).
pub(super) struct Dice(u64);

/// Addresses of one site that are mapped by themselves.
const SITE: usize = 32;

impl Dice {
    pub(super) const fn new() -> Self {
        Self(88_172_645_463_325_252)
    }

    pub(super) fn throw(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 >> 32).expect("32 bits are left")
    }
}

/// So many IPv4 prefixes: `whole`, its addresses (the first 65536) as prefixes of their own, and
/// others all over the world outside of 10/8, as they are in mapping systems: one in ten of
/// length 16 to 22, half of length 24, and single addresses that lie close together.
pub(super) fn of(whole: Prefix, count: usize) -> Vec<Prefix> {
    let IpAddr::V4(base) = whole.address() else { return vec![whole] };
    let hosts = 1u32 << (32 - whole.length().clamp(16, 32));
    let hosts = (0..hosts).map(|host| prefix(base.to_bits() | host, 32));
    let mut all: Vec<Prefix> = std::iter::once(whole).chain(hosts).take(count).collect();
    let mut known: HashSet<Prefix> = all.iter().copied().collect();
    let mut dice = Dice::new();
    let mut site = 0;
    while all.len() < count {
        let (kind, address) = (dice.throw() % 10, somewhere(&mut dice));
        if all.len().is_multiple_of(SITE) {
            site = address;
        }
        let new = match kind {
            0 => prefix(address, 16 + u8::try_from(dice.throw() % 7).expect("less than 7")),
            1..6 => prefix(address, 24),
            _ => prefix(site & 0xffff_ff00 | dice.throw() & 0xff, 32),
        };
        if known.insert(new) {
            all.push(new);
        }
    }
    all
}

/// A unicast address that is not in 10/8.
fn somewhere(dice: &mut Dice) -> u32 {
    let first = 16 + dice.throw() % (224 - 16);
    first << 24 | dice.throw() & 0x00ff_ffff
}

/// The prefix of this length that contains an address.
fn prefix(address: u32, length: u8) -> Prefix {
    let network = address & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
    Prefix::new(Ipv4Addr::from_bits(network).into(), length).expect("no longer than an address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_asked_for_and_no_two_are_the_same() {
        let whole = "10.2.0.0/16".parse().unwrap();
        let all = of(whole, 200_000);
        assert_eq!(all.len(), 200_000);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 200_000);
        assert_eq!(all, of(whole, 200_000), "the same ones every time");
    }

    #[test]
    fn the_first_is_the_whole_and_the_next_lie_in_it() {
        let whole: Prefix = "10.2.0.0/16".parse().unwrap();
        assert_eq!(of(whole, 1), [whole]);
        let all = of(whole, 70_000);
        assert!(all[1..=65_536].iter().all(|prefix| whole.covers(*prefix) && prefix.is_host()));
        assert!(all[65_537..].iter().all(|prefix| !whole.overlaps(*prefix)));
    }

    #[test]
    fn lengths_are_those_of_a_mapping_system() {
        let all = of("10.1.0.0/24".parse().unwrap(), 50_000);
        let of_length = |length| all.iter().filter(|prefix| prefix.length() == length).count();
        assert!((22_000..28_000).contains(&of_length(24)), "{}", of_length(24));
        assert!((16_000..23_000).contains(&of_length(32)), "{}", of_length(32));
    }
}
