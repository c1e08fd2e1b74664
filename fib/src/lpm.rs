//! Longest-prefix match over both address families.
//!
//! Overlay tables are mostly /32 and /128 entries. Those live in a hash table asked first; only
//! shorter prefixes live in a trie. A host entry then costs one probe instead of a walk, and a
//! third of the memory.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::fast::RandomState;
use prefix_trie::PrefixMap;
use weft_packet::addr::Prefix;

/// Values by prefix, found by longest match.
#[derive(Clone)]
pub struct Lpm<V> {
    v4: Family<V4, V>,
    v6: Family<V6, V>,
}

impl<V> Default for Lpm<V> {
    fn default() -> Self {
        Self { v4: Family::default(), v6: Family::default() }
    }
}

impl<V> Lpm<V> {
    /// The value of the longest prefix that contains `address`.
    pub fn get(&self, address: IpAddr) -> Option<(Prefix, &V)> {
        match address {
            IpAddr::V4(a) => self.v4.get(V4 { bits: a.to_bits(), length: 32 }),
            IpAddr::V6(a) => self.v6.get(V6 { bits: a.to_bits(), length: 128 }),
        }
    }

    /// The value of exactly `prefix`.
    pub fn get_exact(&self, prefix: Prefix) -> Option<&V> {
        match Key::from(prefix) {
            Key::V4(key) => self.v4.get_exact(key),
            Key::V6(key) => self.v6.get_exact(key),
        }
    }

    /// The value of exactly `prefix`, to change it.
    pub fn get_exact_mut(&mut self, prefix: Prefix) -> Option<&mut V> {
        match Key::from(prefix) {
            Key::V4(key) => self.v4.get_exact_mut(key),
            Key::V6(key) => self.v6.get_exact_mut(key),
        }
    }

    /// Sets the value of `prefix`; gives the one it had.
    pub fn set(&mut self, prefix: Prefix, value: V) -> Option<V> {
        match Key::from(prefix) {
            Key::V4(key) => self.v4.set(key, value),
            Key::V6(key) => self.v6.set(key, value),
        }
    }

    /// Forgets `prefix`; gives the value it had.
    pub fn clear(&mut self, prefix: Prefix) -> Option<V> {
        match Key::from(prefix) {
            Key::V4(key) => self.v4.clear(key),
            Key::V6(key) => self.v6.clear(key),
        }
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &V)> {
        self.v4.iter().chain(self.v6.iter())
    }

    /// The entries whose prefixes lie in `prefix`, itself included, in no particular order.
    /// Looks at every host entry of the family.
    pub fn covered(&self, prefix: Prefix) -> impl Iterator<Item = (Prefix, &V)> {
        let (v4, v6) = match Key::from(prefix) {
            Key::V4(key) => (Some(self.v4.covered(key)), None),
            Key::V6(key) => (None, Some(self.v6.covered(key))),
        };
        v4.into_iter().flatten().chain(v6.into_iter().flatten())
    }

