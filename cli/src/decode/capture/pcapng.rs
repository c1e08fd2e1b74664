//! The new capture format: blocks, of which sections, interfaces and packets matter here.

use std::time::Duration;

use super::{Error, Frame, Order, Source, array, array_or_end, octets};
use weft_packet::wire::Reader;

/// How every section begins, in any byte order.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A section: one byte order, and its own interfaces.
#[derive(Clone, Debug)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u16,
    /// Ticks in a second.
    resolution: u64,
}

impl Section {
    /// Reads a section header whose block type was read.
    pub(super) fn read(source: &mut Source) -> Result<Self, Error> {
        let length = array(source)?;
        let order = match array::<4>(source)? {
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            _ => return Err(Error::Damaged("a section of no byte order")),
        };
        // Type, length, order and the length again are not part of what is left.
        let rest = order.u32(length).checked_sub(12).ok_or(Error::Damaged("a block too short"))?;
        octets(source, rest)?;
        Ok(Self { order, interfaces: Vec::new() })
    }

    /// Reads blocks up to the next frame.
    pub(super) fn frame(&mut self, source: &mut Source) -> Result<Option<Frame>, Error> {
        while let Some(kind) = array_or_end::<4>(source)? {
            if kind == MAGIC {
                *self = Self::read(source)?;
                continue;
            }
            let length = self.order.u32(array(source)?);
            let rest = length.checked_sub(8).ok_or(Error::Damaged("a block too short"))?;
            let block = octets(source, rest)?;
            let body = block
                .len()
                .checked_sub(4)
                .and_then(|length| block.get(..length))
                .ok_or(Error::Damaged("a block too short"))?;
            match self.order.u32(kind) {
                INTERFACE => self.interface(body)?,
                ENHANCED_PACKET => return self.enhanced(body).map(Some),
                SIMPLE_PACKET => return self.simple(body).map(Some),
                _ => {}
            }
        }
        Ok(None)
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), Error> {
        let mut r = Reader::new(body);
        let link = self.order.u16(r.array("link type").map_err(damaged)?);
        r.bytes(6, "interface").map_err(damaged)?;
        if self.interfaces.len() == INTERFACES_MAX {
            return Err(Error::Damaged("more than 65,536 interfaces"));
        }
        self.interfaces.push(Interface { link, resolution: self.resolution(&mut r) });
        Ok(())
    }

    /// The option that says what a tick is; microseconds without it.
    fn resolution(&self, options: &mut Reader<'_>) -> u64 {
        const MICROSECONDS: u64 = 1_000_000;
        while let (Ok(code), Ok(length)) = (options.array("code"), options.array("length")) {
            let length = usize::from(self.order.u16(length));
            let Ok(value) = options.bytes(length, "option") else { break };
            let _ = options.bytes(length.next_multiple_of(4) - length, "padding");
            match (self.order.u16(code), value) {
                (END_OF_OPTIONS, _) => break,
                (TIMESTAMP_RESOLUTION, [exponent]) if exponent & 0x80 != 0 => {
                    return 2_u64.checked_pow((exponent & 0x7f).into()).unwrap_or(MICROSECONDS);
                }
                (TIMESTAMP_RESOLUTION, [exponent]) => {
                    return 10_u64.checked_pow((*exponent).into()).unwrap_or(MICROSECONDS);
                }
                _ => {}
            }
        }
        MICROSECONDS
    }

    fn enhanced(&self, body: &[u8]) -> Result<Frame, Error> {
        let mut r = Reader::new(body);
        let mut word = || r.array("packet").map(|octets| self.order.u32(octets)).map_err(damaged);
        let [number, high, low, length, _] = [word()?, word()?, word()?, word()?, word()?];
        let interface = usize::try_from(number).ok().and_then(|at| self.interfaces.get(at));
        let interface = interface.ok_or(Error::Damaged("a packet of an unknown interface"))?;
        let ticks = u64::from(high) << 32 | u64::from(low);
        let nanoseconds = u128::from(ticks % interface.resolution) * 1_000_000_000
            / u128::from(interface.resolution);
        let time = Duration::from_secs(ticks / interface.resolution)
            + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
        let octets = take(&mut r, length)?;
        Ok(Frame { number: 0, time: Some(time), link: interface.link, octets })
    }

    fn simple(&self, body: &[u8]) -> Result<Frame, Error> {
        let mut r = Reader::new(body);
        let length = self.order.u32(r.array("packet").map_err(damaged)?);
        let interface = self.interfaces.first();
        let link = interface.ok_or(Error::Damaged("a packet of an unknown interface"))?.link;
        // The length is that on the wire; less may have been captured.
        let captured = u32::try_from(r.remaining()).unwrap_or(u32::MAX).min(length);
        let octets = take(&mut r, captured)?;
        Ok(Frame { number: 0, time: None, link, octets })
    }
}

fn take(r: &mut Reader<'_>, length: u32) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(length).map_err(|_| Error::Damaged("a packet too long"))?;
    Ok(r.bytes(length, "packet").map_err(damaged)?.to_vec())
}

fn damaged(_: weft_packet::wire::Error) -> Error {
    Error::Damaged("a block shorter than what is in it")
}

const INTERFACE: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const END_OF_OPTIONS: u16 = 0;
const TIMESTAMP_RESOLUTION: u16 = 9;
const INTERFACES_MAX: usize = 1 << 16;
