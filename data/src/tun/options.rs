//! How the plane behaves. Everything here may change while packets flow, except where said.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use weft_packet::addr::InstanceId;
use weft_packet::lisp::{DATA_PORT, VXLAN_GPE_PORT, VXLAN_PORT};

use crate::pipeline::{Dscp, MssClamp, SourceCheck, Ttl};

/// How the plane behaves; see [`Tun::set_options`](super::Tun::set_options).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Device queues, each served by one thread; `None` = one for two
    /// CPUs, at most four. Fixed at start.
    pub queues: Option<usize>,
    /// UDP source ports per family that flows are spread over (RFC 9300 §5.3). Fixed at start.
    pub source_ports: usize,
    /// Receive buffer of each UDP socket, octets. Fixed at start.
    pub receive_buffer: usize,
    /// Devices outlive a plane that ends without [`Tun::stop`](super::Tun::stop), as in a crash,
    /// with the routes and rules that point to them; the next plane takes them over. Fixed at
    /// start.
    pub persistent: bool,
    /// Let the kernel join received datagrams. It joins them before anything else sees them, so
    /// this must be off while an eBPF program takes packets in front of the sockets.
    pub udp_gro: bool,
    /// The data ports belong to somebody else. The sockets for them are out of reach for anybody
    /// but the one who brings them their datagrams; see [`Tun::steered`](super::Tun::steered).
    /// Fixed at start.
    pub steered: bool,
    /// Receive VXLAN, too. Its port may be the kernel's, for VXLAN devices of others on this
    /// machine, and is only taken when wanted. Fixed at start.
    pub vxlan: bool,
    /// TTL of outer packets.
    pub ttl: Ttl,
    /// DSCP of outer packets.
    pub dscp: Dscp,
    /// Copy the outer DSCP to the inner packet when decapsulating (the uniform model of
    /// RFC 2983); otherwise the inner one stays (the pipe model).
    pub dscp_back: bool,
    /// Tell senders what is too big and set DF on outer packets. Off: the underlay fragments.
    pub path_mtu_discovery: bool,
    /// Lower the MSS that TCP connections announce, in both directions.
    pub mss_clamp: MssClamp,
    /// The smallest MTU of the links towards the hosts of an instance. A TCP super-packet that a
    /// tunnel endpoint on this machine sends us does not say how it is to be cut, and this is how:
    /// its packets must be none that a link refuses or the hosts did not ask for. Where nothing
    /// is given, to what everybody must accept (RFC 9293 §3.7.1).
    pub site_mtus: HashMap<InstanceId, u16>,
    /// Must the outer source be a locator of the inner source's mapping?
    pub source_check: SourceCheck,
    /// Decapsulate towards any inner destination and not only our EIDs: a Proxy-ETR or RTR.
    pub decapsulate_any: bool,
    /// Bounds on packets that wait for a mapping.
    pub hold: HoldLimits,
    /// Packets per second whose destination is handed to the control plane.
    pub punt_rate: u32,
    /// ICMP errors sent per second.
    pub icmp_rate: u32,
    /// What ICMP errors are sent from. Where nothing is given, from the address the packet was
    /// sent to.
    pub icmp_sources: HashMap<InstanceId, IcmpSource>,
}

impl Options {
    /// The ports encapsulated packets are received on.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> + use<> {
        let vxlan = self.vxlan.then_some(VXLAN_PORT);
        [DATA_PORT, VXLAN_GPE_PORT].into_iter().chain(vxlan)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queues: None,
            source_ports: 16,
            receive_buffer: 8 << 20,
            persistent: false,
            udp_gro: true,
            steered: false,
            vxlan: false,
            ttl: Ttl::default(),
            dscp: Dscp::default(),
            dscp_back: true,
            path_mtu_discovery: true,
            mss_clamp: MssClamp::default(),
            site_mtus: HashMap::new(),
            source_check: SourceCheck::default(),
            decapsulate_any: false,
            hold: HoldLimits::default(),
            punt_rate: 2000,
            icmp_rate: 1000,
            icmp_sources: HashMap::new(),
        }
    }
}

/// Bounds on packets that wait for a mapping; shared evenly by the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldLimits {
    /// Packets for one EID. With 0 packets to unresolved destinations are dropped, and the
    /// control plane is asked all the same.
    pub packets_per_eid: usize,
    /// EIDs.
    pub eids: usize,
    /// Octets of all held packets.
    pub bytes: usize,
    /// How long a packet waits.
    pub time: Duration,
}

impl Default for HoldLimits {
    fn default() -> Self {
        Self { packets_per_eid: 64, eids: 8192, bytes: 16 << 20, time: Duration::from_secs(3) }
    }
}

/// What ICMP errors of one instance are sent from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpSource {
    /// For errors about IPv4 packets.
    pub v4: Option<Ipv4Addr>,
    /// For errors about IPv6 packets.
    pub v6: Option<Ipv6Addr>,
}
