//! Every golden vector decodes to what its `fields` say, and encodes back octet by octet.

mod facts;
mod vector;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use vector::{Vector, ours};
use weft_packet::lisp::auth::{self, Algorithm, Purpose};
use weft_packet::lisp::data::{DataHeader, LispHeader, NonceField};
use weft_packet::lisp::{
    Address, EcmSecurity, EidAuthentication, Encapsulated, InfoBody, Lcaf, Message,
};
use weft_packet::wire::Wire;

#[test]
fn there_are_97_and_each_is_checked_by_a_test_here() {
    let vectors = ours("golden.json");
    let layers = ["ctrl", "addr", "data", "kdf", "lispsec-ad"];
    let count = |layer| vectors.iter().filter(|vector| vector.layer == layer).count();
    assert_eq!(layers.map(count), [58, 25, 8, 5, 1]);
    assert_eq!(vectors.len(), 97);
}

#[test]
fn messages_decode_to_their_fields_and_back() {
    for vector in layer("ctrl") {
        let bytes = vector.bytes();
        let message = Message::from_bytes(&bytes).unwrap_or_else(|e| panic!("{}: {e}", vector.id));
        assert_eq!(hex::encode(message.to_bytes()), vector.hex, "{}", vector.id);
        for (key, expected) in &vector.fields {
            if let Some(found) = facts::of_message(&message, key) {
                assert_eq!(&found, expected, "{} {key}", vector.id);
            } else {
                assert!(facts::ELSEWHERE.contains(&key.as_str()), "{} {key}", vector.id);
            }
        }
    }
}

#[test]
fn addresses_decode_to_their_fields_and_back() {
    for vector in layer("addr") {
        let address = Address::from_bytes(&vector.bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", vector.id));
        assert_eq!(hex::encode(address.to_bytes()), vector.hex, "{}", vector.id);
        for (key, expected) in vector.fields.iter().filter(|(key, _)| *key != "note") {
            let found = facts::of_address(&address, key);
            assert_eq!(found.as_ref(), Some(expected), "{} {key}", vector.id);
        }
    }
}

#[test]
fn data_headers_decode_to_their_fields_and_back() {
    for vector in layer("data") {
        let bytes = vector.bytes();
        let (header, packet) = DataHeader::split(4341, &bytes).unwrap();
        assert_eq!([&header.to_bytes(), packet].concat(), bytes, "{}", vector.id);
        for (key, expected) in vector.fields.iter().filter(|(key, _)| *key != "note") {
            assert_eq!(facts::of_data_header(header, key).as_ref(), Some(expected), "{key}");
        }
    }
}

#[test]
fn control_message_rides_in_a_data_header() {
    let bytes = golden("data-map-notify").bytes();
    let (header, packet) = DataHeader::split(4341, &bytes).unwrap();
    let DataHeader::Lisp(LispHeader { nonce: NonceField::Unused, instance, .. }) = header else {
        panic!("{header:?}");
    };
    assert_eq!(instance.unwrap().get(), 0x00ff_ffff);
    // The inner packet is what an ECM carries.
    let ecm = Message::from_bytes(&[&[0x80, 0, 0, 0], packet].concat()).unwrap();
    let Message::Encapsulated(ecm) = ecm else { panic!("{ecm:?}") };
    let notify = golden("mntf-I").bytes();
    assert_eq!(ecm.message.to_bytes(), notify);
    assert_eq!(ecm.source, "3.0.0.1:4342".parse().unwrap());
}

#[test]
fn signatures_verify_and_are_made_again() {
    for vector in layer("ctrl") {
        let bytes = vector.bytes();
        let Some(purpose) = facts::purpose(&bytes) else { continue };
        if vector.id == "mreg-alg0" {
            assert_eq!(auth::verify(&bytes, purpose, KEY), Err(auth::Error::Algorithm(0)));
            continue;
        }
        assert_eq!(auth::verify(&bytes, purpose, KEY), Ok(()), "{}", vector.id);
        assert_eq!(
            auth::verify(&bytes, purpose, b"another key"),
            Err(auth::Error::Mismatch),
            "{}",
            vector.id
        );
        let algorithm = Algorithm::from_number(bytes[13]);
        let full = usize::from(bytes[15]) == algorithm.mac_len(true);
        let mut again = bytes.clone();
        again[16..16 + algorithm.mac_len(full)].fill(0);
        auth::sign(&mut again, purpose, algorithm, KEY, full);
        assert_eq!(hex::encode(again), vector.hex, "{}", vector.id);
    }
}

#[test]
fn message_inside_an_ecm_is_verified_by_its_own_octets() {
    let bytes = golden("ecm-nat-mreg").bytes();
    let inner = Encapsulated::inner_octets(&bytes).unwrap();
    assert_eq!(auth::verify(inner, Purpose::MapRegister, KEY), Ok(()));
    let behind_authentication_data = golden("ecm-sec-ms").bytes();
    let inner = Encapsulated::inner_octets(&behind_authentication_data).unwrap();
    assert_eq!(hex::encode(inner), golden("mreq-basic").hex);
}

#[test]
fn every_octet_of_a_register_is_covered() {
    let bytes = golden("mreg-xtrid-T-a").bytes();
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(auth::verify(&altered, Purpose::MapRegister, KEY).is_err(), "octet {at}");
        assert!(auth::verify(&bytes[..at], Purpose::MapRegister, KEY).is_err(), "cut at {at}");
    }
}

