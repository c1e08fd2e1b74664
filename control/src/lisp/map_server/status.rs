//! What the Map-Server says of itself to people and programs. Registrations come as an iterator:
//! there may be a million.

use std::net::IpAddr;

use serde::Serialize;
use weft_packet::addr::{EidPrefix, InstanceId};

use super::MapServer;
use super::database::{MappingId, RegistrationId};
use super::site::Holding;
use super::wheel::Second;
use crate::engine::Instant;
use crate::lisp::status::LocatorStatus;

/// How much was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counters {
    /// Map-Registers that came in.
    pub map_registers: u64,
    /// Times an EID-prefix was registered or its answer changed.
    pub changes: u64,
    /// Registrations that were not renewed in time.
    pub expired: u64,
    /// Map-Notifies sent, retransmissions apart.
    pub map_notifies: u64,
    /// Unsolicited Map-Notifies sent again.
    pub map_notify_retransmissions: u64,
    /// Map-Notify-Acks for unsolicited Map-Notifies.
    pub map_notify_acks: u64,
    /// Map-Requests that came in.
    pub map_requests: u64,
    /// Map-Replies with locators.
    pub map_replies: u64,
    /// Negative Map-Replies.
    pub negative_replies: u64,
    /// Map-Requests passed on to an ETR.
    pub forwarded: u64,
}

/// The Map-Server as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MapServerStatus {
    /// Configured sites' EID-prefixes.
    pub eid_prefixes: usize,
    /// EID-prefixes registered.
    pub mappings: usize,
    /// Registrations: one for each EID-prefix and xTR.
    pub registrations: usize,
    /// Distinct locator-sets.
    pub locator_sets: usize,
    /// xTRs known.
    pub xtrs: usize,
    /// Unsolicited Map-Notifies not acknowledged yet.
    pub outstanding_notifies: usize,
    /// Since the start.
    pub counters: Counters,
    /// Refusals by reason, only those seen.
    pub refused: Vec<(&'static str, u64)>,
}

/// An EID-prefix of a site.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HoldingStatus {
    /// The site.
    pub site: String,
    /// What it may register.
    pub eid_prefix: String,
    /// Exactly this prefix is registered.
    pub registered: bool,
    /// More specific ones that are.
    pub more_specifics: usize,
    /// What is answered.
    pub locators: Vec<LocatorStatus>,
    /// Seconds since the last renewal, of a registration that stands or stood.
    pub last: Option<f64>,
    /// Who renewed it.
    pub by: Option<String>,
    /// `expired` or `withdrawn`, while there is no registration but there was.
    pub lost: Option<&'static str>,
    /// Seconds since it was lost.
    pub lost_ago: Option<f64>,
}

/// An EID-prefix that is registered.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MappingStatus {
    /// Which.
    pub eid_prefix: String,
    /// Whose.
    pub site: String,
    /// Seconds it may be cached; `None`: the receiver decides.
    pub record_ttl: Option<f64>,
    /// The Map-Server answers itself.
    pub proxy_reply: bool,
    /// What is answered.
    pub locators: Vec<LocatorStatus>,
    /// By xTR, the latest change first.
    pub registrations: Vec<RegistrationStatus>,
}

/// What one xTR registered for an EID-prefix.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RegistrationStatus {
    /// xTR-ID and Site-ID, or the address of an xTR that sends none.
    pub xtr: String,
    /// Where its last Map-Register came from.
    pub from: String,
    /// Seconds since it was renewed.
    pub last: f64,
    /// Seconds until it ends if it is not renewed.
    pub expires: f64,
    /// It wants its locators merged with others'.
    pub merge: bool,
    /// Its locators.
    pub locators: Vec<LocatorStatus>,
}

/// A mapping of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StaticStatus {
    /// Which.
    pub eid_prefix: String,
    /// Where.
    pub locators: Vec<LocatorStatus>,
}

/// Which mappings to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationFilter {
    /// Only of this instance.
    pub instance: Option<InstanceId>,
    /// Only inside this prefix.
    pub within: Option<EidPrefix>,
    /// Only of the site with this name.
    pub site: Option<String>,
    /// Only behind this one in order: the last of the page before.
    pub after: Option<EidPrefix>,
}

impl MapServer {
    /// Totals and counters.
    pub fn status(&self) -> MapServerStatus {
        let (mappings, registrations, locator_sets) = self.database.len();
        MapServerStatus {
            eid_prefixes: self.sites.holdings().count(),
            mappings,
            registrations,
            locator_sets,
            xtrs: self.xtrs.len(),
            outstanding_notifies: self.notifier.outstanding(),
            counters: self.counters,
            refused: self.refused.counts().map(|(reason, n)| (reason.word(), n)).collect(),
        }
    }

