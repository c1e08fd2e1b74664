//! Runs of records that are written once and shared by all who need the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::RandomState;

use crate::ebpf::slab::Slab;

/// Runs by what is in them.
pub(super) struct Shared<K> {
    slab: Slab,
    known: HashMap<Arc<K>, Run, RandomState>,
}

struct Run {
    first: u32,
    users: u32,
}

/// A claim on a run; it has to be given back.
#[derive(Debug)]
pub(super) struct Claim<K> {
    pub(super) content: Arc<K>,
    /// The first record of the run.
    pub(super) first: u32,
}

impl<K: Hash + Eq> Default for Shared<K> {
    fn default() -> Self {
        Self { slab: Slab::endless(), known: HashMap::default() }
    }
}

impl<K: Hash + Eq> Shared<K> {
    /// A claim on the run of this content and number of records. True when the run is new, and
    /// has to be written before anybody is told of it.
    pub(super) fn claim(&mut self, content: K, length: usize) -> (Claim<K>, bool) {
        if let Some((content, _)) = self.known.get_key_value(&content) {
            let content = content.clone();
            let run = self.known.get_mut(&content).expect("it was found just now");
            run.users += 1;
            return (Claim { content, first: run.first }, false);
        }
        let content = Arc::new(content);
        let first = self.slab.take(length).unwrap_or(0);
        self.known.insert(content.clone(), Run { first, users: 1 });
        (Claim { content, first }, true)
    }

    /// Gives a claim back. True when it was the last one, with which the run ends.
    pub(super) fn give_back(&mut self, now: Instant, claim: &Claim<K>, length: usize) -> bool {
        let Some(run) = self.known.get_mut(&claim.content) else { return false };
        run.users -= 1;
        let ends = run.users == 0;
        if ends {
            self.slab.release(now, run.first, length);
            self.known.remove(&claim.content);
        }
        ends
    }

    /// The records it gives out.
    pub(super) fn slab(&self) -> &Slab {
        &self.slab
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.slab.wake(now);
    }
}
