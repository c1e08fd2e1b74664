//! Values by destination, of which some are for packets of a source-prefix alone (RFC 8060 §4.8).

use std::net::IpAddr;

use weft_packet::addr::{EidPrefix, InstanceId, Prefix};

use crate::{EidKey, Lpm};

/// Values by destination, and by source within it.
#[derive(Clone)]
pub(crate) struct Scoped<V> {
    /// For packets of every source.
    all: Lpm<V>,
    /// For those of a source-prefix: a table of destinations for each.
    scopes: Lpm<Lpm<V>>,
}

/// A value with what it is for.
pub(crate) struct Found<'a, V> {
    /// The destinations.
    pub(crate) prefix: Prefix,
    /// The sources, if not all.
    pub(crate) from: Option<Prefix>,
    pub(crate) value: &'a V,
}

impl<V> Found<'_, V> {
    /// What it is for, in an instance.
    pub(crate) fn key(&self, instance: InstanceId) -> EidKey {
        EidKey { eid: EidPrefix::new(instance, self.prefix), from: self.from }
    }
}

impl<V> Default for Scoped<V> {
    fn default() -> Self {
        Self { all: Lpm::default(), scopes: Lpm::default() }
    }
}

impl<V> Scoped<V> {
    /// The value of the longest destination-prefix and, of several for that one, of the longest
    /// source-prefix.
    pub(crate) fn get(&self, source: IpAddr, destination: IpAddr) -> Option<Found<'_, V>> {
        if self.scopes.is_empty() {
            let found = self.all.get(destination);
            return found.map(|(prefix, value)| Found { prefix, from: None, value });
        }
        self.matching(source, move |table| table.get(destination)).reduce(|best, found| {
            if best.prefix.length() > found.prefix.length() { best } else { found }
        })
    }

    /// All values that hold for a packet, the first of which wins.
    pub(crate) fn covering(&self, source: IpAddr, destination: IpAddr) -> Vec<Found<'_, V>> {
        let mut found: Vec<_> =
            self.matching(source, move |table| table.covering(destination)).collect();
        let rank = |of: &Found<'_, V>| (of.prefix.length(), of.from.map(Prefix::length));
        found.sort_by_key(|of| std::cmp::Reverse(rank(of)));
        found
    }

    /// The value for packets of every source, by the destination alone.
    pub(crate) fn get_for_all(&self, destination: IpAddr) -> Option<&V> {
        self.all.get(destination).map(|(_, value)| value)
    }

    /// The value of exactly these prefixes.
    pub(crate) fn get_exact(&self, prefix: Prefix, from: Option<Prefix>) -> Option<&V> {
        self.table(from)?.get_exact(prefix)
    }

    /// The value of exactly these prefixes, to change it.
    pub(crate) fn get_exact_mut(&mut self, prefix: Prefix, from: Option<Prefix>) -> Option<&mut V> {
        let table = match from {
            None => &mut self.all,
            Some(from) => self.scopes.get_exact_mut(from)?,
        };
        table.get_exact_mut(prefix)
    }

    /// Sets the value of these prefixes; gives the one they had.
    pub(crate) fn set(&mut self, prefix: Prefix, from: Option<Prefix>, value: V) -> Option<V> {
        let Some(from) = from else { return self.all.set(prefix, value) };
        if let Some(table) = self.scopes.get_exact_mut(from) {
            return table.set(prefix, value);
        }
        let mut table = Lpm::default();
        table.set(prefix, value);
        self.scopes.set(from, table);
        None
    }

    /// Forgets these prefixes; gives the value they had.
    pub(crate) fn clear(&mut self, prefix: Prefix, from: Option<Prefix>) -> Option<V> {
        let Some(from) = from else { return self.all.clear(prefix) };
        let table = self.scopes.get_exact_mut(from)?;
        let value = table.clear(prefix);
        if table.is_empty() {
            self.scopes.clear(from);
        }
        value
    }

    /// All values, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Found<'_, V>> {
        let scopes = self.scopes.iter().map(|(from, table)| (Some(from), table));
        std::iter::once((None, &self.all)).chain(scopes).flat_map(|(from, table)| {
            table.iter().map(move |(prefix, value)| Found { prefix, from, value })
        })
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len() + self.scopes.iter().map(|(_, table)| table.len()).sum::<usize>()
    }

    /// True when there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.scopes.is_empty()
    }

    fn table(&self, from: Option<Prefix>) -> Option<&Lpm<V>> {
        match from {
            None => Some(&self.all),
            Some(from) => self.scopes.get_exact(from),
        }
    }

    /// What `find` gives of the tables that hold for a source, that of every source first and that
    /// of the longest source-prefix last.
    fn matching<'a, I>(
        &'a self,
        source: IpAddr,
        find: impl Fn(&'a Lpm<V>) -> I + 'a,
    ) -> impl Iterator<Item = Found<'a, V>>
    where
        I: IntoIterator<Item = (Prefix, &'a V)>,
        V: 'a,
    {
        let scopes = self.scopes.covering(source).map(|(from, table)| (Some(from), table));
        std::iter::once((None, &self.all)).chain(scopes).flat_map(move |(from, table)| {
            find(table).into_iter().map(move |(prefix, value)| Found { prefix, from, value })
        })
    }
}
