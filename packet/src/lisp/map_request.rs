//! Map-Request: who serves this EID? Also probes, SMRs and subscriptions (RFC 9301 §5.2).

use super::ids::{IDS_LEN, read_ids, write_ids};
use super::{Address, Eid, MappingRecord};
use crate::addr::{Nonce, SiteId, XtrId};
use crate::wire::{Error, Reader, Wire, Writer, bit, counted, flag};

/// Asks for mappings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapRequest {
    /// A: the ETR itself shall answer, no proxy.
    pub authoritative: bool,
    /// P: an RLOC-probe.
    pub probe: bool,
    /// S: solicits a Map-Request.
    pub smr: bool,
    /// p: sent by a PITR.
    pub pitr: bool,
    /// s: sent because of an SMR.
    pub smr_invoked: bool,
    /// L: the sender is another xTR of the receiver's site.
    pub local_xtr: bool,
    /// D: do not answer.
    pub no_reply: bool,
    /// Repeated in the answer.
    pub nonce: Nonce,
    /// The EID whose packet caused this; [`Address::None`] in probes and refreshes.
    pub source_eid: Address,
    /// Where the answer may go, 1 to 32; an empty list is sent as one [`Address::None`].
    pub itr_rlocs: Vec<Address>,
    /// What is asked, at least one, at most 255.
    pub eids: Vec<RequestedEid>,
    /// M: the mapping of the source EID, for the receiver to verify and keep.
    pub mapping: Option<MappingRecord>,
    /// I: who asks (RFC 9437); needed to subscribe.
    pub xtr: Option<(XtrId, SiteId)>,
}

/// One question of a Map-Request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedEid {
    /// N: notify me of changes (RFC 9437).
    pub subscribe: bool,
    /// The EID, or the prefix to be refreshed or probed.
    pub eid: Eid,
}

impl Wire for MapRequest {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let word = r.u32("Map-Request header")?;
        let [.., itr_rloc_count, record_count] = word.to_be_bytes();
        let nonce = Nonce(r.u64("nonce")?);
        let source_eid = Address::read(r)?.understood()?;
        let itr_rlocs = read_itr_rlocs(r, usize::from(itr_rloc_count & 0x1f) + 1)?;
        Ok(Self {
            authoritative: bit(word, 4),
            probe: bit(word, 6),
            smr: bit(word, 7),
            pitr: bit(word, 8),
            smr_invoked: bit(word, 9),
            local_xtr: bit(word, 17),
            no_reply: bit(word, 18),
            nonce,
            source_eid,
            itr_rlocs,
            eids: read_eids(r, record_count)?,
            mapping: if bit(word, 5) { Some(MappingRecord::read(r)?) } else { None },
            xtr: if bit(word, 11) { Some(read_subscriber(r)?) } else { None },
        })
    }

    fn write(&self, w: &mut Writer) {
        let (itr_rloc_count, itr_rlocs) = counted(&self.itr_rlocs, ITR_RLOCS_MAX);
        let (record_count, eids) = counted(&self.eids, u8::MAX);
        w.u32(
            1 << 28
                | flag(4, self.authoritative)
                | flag(5, self.mapping.is_some())
                | flag(6, self.probe)
                | flag(7, self.smr)
                | flag(8, self.pitr)
                | flag(9, self.smr_invoked)
                | flag(11, self.xtr.is_some())
                | flag(17, self.local_xtr)
                | flag(18, self.no_reply)
                | u32::from(itr_rloc_count.saturating_sub(1)) << 8
                | u32::from(record_count),
        );
        self.source_eid.write(w.u64(self.nonce.0));
        if itr_rlocs.is_empty() {
            Address::None.write(w);
        }
        w.each(itr_rlocs);
        for RequestedEid { subscribe, eid } in eids {
            eid.address.write(w.u8(u8::from(*subscribe) << 7).u8(eid.mask_len));
        }
        if let Some(mapping) = &self.mapping {
            mapping.write(w);
        }
        if let Some(ids) = self.xtr {
            write_ids(ids, w);
        }
    }
}

fn read_itr_rlocs(r: &mut Reader<'_>, count: usize) -> Result<Vec<Address>, Error> {
    r.room(count, 2, "ITR-RLOCs")?;
    (0..count).map(|_| Address::read(r)?.understood()).collect()
}

fn read_eids(r: &mut Reader<'_>, count: u8) -> Result<Vec<RequestedEid>, Error> {
    if count == 0 {
        return Err(Error::Refused("Map-Request without a record"));
    }
    r.room(count.into(), 4, "records")?;
    (0..count)
        .map(|_| {
            let [flags, mask_len] = r.array("EID mask-len")?;
            Ok(RequestedEid { subscribe: flags & 0x80 != 0, eid: Eid::read(r, mask_len)? })
        })
        .collect()
}

/// Takes the ids of a subscriber. I without them drops the message (RFC 9437 §4); an xTR-ID alone
/// at the very end is what lispers.net sends, and means Site-ID 0.
fn read_subscriber(r: &mut Reader<'_>) -> Result<(XtrId, SiteId), Error> {
    if r.remaining() == IDS_LEN - 8 {
        return Ok((XtrId(r.array("xTR-ID")?), SiteId(0)));
    }
    read_ids(r)
}

/// As many as the 5-bit count, less one, can say.
const ITR_RLOCS_MAX: u8 = 32;
