//! From octets to what they say: a message or a data packet, its authentication, or a reason.

use std::net::SocketAddr;
use std::time::Duration;

use weft_packet::addr::{InstanceId, Mac};
use weft_packet::ip::{Fragment, Header, protocol};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::data::{DataHeader, LispGpeHeader, LispHeader, NextProtocol, skip_shims};
use weft_packet::lisp::{
    CONTROL_PORT, DATA_PORT, Encapsulated, Message, NotifyKind, Tree, VXLAN_GPE_PORT, VXLAN_PORT,
    Value,
};
use weft_packet::wire::{Error, Reader};

use super::frame::{self, Datagram};
use super::input::Octets;

/// How to read.
pub(super) struct Reading {
    /// The key that authenticates messages.
    pub(super) key: Option<Vec<u8>>,
    /// The port raw data packets came to; raw control messages without.
    pub(super) port: Option<u16>,
}

/// What was found.
pub(super) struct Finding {
    /// Of a capture: which frame.
    pub(super) frame: Option<u64>,
    /// When, since 1970.
    pub(super) time: Option<Duration>,
    /// From whom to whom.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
    /// What the octets say, or why they are refused.
    pub(super) result: Result<Decoded, Error>,
}

/// A message or packet that decodes.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Every field.
    pub(super) tree: Tree,
    /// Octets behind the message.
    pub(super) trailing: usize,
    /// What became of its authentication, where it was looked at.
    pub(super) verification: Option<Result<(), auth::Error>>,
}

impl Finding {
    /// True when nothing was refused and no MAC is wrong.
    pub(super) fn is_well(&self) -> bool {
        matches!(&self.result, Ok(Decoded { verification: None | Some(Ok(())), .. }))
    }
}

impl Reading {
    /// Reads what came; `None` for frames that are not ours.
    pub(super) fn read(&self, octets: Octets) -> Option<Finding> {
        let frame = match octets {
            Octets::Payload(payload) => {
                let result = match self.port {
                    Some(port) => self.data(port, &payload),
                    None => self.control(&payload),
                };
                return Some(Finding { frame: None, time: None, ends: None, result });
            }
            Octets::Frame(frame) => frame,
        };
        let Datagram { source, destination, payload } = frame::datagram(frame.link, &frame.octets)?;
        let result = match (source.port(), destination.port()) {
            (_, port @ (DATA_PORT | VXLAN_GPE_PORT | VXLAN_PORT)) => {
                payload.and_then(|payload| self.data(port, payload))
            }
            (CONTROL_PORT, _) | (_, CONTROL_PORT) => {
                payload.and_then(|payload| self.control(payload))
            }
            _ => return None,
        };
        let (frame, time) = (Some(frame.number), frame.time);
        Some(Finding { frame, time, ends: Some((source, destination)), result })
    }

    fn control(&self, octets: &[u8]) -> Result<Decoded, Error> {
        let (message, trailing) = Message::decode(octets)?;
        let verification = self.key.as_deref().and_then(|key| verify(&message, octets, key));
        Ok(Decoded { tree: message.tree(), trailing, verification })
    }

    fn data(&self, port: u16, octets: &[u8]) -> Result<Decoded, Error> {
        let (header, packet) = DataHeader::split(port, octets)?;
        let mut decoded = Decoded { tree: header.tree(), trailing: 0, verification: None };
        let encrypted = matches!(
            header,
            DataHeader::Lisp(LispHeader { key_id: 1.., .. })
                | DataHeader::LispGpe(LispGpeHeader { key_id: 1.., .. })
        );
        if encrypted {
            decoded.tree.children.push(text("Inner Packet", octets_of("encrypted", packet)));
            return Ok(decoded);
        }
        let (next, packet) = match header.next_protocol() {
            None => (None, packet),
            Some(next) => skip_shims(next, packet).map(|(next, packet)| (Some(next), packet))?,
        };
        let ip = match next {
            None | Some(NextProtocol::Ipv4 | NextProtocol::Ipv6) => Some(packet),
            Some(NextProtocol::Ethernet) => ethernet(packet, &mut decoded.tree)?,
            Some(other) => {
                decoded.tree.children.push(text("Inner Packet", octets_of(other, packet)));
                None
            }
        };
        if let Some(ip) = ip {
            self.inner(header.instance(), ip, &mut decoded)?;
        }
        Ok(decoded)
    }

    /// Adds the inner IP packet, and the control message in it where the instance says so.
    fn inner(&self, instance: InstanceId, packet: &[u8], into: &mut Decoded) -> Result<(), Error> {
        let header = Header::read(packet)?;
        into.tree.children.push(inner_packet(&header, packet));
        if instance == InstanceId::CONTROL
            && header.protocol == protocol::UDP
            && header.fragment == Fragment::Whole
            && let Some(payload) = packet.get(header.transport + 8..header.length)
        {
            let message = self.control(payload)?;
            into.trailing = message.trailing;
            into.verification = message.verification;
            into.tree.children.push(Tree {
                label: "LISP Control Message",
                value: Value::Text(message.tree.label.to_owned()),
                children: message.tree.children,
            });
        }
        Ok(())
    }
}

/// Verifies a message that has authentication, also one inside an ECM.
fn verify(message: &Message, octets: &[u8], key: &[u8]) -> Option<Result<(), auth::Error>> {
    let purpose = match message {
        Message::MapRegister(_) => Purpose::MapRegister,
        Message::MapNotify(notify) if notify.kind == NotifyKind::Ack => Purpose::MapNotifyAck,
        Message::MapNotify(_) => Purpose::MapNotify,
        Message::Info(_) => Purpose::Info,
        Message::Encapsulated(ecm) => {
            return verify(&ecm.message, Encapsulated::inner_octets(octets).ok()?, key);
        }
        _ => return None,
    };
    Some(auth::verify(octets, purpose, key))
}

fn inner_packet(header: &Header, packet: &[u8]) -> Tree {
    let ports = header.ports(packet);
    let end = |address, port: Option<u16>| match port {
        Some(port) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    let source = end(header.source, ports.map(|(source, _)| source));
    let destination = end(header.destination, ports.map(|(_, destination)| destination));
    Tree {
        label: "Inner Packet",
        value: Value::Text(format!("{source} > {destination}")),
        children: vec![
            number("Protocol", header.protocol),
            number("TTL", header.ttl),
            number("DSCP", header.traffic_class >> 2),
            number("ECN", header.traffic_class & 3),
            number("Length", header.length as u64),
        ],
    }
}

/// Adds the Ethernet addresses, and gives the IP packet where there is one.
fn ethernet<'a>(frame: &'a [u8], tree: &mut Tree) -> Result<Option<&'a [u8]>, Error> {
    let mut r = Reader::new(frame);
    let destination = Mac(r.array("inner Ethernet destination")?);
    let source = Mac(r.array("inner Ethernet source")?);
    tree.children.push(text("Inner Ethernet", format!("{source} > {destination}")));
    frame::skip_tags(&mut r)
}

fn octets_of(what: impl std::fmt::Display, packet: &[u8]) -> String {
    format!("{what}, {} octets", packet.len())
}

fn text(label: &'static str, text: String) -> Tree {
    Tree { label, value: Value::Text(text), children: Vec::new() }
}

fn number(label: &'static str, number: impl Into<u64>) -> Tree {
    Tree { label, value: Value::Number(number.into()), children: Vec::new() }
}
