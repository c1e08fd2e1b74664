//! Values by prefix, both families, of one instance.

use std::net::IpAddr;

use prefix_trie::PrefixMap;
use weft_packet::addr::Prefix;

/// Values of type `T` by prefix.
#[derive(Clone, Debug)]
pub(super) struct PrefixTable<T> {
    v4: PrefixMap<(u32, u8), T>,
    v6: PrefixMap<(u128, u8), T>,
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self { v4: PrefixMap::new(), v6: PrefixMap::new() }
    }
}

impl<T> PrefixTable<T> {
    /// Sets the value of `prefix`; gives back the one before.
    pub(super) fn insert(&mut self, prefix: Prefix, value: T) -> Option<T> {
        match key(prefix) {
            Key::V4(k) => self.v4.insert(k, value),
            Key::V6(k) => self.v6.insert(k, value),
        }
    }

    /// Takes the value of `prefix` out.
    pub(super) fn remove(&mut self, prefix: Prefix) -> Option<T> {
        match key(prefix) {
            Key::V4(k) => self.v4.remove(&k),
            Key::V6(k) => self.v6.remove(&k),
        }
    }

    /// The value of exactly `prefix`.
    pub(super) fn get(&self, prefix: Prefix) -> Option<&T> {
        match key(prefix) {
            Key::V4(k) => self.v4.get(&k),
            Key::V6(k) => self.v6.get(&k),
        }
    }

