//! The ETR as operators see it.

use serde::Serialize;

use super::database::Mapping;
use super::registration::RegistrationStatus;
use crate::lisp::status::LocatorStatus;

/// How the ETR stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// It is a Proxy-ETR.
    pub proxy: bool,
    /// What is ours, in order.
    pub database: Vec<MappingStatus>,
    /// With each Map-Server.
    pub registrations: Vec<RegistrationStatus>,
    /// RLOCs that would be told of a change now.
    pub told_of_changes: usize,
}

/// A mapping of ours.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MappingStatus {
    /// The EID-prefix, `[instance]prefix` outside the default instance.
    pub eid: String,
    /// Its instance.
    pub instance: u32,
    /// Seconds others may cache it.
    pub record_ttl: f64,
    /// Its locators as they are told now; empty while no uplink of it works.
    pub locators: Vec<LocatorStatus>,
}

impl MappingStatus {
    pub(super) fn new(mapping: &Mapping) -> Self {
        Self {
            eid: mapping.configured.eid.to_string(),
            instance: mapping.configured.eid.instance.get(),
            record_ttl: mapping.configured.record_ttl.as_secs_f64(),
            locators: LocatorStatus::all(&mapping.locators),
        }
    }
}
