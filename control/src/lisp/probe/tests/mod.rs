//! Whole sites in virtual time.

mod faults;
mod messages;
mod network;
mod steady;
