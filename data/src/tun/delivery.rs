//! Writing a batch of packets to devices with one system call, where the kernel has `io_uring`.
//!
//! A write to a TUN device carries its packet all the way to the host's socket and wakes the host.
//! Between two system calls the scheduler may let the host run at once, and does: a worker that
//! writes packet by packet is put aside after each of them. Writes of one submission are carried
//! out in order and without that.
#![expect(unsafe_code, reason = "the kernel is given pointers to what it writes")]
#![expect(clippy::cast_possible_truncation, reason = "counts of pieces, which fit")]

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd};

use io_uring::opcode::Writev;
use io_uring::{IoUring, types::Fd};
use nix::errno::Errno;

use super::device::Devices;
use super::offload::{LONGEST_HEADERS, SuperPacket, VirtioHeader};

/// What writes batches of packets to devices.
pub(super) struct Delivery {
    ring: Option<IoUring>,
    /// What precedes the payload of each packet of a submission.
    heads: Vec<Head>,
    /// Where everything that is written is, for the kernel.
    pieces: Vec<libc::iovec>,
    /// What the kernel said about each.
    results: Vec<nix::Result<()>>,
}

/// A virtio header and the headers of the packet behind it.
#[derive(Clone, Copy)]
struct Head {
    octets: [u8; VirtioHeader::LENGTH + LONGEST_HEADERS],
    length: usize,
    /// The payload is that of the super-packet; otherwise the whole first packet follows.
    joined: bool,
    /// Where in the submission's pieces its own start.
    first_piece: usize,
}

impl Delivery {
    /// Prepares a ring, if the kernel lets us have one.
    pub(super) fn new() -> Self {
        let ring = IoUring::new(ENTRIES)
            .inspect_err(|error| tracing::info!(%error, "no io_uring: a system call per packet"));
        Self { ring: ring.ok(), heads: Vec::new(), pieces: Vec::new(), results: Vec::new() }
    }

    /// Writes packets, which are in `octets`, to their devices in order, and tells `done` about
    /// each.
    pub(super) fn write(
        &mut self,
        octets: &[u8],
        packets: &[SuperPacket],
        devices: &Devices,
        mut done: impl FnMut(&SuperPacket, nix::Result<()>),
    ) {
        for batch in packets.chunks(ENTRIES as usize) {
            self.heads.clear();
            self.heads.extend(batch.iter().map(|packet| Head::of(octets, packet)));
            self.results.clear();
            self.results.resize(batch.len(), Err(Errno::ENODEV));
            if batch.len() == 1 || !self.submit(octets, batch, devices) {
                self.write_each(octets, batch, devices);
            }
            batch.iter().zip(&self.results).for_each(|(packet, result)| done(packet, *result));
        }
    }

    fn write_each(&mut self, octets: &[u8], batch: &[SuperPacket], devices: &Devices) {
        for ((packet, head), result) in batch.iter().zip(&self.heads).zip(&mut self.results) {
            if let Some(queue) = devices.queue(packet.device) {
                let pieces: Vec<_> = head.pieces(octets, packet).map(IoSlice::new).collect();
                *result = queue.write(&pieces).map(drop);
            }
        }
    }

    /// Writes a batch with one system call; false when nothing was written because there is no
    /// ring.
    fn submit(&mut self, octets: &[u8], batch: &[SuperPacket], devices: &Devices) -> bool {
        let Self { ring: Some(ring), heads, pieces, results } = self else { return false };
        pieces.clear();
        for (packet, head) in batch.iter().zip(heads.iter_mut()) {
            head.first_piece = pieces.len();
            pieces.extend(head.pieces(octets, packet).map(|piece| libc::iovec {
                iov_base: piece.as_ptr().cast_mut().cast(),
                iov_len: piece.len(),
            }));
        }
        let mut left = 0;
        for (number, packet) in batch.iter().enumerate() {
            let Some(queue) = devices.queue(packet.device) else { continue };
            let end = heads.get(number + 1).map_or(pieces.len(), |next| next.first_piece);
            let pieces = &pieces[heads[number].first_piece..end];
            let write =
                Writev::new(Fd(queue.as_fd().as_raw_fd()), pieces.as_ptr(), pieces.len() as u32);
            let entry = write.build().user_data(number as u64);
            // SAFETY: the pieces and the octets they point to are not touched before the kernel
            // has said that it is done with them, below. Should it fail to say so, the ring is
            // closed; the kernel only ever reads from them.
            let pushed = unsafe { ring.submission().push(&entry) };
            left += usize::from(pushed.is_ok());
        }
        while left > 0 {
            match ring.submit_and_wait(left) {
                Err(error) if error.raw_os_error() != Some(libc::EINTR) => {
                    tracing::warn!(%error, "io_uring failed: a system call per packet from now on");
                    self.ring = None;
                    return true;
                }
                Ok(_) | Err(_) => {}
            }
            for completion in ring.completion() {
                left = left.saturating_sub(1);
                let result = match completion.result() {
                    0.. => Ok(()),
                    error => Err(Errno::from_raw(error.saturating_neg())),
                };
                if let Some(place) = results.get_mut(completion.user_data() as usize) {
                    *place = result;
                }
            }
        }
        true
    }
}

impl Head {
    fn of(octets: &[u8], packet: &SuperPacket) -> Self {
        let mut headers = [0; LONGEST_HEADERS];
        let made = packet.headers(octets, &mut headers);
        let joined = made.is_some();
        let (virtio, headers) = made.unwrap_or((packet.lacks(), &[]));
        let mut head = Self {
            octets: [0; VirtioHeader::LENGTH + LONGEST_HEADERS],
            length: VirtioHeader::LENGTH + headers.len(),
            joined,
            first_piece: 0,
        };
        let (first, rest) = head.octets.split_at_mut(VirtioHeader::LENGTH);
        first.copy_from_slice(&virtio.to_bytes());
        rest[..headers.len()].copy_from_slice(headers);
        head
    }

    /// Everything the device is given.
    fn pieces<'a>(
        &'a self,
        octets: &'a [u8],
        packet: &'a SuperPacket,
    ) -> impl Iterator<Item = &'a [u8]> {
        let whole = (!self.joined).then(|| packet.first());
        let payload = self.joined.then(|| packet.payload()).into_iter().flatten();
        let behind = whole.into_iter().chain(payload).map(|range| &octets[range]);
        std::iter::once(&self.octets[..self.length]).chain(behind)
    }
}

/// Packets in one submission.
const ENTRIES: u32 = 64;
