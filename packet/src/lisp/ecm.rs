//! Encapsulated Control Message: a message within IP and UDP headers of its own (RFC 9301 §5.8).

use super::lisp_sec::EcmSecurity;
use super::{DATA_PORT, Message, inner};
use crate::wire::{Error, Reader, Wire, Writer, bit, flag};
use std::net::SocketAddr;

/// A control message that travels through the mapping system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encapsulated {
    /// S: LISP-SEC or RTR authentication data (RFC 9303, NAT draft).
    pub security: Option<EcmSecurity>,
    /// D: the sender wants a Map-Referral.
    pub ddt: bool,
    /// E: a Map-Server forwards this to an ETR.
    pub to_etr: bool,
    /// M: a Map-Resolver forwards this to a Map-Server.
    pub to_map_server: bool,
    /// R (NAT draft, bit 9): an RTR shall process it.
    pub rtr: bool,
    /// N (NAT draft, bit 10): an RTR relayed it.
    pub relayed: bool,
    /// Inner source: address and UDP port the answer goes to.
    pub source: SocketAddr,
    /// Inner destination: the EID asked for, port 4342. Of the family of `source`; otherwise the
    /// IPv4 one of the two is sent IPv4-mapped.
    pub destination: SocketAddr,
    /// Inner TTL or hop limit.
    pub hops: u8,
    /// What is carried: a Map-Request, Map-Register, Map-Notify or Map-Notify-Ack.
    pub message: Box<Message>,
}

impl Encapsulated {
    /// `message` as an ITR hands it to a Map-Resolver: no flags, 64 hops.
    pub fn new(source: SocketAddr, destination: SocketAddr, message: Message) -> Self {
        Self {
            security: None,
            ddt: false,
            to_etr: false,
            to_map_server: false,
            rtr: false,
            relayed: false,
            source,
            destination,
            hops: 64,
            message: Box::new(message),
        }
    }

    /// The octets of the message inside an encoded ECM: what its authentication covers, and what
    /// is forwarded unchanged.
    pub fn inner_octets(bytes: &[u8]) -> Result<&[u8], Error> {
        let mut r = Reader::new(bytes);
        if bit(r.u32("ECM header")?, 4) {
            EcmSecurity::read(&mut r)?;
        }
        Ok(inner::read(&mut r)?.payload)
    }
}

impl Wire for Encapsulated {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let word = r.u32("ECM header")?;
        let security = if bit(word, 4) { Some(EcmSecurity::read(r)?) } else { None };
        let inner = inner::read(r)?;
        if [inner.source.port(), inner.destination.port()].contains(&DATA_PORT) {
            return Err(Error::Refused("data port inside an ECM"));
        }
        Ok(Self {
            security,
            ddt: bit(word, 5),
            to_etr: bit(word, 6),
            to_map_server: bit(word, 7),
            rtr: bit(word, 9),
            relayed: bit(word, 10),
            source: inner.source,
            destination: inner.destination,
            hops: inner.hops,
            message: Box::new(read_message(inner.payload)?),
        })
    }

    fn write(&self, w: &mut Writer) {
        w.u32(
            8 << 28
                | flag(4, self.security.is_some())
                | flag(5, self.ddt)
                | flag(6, self.to_etr)
                | flag(7, self.to_map_server)
                | flag(9, self.rtr)
                | flag(10, self.relayed),
        );
        if let Some(security) = &self.security {
            security.write(w);
        }
        inner::write(self.source, self.destination, self.hops, w, |w| self.message.write(w));
    }
}

/// Reads what may travel this way, which keeps the nesting at one.
fn read_message(payload: &[u8]) -> Result<Message, Error> {
    match payload.first().map(|octet| octet >> 4) {
        Some(1 | 3 | 4 | 5) => {}
        Some(8) => return Err(Error::Refused("ECM within an ECM")),
        Some(other) => return Err(Error::Invalid("message type inside an ECM", other.into())),
        None => return Err(Error::Truncated("message type inside an ECM")),
    }
    match Message::from_bytes(payload)? {
        Message::MapRequest(request) if request.probe => {
            Err(Error::Refused("RLOC-probe inside an ECM"))
        }
        message => Ok(message),
    }
}
