//! What every source said about every key. The best source's word is published; when it is
//! silent again the next one's is.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use weft_packet::addr::InstanceId;

use crate::counters::Usage;
use crate::scoped::Scoped;
use crate::{EidKey, Route, Source};

/// Everything said, by instance and key.
#[derive(Default)]
pub(crate) struct Sources {
    instances: HashMap<InstanceId, Scoped<Said>, RandomState>,
}

/// What was said about one key, at least one word.
#[derive(Clone)]
pub(crate) struct Said {
    /// In the order of sources; the first wins.
    words: SmallVec<[Word; 1]>,
    /// Counts whoever wins.
    pub(crate) usage: Arc<Usage>,
}

/// What one source said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) source: Source,
    pub(crate) route: Route,
}

/// What became of the published answer for a key.
pub(crate) enum Outcome {
    /// It stays.
    Same,
    /// It is this now.
    Now(Route, Arc<Usage>),
    /// There is none any more.
    Gone,
}

impl Said {
    /// The words in the order of their sources. The first is the published one.
    pub(crate) fn words(&self) -> &[Word] {
        &self.words
    }

    fn winner(&self) -> Option<Route> {
        self.words.first().map(|word| word.route)
    }
}

impl Sources {
    /// Notes what a source says.
    pub(crate) fn set(&mut self, key: EidKey, source: Source, route: Route) -> Outcome {
        let table = self.instances.entry(key.eid.instance).or_default();
        let word = Word { source, route };
        let Some(said) = table.get_exact_mut(key.eid.prefix, key.from) else {
            let usage = Arc::new(Usage::default());
            let words = SmallVec::from_buf([word]);
            table.set(key.eid.prefix, key.from, Said { words, usage: usage.clone() });
            return Outcome::Now(route, usage);
        };
        let before = said.winner();
        match said.words.binary_search_by_key(&source, |word| word.source) {
            Ok(at) => said.words[at] = word,
            Err(at) => said.words.insert(at, word),
        }
        said.outcome(before)
    }

    /// Notes that a source says nothing any more.
    pub(crate) fn clear(&mut self, key: EidKey, source: Source) -> Outcome {
        let Some(table) = self.instances.get_mut(&key.eid.instance) else { return Outcome::Same };
        let Some(said) = table.get_exact_mut(key.eid.prefix, key.from) else {
            return Outcome::Same;
        };
        let before = said.winner();
        said.words.retain(|word| word.source != source);
        let outcome = said.outcome(before);
        if matches!(outcome, Outcome::Gone) {
            table.clear(key.eid.prefix, key.from);
            if table.is_empty() {
                self.instances.remove(&key.eid.instance);
            }
        }
        outcome
    }

    /// What was said about exactly this key.
    pub(crate) fn get(&self, key: EidKey) -> Option<&Said> {
        self.instances.get(&key.eid.instance)?.get_exact(key.eid.prefix, key.from)
    }

    /// What was said in an instance.
    pub(crate) fn instance(&self, instance: InstanceId) -> Option<&Scoped<Said>> {
        self.instances.get(&instance)
    }

    /// Everything said, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (EidKey, &Said)> {
        self.instances.iter().flat_map(|(&instance, table)| {
            table.iter().map(move |found| (found.key(instance), found.value))
        })
    }

    /// How many keys something was said about.
    pub(crate) fn len(&self) -> usize {
        self.instances.values().map(Scoped::len).sum()
    }
}

impl Said {
    fn outcome(&self, before: Option<Route>) -> Outcome {
        match self.winner() {
            None => Outcome::Gone,
            now if now == before => Outcome::Same,
            Some(route) => Outcome::Now(route, self.usage.clone()),
        }
    }
}
