//! The UDP sockets of the underlay, and the batched system calls on them.

mod address;
mod control;
mod errors;
mod open;
mod receive;
mod send;

pub(super) use errors::PathMtu;
pub(super) use open::{PrivatePorts, Receiver, Senders};
pub(super) use receive::{Datagram, Inbox, MESSAGES};
pub(super) use send::{Batch, Envelope};
