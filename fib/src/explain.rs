//! Why a packet would go where it goes, and where it would go if that failed.
//!
//! The decision is made by the code and on the tables the data planes use; only the reasons are
//! gathered beside it.

use std::fmt;
use std::net::IpAddr;

use weft_packet::addr::InstanceId;

use crate::choice::View;
use crate::counters::Pair;
use crate::group::{Pick, UplinkSlots};
use crate::{
    DropReason, Encapsulation, Failure, Fib, Forwarding, Group, GroupId, Hop, Path, Route, UplinkId,
};

/// What would happen to a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The reasoning, first to last.
    pub steps: Vec<Step>,
    /// What it leads to.
    pub decision: Decision,
    /// What it would lead to if the chosen locator or the chosen uplink failed.
    pub failures: Vec<(Failure, Decision)>,
}

/// One step of the reasoning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is about: `prefix`, `source`, `locator`, `choice`, `uplink`, `size`, `result` or
    /// `failure`.
    pub label: &'static str,
    /// What was found.
    pub text: String,
}

/// What would happen to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Delivered: its destination is an EID of ours.
    Local,
    /// Forwarded as it is.
    Native,
    /// Held while the control plane is asked.
    Resolve,
    /// Dropped.
    Drop(DropReason),
    /// Encapsulated.
    Encapsulate {
        /// Outer source.
        local: IpAddr,
        /// Outer destination.
        remote: IpAddr,
        /// Through which uplink.
        uplink: UplinkId,
        /// The kernel's number of its interface.
        interface: u32,
        /// How it is wrapped.
        encapsulation: Encapsulation,
        /// The largest inner packet that fits, in octets.
        mtu: u16,
    },
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("deliver, an EID of this site"),
            Self::Native => f.write_str("forward natively"),
            Self::Resolve => f.write_str("hold and ask the mapping system"),
            Self::Drop(reason) => write!(f, "drop ({reason})"),
            Self::Encapsulate { local, remote, uplink, encapsulation, mtu, .. } => write!(
                f,
                "encapsulate ({encapsulation}) {local} → {remote} through uplink {}, up to {mtu} octets",
                uplink.0
            ),
        }
    }
}

impl From<&Hop> for Decision {
    fn from(hop: &Hop) -> Self {
        Self::Encapsulate {
            local: hop.local,
            remote: hop.remote,
            uplink: hop.uplink,
            interface: hop.interface,
            encapsulation: hop.encapsulation,
            mtu: hop.mtu,
        }
    }
}

impl Fib {
    /// What the data planes do now with a packet from `source` to `destination` whose flow hash is
    /// `flow_hash`, and why. Changes that are not published yet may show in the reasons, not in the decision.
    pub fn explain(
        &self,
        instance: InstanceId,
        source: IpAddr,
        destination: IpAddr,
        flow_hash: u32,
    ) -> Explanation {
        let mut steps = Steps::default();
        let mut failures = Vec::new();
        self.explain_match(instance, source, destination, &mut steps);
        let tables = self.publisher.enter().expect("the writing end of the tables is here");
        let decision = match tables.lookup(instance, source, destination).forwarding {
            Forwarding::Local => Decision::Local,
            Forwarding::Native => Decision::Native,
            Forwarding::Resolve => Decision::Resolve,
            Forwarding::Drop(reason) => Decision::Drop(reason),
            Forwarding::Encapsulate(group) => {
                let paths = match tables.route(instance, source, destination) {
                    Some(Route::Encapsulate(id)) => self.explain_locators(id, &mut steps),
                    _ => &[],
                };
                match group.pick_slots(flow_hash) {
                    Ok(pick) => {
                        self.explain_choice(flow_hash, pick, &mut steps);
                        failures = self.failures(paths, pick.hop, flow_hash);
                        Decision::from(pick.hop)
                    }
                    Err(reason) => Decision::Drop(reason),
                }
            }
        };
        steps.add("result", decision.to_string());
        for (failure, decision) in &failures {
            steps.add("failure", format!("{failure}: {decision}"));
        }
        Explanation { steps: steps.0, decision, failures }
    }

