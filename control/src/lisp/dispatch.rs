//! Which role a message is for: decided once, by what it is and by which roles there are.

use std::net::SocketAddr;
use std::time::Duration;
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::{
    Encapsulated, MapNotify, MapRegister, MapReply, MapRequest, Message, NotifyKind,
};

use super::Lisp;
use super::etr::Question;
use super::event::{Event, Refusal};
use super::trace;
use crate::engine::{Actions, Datagram, Instant};

impl Lisp {
    pub(super) fn dispatch(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        message: Message,
        out: &mut Actions,
    ) {
        let (kind, eid) = (trace::kind(&message), trace::first_eid(&message));
        let taken = match message {
            Message::MapRequest(request) => self.map_request(now, datagram, &request, out),
            Message::MapReply(reply) => self.map_reply(now, datagram, reply, out),
            Message::MapRegister(register) => self.map_register(now, datagram, register, out),
            Message::MapNotify(notify) => self.map_notify(now, datagram, &notify, out),
            Message::Encapsulated(ecm) => self.encapsulated(now, datagram, &ecm, out),
            Message::MapReferral(_) | Message::Info(_) | Message::Extension { .. } => {
                Err(Refusal::NotForUs)
            }
        };
        if let Err(reason) = taken {
            refuse(kind, datagram.from, eid, reason, String::new(), out);
        }
    }

    /// A Map-Request that came as it is: a probe, an SMR, or a question to this ETR; what it does
    /// not hold is asked of the Map-Server here.
    fn map_request(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        request: &MapRequest,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        let local = self.uplinks.effective();
        if request.smr && !request.probe {
            let itr = self.itr.as_mut().ok_or(Refusal::NotForUs)?;
            itr.smr(now, datagram, request, local, out);
            return Ok(());
        }
        let ours = request.probe || self.holds(request);
        if let (Some(server), false) = (&mut self.map_server, ours) {
            server.request(now, datagram, request, out);
            return Ok(());
        }
        let mapping_system = self.mapping_system();
        let Some(etr) = &mut self.etr else {
            let probe = request.probe && mapping_system;
            return Err(if probe { Refusal::ProbeNotAllowed } else { Refusal::NotForUs });
        };
        etr.request(now, Question { request, source: datagram.from, to: datagram.to }, local, out);
        Ok(())
    }

    fn map_reply(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        reply: MapReply,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        let itr = self.itr.as_mut().ok_or(Refusal::NotForUs)?;
        if !self.prober.reply(now, datagram, &reply, out) {
            itr.reply(now, datagram, reply, self.uplinks.effective(), out);
        }
        Ok(())
    }

    fn map_register(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        register: MapRegister,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        let server = self.map_server.as_mut().ok_or(Refusal::NotForUs)?;
        server.register(now, datagram, register, out);
        Ok(())
    }

    fn map_notify(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        notify: &MapNotify,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        match notify.kind {
            NotifyKind::Notify => {
                let etr = self.etr.as_mut().ok_or(Refusal::NotForUs)?;
                etr.notify(now, datagram, notify, self.uplinks.effective(), out);
            }
            NotifyKind::Ack => {
                let server = self.map_server.as_mut().ok_or(Refusal::NotForUs)?;
                server.ack(now, datagram, notify, out);
            }
        }
        Ok(())
    }

    /// A message that travels through the mapping system. A Map-Server marks what it forwards to
    /// an ETR, and a Map-Resolver what it forwards to a Map-Server, so nothing goes in circles.
    fn encapsulated(
        &mut self,
        now: Instant,
        datagram: Datagram<'_>,
        ecm: &Encapsulated,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        let Message::MapRequest(request) = &*ecm.message else { return Err(Refusal::NotForUs) };
        if request.probe {
            return Err(Refusal::ProbeNotAllowed);
        }
        if request.smr {
            return Err(Refusal::Inconsistent);
        }
        let ours = ecm.to_etr || !self.mapping_system() || self.holds(request);
        if let (Some(etr), true) = (&mut self.etr, ours) {
            let question = Question { request, source: ecm.source, to: datagram.to };
            etr.request(now, question, self.uplinks.effective(), out);
            return Ok(());
        }
        if ecm.to_etr {
            return Err(Refusal::NotForUs);
        }
        match (&mut self.map_resolver, &mut self.map_server) {
            (Some(resolver), server) if !(ecm.to_map_server && server.is_some()) => {
                resolver.encapsulated(now, datagram, ecm, server.as_mut(), out);
            }
            (_, Some(server)) => server.encapsulated(now, datagram, ecm, NEGATIVE_TTL, out),
            _ => return Err(Refusal::NotForUs),
        }
        Ok(())
    }

    /// True when the ETR here holds what is asked for.
    fn holds(&self, request: &MapRequest) -> bool {
        let asked = request.eids.iter().find_map(|e| e.eid.prefix());
        self.etr.as_ref().zip(asked).is_some_and(|(etr, eid)| etr.holds(eid))
    }

    /// True when this router is a part of the mapping system.
    fn mapping_system(&self) -> bool {
        self.map_server.is_some() || self.map_resolver.is_some()
    }
}

