//! Messages of every type, and data headers.

use super::address::{address, eid, rloc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use weft_packet::addr::{InstanceId, Nonce, SiteId, Vni, XtrId};
use weft_packet::lisp::data::{
    DataHeader, GroupPolicy, LispGpeHeader, LispHeader, NextProtocol, NonceField, VxlanGpeHeader,
    VxlanHeader,
};
use weft_packet::lisp::{
    Action, Address, Algorithm, Authentication, EcmSecurity, EidAuthentication, EidClaim,
    Encapsulated, Info, InfoBody, Lcaf, Locator, MapNotify, MapReferral, MapRegister, MapReply,
    MapReplySecurity, MapRequest, MappingRecord, Message, NotifyKind, OneTimeKey, ReferralAction,
    ReferralRecord, RequestedEid, Signature, Ttl,
};

/// Any message.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    let extension = (0..1_u16 << 12, any::<u16>(), octets(40))
        .prop_map(|(sub_type, specific, body)| Message::Extension { sub_type, specific, body });
    prop_oneof![
        request().prop_map(Message::MapRequest),
        reply().prop_map(Message::MapReply),
        register().prop_map(Message::MapRegister),
        notify().prop_map(Message::MapNotify),
        referral().prop_map(Message::MapReferral),
        info().prop_map(Message::Info),
        ecm().prop_map(Message::Encapsulated),
        extension,
    ]
}

fn octets(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..max)
}

fn nonce() -> impl Strategy<Value = Nonce> {
    any::<u64>().prop_map(Nonce)
}

fn ids() -> impl Strategy<Value = Option<(XtrId, SiteId)>> {
    option::of(any::<([u8; 16], u64)>().prop_map(|(xtr, site)| (XtrId(xtr), SiteId(site))))
}

fn authentication() -> impl Strategy<Value = Authentication> {
    (any::<u8>(), any::<u8>(), octets(40)).prop_map(|(key_id, number, data)| Authentication {
        key_id,
        algorithm: Algorithm::from_number(number),
        data,
    })
}

fn locator() -> impl Strategy<Value = Locator> {
    (rloc(), any::<[u8; 4]>(), any::<[bool; 3]>()).prop_map(|(address, numbers, flags)| {
        let [priority, weight, multicast_priority, multicast_weight] = numbers;
        let [local, probed, reachable] = flags;
        Locator {
            address,
            priority,
            weight,
            multicast_priority,
            multicast_weight,
            local,
            probed,
            reachable,
        }
    })
}

fn record() -> impl Strategy<Value = MappingRecord> {
    let action = prop_oneof![
        Just(Action::NoAction),
        Just(Action::NativelyForward),
        Just(Action::SendMapRequest),
        Just(Action::DropNoReason),
        Just(Action::DropPolicyDenied),
        Just(Action::DropAuthFailure),
        Just(Action::Unassigned6),
        Just(Action::Unassigned7),
    ];
    (eid(), any::<u32>(), action, any::<bool>(), 0..1_u16 << 12, vec(locator(), 0..4)).prop_map(
        |(eid, ttl, action, authoritative, version, locators)| MappingRecord {
            eid,
            ttl: Ttl(ttl),
            action,
            authoritative,
            version,
            locators,
        },
    )
}

fn request() -> impl Strategy<Value = MapRequest> {
    let requested =
        (any::<bool>(), eid()).prop_map(|(subscribe, eid)| RequestedEid { subscribe, eid });
    (
        any::<[bool; 7]>(),
        nonce(),
        rloc(),
        vec(rloc(), 1..5),
        vec(requested, 1..4),
        option::of(record()),
        ids(),
    )
        .prop_map(|(flags, nonce, source_eid, itr_rlocs, eids, mapping, xtr)| {
            let [authoritative, probe, smr, pitr, smr_invoked, local_xtr, no_reply] = flags;
            MapRequest {
                authoritative,
                probe,
                smr,
                pitr,
                smr_invoked,
                local_xtr,
                no_reply,
                nonce,
                source_eid,
                itr_rlocs,
                eids,
                mapping,
                xtr,
            }
        })
}

