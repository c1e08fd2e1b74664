//! Why a packet was not forwarded. The same words in counters, `monitor`, metrics and `trace`.

use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// Why a packet was dropped. Every dropped packet is counted under exactly one of these.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[doc = $doc])+ $name,)+ }

        impl DropReason {
            /// All reasons, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word for people and programs.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What it means, for `weft counters` and the manual.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// The mapping system says there is nothing there, and the action is to drop.
    NegativeMapping = "negative-mapping",
    /// The mapping system says a policy forbids it (ACT 4).
    PolicyDenied = "policy-denied",
    /// The mapping system says an authentication failed (ACT 5).
    AuthFailure = "auth-failure",
    /// The mapping has locators, none of which can be used.
    NoUsableRloc = "no-usable-rloc",
    /// No local uplink of a locator's family works.
    NoUsableUplink = "no-usable-uplink",
    /// A configured route says drop.
    StaticDrop = "static-drop",
    /// No mapping came while the packet was held.
    HoldTimeout = "hold-timeout",
    /// Too many packets wait for a mapping of this EID.
    HoldEidFull = "hold-eid-full",
    /// Too many packets wait for mappings in total.
    HoldFull = "hold-full",
    /// The packet is not a well-formed IPv4 or IPv6 packet.
    Malformed = "malformed",
    /// TTL or hop limit ran out.
    TtlExceeded = "ttl-exceeded",
    /// Too big for the path; the sender was told.
    TooBig = "too-big",
    /// To a multicast or broadcast address, which this router does not replicate.
    Multicast = "multicast",
    /// To a link-local, loopback or unspecified address.
    NotRoutable = "not-routable",
    /// To an EID of this site that the host stack could not deliver.
    LocalUndeliverable = "local-undeliverable",
    /// Native forwarding is not possible in this instance.
    NoNativeRoute = "no-native-route",
    /// Encapsulated, but the header cannot be read.
    BadHeader = "bad-header",
    /// Encapsulated for an instance this router does not serve.
    UnknownInstance = "unknown-instance",
    /// Encapsulated, but the inner destination is no EID of this router in that instance.
    NotLocalEid = "not-local-eid",
    /// The outer source is no locator of the inner source's mapping.
    SourceRejected = "source-rejected",
    /// The payload protocol is not IPv4 or IPv6.
    UnknownProtocol = "unknown-protocol",
    /// Congestion was marked on a packet whose sender cannot react to it (RFC 6040 §4.2).
    EcnDiscarded = "ecn-discarded",
    /// Control payload from a peer no NAT state exists for.
    UnexpectedControl = "unexpected-control",
    /// The kernel refused to send it on the underlay.
    SendFailed = "send-failed",
    /// The kernel refused to deliver it to the host side.
    DeliverFailed = "deliver-failed",
    /// A receive buffer was full and the kernel dropped it.
    ReceiveOverflow = "receive-overflow",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