    /// The entries whose prefixes contain `address`, shortest first.
    pub fn covering(&self, address: IpAddr) -> impl Iterator<Item = (Prefix, &V)> {
        let (v4, v6) = match Key::from(Prefix::host(address)) {
            Key::V4(key) => (Some(self.v4.covering(key)), None),
            Key::V6(key) => (None, Some(self.v6.covering(key))),
        };
        v4.into_iter().flatten().chain(v6.into_iter().flatten())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The entries of one family.
#[derive(Clone)]
struct Family<K: FamilyKey, V> {
    hosts: HashMap<K::R, V, RandomState>,
    prefixes: PrefixMap<K, V>,
}

impl<K: FamilyKey, V> Default for Family<K, V> {
    fn default() -> Self {
        Self { hosts: HashMap::default(), prefixes: PrefixMap::default() }
    }
}

impl<K: FamilyKey, V> Family<K, V> {
    /// Longest match of a host key.
    fn get(&self, host: K) -> Option<(Prefix, &V)> {
        if let Some(value) = self.hosts.get(&host.repr()) {
            return Some((host.prefix(), value));
        }
        self.prefixes.get_lpm(&host).map(|(key, value)| (key.prefix(), value))
    }

    fn get_exact(&self, key: K) -> Option<&V> {
        if key.is_host() { self.hosts.get(&key.repr()) } else { self.prefixes.get(&key) }
    }

    fn get_exact_mut(&mut self, key: K) -> Option<&mut V> {
        if key.is_host() { self.hosts.get_mut(&key.repr()) } else { self.prefixes.get_mut(&key) }
    }

    fn set(&mut self, key: K, value: V) -> Option<V> {
        if key.is_host() {
            self.hosts.insert(key.repr(), value)
        } else {
            self.prefixes.insert(key, value)
        }
    }

    fn clear(&mut self, key: K) -> Option<V> {
        if key.is_host() { self.hosts.remove(&key.repr()) } else { self.prefixes.remove(&key) }
    }

    fn iter(&self) -> impl Iterator<Item = (Prefix, &V)> {
        let hosts = self.hosts.iter().map(|(&bits, value)| (K::host(bits), value));
        hosts.chain(self.prefixes.iter()).map(|(key, value)| (key.prefix(), value))
    }

    fn covered(&self, within: K) -> impl Iterator<Item = (Prefix, &V)> {
        let hosts = self.hosts.iter().map(|(&bits, value)| (K::host(bits), value));
        hosts
            .filter(move |(host, _)| within.contains(host))
            .chain(self.prefixes.children(&within))
            .map(|(key, value)| (key.prefix(), value))
    }

    /// Shortest first.
    fn covering(&self, host: K) -> impl Iterator<Item = (Prefix, &V)> {
        let exact = self.hosts.get(&host.repr()).map(|value| (host, value));
        self.prefixes.cover(&host).chain(exact).map(|(key, value)| (key.prefix(), value))
    }

    fn len(&self) -> usize {
        self.hosts.len() + self.prefixes.len()
    }
}

/// The key of either family.
enum Key {
    V4(V4),
    V6(V6),
}

impl From<Prefix> for Key {
    fn from(prefix: Prefix) -> Self {
        let length = prefix.length();
        match prefix.address() {
            IpAddr::V4(a) => Self::V4(V4 { bits: a.to_bits(), length }),
            IpAddr::V6(a) => Self::V6(V6 { bits: a.to_bits(), length }),
        }
    }
}

/// A trie key of one family. Integers instead of addresses make the trie a quarter faster.
trait FamilyKey: prefix_trie::Prefix<R: Hash + Eq + Copy> + Copy {
    /// The key of a single address.
    fn host(bits: Self::R) -> Self;

    /// As everybody else knows it.
    fn prefix(self) -> Prefix;

    fn is_host(self) -> bool {
        u32::from(self.prefix_len()) == Self::num_bits()
    }
}

/// Defines the trie key of a family over the integer its addresses are.
macro_rules! family_key {
    ($name:ident, $bits:ty, $width:literal, $address:ty) => {
        #[derive(Clone, Copy, Debug)]
        struct $name {
            bits: $bits,
            length: u8,
        }

        impl prefix_trie::Prefix for $name {
            type R = $bits;

            fn repr(&self) -> $bits {
                self.bits
            }

            fn prefix_len(&self) -> u8 {
                self.length
            }

            fn from_repr_len(bits: $bits, length: u8) -> Self {
                Self { bits, length }
            }
        }

        impl FamilyKey for $name {
            fn host(bits: $bits) -> Self {
                Self { bits, length: $width }
            }

            fn prefix(self) -> Prefix {
                Prefix::new(<$address>::from_bits(self.bits).into(), self.length)
                    .expect("a key's length was a prefix's length")
            }
        }
    };
}

family_key!(V4, u32, 32, Ipv4Addr);
family_key!(V6, u128, 128, Ipv6Addr);

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn table(prefixes: &[&str]) -> Lpm<String> {
        let mut table = Lpm::default();
        for text in prefixes {
            assert_eq!(table.set(prefix(text), (*text).to_owned()), None);
        }
        table
    }

    fn texts<'a>(found: impl IntoIterator<Item = (Prefix, &'a String)>) -> Vec<String> {
        found
            .into_iter()
            .map(|(prefix, text)| {
                assert_eq!(prefix.to_string(), *text, "a value came back under another prefix");
                text.clone()
            })
            .collect()
    }

    #[test]
    fn the_longest_prefix_answers_whether_host_or_not() {
        let table = table(&[
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "2001:db8::/32",
            "2001:db8::1/128",
        ]);
        let answer = |address: &str| texts(table.get(address.parse().unwrap())).pop();
        assert_eq!(answer("10.1.2.3").unwrap(), "10.1.2.3/32");
        assert_eq!(answer("10.1.2.4").unwrap(), "10.1.0.0/16");
        assert_eq!(answer("10.2.0.0").unwrap(), "10.0.0.0/8");
        assert_eq!(answer("192.0.2.1").unwrap(), "0.0.0.0/0");
        assert_eq!(answer("2001:db8::1").unwrap(), "2001:db8::1/128");
        assert_eq!(answer("2001:db8::2").unwrap(), "2001:db8::/32");
        assert_eq!(answer("2001:db9::"), None);
    }

    #[test]
    fn what_covers_an_address_comes_shortest_first() {
        let table = table(&["10.1.2.3/32", "10.0.0.0/8", "0.0.0.0/0", "10.1.0.0/16", "11.0.0.0/8"]);
        assert_eq!(
            texts(table.covering("10.1.2.3".parse().unwrap())),
            ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32"]
        );
    }

    #[test]
    fn what_lies_in_a_prefix_includes_itself_and_hosts() {
        let table = table(&["10.1.2.3/32", "10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "::/0"]);
        let mut inside = texts(table.covered(prefix("10.1.0.0/16")));
        inside.sort();
        assert_eq!(inside, ["10.1.0.0/16", "10.1.2.3/32"]);
        assert_eq!(table.covered(prefix("10.1.2.3/32")).count(), 1);
        assert_eq!(table.covered(prefix("0.0.0.0/0")).count(), 4);
        assert_eq!(table.covered(prefix("::/0")).count(), 1);
    }

    #[test]
    fn a_cleared_prefix_leaves_the_shorter_one() {
        let mut table = table(&["10.0.0.0/8", "10.1.2.3/32"]);
        assert_eq!(table.clear(prefix("10.1.2.3/32")).unwrap(), "10.1.2.3/32");
        assert_eq!(table.clear(prefix("10.1.2.3/32")), None);
        assert_eq!(texts(table.get("10.1.2.3".parse().unwrap())), ["10.0.0.0/8"]);
        assert_eq!((table.len(), table.is_empty()), (1, false));
    }
}