#[test]
fn purpose_salts_the_key_of_algorithm_3() {
    let notify = golden("mntf-alg3").bytes();
    assert_eq!(auth::verify(&notify, Purpose::MapNotifyAck, KEY), Err(auth::Error::Mismatch));
    let mut short = notify;
    short[15] = 20;
    assert_eq!(auth::verify(&short, Purpose::MapNotify, KEY), Err(auth::Error::Length));
}

#[test]
fn lisp_sec_hmacs_match_what_is_decoded() {
    let bytes = golden("sec-eid-ad").bytes();
    let eids = EidAuthentication::from_bytes(&bytes).unwrap();
    assert_eq!(eids.to_bytes(), bytes);
    assert_eq!(eids.kdf, 2);
    let claim = eids.claim.unwrap();
    assert_eq!((claim.hmac_id, claim.etr_cannot_sign), (2, false));
    assert_eq!(claim.eids[0].prefix().unwrap().to_string(), "203.0.113.0/24");
    assert_eq!(claim.hmac, zeroed_tail_hmac(&bytes, &OTK));

    let vector = golden("mrep-sec");
    let Message::MapReply(reply) = Message::from_bytes(&vector.bytes()).unwrap() else {
        panic!("{}", vector.id);
    };
    let key = hex::decode(vector.fields["verify_key"].as_str().unwrap()).unwrap();
    assert_eq!(reply.security.unwrap().hmac, zeroed_tail_hmac(&vector.bytes(), &key));
}

/// HMAC-SHA-256-128 over `bytes` whose last 16 octets hold it and count as zero.
fn zeroed_tail_hmac(bytes: &[u8], key: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(&bytes[..bytes.len() - 16]);
    mac.update(&[0; 16]);
    mac.finalize().into_bytes()[..16].to_vec()
}

