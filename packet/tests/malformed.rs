//! What must be refused is refused, and for the right reason.

mod vector;

use vector::{Vector, ours};
use weft_packet::lisp::{Address, MapNotify, Message};
use weft_packet::wire::{Error, Wire};

#[test]
fn every_malformed_vector_is_refused_for_its_own_reason() {
    let reasons = [
        ("bad-empty", Error::Truncated("message type")),
        ("bad-short", Error::Truncated("Map-Request header")),
        ("bad-reccount", Error::Truncated("records")),
        ("bad-irc", Error::Truncated("ITR-RLOCs")),
        ("bad-masklen", Error::Invalid("EID mask-len", 33)),
        ("bad-afi", Error::Invalid("AFI", 0x7777)),
        ("bad-lcaf-len", Error::Truncated("LCAF body")),
        ("bad-lcaf-nest", Error::Refused("LCAFs nest deeper than 8")),
        ("bad-ibit", Error::Truncated("xTR-ID")),
        ("bad-authlen", Error::Truncated("Authentication Data")),
        ("bad-ecm-inner", Error::Truncated("inner IPv4 header")),
        ("bad-ecm-ecm", Error::Refused("ECM within an ECM")),
        ("bad-probe-ecm", Error::Refused("RLOC-probe inside an ECM")),
        ("bad-mrep-probe-noA", Error::Refused("probe reply that is not authoritative")),
        ("bad-seckey", Error::Truncated("Key Length")),
        ("bad-dn-unterminated", Error::Truncated("distinguished name")),
        ("bad-type0", Error::Invalid("message type", 0)),
        ("bad-type9", Error::Invalid("message type", 9)),
    ];
    let vectors = ours("malformed.json");
    assert_eq!(vectors.len(), reasons.len());
    for (vector, (id, reason)) in vectors.iter().zip(reasons) {
        assert_eq!(vector.id, id);
        assert_eq!(decode(vector), Some(reason), "{id}");
    }
}

/// `bad-seckey` is an address, all others are messages.
fn decode(vector: &Vector) -> Option<Error> {
    let bytes = vector.bytes();
    if vector.id == "bad-seckey" {
        Address::from_bytes(&bytes).err()
    } else {
        Message::from_bytes(&bytes).err()
    }
}

/// An ECM around a Map-Request, to be broken in one place each.
fn ecm() -> Vec<u8> {
    ours("golden.json").iter().find(|vector| vector.id == "ecm-v4").expect("golden").bytes()
}

#[test]
fn inner_headers_must_agree_with_the_outer_length() {
    let broken = |at: usize, octet: u8| {
        let mut bytes = ecm();
        bytes[at] = octet;
        Message::from_bytes(&bytes).unwrap_err()
    };
    assert_eq!(broken(4, 0x55), Error::Invalid("inner IP version", 5));
    assert_eq!(broken(4, 0x44), Error::Invalid("inner IHL", 4));
    assert_eq!(broken(7, 61), Error::Invalid("inner IPv4 total length", 61));
    assert_eq!(broken(7, 19), Error::Invalid("inner IPv4 total length", 19));
    assert_eq!(broken(10, 0x60), Error::Refused("inner packet is a fragment"));
    assert_eq!(broken(13, 103), Error::Invalid("inner protocol", 103));
    assert_eq!(broken(29, 41), Error::Invalid("inner UDP length", 41));
    assert_eq!(broken(29, 7), Error::Invalid("inner UDP length", 7));
    assert_eq!(broken(63, 1), Error::Invalid("inner UDP checksum", 0xb881));
}

#[test]
fn inner_checksum_of_zero_is_none() {
    let mut bytes = ecm();
    bytes[30..32].fill(0);
    assert!(Message::from_bytes(&bytes).is_ok());
}

#[test]
fn data_port_has_no_place_inside_an_ecm() {
    for port_at in [24, 26] {
        let mut bytes = ecm();
        bytes[port_at..port_at + 2].copy_from_slice(&4341_u16.to_be_bytes());
        bytes[30..32].fill(0);
        let error = Message::from_bytes(&bytes).unwrap_err();
        assert_eq!(error, Error::Refused("data port inside an ECM"));
    }
}

#[test]
fn other_messages_do_not_travel_in_an_ecm() {
    let mut bytes = ecm();
    bytes[30..32].fill(0);
    bytes[32] = 0x20;
    let error = Message::from_bytes(&bytes).unwrap_err();
    assert_eq!(error, Error::Invalid("message type inside an ECM", 2));
}

