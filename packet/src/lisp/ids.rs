//! The 24 octets that name an xTR and its site at the end of a message (RFC 9301 §5.6, I bit).

use crate::addr::{SiteId, XtrId};
use crate::wire::{Error, Reader, Writer};

/// Takes xTR-ID and Site-ID.
pub(super) fn read_ids(r: &mut Reader<'_>) -> Result<(XtrId, SiteId), Error> {
    Ok((XtrId(r.array("xTR-ID")?), SiteId(r.u64("Site-ID")?)))
}

pub(super) fn write_ids((xtr_id, site_id): (XtrId, SiteId), w: &mut Writer) {
    w.bytes(xtr_id.0).u64(site_id.0);
}

/// Octets of both.
pub(super) const IDS_LEN: usize = 24;
