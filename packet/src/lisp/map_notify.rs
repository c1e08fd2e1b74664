//! Map-Notify and Map-Notify-Ack: a registration was taken, or changed (RFC 9301 §5.7).

use super::ids::{IDS_LEN, read_ids, write_ids};
use super::{Authentication, MappingRecord};
use crate::addr::{Nonce, SiteId, XtrId};
use crate::wire::{Error, Reader, Wire, Writer, bit, counted, flag};

/// Which of the two messages of this layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotifyKind {
    /// Type 4.
    #[default]
    Notify,
    /// Type 5.
    Ack,
}

/// A Map-Notify or the Map-Notify-Ack that answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapNotify {
    /// Which of the two.
    pub kind: NotifyKind,
    /// The Map-Register's, or a fresh one in an unsolicited notify.
    pub nonce: Nonce,
    /// Who vouches for the message.
    pub authentication: Authentication,
    /// The mappings as registered, or as they are now; at most 255.
    pub records: Vec<MappingRecord>,
    /// The xTR addressed (NAT draft bit I, or 24 octets behind the records).
    pub xtr: Option<(XtrId, SiteId)>,
}

impl Wire for MapNotify {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let word = r.u32("Map-Notify header")?;
        let kind = match word >> 28 {
            4 => NotifyKind::Notify,
            5 => NotifyKind::Ack,
            other => return Err(Error::Invalid("Map-Notify type", other.into())),
        };
        let [.., record_count] = word.to_be_bytes();
        let nonce = Nonce(r.u64("nonce")?);
        let authentication = Authentication::read(r)?;
        let records = MappingRecord::read_all(r, record_count)?;
        // Peers append the ids without saying so.
        let ids = bit(word, 4) || r.remaining() == IDS_LEN;
        let xtr = if ids { Some(read_ids(r)?) } else { None };
        Ok(Self { kind, nonce, authentication, records, xtr })
    }

    fn write(&self, w: &mut Writer) {
        let (record_count, records) = counted(&self.records, u8::MAX);
        let number = match self.kind {
            NotifyKind::Notify => 4,
            NotifyKind::Ack => 5,
        };
        w.u32(number << 28 | flag(4, self.xtr.is_some()) | u32::from(record_count))
            .u64(self.nonce.0);
        self.authentication.write(w);
        w.each(records);
        if let Some(ids) = self.xtr {
            write_ids(ids, w);
        }
    }
}
