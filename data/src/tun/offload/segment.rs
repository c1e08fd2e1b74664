//! Cuts a super-packet: what a network card does for the kernel, done before encapsulation
//! because every packet needs an outer header of its own.
#![expect(clippy::cast_possible_truncation, reason = "sequence numbers and identifications wrap")]

use std::ops::Range;

use weft_packet::ip::checksum::Sum;
use weft_packet::ip::{Header, length_field};

use super::virtio::{Segmentation, Transport};
use super::{TCP_CHECKSUM, UDP_CHECKSUM};

/// The packets of one super-packet. Their payload stays where it is; only headers are written.
pub(in crate::tun) struct Segments<'a> {
    packet: &'a [u8],
    /// Where the transport header starts and the payload.
    transport: usize,
    payload: usize,
    size: usize,
    tcp: bool,
    ipv6: bool,
    /// Of the IPv4 header without what differs between packets: length, identification and the
    /// checksum itself.
    ip_sum: Sum,
    /// Of the pseudo header and the transport header without what differs: lengths, TCP's
    /// sequence number and flags, and the checksum itself.
    upper_sum: Sum,
}

impl<'a> Segments<'a> {
    /// `None` when the octets are not such a super-packet. `header` is of `packet`.
    pub(in crate::tun) fn new(
        packet: &'a [u8],
        header: &Header,
        segmentation: Segmentation,
    ) -> Option<Self> {
        let (tcp, ipv6) = match segmentation.transport {
            Transport::TcpV4 => (true, false),
            Transport::TcpV6 => (true, true),
            Transport::Udp => (false, header.is_ipv6()),
        };
        let packet = packet.get(..header.length)?;
        let upper = packet.get(header.transport..)?;
        let upper_length = if tcp { usize::from(*upper.get(12)? >> 4) * 4 } else { UDP_HEADER };
        let smallest = if tcp { 20 } else { UDP_HEADER };
        let protocol = if tcp { TCP } else { UDP };
        let size = usize::from(segmentation.size);
        if upper_length < smallest
            || upper.len() <= upper_length
            || size == 0
            || header.protocol != protocol
            || header.is_ipv6() != ipv6
        {
            return None;
        }
        let (ip, upper) = (&packet[..header.transport], &upper[..upper_length]);
        let pseudo = Sum::pseudo_header(header.source, header.destination, protocol, 0);
        Some(Self {
            packet,
            transport: header.transport,
            payload: header.transport + upper_length,
            size,
            tcp,
            ipv6,
            ip_sum: Sum::ZERO
                .with(ip)
                .without(word(ip, 2))
                .without(word(ip, 4))
                .without(word(ip, 10)),
            upper_sum: if tcp {
                let sum = pseudo.with(upper).without(word(upper, 4)).without(word(upper, 6));
                sum.without(word(upper, 12)).without(word(upper, TCP_CHECKSUM))
            } else {
                pseudo.with(upper).without(word(upper, 4)).without(word(upper, UDP_CHECKSUM))
            },
        })
    }

    /// How many packets there are.
    pub(in crate::tun) fn count(&self) -> usize {
        (self.packet.len() - self.payload).div_ceil(self.size)
    }

    /// Octets of IP and transport header of each packet.
    pub(in crate::tun) fn header_length(&self) -> usize {
        self.payload
    }

    /// Octets of the largest packet.
    pub(in crate::tun) fn largest(&self) -> usize {
        self.payload + self.size.min(self.packet.len() - self.payload)
    }

    /// Where in the super-packet the payload of packet `n` is.
    pub(in crate::tun) fn payload(&self, n: usize) -> Range<usize> {
        let start = (self.payload + n * self.size).min(self.packet.len());
        start..(start + self.size).min(self.packet.len())
    }

    /// Appends the headers of packet `n` to `out`, all lengths and checksums right.
    pub(in crate::tun) fn write_header(&self, n: usize, out: &mut Vec<u8>) {
        let range = self.payload(n);
        let at = out.len();
        out.extend_from_slice(&self.packet[..self.payload]);
        let (ip, upper) = out[at..].split_at_mut(self.transport);
        let upper_length = upper.len() + range.len();
        self.finish_ip(ip, n, upper_length);
        let last = range.end == self.packet.len();
        let payload = self.upper_sum.with_length(upper_length).with(&self.packet[range]);
        if self.tcp {
            finish_tcp(upper, n, n * self.size, last, payload);
        } else {
            let length = length_field(upper_length);
            upper[4..6].copy_from_slice(&length);
            set(upper, UDP_CHECKSUM, payload.with(&length).udp_checksum());
        }
    }

