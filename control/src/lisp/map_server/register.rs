//! Taking Map-Registers (RFC 9301 §5.6, §8.2).

use std::net::IpAddr;

use smallvec::SmallVec;
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::{
    Algorithm, Locator, MapNotify, MapRegister, MappingRecord, NotifyKind, Ttl,
};
use weft_packet::wire::Wire;

use super::content::{Content, Flags, MAX_LOCATORS};
use super::database::{Change, Conflict, MappingId, New, Put, RegistrationId};
use super::replay::Verdict;
use super::saved::{self, SavedNonce, SavedRegistration};
use super::site::{HoldingId, Site, SiteIndex};
use super::wheel::Second;
use super::xtr::{Identity, Signer, XtrIndex};
use super::{MapServer, Refusing, joined};
use crate::engine::{Actions, Datagram, Instant};
use crate::lisp::event::{Direction, Event, Refusal};
use crate::lisp::rloc::routable;

/// Who vouches for a Map-Register, once its MAC is verified.
#[derive(Clone, Copy, Debug)]
struct Sender {
    xtr: XtrIndex,
    site: SiteIndex,
    address: IpAddr,
    key_id: u8,
    algorithm: Algorithm,
    flags: Flags,
}

impl MapServer {
    /// Takes a Map-Register; `datagram` holds the octets its MAC covers. Records that are refused
    /// are missing from the Map-Notify; with none left there is no Map-Notify.
    pub fn register(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        message: MapRegister,
        out: &mut Actions,
    ) {
        self.counters.map_registers += 1;
        let first = message.records.first().and_then(|record| record.eid.prefix());
        self.traced(Direction::In, KIND, datagram.from, first, || describe(&message), out);
        let sender = match self.verify(now, datagram, &message, out) {
            Ok(sender) => sender,
            Err(refusing) => return self.refuse(now, KIND, datagram.from, refusing, out),
        };
        // Held while its message is worked on, even if that withdraws all it has.
        self.xtrs.get_mut(sender.xtr).registrations += 1;
        let mut taken = SmallVec::<[bool; 16]>::new();
        let mut changed = Vec::new();
        for record in &message.records {
            let result = self.take_record(now, &sender, record, &mut changed, out);
            taken.push(result.is_ok());
            if let Err(refusing) = result {
                self.refuse(now, KIND, datagram.from, refusing, out);
            }
        }
        if message.want_notify && taken.contains(&true) {
            self.acknowledge(datagram, sender, message, &taken, out);
        }
        for eid in changed {
            self.announce(now, eid, out);
        }
        self.let_go(sender.xtr);
    }

    /// Checks what concerns the whole message: site, algorithm and key, MAC, replay.
    fn verify(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        message: &MapRegister,
        out: &mut Actions,
    ) -> Result<Sender, Refusing> {
        let (eid, index) = self.site_of(message)?;
        let site = self.sites.site(index);
        let signer = Signer::of(&message.authentication);
        let refusing = |reason| {
            let detail = format!("{} key-id {}", site.config.name, signer.key_id);
            Refusing::new(reason, Some(eid), detail)
        };
        if !site.config.algorithms.contains(&signer.algorithm) {
            return Err(refusing(Refusal::Algorithm));
        }
        let key = site.key(signer.key_id).ok_or_else(|| refusing(Refusal::UnknownKey))?;
        let verified = match signer.algorithm {
            Algorithm::None => Ok(()),
            _ => auth::verify(datagram.bytes, Purpose::MapRegister, key),
        };
        verified.map_err(|error| {
            refusing(match error {
                auth::Error::Mismatch => Refusal::WrongKey,
                auth::Error::Algorithm(_) => Refusal::Algorithm,
                auth::Error::Length | auth::Error::Truncated => Refusal::Malformed,
            })
        })?;
        let xtr = self.recognise(index, signer, datagram, message)?;
        self.check_replay(now, xtr, message, eid, out)?;
        let sending = self.xtrs.get_mut(xtr);
        (sending.from, sending.to, sending.signer) = (datagram.from, datagram.to, signer);
        sending.wants_notify |= message.want_notify;
        Ok(Sender {
            xtr,
            site: index,
            address: datagram.from.ip(),
            key_id: signer.key_id,
            algorithm: signer.algorithm,
            flags: Flags::of(message),
        })
    }

