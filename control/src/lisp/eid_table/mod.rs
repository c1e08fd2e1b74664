//! Values by EID-prefix, in every instance: exact and longest match, everything inside a prefix,
//! pages of a listing, and the widest prefix around an address that holds nothing (for Negative
//! Map-Replies, RFC 9301 §8.3). Map-cache, site database and Map-Server all look here.

mod prefix_table;

use std::collections::BTreeMap;

use weft_packet::addr::{EidPrefix, InstanceId};

use prefix_table::PrefixTable;
pub(super) use prefix_table::widest_free;

/// Values of type `T` by EID-prefix. Their order is by instance, IPv4 first, then by address.
#[derive(Clone, Debug)]
pub(super) struct EidTable<T>(BTreeMap<InstanceId, PrefixTable<T>>);

impl<T> Default for EidTable<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> FromIterator<(EidPrefix, T)> for EidTable<T> {
    fn from_iter<I: IntoIterator<Item = (EidPrefix, T)>>(values: I) -> Self {
        let mut table = Self::default();
        for (eid, value) in values {
            table.insert(eid, value);
        }
        table
    }
}

impl<T> EidTable<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(PrefixTable::len).sum()
    }

    /// The value of exactly `eid`.
    pub(super) fn get(&self, eid: EidPrefix) -> Option<&T> {
        self.0.get(&eid.instance)?.get(eid.prefix)
    }

    /// The value of exactly `eid`, to be changed.
    pub(super) fn get_mut(&mut self, eid: EidPrefix) -> Option<&mut T> {
        self.0.get_mut(&eid.instance)?.get_mut(eid.prefix)
    }

    /// Sets the value of `eid`; gives back the one before.
    pub(super) fn insert(&mut self, eid: EidPrefix, value: T) -> Option<T> {
        self.0.entry(eid.instance).or_default().insert(eid.prefix, value)
    }

    /// Takes the value of `eid` out.
    pub(super) fn remove(&mut self, eid: EidPrefix) -> Option<T> {
        let table = self.0.get_mut(&eid.instance)?;
        let value = table.remove(eid.prefix);
        if table.is_empty() {
            self.0.remove(&eid.instance);
        }
        value
    }

    /// Everything, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EidPrefix, &T)> {
        self.page(None, None, None)
    }

    /// Every value in order, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (EidPrefix, &mut T)> {
        self.0.iter_mut().flat_map(|(&instance, table)| {
            table.iter_mut().map(move |(prefix, value)| (EidPrefix::new(instance, prefix), value))
        })
    }

    /// What lies in the instance `only`, inside `within` and behind `after`, in order; what is
    /// `None` excludes nothing.
    pub(super) fn page(
        &self,
        only: Option<InstanceId>,
        within: Option<EidPrefix>,
        after: Option<EidPrefix>,
    ) -> impl Iterator<Item = (EidPrefix, &T)> {
        let first = after.map_or(InstanceId::DEFAULT, |after| after.instance);
        let wanted = move |instance: InstanceId| {
            only.is_none_or(|only| only == instance)
                && within.is_none_or(|within| within.instance == instance)
        };
        self.0.range(first..).filter(move |(instance, _)| wanted(**instance)).flat_map(
            move |(&instance, table)| {
                let after = after.filter(|after| after.instance == instance);
                let page = table.page(within.map(|w| w.prefix), after.map(|a| a.prefix));
                page.map(move |(prefix, value)| (EidPrefix::new(instance, prefix), value))
            },
        )
    }

    /// What covers `eid` most closely, `eid` itself included.
    pub(super) fn longest(&self, eid: EidPrefix) -> Option<(EidPrefix, &T)> {
        let (prefix, value) = self.0.get(&eid.instance)?.longest(eid.prefix)?;
        Some((EidPrefix::new(eid.instance, prefix), value))
    }

    /// What covers `eid` most closely, `eid` itself left out.
    pub(super) fn above(&self, eid: EidPrefix) -> Option<(EidPrefix, &T)> {
        self.longest(EidPrefix::new(eid.instance, eid.prefix.parent()?))
    }

    /// What lies inside `eid`, itself included, in order.
    pub(super) fn inside(&self, eid: EidPrefix) -> impl Iterator<Item = (EidPrefix, &T)> {
        self.0.get(&eid.instance).into_iter().flat_map(move |table| {
            let inside = table.inside(eid.prefix);
            inside.map(move |(prefix, value)| (EidPrefix::new(eid.instance, prefix), value))
        })
    }

    /// True when something other than `except` lies inside `eid`.
    pub(super) fn holds_other(&self, eid: EidPrefix, except: Option<EidPrefix>) -> bool {
        self.inside(eid).any(|(inside, _)| Some(inside) != except)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;
    use weft_packet::addr::Prefix;

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

    fn any_table() -> impl Strategy<Value = Vec<EidPrefix>> {
        proptest::collection::btree_set(any_eid(), 0..40).prop_map(|set| set.into_iter().collect())
    }

    fn found<'a>(values: impl Iterator<Item = (EidPrefix, &'a ())>) -> Vec<EidPrefix> {
        values.map(|(eid, ())| eid).collect()
    }

    proptest! {
        #[test]
        fn answers_like_a_search_through_everything(held in any_table(), asked in any_eid()) {
            let table: EidTable<()> = held.iter().map(|&eid| (eid, ())).collect();
            let covering = |strictly: bool| {
                held.iter()
                    .filter(|h| h.covers(asked) && (!strictly || **h != asked))
                    .max_by_key(|h| h.prefix.length())
                    .copied()
            };
            prop_assert_eq!(table.longest(asked).map(|f| f.0), covering(false));
            prop_assert_eq!(table.above(asked).map(|f| f.0), covering(true));
            let inside: Vec<_> = held.iter().filter(|h| asked.covers(**h)).copied().collect();
            prop_assert_eq!(table.holds_other(asked, None), !inside.is_empty());
            prop_assert_eq!(table.holds_other(asked, Some(asked)), inside.iter().any(|h| *h != asked));
            prop_assert_eq!(found(table.inside(asked)), inside);
            prop_assert_eq!(table.get(asked).is_some(), held.contains(&asked));
            prop_assert_eq!(table.len(), held.len());
            prop_assert_eq!(found(table.iter()), held);
        }

        #[test]
        fn pages_are_what_a_filter_leaves(
            held in any_table(),
            only in proptest::option::of(0..2_u32),
            within in proptest::option::of(any_eid()),
            after in proptest::option::of(any_eid()),
        ) {
            let only = only.map(|only| InstanceId::new(only).unwrap());
            let table: EidTable<()> = held.iter().map(|&eid| (eid, ())).collect();
            let left = held.iter().copied().filter(|eid| {
                only.is_none_or(|only| eid.instance == only)
                    && within.is_none_or(|within| within.covers(*eid))
                    && after.is_none_or(|after| after < *eid)
            });
            prop_assert_eq!(found(table.page(only, within, after)), left.collect::<Vec<_>>());
        }

        #[test]
        fn what_is_removed_leaves_nothing(held in any_table()) {
            let mut table: EidTable<()> = held.iter().map(|&eid| (eid, ())).collect();
            for (left, &eid) in (0..held.len()).rev().zip(&held) {
                prop_assert_eq!(table.remove(eid), Some(()));
                prop_assert_eq!(table.remove(eid), None);
                prop_assert_eq!(table.len(), left);
            }
            prop_assert!(table.0.is_empty());
        }
    }
}
