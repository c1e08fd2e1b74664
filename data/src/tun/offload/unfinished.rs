//! Packets that were never finished, because no network card was on their way.
//!
//! Inside a kernel TCP and UDP leave to the card what a card can do: the transport checksum, whose
//! field then holds the sum of the pseudo header only, and cutting what is sent at once into
//! packets. A tunnel endpoint in another namespace of this machine sends such packets as they
//! are. A UDP socket, unlike a device, does not say what they lack: the packet itself has to tell.
#![expect(clippy::cast_possible_truncation, reason = "offsets into a packet fit 16 bits")]

use weft_packet::ip::checksum::Sum;
use weft_packet::ip::{Fragment, Header, protocol};

use super::virtio::{PartialChecksum, Segmentation, Transport, VirtioHeader};
use super::{TCP_CHECKSUM, UDP_CHECKSUM};

/// What a packet lacks, in the words in which a device is asked to add it. `header` is of
/// `packet`; `cut` is the payload of each datagram of a UDP super-packet, where the kernel told.
///
/// For TCP it never tells, and `largest` is asked for the packet size that fits wherever the
/// segments go. A stream may be cut anywhere, so smaller segments than the sender meant are
/// right, but larger ones would be lost for ever: no answer of a router on the way makes a
/// sender smaller that thinks it is small enough.
pub(in crate::tun) fn missing(
    packet: &[u8],
    header: &Header,
    cut: Option<usize>,
    largest: impl FnOnce() -> usize,
) -> VirtioHeader {
    let Some(offset) = checksum_offset(header) else { return VirtioHeader::default() };
    if !is_unfinished(packet, header, offset) {
        return VirtioHeader::default();
    }
    let start = header.transport as u16;
    let segmentation = match header.protocol {
        protocol::TCP => tcp_segmentation(packet, header, largest),
        _ => cut.map(|size| Segmentation {
            transport: Transport::Udp,
            cwr: false,
            headers: start + UDP_HEADER,
            size: size as u16,
        }),
    };
    let checksum = Some(PartialChecksum { start, offset: offset as u16 });
    VirtioHeader { checksum, segmentation }
}

/// A finished packet has this sum in its field by chance once in 65,536; it is told by its
/// checksum being right. What is damaged besides is beyond telling, as other damage is that a
/// checksum misses.
fn is_unfinished(packet: &[u8], header: &Header, offset: usize) -> bool {
    let Some(upper) = packet.get(header.transport..header.length) else { return false };
    let (source, destination) = (header.source, header.destination);
    let pseudo = Sum::pseudo_header(source, destination, header.protocol, upper.len());
    let field = upper.get(offset..).and_then(<[u8]>::first_chunk);
    field == Some(&pseudo.folded().to_be_bytes()) && !pseudo.with(upper).is_right()
}

fn tcp_segmentation(
    packet: &[u8],
    header: &Header,
    largest: impl FnOnce() -> usize,
) -> Option<Segmentation> {
    let tcp: &[u8; 20] = packet.get(header.transport..)?.first_chunk()?;
    let headers = header.transport + usize::from(tcp[12] >> 4) * 4;
    if headers < header.transport + tcp.len() || headers >= header.length {
        return None;
    }
    let largest = largest();
    let size = largest.checked_sub(headers).filter(|&size| size > 0)?;
    (header.length > largest).then_some(Segmentation {
        transport: if header.is_ipv6() { Transport::TcpV6 } else { Transport::TcpV4 },
        cwr: tcp[13] & CWR != 0,
        headers: headers as u16,
        size: size as u16,
    })
}

/// Where in the transport header the checksum is; `None` for what senders always finish.
fn checksum_offset(header: &Header) -> Option<usize> {
    match (header.protocol, header.fragment) {
        (protocol::TCP, Fragment::Whole) => Some(TCP_CHECKSUM),
        (protocol::UDP, Fragment::Whole) => Some(UDP_CHECKSUM),
        _ => None,
    }
}

