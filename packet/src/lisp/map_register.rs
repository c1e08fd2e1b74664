//! Map-Register: an ETR tells its Map-Server which EIDs it serves (RFC 9301 §5.6).

use super::ids::{read_ids, write_ids};
use super::{Authentication, MappingRecord};
use crate::addr::{Nonce, SiteId, XtrId};
use crate::wire::{Error, Reader, Wire, Writer, bit, counted, flag};

/// Registers mappings. The authentication covers the whole message; see [`super::auth`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapRegister {
    /// P: the Map-Server shall answer for us.
    pub proxy_reply: bool,
    /// S: we can do LISP-SEC.
    pub security: bool,
    /// E: EID-notify, from a first-hop router to its site's xTR.
    pub eid_notify: bool,
    /// T: the record TTL is the registration's life time (else 3 minutes).
    pub use_ttl: bool,
    /// a: merge with what other xTRs of the site registered.
    pub merge: bool,
    /// R (bit 22): reserved in RFC 9301, "mobile node" before.
    pub mobile_node: bool,
    /// M: send me a Map-Notify.
    pub want_notify: bool,
    /// Strictly increasing per xTR and key.
    pub nonce: Nonce,
    /// Who vouches for the message.
    pub authentication: Authentication,
    /// What is registered, at most 255.
    pub records: Vec<MappingRecord>,
    /// I: which xTR of which site.
    pub xtr: Option<(XtrId, SiteId)>,
}

impl Wire for MapRegister {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let word = r.u32("Map-Register header")?;
        let [.., record_count] = word.to_be_bytes();
        Ok(Self {
            proxy_reply: bit(word, 4),
            security: bit(word, 5),
            eid_notify: bit(word, 19),
            use_ttl: bit(word, 20),
            merge: bit(word, 21),
            mobile_node: bit(word, 22),
            want_notify: bit(word, 23),
            nonce: Nonce(r.u64("nonce")?),
            authentication: Authentication::read(r)?,
            records: MappingRecord::read_all(r, record_count)?,
            xtr: if bit(word, 6) { Some(read_ids(r)?) } else { None },
        })
    }

    fn write(&self, w: &mut Writer) {
        let (record_count, records) = counted(&self.records, u8::MAX);
        w.u32(
            3 << 28
                | flag(4, self.proxy_reply)
                | flag(5, self.security)
                | flag(6, self.xtr.is_some())
                | flag(19, self.eid_notify)
                | flag(20, self.use_ttl)
                | flag(21, self.merge)
                | flag(22, self.mobile_node)
                | flag(23, self.want_notify)
                | u32::from(record_count),
        )
        .u64(self.nonce.0);
        self.authentication.write(w);
        w.each(records);
        if let Some(ids) = self.xtr {
            write_ids(ids, w);
        }
    }
}
