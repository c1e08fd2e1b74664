//! What follows from the answers: which RLOC is down, which uplink is dead, and who is told.
//!
//! An uplink is dead when it carries nothing to any RLOC in use (a jury of them where there are
//! many) while one of them answers through another uplink. RLOCs are judged by the living uplinks
//! alone. With one uplink only, a dead uplink and dead RLOCs look the same; then it is the RLOCs
//! that are down, and the forwarding table makes the best of it.

use std::net::IpAddr;
use weft_fib::{Change, LocatorState};

use super::link::{Link, LinkId};
use super::pair::{Health, Pair};
use super::remote::Remote;
use super::rounds::JURY;
use super::status::State;
use super::{Prober, Timer};
use crate::engine::{Actions, Instant};
use crate::lisp::event::Event;

impl Prober {
    /// Judges anew what may have changed, and tells what did.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Actions) {
        for id in std::mem::take(&mut self.unsettled_links) {
            self.settle_link(now, id, out);
        }
        for rloc in std::mem::take(&mut self.unsettled) {
            self.settle_remote(now, rloc, out);
        }
    }

    /// Takes back everything said, as if nothing had been asked.
    pub(super) fn forget_verdicts(&mut self, now: Instant, out: &mut Actions) {
        self.timers = super::Timers::default();
        for link in &mut self.links {
            if link.dead.take().is_some() {
                self.uplinks_changed = true;
                out.notify(Event::UplinkUp { uplink: link.id.uplink, rloc: link.local });
            }
        }
        self.remotes.retain(|_, remote| remote.watched);
        for (&rloc, remote) in &mut self.remotes {
            publish(rloc, remote, LocatorState::default(), out);
            if remote.state == State::Down {
                out.notify(Event::RlocUp { rloc });
            }
            let links = self.links.iter().filter(|link| link.id.ipv6 == rloc.is_ipv6());
            let pairs = links.map(|link| Pair::new(link.id.uplink, link.local, None)).collect();
            *remote = Remote { pairs, ..Remote::new(now, remote.about) };
        }
    }

    fn settle_link(&mut self, now: Instant, id: LinkId, out: &mut Actions) {
        let Some(link) = self.link(id) else { return };
        if link.dead.is_some() {
            if self.may_live(id) {
                self.revive(id, out);
            }
        } else if let Some(why) = self.evidence_against(link) {
            self.bury(now, id, why, out);
        }
    }

    /// Why `link` does not work; `None` while it may.
    fn evidence_against(&self, link: &Link) -> Option<String> {
        let mut asked = 0;
        let mut all = true;
        let mut jury = 0;
        let mut elsewhere = None;
        for (rloc, remote, pair) in self.pairs_over(link.id) {
            asked += 1;
            let Health::Failed { since, answered: false, .. } = pair.health else {
                all = false;
                continue;
            };
            jury += usize::from(link.last_answer.is_none_or(|answer| answer <= since));
            elsewhere = elsewhere.or_else(|| self.answers_elsewhere(rloc, remote, link, since));
        }
        let (rloc, other) = elsewhere.filter(|_| all || jury >= JURY)?;
        let whom =
            if all { format!("any of {asked} RLOCs") } else { format!("{jury} RLOCs asked") };
        Some(format!("no answer to probes from {} by {whom}; {rloc} answers {other}", link.local))
    }

    /// The RLOC and the local address it answers to, though since `since` it does not through
    /// `link`.
    fn answers_elsewhere(
        &self,
        rloc: IpAddr,
        remote: &Remote,
        link: &Link,
        since: Instant,
    ) -> Option<(IpAddr, IpAddr)> {
        let others = remote.pairs.iter().filter(|pair| pair.uplink != link.id.uplink);
        let mut answering =
            others.filter(|pair| pair.health == Health::Up && pair.answered_after(since));
        answering.find(|pair| self.is_alive(rloc, pair)).map(|pair| (rloc, pair.local))
    }

    fn is_alive(&self, rloc: IpAddr, pair: &Pair) -> bool {
        let link = self.link(LinkId::towards(rloc, pair.uplink));
        link.is_some_and(|link| link.dead.is_none())
    }

    /// True when a dead link answers again, or cannot be told from dead RLOCs any more.
    fn may_live(&self, id: LinkId) -> bool {
        let mut living = self.links.iter().filter(|link| link.id.ipv6 == id.ipv6 && link.id != id);
        let mut pairs = self.pairs_over(id).peekable();
        living.all(|link| link.dead.is_some())
            || pairs.peek().is_none()
            || pairs.any(|(_, _, pair)| !pair.is_failed())
    }

    fn pairs_over(&self, id: LinkId) -> impl Iterator<Item = (IpAddr, &Remote, &Pair)> {
        self.remotes
            .iter()
            .filter(move |(rloc, _)| rloc.is_ipv6() == id.ipv6)
            .filter_map(move |(&rloc, remote)| Some((rloc, remote, remote.pair(id.uplink)?)))
    }

    /// The link is dead, and so are all its pairs.
    fn bury(&mut self, now: Instant, id: LinkId, why: String, out: &mut Actions) {
        let Some(link) = self.link_mut(id) else { return };
        link.dead = Some(now);
        link.why.clone_from(&why);
        out.notify(Event::UplinkDown { uplink: id.uplink, rloc: link.local, why });
        self.turn(id, Health::failed(now), |pair| !pair.is_failed());
    }

    /// The link works again; so do its pairs, until probes say otherwise.
    fn revive(&mut self, id: LinkId, out: &mut Actions) {
        let Some(link) = self.link_mut(id) else { return };
        link.dead = None;
        link.why.clear();
        out.notify(Event::UplinkUp { uplink: id.uplink, rloc: link.local });
        let answers = self.pairs_over(id).any(|(_, _, pair)| !pair.is_failed());
        self.turn(id, Health::Up, |pair| answers && pair.is_failed());
        let ipv6 = id.ipv6;
        let others_dead = self.links.iter().any(|l| l.id.ipv6 == ipv6 && l.dead.is_some());
        if !others_dead {
            self.drop_kept(ipv6);
        }
    }

    /// Sets the health of those pairs of a link that `which` names.
    fn turn(&mut self, id: LinkId, health: Health, which: impl Fn(&Pair) -> bool) {
        self.uplinks_changed = true;
        for (&rloc, remote) in self.remotes.iter_mut().filter(|(r, _)| r.is_ipv6() == id.ipv6) {
            self.unsettled.insert(rloc);
            if let Some(pair) = remote.pair_mut(id.uplink).filter(|pair| which(pair)) {
                pair.health = health;
                self.timers.cancel(&Timer::Pair(rloc, id.uplink));
            }
        }
    }

    fn settle_remote(&mut self, now: Instant, rloc: IpAddr, out: &mut Actions) {
        let Some(remote) = self.remotes.get_mut(&rloc).filter(|remote| remote.watched) else {
            return;
        };
        let links = self.links.iter().filter(|link| link.id.ipv6 == rloc.is_ipv6());
        let Some(judgement) = remote.judge(links) else { return };
        publish(rloc, remote, judgement.forwarding, out);
        let state = match remote.state {
            _ if judgement.down => State::Down,
            State::Down if !remote.confirmed() => State::Down,
            _ if remote.answered || remote.heard => State::Up,
            _ => State::Unknown,
        };
        if state == remote.state {
            return;
        }
        let before = std::mem::replace(&mut remote.state, state);
        if state == State::Down {
            remote.why = remote.accusation(now);
            out.notify(Event::RlocDown { rloc, why: remote.why.clone() });
        } else if before == State::Down {
            out.notify(Event::RlocUp { rloc });
        }
        remote.since = now;
    }
}

/// Tells the forwarding table what it does not know yet.
fn publish(rloc: IpAddr, remote: &mut Remote, state: LocatorState, out: &mut Actions) {
    if remote.published == state {
        return;
    }
    remote.published.clone_from(&state);
    out.forward(if state == LocatorState::default() {
        Change::ClearLocator { rloc }
    } else {
        Change::SetLocator { rloc, state }
    });
}