    /// The site of the first record that has one: its keys must have been used.
    fn site_of(&self, message: &MapRegister) -> Result<(EidPrefix, SiteIndex), Refusing> {
        let mut first = None;
        for eid in message.records.iter().filter_map(|record| record.eid.prefix()) {
            if let Some(holding) = self.sites.find(eid) {
                return Ok((eid, self.sites.holding(holding).site));
            }
            first = first.or(Some(eid));
        }
        Err(match first {
            Some(eid) => Refusing::new(Refusal::UnknownSite, Some(eid), ""),
            None if message.records.is_empty() => {
                Refusing::new(Refusal::Inconsistent, None, "no records")
            }
            None => Refusing::new(Refusal::UnsupportedEid, None, ""),
        })
    }

    /// The xTR that sent an authentic message.
    fn recognise(
        &mut self,
        index: SiteIndex,
        signer: Signer,
        datagram: Datagram<'_>,
        message: &MapRegister,
    ) -> Result<XtrIndex, Refusing> {
        let identity = match message.xtr {
            Some((xtr, site)) => Identity::Named(xtr, site),
            None => Identity::Address(datagram.from.ip()),
        };
        if let Some(known) = self.xtrs.find(index, identity) {
            return Ok(known);
        }
        let site = self.sites.site_mut(index);
        if site.xtrs >= site.config.max_mappings.saturating_add(SPARE_XTRS) {
            let detail = format!("{}: too many xTRs", site.config.name);
            return Err(Refusing::new(Refusal::Full, None, detail));
        }
        site.xtrs += 1;
        Ok(self.xtrs.add(index, identity, datagram.from, datagram.to, signer))
    }

    fn check_replay(
        &mut self,
        now: Instant,
        index: XtrIndex,
        message: &MapRegister,
        eid: EidPrefix,
        out: &mut Actions,
    ) -> Result<(), Refusing> {
        let xtr = self.xtrs.get_mut(index);
        let site = self.sites.site(xtr.site);
        let key_id = message.authentication.key_id;
        let window = xtr.window(key_id);
        let (policy, nonce) = (site.config.replay, message.nonce);
        match window.check(policy, message.xtr.is_some(), nonce.0, now) {
            Verdict::Fresh => Ok(()),
            Verdict::FreshOnceStored(mark) => {
                if window.unsettled() {
                    self.xtrs.settle_later(index, now);
                }
                self.store_mark(index, key_id, Some(mark), out);
                Ok(())
            }
            Verdict::Replayed => {
                let detail = format!("{} xTR {} nonce {nonce}", site.config.name, xtr.identity);
                self.forget_idle(index);
                Err(Refusing::new(Refusal::Replayed, Some(eid), detail))
            }
        }
    }

    /// Has the mark below which no nonce of an xTR is taken stored, or forgotten.
    pub(super) fn store_mark(
        &self,
        xtr: XtrIndex,
        key_id: u8,
        mark: Option<u64>,
        out: &mut Actions,
    ) {
        let xtr = self.xtrs.get(xtr);
        let site = self.sites.site(xtr.site);
        let value = mark.zip(site.key(key_id)).map(|(mark, key)| {
            let (site, identity) = (site.config.name.clone(), xtr.identity);
            SavedNonce { site, identity, key_id, fingerprint: saved::fingerprint(key), mark }
                .to_bytes()
        });
        out.store(saved::nonce_key(&site.config.name, key_id, xtr.identity), value);
    }

