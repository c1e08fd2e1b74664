//! Captures, read frame by frame: pcap and pcapng.

mod pcap;
mod pcapng;

use std::io::{self, Read};
use std::time::Duration;

/// A frame as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its number in the capture, from 1.
    pub(super) number: u64,
    /// When, since 1970; some captures do not say.
    pub(super) time: Option<Duration>,
    /// What its first octets are: a LINKTYPE number.
    pub(super) link: u16,
    /// What was captured of it.
    pub(super) octets: Vec<u8>,
}

/// A capture being read.
pub(super) struct Capture {
    /// What to call it in errors.
    pub(super) name: String,
    source: Source,
    format: Format,
    number: u64,
}

type Source = Box<dyn Read>;

enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

/// Why a capture ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the capture ends within a frame")]
    Truncated,
    #[error("the capture is damaged: {0}")]
    Damaged(&'static str),
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// True when octets begin as captures do.
pub(super) fn is_capture(magic: &[u8]) -> bool {
    <[u8; 4]>::try_from(magic)
        .is_ok_and(|magic| magic == pcapng::MAGIC || pcap::Header::knows(magic))
}

impl Capture {
    /// Reads what comes in front of the frames.
    pub(super) fn new(name: String, mut source: Source) -> Result<Self, Error> {
        let magic = array(&mut source)?;
        let format = if magic == pcapng::MAGIC {
            Format::Pcapng(pcapng::Section::read(&mut source)?)
        } else {
            Format::Pcap(pcap::Header::read(magic, &mut source)?)
        };
        Ok(Self { name, source, format, number: 0 })
    }

    /// The next frame; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        let frame = match &mut self.format {
            Format::Pcap(header) => header.frame(&mut self.source)?,
            Format::Pcapng(section) => section.frame(&mut self.source)?,
        };
        self.number += 1;
        Ok(frame.map(|frame| Frame { number: self.number, ..frame }))
    }
}

/// Integers in the order of the machine that captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(octets),
            Self::Little => u16::from_le_bytes(octets),
        }
    }

    fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(octets),
            Self::Little => u32::from_le_bytes(octets),
        }
    }
}

fn array<const N: usize>(source: &mut Source) -> Result<[u8; N], Error> {
    let mut octets = [0; N];
    source.read_exact(&mut octets)?;
    Ok(octets)
}

/// Like [`array`], but the source may end in front of it.
fn array_or_end<const N: usize>(source: &mut Source) -> Result<Option<[u8; N]>, Error> {
    let mut octets = Vec::with_capacity(N);
    source.by_ref().take(N as u64).read_to_end(&mut octets)?;
    if octets.is_empty() {
        return Ok(None);
    }
    octets.try_into().map(Some).map_err(|_| Error::Truncated)
}

fn octets(source: &mut Source, length: u32) -> Result<Vec<u8>, Error> {
    if length > LENGTH_MAX {
        return Err(Error::Damaged("a frame of more than 16 MB"));
    }
    let mut octets = Vec::new();
    source.by_ref().take(length.into()).read_to_end(&mut octets)?;
    if octets.len() as u64 == u64::from(length) { Ok(octets) } else { Err(Error::Truncated) }
}

/// More than any frame has.
const LENGTH_MAX: u32 = 1 << 24;
