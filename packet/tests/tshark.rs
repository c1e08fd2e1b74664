//! A witness who does not know our code: every golden message, address and data header, as we
//! encode them, goes through tshark's dissector, and it must have nothing to complain about.

mod vector;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use vector::{Vector, ours};
use weft_packet::addr::Nonce;
use weft_packet::ip::checksum::{self, Sum};
use weft_packet::lisp::data::DataHeader;
use weft_packet::lisp::{Address, Eid, MapRequest, Message, RequestedEid};
use weft_packet::wire::{Wire, Writer};

/// What tshark 4.0 does not read to the end, what it says instead, and why. A later one may.
const GAPS: &[(&str, &str, &str)] = &[
    ("mreq-pubsub", "", "xTR-ID and Site-ID of RFC 9437"),
    ("mreq-unsubscribe", "Unexpected ITR-RLOC-AFI (0)", "no ITR-RLOC, of RFC 9437"),
    ("mreq-crypto", "Unexpected ITR-RLOC-AFI (16387)", "an LCAF as ITR-RLOC"),
    ("mntf-ack", "", "message type 5"),
    ("shared-ext", "", "message type 15"),
    ("mref-signed", "Not dissected yet", "signatures of RFC 8111"),
    ("ecm-sec-itr", "", "authentication data of RFC 9303"),
    ("ecm-sec-ms", "", "authentication data of RFC 9303"),
    ("mrep-sec", "", "authentication data of RFC 9303"),
    ("lcaf-appdata", "Not dissected yet", "LCAF 4"),
    ("lcaf-seckey-revoke", "Not dissected yet", "LCAF 11"),
    ("lcaf-json", "Not dissected yet", "LCAF 14"),
    ("lcaf-encap", "Not dissected yet", "LCAF 16"),
    ("lcaf-geo17-point", "Not dissected yet", "LCAF 17"),
    ("lcaf-geo17-prefix", "Not dissected yet", "LCAF 17"),
    ("lcaf-vendor", "Look up the vendor's OUI", "what vendors put into LCAF 255"),
];

/// A datagram, and which vector it was.
struct Datagram {
    id: String,
    port: u16,
    payload: Vec<u8>,
}

/// What tshark says of a packet.
#[derive(Debug)]
struct Reading {
    protocols: String,
    complaints: Vec<String>,
}

