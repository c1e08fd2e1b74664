//! What the engine asked for, done in order: state to disk, FIB published, messages sent.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use weft_control::engine::{Action, Instant, Usage};
use weft_control::lisp::event::Event;
use weft_fib::{Change, Route, UplinkId};
use weft_manage::api::rfc3339;
use weft_packet::addr::EidPrefix;

use super::Router;
use crate::store::Write;

/// A learned path MTU is tried again after so long (RFC 1191 §6.3, RFC 8201 §4).
const PATH_MTU_LIFE: Duration = Duration::from_mins(10);

/// A message to be sent once the state it acknowledges is on disk.
struct Outgoing {
    from: Option<IpAddr>,
    uplink: Option<UplinkId>,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl Outgoing {
    /// True for a Map-Notify, which says that a registration is kept (RFC 9301 §5.7). Everything
    /// else may leave while the disk takes nothing: traffic must not stop for it.
    fn acknowledges(&self) -> bool {
        const MAP_NOTIFY: u8 = 4;
        self.bytes.first().is_some_and(|first| first >> 4 == MAP_NOTIFY)
    }
}

impl Router {
    /// Carries out all actions, and those that answers to them cause.
    pub(super) fn carry_out(&mut self) {
        // Each round may ask for usage, whose answers cause further actions; a bound keeps a
        // mistaken engine from holding the router here.
        for _ in 0..64 {
            if self.actions.0.is_empty() {
                return;
            }
            let questions = self.round();
            let now = self.clock.now();
            if !questions.is_empty() {
                self.plane.iter_mut().for_each(|plane| plane.sync_usage(true));
            }
            for eid in questions {
                let count = self.fib.usage(eid).unwrap_or_default();
                let usage = Usage { packets: count.packets, bytes: count.bytes };
                self.engine.used(now, eid, usage, &mut self.actions);
            }
        }
    }

    fn round(&mut self) -> Vec<EidPrefix> {
        let mut kept: Vec<Write> = Vec::new();
        let mut outgoing = Vec::new();
        let mut released = Vec::new();
        let mut questions = Vec::new();
        let mut changed = false;
        for action in std::mem::take(&mut self.actions.0) {
            match action {
                Action::Send { from, uplink, to, bytes } => {
                    outgoing.push(Outgoing { from, uplink, to, bytes });
                }
                Action::Forward(change) => {
                    released.extend(releases(&change));
                    self.fib.apply(change);
                    changed = true;
                }
                Action::AskUsage(eid) => questions.push(eid),
                Action::Store { key, value } => kept.push((key, value)),
                Action::Notify(event) => self.notify(&event),
            }
        }
        if changed {
            self.publish(&released);
        }
        let stored = self.keep(kept);
        for message in outgoing.iter().filter(|m| stored || !m.acknowledges()) {
            self.send(message);
        }
        questions
    }

    /// True when everything is on disk. What is not is not acknowledged: the senders repeat
    /// themselves, and nothing is lost.
    fn keep(&mut self, batch: Vec<Write>) -> bool {
        let behind = self.store.is_behind();
        match self.store.write(self.clock.now(), batch) {
            Ok(()) if behind => tracing::info!("state is stored again"),
            Ok(()) => {}
            Err(_) if behind => {}
            Err(error) => {
                tracing::error!(%error, "state cannot be stored; nothing is acknowledged");
            }
        }
        !self.store.is_behind()
    }

    /// Shows what changed to both planes. What waits for it goes first, so that it is not
    /// overtaken.
    fn publish(&mut self, released: &[EidPrefix]) {
        self.fib.publish();
        let now = self.clock.now();
        if self.traffic.next.is_none() && !self.fib.is_empty() {
            self.traffic.next = Some(now + super::TRAFFIC_BUSY);
        }
        if let Some(plane) = &mut self.plane {
            for eid in released {
                plane.tun().release(*eid);
            }
            plane.published(&mut self.fib);
        }
    }

    fn send(&self, message: &Outgoing) {
        let interface = message.uplink.and_then(|id| {
            let uplinks = self.engine.local().uplinks();
            let same =
                |u: &&weft_fib::Uplink| u.id == id && message.from.is_none_or(|f| f == u.rloc);
            uplinks.iter().find(same).map(|u| u.interface)
        });
        if let Err(error) = self.port.send(message.from, interface, message.to, &message.bytes) {
            tracing::debug!(to = %message.to, %error, "control message not sent");
        }
    }

    fn notify(&mut self, event: &Event) {
        self.answer_lookup(event);
        let names = &self.names;
        let shown = weft_manage::event::show(event, &|id| super::answers::uplink_name(names, id));
        let time = self.time();
        self.journal.record(&shown, &time);
    }

    /// The time now, for people.
    pub(super) fn time(&self) -> String {
        rfc3339(self.clock.wall(self.clock.now()))
    }

    pub(super) fn path_mtu_learned(&mut self, now: Instant, rloc: IpAddr, mtu: u16) {
        if self.path_mtus.insert(rloc, now + PATH_MTU_LIFE).is_none() {
            tracing::info!(%rloc, mtu, "path MTU learned");
        }
        self.fib.apply(Change::SetPathMtu { rloc, mtu: Some(mtu) });
        self.publish(&[]);
    }

    pub(super) fn forget_path_mtus(&mut self, now: Instant) {
        let old: Vec<_> =
            self.path_mtus.iter().filter(|(_, until)| **until <= now).map(|(r, _)| *r).collect();
        for rloc in &old {
            self.path_mtus.remove(rloc);
            self.fib.apply(Change::SetPathMtu { rloc: *rloc, mtu: None });
        }
        if !old.is_empty() {
            self.publish(&[]);
        }
    }
}

/// The prefix whose held packets a change may set free.
fn releases(change: &Change) -> Option<EidPrefix> {
    match change {
        Change::SetRoute { key, route, .. } if *route != Route::Resolve => Some(key.eid),
        _ => None,
    }
}
