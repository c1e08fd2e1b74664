//! The header in front of every packet of a TUN device with `IFF_VNET_HDR`: which checksum is
//! missing, and how to cut a super-packet (virtio 1.2 §5.1.6, `struct virtio_net_hdr`).

/// What the header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::tun) struct VirtioHeader {
    /// The transport checksum still to be computed.
    pub(in crate::tun) checksum: Option<PartialChecksum>,
    /// How a super-packet is cut.
    pub(in crate::tun) segmentation: Option<Segmentation>,
}

/// A checksum field that holds the sum of the pseudo header only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tun) struct PartialChecksum {
    /// Where the sum starts.
    pub(in crate::tun) start: u16,
    /// Where the field is, from `start` on.
    pub(in crate::tun) offset: u16,
}

/// How a super-packet is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tun) struct Segmentation {
    /// The kind of packets.
    pub(in crate::tun) transport: Transport,
    /// The first packet has CWR set and the others must not (RFC 3168 §6.1.2).
    pub(in crate::tun) cwr: bool,
    /// Octets of headers; the kernel copies them to the front of its buffer.
    pub(in crate::tun) headers: u16,
    /// Octets of payload in every packet but the last.
    pub(in crate::tun) size: u16,
}

/// What a super-packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tun) enum Transport {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams over either.
    Udp,
}

impl VirtioHeader {
    /// Octets on the device.
    pub(in crate::tun) const LENGTH: usize = 10;

    /// Reads what the kernel wrote; `None` for segmentation we did not ask for.
    pub(in crate::tun) fn read(octets: &[u8; Self::LENGTH]) -> Option<Self> {
        let [flags, kind, ..] = *octets;
        let [headers, size, start, offset] =
            [2, 4, 6, 8].map(|at| u16::from_ne_bytes([octets[at], octets[at + 1]]));
        let transport = match kind & !GSO_ECN {
            GSO_NONE => None,
            GSO_TCPV4 => Some(Transport::TcpV4),
            GSO_TCPV6 => Some(Transport::TcpV6),
            GSO_UDP_L4 => Some(Transport::Udp),
            _ => return None,
        };
        let cwr = kind & GSO_ECN != 0;
        Some(Self {
            checksum: (flags & NEEDS_CHECKSUM != 0).then_some(PartialChecksum { start, offset }),
            segmentation: transport.map(|transport| Segmentation { transport, cwr, headers, size }),
        })
    }

    /// The octets for the kernel.
    pub(in crate::tun) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut octets = [0; Self::LENGTH];
        if let Some(PartialChecksum { start, offset }) = self.checksum {
            octets[0] = NEEDS_CHECKSUM;
            octets[6..8].copy_from_slice(&start.to_ne_bytes());
            octets[8..10].copy_from_slice(&offset.to_ne_bytes());
        }
        if let Some(segmentation) = self.segmentation {
            octets[1] = match segmentation.transport {
                Transport::TcpV4 => GSO_TCPV4,
                Transport::TcpV6 => GSO_TCPV6,
                Transport::Udp => GSO_UDP_L4,
            } | if segmentation.cwr { GSO_ECN } else { 0 };
            octets[2..4].copy_from_slice(&segmentation.headers.to_ne_bytes());
            octets[4..6].copy_from_slice(&segmentation.size.to_ne_bytes());
        }
        octets
    }

    /// How many packets of the wire `packet_length` octets are.
    pub(in crate::tun) fn packets(&self, packet_length: usize) -> u64 {
        let Some(Segmentation { headers, size, .. }) = self.segmentation else { return 1 };
        let payload = packet_length.saturating_sub(usize::from(headers));
        payload.div_ceil(usize::from(size).max(1)).max(1) as u64
    }
}

const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_headers_read_back() {
        let checksum = Some(PartialChecksum { start: 20, offset: 16 });
        for transport in [Transport::TcpV4, Transport::TcpV6, Transport::Udp] {
            for cwr in [false, true] {
                let segmentation = Some(Segmentation { transport, cwr, headers: 52, size: 1348 });
                let header = VirtioHeader { checksum, segmentation };
                assert_eq!(VirtioHeader::read(&header.to_bytes()), Some(header));
            }
        }
        assert_eq!(VirtioHeader::read(&[0; 10]), Some(VirtioHeader::default()));
        assert_eq!(VirtioHeader::read(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn packets_of_a_super_packet_are_counted() {
        let size = 1000;
        let segmentation =
            Some(Segmentation { transport: Transport::Udp, cwr: false, headers: 28, size });
        let header = VirtioHeader { checksum: None, segmentation };
        assert_eq!(header.packets(28 + 2001), 3);
        assert_eq!(header.packets(20), 1);
        assert_eq!(VirtioHeader::default().packets(60_000), 1);
    }
}