#[test]
fn tshark_reads_what_we_write_without_complaint() {
    let datagrams: Vec<_> = ours("golden.json").iter().filter_map(encoded).collect();
    assert_eq!(datagrams.len(), 58 + 25 + 8, "all that can travel");
    let Some(readings) = read(&capture("golden", &datagrams)) else {
        println!("skipped: tshark is not installed");
        return;
    };
    assert_eq!(readings.len(), datagrams.len());
    let wrong: Vec<_> = datagrams
        .iter()
        .zip(&readings)
        .filter(|(datagram, reading)| !reading.is_clean(datagram) && !reading.is_gap(datagram))
        .map(|(datagram, reading)| (&datagram.id, reading))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

impl Reading {
    /// Read as LISP, to the last octet, without a word.
    fn is_clean(&self, datagram: &Datagram) -> bool {
        self.complaints.is_empty() && self.is_lisp(datagram) && !self.protocols.ends_with(":data")
    }

    /// Read as LISP, but for what tshark does not know.
    fn is_gap(&self, datagram: &Datagram) -> bool {
        let gap = GAPS.iter().find(|(id, ..)| *id == datagram.id);
        self.is_lisp(datagram)
            && gap.is_some_and(|(_, says, _)| {
                let known = |complaint: &String| !says.is_empty() && complaint.starts_with(says);
                self.complaints.iter().all(known)
            })
    }

    fn is_lisp(&self, datagram: &Datagram) -> bool {
        let layer = if datagram.port == 4342 { "lisp" } else { "lisp-data" };
        self.protocols.split(':').any(|protocol| protocol == layer)
    }
}

#[test]
fn gaps_are_of_vectors_that_exist() {
    let vectors = ours("golden.json");
    for (id, _, why) in GAPS {
        assert!(vectors.iter().any(|vector| vector.id == *id), "{id}: {why}");
    }
}

#[test]
fn the_witness_notices_what_is_wrong() {
    let request = ours("golden.json").into_iter().find(|vector| vector.id == "mreq-basic").unwrap();
    let mut cut = encoded(&request).unwrap();
    cut.payload.truncate(cut.payload.len() - 3);
    let Some(readings) = read(&capture("cut", &[cut])) else { return };
    assert_ne!(readings[0].complaints, [""; 0]);
}

/// A vector as we encode what we understood of it; `None` for those that are no packets.
fn encoded(vector: &Vector) -> Option<Datagram> {
    let bytes = vector.bytes();
    let (port, payload) = match vector.layer.as_str() {
        "ctrl" => (4342, Message::from_bytes(&bytes).expect(&vector.id).to_bytes()),
        "addr" => (4342, asked_for(Address::from_bytes(&bytes).expect(&vector.id))),
        "data" => {
            let (header, packet) = DataHeader::split(4341, &bytes).expect(&vector.id);
            (4341, [&header.to_bytes(), packet].concat())
        }
        _ => return None,
    };
    Some(Datagram { id: vector.id.clone(), port, payload })
}

/// A Map-Request for an address.
fn asked_for(address: Address) -> Vec<u8> {
    let eid = Eid { address, mask_len: 32 };
    let request = MapRequest {
        nonce: Nonce(1),
        itr_rlocs: vec![Address::Ip(OUR_END)],
        eids: vec![RequestedEid { subscribe: false, eid }],
        ..MapRequest::default()
    };
    Message::MapRequest(request).to_bytes()
}

/// Writes a capture of the datagrams, as IPv4 packets with right checksums.
fn capture(name: &str, datagrams: &[Datagram]) -> PathBuf {
    const MAGIC: u32 = 0xa1b2_c3d4;
    const RAW_IP: u32 = 101;
    let mut w = Writer::default();
    w.u32(MAGIC).u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(RAW_IP);
    for (second, datagram) in (0..).zip(datagrams) {
        let packet = packet(datagram);
        let length = u32::try_from(packet.len()).expect("packets are short");
        w.u32(second).u32(0).u32(length).u32(length).bytes(packet);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcap"));
    std::fs::write(&path, w.into_bytes()).expect("a folder for tests");
    path
}

fn packet(datagram: &Datagram) -> Vec<u8> {
    let length = 8 + u16::try_from(datagram.payload.len()).expect("payloads are short");
    let mut udp = Writer::default();
    udp.u16(40_000).u16(datagram.port).u16(length).u16(0).bytes(&datagram.payload);
    let sum = Sum::pseudo_header(OUR_END, THEIR_END, 17, udp.len()).with(udp.as_bytes());
    udp.patch(6, sum.udp_checksum().to_be_bytes());
    let mut header = Writer::default();
    header.u8(0x45).u8(0).u16(20 + length).u16(0).u16(0x4000).u8(64).u8(17).u16(0);
    let mut header = header.ip(OUR_END).ip(THEIR_END).as_bytes().to_vec();
    checksum::set_ipv4(&mut header);
    [header, udp.into_bytes()].concat()
}

/// What tshark makes of a capture, packet by packet; `None` where there is no tshark.
fn read(capture: &Path) -> Option<Vec<Reading>> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]);
    tshark.args(["-T", "fields", "-E", "aggregator=;", "-e", "frame.protocols"]);
    tshark.args(["-e", "_ws.malformed", "-e", "_ws.expert.message", "-r"]).arg(capture);
    let output = match tshark.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("tshark: {error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let reading = |line: &str| {
        let mut words = line.split(['\t', ';']).map(str::to_owned);
        let protocols = words.next().unwrap_or_default();
        Reading { protocols, complaints: words.filter(|word| !word.is_empty()).collect() }
    };
    Some(text.lines().map(reading).collect())
}

const OUR_END: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const THEIR_END: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
