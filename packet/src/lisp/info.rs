//! Info-Request and Info-Reply: how does my address look from outside? (NAT traversal draft §4)

use super::address::NatTraversal;
use super::{Address, Authentication, Eid, Lcaf, Ttl};
use crate::addr::Nonce;
use crate::wire::{Error, Reader, Wire, Writer, bit, flag};

/// An Info-Request or Info-Reply. The authentication covers the whole message; see
/// [`super::auth`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Repeated in the reply.
    pub nonce: Nonce,
    /// Who vouches for the message.
    pub authentication: Authentication,
    /// How long the list of RTRs may be kept.
    pub ttl: Ttl,
    /// An EID-prefix of the xTR.
    pub eid: Eid,
    /// Question or answer.
    pub body: InfoBody,
}

/// What tells Info-Request from Info-Reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InfoBody {
    /// R = 0.
    Request {
        /// Name of the asking host, which lispers.net sends; the draft has none.
        host: Option<String>,
    },
    /// R = 1.
    Reply(NatTraversal),
}

impl Wire for Info {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let word = r.u32("Info header")?;
        let nonce = Nonce(r.u64("nonce")?);
        let authentication = Authentication::read(r)?;
        let ttl = Ttl(r.u32("TTL")?);
        let [_, mask_len] = r.array("EID mask-len")?;
        let eid = Eid::read(r, mask_len)?;
        let body = read_body(bit(word, 4), Address::read(r)?)?;
        Ok(Self { nonce, authentication, ttl, eid, body })
    }

    fn write(&self, w: &mut Writer) {
        let reply = matches!(self.body, InfoBody::Reply(_));
        w.u32(7 << 28 | flag(4, reply)).u64(self.nonce.0);
        self.authentication.write(w);
        self.eid.address.write(w.u32(self.ttl.0).u8(0).u8(self.eid.mask_len));
        match &self.body {
            InfoBody::Request { host: None } => Address::None.write(w),
            InfoBody::Request { host: Some(name) } => Address::Name(name.clone()).write(w),
            InfoBody::Reply(nat) => Address::from(Lcaf::NatTraversal(nat.clone())).write(w),
        }
    }
}

fn read_body(reply: bool, address: Address) -> Result<InfoBody, Error> {
    match (reply, address) {
        (false, Address::None) => Ok(InfoBody::Request { host: None }),
        (false, Address::Name(name)) => Ok(InfoBody::Request { host: Some(name) }),
        (false, _) => Err(Error::Refused("Info-Request with an address")),
        (true, Address::Lcaf(lcaf)) => match *lcaf {
            Lcaf::NatTraversal(nat) => Ok(InfoBody::Reply(nat)),
            other => Err(Error::Invalid("LCAF Type of an Info-Reply", other.kind().into())),
        },
        (true, _) => Err(Error::Refused("Info-Reply without NAT-Traversal LCAF")),
    }
}