    /// The value of exactly `prefix`, to be changed.
    pub(super) fn get_mut(&mut self, prefix: Prefix) -> Option<&mut T> {
        match key(prefix) {
            Key::V4(k) => self.v4.get_mut(&k),
            Key::V6(k) => self.v6.get_mut(&k),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// True when there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The longest prefix that covers all of `prefix`.
    pub(super) fn longest(&self, prefix: Prefix) -> Option<(Prefix, &T)> {
        match key(prefix) {
            Key::V4(k) => self.v4.get_lpm(&k).map(|(k, value)| (from_v4(k), value)),
            Key::V6(k) => self.v6.get_lpm(&k).map(|(k, value)| (from_v6(k), value)),
        }
    }

    /// Everything inside `prefix`, itself included, in ascending order.
    pub(super) fn inside(&self, prefix: Prefix) -> impl Iterator<Item = (Prefix, &T)> {
        let (v4, v6) = match key(prefix) {
            Key::V4(k) => (Some(self.v4.children(&k)), None),
            Key::V6(k) => (None, Some(self.v6.children(&k))),
        };
        let v4 = v4.into_iter().flatten().map(|(k, value)| (from_v4(k), value));
        v4.chain(v6.into_iter().flatten().map(|(k, value)| (from_v6(k), value)))
    }

    /// Everything, IPv4 first, in ascending order, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Prefix, &mut T)> {
        let v4 = self.v4.iter_mut().map(|(k, value)| (from_v4(k), value));
        v4.chain(self.v6.iter_mut().map(|(k, value)| (from_v6(k), value)))
    }

    /// What lies inside `within` and behind `after` (without them: everything, from the start),
    /// IPv4 first, in ascending order.
    pub(super) fn page(
        &self,
        within: Option<Prefix>,
        after: Option<Prefix>,
    ) -> impl Iterator<Item = (Prefix, &T)> {
        let start = match (within, after) {
            (Some(within), Some(after)) if after < within => (Some(within), true),
            (_, Some(after)) => (Some(after), false),
            (within, None) => (within, true),
        };
        let (v4, v6) = match (start.0.map(key), start.1) {
            (None, _) => (Some(self.v4.iter()), self.v6.iter()),
            (Some(Key::V4(k)), inclusive) => {
                (Some(self.v4.iter_from(&k, inclusive)), self.v6.iter())
            }
            (Some(Key::V6(k)), inclusive) => (None, self.v6.iter_from(&k, inclusive)),
        };
        let v4 = v4.into_iter().flatten().map(|(k, value)| (from_v4(k), value));
        v4.chain(v6.map(|(k, value)| (from_v6(k), value)))
            .take_while(move |(prefix, _)| within.is_none_or(|within| within.covers(*prefix)))
    }
}

/// The widest prefix of at least `floor` bits that contains the first address of `of` and for
/// which `occupied` is false; `of`'s host prefix if all others are occupied.
///
/// `occupied` must be monotone, as "something lies inside" is: what holds for a prefix holds for
/// all that cover it.
pub(in crate::lisp) fn widest_free(
    of: Prefix,
    floor: u8,
    occupied: impl Fn(Prefix) -> bool,
) -> Prefix {
    let host = Prefix::host(of.address());
    let (mut low, mut high) = (floor.min(host.length()), host.length());
    while low < high {
        let middle = u8::midpoint(low, high);
        match Prefix::new(of.address(), middle) {
            Some(candidate) if !occupied(candidate) => high = middle,
            _ => low = middle + 1,
        }
    }
    Prefix::new(of.address(), low).unwrap_or(host)
}

enum Key {
    V4((u32, u8)),
    V6((u128, u8)),
}

fn key(prefix: Prefix) -> Key {
    match prefix.address() {
        IpAddr::V4(a) => Key::V4((a.to_bits(), prefix.length())),
        IpAddr::V6(a) => Key::V6((a.to_bits(), prefix.length())),
    }
}

fn from_v4((bits, length): (u32, u8)) -> Prefix {
    Prefix::new(IpAddr::V4(bits.into()), length).unwrap_or(Prefix::ALL_V4)
}

fn from_v6((bits, length): (u128, u8)) -> Prefix {
    Prefix::new(IpAddr::V6(bits.into()), length).unwrap_or(Prefix::ALL_V6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn table(prefixes: &[&str]) -> PrefixTable<()> {
        let mut table = PrefixTable::default();
        for text in prefixes {
            table.insert(prefix(text), ());
        }
        table
    }

    #[test]
    fn families_do_not_meet() {
        let table = table(&["0.0.0.0/0", "2001:db8::/32"]);
        assert_eq!(table.longest(prefix("2001:db9::1")), None);
        assert_eq!(table.inside(prefix("::/0")).count(), 1);
    }

    #[test]
    fn pages_continue_behind_the_last_one_seen() {
        let table = table(&["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "2001:db8::/32"]);
        let page = |after: Option<&str>| -> Vec<String> {
            table.page(None, after.map(prefix)).map(|(p, ())| p.to_string()).collect()
        };
        assert_eq!(page(Some("10.1.0.0/16")), ["192.0.2.0/24", "2001:db8::/32"]);
        assert_eq!(page(Some("2001:db8::/32")), [""; 0]);
        assert_eq!(page(None).len(), 4);
        let inside =
            |after: Option<&str>| table.page(Some(prefix("10.0.0.0/8")), after.map(prefix)).count();
        assert_eq!(inside(None), 2);
        assert_eq!(inside(Some("9.0.0.0/8")), 2);
        assert_eq!(inside(Some("10.0.0.0/8")), 1);
        assert_eq!(inside(Some("10.1.0.0/16")), 0);
    }

    #[test]
    fn hole_beside_a_known_prefix() {
        let table = table(&["10.1.0.0/16"]);
        let hole =
            |of: &str| widest_free(prefix(of), 0, |p| table.inside(p).next().is_some()).to_string();
        assert_eq!(hole("11.0.0.1"), "11.0.0.0/8");
        assert_eq!(hole("10.0.0.1"), "10.0.0.0/16");
        assert_eq!(hole("192.0.2.1"), "128.0.0.0/1");
        assert_eq!(hole("2001:db8::1"), "::/0");
    }

    /// The definition, one length after the other.
    fn brute_force(of: IpAddr, known: &[Prefix]) -> Prefix {
        (0..=Prefix::host(of).length())
            .filter_map(|length| Prefix::new(of, length))
            .find(|candidate| !known.iter().any(|k| candidate.covers(*k)))
            .unwrap_or(Prefix::host(of))
    }

    /// Crowded around a few bits, so that holes are small and large.
    fn any_prefix(v6: bool) -> impl Strategy<Value = Prefix> {
        (any::<u16>(), 0..=16_u8, 0..=1_u8).prop_map(move |(bits, length, tail)| {
            let (address, width): (IpAddr, u8) = if v6 {
                (IpAddr::V6((u128::from(bits) << 112).into()), 128)
            } else {
                (IpAddr::V4((u32::from(bits) << 16).into()), 32)
            };
            Prefix::new(address, if tail == 1 { width } else { length }).expect("within the width")
        })
    }

    fn check_against_brute_force(known: &[Prefix], of: Prefix) {
        let mut table = PrefixTable::default();
        for &prefix in known {
            table.insert(prefix, ());
        }
        if table.longest(Prefix::host(of.address())).is_some() {
            return;
        }
        let found = widest_free(of, 0, |p| table.inside(p).next().is_some());
        assert_eq!(found, brute_force(of.address(), known));
        assert!(found.contains(of.address()));
        assert!(!known.iter().any(|k| found.overlaps(*k)));
    }

    proptest! {
        #[test]
        fn widest_hole_equals_brute_force_v4(
            known in prop::collection::vec(any_prefix(false), 0..12),
            of in any_prefix(false),
        ) {
            check_against_brute_force(&known, of);
        }

        #[test]
        fn widest_hole_equals_brute_force_v6(
            known in prop::collection::vec(any_prefix(true), 0..12),
            of in any_prefix(true),
        ) {
            check_against_brute_force(&known, of);
        }
    }
}
