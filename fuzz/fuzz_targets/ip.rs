//! Any octets as an IP packet.

#![no_main]

#[path = "../../packet/tests/property/mod.rs"]
#[allow(dead_code, reason = "the targets share the properties")]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::packet(bytes));
