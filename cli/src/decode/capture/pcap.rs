//! The old capture format: a header with the link type, then frames with a time each.

use std::time::Duration;

use super::{Error, Frame, Order, Source, array, array_or_end, octets};

/// What holds for all frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    order: Order,
    nanoseconds: bool,
    link: u16,
}

impl Header {
    /// True for the four magic numbers there are.
    pub(super) fn knows(magic: [u8; 4]) -> bool {
        kind(magic).is_some()
    }

    /// Reads the rest of the header.
    pub(super) fn read(magic: [u8; 4], source: &mut Source) -> Result<Self, Error> {
        let (order, nanoseconds) = kind(magic).ok_or(Error::Damaged("no magic number"))?;
        let [.., a, b, c, d] = array::<20>(source)?;
        let network = order.u32([a, b, c, d]);
        // The upper bits tell of frame check sequences.
        let link = u16::try_from(network & 0xffff).unwrap_or_default();
        Ok(Self { order, nanoseconds, link })
    }

    /// Reads a frame.
    pub(super) fn frame(self, source: &mut Source) -> Result<Option<Frame>, Error> {
        let Some(head) = array_or_end::<16>(source)? else { return Ok(None) };
        let [seconds, fraction, length, _] = words(self.order, head);
        let nanoseconds = if self.nanoseconds { fraction } else { fraction.saturating_mul(1000) };
        let time = Duration::from_secs(seconds.into()) + Duration::from_nanos(nanoseconds.into());
        let octets = octets(source, length)?;
        Ok(Some(Frame { number: 0, time: Some(time), link: self.link, octets }))
    }
}

fn kind(magic: [u8; 4]) -> Option<(Order, bool)> {
    match u32::from_be_bytes(magic) {
        0xa1b2_c3d4 => Some((Order::Big, false)),
        0xd4c3_b2a1 => Some((Order::Little, false)),
        0xa1b2_3c4d => Some((Order::Big, true)),
        0x4d3c_b2a1 => Some((Order::Little, true)),
        _ => None,
    }
}

fn words(order: Order, head: [u8; 16]) -> [u32; 4] {
    let (words, _) = head.as_chunks();
    std::array::from_fn(|at| words.get(at).map_or(0, |word| order.u32(*word)))
}