fn eid_authentication() -> impl Strategy<Value = EidAuthentication> {
    let claim = (any::<bool>(), any::<u16>(), vec(eid(), 0..3), octets(33)).prop_map(
        |(etr_cannot_sign, hmac_id, eids, hmac)| EidClaim { etr_cannot_sign, hmac_id, eids, hmac },
    );
    (any::<u16>(), option::of(claim)).prop_map(|(kdf, claim)| EidAuthentication { kdf, claim })
}

fn reply() -> impl Strategy<Value = MapReply> {
    let security = (eid_authentication(), any::<u16>(), octets(33))
        .prop_map(|(eids, hmac_id, hmac)| MapReplySecurity { eids, hmac_id, hmac });
    (any::<(bool, bool)>(), option::of(security), nonce(), vec(record(), 0..4)).prop_map(
        |((probe, echo_nonce), security, nonce, mut records)| {
            for record in &mut records {
                record.authoritative |= probe;
            }
            MapReply { probe, echo_nonce, security, nonce, records }
        },
    )
}

fn register() -> impl Strategy<Value = MapRegister> {
    (any::<[bool; 7]>(), nonce(), authentication(), vec(record(), 0..4), ids()).prop_map(
        |(flags, nonce, authentication, records, xtr)| {
            let [proxy_reply, security, eid_notify, use_ttl, merge, mobile_node, want_notify] =
                flags;
            MapRegister {
                proxy_reply,
                security,
                eid_notify,
                use_ttl,
                merge,
                mobile_node,
                want_notify,
                nonce,
                authentication,
                records,
                xtr,
            }
        },
    )
}

fn notify() -> impl Strategy<Value = MapNotify> {
    let kind = prop_oneof![Just(NotifyKind::Notify), Just(NotifyKind::Ack)];
    (kind, nonce(), authentication(), vec(record(), 0..4), ids()).prop_map(
        |(kind, nonce, authentication, records, xtr)| MapNotify {
            kind,
            nonce,
            authentication,
            records,
            xtr,
        },
    )
}

fn referral() -> impl Strategy<Value = MapReferral> {
    let action = prop_oneof![
        Just(ReferralAction::NodeReferral),
        Just(ReferralAction::MsReferral),
        Just(ReferralAction::MsAck),
        Just(ReferralAction::MsNotRegistered),
        Just(ReferralAction::DelegationHole),
        Just(ReferralAction::NotAuthoritative),
        Just(ReferralAction::Unassigned6),
        Just(ReferralAction::Unassigned7),
    ];
    let signature = (any::<[u32; 3]>(), any::<u16>(), any::<u8>(), octets(40)).prop_map(
        |([original_ttl, expiration, inception], key_tag, algorithm, signature)| Signature {
            original_ttl: Ttl(original_ttl),
            expiration,
            inception,
            key_tag,
            algorithm,
            signature,
        },
    );
    let record = (record(), action, any::<bool>(), vec(signature, 0..4)).prop_map(
        |(record, action, incomplete, signatures)| ReferralRecord {
            eid: record.eid,
            ttl: record.ttl,
            action,
            authoritative: record.authoritative,
            incomplete,
            version: record.version,
            referrals: record.locators,
            signatures,
        },
    );
    (nonce(), vec(record, 0..4)).prop_map(|(nonce, records)| MapReferral { nonce, records })
}

fn info() -> impl Strategy<Value = Info> {
    let nat = address().prop_filter_map("NAT-Traversal", |address| match address {
        Address::Lcaf(lcaf) => match *lcaf {
            Lcaf::NatTraversal(nat) => Some(InfoBody::Reply(nat)),
            _ => None,
        },
        _ => None,
    });
    let nat = nat.prop_filter("a vendor's format drops the message", |body| match body {
        InfoBody::Reply(nat) => !format!("{nat:?}").contains("Vendor"),
        InfoBody::Request { .. } => true,
    });
    let host = option::of("[ -~]{0,20}").prop_map(|host| InfoBody::Request { host });
    (nonce(), authentication(), any::<u32>(), eid(), prop_oneof![host, nat]).prop_map(
        |(nonce, authentication, ttl, eid, body)| Info {
            nonce,
            authentication,
            ttl: Ttl(ttl),
            eid,
            body,
        },
    )
}

