//! Addresses of every family and LCAF type.

use proptest::collection::vec;
use proptest::prelude::*;
use std::net::IpAddr;
use weft_packet::addr::Mac;
use weft_packet::lisp::{
    Address, Application, Eid, GeoCoordinates, GeoLocation, Lcaf, MacAfi, MulticastInfo,
    NatTraversal, OpaqueKey, PathHop, Replica, SecurityKey, Sexagesimal, SourceDestination,
    UnknownLcaf,
};

/// Any address, nested up to four LCAFs deep.
pub(crate) fn address() -> impl Strategy<Value = Address> + Clone {
    let leaf = prop_oneof![
        Just(Address::None),
        any::<IpAddr>().prop_map(Address::Ip),
        any::<[u8; 6]>().prop_map(|mac| Address::Mac(Mac(mac), MacAfi::Six)),
        any::<[u8; 6]>().prop_map(|mac| Address::Mac(Mac(mac), MacAfi::Mac48)),
        "[ -~]{0,20}".prop_map(Address::Name),
    ];
    leaf.prop_recursive(4, 12, 3, |inner| lcaf(inner.boxed()).prop_map(Address::from)).boxed()
}

/// Any EID a message may be about.
pub(crate) fn eid() -> impl Strategy<Value = Eid> {
    (address(), any::<u8>())
        .prop_filter("an EID must be understood", |(address, _)| understood(address, true))
        .prop_map(|(address, mask)| {
            let mask_len = mask_within(&address, mask);
            Eid { address, mask_len }
        })
}

/// Any locator address.
pub(crate) fn rloc() -> impl Strategy<Value = Address> {
    address().prop_filter("a vendor's format drops the message", |a| understood(a, false))
}

fn understood(address: &Address, as_eid: bool) -> bool {
    let Address::Lcaf(lcaf) = address else { return true };
    !(as_eid && lcaf.is_unknown() || matches!(**lcaf, Lcaf::Vendor { .. }))
        && lcaf.inner().into_iter().all(|inner| understood(inner, false))
}

fn mask_within(address: &Address, mask: u8) -> u8 {
    let width = address.width().unwrap_or(255);
    u8::try_from(usize::from(mask) % (width + 1)).expect("a remainder of an octet")
}

fn lcaf(inner: BoxedStrategy<Address>) -> BoxedStrategy<Lcaf> {
    prop_oneof![plain(inner.clone()), structured(inner)].boxed()
}

fn plain(inner: BoxedStrategy<Address>) -> BoxedStrategy<Lcaf> {
    let bytes = || vec(any::<u8>(), 0..24);
    prop_oneof![
        Just(Lcaf::Null),
        vec(inner.clone(), 0..4).prop_map(Lcaf::AfiList),
        (any::<u8>(), any::<u32>(), inner.clone()).prop_map(|(mask_len, instance, address)| {
            Lcaf::InstanceId { mask_len, instance, address }
        }),
        (any::<u32>(), inner.clone())
            .prop_map(|(number, address)| Lcaf::AsNumber { number, address }),
        (any::<u8>(), any::<u16>(), bytes()).prop_map(|(last_field, wildcards, key)| {
            Lcaf::OpaqueKey(OpaqueKey { last_field, wildcards, key })
        }),
        (0..1_u32 << 24, inner.clone()).prop_map(|(nonce, address)| Lcaf::Nonce { nonce, address }),
        (any::<bool>(), bytes(), inner.clone()).prop_map(|(binary, text, address)| Lcaf::Json {
            binary,
            text,
            address
        }),
        (inner.clone(), inner.clone()).prop_map(|(key, value)| Lcaf::KeyValue { key, value }),
        (any::<u32>(), inner)
            .prop_map(|(formats, address)| Lcaf::Encapsulations { formats, address }),
        (0..1_u32 << 24, any::<u8>()).prop_map(|(path, index)| Lcaf::ServicePath { path, index }),
        (0..1_u32 << 24, bytes()).prop_map(|(oui, data)| Lcaf::Vendor { oui, data }),
        (18..255_u8, any::<u8>(), any::<u8>(), bytes()).prop_map(
            |(kind, flags, reserved, body)| {
                Lcaf::Unknown(UnknownLcaf { kind, flags, reserved, body })
            }
        ),
    ]
    .boxed()
}

