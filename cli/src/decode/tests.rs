use std::io::Cursor;

use super::*;
use serde_json::Value as Json;

/// A Map-Request as an ECM, a signed Map-Register, a Map-Request with an impossible mask, and a
/// data packet of instance 4242.
const ECM: &str = "800000004500003c0000400040113c9dc000020acb007109ee4810f60028b881\
    1000000111223344556677880001c000020a0001c633640700200001cb007109";
const REGISTER: &str = "38000101112233445566778800020020f51a33a576624c80fca2588d27d202fb608b743f\
    6b111e796cc25d00a9047963000000030118100000000001cb0071000164ff0000050001c6336407";
const MASK_33: &str = "10000001112233445566778800000001c633640700210001cb007109";
const DATA: &str = "48000000001092034500001c0000400040013ccdc000020acb0071090800f7ff00000000";

fn decode(octets: Vec<u8>, reading: &Reading, json: bool) -> (String, Result<bool, input::Error>) {
    let mut out = Vec::new();
    let well = Input::of("test".to_owned(), Cursor::new(octets))
        .and_then(|input| decode_all(input, reading, Printer::new(&mut out, json)));
    (String::from_utf8(out).unwrap(), well)
}

fn plain() -> Reading {
    Reading { key: None, port: None }
}

fn with_key(key: &str) -> Reading {
    Reading { key: Some(key.into()), port: None }
}

fn octets(digits: &str) -> Vec<u8> {
    hex::decode(digits.replace([' ', '\n'], "")).unwrap()
}

/// An Ethernet frame with a UDP datagram between two ports.
fn ethernet(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(8 + payload.len()).unwrap();
    let mut frame =
        octets("02005e10000202005e1000010800 45000000000040004011 0000 c0000201 c6336407");
    frame[16..18].copy_from_slice(&(20 + udp).to_be_bytes());
    for word in [source, destination, udp, 0] {
        frame.extend(word.to_be_bytes());
    }
    frame.extend(payload);
    frame
}

fn frames() -> Vec<Vec<u8>> {
    vec![
        ethernet(61000, 4342, &octets(REGISTER)),
        ethernet(61000, 53, b"not for us"),
        ethernet(4342, 61000, &octets(MASK_33)),
        ethernet(50000, 4341, &octets(DATA)),
    ]
}

fn pcap(magic: u32, link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [magic, 0x0004_0002, 0, 0, 65535, link] {
        file.extend(word.to_le_bytes());
    }
    for (number, frame) in (0..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap();
        for word in [1_700_000_000 + number, 250, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// A big-endian capture with nanosecond stamps.
fn pcapng(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = octets("0a0d0d0a 0000001c 1a2b3c4d 00010000 ffffffffffffffff 0000001c");
    // A statistics block, to be passed over, and an interface with an option.
    file.extend(octets("00000005 00000010 00000000 00000010"));
    file.extend(octets("00000001 00000020 0001 0000 00000000 0009000109000000 00000000 00000020"));
    for frame in frames {
        let padded = frame.len().next_multiple_of(4);
        let length = u32::try_from(32 + padded).unwrap();
        let stamp = 1_700_000_000_000_250_000_u64;
        file.extend([6, length, 0].into_iter().flat_map(u32::to_be_bytes));
        file.extend(stamp.to_be_bytes());
        let captured = u32::try_from(frame.len()).unwrap();
        file.extend([captured, captured].into_iter().flat_map(u32::to_be_bytes));
        file.extend(frame);
        file.resize(file.len() + padded - frame.len(), 0);
        file.extend(length.to_be_bytes());
    }
    file
}

#[test]
fn capture_reads_as_a_story_and_ends_badly_for_what_was_refused() {
    let (text, well) = decode(pcap(0xa1b2_c3d4, 1, &frames()), &plain(), false);
    assert!(!well.unwrap(), "one message was refused");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "frame 1  2023-11-14T22:13:20.000250Z  192.0.2.1:61000 > 198.51.100.7:4342"
    );
    assert_eq!(lines[1], "Map-Register");
    assert!(text.contains("\n\nframe 3  2023-11-14T22:13:22.000250Z"), "{text}");
    assert!(text.contains("\nrefused: invalid EID mask-len: 0x21\n"), "{text}");
    assert!(text.contains("\n  Inner Packet: 192.0.2.10 > 203.0.113.9\n"), "{text}");
    assert!(!text.contains("frame 2"), "port 53 is not ours");
}

#[test]
fn both_formats_and_all_links_say_the_same() {
    let (expected, _) = decode(pcap(0xa1b2_c3d4, 1, &frames()), &plain(), true);
    assert_eq!(expected.lines().count(), 3);
    let same_time = |text: &str| {
        text.replace("22:13:21", "22:13:20")
            .replace("22:13:22", "22:13:20")
            .replace("22:13:23", "22:13:20")
    };
    let (found, _) = decode(pcapng(&frames()), &plain(), true);
    assert_eq!(found, same_time(&expected));

    let without = |octets: usize, header: &'static [u8]| -> Vec<Vec<u8>> {
        frames().iter().map(|frame| [header, &frame[octets..]].concat()).collect()
    };
    let sll = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
    let sll: &'static [u8] = Box::leak(Box::new(sll));
    for (link, frames) in [(101, without(14, b"")), (113, without(14, sll))] {
        let (found, _) = decode(pcap(0xa1b2_c3d4, link, &frames), &plain(), true);
        assert_eq!(found, expected, "link type {link}");
    }
    let tagged: Vec<_> = frames()
        .iter()
        .map(|frame| [&frame[..12], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2], &frame[12..]].concat())
        .collect();
    let (found, _) = decode(pcap(0xa1b2_c3d4, 1, &tagged), &plain(), true);
    assert_eq!(found, expected, "VLAN tags");
}