    /// The sites' EID-prefixes, site by site as configured; only one site's when it is named.
    pub fn sites<'a>(
        &'a self,
        now: Instant,
        named: Option<&'a str>,
    ) -> impl Iterator<Item = HoldingStatus> + 'a {
        self.sites
            .holdings()
            .filter(move |holding| {
                let site = self.sites.site(holding.site);
                named.is_none_or(|name| site.config.name == name)
            })
            .map(move |holding| self.holding_status(now, holding))
    }

    /// Registered EID-prefixes in order: by instance, IPv4 first. Take as many as fit a page; the
    /// next starts with [`RegistrationFilter::after`] the last one.
    pub fn mappings<'a>(
        &'a self,
        now: Instant,
        filter: &'a RegistrationFilter,
    ) -> impl Iterator<Item = MappingStatus> + 'a {
        self.listed(filter).map(move |id| self.mapping_status(now, id))
    }

    /// The mapping that answers for `eid`, if one is registered.
    pub fn mapping(&self, now: Instant, eid: EidPrefix) -> Option<MappingStatus> {
        self.database.longest(eid).map(|(_, id)| self.mapping_status(now, id))
    }

    /// The mappings of the configuration.
    pub fn static_mappings(&self) -> impl Iterator<Item = StaticStatus> {
        self.statics.iter().map(|(eid, record)| StaticStatus {
            eid_prefix: eid.to_string(),
            locators: LocatorStatus::all(&record.locators),
        })
    }

    fn listed<'a>(
        &'a self,
        filter: &'a RegistrationFilter,
    ) -> impl Iterator<Item = MappingId> + 'a {
        let page = self.database.index().page(filter.instance, filter.within, filter.after);
        page.map(|(_, id)| *id).filter(move |id| {
            let site = self.sites.of(self.database.mapping(*id).holding);
            filter.site.as_ref().is_none_or(|name| *name == site.config.name)
        })
    }

    fn holding_status(&self, now: Instant, holding: &Holding) -> HoldingStatus {
        let exact = self.database.find(holding.eid);
        let latest = exact.and_then(|id| self.latest(id));
        let stood = latest.map(|id| {
            let xtr = self.database.registration(id).xtr;
            (self.last_renewal(id), self.xtrs.get(xtr).from.ip())
        });
        let lost = holding.lost.filter(|_| exact.is_none());
        let last = stood.or(lost.map(|lost| (lost.last, lost.by)));
        HoldingStatus {
            site: self.sites.site(holding.site).config.name.clone(),
            eid_prefix: holding.eid.to_string(),
            registered: exact.is_some(),
            more_specifics: holding.mappings - usize::from(exact.is_some()),
            locators: exact
                .map_or_else(Vec::new, |id| LocatorStatus::all(&self.database.answer(id).locators)),
            last: last.map(|(last, _)| now.since(last).as_secs_f64()),
            by: last.map(|(_, by): (Instant, IpAddr)| by.to_string()),
            lost: lost.map(|lost| lost.what),
            lost_ago: lost.map(|lost| now.since(lost.at).as_secs_f64()),
        }
    }

    /// The registration of a mapping that was renewed last.
    fn latest(&self, id: MappingId) -> Option<RegistrationId> {
        self.database.registrations(id).max_by_key(|id| self.last_renewal(*id))
    }

    fn mapping_status(&self, now: Instant, id: MappingId) -> MappingStatus {
        let mapping = self.database.mapping(id);
        let answer = self.database.answer(id);
        MappingStatus {
            eid_prefix: mapping.eid.to_string(),
            site: self.sites.of(mapping.holding).config.name.clone(),
            record_ttl: answer.ttl.duration().map(|ttl| ttl.as_secs_f64()),
            proxy_reply: self.proxies(id),
            locators: LocatorStatus::all(&answer.locators),
            registrations: self
                .database
                .registrations(id)
                .map(|id| self.registration_status(now, id))
                .collect(),
        }
    }

    fn registration_status(&self, now: Instant, id: RegistrationId) -> RegistrationStatus {
        let registration = self.database.registration(id);
        let content = self.database.content(id);
        let xtr = self.xtrs.get(registration.xtr);
        RegistrationStatus {
            xtr: xtr.identity.to_string(),
            from: xtr.from.to_string(),
            last: now.since(self.last_renewal(id)).as_secs_f64(),
            expires: Second::instant(registration.deadline).since(now).as_secs_f64(),
            merge: content.flags.merge,
            locators: LocatorStatus::all(&content.locators),
        }
    }
}
