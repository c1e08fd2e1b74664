//! Checks: what a lab claims, and how it is proved. A check may break things (`do`), watch
//! (`capture`, `split`), keep traffic flowing meanwhile (`while`), and ask one question: a
//! command's answer or one more piece of traffic.

mod expect;
mod run;

use std::time::Duration;

pub use expect::{CommandCheck, Expected, Pattern};
pub use run::{Evidence, Verdict, run};

use crate::action::Action;
use crate::traffic::Traffic;

/// One `[[check]]`.
#[derive(Debug, Clone)]
pub struct Check {
    /// The claim, as a sentence.
    pub name: String,
    /// Ask again until it holds or this time has passed.
    pub until: Option<Duration>,
    /// Done first, or while the traffic flows.
    pub actions: Vec<Action>,
    /// Traffic in the background.
    pub during: Vec<Traffic>,
    /// The question: a command.
    pub command: Option<CommandCheck>,
    /// The question: traffic.
    pub traffic: Option<Traffic>,
    /// Watches links or nodes.
    pub captures: Vec<CaptureCheck>,
    /// Watches how traffic is shared between links.
    pub split: Option<SplitCheck>,
    /// Longest outage the background traffic may see.
    pub outage: Option<Duration>,
}

impl Check {
    /// Is there a question beside the background traffic?
    pub fn asks(&self) -> bool {
        self.command.is_some() || self.traffic.is_some()
    }
}

/// `capture = { on, filter, packets }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureCheck {
    /// A link or a node.
    pub on: String,
    /// A pcap filter; everything without.
    pub filter: Option<String>,
    /// Fewest packets that must match.
    pub min: u64,
    /// Most packets that may match.
    pub max: u64,
}

/// `split = { on, shares, tolerance }`
#[derive(Debug, Clone, PartialEq)]
pub struct SplitCheck {
    /// The links, in the order of the shares.
    pub on: Vec<String>,
    /// Whose sent packets are counted; all nodes on the links without.
    pub node: Option<String>,
    /// Percent each link should carry.
    pub shares: Vec<f64>,
    /// How many percentage points a share may be off.
    pub tolerance: f64,
}
