//! What every source said about every prefix. The best source's word is published; when it is
//! silent again the next one's is.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use weft_packet::addr::{EidPrefix, InstanceId};

use crate::counters::Usage;
use crate::{Lpm, Route, Source};

/// Everything said, by instance and prefix.
#[derive(Default)]
pub(crate) struct Sources {
    instances: HashMap<InstanceId, Lpm<Said>, RandomState>,
}

/// What was said about one prefix, at least one word.
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

/// What became of the published answer for a prefix.
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
    pub(crate) fn set(&mut self, eid: EidPrefix, source: Source, route: Route) -> Outcome {
        let table = self.instances.entry(eid.instance).or_default();
        let word = Word { source, route };
        let Some(said) = table.get_exact_mut(eid.prefix) else {
            let usage = Arc::new(Usage::default());
            let words = SmallVec::from_buf([word]);
            table.set(eid.prefix, Said { words, usage: usage.clone() });
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
    pub(crate) fn clear(&mut self, eid: EidPrefix, source: Source) -> Outcome {
        let Some(table) = self.instances.get_mut(&eid.instance) else { return Outcome::Same };
        let Some(said) = table.get_exact_mut(eid.prefix) else { return Outcome::Same };
        let before = said.winner();
        said.words.retain(|word| word.source != source);
        let outcome = said.outcome(before);
        if matches!(outcome, Outcome::Gone) {
            table.clear(eid.prefix);
            if table.is_empty() {
                self.instances.remove(&eid.instance);
            }
        }
        outcome
    }

    /// What was said about exactly this prefix.
    pub(crate) fn get(&self, eid: EidPrefix) -> Option<&Said> {
        self.instances.get(&eid.instance)?.get_exact(eid.prefix)
    }

    /// What was said in an instance.
    pub(crate) fn instance(&self, instance: InstanceId) -> Option<&Lpm<Said>> {
        self.instances.get(&instance)
    }

    /// Everything said, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (EidPrefix, &Said)> {
        self.instances.iter().flat_map(|(&instance, table)| {
            table.iter().map(move |(prefix, said)| (EidPrefix::new(instance, prefix), said))
        })
    }

    /// How many prefixes something was said about.
    pub(crate) fn len(&self) -> usize {
        self.instances.values().map(Lpm::len).sum()
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
