//! What is written is read again: every message, address and header a router could make.

mod arbitrary;

use proptest::prelude::*;
use weft_packet::lisp::auth::{self, Algorithm, Purpose};
use weft_packet::lisp::data::DataHeader;
use weft_packet::lisp::{
    Action, Address, Authentication, Eid, MapRegister, MapRequest, MappingRecord, Message,
    RequestedEid, Ttl,
};
use weft_packet::wire::Wire;

proptest! {
    #[test]
    fn messages(message in arbitrary::message()) {
        let bytes = message.to_bytes();
        let (again, rest) = Message::decode(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(again, message);
        prop_assert_eq!(rest, 0);
    }

    #[test]
    fn addresses(address in arbitrary::address()) {
        prop_assert_eq!(Address::from_bytes(&address.to_bytes()), Ok(address));
    }

    #[test]
    fn data_headers(header in arbitrary::data_header()) {
        prop_assert_eq!(DataHeader::from_bytes(header.port(), header.to_bytes()), Ok(header));
    }

    #[test]
    fn data_headers_of_any_octets_settle(port in 4341_u16..4342, octets in any::<[u8; 8]>()) {
        let header = DataHeader::from_bytes(port, octets).expect("4341 refuses nothing");
        prop_assert_eq!(DataHeader::from_bytes(port, header.to_bytes()), Ok(header));
    }

    #[test]
    fn eids_in_a_register_are_signed_and_verified(
        eids in prop::collection::vec(arbitrary::eid(), 0..4),
        key in prop::collection::vec(any::<u8>(), 0..80),
        number in 1_u8..4,
        full in any::<bool>(),
    ) {
        let algorithm = Algorithm::from_number(number);
        let record = |eid| MappingRecord {
            eid,
            ttl: Ttl(3),
            action: Action::NoAction,
            authoritative: true,
            version: 0,
            locators: Vec::new(),
        };
        let register = MapRegister {
            authentication: Authentication::unsigned(1, algorithm, full),
            records: eids.into_iter().map(record).collect(),
            ..MapRegister::default()
        };
        let mut bytes = register.to_bytes();
        auth::sign(&mut bytes, Purpose::MapRegister, algorithm, &key, full);
        prop_assert_eq!(auth::verify(&bytes, Purpose::MapRegister, &key), Ok(()));
        let last = bytes.len() - 1;
        bytes[last] ^= 0x80;
        prop_assert_eq!(
            auth::verify(&bytes, Purpose::MapRegister, &key),
            Err(auth::Error::Mismatch)
        );
    }
}

#[test]
fn more_than_a_count_can_say_is_left_out() {
    let list = vec![Address::None; 40];
    let request = MapRequest {
        itr_rlocs: list,
        eids: vec![RequestedEid { subscribe: false, eid: Eid::default() }; 300],
        ..MapRequest::default()
    };
    let Ok(Message::MapRequest(read)) =
        Message::from_bytes(&Message::MapRequest(request).to_bytes())
    else {
        panic!("still a Map-Request");
    };
    assert_eq!((read.itr_rlocs.len(), read.eids.len()), (32, 255));
}
