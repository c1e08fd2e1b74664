//! What the engine is told to be. `weft_manage::config` parses into this; so will every other
//! management interface. A role is on because its part is present.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use weft_fib::{Encapsulation, UplinkId};
use weft_packet::addr::{EidPrefix, InstanceId, Prefix, SiteId, XtrId};
use weft_packet::lisp::{Action, Algorithm};

/// The whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Names this xTR in registrations.
    pub xtr_id: XtrId,
    /// Names its site.
    pub site_id: SiteId,
    /// Instances served besides the default one, and it: every instance EIDs may be in.
    pub instances: Vec<InstanceId>,
    /// How packets are wrapped where the mapping does not say otherwise.
    pub encapsulation: Encapsulation,
    /// Sends: looks mappings up, encapsulates.
    pub itr: Option<Itr>,
    /// Receives: registers its EIDs, decapsulates.
    pub etr: Option<Etr>,
    /// Takes registrations.
    pub map_server: Option<MapServer>,
    /// Takes encapsulated Map-Requests.
    pub map_resolver: Option<MapResolver>,
}

/// The Ingress Tunnel Router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Itr {
    /// Asked in turn; the first that answers is kept.
    pub map_resolvers: Vec<IpAddr>,
    /// PITR: packets from any source are encapsulated (RFC 6832).
    pub proxy: bool,
    /// Map-Requests sent for one EID before its packets are given up, not counting the first.
    pub map_request_retries: u32,
    /// Only destinations in here are looked up, the rest is forwarded natively; empty: all are.
    pub allowed_eids: Vec<EidPrefix>,
    /// Entries a map-cache holds per instance; the least recently used make room.
    pub map_cache_limit: usize,
    /// An entry that carried nothing for so long is not refreshed, and goes when its TTL ends or
    /// room is needed.
    pub idle_timeout: Duration,
    /// Cached mappings live no longer than this, whatever their TTL.
    pub max_ttl: Duration,
    /// How RLOCs are probed; `None`: not at all.
    pub probing: Option<Probing>,
    /// Where packets to non-LISP destinations go; empty: natively.
    pub proxy_etrs: Vec<ProxyEtr>,
    /// Written in the configuration, never asked for.
    pub static_map_cache: Vec<StaticMapping>,
}

impl Default for Itr {
    fn default() -> Self {
        Self {
            map_resolvers: Vec::new(),
            proxy: false,
            map_request_retries: 2,
            allowed_eids: Vec::new(),
            map_cache_limit: 65_536,
            idle_timeout: Duration::from_mins(5),
            max_ttl: Duration::from_hours(24),
            probing: Some(Probing::default()),
            proxy_etrs: Vec::new(),
            static_map_cache: Vec::new(),
        }
    }
}

/// RLOC probing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// Between probes of a locator that answers.
    pub interval: Duration,
    /// Between probes of a locator under suspicion.
    pub retry_interval: Duration,
    /// Unanswered probes until a locator is down.
    pub retries: u32,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            retry_interval: Duration::from_secs(1),
            retries: 3,
        }
    }
}

/// A Proxy-ETR to send non-LISP destinations to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyEtr {
    /// Its RLOC.
    pub address: IpAddr,
    /// Serves IPv4 EIDs.
    pub ipv4: bool,
    /// Serves IPv6 EIDs.
    pub ipv6: bool,
    /// Lower is better.
    pub priority: u8,
    /// Share within its priority.
    pub weight: u8,
}

/// A mapping that is written and not learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticMapping {
    /// What it is about.
    pub eid: EidPrefix,
    /// Whose packets it is for, a prefix of the same family; `None` = everybody's (RFC 8060 §4.8). A
    /// Map-Server has none of these.
    pub from: Option<Prefix>,
    /// Where it is; empty: `action` says what to do.
    pub rlocs: Vec<Rloc>,
    /// What to do without RLOCs.
    pub action: Action,
}

/// A locator as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rloc {
    /// Where.
    pub place: Place,
    /// Lower is better.
    pub priority: u8,
    /// Share within its priority.
    pub weight: u8,
    /// Lower is better.
    pub multicast_priority: u8,
    /// Share within its multicast priority.
    pub multicast_weight: u8,
}

