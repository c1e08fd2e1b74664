//! Nonces of Map-Registers: strictly increasing, across restarts too (RFC 9301 §5.6).
//!
//! One counter serves all Map-Servers. What is on disk is not the last nonce but a bound ahead of
//! it, moved once per block, so a crash skips nonces and never repeats one.

use weft_packet::addr::Nonce;

use crate::engine::{Actions, Stored};

/// The counter.
#[derive(Debug)]
pub(super) struct Nonces {
    next: u64,
    /// Nonces below are covered by what was stored.
    reserved: u64,
}

impl Nonces {
    /// Goes on behind whatever was used before.
    pub(super) fn new(stored: &Stored) -> Self {
        let kept = number(stored, KEY).unwrap_or(0);
        let floor = number(stored, FLOOR_KEY).unwrap_or(0);
        let next = kept.max(floor).max(1);
        Self { next, reserved: next }
    }

    /// A nonce nobody saw before.
    pub(super) fn take(&mut self, out: &mut Actions) -> Nonce {
        if self.next >= self.reserved {
            self.reserved = self.next.saturating_add(BLOCK);
            out.store(KEY, Some(self.reserved.to_be_bytes().to_vec()));
        }
        let nonce = Nonce(self.next);
        self.next = self.next.saturating_add(1);
        nonce
    }
}

fn number(stored: &Stored, key: &str) -> Option<u64> {
    Some(u64::from_be_bytes(stored.get(key)?.as_slice().try_into().ok()?))
}

/// Where the bound is kept: 8 octets in network order.
const KEY: &str = "etr/nonce";

/// A lower bound the caller may put among the stored values at start, 8 octets in network order:
/// something that only grows, such as the seconds since 1970 shifted left by 20 bits. With it a
/// router that lost its disk still registers.
pub const FLOOR_KEY: &str = "etr/nonce-floor";

/// Nonces reserved at a time.
const BLOCK: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Action;

    fn keep(out: &mut Actions, stored: &mut Stored) {
        for action in out.0.drain(..) {
            if let Action::Store { key, value: Some(value) } = action {
                stored.insert(key, value);
            }
        }
    }

    #[test]
    fn crash_at_any_point_never_repeats_a_nonce() {
        let (mut stored, mut last) = (Stored::default(), 0);
        for used in [1, 5, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let mut nonces = Nonces::new(&stored);
            for _ in 0..used {
                let mut out = Actions::default();
                let Nonce(nonce) = nonces.take(&mut out);
                keep(&mut out, &mut stored);
                assert!(nonce > last);
                last = nonce;
            }
        }
    }

    #[test]
    fn block_is_stored_once_and_before_it_is_used() {
        let mut nonces = Nonces::new(&Stored::default());
        let mut out = Actions::default();
        for _ in 0..BLOCK {
            nonces.take(&mut out);
        }
        assert_eq!(out.0.len(), 1);
        nonces.take(&mut out);
        assert_eq!(out.0.len(), 2);
    }

    #[test]
    fn lost_store_starts_from_the_callers_floor() {
        let floor: u64 = 1_790_000_000 << 20;
        let stored = Stored::from([(FLOOR_KEY.to_owned(), floor.to_be_bytes().to_vec())]);
        assert_eq!(Nonces::new(&stored).take(&mut Actions::default()), Nonce(floor));
    }
}