fn ecm() -> impl Strategy<Value = Encapsulated> {
    let one_time_key = (any::<(u16, u8, u8, [u8; 8])>(), octets(33), eid_authentication())
        .prop_map(|((requested_hmac, key_id, wrapping, preamble), key, eids)| {
            EcmSecurity::LispSec(OneTimeKey {
                requested_hmac,
                key_id,
                wrapping,
                preamble,
                key,
                eids,
            })
        });
    let security = prop_oneof![one_time_key, authentication().prop_map(EcmSecurity::Rtr)];
    let carried = prop_oneof![
        request().prop_map(|request| Message::MapRequest(MapRequest { probe: false, ..request })),
        register().prop_map(Message::MapRegister),
        notify().prop_map(Message::MapNotify),
    ];
    (option::of(security), any::<[bool; 5]>(), sockets(), any::<u8>(), carried).prop_map(
        |(security, flags, (source, destination), hops, message)| {
            let [ddt, to_etr, to_map_server, rtr, relayed] = flags;
            Encapsulated {
                security,
                ddt,
                to_etr,
                to_map_server,
                rtr,
                relayed,
                source,
                destination,
                hops,
                message: Box::new(message),
            }
        },
    )
}

/// Source and destination of one family, neither at the data port.
fn sockets() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let port = || any::<u16>().prop_map(|port| if port == 4341 { 4342 } else { port });
    prop_oneof![
        (any::<[Ipv4Addr; 2]>(), port(), port())
            .prop_map(|([a, b], from, to)| ((a, from).into(), (b, to).into())),
        (any::<[Ipv6Addr; 2]>(), port(), port())
            .prop_map(|([a, b], from, to)| ((a, from).into(), (b, to).into())),
    ]
}

/// Any data header.
pub(crate) fn data_header() -> impl Strategy<Value = DataHeader> {
    let nonce = prop_oneof![
        Just(NonceField::Unused),
        (0..1_u32 << 24, any::<bool>()).prop_map(|(nonce, echo)| NonceField::Nonce { nonce, echo }),
        (0..1_u16 << 12, 0..1_u16 << 12)
            .prop_map(|(source, destination)| NonceField::Versions { source, destination }),
    ];
    let number = || 0..1_u32 << 24;
    let instance = || option::of(number().prop_filter_map("24 bits", InstanceId::new));
    let vni = || number().prop_filter_map("24 bits", Vni::new);
    let next = || any::<u8>().prop_map(NextProtocol::from_number);
    let status = |instance: Option<InstanceId>, status: Option<u32>| {
        if instance.is_some() { status.map(|bits| bits & 0xff) } else { status }
    };
    let policy = any::<(u16, bool, bool)>().prop_map(|(group, dont_learn, applied)| GroupPolicy {
        group,
        dont_learn,
        applied,
    });
    prop_oneof![
        (nonce, instance(), any::<Option<u32>>(), 0..4_u8).prop_map(
            move |(nonce, instance, bits, key_id)| {
                let locator_status = status(instance, bits);
                DataHeader::Lisp(LispHeader { nonce, instance, locator_status, key_id })
            }
        ),
        (next(), instance(), any::<Option<u32>>(), 0..4_u8).prop_map(
            move |(next, instance, bits, key_id)| {
                let locator_status = status(instance, bits);
                DataHeader::LispGpe(LispGpeHeader { next, instance, locator_status, key_id })
            }
        ),
        (next(), option::of(vni()), any::<(bool, bool)>()).prop_map(|(next, vni, (bum, oam))| {
            DataHeader::VxlanGpe(VxlanGpeHeader { next, vni, bum, oam })
        }),
        (vni(), option::of(policy))
            .prop_map(|(vni, policy)| DataHeader::Vxlan(VxlanHeader { vni, policy })),
    ]
}
