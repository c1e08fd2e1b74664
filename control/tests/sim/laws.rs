//! What must never happen, whatever goes wrong. Every message and packet is held against it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;
use weft_control::engine::Instant;
use weft_packet::addr::{EidPrefix, Nonce, Prefix};
use weft_packet::lisp::{MapNotify, MapReply, MappingRecord, Message, NotifyKind, Ttl};
use weft_packet::wire::Wire;

use crate::network::{Packet, Parcel};
use crate::node::Node;
use crate::world::NodeId;

/// What was promised so far.
#[derive(Debug, Default)]
pub(crate) struct Laws {
    /// Until when each ITR may use a mapping, by what it was told.
    usable: HashMap<(NodeId, EidPrefix), Instant>,
    /// The highest nonce of a Map-Register each ETR sent.
    nonces: HashMap<NodeId, Nonce>,
    /// What each Map-Server acknowledged last, and when.
    acknowledged: HashMap<NodeId, BTreeMap<EidPrefix, Instant>>,
}

impl Laws {
    /// What a router knew from others is gone with its memory.
    pub(crate) fn booted(&mut self, id: NodeId) {
        self.usable.retain(|(node, _), _| *node != id);
    }

    /// A router sends something.
    pub(crate) fn sent(&mut self, now: Instant, id: NodeId, parcel: &Parcel) {
        match parcel {
            Parcel::Data { packet, .. } => {
                assert!(packet.tunnels <= 1, "a packet in a loop: {packet:?}");
                let overdue = self.overdue(now, id, *packet);
                assert!(
                    overdue.is_some_and(|o| o <= LAST_CALL),
                    "{now}: {id:?} sends {packet:?} by a mapping that ended {overdue:?} ago"
                );
            }
            Parcel::Control { bytes, .. } => match Message::from_bytes(bytes) {
                Ok(Message::MapRegister(register)) => {
                    let last = self.nonces.insert(id, register.nonce);
                    assert!(last < Some(register.nonce), "{id:?} used nonce {last:?} again");
                }
                Ok(Message::MapNotify(notify)) if notify.kind == NotifyKind::Notify => {
                    self.acknowledges(now, id, &notify);
                }
                Ok(_) => {}
                Err(error) => panic!("{id:?} sends what is no message: {error}"),
            },
        }
    }

    /// A router receives a control message.
    pub(crate) fn received(&mut self, now: Instant, id: NodeId, bytes: &[u8]) {
        match Message::from_bytes(bytes) {
            Ok(Message::MapReply(reply)) => self.promises(now, id, &reply),
            Ok(Message::MapRegister(register)) => {
                for eid in
                    register.records.iter().filter(|r| r.ttl == Ttl::REMOVE).filter_map(prefix)
                {
                    self.acknowledged.entry(id).or_default().remove(&eid);
                }
            }
            _ => {}
        }
    }

    fn promises(&mut self, now: Instant, id: NodeId, reply: &MapReply) {
        for record in reply.records.iter().filter(|_| !reply.probe) {
            let Some(eid) = prefix(record) else { continue };
            let life = record.ttl.duration().unwrap_or(Duration::from_hours(24));
            let until = self.usable.entry((id, eid)).or_default();
            *until = (now + life).max(*until);
        }
    }

    fn acknowledges(&mut self, now: Instant, id: NodeId, notify: &MapNotify) {
        let acknowledged = self.acknowledged.entry(id).or_default();
        for record in notify.records.iter().filter(|r| r.ttl != Ttl::REMOVE) {
            acknowledged.extend(prefix(record).map(|eid| (eid, now)));
        }
    }

    /// How long ago the mapping for a packet's destination ended, or that there was none.
    fn overdue(&self, now: Instant, id: NodeId, packet: Packet) -> Option<Duration> {
        let covering = |length| Prefix::new(packet.destination, length);
        let prefixes = (0..=width(packet.destination)).filter_map(covering);
        let until = prefixes
            .filter_map(|p| self.usable.get(&(id, EidPrefix::new(packet.instance, p))))
            .max()?;
        Some(now.since(*until))
    }

    /// A Map-Server that just started holds all it had acknowledged, as long as that is valid.
    pub(crate) fn nothing_lost(&self, now: Instant, id: NodeId, node: &Node) {
        let Some(acknowledged) = self.acknowledged.get(&id) else { return };
        for (&eid, &at) in acknowledged.iter().filter(|&(_, &at)| now.since(at) < REGISTRATION) {
            assert!(
                node.mapping(now, eid).is_some(),
                "{now}: {} lost {eid}, acknowledged at {at}",
                node.name
            );
        }
    }
}

fn prefix(record: &MappingRecord) -> Option<EidPrefix> {
    record.eid.prefix()
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

/// A mapping in use that ends while its renewal is under way may carry packets so much longer.
const LAST_CALL: Duration = Duration::from_secs(10);
/// How long a registration stands (RFC 9301 §8.2).
const REGISTRATION: Duration = Duration::from_mins(3);
