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
        let summary = trace::summary(&message);
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
            refuse(summary.kind, datagram.from, summary.eid, reason, String::new(), out);
        }
    }

    /// A Map-Request that came as it is: a probe, an SMR, or a question to this ETR.
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
        let mapping_system = self.map_server.is_some() || self.map_resolver.is_some();
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
        let mapping_system = self.map_server.is_some() || self.map_resolver.is_some();
        let asked = request.eids.iter().find_map(|e| e.eid.prefix());
        let holds = |etr: &super::etr::Etr| asked.is_some_and(|eid| etr.holds(eid));
        if let Some(etr) = &mut self.etr
            && (ecm.to_etr || !mapping_system || holds(etr))
        {
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
