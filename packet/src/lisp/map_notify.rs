//! Map-Notify and Map-Notify-Ack: a registration was taken, or changed (RFC 9301 §5.7).

use super::{Authentication, MappingRecord};
use crate::addr::{Nonce, SiteId, XtrId};

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
    /// The mappings as registered, or as they are now.
    pub records: Vec<MappingRecord>,
    /// The xTR addressed (NAT draft bit I, or 24 octets behind the records).
    pub xtr: Option<(XtrId, SiteId)>,
}
