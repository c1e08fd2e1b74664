//! What the command line and the router say to each other over the control socket: one request as
//! a line of JSON, then one answer line, or many for a stream.
//!
//! Answers carry a versioned `schema`, the node's name, the time and `items`; adding a key is not
//! a new version. Durations are seconds as numbers, addresses and EIDs are text.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Verdict, roles, registrations, locators, traffic.
    Status,
    /// Map-cache entries; with `eid` only the one that would be used.
    MapCache {
        /// An address or prefix.
        #[serde(default)]
        eid: Option<String>,
        /// Its instance.
        #[serde(default)]
        instance: Option<u32>,
        /// At most so many.
        #[serde(default)]
        limit: Option<usize>,
    },
    /// Forgets one learned entry, or all.
    MapCacheFlush {
        /// Which; all when absent.
        #[serde(default)]
        eid: Option<String>,
        /// Its instance.
        #[serde(default)]
        instance: Option<u32>,
    },
    /// Our own EID-prefixes and how they are registered.
    Database,
    /// Registration with each Map-Server.
    Registration,
    /// Registers at once.
    RegistrationNow,
    /// Remote locators: state, round trip, probes.
    Rloc,
    /// Probes a locator at once.
    RlocProbe {
        /// Which.
        rloc: String,
    },
    /// Sites of this Map-Server.
    Site {
        /// Only this one.
        #[serde(default)]
        name: Option<String>,
    },
    /// Registered EID-prefixes of this Map-Server.
    SiteRegistration {
        /// Only what covers or is covered by this.
        #[serde(default)]
        eid: Option<String>,
        /// Its instance.
        #[serde(default)]
        instance: Option<u32>,
        /// At most so many.
        #[serde(default)]
        limit: Option<usize>,
    },
    /// Registrations refused lately, and why.
    SiteRefused,
    /// This Map-Resolver.
    MapResolver,
    /// Overlay devices, uplinks and host-facing interfaces.
    Interface,
    /// Every counter with its reason.
    Counters,
    /// Live events; a stream that ends when the client goes.
    Monitor {
        /// First this many past ones.
        #[serde(default)]
        last: usize,
        /// Do not wait for further ones.
        #[serde(default)]
        past_only: bool,
        /// Control messages too, not only what changed.
        #[serde(default)]
        messages: bool,
        /// Dropped packets too.
        #[serde(default)]
        drops: bool,
    },
    /// What would happen to a packet.
    Trace {
        /// Where it would come from; default: an EID of this router.
        #[serde(default)]
        source: Option<String>,
        /// Where it goes.
        destination: String,
        /// Its instance.
        #[serde(default)]
        instance: Option<u32>,
        /// IP protocol number.
        #[serde(default)]
        protocol: Option<u8>,
        /// Source and destination port.
        #[serde(default)]
        ports: Option<(u16, u16)>,
        /// Octets of the inner packet.
        #[serde(default)]
        length: Option<u16>,
    },
    /// Asks the mapping system; answers with one item a reply.
    Lig {
        /// For whom.
        eid: String,
        /// Its instance.
        #[serde(default)]
        instance: Option<u32>,
        /// Whom to ask instead of the configured Map-Resolver.
        #[serde(default)]
        resolver: Option<String>,
    },
    /// The running configuration, secrets masked.
    ConfigShow,
    /// What a file would change; the path is the router's.
    ConfigDiff {
        /// The file; default: the one the router runs with.
        #[serde(default)]
        file: Option<String>,
    },
    /// Applies the difference between the file and what runs.
    ConfigReload,
}

/// What comes back for a request that could be carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// `weft.NOUN/VERSION`.
    pub schema: String,
    /// The router's name.
    pub node: String,
    /// RFC 3339.
    pub time: String,
    /// What was asked for.
    pub items: Vec<Value>,
    /// What is not a list: verdicts, totals.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub summary: Value,
}

/// What comes back for one that could not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// One sentence: what failed and where.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The exit code the command ends with.
    pub exit: u8,
}

/// One line back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Response {
    /// It could not be done.
    Failure(Failure),
    /// Here it is.
    Answer(Answer),
    /// One item of a stream.
    Item(Value),
}

/// `seconds` and `nanoseconds` since 1970 as RFC 3339 in UTC, milliseconds shown.
pub fn rfc3339(since_1970: std::time::Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date: count from 0000-03-01 in 400-year eras, so that leap days end a year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let milli = since_1970.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn requests_read_as_people_would_write_them() {
        let request: Request =
            serde_json::from_str(r#"{"request":"map-cache","eid":"10.0.0.1"}"#).unwrap();
        assert!(matches!(request, Request::MapCache { eid: Some(eid), .. } if eid == "10.0.0.1"));
        assert!(serde_json::from_str::<Request>(r#"{"request":"map-cash"}"#).is_err());
    }

    #[test]
    fn times_are_civil_dates() {
        let at = |seconds| rfc3339(Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_132_799), "2026-11-19T23:59:59.000Z");
        assert_eq!(rfc3339(Duration::from_millis(86_400_123)), "1970-01-02T00:00:00.123Z");
    }

    #[test]
    fn failures_and_answers_are_told_apart() {
        let failure = Failure { error: "no".into(), help: None, exit: 1 };
        let line = serde_json::to_string(&Response::Failure(failure.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Response>(&line).unwrap(), Response::Failure(failure));
        let line = r#"{"schema":"weft.status/1","node":"a","time":"t","items":[]}"#;
        assert!(matches!(serde_json::from_str(line).unwrap(), Response::Answer(_)));
    }
}
