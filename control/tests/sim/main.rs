//! Whole networks of LISP routers in virtual time.
//!
//! Every router is a real engine with a real forwarding table; sockets, clocks and disks are
//! played. Datagrams take their time, get lost, doubled and overtaken; routers crash and come back
//! with what they had stored. A seed decides all of it, so what happened once happens again:
//! `WEFT_SIM_SEED=… cargo test -p weft-control --test sim`.

#![expect(clippy::unwrap_used, reason = "what a story says about itself is not outside data")]

mod anything;
mod kinds;
mod laws;
mod network;
mod node;
mod places;
mod random_faults;
mod refusals;
mod stories;
mod thousand;
mod transcript;
mod world;
