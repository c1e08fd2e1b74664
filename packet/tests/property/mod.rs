//! What holds for any octets: nothing panics, and what was decoded once stays as it is. The fuzz
//! targets and the smoke test share these.

use weft_packet::ip::{self, Header, fragment, icmp};
use weft_packet::lisp::auth::{self, Purpose};
use weft_packet::lisp::data::{DataHeader, EthernetHeader, NextProtocol, skip_shims};
use weft_packet::lisp::{Address, Message};
use weft_packet::wire::Wire;

/// One for each decoder that meets octets from outside.
pub(crate) const TARGETS: [(&str, Target); 4] =
    [("control", control), ("address", address), ("data_header", data_header), ("ip", packet)];

/// Asserts what holds for any octets.
pub(crate) type Target = fn(&[u8]);

/// A control message.
pub(crate) fn control(bytes: &[u8]) {
    for purpose in [Purpose::MapRegister, Purpose::Info] {
        // A MAC of 128 bits is not found by chance.
        assert!(auth::verify(bytes, purpose, b"not the key").is_err());
    }
    let Ok((message, rest)) = Message::decode(bytes) else { return };
    assert!(rest <= bytes.len());
    let written = message.to_bytes();
    assert_eq!(Message::decode(&written), Ok((message.clone(), 0)));
    assert!(message.tree().to_string().starts_with(message.name()));
}

/// An AFI-encoded address.
pub(crate) fn address(bytes: &[u8]) {
    let Ok(address) = Address::from_bytes(bytes) else { return };
    assert_eq!(Address::from_bytes(&address.to_bytes()), Ok(address.clone()));
    assert!(!address.to_string().is_empty());
}

/// A data packet; the first octet chooses the port.
pub(crate) fn data_header(bytes: &[u8]) {
    let Some((&choice, datagram)) = bytes.split_first() else { return };
    let port = [4341, 4790, 4789, 4342][usize::from(choice % 4)];
    let Ok((header, packet)) = DataHeader::split(port, datagram) else { return };
    assert_eq!(header.port(), port);
    assert_eq!(DataHeader::from_bytes(port, header.to_bytes()), Ok(header));
    assert!(header.tree().to_string().starts_with(header.name()));
    if let Some(Ok((next, inner))) = header.next_protocol().map(|next| skip_shims(next, packet)) {
        assert!(inner.len() <= packet.len());
        if let (NextProtocol::Ethernet, Ok((header, payload))) =
            (next, EthernetHeader::split(inner))
        {
            assert_eq!([&header.to_bytes(), payload].concat(), inner);
        }
    }
}

/// An IP packet we carry.
pub(crate) fn packet(bytes: &[u8]) {
    let Ok(header) = Header::read(bytes) else { return };
    assert!(header.length <= bytes.len());
    assert_eq!(header.flow_hash(bytes), header.flow_hash(bytes));
    let mut changed = bytes.to_vec();
    ip::clamp_mss(&mut changed, &header, 1360);
    ip::set_ttl(&mut changed, 7);
    ip::set_traffic_class(&mut changed, 0xb9);
    let expected = Header { ttl: 7, traffic_class: 0xb9, ..header };
    assert_eq!(Header::read(&changed), Ok(expected));
    fragment::split(bytes, &header, 576, |head, payload| {
        assert!(head.len() + payload.len() <= 576);
    });
    for problem in [icmp::Problem::TooBig(1400), icmp::Problem::NoRoute] {
        if let Some(error) = icmp::error(bytes, &header, problem, None) {
            assert!(Header::read(&error).is_ok());
        }
    }
}