const UDP_HEADER: u16 = 8;
const CWR: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    const UNFINISHED_TCP: VirtioHeader = VirtioHeader {
        checksum: Some(PartialChecksum { start: 20, offset: 16 }),
        segmentation: None,
    };

    /// A packet of the kernel whose checksum is left to a card: 10.1.0.2 → 10.2.0.2 or the like.
    fn packet(ipv6: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let tcp = protocol == protocol::TCP;
        let mut upper = if tcp { vec![0; 20] } else { vec![0; 8] };
        upper[..4].copy_from_slice(&[0x9c, 0x40, 0, 80]);
        if tcp {
            upper[12..14].copy_from_slice(&[0x50, 0x10]);
        }
        upper.extend(payload);
        let length = u16::try_from(upper.len()).unwrap();
        if !tcp {
            upper[4..6].copy_from_slice(&length.to_be_bytes());
        }
        let mut packet = if ipv6 {
            let mut ip = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            ip[4..6].copy_from_slice(&length.to_be_bytes());
            ip.extend([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
            ip.extend([0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
            ip
        } else {
            let mut ip = vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0];
            ip[2..4].copy_from_slice(&(length + 20).to_be_bytes());
            ip.extend([10, 1, 0, 2, 10, 2, 0, 2]);
            ip
        };
        packet.extend(upper);
        let header = Header::read(&packet).unwrap();
        let sum = pseudo(&header).folded();
        let at = header.transport + checksum_offset(&header).unwrap();
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn pseudo(header: &Header) -> Sum {
        let length = header.length - header.transport;
        Sum::pseudo_header(header.source, header.destination, header.protocol, length)
    }

    fn finish(packet: &mut [u8]) {
        let header = Header::read(packet).unwrap();
        let sum = Sum::ZERO.with(&packet[header.transport..]).udp_checksum();
        let at = header.transport + checksum_offset(&header).unwrap();
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    fn lacks(packet: &[u8], cut: Option<usize>, largest: usize) -> VirtioHeader {
        missing(packet, &Header::read(packet).unwrap(), cut, || largest)
    }

    #[test]
    fn checksums_left_to_a_card_are_told_from_right_and_wrong_ones() {
        for (ipv6, protocol) in [(false, 6), (false, 17), (true, 6), (true, 17)] {
            let mut packet = packet(ipv6, protocol, b"some payload");
            let lack = lacks(&packet, None, 1500);
            let start = if ipv6 { 40 } else { 20 };
            let offset = if protocol == 6 { 16 } else { 6 };
            assert_eq!(lack.checksum, Some(PartialChecksum { start, offset }));
            assert_eq!(lack.segmentation, None);
            finish(&mut packet);
            assert_eq!(lacks(&packet, None, 1500), VirtioHeader::default(), "finished");
            *packet.last_mut().unwrap() ^= 1;
            assert_eq!(lacks(&packet, None, 1500), VirtioHeader::default(), "damaged");
        }
    }

    #[test]
    fn a_right_checksum_that_looks_unfinished_is_left_alone() {
        // What is summed behind the pseudo header comes to nothing, so both are the same.
        let mut packet = packet(false, protocol::TCP, &[0, 0]);
        let header = Header::read(&packet).unwrap();
        let upper = Sum::ZERO.with(&packet[20..]).without([packet[36], packet[37]]);
        let twice = upper.with(&pseudo(&header).folded().to_be_bytes());
        let twice = twice.with(&pseudo(&header).folded().to_be_bytes());
        packet[40..].copy_from_slice(&twice.checksum().to_be_bytes());
        assert!(pseudo(&header).with(&packet[20..]).is_right());
        assert_eq!(lacks(&packet, None, 1500), VirtioHeader::default());
    }

    #[test]
    fn tcp_larger_than_fits_is_cut_to_what_fits() {
        for (ipv6, transport, headers) in
            [(false, Transport::TcpV4, 40), (true, Transport::TcpV6, 60)]
        {
            let mut packet = packet(ipv6, protocol::TCP, &[7; 3000]);
            let at = usize::from(headers) - 7;
            packet[at] |= CWR;
            let lack = lacks(&packet, None, 1400);
            let size = 1400 - headers;
            let expected = Segmentation { transport, cwr: true, headers, size };
            assert_eq!(lack.segmentation, Some(expected));
            assert_eq!(lack.packets(packet.len()), 3);
            assert_eq!(lacks(&packet, None, packet.len()).segmentation, None, "it fits");
        }
    }

    #[test]
    fn datagrams_are_cut_only_where_their_sender_did() {
        let packet = packet(false, protocol::UDP, &[7; 3000]);
        assert_eq!(lacks(&packet, None, 1400).segmentation, None);
        let lack = lacks(&packet, Some(1000), 1400);
        assert_eq!(lack.packets(packet.len()), 3);
        assert_eq!(lack.segmentation.unwrap().headers, 28);
    }

    #[test]
    fn what_is_too_short_for_its_header_is_left_alone() {
        let mut packet = packet(false, protocol::TCP, &[7; 100]);
        packet[32] = 0xf0;
        assert!(lacks(&packet, None, 60).segmentation.is_none(), "options fill the limit");
        packet[32] = 0x40;
        assert_eq!(lacks(&packet, None, 60), UNFINISHED_TCP, "a data offset that lies");
        let mut short = packet[..34].to_vec();
        short[3] = 34;
        assert_eq!(lacks(&short, None, 60), VirtioHeader::default());
    }
}
