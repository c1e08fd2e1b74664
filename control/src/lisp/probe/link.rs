//! A local uplink in one address family, and how the prober follows what the kernel says of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use weft_fib::UplinkId;

use super::pair::Pair;
use super::{Prober, Timer};
use crate::engine::Instant;
use crate::lisp::local::Local;

/// New pairs are probed at once, but not more than so many RLOCs in one go...
const BURST: usize = 16;
/// ...and the next go comes after this.
const BURST_GAP: Duration = Duration::from_millis(25);

/// A local uplink with the address it has in one family, working as far as the kernel knows.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    /// The local RLOC.
    pub(super) local: IpAddr,
    /// Since when it is known not to work.
    pub(super) dead: Option<Instant>,
    /// For people, while it is dead.
    pub(super) why: String,
    /// When the last probe sent through it was answered.
    pub(super) last_answer: Option<Instant>,
    /// When others were last asked through it, to tell it from an RLOC that did not answer.
    pub(super) widened: Option<Instant>,
}

/// Names a [`Link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkId {
    pub(super) uplink: UplinkId,
    pub(super) ipv6: bool,
}

impl LinkId {
    /// The link towards `rloc` through `uplink`.
    pub(super) fn towards(rloc: IpAddr, uplink: UplinkId) -> Self {
        Self { uplink, ipv6: rloc.is_ipv6() }
    }
}

impl Link {
    fn new(id: LinkId, local: IpAddr) -> Self {
        Self { id, local, dead: None, why: String::new(), last_answer: None, widened: None }
    }
}

impl Prober {
    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    pub(super) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// Takes over the uplinks that work as far as the kernel knows. A new address is a new uplink.
    pub(super) fn follow(&mut self, now: Instant, local: &Local) {
        let mut wanted = BTreeMap::new();
        for uplink in local.uplinks().iter().filter(|uplink| uplink.up) {
            let id = LinkId { uplink: uplink.id, ipv6: uplink.rloc.is_ipv6() };
            wanted.entry(id).or_insert(uplink.rloc);
        }
        let gone = self.links.iter().filter(|link| wanted.get(&link.id) != Some(&link.local));
        for id in gone.map(|link| link.id).collect::<Vec<_>>() {
            self.remove_link(id);
        }
        for (id, local) in wanted {
            if self.link(id).is_none() {
                self.add_link(now, id, local);
            }
        }
    }

    fn remove_link(&mut self, id: LinkId) {
        let was_dead = self.link(id).is_some_and(|link| link.dead.is_some());
        self.uplinks_changed |= was_dead;
        self.links.retain(|link| link.id != id);
        for (&rloc, remote) in self.remotes.iter_mut().filter(|(r, _)| r.is_ipv6() == id.ipv6) {
            remote.pairs.retain(|pair| pair.uplink != id.uplink);
            self.timers.cancel(&Timer::Pair(rloc, id.uplink));
            self.unsettled.insert(rloc);
        }
        let others = self.links.iter().filter(|link| link.id.ipv6 == id.ipv6);
        self.unsettled_links.extend(others.map(|link| link.id));
    }

    fn add_link(&mut self, now: Instant, id: LinkId, local: IpAddr) {
        self.links.push(Link::new(id, local));
        let family = self.remotes.iter_mut().filter(|(rloc, _)| rloc.is_ipv6() == id.ipv6);
        for (n, (&rloc, remote)) in family.enumerate() {
            remote.pairs.push(Pair::new(id.uplink, local, None));
            remote.pairs.sort_by_key(|pair| pair.uplink);
            self.unsettled.insert(rloc);
            if self.timing.is_some() {
                let goes = u32::try_from(n / BURST).unwrap_or(u32::MAX);
                let at = now + BURST_GAP.saturating_mul(goes);
                self.timers.set_earlier(Timer::Round(rloc), at);
            }
        }
        self.links.sort_by_key(|link| link.id);
    }
}
