//! Control messages (`cmsg`, RFC 3542 §4.2): what goes beside a datagram.

/// Control messages of one datagram.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control {
    octets: [u8; Self::CAPACITY],
    used: usize,
}

impl Control {
    /// Enough for all we send or ask for.
    pub(super) const CAPACITY: usize = 192;

    /// Nothing in it; room for the kernel to write.
    pub(super) const EMPTY: Self = Self { octets: [0; Self::CAPACITY], used: 0 };

    /// Adds a message. What does not fit is left out, and [`Self::CAPACITY`] is chosen so that
    /// everything fits.
    pub(super) fn add(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let end = self.used + space(data.len());
        debug_assert!(end <= Self::CAPACITY, "control messages exceed their buffer");
        if let Some(slot) = self.octets.get_mut(self.used..end) {
            slot[..size_of::<usize>()].copy_from_slice(&(HEADER + data.len()).to_ne_bytes());
            slot[HEADER - 8..HEADER - 4].copy_from_slice(&level.to_ne_bytes());
            slot[HEADER - 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
            slot[HEADER..HEADER + data.len()].copy_from_slice(data);
            self.used = end;
        }
    }

    /// How many octets are in it.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// What the kernel wrote, given how many octets it said.
    pub(super) fn messages(&self, length: usize) -> Messages<'_> {
        Messages(&self.octets[..length.min(Self::CAPACITY)])
    }

    pub(super) fn as_ptr(&self) -> *const libc::c_void {
        self.octets.as_ptr().cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.octets.as_mut_ptr().cast()
    }
}

/// Level, kind and data of each control message.
pub(super) struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (libc::c_int, libc::c_int, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from_ne_bytes(*self.0.first_chunk()?);
        let data = self.0.get(HEADER..length)?;
        let level = *self.0[HEADER - 8..].first_chunk()?;
        let kind = *self.0[HEADER - 4..].first_chunk()?;
        self.0 = self.0.get(space(data.len())..).unwrap_or_default();
        Some((libc::c_int::from_ne_bytes(level), libc::c_int::from_ne_bytes(kind), data))
    }
}

/// How many octets of control messages the kernel wrote.
#[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
pub(super) const fn control_length(header: &libc::msghdr) -> usize {
    header.msg_controllen as usize
}

/// The integer at the start of `data`.
pub(super) fn integer(data: &[u8]) -> Option<libc::c_int> {
    data.first_chunk().map(|octets| libc::c_int::from_ne_bytes(*octets))
}

/// Octets of a message with its padding (`CMSG_SPACE`).
const fn space(data: usize) -> usize {
    HEADER + data.next_multiple_of(size_of::<usize>())
}

/// The kernel's `struct cmsghdr`: a length as wide as a pointer, level, type.
const HEADER: usize = size_of::<usize>() + 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back() {
        let mut control = Control::EMPTY;
        control.add(0, 8, &[7; 12]);
        control.add(17, 103, &1400u16.to_ne_bytes());
        control.add(0, 2, &64i32.to_ne_bytes());
        let read: Vec<_> = control.messages(control.used()).collect();
        assert_eq!(read[0], (0, 8, &[7; 12][..]));
        assert_eq!(read[1], (17, 103, &1400u16.to_ne_bytes()[..]));
        assert_eq!(integer(read[2].2), Some(64));
        assert_eq!(read.len(), 3);
    }

    #[test]
    fn lengths_that_lie_end_the_list() {
        let mut control = Control::EMPTY;
        control.add(0, 8, &[7; 12]);
        control.octets[0] = 255;
        assert_eq!(control.messages(control.used()).count(), 0);
        control.octets[..8].copy_from_slice(&3usize.to_ne_bytes());
        assert_eq!(control.messages(control.used()).count(), 0);
    }

    #[test]
    fn layout_is_that_of_libc() {
        assert_eq!(HEADER, size_of::<libc::cmsghdr>());
    }
}
