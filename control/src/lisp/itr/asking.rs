//! Questions become Map-Requests, and what becomes of those nobody answers.

use std::net::{IpAddr, SocketAddr};

use weft_packet::addr::{EidPrefix, Nonce};
use weft_packet::lisp::{Address, CONTROL_PORT, Encapsulated, MapRequest, Message, RequestedEid};
use weft_packet::wire::Wire;

use super::Itr;
use super::pending::{Key, Question, Sent, Why};
use super::resolvers::Switch;
use crate::engine::{Action, Actions, Datagram, Instant};
use crate::lisp::event::{Direction, Event, Refusal};
use crate::lisp::local::{Local, Way};
use crate::lisp::trace;

impl Itr {
    /// Sends what is in line, as much as the budget allows.
    pub(super) fn send_questions(&mut self, now: Instant, local: &Local, out: &mut Actions) {
        while let Some(key) = self.pending.next(now) {
            self.send_question(now, key, local, out);
        }
    }

    fn send_question(&mut self, now: Instant, key: Key, local: &Local, out: &mut Actions) {
        let Some(question) = self.pending.get(key) else { return };
        let tries = question.tries;
        let reachable = |resolver| way(local, resolver).is_some();
        let resolvers = match question.why {
            Why::Lookup(Some(resolver)) => [Some(resolver), None],
            _ => self.resolvers.choose(now, tries, reachable).into(),
        };
        let mut requests = Vec::new();
        for resolver in resolvers.into_iter().flatten() {
            let nonce = match key {
                Key::Lookup(nonce) if tries == 0 => nonce,
                _ => self.nonce(),
            };
            if self.send_request(key, nonce, resolver, local, out) {
                requests.push((nonce, resolver));
            }
        }
        self.pending.tried(now, key, &requests);
    }

    /// False when there is no way to the Map-Resolver or nowhere an answer could go.
    fn send_request(
        &mut self,
        key: Key,
        nonce: Nonce,
        resolver: IpAddr,
        local: &Local,
        out: &mut Actions,
    ) -> bool {
        let Some(question) = self.pending.get(key).cloned() else { return false };
        let Some(way) = way(local, resolver) else { return false };
        let Some(message) = self.request(&question, nonce, local) else { return false };
        let to = SocketAddr::new(resolver, CONTROL_PORT);
        let message = Message::Encapsulated(message);
        if self.trace {
            out.notify(trace::summary(&message).event(Direction::Out, to));
        }
        let bytes = message.to_bytes();
        out.0.push(Action::Send { from: way.from, uplink: way.uplink, to, bytes });
        self.resolvers.asked(resolver);
        self.counters.map_requests += 1;
        true
    }

    /// RFC 9301 §5.3: the Map-Request, encapsulated for the Map-Resolver.
    fn request(&self, question: &Question, nonce: Nonce, local: &Local) -> Option<Encapsulated> {
        let itr_rlocs: Vec<_> = local.itr_rlocs().into_iter().take(MOST_ITR_RLOCS).collect();
        let first = *itr_rlocs.first()?;
        let eid = question.eid;
        let packet_source = match question.why {
            Why::Packet(source) => Some(source),
            _ => None,
        };
        let destination = eid.prefix.address();
        let source = local.source_for(destination).map(|u| u.rloc).or(packet_source);
        let request = MapRequest {
            pitr: self.settings.proxy,
            smr_invoked: question.why == Why::Solicited,
            nonce,
            source_eid: packet_source
                .map_or(Address::None, |source| Address::in_instance(eid.instance, source)),
            itr_rlocs: itr_rlocs.into_iter().map(Address::Ip).collect(),
            eids: vec![RequestedEid { subscribe: false, eid: eid.into() }],
            ..MapRequest::default()
        };
        let source = SocketAddr::new(source.unwrap_or(first), CONTROL_PORT);
        let destination = SocketAddr::new(destination, CONTROL_PORT);
        Some(Encapsulated::new(source, destination, Message::MapRequest(request)))
    }

    /// A try was not answered in time: another, or none.
    pub(super) fn unanswered(&mut self, now: Instant, key: Key, out: &mut Actions) {
        let Some(question) = self.pending.get(key) else { return };
        if matches!(question.why, Why::Packet(_)) && self.is_answered(question.eid) {
            self.pending.close(key);
            return;
        }
        if question.tries <= self.settings.map_request_retries {
            return self.pending.retry(key);
        }
        let Some(Question { eid, tries, why, .. }) = self.pending.close(key) else { return };
        self.counters.lookups_failed += 1;
        match (key, why) {
            (Key::Lookup(nonce), _) => {
                return out.notify(Event::LookupUnanswered { nonce, eid, tries });
            }
            (_, Why::Packet(_)) => self.holds.add(now, eid),
            _ => self.refresh_failed(now, eid, out),
        }
        out.notify(Event::LookupFailed { eid, tries });
    }

    /// An answer to a request came; `all` are those of its question.
    pub(super) fn resolver_answered(
        &mut self,
        now: Instant,
        request: Sent,
        all: &[Sent],
        out: &mut Actions,
    ) {
        match self.resolvers.answered(now, request, all) {
            Some(Switch::Failover { from, to }) => {
                out.notify(Event::ResolverFailover { from, to });
            }
            Some(Switch::Restored(resolver)) => out.notify(Event::ResolverRestored { resolver }),
            None => {}
        }
    }

    /// A nonce for a Map-Request.
    pub(super) fn nonce(&mut self) -> Nonce {
        Nonce(self.random.u64())
    }

    /// Tells of a message that came, if somebody wants to see it.
    pub(super) fn came(
        &self,
        from: Datagram<'_>,
        message: impl FnOnce() -> Message,
        out: &mut Actions,
    ) {
        if self.trace {
            out.notify(trace::summary(&message()).event(Direction::In, from.from));
        }
    }

    pub(super) fn refused(
        &mut self,
        kind: &'static str,
        from: Datagram<'_>,
        eid: Option<EidPrefix>,
        reason: Refusal,
        out: &mut Actions,
    ) {
        self.counters.refused += 1;
        let detail = String::new();
        out.notify(Event::Refused { kind, peer: from.from, eid, reason, detail });
    }
}

/// How to reach a Map-Resolver; one in this router itself is reached through no uplink.
fn way(local: &Local, resolver: IpAddr) -> Option<Way> {
    if resolver.is_loopback() || local.owns(resolver) {
        return Some(Way::default());
    }
    local.way_to(resolver)
}

/// RFC 9301 §5.2: IRC has 5 bits and counts from 1.
const MOST_ITR_RLOCS: usize = 32;
