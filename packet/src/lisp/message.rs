//! Any control message: the first four bits say which (RFC 9301 §5.1).

use super::{Encapsulated, Info, MapNotify, MapReferral, MapRegister, MapReply, MapRequest};
use crate::wire::{Error, Reader, Wire, Writer};

/// A control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 1.
    MapRequest(MapRequest),
    /// Type 2.
    MapReply(MapReply),
    /// Type 3.
    MapRegister(MapRegister),
    /// Types 4 and 5.
    MapNotify(MapNotify),
    /// Type 6.
    MapReferral(MapReferral),
    /// Type 7.
    Info(Info),
    /// Type 8.
    Encapsulated(Encapsulated),
    /// Type 15 (RFC 8113).
    Extension {
        /// 12 bits.
        sub_type: u16,
        /// The 16 bits beside the sub-type.
        specific: u16,
        /// What follows.
        body: Vec<u8>,
    },
}

impl Message {
    /// Reads a message and says how many octets follow it. Those are to be counted, not obeyed:
    /// messages grew fields at their end before.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), Error> {
        let mut r = Reader::new(bytes);
        let message = Self::read(&mut r)?;
        Ok((message, r.remaining()))
    }
}

impl Wire for Message {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let first = r.peek().first().ok_or(Error::Truncated("message type"))?;
        Ok(match first >> 4 {
            1 => Self::MapRequest(Wire::read(r)?),
            2 => Self::MapReply(Wire::read(r)?),
            3 => Self::MapRegister(Wire::read(r)?),
            4 | 5 => Self::MapNotify(Wire::read(r)?),
            6 => Self::MapReferral(Wire::read(r)?),
            7 => Self::Info(Wire::read(r)?),
            8 => Self::Encapsulated(Wire::read(r)?),
            15 => Self::Extension {
                sub_type: r.u16("Sub-type")? & 0x0fff,
                specific: r.u16("extension-specific")?,
                body: r.rest().to_vec(),
            },
            other => return Err(Error::Invalid("message type", other.into())),
        })
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::MapRequest(request) => request.write(w),
            Self::MapReply(reply) => reply.write(w),
            Self::MapRegister(register) => register.write(w),
            Self::MapNotify(notify) => notify.write(w),
            Self::MapReferral(referral) => referral.write(w),
            Self::Info(info) => info.write(w),
            Self::Encapsulated(encapsulated) => encapsulated.write(w),
            Self::Extension { sub_type, specific, body } => {
                w.u16(15 << 12 | sub_type & 0x0fff).u16(*specific).bytes(body);
            }
        }
    }

    /// Reads a whole message. Octets behind it are ignored; [`Message::decode`] counts them.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::decode(bytes).map(|(message, _)| message)
    }
}
