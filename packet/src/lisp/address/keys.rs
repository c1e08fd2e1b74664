//! LCAFs that hold keys: Security-Key, type 11 (RFC 8060 §4.7, RFC 8061 §4), and Opaque-Key,
//! type 6 (RFC 8060 §5.2).

use super::Address;
use crate::wire::{Error, Reader, Wire, Writer, counted};

/// Public keys for a locator: of an encryption (RFC 8061) or of a DDT child (RFC 8111 §6.4.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecurityKey {
    /// Cipher suite (RFC 8061 §7), or key algorithm for DDT.
    pub algorithm: u8,
    /// R: the key is revoked.
    pub revoked: bool,
    /// Key material, in the order of the key-ids 1, 2, 3.
    pub keys: Vec<Vec<u8>>,
    /// The locator.
    pub address: Address,
}

impl SecurityKey {
    pub(super) fn read(r: &mut Reader<'_>, depth: u8) -> Result<Self, Error> {
        let [count, _, algorithm, flags] = r.array("Security-Key header")?;
        r.room(count.into(), 2, "Key Count")?;
        let keys = (0..count)
            .map(|_| {
                let length = r.u16("Key Length")?;
                r.bytes(length.into(), "Key Material").map(<[u8]>::to_vec)
            })
            .collect::<Result<_, _>>()?;
        let address = Address::read_nested(r, depth)?;
        Ok(Self { algorithm, revoked: flags & 1 != 0, keys, address })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        let (count, keys) = counted(&self.keys, u8::MAX);
        w.bytes([count, 0, self.algorithm, u8::from(self.revoked)]);
        for key in keys {
            w.with_len16(|w| {
                w.bytes(key);
            });
        }
        self.address.write(w);
    }
}

/// A key of up to 16 fields of equal width, for look-ups by anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpaqueKey {
    /// Number of fields, less one.
    pub last_field: u8,
    /// Fields that do not matter, bit 0 = the low-order field.
    pub wildcards: u16,
    /// The fields.
    pub key: Vec<u8>,
}

impl OpaqueKey {
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            last_field: r.u8("Key Field Num")?,
            wildcards: r.u16("Key Wildcard Fields")?,
            key: r.rest().to_vec(),
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.u8(self.last_field).u16(self.wildcards).bytes(&self.key);
    }
}
