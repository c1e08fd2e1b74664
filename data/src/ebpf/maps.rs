//! Arrays that the program reads while we write, mapped into our memory.
//!
//! A table of a hundred thousand entries is then built without a system call, and a counter is
//! read like any other.
#![expect(unsafe_code, reason = "memory shared with the kernel")]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use aya::Pod;
use aya::maps::MapData;

use super::layout;

/// The records of an array map made with `BPF_F_MMAPABLE`, as atomic words.
pub(super) struct Mapped<T> {
    start: NonNull<AtomicU64>,
    records: u32,
    /// Octets of the mapping.
    length: usize,
    kind: PhantomData<T>,
}

// SAFETY: the mapping belongs to the value and to no thread, and is reached through atomics only.
unsafe impl<T: Send> Send for Mapped<T> {}

macro_rules! pod {
    ($($kind:ty),+) => {$(
        // SAFETY: `repr(C)`, of integers alone, without padding: any octets are a value.
        unsafe impl Pod for $kind {}
    )+};
}

pod!(layout::Config, layout::Port, layout::Instance, layout::Node, layout::Leaf);
pod!(layout::Volume);
pod!(layout::Group, layout::Locator);
pod!(layout::Choice, layout::Slots, layout::Hop, layout::KnownHop, layout::PairKey);
pod!(layout::Received, layout::Verdict, layout::Tunnel, layout::Counts, layout::Cpu);

impl<T: Pod> Mapped<T> {
    /// Words of a record.
    const WORDS: usize = size_of::<T>() / size_of::<u64>();

    /// Maps the whole array.
    pub(super) fn of(map: &MapData) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8), "the kernel pads records to eight octets") };
        let shape = map.info().map_err(io::Error::other)?;
        if shape.value_size() as usize != size_of::<T>() {
            return Err(io::Error::other("records of another size"));
        }
        let records = shape.max_entries();
        let length = (records as usize * size_of::<T>()).next_multiple_of(page_size()?);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing of ours, and
        // the kernel checks the descriptor and the length.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { start, records, length, kind: PhantomData })
    }

    /// How many records there are.
    pub(super) fn len(&self) -> u32 {
        self.records
    }

    /// The words of a record, none when there is no such record.
    pub(super) fn words(&self, index: u32) -> &[AtomicU64] {
        if index >= self.records {
            return &[];
        }
        // SAFETY: the record is within the mapping, which lives as long as `self`, starts at a
        // page and holds nothing but words of which any octets are a value. Who else writes it,
        // the program, does so word by word and atomically.
        unsafe {
            let first = self.start.add(index as usize * Self::WORDS);
            std::slice::from_raw_parts(first.as_ptr(), Self::WORDS)
        }
    }

    /// The words of what is `offset` octets from the start of a record, none beyond its end.
    pub(super) fn part<P: Pod>(&self, index: u32, offset: usize) -> &[AtomicU64] {
        let (first, words) = (offset / size_of::<u64>(), size_of::<P>() / size_of::<u64>());
        self.words(index).get(first..first + words).unwrap_or_default()
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and nothing borrowed from it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

fn page_size() -> io::Result<usize> {
    // SAFETY: asks for a number and takes no pointer.
    let octets = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(octets).map_err(|_| io::Error::last_os_error())
}
