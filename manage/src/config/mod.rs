//! The configuration: TOML as people write it, parsed into what each part of the router is told.
//!
//! `load` reads the file (and `conf.d/*.toml` beside it), reports every error at once, each with
//! file, line, caret and remedy, and returns a [`Config`] in which every reference is resolved.

mod resolved;

pub use resolved::{
    Config, DataPlane, Driver, FirstPacket, Instance, Log, LogFormat, Management, MssClamp, Node,
    OnTooBig, SourceCheck, Uplink, UplinkNames, UplinkPlace,
};
