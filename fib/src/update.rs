//! What becomes of the published tables, change by change: for data planes that keep tables of
//! their own, such as those in a kernel, instead of reading ours.
//!
//! [`Fib::watch`](crate::Fib::watch) switches the recording on; a table nobody watches records
//! nothing. Updates are in the order of publication, and one that a later update of the same
//! thing overtook may be left out.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::counters::{Peer, Usage};
use crate::{EidKey, Group, GroupId, Route};

/// A change of the published tables.
#[derive(Clone, Debug)]
pub enum Update {
    /// What holds for a key now. The group a route names may come later, or never.
    Route {
        /// What it matches.
        key: EidKey,
        /// What it says.
        route: Route,
        /// Counts what the entry carries; the same one as long as the key has an entry.
        usage: Arc<Usage>,
    },
    /// A key has no entry any more.
    RouteGone(EidKey),
    /// A path group as it is compiled now.
    Group(GroupId, Arc<Group>),
    /// A path group does not exist any more.
    GroupGone(GroupId),
    /// Our addresses that a remote locator may send to, and what counts its packets.
    Peers(IpAddr, Arc<[Peer]>),
    /// Packets of a remote locator are not counted any more.
    PeersGone(IpAddr),
}

/// What an update is about. A later one about the same overtakes it.
#[derive(PartialEq, Eq, Hash)]
enum Subject {
    Route(EidKey),
    Group(GroupId),
    Peers(IpAddr),
}

impl Update {
    fn subject(&self) -> Subject {
        match self {
            Self::Route { key, .. } | Self::RouteGone(key) => Subject::Route(*key),
            Self::Group(id, _) | Self::GroupGone(id) => Subject::Group(*id),
            Self::Peers(rloc, _) | Self::PeersGone(rloc) => Subject::Peers(*rloc),
        }
    }
}

/// The updates that wait for whoever watches.
#[derive(Default)]
pub(crate) struct Record {
    unpublished: Vec<Update>,
    published: Vec<Update>,
    /// How long `published` may become before overtaken updates are searched for.
    limit: usize,
}

impl Record {
    pub(crate) fn add(&mut self, update: Update) {
        self.unpublished.push(update);
    }

    /// Makes what was added ready to be taken. What waits longer than one publication is kept
    /// within twice what there is to tell.
    pub(crate) fn publish(&mut self) {
        if self.published.is_empty() {
            self.published = std::mem::take(&mut self.unpublished);
            self.limit = 2 * self.published.len().max(1024);
            return;
        }
        self.published.append(&mut self.unpublished);
        if self.published.len() > self.limit {
            self.forget_overtaken();
            self.limit = 2 * self.published.len().max(1024);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Update> {
        std::mem::take(&mut self.published)
    }

    fn forget_overtaken(&mut self) {
        let mut seen = HashSet::with_hasher(RandomState::default());
        self.published.reverse();
        self.published.retain(|update| seen.insert(update.subject()));
        self.published.reverse();
    }
}
