//! What the program makes of frames, asked of the kernel without an interface.

use std::net::IpAddr;

use aya::maps::HashMap;
use aya::programs::{TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use weft_packet::ip::Header;
use weft_packet::ip::checksum::{Sum, set_ipv4};
use weft_packet::lisp::{DATA_PORT, VXLAN_GPE_PORT};

use super::super::layout::mapped;
use super::super::shared_ports::OBJECT;
use super::*;

const OURS: [&str; 2] = ["192.0.2.2", "2001:db8::2"];
const UDP: u8 = 17;
const NO_TAGS: [u16; 0] = [];

/// The programs, with the addresses that are ours; `None` where nobody may load them.
fn object() -> Option<Ebpf> {
    let mut object = match EbpfLoader::new().load(OBJECT).map_err(Refusal::of) {
        Ok(object) => object,
        Err(refusal @ (Refusal::NotPermitted(_) | Refusal::Forbidden | Refusal::NoBpf)) => {
            println!("skipped: {refusal}");
            return None;
        }
        Err(refusal) => panic!("{refusal}"),
    };
    let addresses = object.map_mut("addresses").unwrap();
    let mut addresses: HashMap<_, [u8; 16], u32> = addresses.try_into().unwrap();
    for address in OURS {
        addresses.insert(mapped(address.parse().unwrap()), 1, 0).unwrap();
    }
    Prepass::new(None).program(&mut object).unwrap();
    Some(object)
}

/// What the program makes of a frame.
fn run(object: &mut Ebpf, frame: &[u8]) -> Vec<u8> {
    let program: &mut Xdp = object.program_mut(PREPASS).unwrap().try_into().unwrap();
    let mut left = vec![0; frame.len()];
    let options =
        TestRunOptions { data_in: Some(frame), data_out: Some(&mut left), ..TestRunOptions::new() };
    const XDP_PASS: u32 = 2;
    assert_eq!(program.test_run(options).unwrap().return_value, XDP_PASS);
    left
}

/// A datagram to `port` of `to`, with a data header and what is inside it.
fn packet(to: &str, port: u16, header: [u8; 8], inner: &[u8], checksum: bool) -> Vec<u8> {
    let length = u16::try_from(16 + inner.len()).unwrap();
    let mut datagram = [0xc123, port, length, 0].map(u16::to_be_bytes).concat();
    datagram.extend(header);
    datagram.extend(inner);
    let mut packet = match to.parse().unwrap() {
        IpAddr::V4(to) => {
            let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0, 192, 0, 2, 1];
            packet.extend(to.octets());
            packet[2..4].copy_from_slice(&(20 + length).to_be_bytes());
            set_ipv4(&mut packet);
            packet
        }
        IpAddr::V6(to) => {
            let mut packet = vec![0x60, 0, 0, 0, 0, 0, UDP, 64];
            packet[4..6].copy_from_slice(&length.to_be_bytes());
            packet.extend(to.octets());
            packet.extend(to.octets());
            packet
        }
    };
    if checksum {
        let sum = udp_sum(&packet, &datagram).udp_checksum();
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    packet.extend(datagram);
    packet
}

/// The sum that a checksum is made of, and that is nothing if it is right.
fn udp_sum(header: &[u8], datagram: &[u8]) -> Sum {
    let Header { source, destination, .. } = Header::read(&[header, datagram].concat()).unwrap();
    Sum::pseudo_header(source, destination, UDP, datagram.len()).with(datagram)
}

/// A packet behind an Ethernet header and VLAN tags of these protocols.
fn frame(tags: &[u16], packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for (number, tag) in (1u16..).zip(tags) {
        frame.extend([*tag, number].map(u16::to_be_bytes).concat());
    }
    frame.extend(if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet);
    frame
}

/// The beginnings of inner packets, and how LISP-GPE calls them.
const INNER: [(u8, [u8; 24]); 2] = [(1, [0x45; 24]), (2, [0x60; 24])];

#[test]
fn plain_lisp_to_us_says_what_it_carries_and_nothing_else_changes() {
    let Some(mut object) = object() else { return };
    for to in OURS {
        for tags in [&NO_TAGS[..], &[0x8100], &[0x88a8, 0x8100]] {
            for (next, inner) in INNER {
                for flags in [0x00, 0x08, 0x40, 0x48, 0x80, 0xc8] {
                    for checksum in [false, true] {
                        let said = [flags, 1, 2, 3, 0, 0, 7, 5];
                        let sent = packet(to, DATA_PORT, said, &inner, checksum);
                        let says = [(flags & 0x7f) | 4, 0, 0, next, 0, 0, 7, 5];
                        let expected = packet(to, DATA_PORT, says, &inner, checksum);
                        let what = format!("{to}, {tags:?}, {flags:#x}, checksum: {checksum}");
                        let left = run(&mut object, &frame(tags, &sent));
                        assert_eq!(left, frame(tags, &expected), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn checksums_stay_right_whatever_they_are() {
    let Some(mut object) = object() else { return };
    for number in 0..=u16::MAX {
        let [high, low] = number.to_be_bytes();
        let sent = packet(OURS[0], DATA_PORT, [0x80, high, low, 3, 0, 0, 0, 0], &[0x45; 20], true);
        let left = run(&mut object, &frame(&NO_TAGS, &sent));
        let (header, datagram) = left[14..].split_at(20);
        assert_eq!(udp_sum(header, datagram).checksum(), 0, "nonce {number:#x}");
        assert_ne!(datagram[6..8], [0, 0], "that is none at all");
    }
}

#[test]
fn what_has_to_be_said_otherwise_is_left_alone() {
    let Some(mut object) = object() else { return };
    let inner = INNER[0].1;
    let plain = |flags| packet(OURS[0], DATA_PORT, [flags, 1, 2, 3, 0, 0, 0, 0], &inner, true);
    let others = (0..=u8::MAX).filter(|flags| flags & 0x37 != 0).map(plain);
    let to = |to, port| packet(to, port, [0; 8], &inner, false);
    let inside = |inner: &[u8]| packet(OURS[0], DATA_PORT, [0; 8], inner, false);
    let changed = |at: usize, octet| {
        let mut packet = plain(0);
        packet[at] = octet;
        packet
    };
    let mut extended = to(OURS[1], DATA_PORT);
    extended[6] = 60;
    let left_alone = others.chain([
        to("192.0.2.3", DATA_PORT),
        to("2001:db8::3", DATA_PORT),
        to(OURS[0], VXLAN_GPE_PORT),
        inside(&[0x50; 20]),
        inside(&[]),
        changed(0, 0x46),
        changed(6, 0x20),
        changed(7, 1),
        changed(9, 6),
        extended,
    ]);
    for packet in left_alone {
        let frame = frame(&NO_TAGS, &packet);
        assert_eq!(run(&mut object, &frame), frame, "{packet:02x?}");
    }
    let whole = frame(&[0x88a8, 0x8100], &plain(0));
    for length in 14..=whole.len() - inner.len() {
        assert_eq!(run(&mut object, &whole[..length]), whole[..length], "{length} octets");
    }
    let thrice = frame(&[0x88a8, 0x8100, 0x8100], &plain(0));
    assert_eq!(run(&mut object, &thrice), thrice);
}
