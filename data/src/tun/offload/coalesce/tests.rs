use super::super::segment::Segments;
use super::super::unfinished::missing;
use super::*;
use proptest::prelude::*;

/// A flow that packets are made of.
#[derive(Clone, Copy, Debug)]
struct Maker {
    ipv6: bool,
    tcp: bool,
    port: u8,
}

impl Maker {
    fn packet(self, n: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let upper_header = if self.tcp { 20 } else { 8 };
        let upper_length = u16::try_from(upper_header + payload.len()).unwrap();
        let protocol = if self.tcp { protocol::TCP } else { protocol::UDP };
        let mut packet = if self.ipv6 {
            let length = upper_length.to_be_bytes();
            let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 63];
            packet.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
            packet.extend([0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
            packet
        } else {
            let (length, id) = ((upper_length + 20).to_be_bytes(), n.to_be_bytes());
            let mut packet = vec![0x45, 0, length[0], length[1], id[0], id[1], 0, 0, 63, protocol];
            packet.extend([0, 0, 10, 1, 0, 2, 10, 2, 0, 2]);
            set_ipv4(&mut packet);
            packet
        };
        let start = packet.len();
        packet.extend([0x80, self.port, 0, 80]);
        if self.tcp {
            packet.extend(sequence.to_be_bytes());
            packet.extend([0, 0, 0, 9, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        } else {
            packet.extend(upper_length.to_be_bytes());
            packet.extend([0, 0]);
        }
        packet.extend(payload);
        let header = Header::read(&packet).unwrap();
        let sum = Sum::pseudo_header(
            header.source,
            header.destination,
            protocol,
            usize::from(upper_length),
        )
        .with(&packet[start..]);
        let (at, sum) = if self.tcp {
            (TCP_CHECKSUM, sum.checksum())
        } else {
            (UDP_CHECKSUM, sum.udp_checksum())
        };
        packet[start + at..start + at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// Packets with these payloads, one after the other.
    fn burst(self, payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut sequence = u32::MAX - 700;
        let mut packets = Vec::new();
        for (n, payload) in payloads.iter().enumerate() {
            packets.push(self.packet(u16::try_from(n).unwrap(), sequence, ACK, payload));
            sequence = sequence.wrapping_add(u32::try_from(payload.len()).unwrap());
        }
        packets
    }
}

/// What neighbours' super-packets are cut to.
const LARGEST_PACKET: usize = 1500;
const TCP4: Maker = Maker { ipv6: false, tcp: true, port: 1 };
const UDP6: Maker = Maker { ipv6: true, tcp: false, port: 1 };

/// Adds packets that are to leave through a device in one batch.
fn gather(packets: &[Vec<u8>]) -> (Coalescer, Vec<u8>) {
    let buffer = packets.concat();
    let mut coalescer = Coalescer::default();
    let mut at = 0;
    for packet in packets {
        let header = Header::read(packet).unwrap();
        let lacks = missing(packet, &header, None, || LARGEST_PACKET);
        coalescer.add(&buffer, at..at + packet.len(), &header, lacks, 0, true);
        at += packet.len();
    }
    (coalescer, buffer)
}

/// Coalesces `packets` and gives what would be written to the device.
fn coalesce(packets: &[Vec<u8>]) -> Vec<(VirtioHeader, Vec<u8>)> {
    let (coalescer, buffer) = gather(packets);
    coalescer
        .super_packets()
        .iter()
        .map(|s| {
            let mut out = [0; LONGEST_HEADERS];
            match s.headers(&buffer, &mut out) {
                Some((virtio, headers)) => {
                    let mut written = headers.to_vec();
                    s.payload().for_each(|range| written.extend(&buffer[range]));
                    (virtio, written)
                }
                None => (s.lacks(), buffer[s.first()].to_vec()),
            }
        })
        .collect()
}

/// What the kernel makes of it again.
fn cut(written: &[(VirtioHeader, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for (virtio, octets) in written {
        let Some(segmentation) = virtio.segmentation else {
            packets.push(octets.clone());
            continue;
        };
        let header = Header::read(octets).unwrap();
        assert_eq!(header.length, octets.len());
        let segments = Segments::new(octets, &header, segmentation).unwrap();
        for n in 0..segments.count() {
            let mut packet = Vec::new();
            segments.write_header(n, &mut packet);
            packet.extend(&octets[segments.payload(n)]);
            packets.push(packet);
        }
    }
    packets
}

#[test]
fn a_burst_becomes_one_super_packet() {
    for maker in [TCP4, UDP6] {
        let packets = maker.burst(&[vec![1; 1000], vec![2; 1000], vec![3; 1000], vec![4; 10]]);
        let written = coalesce(&packets);
        assert_eq!(written.len(), 1);
        assert_eq!(cut(&written), packets);
        let virtio = written[0].0;
        assert_eq!(virtio.segmentation.unwrap().size, 1000);
        assert_eq!(virtio.packets(written[0].1.len()), 4);
    }
}

#[test]
fn the_checksum_left_to_the_kernel_completes_to_the_right_one() {
    let written = coalesce(&TCP4.burst(&[vec![1; 100], vec![2; 100]]));
    let (virtio, mut octets) = written[0].clone();
    let partial = virtio.checksum.unwrap();
    let (start, field) = (usize::from(partial.start), usize::from(partial.start + partial.offset));
    let sum = Sum::ZERO.with(&octets[start..]).checksum();
    octets[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    let header = Header::read(&octets).unwrap();
    let flow = Flow::of(&octets, &header, VirtioHeader::default()).unwrap();
    assert!(checksums_are_right(&octets, &header, &flow));
}

/// The packet as a kernel leaves it to a card.
fn unfinished(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let header = Header::read(&packet).unwrap();
    let length = header.length - header.transport;
    let sum = Sum::pseudo_header(header.source, header.destination, header.protocol, length);
    let field = if header.protocol == protocol::TCP { TCP_CHECKSUM } else { UDP_CHECKSUM };
    let at = header.transport + field;
    packet[at..at + 2].copy_from_slice(&sum.folded().to_be_bytes());
    packet
}

#[test]
fn unfinished_packets_join_like_finished_ones() {
    for maker in [TCP4, UDP6] {
        let packets = maker.burst(&[vec![1; 1000], vec![2; 1000], vec![3; 10]]);
        let lacking: Vec<_> = packets.iter().map(|packet| unfinished(packet)).collect();
        let written = coalesce(&lacking);
        assert_eq!(written.len(), 1);
        assert_eq!(cut(&written), packets);
        let mixed = [packets[0].clone(), lacking[1].clone(), packets[2].clone()];
        assert_eq!(cut(&coalesce(&mixed)), packets);
    }
}

#[test]
fn a_neighbours_super_packet_is_cut_and_counted() {
    let payload: Vec<u8> = (0..4000u32).map(|n| (n % 251) as u8).collect();
    let packets = TCP4.burst(&[payload.clone(), vec![2; 100]]);
    let (coalescer, _) = gather(&[unfinished(&packets[0]), packets[1].clone()]);
    let [first, second] = coalescer.super_packets() else { panic!("they joined") };
    assert_eq!((first.packets(), first.bytes()), (3, 4000 + 3 * 40));
    assert_eq!((second.packets(), second.bytes()), (1, 140));
    let written = coalesce(&[unfinished(&packets[0])]);
    let again = cut(&written);
    let sizes: Vec<_> = again.iter().map(Vec::len).collect();
    assert_eq!(sizes, [LARGEST_PACKET, LARGEST_PACKET, 4000 + 3 * 40 - 2 * LARGEST_PACKET]);
    assert_eq!(again.iter().flat_map(|packet| packet[40..].to_vec()).collect::<Vec<_>>(), payload);
}

#[test]
fn a_short_packet_or_a_push_ends_the_burst() {
    let packets = TCP4.burst(&[vec![1; 100], vec![2; 50], vec![3; 100]]);
    assert_eq!(coalesce(&packets).len(), 2);
    let mut packets = TCP4.burst(&[vec![1; 100], vec![2; 100], vec![3; 100]]);
    packets[1] = TCP4.packet(1, (u32::MAX - 700).wrapping_add(100), ACK | PSH, &[2; 100]);
    let written = coalesce(&packets);
    assert_eq!(written.len(), 2);
    assert_eq!(cut(&written), packets, "and the push stays on its packet");
}

#[test]
fn a_wrong_checksum_is_passed_on_and_not_mended() {
    let mut packets = TCP4.burst(&[vec![1; 100], vec![2; 100], vec![3; 100]]);
    *packets[1].last_mut().unwrap() ^= 1;
    let written = coalesce(&packets);
    assert_eq!(written.iter().map(|w| w.1.clone()).collect::<Vec<_>>(), packets);
    let mut packets = TCP4.burst(&[vec![1; 100], vec![2; 100]]);
    packets[0][10] ^= 1;
    assert_eq!(cut(&coalesce(&packets)), packets, "nor that of the IPv4 header");
}

#[test]
fn what_differs_or_was_lost_does_not_join() {
    let changes: [fn(&mut Vec<u8>); 4] = [
        |packet| weft_packet::ip::set_ttl(packet, 9),
        |packet| weft_packet::ip::set_traffic_class(packet, 3),
        |packet| packet[27] ^= 1,
        |packet| packet[33] |= 1,
    ];
    for change in changes {
        let mut packets = TCP4.burst(&[vec![1; 100], vec![2; 100]]);
        change(&mut packets[1]);
        assert_eq!(coalesce(&packets).len(), 2);
    }
}

#[test]
fn no_super_packet_has_more_datagrams_than_the_kernel_takes() {
    let written = coalesce(&UDP6.burst(&vec![vec![1; 10]; 130]));
    let packets: Vec<u64> = written.iter().map(|(v, octets)| v.packets(octets.len())).collect();
    assert_eq!(packets, [64, 64, 2]);
}

#[test]
fn two_devices_never_share_a_super_packet() {
    let packets = TCP4.burst(&[vec![1; 100], vec![2; 100]]);
    let buffer = packets.concat();
    let mut coalescer = Coalescer::default();
    for (device, packet) in packets.iter().enumerate() {
        let header = Header::read(packet).unwrap();
        let at = device * packet.len();
        let lacks = VirtioHeader::default();
        coalescer.add(&buffer, at..at + packet.len(), &header, lacks, device, true);
    }
    assert_eq!(coalescer.super_packets().len(), 2);
}

fn any_burst() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let flow = (any::<bool>(), any::<bool>(), 0u8..3).prop_map(|(ipv6, tcp, port)| Maker {
        ipv6,
        tcp,
        port,
    });
    let sizes = prop::collection::vec(prop::sample::select(vec![1usize, 99, 100, 1400]), 1..20);
    let bursts = prop::collection::vec((flow, sizes, any::<u8>()), 1..5);
    (bursts, any::<u64>()).prop_map(|(bursts, seed)| {
        let mut flows: Vec<_> = bursts
            .into_iter()
            .map(|(maker, sizes, fill)| {
                maker.burst(&sizes.into_iter().map(|size| vec![fill; size]).collect::<Vec<_>>())
            })
            .collect();
        // Deals the flows' packets into one another, each flow in its order.
        let mut mixed = Vec::new();
        let mut seed = seed;
        while !flows.is_empty() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = usize::try_from(seed >> 33).unwrap() % flows.len();
            mixed.push(flows[pick].remove(0));
            flows.retain(|flow| !flow.is_empty());
        }
        mixed
    })
}

/// Packets of one flow, by everything that names it.
fn of_flow(packets: &[Vec<u8>], like: &[u8]) -> Vec<Vec<u8>> {
    let hash = |p: &[u8]| Header::read(p).unwrap().flow_hash(p);
    packets.iter().filter(|p| hash(p) == hash(like)).cloned().collect()
}

proptest! {
    #[test]
    fn cutting_what_was_coalesced_gives_every_flow_back(packets in any_burst()) {
        let back = cut(&coalesce(&packets));
        prop_assert_eq!(back.len(), packets.len());
        for packet in &packets {
            prop_assert_eq!(of_flow(&back, packet), of_flow(&packets, packet));
        }
    }

    #[test]
    fn no_octets_panic(mut octets in prop::collection::vec(any::<u8>(), 20..200), six: bool, tcp: bool) {
        let protocol = if tcp { protocol::TCP } else { protocol::UDP };
        octets[0] = if six { 0x60 } else { 0x45 };
        octets[if six { 6 } else { 9 }] = protocol;
        if let Ok(header) = Header::read(&octets) {
            octets.truncate(header.length);
            coalesce(&[octets.clone(), octets]);
        }
    }
}
