//! Who may register what: the configured sites, found by EID-prefix.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use weft_packet::addr::{EidPrefix, Prefix};

use crate::engine::Instant;
use crate::lisp::config;
use crate::lisp::eid_table::EidTable;

/// Names a site within one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SiteIndex(u32);

/// Names a configured EID-prefix of a site within one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HoldingId(u32);

/// The sites and their EID-prefixes.
#[derive(Debug, Default)]
pub(super) struct Sites {
    all: Vec<Site>,
    holdings: Vec<Holding>,
    names: HashMap<String, SiteIndex, FixedState>,
    index: EidTable<HoldingId>,
}

/// A site and how much it holds.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) config: config::Site,
    /// EID-prefixes registered.
    pub(super) mappings: usize,
    /// xTRs kept in mind.
    pub(super) xtrs: usize,
}

/// An EID-prefix a site may register.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) site: SiteIndex,
    pub(super) eid: EidPrefix,
    /// EID-prefixes registered in it, itself included.
    pub(super) mappings: usize,
    /// How its own registration ended, while there is no new one.
    pub(super) lost: Option<Lost>,
}

/// How a registration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) at: Instant,
    /// `expired` or `withdrawn`.
    pub(super) what: &'static str,
    /// When it had last been renewed.
    pub(super) last: Instant,
    pub(super) by: IpAddr,
}

impl Sites {
    /// Of a configuration. A prefix named twice belongs to the first site.
    pub(super) fn new(configured: &[config::Site]) -> Self {
        let mut sites = Self::default();
        for site in configured {
            let index = SiteIndex(small(sites.all.len()));
            sites.names.entry(site.name.clone()).or_insert(index);
            sites.all.push(Site { config: site.clone(), mappings: 0, xtrs: 0 });
            for &eid in &site.eid_prefixes {
                sites.hold(index, eid);
            }
        }
        sites
    }

    fn hold(&mut self, site: SiteIndex, eid: EidPrefix) {
        if self.index.get(eid).is_none() {
            self.index.insert(eid, HoldingId(small(self.holdings.len())));
            self.holdings.push(Holding { site, eid, mappings: 0, lost: None });
        }
    }

    pub(super) fn site(&self, index: SiteIndex) -> &Site {
        &self.all[index.0 as usize]
    }

    pub(super) fn site_mut(&mut self, index: SiteIndex) -> &mut Site {
        &mut self.all[index.0 as usize]
    }

    pub(super) fn holding(&self, id: HoldingId) -> &Holding {
        &self.holdings[id.0 as usize]
    }

    pub(super) fn holding_mut(&mut self, id: HoldingId) -> &mut Holding {
        &mut self.holdings[id.0 as usize]
    }

    /// The site a holding belongs to.
    pub(super) fn of(&self, id: HoldingId) -> &Site {
        self.site(self.holding(id).site)
    }

    /// The longest configured EID-prefix that covers `eid`.
    pub(super) fn find(&self, eid: EidPrefix) -> Option<HoldingId> {
        self.index.longest(eid).map(|(_, id)| *id)
    }

    /// The site called `name`.
    pub(super) fn named(&self, name: &str) -> Option<SiteIndex> {
        self.names.get(name).copied()
    }

    /// Where the configured EID-prefixes are held.
    pub(super) fn index(&self) -> &EidTable<HoldingId> {
        &self.index
    }

    /// The configured EID-prefixes, site by site.
    pub(super) fn holdings(&self) -> impl Iterator<Item = &Holding> {
        self.holdings.iter()
    }
}

impl Site {
    /// The key with this key-id.
    pub(super) fn key(&self, key_id: u8) -> Option<&[u8]> {
        self.config.keys.iter().find(|(id, _)| *id == key_id).map(|(_, key)| key.expose())
    }

    /// True when the site may register `rloc`.
    pub(super) fn allows_rloc(&self, rloc: IpAddr) -> bool {
        allows(&self.config.allowed_rlocs, rloc)
    }

    /// True when `itr` may ask for EIDs of the site.
    pub(super) fn allows_itr(&self, itr: IpAddr) -> bool {
        allows(&self.config.allowed_itrs, itr)
    }
}

/// An empty list allows everything.
fn allows(list: &[Prefix], address: IpAddr) -> bool {
    list.is_empty() || list.iter().any(|prefix| prefix.contains(address))
}

fn small(length: usize) -> u32 {
    u32::try_from(length).expect("a configuration has fewer than 2^32 entries")
}
