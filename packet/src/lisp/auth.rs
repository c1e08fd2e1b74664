//! Authentication of Map-Register, Map-Notify, Map-Notify-Ack and Info messages (RFC 9301 §5.6).
//!
//! The fields lie at the same place in all of them: Key ID, algorithm and length in the octets 12
//! to 15, then the MAC. It covers the whole UDP payload with its own octets zero, also the xTR-ID
//! behind the records. Algorithm 3 derives a key per message by HKDF-SHA256 from nonce and
//! pre-shared key, salted by the kind of message (RFC 9301 §12.5).

use crate::wire::{self, Reader, Wire, Writer};
use hkdf::HkdfExtract;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// How a message is authenticated (RFC 9301 §12.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// 0: not at all.
    #[default]
    None,
    /// 1: HMAC-SHA-1-96 with the pre-shared key.
    HmacSha1,
    /// 2: HMAC-SHA-256-128 with the pre-shared key.
    HmacSha256,
    /// 3: HMAC-SHA256-128 with a key derived per message by HKDF-SHA256.
    HmacSha256Hkdf,
    /// Any other number.
    Unknown(u8),
}

impl Algorithm {
    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::HmacSha1 => 1,
            Self::HmacSha256 => 2,
            Self::HmacSha256Hkdf => 3,
            Self::Unknown(number) => number,
        }
    }

    /// The algorithm of a number on the wire.
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::HmacSha1,
            2 => Self::HmacSha256,
            3 => Self::HmacSha256Hkdf,
            _ => Self::Unknown(number),
        }
    }

    /// Octets of the MAC: whole as every peer sends it, or truncated as the names say.
    pub const fn mac_len(self, full: bool) -> usize {
        match (self, full) {
            (Self::None | Self::Unknown(_), _) => 0,
            (Self::HmacSha1, true) => 20,
            (Self::HmacSha1, false) => 12,
            (Self::HmacSha256 | Self::HmacSha256Hkdf, true) => 32,
            (Self::HmacSha256 | Self::HmacSha256Hkdf, false) => 16,
        }
    }
}

/// The authentication fields as a message carries them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// Which of the keys both ends share.
    pub key_id: u8,
    /// How.
    pub algorithm: Algorithm,
    /// The MAC, whole or truncated; all zero while it is computed.
    pub data: Vec<u8>,
}

impl Authentication {
    /// Room for a MAC of `algorithm`, to be filled by [`sign`].
    pub fn unsigned(key_id: u8, algorithm: Algorithm, full: bool) -> Self {
        Self { key_id, algorithm, data: vec![0; algorithm.mac_len(full)] }
    }
}

impl Wire for Authentication {
    fn read(r: &mut Reader<'_>) -> Result<Self, wire::Error> {
        let [key_id, algorithm] = r.array("Key ID")?;
        let length = r.u16("Authentication Data Length")?;
        let data = r.bytes(length.into(), "Authentication Data")?.to_vec();
        Ok(Self { key_id, algorithm: Algorithm::from_number(algorithm), data })
    }

    fn write(&self, w: &mut Writer) {
        w.u8(self.key_id).u8(self.algorithm.number()).with_len16(|w| {
            w.bytes(&self.data);
        });
    }
}

/// Which message is authenticated: it salts the key of algorithm 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Map-Register.
    MapRegister,
    /// Map-Notify.
    MapNotify,
    /// Map-Notify-Ack.
    MapNotifyAck,
    /// Info-Request and Info-Reply, whose fields are those of a Map-Register (NAT draft §4.1).
    Info,
}

impl Purpose {
    const fn salt(self) -> &'static [u8] {
        match self {
            Self::MapRegister | Self::Info => b"Map-Register Authentication",
            Self::MapNotify => b"Map-Notify Authentication",
            Self::MapNotifyAck => b"Map-Notify-Ack Authentication",
        }
    }
}

