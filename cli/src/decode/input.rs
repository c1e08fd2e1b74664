//! Where octets come from, and what they are: decided by the first of them.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use super::capture::{self, Capture, Frame};

/// Octets to be decoded.
pub(super) enum Octets {
    /// A frame of a capture, which may hold something of interest.
    Frame(Frame),
    /// The payload of a datagram.
    Payload(Vec<u8>),
}

/// A source of octets.
pub(super) enum Input {
    Capture(Box<Capture>),
    Single(Option<Vec<u8>>),
}

/// Why octets cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read {name}: {error}")]
    Io { name: String, error: io::Error },
    #[error("not hexadecimal digits: {0}")]
    Hex(hex::FromHexError),
    #[error("{0} holds more than a datagram and is no capture")]
    TooLong(String),
    #[error("{name}: {error}")]
    Capture { name: String, error: capture::Error },
}

impl Input {
    /// One message in digits.
    pub(super) fn hex(text: &str) -> Result<Self, Error> {
        digits(text.as_bytes()).map(|octets| Self::Single(Some(octets))).map_err(Error::Hex)
    }

    /// A file, or standard input.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        match path {
            Some(path) if path != Path::new("-") => {
                let name = path.display().to_string();
                match File::open(path) {
                    Ok(file) => Self::of(name, file),
                    Err(error) => Err(Error::Io { name, error }),
                }
            }
            _ => Self::of("standard input".to_owned(), io::stdin()),
        }
    }

    /// Whatever `source` holds; `name` is for errors.
    pub(super) fn of(name: String, mut source: impl Read + 'static) -> Result<Self, Error> {
        let io = |error| Error::Io { name: name.clone(), error };
        let mut magic = Vec::new();
        source.by_ref().take(4).read_to_end(&mut magic).map_err(io)?;
        let mut source = Cursor::new(magic.clone()).chain(source);
        if capture::is_capture(&magic) {
            return Capture::new(name.clone(), Box::new(BufReader::new(source)))
                .map(|capture| Self::Capture(Box::new(capture)))
                .map_err(|error| Error::Capture { name, error });
        }
        let mut octets = Vec::new();
        source.by_ref().take(TEXT_MAX).read_to_end(&mut octets).map_err(io)?;
        if is_text(&octets) {
            octets = digits(&octets).map_err(Error::Hex)?;
        }
        if octets.len() > DATAGRAM_MAX {
            return Err(Error::TooLong(name));
        }
        Ok(Self::Single(Some(octets)))
    }

    /// What comes next; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Octets>, Error> {
        match self {
            Self::Single(octets) => Ok(octets.take().map(Octets::Payload)),
            Self::Capture(capture) => match capture.next() {
                Ok(frame) => Ok(frame.map(Octets::Frame)),
                Err(error) => Err(Error::Capture { name: capture.name.clone(), error }),
            },
        }
    }
}

/// True for digits as people paste them. A message of nothing but these octets is no message one
/// could meet: its nonce, addresses and MAC would all have to be such.
fn is_text(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|&octet| octet.is_ascii_hexdigit() || is_blank(octet))
}

fn digits(text: &[u8]) -> Result<Vec<u8>, hex::FromHexError> {
    let digits: Vec<u8> = text.iter().copied().filter(|&octet| !is_blank(octet)).collect();
    hex::decode(digits)
}

fn is_blank(octet: u8) -> bool {
    octet.is_ascii_whitespace() || octet == b':'
}

const DATAGRAM_MAX: usize = 65_535;
/// Digits and blanks of the longest datagram.
const TEXT_MAX: u64 = 65_536 * 4;
