//! The text form shows every field, each under a name of its own.

mod arbitrary;
mod vector;

use proptest::prelude::*;
use std::collections::HashSet;
use vector::ours;
use weft_packet::lisp::data::DataHeader;
use weft_packet::lisp::{Address, Message, Tree, Value};
use weft_packet::wire::Wire;

fn golden(id: &str) -> Vec<u8> {
    ours("golden.json").iter().find(|vector| vector.id == id).expect("golden").bytes()
}

#[test]
fn map_reply_reads_well() {
    let tree = Message::from_bytes(&golden("mrep-probe")).unwrap().tree();
    assert_eq!(
        tree.to_string(),
        "\
Map-Reply
  RLOC-probe (P): yes
  Echo-Nonce-Capable (E): yes
  Security (S): no
  Nonce: 1122334455667788
  Records: 1
    Record
      Record TTL (minutes): 1440
      EID mask-len: 24
      ACT: No-Action
      Authoritative (A): yes
      Map-Version Number: 0
      EID: 203.0.113.0
      Locators: 1
        Locator
          RLOC: 198.51.100.7
          Priority: 1
          Weight: 100
          M Priority: 255
          M Weight: 0
          Local (L): yes
          Probed (p): yes
          Reachable (R): yes"
    );
}

#[test]
fn data_header_reads_well() {
    let (header, _) = DataHeader::split(4341, &golden("data-iid-lsb")).unwrap();
    assert_eq!(
        header.tree().to_string(),
        "\
LISP data
  Nonce-present (N): no
  Locator-Status-Bits (L): yes
  Echo-Nonce-Request (E): no
  Map-Version (V): no
  Instance-ID-present (I): yes
  Next-Protocol-present (P): no
  Key ID (KK): 0
  Instance ID: 4242
  Locator-Status-Bits bitfield: 0x3"
    );
}

#[test]
fn addresses_have_short_forms() {
    let short = |id: &str| Address::from_bytes(&golden(id)).unwrap().to_string();
    for (id, text) in [
        ("afi-none", "none"),
        ("afi-mac6", "02:00:5e:10:00:01"),
        ("afi-dn", "\"ietf.lisp\""),
        ("lcaf-iid", "[16777215]198.51.100.7"),
        ("lcaf-iid-range", "[11206656/16]"),
        ("lcaf-afilist", "AFI-List(198.51.100.7, 2001:db8:100::7, \"r1\")"),
        ("lcaf-asn", "AS64512:198.51.100.7"),
        ("lcaf-mcast", "[7](192.0.2.10/32,232.1.1.1/32)"),
        ("lcaf-srcdst", "(192.0.2.0/24->203.0.0.0/16)"),
        ("lcaf-encap", "Encapsulation-Format(198.51.100.7)"),
        ("lcaf-vendor", "vendor 00000c"),
    ] {
        assert_eq!(short(id), text, "{id}");
    }
}

#[test]
fn encapsulations_are_named() {
    let message = Message::from_bytes(&golden("mreq-probe")).unwrap();
    let Message::MapRequest(mut request) = message else { panic!("{message:?}") };
    request.itr_rlocs = vec![Address::from_bytes(&golden("lcaf-encap")).unwrap()];
    let tree = Message::MapRequest(request).tree();
    let rloc = &tree.child("ITR-RLOCs").unwrap().children[0];
    let formats = &rloc.child("Encapsulations").unwrap().value;
    assert_eq!(*formats, Value::Text("0xd LISP, VXLAN, VXLAN-GPE".to_owned()));
}

proptest! {
    #[test]
    fn every_difference_between_messages_shows(
        one in arbitrary::message(),
        other in arbitrary::message(),
    ) {
        prop_assert_eq!(one == other, one.tree() == other.tree());
    }

    #[test]
    fn every_bit_of_an_address_shows(
        address in arbitrary::address(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut bytes = address.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Address::from_bytes(&bytes) {
            let text = |address: &Address| as_locator(address.clone()).tree();
            prop_assert_eq!(address == other, text(&address) == text(&other));
        }
    }

    #[test]
    fn siblings_have_keys_of_their_own(message in arbitrary::message()) {
        assert_unique(&message.tree());
    }

    #[test]
    fn data_headers_differ_in_text_as_in_bytes(
        one in arbitrary::data_header(),
        other in arbitrary::data_header(),
    ) {
        prop_assert_eq!(one == other, one.tree() == other.tree());
        assert_unique(&one.tree());
    }
}

fn as_locator(address: Address) -> Message {
    Message::MapRequest(weft_packet::lisp::MapRequest {
        itr_rlocs: vec![address],
        ..weft_packet::lisp::MapRequest::default()
    })
}

fn assert_unique(tree: &Tree) {
    let mut seen = HashSet::new();
    for child in &tree.children {
        let unique = seen.insert(child.key());
        assert!(unique || tree.value == Value::List, "{} twice in\n{tree}", child.label);
        assert_unique(child);
    }
}
