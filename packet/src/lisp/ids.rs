//! The 24 octets that name an xTR and its site at the end of a message (RFC 9301 §5.6, I bit).

use crate::addr::{SiteId, XtrId};
use crate::wire::{Error, Reader, Writer};

/// Takes xTR-ID and Site-ID. The I bit without them is an error (RFC 9437 §4); an xTR-ID alone at
/// the very end is what lispers.net sends, and means Site-ID 0.
pub(super) fn read_ids(r: &mut Reader<'_>) -> Result<(XtrId, SiteId), Error> {
    let xtr_id = XtrId(r.array("xTR-ID")?);
    let site_id = if r.is_empty() { SiteId(0) } else { SiteId(r.u64("Site-ID")?) };
    Ok((xtr_id, site_id))
}

pub(super) fn write_ids((xtr_id, site_id): (XtrId, SiteId), w: &mut Writer) {
    w.bytes(xtr_id.0).u64(site_id.0);
}

/// Octets of both.
pub(super) const IDS_LEN: usize = 24;
