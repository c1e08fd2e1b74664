//! Map-Referral: a DDT node says whom to ask next (RFC 8111 §6.4).

use super::record::RecordHead;
use super::{Eid, Locator, Ttl};
use crate::addr::Nonce;
use crate::wire::{Error, Reader, Wire, Writer, counted};

/// Answers a Map-Request with D set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapReferral {
    /// The request's.
    pub nonce: Nonce,
    /// Where the question is delegated to, at most 255.
    pub records: Vec<ReferralRecord>,
}

/// A delegation, or the end of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferralRecord {
    /// What is delegated: an XEID-prefix.
    pub eid: Eid,
    /// How long it may be cached.
    pub ttl: Ttl,
    /// Who answers, and how it goes on.
    pub action: ReferralAction,
    /// A.
    pub authoritative: bool,
    /// I: the referral set is not all there is; do not cache.
    pub incomplete: bool,
    /// Map-Version (RFC 9302), 12 bits; 0 = none.
    pub version: u16,
    /// Whom to ask next, at most 255.
    pub referrals: Vec<Locator>,
    /// Who vouches for the record, at most 15.
    pub signatures: Vec<Signature>,
}

/// What a DDT node says about an XEID-prefix (RFC 8111 §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReferralAction {
    /// 0: ask these DDT nodes.
    NodeReferral = 0,
    /// 1: ask these Map-Servers.
    MsReferral = 1,
    /// 2: the Map-Server takes care of the request.
    MsAck = 2,
    /// 3: a Map-Server's prefix, but nobody registered it.
    MsNotRegistered = 3,
    /// 4: nobody has that prefix.
    DelegationHole = 4,
    /// 5: not my prefix.
    NotAuthoritative = 5,
    /// 6: unassigned.
    Unassigned6 = 6,
    /// 7: unassigned.
    Unassigned7 = 7,
}

/// A signature over a record (RFC 8111 §6.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The TTL the record was signed with.
    pub original_ttl: Ttl,
    /// Not valid after, seconds since 1970.
    pub expiration: u32,
    /// Not valid before, seconds since 1970.
    pub inception: u32,
    /// Names the key.
    pub key_tag: u16,
    /// 1 RSA-SHA1, 2 RSA-SHA256.
    pub algorithm: u8,
    /// Over the record with the original TTL and these octets zero.
    pub signature: Vec<u8>,
}

impl Wire for MapReferral {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let [.., count] = r.array::<4>("Map-Referral header")?;
        let nonce = Nonce(r.u64("nonce")?);
        r.room(count.into(), 12, "records")?;
        let records = (0..count).map(|_| ReferralRecord::read(r)).collect::<Result<_, _>>()?;
        Ok(Self { nonce, records })
    }

    fn write(&self, w: &mut Writer) {
        let (count, records) = counted(&self.records, u8::MAX);
        w.u32(6 << 28 | u32::from(count)).u64(self.nonce.0);
        w.each(records);
    }
}

impl Wire for ReferralRecord {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let (head, eid) = RecordHead::read(r)?;
        let referrals = head.locators(r)?;
        let signatures = (0..head.version >> 12).map(|_| Signature::read(r));
        Ok(Self {
            eid,
            ttl: head.ttl,
            action: ReferralAction::from_number(head.flags >> 13),
            authoritative: head.flags & RecordHead::AUTHORITATIVE != 0,
            incomplete: head.flags & INCOMPLETE != 0,
            version: head.version & RecordHead::VERSION,
            referrals,
            signatures: signatures.collect::<Result<_, _>>()?,
        })
    }

    fn write(&self, w: &mut Writer) {
        let (locator_count, referrals) = counted(&self.referrals, u8::MAX);
        let (signature_count, signatures) = counted(&self.signatures, 15);
        let head = RecordHead {
            ttl: self.ttl,
            locator_count,
            flags: (self.action as u16) << 13
                | u16::from(self.authoritative) << 12
                | u16::from(self.incomplete) << 11,
            version: u16::from(signature_count) << 12 | self.version & RecordHead::VERSION,
        };
        head.write(&self.eid, w);
        w.each(referrals);
        w.each(signatures);
    }
}

impl ReferralAction {
    /// The action of the low three bits of `number`.
    fn from_number(number: u16) -> Self {
        match number & 7 {
            0 => Self::NodeReferral,
            1 => Self::MsReferral,
            2 => Self::MsAck,
            3 => Self::MsNotRegistered,
            4 => Self::DelegationHole,
            5 => Self::NotAuthoritative,
            6 => Self::Unassigned6,
            _ => Self::Unassigned7,
        }
    }
}

impl Wire for Signature {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let original_ttl = Ttl(r.u32("Original Record TTL")?);
        let expiration = r.u32("Signature Expiration")?;
        let inception = r.u32("Signature Inception")?;
        let key_tag = r.u16("Key Tag")?;
        let length = r.u16("Sig Length")?;
        let [algorithm, _, _, _] = r.array("Sig-Algorithm")?;
        let signature = r.bytes(length.into(), "Signature")?.to_vec();
        Ok(Self { original_ttl, expiration, inception, key_tag, algorithm, signature })
    }

    fn write(&self, w: &mut Writer) {
        w.u32(self.original_ttl.0)
            .u32(self.expiration)
            .u32(self.inception)
            .u16(self.key_tag)
            .u16(u16::try_from(self.signature.len()).unwrap_or(u16::MAX))
            .bytes([self.algorithm, 0, 0, 0])
            .bytes(&self.signature);
    }
}

/// I, the first of the 12 bits that are reserved in other records.
const INCOMPLETE: u16 = 0x0800;
