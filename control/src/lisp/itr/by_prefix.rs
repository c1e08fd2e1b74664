//! A map keyed by EID-prefix that finds longest matches and everything inside a prefix.
//!
//! It is an ordered map: prefixes sort by instance, family, address and length, so what lies
//! inside a prefix follows it without gaps, and what covers it precedes it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use weft_packet::addr::{EidPrefix, Prefix};

/// Values by EID-prefix.
#[derive(Debug)]
pub(super) struct ByPrefix<V>(BTreeMap<EidPrefix, V>);

impl<V> Default for ByPrefix<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> FromIterator<(EidPrefix, V)> for ByPrefix<V> {
    fn from_iter<I: IntoIterator<Item = (EidPrefix, V)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl<V> ByPrefix<V> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, eid: EidPrefix) -> Option<&V> {
        self.0.get(&eid)
    }

    pub(super) fn get_mut(&mut self, eid: EidPrefix) -> Option<&mut V> {
        self.0.get_mut(&eid)
    }

    pub(super) fn insert(&mut self, eid: EidPrefix, value: V) -> Option<V> {
        self.0.insert(eid, value)
    }

    pub(super) fn remove(&mut self, eid: EidPrefix) -> Option<V> {
        self.0.remove(&eid)
    }

    /// Everything, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EidPrefix, &V)> {
        self.0.iter().map(|(&eid, value)| (eid, value))
    }

    /// What covers `eid` most closely, `eid` itself included.
    pub(super) fn longest(&self, eid: EidPrefix) -> Option<(EidPrefix, &V)> {
        let mut last = eid;
        loop {
            let (&found, value) = self.0.range(..=last).next_back()?;
            if found.covers(eid) {
                return Some((found, value));
            }
            // A prefix that covers `eid` precedes `found`, so it covers both.
            last = common(found, eid)?;
        }
    }

    /// What covers `eid` most closely, `eid` itself left out.
    pub(super) fn above(&self, eid: EidPrefix) -> Option<(EidPrefix, &V)> {
        self.longest(EidPrefix::new(eid.instance, eid.prefix.parent()?))
    }

    /// What lies inside `eid`, itself included, in order.
    pub(super) fn inside(&self, eid: EidPrefix) -> impl Iterator<Item = (EidPrefix, &V)> {
        self.0
            .range(eid..)
            .map(|(&found, value)| (found, value))
            .take_while(move |(f, _)| eid.covers(*f))
    }
}

/// The longest prefix that covers both; `None` across instances or families.
fn common(a: EidPrefix, b: EidPrefix) -> Option<EidPrefix> {
    let equal = match (a.prefix.address(), b.prefix.address()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return None,
    };
    let equal = u8::try_from(equal).unwrap_or(u8::MAX);
    let length = equal.min(a.prefix.length()).min(b.prefix.length());
    let prefix = Prefix::new(b.prefix.address(), length)?;
    (a.instance == b.instance).then_some(EidPrefix::new(b.instance, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weft_packet::addr::InstanceId;

    fn eid(instance: u32, bits: u32, length: u8, v6: bool) -> EidPrefix {
        let address =
            if v6 { IpAddr::V6((u128::from(bits) << 96).into()) } else { IpAddr::V4(bits.into()) };
        let instance = InstanceId::new(instance).unwrap();
        EidPrefix::new(instance, Prefix::new(address, length).unwrap())
    }

    /// Few distinct addresses, so that prefixes nest often.
    fn any_eid() -> impl Strategy<Value = EidPrefix> {
        (0..2_u32, 0..16_u32, 0..16_u32, 0..=32_u8, any::<bool>())
            .prop_map(|(i, high, low, length, v6)| eid(i, high << 28 | low, length, v6))
    }

    proptest! {
        #[test]
        fn answers_like_a_search_through_everything(
            held in proptest::collection::vec(any_eid(), 0..40),
            asked in any_eid(),
        ) {
            let map: ByPrefix<()> = held.iter().map(|&e| (e, ())).collect();
            let covering = |strictly: bool| {
                held.iter()
                    .filter(|h| h.covers(asked) && (!strictly || **h != asked))
                    .max_by_key(|h| h.prefix.length())
                    .copied()
            };
            prop_assert_eq!(map.longest(asked).map(|f| f.0), covering(false));
            prop_assert_eq!(map.above(asked).map(|f| f.0), covering(true));
            let mut inside: Vec<_> = held.iter().filter(|h| asked.covers(**h)).copied().collect();
            inside.sort();
            inside.dedup();
            prop_assert_eq!(map.inside(asked).map(|f| f.0).collect::<Vec<_>>(), inside);
        }
    }
}
