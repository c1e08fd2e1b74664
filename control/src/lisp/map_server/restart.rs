//! What changes without a message: a restart, another configuration, the end.

use weft_packet::addr::EidPrefix;
use weft_packet::wire::Wire;

use super::MapServer;
use super::content::Content;
use super::database::{New, RegistrationId};
use super::replay::Window;
use super::saved::{self, SavedNonce, SavedRegistration};
use super::site::{Holding, Sites};
use super::statics::statics;
use super::wheel::Second;
use crate::engine::{Actions, Instant, Stored};
use crate::lisp::config;

impl MapServer {
    /// Takes up what an earlier life stored; what is not configured any more is forgotten.
    /// Everything gets one registration timeout to be renewed.
    pub(super) fn restore(&mut self, now: Instant, stored: &Stored, out: &mut Actions) {
        let mut keys: Vec<_> = stored.keys().collect();
        keys.sort_unstable();
        for key in keys {
            let Some(value) = stored.get(key) else { continue };
            let kept = if key.starts_with(saved::REGISTRATIONS) {
                SavedRegistration::from_bytes(value)
                    .is_ok_and(|registration| self.restore_registration(now, &registration))
            } else if key.starts_with(saved::NONCES) {
                SavedNonce::from_bytes(value).is_ok_and(|nonce| self.restore_nonce(now, &nonce))
            } else {
                continue;
            };
            if !kept {
                out.store(key.clone(), None);
            }
        }
    }

    fn restore_registration(&mut self, now: Instant, saved: &SavedRegistration) -> bool {
        let SavedRegistration { identity, from, to, signer, flags, ref record, .. } = *saved;
        let Some((eid, holding)) =
            record.eid.prefix().and_then(|eid| Some((eid, self.sites.find(eid)?)))
        else {
            return false;
        };
        let content = Content::new(record, flags, record.locators.iter().cloned());
        if !may_stand(&self.sites, eid, &content) {
            return false;
        }
        let site = self.sites.holding(holding).site;
        let known = self.xtrs.find(site, identity);
        let xtr = known.unwrap_or_else(|| {
            self.sites.site_mut(site).xtrs += 1;
            self.xtrs.add(site, identity, from, to, signer)
        });
        self.xtrs.get_mut(xtr).wants_notify |= saved.wants_notify;
        let deadline = Second::behind(now + content.lifetime(self.config.registration_timeout));
        let site_merges = self.sites.of(holding).config.merge;
        let first = self.database.find(eid).is_none();
        let new = New { eid, holding, xtr, content, deadline, site_merges };
        let Ok(put) = self.database.put(new) else {
            self.forget_idle(xtr);
            return false;
        };
        self.xtrs.get_mut(xtr).registrations += 1;
        for other in put.replaced {
            self.let_go(other);
        }
        if first {
            self.count_registered(holding, eid);
        }
        true
    }

    fn restore_nonce(&mut self, now: Instant, saved: &SavedNonce) -> bool {
        let Some(site) = self.sites.named(&saved.site) else { return false };
        let key = self.sites.site(site).key(saved.key_id);
        if key.map(saved::fingerprint) != Some(saved.fingerprint)
            || self.sites.site(site).config.replay == config::Replay::Off
        {
            return false;
        }
        let xtr = self.xtrs.find(site, saved.identity).unwrap_or_else(|| {
            self.sites.site_mut(site).xtrs += 1;
            self.xtrs.add_unheard(site, saved.identity, saved.key_id)
        });
        *self.xtrs.get_mut(xtr).window(saved.key_id) = Window::stored(saved.mark, now);
        true
    }

    /// Goes on under another configuration. Registrations it does not allow end; nonces used with
    /// keys that changed are forgotten.
    pub fn reconfigure(&mut self, now: Instant, config: config::MapServer, out: &mut Actions) {
        if config == self.config {
            return;
        }
        let sites = Sites::new(&config.sites);
        self.end_disallowed(now, &sites, out);
        self.forget_changed_keys(&sites, out);
        self.move_to(sites);
        self.statics = statics(&config.static_mappings, &self.local);
        self.config = config;
    }

    /// Ends registrations that `sites` would not take, or whose xTR's site is gone.
    fn end_disallowed(&mut self, now: Instant, sites: &Sites, out: &mut Actions) {
        let ending: Vec<RegistrationId> = self
            .database
            .all()
            .filter(|id| {
                let registration = self.database.registration(*id);
                let eid = self.database.mapping(registration.mapping).eid;
                let from = self.sites.site(self.xtrs.get(registration.xtr).site);
                sites.named(&from.config.name).is_none()
                    || !may_stand(sites, eid, self.database.content(*id))
            })
            .collect();
        for id in ending {
            self.take_away(now, id, "withdrawn", out);
        }
    }

    fn forget_changed_keys(&mut self, sites: &Sites, out: &mut Actions) {
        for index in self.xtrs.indices() {
            let xtr = self.xtrs.get(index);
            let before = self.sites.site(xtr.site);
            let after = sites.named(&before.config.name).map(|site| sites.site(site));
            let kept = |key_id| {
                after.is_some_and(|after| {
                    after.key(key_id).is_some_and(|key| before.key(key_id) == Some(key))
                        && after.config.replay != config::Replay::Off
                })
            };
            let windows: Vec<_> = xtr.windows().map(|(key_id, _)| key_id).collect();
            let ended: Vec<_> = windows.into_iter().filter(|key_id| !kept(*key_id)).collect();
            let gone = after.is_none();
            for key_id in ended {
                if self.xtrs.get_mut(index).forget_window(key_id) {
                    self.store_mark(index, key_id, None, out);
                }
            }
            if gone {
                self.notifier.forget(index);
                self.xtrs.remove(index);
            } else {
                self.forget_idle(index);
            }
        }
    }

    /// Has everything that stays count under its new site and holding.
    fn move_to(&mut self, mut sites: Sites) {
        let before = std::mem::take(&mut self.sites);
        self.xtrs.move_sites(|site| sites.named(&before.site(site).config.name));
        for index in self.xtrs.indices() {
            sites.site_mut(self.xtrs.get(index).site).xtrs += 1;
        }
        for Holding { eid, lost, .. } in before.holdings() {
            if let Some(id) = sites.find(*eid)
                && sites.holding(id).eid == *eid
            {
                sites.holding_mut(id).lost = *lost;
            }
        }
        self.sites = sites;
        for (eid, holding) in self.database.rehold(|eid| self.sites.find(eid)) {
            self.count_registered(holding, eid);
        }
    }

    /// Leaves exact marks behind, so that no xTR is refused after an orderly restart.
    pub fn shutdown(&mut self, out: &mut Actions) {
        for index in self.xtrs.indices() {
            let marks: Vec<_> = self
                .xtrs
                .get(index)
                .windows()
                .filter_map(|(key_id, window)| Some((key_id, window.exact()?)))
                .collect();
            for (key_id, mark) in marks {
                self.store_mark(index, key_id, Some(mark), out);
            }
        }
    }
}

/// True when `sites` would take a registration of this content.
fn may_stand(sites: &Sites, eid: EidPrefix, content: &Content) -> bool {
    let Some(id) = sites.find(eid) else { return false };
    let site = sites.of(id);
    let specific = sites.holding(id).eid == eid || site.config.accept_more_specifics;
    let rlocs = content.locators.iter().filter_map(|locator| locator.address.ip());
    specific && rlocs.into_iter().all(|rloc| site.allows_rloc(rloc))
}