    /// Which prefix matched, who said what about it, and what would match without it.
    fn explain_match(
        &self,
        instance: InstanceId,
        source: IpAddr,
        destination: IpAddr,
        steps: &mut Steps,
    ) {
        let Some(table) = self.sources.instance(instance) else {
            return steps.add("prefix", format!("instance {instance} has no entries"));
        };
        let mut matches = table.covering(source, destination).into_iter();
        let Some(found) = matches.next() else {
            return steps.add("prefix", format!("no entry contains {destination}"));
        };
        let eid = found.key(instance).eid;
        steps.add("prefix", format!("{eid} is the longest that contains {destination}"));
        if let Some(from) = found.from {
            let text =
                format!("of its entries that for {from} is the longest that contains {source}");
            steps.add("prefix", text);
        }
        for (place, word) in found.value.words().iter().enumerate() {
            let rank = if place == 0 { "wins" } else { "says too, but comes later" };
            steps.add("source", format!("{} {rank}: {}", word.source, word.route));
        }
        if let Some(next) = matches.next()
            && let Some(word) = next.value.words().first()
        {
            let from = next.from.map(|from| format!(" from {from}")).unwrap_or_default();
            let text = format!("without it {}{from} would match: {}", next.prefix, word.route);
            steps.add("prefix", text);
        }
    }

    /// Every locator of the group and why it is used or not.
    fn explain_locators(&self, id: GroupId, steps: &mut Steps) -> &[Path] {
        let Some(paths) = self.groups.get(&id) else { return &[] };
        for (path, verdict) in paths.iter().zip(View::of(&self.underlay).judge(paths)) {
            let Path { rloc, priority, weight, .. } = path;
            steps.add("locator", format!("{rloc} priority {priority} weight {weight}: {verdict}"));
        }
        paths
    }

    /// Which locator and uplink the flow hash picked, among which, and what fits.
    fn explain_choice(&self, flow_hash: u32, pick: Pick<'_>, steps: &mut Steps) {
        let Pick { hop, locator_slot: (slot, slots), .. } = pick;
        let text = format!("flow hash {flow_hash:#010x} → slot {slot} of {slots} → {}", hop.remote);
        steps.add("choice", text);
        for (uplink, verdict) in View::of(&self.underlay).judge_uplinks(hop.remote) {
            let text = format!(
                "{} {} priority {} weight {}: {verdict}",
                uplink.id.0, uplink.rloc, uplink.priority, uplink.weight
            );
            steps.add("uplink", text);
        }
        let (slot, slots) = pick.uplink_slot;
        let text = format!("slot {slot} of {slots} → uplink {} {}", hop.uplink.0, hop.local);
        steps.add("choice", text);
        let limit = match self.underlay.mtu(hop.remote) {
            Some(mtu) => format!("the path to {} carries {mtu} octets", hop.remote),
            None => "only the uplink's MTU limits the path".to_owned(),
        };
        let overhead = hop.encapsulation.overhead(hop.remote);
        let text = format!("{limit}; less {overhead} of encapsulation: {}", hop.mtu);
        steps.add("size", text);
    }

    /// What would become of the flow if the locator or the uplink of `hop` failed.
    fn failures(&self, paths: &[Path], hop: &Hop, flow_hash: u32) -> Vec<(Failure, Decision)> {
        [Failure::Locator(hop.remote), Failure::Uplink(hop.uplink)]
            .into_iter()
            .map(|failure| {
                let view = View { underlay: &self.underlay, failure };
                let uncounted = |uplink, _| Pair::new(uplink).into();
                let group = Group::compile(paths, view, uncounted, &mut UplinkSlots::default());
                (failure, group.pick(flow_hash).map_or_else(Decision::Drop, Decision::from))
            })
            .collect()
    }
}

/// Steps being gathered.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn add(&mut self, label: &'static str, text: String) {
        self.0.push(Step { label, text });
    }
}