    fn finish_ip(&self, ip: &mut [u8], n: usize, upper_length: usize) {
        if self.ipv6 {
            let length = length_field(ip.len() - 40 + upper_length);
            ip[4..6].copy_from_slice(&length);
        } else {
            let length = length_field(ip.len() + upper_length);
            let identification = u16::from_be_bytes(word(ip, 4)).wrapping_add(n as u16);
            ip[2..4].copy_from_slice(&length);
            set(ip, 4, identification);
            set(ip, 10, self.ip_sum.with(&ip[2..6]).checksum());
        }
    }
}

/// Writes what is particular to packet `n`, `offset` octets of payload into the super-packet.
fn finish_tcp(tcp: &mut [u8], n: usize, offset: usize, last: bool, sum: Sum) {
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    let sequence = sequence.wrapping_add(offset as u32);
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    if !last {
        tcp[13] &= !(FIN | PSH);
    }
    if n > 0 {
        tcp[13] &= !CWR;
    }
    let sum = sum.with(&tcp[4..8]).with(&tcp[12..14]);
    set(tcp, TCP_CHECKSUM, sum.checksum());
}

/// The 16-bit word at `at`, as its octets.
fn word(octets: &[u8], at: usize) -> [u8; 2] {
    [octets[at], octets[at + 1]]
}

fn set(octets: &mut [u8], at: usize, value: u16) {
    octets[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

const TCP: u8 = weft_packet::ip::protocol::TCP;
const UDP: u8 = weft_packet::ip::protocol::UDP;
const UDP_HEADER: usize = 8;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(packet: &[u8], segmentation: Segmentation) -> Option<Vec<Vec<u8>>> {
        let header = Header::read(packet).ok()?;
        let segments = Segments::new(packet, &header, segmentation)?;
        Some(
            (0..segments.count())
                .map(|n| {
                    let mut out = Vec::new();
                    segments.write_header(n, &mut out);
                    out.extend_from_slice(&packet[segments.payload(n)]);
                    out
                })
                .collect(),
        )
    }

    #[test]
    fn flags_of_the_burst_stay_where_they_belong() {
        let mut packet = vec![0x45, 0, 0, 140, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0];
        packet.extend([10, 1, 0, 2, 10, 2, 0, 2]);
        packet.extend([0, 1, 0, 2, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 9]);
        packet.extend([0x50, CWR | 0x10 | PSH | FIN, 1, 0, 0, 0, 0, 0]);
        packet.extend([7; 100]);
        let segmentation =
            Segmentation { transport: Transport::TcpV4, cwr: true, headers: 40, size: 40 };
        let packets = cut(&packet, segmentation).unwrap();
        let flags: Vec<u8> = packets.iter().map(|p| p[33]).collect();
        assert_eq!(flags, [CWR | 0x10, 0x10, 0x10 | PSH | FIN]);
        let sequences: Vec<u8> = packets.iter().map(|p| p[27]).collect();
        assert_eq!(sequences, [0xf0, 0x18, 0x40], "and wraps");
        assert_eq!(packets[1][4..6], [0, 0], "identification wraps");
        assert_eq!(packets[2].len(), 60);
    }

    proptest! {
        #[test]
        fn no_super_packet_panics(
            mut packet in prop::collection::vec(any::<u8>(), 0..300), six: bool,
            protocol in prop::sample::select(vec![TCP, UDP]), kind in 0..3u8, size in 0u16..100,
        ) {
            if packet.len() >= 40 {
                packet[0] = if six { 0x60 } else { 0x45 };
                packet[if six { 6 } else { 9 }] = protocol;
                let length = u16::try_from(packet.len()).unwrap() - if six { 40 } else { 0 };
                let at = if six { 4 } else { 2 };
                packet[at..at + 2].copy_from_slice(&length.to_be_bytes());
            }
            let transport = match kind {
                0 => Transport::TcpV4,
                1 => Transport::TcpV6,
                _ => Transport::Udp,
            };
            cut(&packet, Segmentation { transport, cwr: false, headers: 0, size });
        }
    }
}
