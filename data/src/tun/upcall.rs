//! What the plane tells the control plane.

use std::net::IpAddr;
use std::sync::Arc;
use weft_packet::addr::InstanceId;

/// Takes what the plane has to say. Called from the workers, so it must not block; `false` means
/// the control plane is busy, and the plane says it again later while it still matters.
pub type Upcalls = Arc<dyn Fn(Upcall) -> bool + Send + Sync>;

/// Something only the control plane can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upcall {
    /// The table says to ask: packets to `destination` are held until [`Tun::release`].
    ///
    /// [`Tun::release`]: super::Tun::release
    Punt {
        /// The instance of the device the packet came from.
        instance: InstanceId,
        /// Inner source of the first packet held.
        source: IpAddr,
        /// Inner destination.
        destination: IpAddr,
    },
    /// The path to a locator carries no outer packet above this size.
    PathMtu {
        /// The locator.
        rloc: IpAddr,
        /// Octets of an outer packet.
        mtu: u16,
    },
}