/// Why a message is not authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The message ends before its authentication fields do.
    #[error("truncated in the authentication fields")]
    Truncated,
    /// The MAC has a length the algorithm does not know.
    #[error("MAC of a length its algorithm does not have")]
    Length,
    /// No authentication at all, or by an algorithm we do not know.
    #[error("authentication algorithm {0} cannot be verified")]
    Algorithm(u8),
    /// Another key, or other octets.
    #[error("MAC does not match")]
    Mismatch,
}

/// Computes the MAC over a whole message and writes it in place.
///
/// `bytes` must come from a message encoded with [`Authentication::unsigned`] of the same
/// `algorithm` and `full`; one without room for the MAC is left as it is.
pub fn sign(bytes: &mut [u8], kind: Purpose, algorithm: Algorithm, key: &[u8], full: bool) {
    let len = algorithm.mac_len(full);
    if let Some(mac) = mac(bytes, len, kind, algorithm, key)
        && let (Some(slot), Some(mac)) = (bytes.get_mut(DATA..DATA + len), mac.get(..len))
    {
        slot.copy_from_slice(mac);
    }
}

/// Verifies the MAC of a whole message as received, in constant time.
pub fn verify(bytes: &[u8], kind: Purpose, key: &[u8]) -> Result<(), Error> {
    let mut r = Reader::new(bytes.get(FIELDS..).ok_or(Error::Truncated)?);
    let truncated = |_| Error::Truncated;
    r.u8("Key ID").map_err(truncated)?;
    let number = r.u8("Algorithm ID").map_err(truncated)?;
    let length = r.u16("Authentication Data Length").map_err(truncated)?;
    let algorithm = Algorithm::from_number(number);
    if algorithm.mac_len(true) == 0 {
        return Err(Error::Algorithm(number));
    }
    let len = usize::from(length);
    if len != algorithm.mac_len(true) && len != algorithm.mac_len(false) {
        return Err(Error::Length);
    }
    let claimed = r.bytes(len, "Authentication Data").map_err(truncated)?;
    let computed = mac(bytes, len, kind, algorithm, key).ok_or(Error::Truncated)?;
    let computed = computed.get(..len).ok_or(Error::Length)?;
    if bool::from(computed.ct_eq(claimed)) { Ok(()) } else { Err(Error::Mismatch) }
}

/// The whole MAC of a message whose authentication data takes `len` octets, in the front of the
/// array. `None` for algorithms without one and for messages that end before.
fn mac(
    bytes: &[u8],
    len: usize,
    kind: Purpose,
    algorithm: Algorithm,
    key: &[u8],
) -> Option<[u8; 32]> {
    let covered = [bytes.get(..DATA)?, ZEROS.get(..len)?, bytes.get(DATA + len..)?];
    let mut mac = [0; 32];
    match algorithm {
        Algorithm::None | Algorithm::Unknown(_) => return None,
        Algorithm::HmacSha1 => {
            mac[..20].copy_from_slice(&digest::<Hmac<Sha1>>(key, covered)?);
        }
        Algorithm::HmacSha256 => mac.copy_from_slice(&digest::<Hmac<Sha256>>(key, covered)?),
        Algorithm::HmacSha256Hkdf => {
            let key = message_key(bytes.get(NONCE..FIELDS)?, key, kind.salt());
            mac.copy_from_slice(&digest::<Hmac<Sha256>>(&key, covered)?);
        }
    }
    Some(mac)
}

fn digest<M: Mac + KeyInit>(key: &[u8], covered: [&[u8]; 3]) -> Option<hmac::digest::Output<M>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    for part in covered {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes())
}

/// The key of one message: HKDF-SHA256 of nonce and pre-shared key, no info, 32 octets.
fn message_key(nonce: &[u8], key: &[u8], salt: &[u8]) -> [u8; 32] {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    extract.input_ikm(nonce);
    extract.input_ikm(key);
    let (_, hkdf) = extract.finalize();
    let mut out = [0; 32];
    hkdf.expand(&[], &mut out).expect("32 octets are one block of SHA-256");
    out
}

const NONCE: usize = 4;
const FIELDS: usize = 12;
const DATA: usize = 16;
const ZEROS: [u8; 32] = [0; 32];
