//! Which locators of a path group carry packets, through which uplinks, and why the others do
//! not. The compiler of groups and `explain` both ask here, so they cannot disagree.
//!
//! Only the best usable priority carries packets. When no locator is usable the best priority
//! carries them anyway: probes may be wrong, and a packet sent in vain costs no more than one
//! dropped.

use std::fmt;
use std::net::IpAddr;

use crate::slots::MAX_MEMBERS;
use crate::underlay::{Underlay, same_family};
use crate::{DropReason, Path, Uplink, UplinkId};

/// Why a locator of a group, or an uplink towards a locator, carries packets or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is usable and of the best priority.
    Carries,
    /// It should not be used, but no other can be either.
    BestEffort,
    /// The locator's priority is 255.
    Forbidden,
    /// No uplink of the locator's family works.
    NoUplink,
    /// The locator does not answer.
    Down,
    /// The uplink does not work.
    Broken,
    /// The locator does not answer through the uplink, or through any that works.
    NotVia,
    /// One of a better priority is usable.
    WorsePriority,
    /// Its weight is zero and that of others is not.
    NoWeight,
    /// There are more than the 256 a table tells apart.
    TooMany,
}

impl Verdict {
    /// True when it carries packets.
    pub const fn carries(self) -> bool {
        matches!(self, Self::Carries | Self::BestEffort)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Carries => "used",
            Self::BestEffort => "used, as none is known to work",
            Self::Forbidden => "not used: priority 255",
            Self::NoUplink => "not used: no uplink of its family works",
            Self::Down => "not used: down",
            Self::Broken => "not used: does not work",
            Self::NotVia => "not used: the locator does not answer this way",
            Self::WorsePriority => "not used: a better priority is usable",
            Self::NoWeight => "not used: weight 0",
            Self::TooMany => "not used: too many",
        })
    }
}

/// What is assumed to have failed, to ask what would happen then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failure {
    /// Nothing beyond what is known.
    #[default]
    None,
    /// This remote locator.
    Locator(IpAddr),
    /// This local uplink, in both families.
    Uplink(UplinkId),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("as it is"),
            Self::Locator(rloc) => f.pad(&format!("if {rloc} failed")),
            Self::Uplink(uplink) => f.pad(&format!("if uplink {} failed", uplink.0)),
        }
    }
}

/// The underlay as known, and one assumed failure.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) underlay: &'a Underlay,
    pub(crate) failure: Failure,
}

impl<'a> View<'a> {
    /// What is known, without assumptions.
    pub(crate) fn of(underlay: &'a Underlay) -> Self {
        Self { underlay, failure: Failure::None }
    }

    /// The verdict on each path of a group, in the same order.
    pub(crate) fn judge(self, paths: &[Path]) -> Vec<Verdict> {
        let mut verdicts: Vec<_> = paths.iter().map(|path| self.alone(path)).collect();
        compete(&mut verdicts, |at| (paths[at].priority, paths[at].weight));
        verdicts
    }

    /// The verdict on each uplink of the family of `rloc`, in order of their names.
    pub(crate) fn judge_uplinks(self, rloc: IpAddr) -> Vec<(&'a Uplink, Verdict)> {
        let mut uplinks: Vec<_> = same_family(self.underlay.uplinks(), rloc).collect();
        uplinks.sort_by_key(|uplink| (uplink.id, uplink.rloc));
        let mut verdicts: Vec<_> = uplinks.iter().map(|u| self.uplink_alone(rloc, u)).collect();
        compete(&mut verdicts, |at| (uplinks[at].priority, uplinks[at].weight));
        uplinks.into_iter().zip(verdicts).collect()
    }

    /// The verdict on a path whatever the others are.
    fn alone(self, path: &Path) -> Verdict {
        let mut no_uplink = true;
        let mut not_via = true;
        for uplink in same_family(self.underlay.uplinks(), path.rloc) {
            let verdict = self.uplink_alone(path.rloc, uplink);
            no_uplink &= verdict == Verdict::Broken;
            not_via &= verdict != Verdict::Carries;
        }
        let down = self.failure == Failure::Locator(path.rloc)
            || self.underlay.state(path.rloc).is_some_and(|state| state.down);
        match path.priority {
            255 => Verdict::Forbidden,
            _ if no_uplink => Verdict::NoUplink,
            _ if down => Verdict::Down,
            _ if not_via => Verdict::NotVia,
            _ => Verdict::Carries,
        }
    }

    /// The verdict on an uplink towards `rloc` whatever the others are.
    fn uplink_alone(self, rloc: IpAddr, uplink: &Uplink) -> Verdict {
        let state = self.underlay.state(rloc);
        if !uplink.up || self.failure == Failure::Uplink(uplink.id) {
            Verdict::Broken
        } else if state.is_some_and(|state| state.not_via.contains(&uplink.id)) {
            Verdict::NotVia
        } else {
            Verdict::Carries
        }
    }
}

/// Turns verdicts on each alone into verdicts beside each other. `rank` gives the priority and
/// weight of one by its position.
fn compete(verdicts: &mut [Verdict], rank: impl Fn(usize) -> (u8, u8)) {
    if !verdicts.contains(&Verdict::Carries) {
        for verdict in verdicts.iter_mut() {
            if matches!(verdict, Verdict::Down | Verdict::NotVia) {
                *verdict = Verdict::BestEffort;
            }
        }
    }
    let ranks = || verdicts.iter().enumerate().filter(|(_, v)| v.carries()).map(|(at, _)| rank(at));
    let Some(best) = ranks().map(|(priority, _)| priority).min() else { return };
    let weighted = ranks().any(|(priority, weight)| priority == best && weight != 0);
    let mut winners = 0;
    for (at, verdict) in verdicts.iter_mut().enumerate().filter(|(_, v)| v.carries()) {
        match rank(at) {
            (priority, _) if priority != best => *verdict = Verdict::WorsePriority,
            (_, 0) if weighted => *verdict = Verdict::NoWeight,
            _ if winners == MAX_MEMBERS => *verdict = Verdict::TooMany,
            _ => winners += 1,
        }
    }
}

/// Why a group whose locators have these verdicts carries nothing, if it does not.
pub(crate) fn refusal(verdicts: &[Verdict]) -> DropReason {
    if verdicts.contains(&Verdict::NoUplink) {
        DropReason::NoUsableUplink
    } else {
        DropReason::NoUsableRloc
    }
}