#[test]
fn key_derivations_are_those_of_the_vectors() {
    let nonce = 0x1122_3344_5566_7788_u64.to_be_bytes();
    let hkdf = |parts: &[&[u8]]| {
        let mut key = [0; 16];
        Hkdf::<Sha256>::new(None, &parts.concat()).expand(&[], &mut key).unwrap();
        hex::encode(key)
    };
    assert_eq!(hkdf(&[&nonce, b"OTK-Key-Wrap", b"itr-mr-secret"]), golden("sec-kek").hex);
    assert_eq!(hkdf(&[&OTK]), golden("sec-ms-otk").hex);
    assert_eq!(hkdf(&[&OTK, &nonce]), golden("pubsub-key").hex);

    let vector = golden("crypto-kdf-256");
    let secret = hex::decode(vector.fields["shared_secret"].as_str().unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    for part in [&[0, 1], b"lisp-crypto\0".as_slice(), &nonce, &[1, 0]] {
        mac.update(part);
    }
    assert_eq!(hex::encode(mac.finalize().into_bytes()), vector.hex);
}

#[test]
fn wrapped_key_travels_as_preamble_and_key() {
    let message = Message::from_bytes(&golden("ecm-sec-itr").bytes()).unwrap();
    let Message::Encapsulated(ecm) = message else { panic!("{message:?}") };
    let Some(EcmSecurity::LispSec(key)) = ecm.security else { panic!("{:?}", ecm.security) };
    let wrapped = [&key.preamble[..], &key.key].concat();
    assert_eq!(hex::encode(wrapped), golden("sec-wrapped-otk").hex);
    assert_eq!(key.eids.claim, None, "an ITR claims nothing");
}

#[test]
fn locators_hold_paths_and_replication_lists() {
    let locator = |id: &str| {
        let Message::MapReply(reply) = Message::from_bytes(&golden(id).bytes()).unwrap() else {
            panic!("{id}");
        };
        match &reply.records[0].locators[0].address {
            Address::Lcaf(lcaf) => (**lcaf).clone(),
            other => panic!("{other:?}"),
        }
    };
    let Lcaf::Replication(replicas) = locator("mrep-rle") else { panic!() };
    let found: Vec<_> = replicas.iter().map(|r| json!([r.address.ip(), r.level])).collect();
    assert_eq!(json!(found), golden("mrep-rle").fields["rle"]);

    let Lcaf::Path(hops) = locator("mrep-elp") else { panic!() };
    let flags: Vec<_> = hops.iter().map(|hop| (hop.strict, hop.probe, hop.lookup)).collect();
    assert_eq!(flags, [(true, false, false), (false, true, false), (false, false, true)]);
}

#[test]
fn request_brings_a_mapping_or_a_key() {
    let request = |id: &str| match Message::from_bytes(&golden(id).bytes()) {
        Ok(Message::MapRequest(request)) => request,
        other => panic!("{other:?}"),
    };
    let mapping = request("mreq-mapdata").mapping.unwrap();
    assert_eq!(mapping.eid.prefix().unwrap().to_string(), "192.0.2.0/24");
    assert_eq!(mapping.locators[0].address.ip(), "198.51.100.7".parse().ok());

    let rloc = request("mreq-crypto").itr_rlocs.remove(0);
    assert_eq!(rloc.ip(), "198.51.100.7".parse().ok(), "the address within the key");
    let Address::Lcaf(lcaf) = rloc else { panic!("{rloc:?}") };
    let Lcaf::SecurityKey(key) = *lcaf else { panic!("{lcaf:?}") };
    assert_eq!((key.algorithm, key.keys.len(), key.keys[0].len()), (5, 1, 32));
}

#[test]
fn info_reply_tells_both_sides_of_the_nat() {
    let message = Message::from_bytes(&golden("info-rep").bytes()).unwrap();
    let Message::Info(info) = message else { panic!("{message:?}") };
    let InfoBody::Reply(nat) = info.body else { panic!("{:?}", info.body) };
    assert_eq!((nat.map_server_port, nat.etr_port), (4342, 20001));
    assert_eq!(nat.private_etr, Address::None);
    assert_eq!(
        json!(nat.rtrs.iter().filter_map(Address::ip).collect::<Vec<_>>()),
        json!(["1.0.0.1"])
    );
}

fn layer(name: &str) -> impl Iterator<Item = Vector> {
    ours("golden.json").into_iter().filter(move |vector| vector.layer == name)
}

fn golden(id: &str) -> Vector {
    ours("golden.json").into_iter().find(|vector| vector.id == id).expect(id)
}

const KEY: &[u8] = b"lisp-golden-key";
const OTK: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
