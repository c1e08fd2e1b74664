//! Authentication of Map-Register, Map-Notify, Map-Notify-Ack and Info messages (RFC 9301 §5.6).

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
