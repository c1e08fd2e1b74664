//! Packets of all kinds, at random but always the same.

use weft_packet::ip::checksum::{Sum, set_ipv4};

/// Numbers that look random (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.number() % sides
    }

    pub(crate) fn octet(&mut self) -> u8 {
        self.number().to_be_bytes()[0]
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let place = usize::try_from(self.roll(all.len() as u64)).unwrap();
        all[place]
    }

    /// An IPv4 packet, now and then an odd one.
    pub(crate) fn ipv4(&mut self, source: [u8; 4], destination: [u8; 4], longest: u64) -> Vec<u8> {
        let options = if self.once_in(20) { vec![1; 4] } else { vec![] };
        let header = 20 + options.len();
        let payload = self.payload(longest - header as u64);
        let length = u16::try_from(header + payload.len()).unwrap();
        let fragment = match self.roll(20) {
            0 => 0x2000u16,
            1 => 0x0010,
            roll if roll < 10 => 0,
            _ => 0x4000,
        };
        let protocol = self.one_of(&[6, 17, 17, 132, 47, 89]);
        let ttl = if self.once_in(8) { self.one_of(&[1, 2, 3]) } else { self.octet().max(2) };
        let mut packet = vec![0x40 | u8::try_from(header / 4).unwrap(), self.octet()];
        packet.extend(length.to_be_bytes());
        packet.extend([self.octet(), self.octet()]);
        packet.extend(fragment.to_be_bytes());
        packet.extend([ttl, protocol, 0, 0]);
        packet.extend(source);
        packet.extend(destination);
        packet.extend(options);
        set_ipv4(&mut packet);
        packet.extend(payload);
        if self.once_in(30) {
            packet[10] ^= 0x55;
        }
        packet
    }

    /// An IPv6 packet, now and then an odd one.
    pub(crate) fn ipv6(
        &mut self,
        source: [u8; 16],
        destination: [u8; 16],
        longest: u64,
    ) -> Vec<u8> {
        let mut payload = self.payload(longest - 40);
        let mut protocol = self.one_of(&[6, 17, 17, 132, 58, 47]);
        if self.once_in(20) {
            // Destination options that only pad.
            payload.splice(0..0, [protocol, 0, 1, 4, 0, 0, 0, 0]);
            payload.truncate(usize::try_from(longest - 40).unwrap());
            protocol = 60;
        }
        let ttl = if self.once_in(8) { self.one_of(&[1, 2, 3]) } else { self.octet().max(2) };
        let class = self.octet();
        let mut packet = vec![0x60 | class >> 4, class << 4 | self.octet() & 0xf];
        packet.extend([self.octet(), self.octet()]);
        packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        packet.extend([protocol, ttl]);
        packet.extend(source);
        packet.extend(destination);
        packet.extend(payload);
        packet
    }

    /// At least a transport header's worth, with lengths near the limit more often.
    fn payload(&mut self, longest: u64) -> Vec<u8> {
        let length = match self.roll(4) {
            0 => longest - self.roll(60),
            1 => 20 + self.roll(20),
            _ => 20 + self.roll(longest - 20),
        };
        // As TCP: a data offset of five, and flags without SYN.
        let mut payload: Vec<u8> = (0..length).map(|_| self.octet()).collect();
        payload[12] = 0x50;
        payload[13] = 0x10;
        // As UDP: its length.
        let length = u16::try_from(length).unwrap();
        payload[4..6].copy_from_slice(&length.to_be_bytes());
        payload
    }
}

/// The Ethernet address of a device.
pub(crate) const fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

/// A frame with a packet, padded to the least length with what is not zero.
pub(crate) fn frame(to: u8, from: u8, packet: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    let mut frame = [&mac(to)[..], &mac(from), &kind, packet].concat();
    while frame.len() < 60 {
        frame.push(0xee);
    }
    frame
}