#[test]
fn unknown_lcaf_is_kept_as_locator_and_refused_as_eid() {
    let locator = "200000010000000000000000000000050118100000000001cb007100\
                   0164ff00000140030000630000020102";
    assert!(Message::from_bytes(&hex::decode(locator).unwrap()).is_ok());
    let eid = "2000000100000000000000000000000500000000000040030000630000020102";
    assert_eq!(
        Message::from_bytes(&hex::decode(eid).unwrap()),
        Err(Error::Refused("EID of an unknown LCAF type"))
    );
}

#[test]
fn unknown_vendor_anywhere_drops_the_message() {
    let locator = "200000010000000000000000000000050118100000000001cb007100\
                   0164ff000001400300000100000e40030000ff0000060000000c0102";
    assert_eq!(
        Message::from_bytes(&hex::decode(locator).unwrap()),
        Err(Error::Invalid("vendor of the LCAF", 0x00_000c))
    );
}

#[test]
fn octets_behind_a_message_are_counted() {
    let request = ours("golden.json").remove(0).bytes();
    let (message, rest) = Message::decode(&[&request[..], &[1, 2, 3]].concat()).unwrap();
    assert_eq!((message.to_bytes(), rest), (request, 3));
}

#[test]
fn ids_behind_a_notify_need_no_flag() {
    let vectors = ours("golden.json");
    let mut notify = vectors.iter().find(|v| v.id == "mntf-I").expect("golden").bytes();
    notify[0] &= 0xf0;
    let (message, rest) = Message::decode(&notify).unwrap();
    assert!(matches!(message, Message::MapNotify(MapNotify { xtr: Some(_), .. })));
    assert_eq!(rest, 0);
    // One octet less is no xTR-ID and Site-ID, but something to be ignored.
    let (message, rest) = Message::decode(&notify[..notify.len() - 1]).unwrap();
    assert!(matches!(message, Message::MapNotify(MapNotify { xtr: None, .. })));
    assert_eq!(rest, 23);
}

#[test]
fn mask_is_held_against_the_innermost_address() {
    let request = |mask: u8, eid: &str| {
        let text = format!("10000001112233445566778800000001c633640700{mask:02x}{eid}");
        let bytes = hex::decode(text).unwrap();
        Message::from_bytes(&bytes).map(|_| ())
    };
    let refused = |mask: u64| Err(Error::Invalid("EID mask-len", mask));
    let in_instance = "400300000200000a000000070001cb007109";
    assert_eq!(request(32, in_instance), Ok(()));
    assert_eq!(request(33, in_instance), refused(33));
    assert_eq!(request(49, "400502005e100001"), refused(49));
    assert_eq!(request(40, "00116965746600"), Ok(()), "the NUL counts");
    assert_eq!(request(41, "00116965746600"), refused(41));
    // (S,G) and source/destination pairs carry masks of their own.
    let pair = |source: u8| format!("400300000c0000100000{source:02x}100001c00002000001cb000000");
    assert_eq!(request(255, &pair(24)), Ok(()));
    assert_eq!(request(0, &pair(33)), Err(Error::Invalid("Source mask-len", 33)));
}

#[test]
fn ends_of_two_families_travel_as_ipv6() {
    let Ok(Message::Encapsulated(mut ecm)) = Message::from_bytes(&ecm()) else { panic!() };
    ecm.destination = "[2001:db8::9]:4342".parse().unwrap();
    let Ok(Message::Encapsulated(again)) = Message::from_bytes(&ecm.to_bytes()) else { panic!() };
    assert_eq!(again.source, "[::ffff:192.0.2.10]:61000".parse().unwrap());
    assert_eq!(again.destination, ecm.destination);
}

#[test]
fn every_prefix_of_every_message_is_refused() {
    // Behind an Extension anything goes.
    let vectors = ours("golden.json");
    for vector in vectors.iter().filter(|v| v.layer == "ctrl" && v.id != "shared-ext") {
        let bytes = vector.bytes();
        for len in 0..bytes.len() {
            let cut = Message::from_bytes(&bytes[..len]);
            // lispers.net subscribes with an xTR-ID and no Site-ID.
            let xtr_id_only = len + 8 == bytes.len()
                && ["mreq-pubsub", "mreq-unsubscribe"].contains(&vector.id.as_str());
            assert_eq!(cut.is_ok(), xtr_id_only, "{} cut to {len}: {cut:?}", vector.id);
        }
    }
}
