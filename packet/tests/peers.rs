//! Messages of OpenDaylight's and VPP's own tests. They lie outside of the crate; where that folder
//! is absent the tests say so and pass.

mod vector;

use std::path::Path;
use vector::{Vector, load};
use weft_packet::lisp::{Address, Encapsulated, Lcaf, MacAfi, MappingRecord, Message};
use weft_packet::wire::{Error, Wire};

/// What becomes of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Decodes, and encodes to the same octets.
    Same,
    /// Decodes; encoded again it differs, as the remark says.
    Other(&'static str),
    /// Refused with this reason.
    Refused(Error),
}

#[test]
fn opendaylight_vectors_meet_their_fate() {
    let Some(vectors) = peer("odl-vectors.json") else { return };
    assert_eq!(vectors.len(), 98);
    for vector in &vectors {
        let bytes = vector.bytes();
        let decoded = if bytes.starts_with(&[0x40, 0x03]) || bytes.starts_with(&[0, 0x11]) {
            Address::from_bytes(&bytes).map(|address| address.to_bytes())
        } else {
            Message::from_bytes(&bytes).map(|message| message.to_bytes())
        };
        check(vector, &bytes, decoded, odl_fate(vector));
    }
}

fn check(vector: &Vector, bytes: &[u8], decoded: Result<Vec<u8>, Error>, fate: Fate) {
    let found = match decoded {
        Ok(again) if again == bytes => Fate::Same,
        Ok(_) => match fate {
            Fate::Other(remark) => Fate::Other(remark),
            _ => Fate::Other("unexpectedly"),
        },
        Err(error) => Fate::Refused(error),
    };
    assert_eq!(found, fate, "{} {}", vector.id, vector.test);
}

/// The remarkable ones; all others round-trip.
fn odl_fate(vector: &Vector) -> Fate {
    use Error::{Invalid, Refused, Trailing, Truncated};
    let number = vector.id.trim_start_matches("odl-").parse::<u8>().expect("odl-NNN");
    let checksum_of_other_octets = |sum| Fate::Refused(Invalid("inner UDP checksum", sum));
    match number {
        // The addresses or flags were edited in the peer's tests; the checksum was left.
        1 | 83 => checksum_of_other_octets(0xef3a),
        93 => checksum_of_other_octets(0x948b),
        95 => checksum_of_other_octets(0x84ee),
        97 => checksum_of_other_octets(0x6314),
        11 | 13 => Fate::Other("a reserved bit is set"),
        // Fewer authentication octets than announced.
        14 | 23 => Fate::Refused(Invalid("AFI", 0x0101)),
        26 => Fate::Refused(Truncated("MR AD Type")),
        // M is set and no mapping follows.
        29 | 31 | 39 | 41 | 44 => Fate::Refused(Truncated("record TTL")),
        // Without ITR-RLOCs, which the message cannot express.
        33..=38 => Fate::Refused(Truncated("ITR-RLOCs")),
        43 | 45 => Fate::Refused(Invalid("AFI", 0x20)),
        47 | 48 => Fate::Refused(Refused("Map-Request without a record")),
        54 | 63 | 69 => Fate::Refused(Truncated("LCAF body")),
        // Lengths that leave out the last octets.
        57 => Fate::Refused(Truncated("IPv4 address")),
        73 => Fate::Refused(Truncated("IPv6 address")),
        58 | 75 | 76 | 80 | 81 => Fate::Other("a reserved octet is set"),
        64 => Fate::Refused(Trailing(2)),
        // Broken on purpose.
        85 => Fate::Refused(Truncated("nonce")),
        86 => Fate::Refused(Invalid("inner IPv4 total length", 0x38)),
        87 => Fate::Refused(Truncated("inner IPv4 header")),
        _ => Fate::Same,
    }
}

/// All but one, whose inner lengths leave out its last four octets.
#[test]
fn edited_opendaylight_requests_decode_without_their_checksum() {
    let Some(vectors) = peer("odl-vectors.json") else { return };
    for (id, checksum_at, source) in [
        ("odl-001", 30, "127.0.0.2:56756"),
        ("odl-093", 50, "[2610:d0:ffff:192::1]:4342"),
        ("odl-095", 30, "153.16.254.1:4342"),
        ("odl-097", 30, "172.1.1.2:4342"),
    ] {
        let mut bytes = find(&vectors, id).bytes();
        bytes[checksum_at..checksum_at + 2].fill(0);
        match Message::from_bytes(&bytes) {
            Ok(Message::Encapsulated(Encapsulated { source: found, message, .. })) => {
                assert_eq!(found, source.parse().unwrap(), "{id}");
                assert!(matches!(*message, Message::MapRequest(_)), "{id}");
            }
            other => panic!("{id}: {other:?}"),
        }
    }
}