/// Tells that a message was not taken.
pub(super) fn refuse(
    kind: &'static str,
    peer: SocketAddr,
    eid: Option<EidPrefix>,
    reason: Refusal,
    detail: String,
    out: &mut Actions,
) {
    out.notify(Event::Refused { kind, peer, eid, reason, detail });
}

/// Of answers about what no site holds, where no Map-Resolver here says otherwise (RFC 9301 §8.3).
const NEGATIVE_TTL: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Action as Do, Random, Stored};
    use crate::lisp::config::{self, Config, DatabaseMapping, StaticMapping};
    use weft_packet::addr::{InstanceId, Nonce};
    use weft_packet::lisp::{Action, Address, RequestedEid};
    use weft_packet::wire::Wire;

    const ITR: &str = "203.0.113.9";

    fn eid(text: &str) -> EidPrefix {
        EidPrefix::new(InstanceId::DEFAULT, text.parse().unwrap())
    }

    fn rloc(address: &str) -> config::Rloc {
        config::Rloc::unicast(
            config::Place::Address { rloc: address.parse().unwrap(), local: false },
            1,
            100,
        )
    }

    /// Knows where 10.1.0.0/16 is.
    fn map_server() -> config::MapServer {
        let known = StaticMapping {
            from: None,
            eid: eid("10.1.0.0/16"),
            rlocs: vec![rloc("192.0.2.1")],
            action: Action::NoAction,
        };
        config::MapServer { static_mappings: vec![known], ..config::MapServer::default() }
    }

    /// Is where 10.2.0.0/16 is.
    fn etr() -> config::Etr {
        let own = DatabaseMapping {
            eid: eid("10.2.0.0/16"),
            rlocs: vec![rloc("192.0.2.2")],
            record_ttl: Duration::from_hours(1),
            proxy_reply: None,
        };
        config::Etr { database: vec![own], ..config::Etr::default() }
    }

    fn request(asked: &str) -> MapRequest {
        MapRequest {
            nonce: Nonce(7),
            itr_rlocs: vec![Address::Ip(ITR.parse().unwrap())],
            eids: vec![RequestedEid { subscribe: false, eid: eid(asked).into() }],
            ..MapRequest::default()
        }
    }

    /// What a router of these roles does about `request`, which comes by itself.
    fn ask(config: Config, request: MapRequest) -> Vec<Do> {
        let (random, stored) = (Random::new([3; 32]), Stored::default());
        let mut out = Actions::default();
        let mut lisp = Lisp::new(Instant::START, config, Vec::new(), random, &stored, &mut out);
        out.0.clear();
        let bytes = Message::MapRequest(request).to_bytes();
        let from = SocketAddr::new(ITR.parse().unwrap(), 40_000);
        let datagram = Datagram { from, to: "198.51.100.1".parse().unwrap(), bytes: &bytes };
        lisp.packet(Instant::START, datagram, &mut out);
        out.0
    }

    /// The locators of the answer that went to the ITR, in one datagram.
    fn answer(did: &[Do]) -> (bool, Vec<String>) {
        let [Do::Send { to, bytes, .. }] = did else { panic!("one datagram, not {did:?}") };
        assert_eq!(*to, SocketAddr::new(ITR.parse().unwrap(), 40_000));
        let reply = MapReply::from_bytes(bytes).unwrap();
        let [record] = reply.records.as_slice() else { panic!("one record, not {reply:?}") };
        let locators = record.locators.iter().filter_map(|locator| locator.address.ip());
        (record.authoritative, locators.map(|rloc| rloc.to_string()).collect())
    }

    fn refusal(did: &[Do]) -> Refusal {
        let [Do::Notify(Event::Refused { reason, .. })] = did else {
            panic!("only a refusal, not {did:?}")
        };
        *reason
    }

    #[test]
    fn plain_request_is_the_map_servers_where_no_etr_holds_it() {
        let alone = Config { map_server: Some(map_server()), ..Config::default() };
        let beside_etr = Config { etr: Some(etr()), ..alone.clone() };
        for config in [alone, beside_etr] {
            let from_map_server = (false, vec!["192.0.2.1".to_owned()]);
            assert_eq!(answer(&ask(config, request("10.1.2.3/32"))), from_map_server);
        }
    }

    #[test]
    fn plain_request_for_what_the_etr_holds_is_answered_with_authority() {
        let config =
            Config { map_server: Some(map_server()), etr: Some(etr()), ..Config::default() };
        let from_etr = (true, vec!["192.0.2.2".to_owned()]);
        assert_eq!(answer(&ask(config, request("10.2.3.4/32"))), from_etr);
    }

    #[test]
    fn etr_alone_says_what_it_does_not_hold() {
        let config = Config { etr: Some(etr()), ..Config::default() };
        assert_eq!(answer(&ask(config, request("10.1.2.3/32"))), (true, vec![]));
    }

    #[test]
    fn probes_are_for_etrs_only() {
        let probe = MapRequest { probe: true, ..request("10.1.2.3/32") };
        let config = Config { map_server: Some(map_server()), ..Config::default() };
        assert_eq!(refusal(&ask(config.clone(), probe.clone())), Refusal::ProbeNotAllowed);
        assert_eq!(refusal(&ask(Config::default(), probe.clone())), Refusal::NotForUs);
        let config = Config { etr: Some(etr()), ..config };
        assert_eq!(answer(&ask(config, probe)), (true, vec![]));
    }
}
