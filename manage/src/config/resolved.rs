//! The configuration with every reference resolved: what the daemon acts on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use weft_control::lisp;
use weft_fib::UplinkId;
use weft_packet::addr::InstanceId;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who this router is.
    pub node: Node,
    /// What is logged.
    pub log: Log,
    /// The local uplinks that locator-sets refer to.
    pub uplinks: Vec<Uplink>,
    /// Instances bound to interfaces; the default instance is always there, first.
    pub instances: Vec<Instance>,
    /// How packets are carried.
    pub data_plane: DataPlane,
    /// What the LISP engine is.
    pub lisp: lisp::config::Config,
    /// Addresses the control port is opened on; empty: all.
    pub control_listen: Vec<IpAddr>,
    /// How the router is managed.
    pub management: Management,
}

/// Who this router is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// For people; the host name by default.
    pub name: String,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A `tracing` filter such as `info` or `info,weft_data=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text; coloured on a terminal.
    #[default]
    Auto,
    /// Text without colours.
    Text,
    /// One JSON object a line.
    Json,
}

/// A local uplink a locator refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its number, the same across reloads.
    pub id: UplinkId,
    /// What it is.
    pub place: UplinkPlace,
    /// Lower is preferred for sending.
    pub priority: u8,
    /// Share of the sent flows.
    pub weight: u8,
}

/// What makes an uplink.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UplinkPlace {
    /// The global addresses of an interface; of one family when given (`true` = IPv6).
    Interface {
        /// Its name.
        name: String,
        /// `Some(true)`: IPv6 only, `Some(false)`: IPv4 only.
        ipv6: Option<bool>,
    },
    /// One address, wherever it is.
    Address(IpAddr),
}

/// Numbers of uplinks, kept across reloads so that engine, FIB and data plane agree on them.
#[derive(Clone, Debug, Default)]
pub struct UplinkNames(BTreeMap<UplinkPlace, UplinkId>);

impl UplinkNames {
    /// The number of `place`, a new one if it never had one. `None` after 65,536 different ones.
    pub fn id(&mut self, place: &UplinkPlace) -> Option<UplinkId> {
        let next = UplinkId(u16::try_from(self.0.len()).ok()?);
        Some(*self.0.entry(place.clone()).or_insert(next))
    }

    /// What people call an uplink.
    pub fn name(&self, id: UplinkId) -> Option<&UplinkPlace> {
        self.0.iter().find(|(_, known)| **known == id).map(|(place, _)| place)
    }
}

/// An instance and the interfaces its hosts are behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The number on the wire.
    pub id: InstanceId,
    /// For people, and the name of its device's suffix.
    pub name: String,
    /// Host-facing interfaces; empty for the default instance: whatever no other instance has.
    pub interfaces: Vec<String>,
}

/// How packets are carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlane {
    /// Which.
    pub driver: Driver,
    /// Name of the TUN device of the default instance; others append `-NAME` or their number.
    pub device: String,
    /// Punts per second handed to the control plane.
    pub punt_rate: u32,
    /// What happens to packets while their mapping is asked for.
    pub first_packet: FirstPacket,
    /// Packets held per EID.
    pub first_packet_queue: usize,
    /// Inner MTU; `None`: path MTU less overhead.
    pub mtu: Option<u16>,
    /// What happens to packets too big for the path.
    pub on_too_big: OnTooBig,
    /// Fixed outer TTL; `None`: the inner packet's.
    pub ttl: Option<u8>,
    /// Fixed outer DSCP; `None`: the inner packet's.
    pub dscp: Option<u8>,
    /// TCP maximum segment size in SYNs.
    pub mss_clamp: MssClamp,
    /// Whether the outer source must be a locator of the inner source's mapping.
    pub source_check: SourceCheck,
    /// The interfaces where packets of plain LISP streams are joined, too.
    pub join_plain_lisp: Vec<String>,
    /// Threads and device queues; `None`: as the machine suggests.
    pub queues: Option<usize>,
    /// Routing table of the default instance; others follow.
    pub table: u32,
    /// Priority of our routing rules.
    pub rule_priority: u32,
    /// Sysctls that are needed are set and not only reported.
    pub set_sysctls: bool,
    /// What a stopped router leaves behind; `None`: nothing was said, which means to keep.
    pub on_exit: Option<OnExit>,
    /// Where kernel programs and tables are pinned.
    pub pin_path: PathBuf,
}

/// Which data plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// The best that runs here.
    #[default]
    Auto,
    /// Kernel programs forward, TUN devices and UDP sockets take what they leave.
    Ebpf,
    /// TUN devices and UDP sockets.
    Tun,
    /// No packets are carried.
    None,
}

/// What a stopped router leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExit {
    /// The kernel goes on forwarding until the router is back.
    #[default]
    Keep,
    /// Nothing: registrations are withdrawn, devices, rules and programs removed.
    Clean,
}

/// What happens to packets while their mapping is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstPacket {
    /// They wait.
    #[default]
    Queue,
    /// They are dropped.
    Drop,
}

/// What happens to packets too big for the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTooBig {
    /// The sender is told, IPv4 without DF is fragmented.
    #[default]
    Tell,
    /// The outer packet may be fragmented on its way (DF clear).
    FragmentOuter,
}

/// What is written into the maximum segment size of TCP SYNs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MssClamp {
    /// Nothing.
    #[default]
    Off,
    /// What fits the path.
    Auto,
    /// This at most.
    At(u16),
}

/// Whether the outer source of a packet must be a locator of its inner source's mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceCheck {
    /// No.
    #[default]
    Off,
    /// Where a mapping of the inner source is known.
    Loose,
    /// Yes; packets of sources without known mapping are dropped.
    Strict,
}

/// How the router is managed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Management {
    /// The CLI's door.
    pub socket: PathBuf,
    /// The group that may use it.
    pub group: Option<String>,
    /// Where state is kept across restarts.
    pub state: PathBuf,
    /// How long the journal of events for `weft monitor --last` is.
    pub event_history: usize,
    /// How long a graceful stop may take to withdraw registrations.
    pub stop_timeout: Duration,
}
