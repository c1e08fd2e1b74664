//! `weft decode`: what the shell sees of it. What it reads and prints has tests of its own.

use serde_json::Value;

use super::{weft, weft_reading};

/// A Map-Request for 10.1.0.1/32 (RFC 9301 §5.2): no source EID, one ITR-RLOC, 192.0.2.1.
const MAP_REQUEST: &str = "10000001 0102030405060708 0000 0001 c0000201 00200001 0a010001";

#[test]
fn message_in_digits() {
    let ended = weft(&["decode", "--hex", MAP_REQUEST]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(ended.out.contains("Map-Request"), "{}", ended.out);
    assert!(ended.out.contains("EID: 10.1.0.1"), "{}", ended.out);
    assert_eq!(weft_reading(MAP_REQUEST, &["decode"]).out, ended.out);
}

#[test]
fn message_as_json() {
    let ended = weft(&["decode", "--json", "--hex", MAP_REQUEST]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let _: Value = serde_json::from_str(ended.out.trim_end()).unwrap();
}

#[test]
fn refused_message_ends_with_1() {
    let ended = weft(&["decode", "--hex", "1000"]);
    assert_eq!(ended.code, 1);
    assert!(format!("{}{}", ended.out, ended.err).contains("truncated"), "{}", ended.err);
}

#[test]
fn what_is_no_hexadecimal_ends_with_2() {
    let ended = weft(&["decode", "--hex", "hello"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.starts_with("error: not hexadecimal digits"), "{}", ended.err);
    assert_eq!(weft(&["decode", "/no/such.pcap"]).code, 2);
}