fn structured(inner: BoxedStrategy<Address>) -> BoxedStrategy<Lcaf> {
    let pair = (inner.clone(), inner.clone());
    prop_oneof![
        (0..1_u32 << 24, any::<u8>(), any::<(u16, u16)>(), any::<(u16, u16)>(), inner.clone())
            .prop_map(|(traffic_class, protocol, local_ports, remote_ports, address)| {
                Lcaf::Application(Application {
                    traffic_class,
                    protocol,
                    local_ports,
                    remote_ports,
                    address,
                })
            }),
        geo_coordinates(inner.clone()),
        geo_location(inner.clone()),
        (any::<(u16, u16)>(), vec(inner.clone(), 3..6)).prop_map(|(ports, mut addresses)| {
            Lcaf::NatTraversal(NatTraversal {
                map_server_port: ports.0,
                etr_port: ports.1,
                rtrs: addresses.split_off(3),
                private_etr: addresses.pop().expect("one of three"),
                map_server: addresses.pop().expect("one of three"),
                global_etr: addresses.pop().expect("one of three"),
            })
        }),
        (any::<(u8, u32, u8, u8)>(), pair.clone()).prop_map(|((signal, instance, s, g), pair)| {
            Lcaf::Multicast(MulticastInfo {
                signal,
                instance,
                source_mask_len: mask_within(&pair.0, s),
                group_mask_len: mask_within(&pair.1, g),
                source: pair.0,
                group: pair.1,
            })
        }),
        vec((any::<(bool, bool, bool)>(), inner.clone()), 0..4).prop_map(|hops| {
            let hop =
                |((lookup, probe, strict), address)| PathHop { lookup, probe, strict, address };
            Lcaf::Path(hops.into_iter().map(hop).collect())
        }),
        (any::<u8>(), any::<bool>(), vec(vec(any::<u8>(), 0..33), 0..4), inner.clone()).prop_map(
            |(algorithm, revoked, keys, address)| {
                Lcaf::SecurityKey(SecurityKey { algorithm, revoked, keys, address })
            }
        ),
        (any::<(u8, u8)>(), pair).prop_map(|(masks, (source, destination))| {
            Lcaf::SourceDestination(SourceDestination {
                source_mask_len: mask_within(&source, masks.0),
                destination_mask_len: mask_within(&destination, masks.1),
                source,
                destination,
            })
        }),
        vec((any::<u8>(), inner), 0..4).prop_map(|replicas| {
            let replica = |(level, address)| Replica { level, address };
            Lcaf::Replication(replicas.into_iter().map(replica).collect())
        }),
    ]
    .boxed()
}

fn geo_coordinates(inner: BoxedStrategy<Address>) -> impl Strategy<Value = Lcaf> {
    let arc = || {
        (0..1_u16 << 15, any::<u8>(), any::<u8>())
            .prop_map(|(degrees, minutes, seconds)| Sexagesimal { degrees, minutes, seconds })
    };
    (any::<(bool, bool)>(), arc(), arc(), any::<i32>(), inner).prop_map(
        |((north, east), latitude, longitude, altitude, address)| {
            Lcaf::GeoCoordinates(GeoCoordinates {
                north,
                latitude,
                east,
                longitude,
                altitude,
                address,
            })
        },
    )
}

fn geo_location(inner: BoxedStrategy<Address>) -> impl Strategy<Value = Lcaf> {
    let flags = any::<(bool, bool, bool, bool, bool, bool, bool)>();
    let arc = || (any::<u8>(), 0..1_u32 << 24);
    (flags, any::<(u16, i32, u16)>(), arc(), arc(), inner).prop_map(
        |(flags, (uncertainty, altitude, radius), latitude, longitude, address)| {
            Lcaf::GeoLocation(GeoLocation {
                north: flags.0,
                latitude: latitude.0,
                latitude_milliseconds: latitude.1,
                east: flags.1,
                longitude: longitude.0,
                longitude_milliseconds: longitude.1,
                uncertainty_valid: flags.2,
                uncertainty,
                altitude_valid: flags.3,
                altitude_in_metres: flags.4,
                altitude,
                radius_valid: flags.5,
                radius_in_kilometres: flags.6,
                radius,
                address,
            })
        },
    )
}
