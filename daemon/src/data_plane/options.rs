//! What both data planes are told: the configuration in their own terms.

use std::net::IpAddr;

use weft_data::tun::{self, Dscp, HoldLimits, IcmpSource, MssClamp, SourceCheck, Ttl};
use weft_fib::Encapsulation;
use weft_manage::config::{self, Config, FirstPacket, OnTooBig};

use crate::host::facts::Facts;
use crate::host::plan::router_address;

/// The options that follow from `config` and the addresses we have.
pub(super) fn options(config: &Config, facts: &Facts) -> tun::Options {
    let plane = &config.data_plane;
    let defaults = tun::Options::default();
    let packets_per_eid = match plane.first_packet {
        FirstPacket::Queue => plane.first_packet_queue,
        FirstPacket::Drop => 0,
    };
    tun::Options {
        queues: plane.queues,
        vxlan: config.lisp.encapsulation == Encapsulation::Vxlan,
        ttl: plane.ttl.map_or(Ttl::Copy, Ttl::Fixed),
        dscp: plane.dscp.map_or(Dscp::Copy, Dscp::Fixed),
        path_mtu_discovery: plane.on_too_big == OnTooBig::Tell,
        mss_clamp: match plane.mss_clamp {
            config::MssClamp::Off => MssClamp::Off,
            config::MssClamp::Auto => MssClamp::Auto,
            config::MssClamp::At(octets) => MssClamp::Fixed(octets),
        },
        source_check: match plane.source_check {
            config::SourceCheck::Off => SourceCheck::Off,
            config::SourceCheck::Loose => SourceCheck::Loose,
            config::SourceCheck::Strict => SourceCheck::Strict,
        },
        decapsulate_any: config.lisp.etr.as_ref().is_some_and(|etr| etr.proxy),
        hold: HoldLimits { packets_per_eid, ..defaults.hold },
        punt_rate: plane.punt_rate,
        icmp_sources: config
            .instances
            .iter()
            .map(|instance| (instance.id, icmp_source(config, facts, instance)))
            .collect(),
        ..defaults
    }
}

fn icmp_source(config: &Config, facts: &Facts, instance: &config::Instance) -> IcmpSource {
    let address = |ipv6| router_address(config, facts, instance, ipv6);
    IcmpSource {
        v4: address(false).and_then(|ip| match ip {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        }),
        v6: address(true).and_then(|ip| match ip {
            IpAddr::V6(v6) => Some(v6),
            IpAddr::V4(_) => None,
        }),
    }
}