#[test]
fn vpp_addresses_and_requests_round_trip() {
    let Some(vectors) = peer("vpp-vectors.json") else { return };
    assert_eq!(vectors.len(), 22);
    for number in [11, 12, 13, 14, 15, 17, 18, 19, 21, 22] {
        let vector = find(&vectors, &format!("vpp-{number:02}"));
        let address = Address::from_bytes(&vector.bytes()).unwrap();
        assert_eq!(address.to_bytes(), vector.bytes(), "{}", vector.id);
    }
    for id in ["vpp-05", "vpp-06"] {
        let vector = find(&vectors, id);
        let message = Message::from_bytes(&vector.bytes()).unwrap();
        assert_eq!(message.to_bytes(), vector.bytes(), "{id}");
        let Message::MapRequest(request) = message else { panic!("{message:?}") };
        assert!(request.smr_invoked, "{id}");
    }
}

#[test]
fn vpp_service_path_shares_the_number_of_geo_location() {
    let Some(vectors) = peer("vpp-vectors.json") else { return };
    let address = Address::from_bytes(&find(&vectors, "vpp-14").bytes()).unwrap();
    assert_eq!(address, Lcaf::ServicePath { path: 0x55_9942, index: 9 }.into());
}

#[test]
fn vpp_record_carries_locators_in_instances() {
    let Some(vectors) = peer("vpp-vectors.json") else { return };
    let one = MappingRecord::from_bytes(&find(&vectors, "vpp-04").bytes()).unwrap();
    let locator = &one.locators[0];
    assert_eq!((locator.priority, locator.weight), (0x0a, 0x0b));
    assert_eq!((locator.multicast_priority, locator.multicast_weight), (0x0c, 0x0d));
    assert_eq!(locator.address.ip(), "170.187.204.221".parse().ok());

    let three = MappingRecord::from_bytes(&find(&vectors, "vpp-10").bytes()).unwrap();
    let instances: Vec<_> = three
        .locators
        .iter()
        .map(|locator| match &locator.address {
            Address::Lcaf(lcaf) => match **lcaf {
                Lcaf::InstanceId { instance, mask_len, .. } => Some((instance, mask_len)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(instances, [Some((9, 0x18)), Some((0x2244_6688, 0x18)), None]);
    assert_eq!(three.to_bytes(), find(&vectors, "vpp-10").bytes());
}

#[test]
fn vpp_register_decodes_once_its_authentication_has_a_length() {
    let Some(vectors) = peer("vpp-vectors.json") else { return };
    // The peer's test looks at the message before it writes the length of its 20 octets.
    let mut bytes = find(&vectors, "vpp-07").bytes();
    bytes[15] = 20;
    let Ok(Message::MapRegister(register)) = Message::from_bytes(&bytes) else { panic!() };
    assert_eq!(register.to_bytes(), bytes);
    let record = &register.records[0];
    assert_eq!(record.ttl.0, 86400, "VPP puts seconds where minutes belong");
    assert!(matches!(record.eid.address, Address::Mac(_, MacAfi::Mac48)));
}

#[test]
fn vpp_broken_ones_are_refused() {
    let Some(vectors) = peer("vpp-vectors.json") else { return };
    let address = |id| Address::from_bytes(&find(&vectors, id).bytes()).unwrap_err();
    // The lengths of its nested LCAFs do not count what is nested.
    assert_eq!(address("vpp-16"), Error::Truncated("LCAF Length"));
    assert_eq!(address("vpp-20"), Error::Invalid("AFI", 0xdead));
    for id in ["vpp-08", "vpp-09"] {
        let mut bytes = find(&vectors, id).bytes();
        bytes[0] = 0x20;
        assert!(Message::from_bytes(&bytes).is_err(), "{id} is short of a record");
    }
}

#[test]
fn vpp_headers_make_an_ecm() {
    let Some(vectors) = peer("vpp-vectors.json") else { return };
    // Its three parts, around a request; VPP's test leaves lengths of a packet it does not have.
    let [ecm, ip, udp] = ["vpp-01", "vpp-02", "vpp-03"].map(|id| find(&vectors, id).bytes());
    let request = find(&vectors, "vpp-06").bytes();
    let mut bytes = [ecm, ip, udp, request].concat();
    let inner = u16::try_from(bytes.len() - 4).unwrap();
    bytes[6..8].copy_from_slice(&inner.to_be_bytes());
    bytes[28..30].copy_from_slice(&(inner - 20).to_be_bytes());
    let Ok(Message::Encapsulated(ecm)) = Message::from_bytes(&bytes) else { panic!() };
    assert_eq!(ecm.source, "212.195.178.161:21".parse().unwrap());
    assert_eq!(ecm.destination, "99.114.129.144:20".parse().unwrap());
    assert_eq!(ecm.hops, 255);
}

fn find<'v>(vectors: &'v [Vector], id: &str) -> &'v Vector {
    vectors.iter().find(|vector| vector.id == id).expect("the id is in the file")
}

fn peer(name: &str) -> Option<Vec<Vector>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/lisp/vectors");
    let vectors = load(&folder.join(name));
    if vectors.is_none() {
        println!("skipped: {name} is not here");
    }
    vectors
}
