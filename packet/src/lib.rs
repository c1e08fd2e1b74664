//! What travels: the nouns of the network and their wire form. No state, no I/O.
//!
//! [`wire`] reads and writes bytes in network order, [`addr`] holds the nouns every other crate
//! speaks in, [`lisp`] has one file a message, and [`ip`] the headers of the packets we carry.

pub mod addr;
pub mod ip;
pub mod lisp;
pub mod wire;
