//! Addresses: one word where one will do, every field of an LCAF below it.

use super::{Hex, Tree, Value};
use crate::lisp::{
    Address, Application, Eid, GeoCoordinates, GeoLocation, Lcaf, MacAfi, MulticastInfo,
    NatTraversal, OpaqueKey, PathHop, SecurityKey, SourceDestination, UnknownLcaf,
};
use std::fmt;

impl fmt::Display for Address {
    /// `192.0.2.1`, `[7]192.0.2.1` in an instance, `"name"`, or an LCAF's type with the addresses
    /// inside.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Mac(mac, _) => mac.fmt(f),
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Lcaf(lcaf) => lcaf.fmt(f),
        }
    }
}

impl fmt::Display for Lcaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InstanceId { mask_len, instance, address: Address::None } => {
                write!(f, "[{instance}/{mask_len}]")
            }
            Self::InstanceId { instance, address, .. } => write!(f, "[{instance}]{address}"),
            Self::Multicast(m) => write!(
                f,
                "[{}]({}/{},{}/{})",
                m.instance, m.source, m.source_mask_len, m.group, m.group_mask_len
            ),
            Self::SourceDestination(pair) => write!(
                f,
                "({}/{}->{}/{})",
                pair.source, pair.source_mask_len, pair.destination, pair.destination_mask_len
            ),
            Self::AsNumber { number, address } => write!(f, "AS{number}:{address}"),
            Self::ServicePath { path, index } => write!(f, "service-path {path}/{index}"),
            Self::Vendor { oui, .. } => write!(f, "vendor {oui:06x}"),
            Self::Unknown(unknown) => write!(f, "LCAF {}", unknown.kind),
            other => {
                write!(f, "{}(", other.name())?;
                for (position, address) in other.inner().into_iter().enumerate() {
                    write!(f, "{}{address}", if position == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Eid {
    /// The address and its mask length, as in `[7]192.0.2.0/24`; without mask length where that
    /// says nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.width() {
            Some(_) => write!(f, "{}/{}", self.address, self.mask_len),
            None => self.address.fmt(f),
        }
    }
}

impl Lcaf {
    /// What RFC 8060 calls the type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::AfiList(_) => "AFI-List",
            Self::InstanceId { .. } => "Instance-ID",
            Self::AsNumber { .. } => "AS-Number",
            Self::Application(_) => "Application-Data",
            Self::GeoCoordinates(_) => "Geo-Coordinates",
            Self::OpaqueKey(_) => "Opaque-Key",
            Self::NatTraversal(_) => "NAT-Traversal",
            Self::Nonce { .. } => "Nonce-Locator",
            Self::Multicast(_) => "Multicast-Info",
            Self::Path(_) => "Explicit-Locator-Path",
            Self::SecurityKey(_) => "Security-Key",
            Self::SourceDestination(_) => "Source/Dest-Key",
            Self::Replication(_) => "Replication-List",
            Self::Json { .. } => "JSON",
            Self::KeyValue { .. } => "Key/Value",
            Self::Encapsulations { .. } => "Encapsulation-Format",
            Self::GeoLocation(_) => "Geo-Location",
            Self::ServicePath { .. } => "Service-Path",
            Self::Vendor { .. } => "Vendor-Specific",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// An address under a label of its own.
pub(super) fn address(label: &'static str, address: &Address) -> Tree {
    let children = match address {
        Address::None | Address::Ip(_) | Address::Name(_) => Vec::new(),
        Address::Mac(_, afi) => {
            vec![Tree::number("AFI", if *afi == MacAfi::Six { 6_u16 } else { 16389 })]
        }
        Address::Lcaf(lcaf) => {
            let mut children =
                vec![Tree::text("LCAF Type", format_args!("{} ({})", lcaf.name(), lcaf.kind()))];
            children.extend(fields(lcaf));
            children
        }
    };
    Tree { label, value: Value::Text(address.to_string()), children }
}

fn fields(lcaf: &Lcaf) -> Vec<Tree> {
    match lcaf {
        Lcaf::Null => Vec::new(),
        Lcaf::AfiList(list) => {
            vec![Tree::list("Addresses", list.iter().map(|item| address("Address", item)))]
        }
        Lcaf::InstanceId { mask_len, instance, address: inner } => vec![
            Tree::number("IID mask-len", *mask_len),
            Tree::number("Instance ID", *instance),
            address("Address", inner),
        ],
        Lcaf::AsNumber { number, address: inner } => {
            vec![Tree::number("AS Number", *number), address("Address", inner)]
        }
        Lcaf::Application(application) => of_application(application),
        Lcaf::GeoCoordinates(geo) => of_geo_coordinates(geo),
        Lcaf::OpaqueKey(OpaqueKey { last_field, wildcards, key }) => vec![
            Tree::number("Key Field Num", *last_field),
            Tree::text("Key Wildcard Fields", format_args!("{wildcards:#06x}")),
            Tree::octets("Key", key),
        ],
        Lcaf::NatTraversal(nat) => of_nat(nat),
        Lcaf::Nonce { nonce, address: inner } => {
            vec![Tree::text("Nonce", format_args!("{nonce:06x}")), address("Address", inner)]
        }
        Lcaf::Multicast(multicast) => of_multicast(multicast),
        Lcaf::Path(hops) => vec![Tree::list("Hops", hops.iter().map(of_hop))],
        Lcaf::SecurityKey(key) => of_security_key(key),
        Lcaf::SourceDestination(pair) => of_source_destination(pair),
        Lcaf::Replication(replicas) => {
            let replica = replicas.iter().map(|replica| {
                let level = Tree::number("Level", replica.level);
                Tree::node("Entry", vec![level, address("Address", &replica.address)])
            });
            vec![Tree::list("Entries", replica)]
        }
        Lcaf::Json { binary, text, address: inner } => {
            vec![Tree::flag("Binary (B)", *binary), json_text(text), address("Address", inner)]
        }
        Lcaf::KeyValue { key, value } => vec![address("Key", key), address("Value", value)],
        Lcaf::Encapsulations { formats, address: inner } => {
            vec![Tree::text("Encapsulations", Formats(*formats)), address("Address", inner)]
        }
        Lcaf::GeoLocation(geo) => of_geo_location(geo),
        Lcaf::ServicePath { path, index } => {
            vec![Tree::number("Service Path ID", *path), Tree::number("Service Index", *index)]
        }
        Lcaf::Vendor { oui, data } => {
            vec![Tree::text("OUI", format_args!("{oui:06x}")), Tree::octets("Data", data)]
        }
        Lcaf::Unknown(UnknownLcaf { kind: _, flags, reserved, body }) => vec![
            Tree::text("Flags", format_args!("{flags:#04x}")),
            Tree::text("Rsvd2", format_args!("{reserved:#04x}")),
            Tree::octets("Body", body),
        ],
    }
}

fn of_application(application: &Application) -> Vec<Tree> {
    let ports = |label, (low, high): (u16, u16)| Tree::text(label, format_args!("{low}-{high}"));
    vec![
        Tree::text("IP TOS", format_args!("{:#08x}", application.traffic_class)),
        Tree::number("Protocol", application.protocol),
        ports("Local Ports", application.local_ports),
        ports("Remote Ports", application.remote_ports),
        address("Address", &application.address),
    ]
}

fn of_nat(nat: &NatTraversal) -> Vec<Tree> {
    vec![
        Tree::number("MS UDP Port", nat.map_server_port),
        Tree::number("ETR UDP Port", nat.etr_port),
        address("Global ETR RLOC", &nat.global_etr),
        address("MS RLOC", &nat.map_server),
        address("Private ETR RLOC", &nat.private_etr),
        Tree::list("RTR RLOCs", nat.rtrs.iter().map(|rtr| address("RTR RLOC", rtr))),
    ]
}

fn of_multicast(multicast: &MulticastInfo) -> Vec<Tree> {
    vec![
        Tree::text("Rsvd2", format_args!("{:#04x}", multicast.signal)),
        Tree::number("Instance ID", multicast.instance),
        Tree::number("Source mask-len", multicast.source_mask_len),
        Tree::number("Group mask-len", multicast.group_mask_len),
        address("Source", &multicast.source),
        address("Group", &multicast.group),
    ]
}

fn of_hop(hop: &PathHop) -> Tree {
    Tree::node(
        "Hop",
        vec![
            Tree::flag("Lookup (L)", hop.lookup),
            Tree::flag("RLOC-probe (P)", hop.probe),
            Tree::flag("Strict (S)", hop.strict),
            address("Address", &hop.address),
        ],
    )
}

fn of_security_key(key: &SecurityKey) -> Vec<Tree> {
    vec![
        Tree::number("Key Algorithm", key.algorithm),
        Tree::flag("Revoked (R)", key.revoked),
        Tree::list("Keys", key.keys.iter().map(|material| Tree::octets("Key", material))),
        address("Address", &key.address),
    ]
}

fn of_source_destination(pair: &SourceDestination) -> Vec<Tree> {
    vec![
        Tree::number("Source mask-len", pair.source_mask_len),
        Tree::number("Dest mask-len", pair.destination_mask_len),
        address("Source", &pair.source),
        address("Destination", &pair.destination),
    ]
}

fn of_geo_coordinates(geo: &GeoCoordinates) -> Vec<Tree> {
    let arc = |label, arc: crate::lisp::Sexagesimal, side| {
        let (degrees, minutes, seconds) = (arc.degrees, arc.minutes, arc.seconds);
        Tree::text(label, format_args!("{degrees}-{minutes}-{seconds}-{side}"))
    };
    let altitude = match geo.altitude {
        GeoCoordinates::NO_ALTITUDE => Tree::text("Altitude (m)", "none"),
        metres => Tree::text("Altitude (m)", metres),
    };
    vec![
        arc("Latitude", geo.latitude, if geo.north { 'N' } else { 'S' }),
        arc("Longitude", geo.longitude, if geo.east { 'E' } else { 'W' }),
        altitude,
        address("Address", &geo.address),
    ]
}

fn of_geo_location(geo: &GeoLocation) -> Vec<Tree> {
    vec![
        Tree::flag("Uncertainty valid (U)", geo.uncertainty_valid),
        Tree::flag("North (N)", geo.north),
        Tree::flag("East (E)", geo.east),
        Tree::flag("Altitude valid (A)", geo.altitude_valid),
        Tree::flag("Altitude in metres (M)", geo.altitude_in_metres),
        Tree::flag("Radius valid (R)", geo.radius_valid),
        Tree::flag("Radius in kilometres (K)", geo.radius_in_kilometres),
        Tree::number("Location Uncertainty (cm)", geo.uncertainty),
        Tree::number("Latitude Degrees", geo.latitude),
        Tree::number("Latitude Milliseconds", geo.latitude_milliseconds),
        Tree::number("Longitude Degrees", geo.longitude),
        Tree::number("Longitude Milliseconds", geo.longitude_milliseconds),
        Tree::text("Altitude", geo.altitude),
        Tree::number("Radius", geo.radius),
        address("Address", &geo.address),
    ]
}

/// The document as it is where it is text, else its octets.
fn json_text(text: &[u8]) -> Tree {
    match std::str::from_utf8(text) {
        Ok(text) => Tree::text("JSON Text", text.escape_debug()),
        Err(_) => Tree::text("JSON Text", Hex(text)),
    }
}

/// The encapsulations of a bit map.
struct Formats(u32);

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["LISP", "L2-LISP", "VXLAN", "VXLAN-GPE", "NVGRE", "Geneve", "GUE"];
        write!(f, "{:#x}", self.0)?;
        for (bit, name) in names.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 != 0) {
            write!(f, "{}{name}", if self.0 & ((1 << bit) - 1) == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}