/// An IPv4 packet with options, which takes the portable plane's way: what was sent before it
/// has arrived when it arrives.
pub(crate) fn marker(source: [u8; 4], destination: [u8; 4], number: u8) -> Vec<u8> {
    let mut packet = vec![0x46, 0, 0, 32, 0, 0, 0x40, 0, 64, MARKER, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    packet.extend([1; 4]);
    set_ipv4(&mut packet);
    packet.extend([number; 8]);
    packet
}

/// The number of a marker, if a packet is one.
pub(crate) fn marker_number(packet: &[u8]) -> Option<u8> {
    let [head, .., MARKER, _, _] = packet.first_chunk::<12>()? else { return None };
    let (&number, rest) = packet.get(24..32)?.split_first()?;
    (*head == 0x46 && rest.iter().all(|octet| *octet == number)).then_some(number)
}

/// A protocol for experiments (RFC 3692).
const MARKER: u8 = 253;

/// Wraps a packet for a tunnel, now and then in an odd way.
pub(crate) fn encapsulate(dice: &mut Dice, ipv6: bool, port: u16, inner: &[u8]) -> Vec<u8> {
    let ipv4 = inner[0] >> 4 == 4;
    let head: [u8; 8] = match (port, dice.roll(20)) {
        (_, 0) => dice.number().to_be_bytes(),
        (_, 1) => [8, 0, 0, 0, 0, 0, 7, 0],
        (_, 2) => [8, 0, 0, 0, 0xff, 0xff, 0xff, 0],
        (4341, 3..8) => [dice.octet() & 0xe8, 1, 2, 3, 0, 0, 0, 5],
        (4341, 8..14) => [0; 8],
        // A group policy, and what is reserved.
        (4789, 3) => [dice.octet() | 8, dice.octet(), dice.octet(), dice.octet(), 0, 0, 0, 5],
        (4789, _) => [8, 0, 0, 0, 0, 0, 0, 0],
        _ => [0x0c, 0, 0, if ipv4 { 1 } else { 2 }, 0, 0, 0, 0],
    };
    let ethernet = if port == 4789 { frame_header(dice, ipv4) } else { vec![] };
    let mut payload = [&head[..], &ethernet, inner].concat();
    if dice.once_in(20) {
        payload.extend([0; 5]);
    }
    let length = u16::try_from(payload.len() + 8).unwrap();
    let source_port = 0xc000 | u16::from(dice.octet());
    let mut datagram = [source_port, port, length, 0].map(u16::to_be_bytes).concat();
    datagram.extend(payload);
    let unknown = dice.once_in(10);
    let mut packet = if ipv6 {
        outer_v6(dice, if unknown { 0x66 } else { 1 }, datagram.len())
    } else {
        outer_v4(dice, if unknown { 66 } else { 1 }, datagram.len())
    };
    if dice.once_in(2) {
        let header = weft_packet::ip::Header::read(&[&packet[..], &datagram].concat()).unwrap();
        let (from, to) = (header.source, header.destination);
        let sum = Sum::pseudo_header(from, to, 17, datagram.len()).with(&datagram);
        datagram[6..8].copy_from_slice(&sum.udp_checksum().to_be_bytes());
    }
    packet.extend(datagram);
    packet
}

/// The Ethernet header in front of a packet in VXLAN: now and then to a group of stations, with
/// another EtherType or with that of the other family.
fn frame_header(dice: &mut Dice, ipv4: bool) -> Vec<u8> {
    let first = dice.one_of(&[0xba, 0xba, 0xba, 0x02, 0x00]);
    let first = if dice.once_in(20) { dice.one_of(&[0xff, 0x33, 0x01]) } else { first };
    let ipv4 = if dice.once_in(20) { !ipv4 } else { ipv4 };
    let kind: [u8; 2] = match dice.roll(30) {
        0 => [0x08, 0x06],
        1 => [0x81, 0x00],
        _ if ipv4 => [0x08, 0x00],
        _ => [0x86, 0xdd],
    };
    [&[first, 0x25, 0xcd, 0xf4, 0xad, 0x38, 2, 0, 0, 0, 0, dice.octet()][..], &kind].concat()
}

fn outer_v4(dice: &mut Dice, source: u8, payload: usize) -> Vec<u8> {
    let length = u16::try_from(20 + payload).unwrap().to_be_bytes();
    let fragment = dice.one_of(&[0, 0x40]);
    let ttl = if dice.once_in(8) { dice.one_of(&[1, 2, 3]) } else { dice.octet().max(2) };
    let mut packet =
        vec![0x45, dice.octet(), length[0], length[1], 0, 0, fragment, 0, ttl, 17, 0, 0];
    packet.extend([192, 0, 2, source, 192, 0, 2, 2]);
    set_ipv4(&mut packet);
    if dice.once_in(30) {
        packet[10] ^= 0x55;
    }
    packet
}

fn outer_v6(dice: &mut Dice, source: u8, payload: usize) -> Vec<u8> {
    let length = u16::try_from(payload).unwrap().to_be_bytes();
    let ttl = if dice.once_in(8) { dice.one_of(&[1, 2, 3]) } else { dice.octet().max(2) };
    let class = dice.octet();
    let mut packet = vec![0x60 | class >> 4, class << 4, 0, 0, length[0], length[1], 17, ttl];
    let net = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    packet.extend([&net[..], &[source], &net, &[2]].concat());
    packet
}
