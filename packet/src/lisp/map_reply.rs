//! Map-Reply: these locators serve that EID (RFC 9301 §5.4).

use super::MappingRecord;
use super::lisp_sec::MapReplySecurity;
use crate::addr::Nonce;
use crate::wire::{Error, Reader, Wire, Writer, bit, counted, flag};

/// Answers a Map-Request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapReply {
    /// P: answers an RLOC-probe.
    pub probe: bool,
    /// E: the site echoes nonces.
    pub echo_nonce: bool,
    /// S: LISP-SEC authentication data follows the records (RFC 9303).
    pub security: Option<MapReplySecurity>,
    /// The request's.
    pub nonce: Nonce,
    /// Usually one; several where more-specifics exist. At most 255.
    pub records: Vec<MappingRecord>,
}

impl Wire for MapReply {
    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let word = r.u32("Map-Reply header")?;
        let [.., record_count] = word.to_be_bytes();
        let nonce = Nonce(r.u64("nonce")?);
        let records = MappingRecord::read_all(r, record_count)?;
        let probe = bit(word, 4);
        if probe && records.iter().any(|record| !record.authoritative) {
            return Err(Error::Refused("probe reply that is not authoritative"));
        }
        Ok(Self {
            probe,
            echo_nonce: bit(word, 5),
            nonce,
            records,
            security: if bit(word, 6) { Some(MapReplySecurity::read(r)?) } else { None },
        })
    }

    fn write(&self, w: &mut Writer) {
        let (record_count, records) = counted(&self.records, u8::MAX);
        w.u32(
            2 << 28
                | flag(4, self.probe)
                | flag(5, self.echo_nonce)
                | flag(6, self.security.is_some())
                | u32::from(record_count),
        )
        .u64(self.nonce.0);
        w.each(records);
        if let Some(security) = &self.security {
            security.write(w);
        }
    }
}
