//! The Linux side of the router: what the kernel says of links and addresses, and the rules and
//! routes that bring packets to the data plane.
//!
//! [`facts`] is what was read, [`plan`] what we want installed, both plain values; only
//! [`netlink`] talks to the kernel. Everything we install carries our own routing protocol
//! number, so it can be found and removed after a crash.

pub(crate) mod facts;
pub(crate) mod netlink;
pub(crate) mod offload;
pub(crate) mod pins;
pub(crate) mod plan;
pub(crate) mod sysctl;
pub(crate) mod uplinks;
