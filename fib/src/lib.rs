//! What was decided: the one forwarding table. Sources compete, one answer is published.
//!
//! Control planes say what they want as [`Change`]s. [`Fib`] keeps what every [`Source`] said,
//! lets the best one win, compiles path groups into slot tables, and publishes the result to
//! any number of [`Reader`]s, which never wait. *What to match* (a prefix in an instance) is kept
//! apart from *how to forward* (a path group shared by many prefixes), so a locator that fails
//! changes one group and not a hundred thousand prefixes. A data plane that keeps its own copy
//! of the tables, in the kernel say, is told each [`Update`] instead.

mod change;
mod choice;
mod counters;
mod explain;
mod fib;
mod group;
mod lpm;
mod publish;
mod reason;
pub mod reference;
mod scoped;
mod slots;
mod sources;
mod tables;
mod underlay;
mod update;

pub use change::{
    Change, EidKey, Encapsulation, GroupId, LocatorState, Path, Route, Source, Uplink, UplinkId,
};
pub use choice::{Failure, Verdict};
pub use counters::{Pair, PairCount, Peer, Usage, UsageCount};
pub use explain::{Decision, Explanation, Step};
pub use fib::{Fib, PathInfo, RouteInfo};
pub use group::{Group, Hop, Way};
pub use lpm::Lpm;
pub use publish::{Reader, Snapshot};
pub use reason::DropReason;
pub use tables::{Forwarding, Lookup, Tables};
pub use update::Update;