    /// Takes one record of an authentic message.
    fn take_record(
        &mut self,
        now: Instant,
        sender: &Sender,
        record: &MappingRecord,
        changed: &mut Vec<EidPrefix>,
        out: &mut Actions,
    ) -> Result<(), Refusing> {
        let (eid, holding) = self.may_register(sender, record)?;
        let mapping = self.database.find(eid);
        if record.ttl == Ttl::REMOVE {
            self.withdraw(now, mapping, sender.xtr, out);
            return Ok(());
        }
        let mine = mapping.and_then(|mapping| self.database.of_xtr(mapping, sender.xtr));
        let site = self.sites.of(holding);
        let standing = mine.filter(|mine| self.database.stands(*mine, site.config.merge));
        if let Some(mine) = standing
            && self.database.content(mine).repeats(record, sender.flags)
        {
            self.renew(now, mine);
            return Ok(());
        }
        if mapping.is_none() && site.mappings >= site.config.max_mappings {
            let detail = format!("{} holds {}", site.config.name, site.mappings);
            return Err(Refusing::new(Refusal::TooManyMappings, Some(eid), detail));
        }
        let locators = accepted_locators(site, sender.address, eid, record)?;
        let content = Content::new(record, sender.flags, locators.into_iter().cloned());
        if let Some(mine) = standing
            && *self.database.content(mine) == content
        {
            self.renew(now, mine);
            return Ok(());
        }
        if self.enter(now, sender, eid, holding, content, out)? == Change::Changed {
            changed.push(eid);
        }
        Ok(())
    }

    /// What the xTR says has not changed: only memory is touched.
    fn renew(&mut self, now: Instant, mine: RegistrationId) {
        let lifetime = self.database.content(mine).lifetime(self.config.registration_timeout);
        self.database.renew(mine, Second::behind(now + lifetime));
    }

    /// The EID-prefix of a record and where the site holds it, if the sender may register it.
    fn may_register(
        &self,
        sender: &Sender,
        record: &MappingRecord,
    ) -> Result<(EidPrefix, HoldingId), Refusing> {
        let eid = record.eid.prefix().ok_or_else(|| {
            Refusing::new(Refusal::UnsupportedEid, None, format!("{:?}", record.eid))
        })?;
        let id = self
            .sites
            .find(eid)
            .ok_or_else(|| Refusing::new(Refusal::UnknownSite, Some(eid), ""))?;
        let holding = self.sites.holding(id);
        let site = self.sites.of(id);
        let refusing = |reason| Refusing::new(reason, Some(eid), site.config.name.clone());
        if holding.site != sender.site {
            let key = self.sites.site(sender.site).key(sender.key_id);
            if site.key(sender.key_id) != key {
                return Err(refusing(Refusal::WrongKey));
            }
            if !site.config.algorithms.contains(&sender.algorithm) {
                return Err(refusing(Refusal::Algorithm));
            }
        }
        if eid != holding.eid && !site.config.accept_more_specifics {
            return Err(refusing(Refusal::MoreSpecific));
        }
        Ok((eid, id))
    }

    /// Enters what is new or different.
    fn enter(
        &mut self,
        now: Instant,
        sender: &Sender,
        eid: EidPrefix,
        holding: HoldingId,
        content: Content,
        out: &mut Actions,
    ) -> Result<Change, Refusing> {
        let site = self.sites.of(holding);
        let (site_merges, name) = (site.config.merge, site.config.name.clone());
        let deadline = Second::behind(now + content.lifetime(self.config.registration_timeout));
        let fresh = self
            .database
            .find(eid)
            .and_then(|mapping| self.database.of_xtr(mapping, sender.xtr))
            .is_none();
        let xtr = self.xtrs.get(sender.xtr);
        let value = SavedRegistration::new(xtr, eid, &content).to_bytes();
        let key = saved::registration_key(eid, xtr.identity);
        let new = New { eid, holding, xtr: sender.xtr, content, deadline, site_merges };
        let Put { change, replaced } = self.database.put(new).map_err(|conflict| {
            let (reason, why) = match conflict {
                Conflict::Merging => (Refusal::Inconsistent, "some xTRs merge, others do not"),
                Conflict::TooMany => (Refusal::Full, "too many xTRs"),
            };
            Refusing::new(reason, Some(eid), format!("{name}: {why}"))
        })?;
        out.store(key, Some(value));
        if fresh {
            self.xtrs.get_mut(sender.xtr).registrations += 1;
        }
        for other in replaced {
            out.store(saved::registration_key(eid, self.xtrs.get(other).identity), None);
            self.let_go(other);
        }
        if change == Change::Registered {
            self.count_registered(holding, eid);
        }
        let what = match change {
            Change::Registered => "registered",
            Change::Changed => "changed",
            Change::Same | Change::Gone => return Ok(change),
        };
        self.counters.changes += 1;
        let by = Some(sender.address);
        out.notify(Event::SiteChanged { site: name, eid, what, by });
        Ok(change)
    }