#[test]
fn json_is_one_object_a_message() {
    let (text, _) = decode(pcap(0xa1b2_c3d4, 1, &frames()), &plain(), true);
    let objects: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects[0]["type"], "Map-Register");
    assert_eq!(objects[0]["source"], "192.0.2.1:61000");
    assert_eq!(objects[0]["fields"]["records"][0]["locators"][0]["rloc"], "198.51.100.7");
    assert_eq!(objects[0]["fields"]["want-map-notify"], true);
    assert_eq!(objects[1]["refused"], "invalid EID mask-len: 0x21");
    assert_eq!(objects[2]["fields"]["instance-id"], 4242);
    assert_eq!(objects[2]["fields"]["inner-packet"]["protocol"], 1);
}

#[test]
fn single_message_comes_raw_or_in_digits() {
    let (raw, well) = decode(octets(ECM), &plain(), false);
    assert!(well.unwrap());
    assert!(raw.contains("LISP Control Message: Map-Request"), "{raw}");
    let pasted = ECM.replace("1000000111", "10:00:00:01 11\n");
    assert_eq!(decode(pasted.into_bytes(), &plain(), false).0, raw);
}

#[test]
fn key_tells_right_from_wrong() {
    let (text, well) = decode(octets(REGISTER), &with_key("lisp-golden-key"), false);
    assert!(well.unwrap());
    assert!(text.ends_with("  Verification: ok\n"), "{text}");
    let (text, well) = decode(octets(REGISTER), &with_key("wrong"), true);
    assert!(!well.unwrap());
    assert!(text.contains(r#""verification":"mismatch""#), "{text}");
    let (text, well) = decode(octets(ECM), &with_key("any"), false);
    assert!(well.unwrap(), "a Map-Request has no authentication");
    assert!(!text.contains("Verification"), "{text}");
}

#[test]
fn data_packets_are_looked_into() {
    let reading = |port| Reading { key: Some(b"lisp-golden-key".into()), port: Some(port) };
    // A Map-Notify for an xTR behind a NAT.
    let notify = "08000000ffffff004500008000004000401175c203000001c0a8010210f610f6006c33ea480000011122334\
        4556677880002002091ef8470f03fdd2a122d0b80c09b6d775dd36dd738dd647d9db5924f85b577b4000000030118\
        100000000001cb0071000164ff0000050001c6336407a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0102030405060708";
    let (text, well) = decode(octets(notify), &reading(4341), false);
    assert!(well.unwrap(), "{text}");
    assert!(text.contains("  LISP Control Message: Map-Notify\n"), "{text}");
    assert!(text.contains("  Verification: ok\n"), "{text}");

    let vxlan = "0800000000006300 02005e100002 02005e100001 0800 \
        4500001c0000400040013ccdc000020acb0071090800f7ff00000000";
    let (text, _) = decode(octets(vxlan), &reading(4789), false);
    assert!(text.contains("  Inner Ethernet: 02:00:5e:10:00:01 > 02:00:5e:10:00:02\n"), "{text}");
    let (text, _) = decode(octets("0100000000000000 17fe0303"), &reading(4341), false);
    assert!(text.contains("  Inner Packet: encrypted, 4 octets\n"), "{text}");
    let (text, well) = decode(octets("0000000000000000 17fe0303"), &reading(4341), false);
    assert!(!well.unwrap());
    assert_eq!(text, "refused: invalid IP version: 0x1\n");
}

#[test]
fn what_was_not_captured_whole_is_refused() {
    let mut frames = frames();
    frames[0].truncate(60);
    let mut fragment = ethernet(61000, 4342, &[0; 8]);
    fragment[20] = 0x20;
    frames.push(fragment);
    let (text, well) = decode(pcap(0xa1b2_c3d4, 1, &frames), &plain(), false);
    assert!(!well.unwrap());
    assert!(text.contains("refused: not captured as a whole\n"), "{text}");
    assert!(text.contains("refused: fragment of a datagram\n"), "{text}");
}

#[test]
fn damaged_captures_say_so_behind_what_could_be_read() {
    let whole = pcap(0xa1b2_c3d4, 1, &frames());
    let (text, end) = decode(whole[..whole.len() - 1].to_vec(), &plain(), true);
    assert_eq!(text.lines().count(), 2);
    assert_eq!(end.unwrap_err().to_string(), "test: the capture ends within a frame");
    for capture in [whole, pcapng(&frames())] {
        for length in 4..capture.len() {
            let _ = decode(capture[..length].to_vec(), &plain(), false);
        }
        for at in 4..capture.len() {
            let mut damaged = capture.clone();
            damaged[at] ^= 0xff;
            let _ = decode(damaged, &plain(), true);
        }
    }
}
