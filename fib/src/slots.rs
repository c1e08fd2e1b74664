//! Who gets which share of the flows: weighted rendezvous hashing, compiled into a table.
//!
//! Every flow hash falls into a slot; in each slot every member draws a score and the lowest
//! wins. Scores depend only on member and slot, so a member that leaves gives up its own slots
//! and no flow of another member moves. Weights divide scores, so a member wins in proportion to
//! its weight.

use std::net::IpAddr;
use std::sync::LazyLock;

/// How many slots a table of two or more members has.
const SLOTS: usize = 512;

/// How many members a table can tell apart.
pub(crate) const MAX_MEMBERS: usize = 256;

/// A compiled table: slot to member number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slots(Box<[u8]>);

impl Slots {
    /// Shares the slots among members, each an address that tells it apart and its weight. All
    /// weights zero means equal shares; otherwise weight zero gets none. Members beyond
    /// [`MAX_MEMBERS`] get none.
    pub(crate) fn new(members: &[(IpAddr, u8)]) -> Self {
        let members = &members[..members.len().min(MAX_MEMBERS)];
        let equal = members.iter().all(|(_, weight)| *weight == 0);
        let share = |weight: u8| if equal { 1.0 } else { f32::from(weight) };
        let mut drawing = members
            .iter()
            .zip(0u8..=u8::MAX)
            .map(|((key, weight), number)| (number, share(*weight), *key))
            .filter(|(_, share, _)| *share > 0.0);
        let first = drawing.next();
        let rest: Vec<_> = drawing.collect();
        match first {
            None => Self(Box::default()),
            Some((number, _, _)) if rest.is_empty() => Self(Box::new([number])),
            Some(first) => Self::contest(std::iter::once(first).chain(rest)),
        }
    }

    /// Lets members (number, share, key) draw against each other in every slot.
    fn contest(members: impl Iterator<Item = (u8, f32, IpAddr)>) -> Self {
        let mut best = vec![(f32::INFINITY, 0u8); SLOTS];
        for (number, share, key) in members {
            let order = shuffle(key);
            for (winner, rank) in best.iter_mut().zip(order) {
                let score = QUANTILES[usize::from(rank)] / share;
                if score < winner.0 {
                    *winner = (score, number);
                }
            }
        }
        Self(best.into_iter().map(|(_, number)| number).collect())
    }

    /// The member number and slot a hash falls to; member 0 when there are none.
    pub(crate) fn pick(&self, hash: u16) -> (usize, usize) {
        let slot = usize::from(hash) & self.0.len().wrapping_sub(1);
        (self.0.get(slot).copied().map_or(0, usize::from), slot)
    }

    /// The member number of each slot.
    pub(crate) fn members(&self) -> &[u8] {
        &self.0
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The quantiles of the exponential distribution. The least of several draws, each divided by its
/// weight, is then distributed by weight. Every member draws each quantile exactly once, in an
/// order of its own, which brings shares nearer to the weights than independent draws would.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "ranks are small and quantiles need not be exact"
)]
static QUANTILES: LazyLock<[f32; SLOTS]> = LazyLock::new(|| {
    std::array::from_fn(|rank| {
        let uniform = (rank as f64 + 0.5) / SLOTS as f64;
        -uniform.ln() as f32
    })
});

/// The numbers of the quantiles in the order `key` draws them (Fisher-Yates).
#[expect(clippy::cast_possible_truncation, reason = "halves are meant, ranks are small")]
fn shuffle(key: IpAddr) -> [u16; SLOTS] {
    let bits = match key {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    };
    let mut state = mix(bits as u64 ^ mix((bits >> 64) as u64));
    let mut order: [u16; SLOTS] = std::array::from_fn(|rank| rank as u16);
    for left in (1..SLOTS).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let other = mix(state) % (left as u64 + 1);
        order.swap(left, other as usize);
    }
    order
}

/// Spreads every input bit over all output bits (the finalizer of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn member(number: usize, weight: u8) -> (IpAddr, u8) {
        (Ipv4Addr::new(192, 0, 2, u8::try_from(number).unwrap()).into(), weight)
    }

    fn members(weights: &[u8]) -> Vec<(IpAddr, u8)> {
        weights.iter().enumerate().map(|(number, weight)| member(number, *weight)).collect()
    }

    /// How many slots a member won.
    fn won(slots: &Slots, number: usize) -> usize {
        (0..512).filter(|hash| slots.pick(*hash).0 == number).count()
    }

    #[test]
    fn shares_follow_weights() {
        let slots = Slots::new(&members(&[75, 25]));
        assert!(won(&slots, 0).abs_diff(384) < 16, "{} of 384", won(&slots, 0));
        let slots = Slots::new(&members(&[50, 30, 20]));
        assert!(won(&slots, 2).abs_diff(102) < 16, "{} of 102", won(&slots, 2));
    }

    #[test]
    fn all_zero_is_equal_but_zero_among_others_is_nothing() {
        let slots = Slots::new(&members(&[0, 0, 0, 0]));
        assert!((0..4).all(|number| won(&slots, number).abs_diff(128) < 16));
        let slots = Slots::new(&members(&[0, 10, 0, 10]));
        assert_eq!((won(&slots, 0), won(&slots, 2)), (0, 0));
        assert_eq!(Slots::new(&members(&[0, 9])).pick(77).0, 1);
    }

    #[test]
    fn nobody_is_no_panic_and_a_crowd_is_cut() {
        assert_eq!(Slots::new(&[]).pick(5).0, 0);
        let crowd: Vec<_> =
            (0..300u32).map(|n| (IpAddr::from(Ipv4Addr::from_bits(n)), 1)).collect();
        let slots = Slots::new(&crowd);
        assert!((0..1000).all(|hash| slots.pick(hash).0 < MAX_MEMBERS));
    }

    proptest! {
        #[test]
        fn a_member_that_leaves_moves_only_its_own_flows(
            weights in proptest::collection::vec(1u8.., 2..8), leaver in any::<prop::sample::Index>()
        ) {
            let before = members(&weights);
            let leaver = leaver.index(before.len());
            let mut after = before.clone();
            after.remove(leaver);
            let (old, new) = (Slots::new(&before), Slots::new(&after));
            for hash in 0..512 {
                let (was, is) = (before[old.pick(hash).0], after[new.pick(hash).0]);
                prop_assert!(was == is || was == before[leaver], "slot {hash}: {was:?} became {is:?}");
            }
        }
    }
}