    pub(super) fn count_registered(&mut self, id: HoldingId, eid: EidPrefix) {
        let holding = self.sites.holding_mut(id);
        holding.mappings += 1;
        if holding.eid == eid {
            holding.lost = None;
        }
        let site = holding.site;
        self.sites.site_mut(site).mappings += 1;
    }

    /// Takes away what the xTR registered; what others did stays.
    fn withdraw(
        &mut self,
        now: Instant,
        mapping: Option<MappingId>,
        xtr: XtrIndex,
        out: &mut Actions,
    ) {
        let mine = mapping.and_then(|mapping| self.database.of_xtr(mapping, xtr));
        if let Some(mine) = mine {
            self.take_away(now, mine, "withdrawn", out);
        }
    }

    /// Answers a Map-Register that wants it, with the records taken (RFC 9301 §5.7).
    fn acknowledge(
        &mut self,
        datagram: Datagram<'_>,
        sender: Sender,
        message: MapRegister,
        taken: &[bool],
        out: &mut Actions,
    ) {
        let Some(key) = self.sites.site(sender.site).key(sender.key_id) else { return };
        let signer = Signer::of(&message.authentication);
        let mut records = message.records;
        let mut taken = taken.iter();
        records.retain(|_| taken.next().is_some_and(|taken| *taken));
        let (nonce, xtr) = (message.nonce, message.xtr);
        let eid = records.first().and_then(|record| record.eid.prefix());
        let kind = NotifyKind::Notify;
        let notify =
            MapNotify { kind, nonce, authentication: message.authentication, records, xtr };
        let bytes = signer.sign(notify, key);
        self.counters.map_notifies += 1;
        let detail = || format!("nonce {nonce}");
        self.traced(Direction::Out, "map-notify", datagram.from, eid, detail, out);
        self.send(datagram.to, datagram.from, bytes, out);
    }
}

/// The locators of a record the site may register. What is no IP address is left out.
fn accepted_locators<'a>(
    site: &Site,
    sender: IpAddr,
    eid: EidPrefix,
    record: &'a MappingRecord,
) -> Result<Vec<&'a Locator>, Refusing> {
    let mut accepted = Vec::with_capacity(record.locators.len());
    for locator in &record.locators {
        let Some(rloc) = locator.address.ip() else { continue };
        if !routable(rloc, sender) || !site.allows_rloc(rloc) {
            let detail = format!("{}: {rloc}", site.config.name);
            return Err(Refusing::new(Refusal::RlocNotAllowed, Some(eid), detail));
        }
        accepted.push(locator);
    }
    if accepted.len() > MAX_LOCATORS {
        let detail = format!("{}: {} locators", site.config.name, accepted.len());
        return Err(Refusing::new(Refusal::Full, Some(eid), detail));
    }
    Ok(accepted)
}

fn describe(message: &MapRegister) -> String {
    let eids = message.records.iter().skip(1).filter_map(|record| record.eid.prefix());
    format!("nonce {} {} records {}", message.nonce, message.records.len(), joined(eids.take(3)))
}

const KIND: &str = "map-register";
/// xTRs a site may have besides one for each of its mappings.
const SPARE_XTRS: usize = 1024;