impl Rloc {
    /// A locator packets can be sent to, and no joins.
    pub fn unicast(place: Place, priority: u8, weight: u8) -> Self {
        Self { place, priority, weight, multicast_priority: 255, multicast_weight: 0 }
    }
}

/// What a configured locator refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The current addresses of a local uplink, known by this number to engine and daemon.
    Uplink(UplinkId),
    /// A fixed address; `local` when it is one of ours.
    Address {
        /// The RLOC.
        rloc: IpAddr,
        /// Whether packets to it reach this router.
        local: bool,
    },
}

/// The Egress Tunnel Router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Etr {
    /// PETR: decapsulates towards destinations outside LISP (RFC 6832).
    pub proxy: bool,
    /// Where registrations go.
    pub map_servers: Vec<EtrMapServer>,
    /// What is registered.
    pub database: Vec<DatabaseMapping>,
    /// Between registrations.
    pub register_interval: Duration,
    /// Told by SMR when our RLOCs change, besides those that use them.
    pub proxy_itrs: Vec<IpAddr>,
}

/// A Map-Server to register with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtrMapServer {
    /// Where.
    pub address: IpAddr,
    /// What both ends know.
    pub key: Secret,
    /// Which key that is.
    pub key_id: u8,
    /// How messages are authenticated.
    pub algorithm: Algorithm,
    /// The MAC is cut to the length RFC 9301 gives (12 or 16 octets); all known peers send it
    /// whole.
    pub truncate: bool,
    /// The Map-Server shall answer for us.
    pub proxy_reply: bool,
    /// Ask for Map-Notifies.
    pub want_notify: bool,
    /// Merge with other xTRs of the site.
    pub merge: bool,
}

/// An EID-prefix of this site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseMapping {
    /// What is ours.
    pub eid: EidPrefix,
    /// Where it can be reached.
    pub rlocs: Vec<Rloc>,
    /// How long others may cache it.
    pub record_ttl: Duration,
    /// Overrides the Map-Servers' `proxy_reply`.
    pub proxy_reply: Option<bool>,
}

/// The Map-Server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapServer {
    /// Who may register what.
    pub sites: Vec<Site>,
    /// Mappings nobody registers.
    pub static_mappings: Vec<StaticMapping>,
    /// A registration not renewed for so long is gone (unless its T bit says otherwise).
    pub registration_timeout: Duration,
}

impl Default for MapServer {
    fn default() -> Self {
        Self {
            sites: Vec::new(),
            static_mappings: Vec::new(),
            registration_timeout: Duration::from_mins(3),
        }
    }
}

/// A site of the Map-Server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// For people.
    pub name: String,
    /// What it may register.
    pub eid_prefixes: Vec<EidPrefix>,
    /// More-specific prefixes too.
    pub accept_more_specifics: bool,
    /// Its keys by key-id; several while a key is being changed.
    pub keys: Vec<(u8, Secret)>,
    /// Algorithms accepted.
    pub algorithms: Vec<Algorithm>,
    /// Answer for its ETRs even if they do not ask for it.
    pub proxy_reply: bool,
    /// Merge registrations of its xTRs even if they do not ask for it.
    pub merge: bool,
    /// How nonces are checked against replay.
    pub replay: Replay,
    /// RLOCs it may register; empty: any.
    pub allowed_rlocs: Vec<Prefix>,
    /// Who may ask; others get ACT 4. Empty: everybody.
    pub allowed_itrs: Vec<Prefix>,
    /// Registrations beyond this number are refused.
    pub max_mappings: usize,
}

/// How the nonces of Map-Registers are checked (RFC 9301 §5.6: strictly increasing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// Any nonce is taken: some peers draw random ones.
    Off,
    /// Strict for an xTR-ID as soon as it has shown a run of increasing nonces.
    #[default]
    Auto,
    /// Must increase per xTR-ID (or sender without one) and key.
    Strict,
}

/// The Map-Resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapResolver {
    /// How it finds answers.
    pub resolve: Resolve,
    /// TTL of negative answers for prefixes no site holds.
    pub negative_ttl: Duration,
}

/// Where a Map-Resolver takes answers from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// The Map-Server in this process.
    Local,
    /// Requests are forwarded to the first reachable of these.
    MapServers(Vec<SocketAddr>),
}

/// A pre-shared key. It prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps `bytes` from being printed.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// For the MAC.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\u{2026}")
    }
}
