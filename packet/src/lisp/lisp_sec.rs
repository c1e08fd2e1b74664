//! LISP-SEC authentication data: a Map-Reply can be verified by who asked (RFC 9303 §6).
//!
//! An ITR sends a one-time key along with its request; the Map-Server adds the EID-prefixes it
//! may be answered with, under an HMAC of that key; the ETR copies them into the Map-Reply and
//! adds an HMAC over all of it. These are the formats only.

use super::{Authentication, Eid};
use crate::wire::{Error, Reader, Wire, Writer, counted};

/// What follows an Encapsulated Control Message's header with S set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EcmSecurity {
    /// AD type 1: LISP-SEC.
    LispSec(OneTimeKey),
    /// AD type 2: a Map-Server vouches to an RTR for the Map-Notify inside (NAT draft §4.4).
    Rtr(Authentication),
}

/// LISP-SEC in a request on its way to the ETR (RFC 9303 §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeKey {
    /// HMAC the ITR wants: 0 any, 1 HMAC-SHA-1-96, 2 HMAC-SHA-256-128.
    pub requested_hmac: u16,
    /// Which of the secrets both ends share.
    pub key_id: u8,
    /// How the key is wrapped: 1 not at all, 2 AES-128 under a key of HKDF-SHA256.
    pub wrapping: u8,
    /// First part of the wrapped key; zero where it is not wrapped.
    pub preamble: [u8; 8],
    /// The rest of the wrapped key.
    pub key: Vec<u8>,
    /// What the Map-Server says may be answered.
    pub eids: EidAuthentication,
}

/// EID-AD: the EID-prefixes a reply may be about (RFC 9303 §6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EidAuthentication {
    /// How the ETR's key derives from the ITR's: 0 any, 1 HKDF-SHA1-128, 2 HKDF-SHA256.
    pub kdf: u16,
    /// What a Map-Server added; an ITR sends none.
    pub claim: Option<EidClaim>,
}

/// A Map-Server's word about EID-prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EidClaim {
    /// E: some ETR of these prefixes cannot sign.
    pub etr_cannot_sign: bool,
    /// Which HMAC; see [`OneTimeKey::requested_hmac`].
    pub hmac_id: u16,
    /// The prefixes, at most 255.
    pub eids: Vec<Eid>,
    /// Over the EID-AD with these octets zero, under the ITR's one-time key.
    pub hmac: Vec<u8>,
}

/// What follows the records of a Map-Reply with S set (RFC 9303 §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapReplySecurity {
    /// Copied from the request.
    pub eids: EidAuthentication,
    /// Which HMAC; see [`OneTimeKey::requested_hmac`].
    pub hmac_id: u16,
    /// Over the whole Map-Reply with these octets zero, under the Map-Server's one-time key.
    pub hmac: Vec<u8>,
}

impl Wire for EcmSecurity {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        match r.u8("ECM AD Type")? {
            AD_LISP_SEC => OneTimeKey::read(r).map(Self::LispSec),
            AD_RTR => {
                r.array::<3>("ECM AD reserved")?;
                Authentication::read(r).map(Self::Rtr)
            }
            other => Err(Error::Invalid("ECM AD Type", other.into())),
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::LispSec(key) => key.write(w.u8(AD_LISP_SEC)),
            Self::Rtr(authentication) => authentication.write(w.u8(AD_RTR).bytes([0; 3])),
        }
    }
}

impl OneTimeKey {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        r.u8("ECM AD unassigned")?;
        let requested_hmac = r.u16("Requested HMAC ID")?;
        let length = r.u16("OTK Length")?;
        let [key_id, wrapping] = r.array("OTK Wrapping ID")?;
        let mut otk = r.within(length.into(), "One-Time Key")?;
        Ok(Self {
            requested_hmac,
            key_id,
            wrapping,
            preamble: otk.array("One-Time-Key Preamble")?,
            key: otk.rest().to_vec(),
            eids: EidAuthentication::read(r)?,
        })
    }

    fn write(&self, w: &mut Writer) {
        let length = self.preamble.len() + self.key.len();
        w.u8(0)
            .u16(self.requested_hmac)
            .u16(u16::try_from(length).unwrap_or(u16::MAX))
            .u8(self.key_id)
            .u8(self.wrapping)
            .bytes(self.preamble)
            .bytes(&self.key);
        self.eids.write(w);
    }
}

impl Wire for EidAuthentication {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let mut body = within_own_length(r, "EID-AD Length")?;
        let kdf = body.u16("KDF ID")?;
        let claim = if body.is_empty() { None } else { Some(EidClaim::read(&mut body)?) };
        Ok(Self { kdf, claim })
    }

    fn write(&self, w: &mut Writer) {
        with_own_length(w, |w| {
            w.u16(self.kdf);
            if let Some(claim) = &self.claim {
                claim.write(w);
            }
        });
    }
}

impl EidClaim {
    /// Takes everything: the HMAC ends the EID-AD.
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let [count, flags] = r.array("EID-AD Record Count")?;
        let hmac_id = r.u16("EID HMAC ID")?;
        r.room(count.into(), 4, "EID-AD records")?;
        let eids = (0..count)
            .map(|_| {
                let [_, mask_len] = r.array("EID mask-len")?;
                Eid::read(r, mask_len)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { etr_cannot_sign: flags & 0x80 != 0, hmac_id, eids, hmac: r.rest().to_vec() })
    }

    fn write(&self, w: &mut Writer) {
        let (count, eids) = counted(&self.eids, u8::MAX);
        w.u8(count).u8(u8::from(self.etr_cannot_sign) << 7).u16(self.hmac_id);
        for eid in eids {
            eid.address.write(w.u8(0).u8(eid.mask_len));
        }
        w.bytes(&self.hmac);
    }
}

impl Wire for MapReplySecurity {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        match r.u8("MR AD Type")? {
            AD_LISP_SEC => {}
            other => return Err(Error::Invalid("MR AD Type", other.into())),
        }
        r.array::<3>("MR AD unassigned")?;
        let eids = EidAuthentication::read(r)?;
        let mut packet = within_own_length(r, "PKT-AD Length")?;
        let hmac_id = packet.u16("PKT HMAC ID")?;
        Ok(Self { eids, hmac_id, hmac: packet.rest().to_vec() })
    }

    fn write(&self, w: &mut Writer) {
        self.eids.write(w.u8(AD_LISP_SEC).bytes([0; 3]));
        with_own_length(w, |w| {
            w.u16(self.hmac_id).bytes(&self.hmac);
        });
    }
}

/// Takes a part whose length counts its own two octets.
fn within_own_length<'a>(r: &mut Reader<'a>, what: &'static str) -> Result<Reader<'a>, Error> {
    let length = r.u16(what)?;
    let body = length.checked_sub(2).ok_or(Error::Invalid(what, length.into()))?;
    r.within(body.into(), what)
}

/// Appends what `body` writes behind a length that counts its own two octets.
fn with_own_length(w: &mut Writer, body: impl FnOnce(&mut Writer)) {
    let at = w.len();
    body(w.u16(0));
    let length = u16::try_from(w.len() - at).unwrap_or(u16::MAX);
    w.patch(at, length.to_be_bytes());
}

const AD_LISP_SEC: u8 = 1;
const AD_RTR: u8 = 2;
