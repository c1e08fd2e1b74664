//! The LISP control plane (RFC 9301): one engine, composed of the roles that are configured.

pub mod config;
pub mod etr;
pub mod event;
pub mod itr;
pub mod local;
pub mod probe;
pub mod trace;
