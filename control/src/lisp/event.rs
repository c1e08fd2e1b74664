//! What happened, for logs, `weft monitor` and the management interfaces: one enum, rendered by
//! each in its own way. State changes and messages; never one per forwarded packet.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use weft_fib::UplinkId;
use weft_packet::addr::{EidPrefix, Nonce};
use weft_packet::lisp::MappingRecord;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A control message went out or came in.
    Message {
        /// Came in, or went out.
        direction: Direction,
        /// `map-request`, `rloc-probe`, `smr`, `map-reply`, …
        kind: &'static str,
        /// The other end.
        peer: SocketAddr,
        /// The first EID it is about, where it is about one.
        eid: Option<EidPrefix>,
        /// One line more: nonce, TTL, locators.
        detail: String,
    },
    /// A control message was not taken.
    Refused {
        /// `map-register`, …
        kind: &'static str,
        /// Who sent it.
        peer: SocketAddr,
        /// What it was about, where that could be read.
        eid: Option<EidPrefix>,
        /// Why.
        reason: Refusal,
        /// The site or the like it concerned, and details for people.
        detail: String,
    },
    /// A mapping was learned, changed or replaced.
    MappingLearned {
        /// About what.
        eid: EidPrefix,
        /// Who told.
        from: IpAddr,
        /// Locators for people, or the negative action.
        detail: String,
        /// Since the packet that asked for it, where one did.
        took: Option<Duration>,
    },
    /// A mapping left the map-cache.
    MappingRemoved {
        /// About what.
        eid: EidPrefix,
        /// `expired`, `idle`, `evicted`, `withdrawn`, `flushed`.
        why: &'static str,
    },
    /// No Map-Resolver answered for an EID.
    LookupFailed {
        /// Asked for.
        eid: EidPrefix,
        /// How often.
        tries: u32,
    },
    /// An operator's lookup was answered.
    LookupAnswered {
        /// Names the lookup.
        nonce: Nonce,
        /// Asked for.
        eid: EidPrefix,
        /// Who answered.
        from: IpAddr,
        /// All that was answered, as it came.
        records: Vec<MappingRecord>,
        /// Since the request it answers.
        took: Duration,
    },
    /// Nobody answered an operator's lookup.
    LookupUnanswered {
        /// Names the lookup.
        nonce: Nonce,
        /// Asked for.
        eid: EidPrefix,
        /// How often.
        tries: u32,
    },
    /// A Map-Resolver does not answer, another is used.
    ResolverFailover {
        /// Silent.
        from: IpAddr,
        /// Asked now.
        to: IpAddr,
    },
    /// A Map-Resolver that comes earlier in the configuration answers again and is used.
    ResolverRestored {
        /// Which.
        resolver: IpAddr,
    },
    /// A remote locator answers again.
    RlocUp {
        /// Which.
        rloc: IpAddr,
    },
    /// A remote locator does not answer.
    RlocDown {
        /// Which.
        rloc: IpAddr,
        /// For people.
        why: String,
    },
    /// A local uplink works again.
    UplinkUp {
        /// Which.
        uplink: UplinkId,
        /// Its address.
        rloc: IpAddr,
    },
    /// A local uplink does not work.
    UplinkDown {
        /// Which.
        uplink: UplinkId,
        /// Its address.
        rloc: IpAddr,
        /// For people.
        why: String,
    },
    /// A Map-Server acknowledged our registration for the first time, or again.
    Registered {
        /// Which Map-Server.
        map_server: IpAddr,
        /// How many EID-prefixes.
        prefixes: usize,
    },
    /// A Map-Server stopped acknowledging, or refused.
    RegistrationLost {
        /// Which Map-Server.
        map_server: IpAddr,
        /// For people.
        why: String,
    },
    /// An EID-prefix of a site was registered, changed or withdrawn at this Map-Server.
    SiteChanged {
        /// The site's name.
        site: String,
        /// Which prefix.
        eid: EidPrefix,
        /// `registered`, `changed`, `withdrawn`, `expired`.
        what: &'static str,
        /// Who did it.
        by: Option<IpAddr>,
    },
}

/// Seen from this router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It came in.
    In,
    /// It went out.
    Out,
}

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// Why a control message was not taken. Counted under the same words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Refusal { $($(#[doc = $doc])+ $name,)+ }

        impl Refusal {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word for people and programs.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

refusals! {
    /// The bytes are not a message.
    Malformed = "malformed",
    /// No role here takes such messages.
    NotForUs = "not-for-us",
    /// No site holds the EID-prefix.
    UnknownSite = "unknown-site",
    /// More specific than the site may register.
    MoreSpecific = "more-specific",
    /// No key with that key-id.
    UnknownKey = "unknown-key",
    /// The algorithm is not accepted.
    Algorithm = "algorithm",
    /// The MAC does not match: the keys differ or somebody altered the message.
    WrongKey = "wrong-key",
    /// The nonce did not increase: an old message was replayed.
    Replayed = "replayed",
    /// A locator the site may not register.
    RlocNotAllowed = "rloc-not-allowed",
    /// The site holds its maximum of mappings.
    TooManyMappings = "too-many-mappings",
    /// The EID is of a kind or instance not served.
    UnsupportedEid = "unsupported-eid",
    /// Nothing was asked with that nonce.
    UnknownNonce = "unknown-nonce",
    /// The answer does not contain what was asked.
    WrongAnswer = "wrong-answer",
    /// A probe must not travel through the mapping system.
    ProbeNotAllowed = "probe-not-allowed",
    /// No ITR-RLOC an answer could go to.
    NoItrRloc = "no-itr-rloc",
    /// More than the sender's share.
    RateLimited = "rate-limited",
    /// A bound on state is reached.
    Full = "full",
    /// Fields contradict each other or the specification.
    Inconsistent = "inconsistent",
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
