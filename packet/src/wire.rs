//! Reading and writing bytes in network order.
//!
//! [`Reader`] hands out fields front to back and names the field that was cut short; a nested
//! structure gets a reader of its own ([`Reader::within`]) and cannot read past its length.
//! [`Writer`] appends, and patches length fields once their body is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A type with one form on the wire.
pub trait Wire: Sized {
    /// Takes one `Self` off the front of `r`.
    fn read(r: &mut Reader<'_>) -> Result<Self, Error>;
    /// Appends `self` to `w`.
    fn write(&self, w: &mut Writer);

    /// Reads a whole packet: bytes left over are an error.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(bytes);
        let value = Self::read(&mut r)?;
        match r.rest() {
            [] => Ok(value),
            rest => Err(Error::Trailing(rest.len())),
        }
    }

    /// Writes a whole packet.
    fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::onto(Vec::with_capacity(ORDINARY));
        self.write(&mut w);
        w.into_bytes()
    }
}

/// Octets most messages fit in, so that writing one allocates once.
const ORDINARY: usize = 128;

/// Why bytes are not a packet. Always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end inside the named field.
    #[error("truncated in {0}")]
    Truncated(&'static str),
    /// The named field holds a value the specification does not allow.
    #[error("invalid {0}: {1:#x}")]
    Invalid(&'static str, u64),
    /// A structure nests, counts or repeats more than the specification or our bounds allow.
    #[error("{0}")]
    Refused(&'static str),
    /// This many bytes follow the packet.
    #[error("{0} bytes after the end")]
    Trailing(usize),
}

/// The bytes of a packet not read yet.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.0.len()
    }

    /// True when nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a count that cannot fit: `count` items of at least `least` octets each must not
    /// exceed what is left. Whoever allocates by a count asks here first.
    pub fn room(&self, count: usize, least: usize, what: &'static str) -> Result<(), Error> {
        if count.saturating_mul(least) > self.0.len() {
            Err(Error::Truncated(what))
        } else {
            Ok(())
        }
    }

    /// The bytes left, without taking them.
    pub fn peek(&self) -> &'a [u8] {
        self.0
    }

    /// Takes a fixed number of bytes; `what` names the field in errors.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Error::Truncated(what))?;
        self.0 = rest;
        Ok(*head)
    }

    /// Takes `len` bytes.
    pub fn bytes(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Error> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Error::Truncated(what))?;
        self.0 = rest;
        Ok(head)
    }

    /// Takes `len` bytes as a reader of their own.
    pub fn within(&mut self, len: usize, what: &'static str) -> Result<Self, Error> {
        self.bytes(len, what).map(Self)
    }

    /// Takes everything left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Takes one octet.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        self.array(what).map(u8::from_be_bytes)
    }

    /// Takes a 16-bit integer.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Takes a 32-bit integer.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Takes a 64-bit integer.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// Takes an IPv4 address.
    pub fn ipv4(&mut self, what: &'static str) -> Result<Ipv4Addr, Error> {
        self.array::<4>(what).map(Ipv4Addr::from)
    }

    /// Takes an IPv6 address.
    pub fn ipv6(&mut self, what: &'static str) -> Result<Ipv6Addr, Error> {
        self.array::<16>(what).map(Ipv6Addr::from)
    }
}

/// A packet being written.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Appends behind what `buffer` already holds; its capacity is reused.
    pub fn onto(buffer: Vec<u8>) -> Self {
        Self(buffer)
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes were written so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends octets.
    pub fn bytes(&mut self, b: impl AsRef<[u8]>) -> &mut Self {
        self.0.extend_from_slice(b.as_ref());
        self
    }

    /// Appends one octet.
    pub fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }

    /// Appends a 16-bit integer.
    pub fn u16(&mut self, v: u16) -> &mut Self {
        self.bytes(v.to_be_bytes())
    }

    /// Appends a 32-bit integer.
    pub fn u32(&mut self, v: u32) -> &mut Self {
        self.bytes(v.to_be_bytes())
    }

    /// Appends a 64-bit integer.
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.bytes(v.to_be_bytes())
    }

    /// Appends an address, without its AFI.
    pub fn ip(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(a) => self.bytes(a.octets()),
            IpAddr::V6(a) => self.bytes(a.octets()),
        }
    }

    /// Appends every item, front to back.
    pub fn each<T: Wire>(&mut self, items: &[T]) -> &mut Self {
        for item in items {
            item.write(self);
        }
        self
    }

    /// Appends what `body` writes, after its length in 16 bits.
    ///
    /// A body above 65,535 octets cannot be expressed; its length field saturates, and the codecs
    /// bound what they hold long before that.
    pub fn with_len16(&mut self, body: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.0.len();
        self.u16(0);
        body(self);
        let length = u16::try_from(self.0.len() - at - 2).unwrap_or(u16::MAX);
        self.patch(at, length.to_be_bytes());
        self
    }

    /// Overwrites bytes written before, from `at` on. What does not fit is left as it is.
    pub fn patch(&mut self, at: usize, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if let Some(slot) = self.0.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    }
}

/// Bit `number` of `word`, counted as in the RFC drawings: 0 is the most significant.
pub(crate) const fn bit(word: u32, number: u32) -> bool {
    word & (1 << (31 - number)) != 0
}

/// A word with bit `number` set when `value` is true; bits are counted as in the RFC drawings.
pub(crate) const fn flag(number: u32, value: bool) -> u32 {
    (value as u32) << (31 - number)
}

/// How many of the items a writer may count in `N` bits are written: all of them, as long as the
/// count field can say so.
pub(crate) fn counted<T>(items: &[T], limit: u8) -> (u8, &[T]) {
    let count = u8::try_from(items.len()).unwrap_or(limit).min(limit);
    (count, &items[..count.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_field_that_was_cut() {
        let mut r = Reader::new(&[1, 2, 3]);
        assert_eq!(r.u16("first"), Ok(0x0102));
        assert_eq!(r.u32("second"), Err(Error::Truncated("second")));
        assert_eq!(r.remaining(), 1, "a failed read takes nothing");
    }

    #[test]
    fn nested_reader_stops_at_its_length() {
        let mut r = Reader::new(&[1, 2, 3, 4]);
        let mut inner = r.within(2, "inner").unwrap();
        assert_eq!(inner.u32("too much"), Err(Error::Truncated("too much")));
        assert_eq!(r.u16("after"), Ok(0x0304));
    }

    #[test]
    fn length_is_patched_around_its_body() {
        let mut w = Writer::default();
        w.u8(9).with_len16(|w| {
            w.bytes([1, 2, 3]);
        });
        assert_eq!(w.into_bytes(), [9, 0, 3, 1, 2, 3]);
    }
}
