//! What operators see of probing.

use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

use super::Prober;
use super::link::Link;
use super::pair::{Health, Pair};
use super::remote::Remote;
use crate::engine::Instant;

/// All that is known, in the order of addresses.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// False when nothing is probed.
    pub probing: bool,
    /// Between regular probes, seconds.
    pub interval: Option<f64>,
    /// Between probes under suspicion, seconds.
    pub retry_interval: Option<f64>,
    /// Unanswered ones of these until a verdict.
    pub retries: Option<u32>,
    /// The local uplinks that work as far as the kernel knows.
    pub uplinks: Vec<UplinkStatus>,
    /// The remote RLOCs in use.
    pub rlocs: Vec<RlocStatus>,
}

/// What probes say of a local uplink in one address family.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UplinkStatus {
    /// Its number.
    pub uplink: u16,
    /// Its address.
    pub rloc: IpAddr,
    /// `up`, `down`, or `unknown` while nothing came through it.
    pub state: State,
    /// Why it is down.
    pub why: Option<String>,
    /// How long it has been down, seconds.
    pub down_for: Option<f64>,
    /// Since the last answer that came through it, seconds.
    pub last_answer: Option<f64>,
}

/// What is known of a remote RLOC.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RlocStatus {
    /// Which.
    pub rloc: IpAddr,
    /// Probes ask for this EID-prefix.
    pub about: String,
    /// Unknown ones are used like those that are up.
    pub state: State,
    /// What that rests on, for people.
    pub why: String,
    /// How long it has been so, seconds.
    pub since: f64,
    /// Of the best pair: smoothed round-trip time, seconds.
    pub rtt: Option<f64>,
    /// Of the best pair: recent share of probes lost.
    pub loss: Option<f64>,
    /// One for each local uplink of its family.
    pub pairs: Vec<PairStatus>,
}

/// What is known of the way from a local uplink to a remote RLOC.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PairStatus {
    /// The local uplink's number.
    pub uplink: u16,
    /// Its address.
    pub local: IpAddr,
    /// Whether it answers.
    pub state: State,
    /// True while it is asked in quick succession.
    pub suspect: bool,
    /// True when packets are sent another way, where there is one.
    pub avoided: bool,
    /// Smoothed round-trip time, seconds.
    pub rtt: Option<f64>,
    /// The latest one, seconds.
    pub last_rtt: Option<f64>,
    /// Recent share of probes lost.
    pub loss: f64,
    /// Probes sent.
    pub sent: u64,
    /// Answers received.
    pub answered: u64,
    /// Since the last answer, seconds.
    pub last_answer: Option<f64>,
}

/// Whether something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It does.
    Up,
    /// It does not.
    Down,
    /// It did not say yet; it is used.
    Unknown,
}

impl Prober {
    /// What is known at `now`.
    pub fn status(&self, now: Instant) -> Status {
        let watched = self.remotes.iter().filter(|(_, remote)| remote.watched);
        let on = self.timing.is_some();
        Status {
            probing: on,
            interval: self.timing.map(|t| t.interval.as_secs_f64()),
            retry_interval: self.timing.map(|t| t.retry_interval.as_secs_f64()),
            retries: self.timing.map(|t| t.retries),
            uplinks: self.links.iter().map(|link| link.status(now)).collect(),
            rlocs: watched.map(|(&rloc, remote)| remote.status(now, rloc, on)).collect(),
        }
    }
}

impl Link {
    fn status(&self, now: Instant) -> UplinkStatus {
        let state = match (self.dead, self.last_answer) {
            (Some(_), _) => State::Down,
            (None, Some(_)) => State::Up,
            (None, None) => State::Unknown,
        };
        UplinkStatus {
            uplink: self.id.uplink.0,
            rloc: self.local,
            state,
            why: self.dead.map(|_| self.why.clone()),
            down_for: self.dead.map(|at| now.since(at).as_secs_f64()),
            last_answer: self.last_answer.map(|at| now.since(at).as_secs_f64()),
        }
    }
}

impl Remote {
    fn status(&self, now: Instant, rloc: IpAddr, probing: bool) -> RlocStatus {
        let best = self.pairs.iter().filter(|pair| pair.rtt.is_some());
        let best = best.min_by_key(|pair| (pair.is_failed(), pair.rtt.map(|rtt| rtt.smoothed)));
        RlocStatus {
            rloc,
            about: self.about.to_string(),
            state: self.state,
            why: self.explanation(probing),
            since: now.since(self.since).as_secs_f64(),
            rtt: best.and_then(|pair| pair.rtt).map(|rtt| rtt.smoothed.as_secs_f64()),
            loss: best.map(Pair::loss),
            pairs: self.pairs.iter().map(|pair| pair.status(now)).collect(),
        }
    }

    fn explanation(&self, probing: bool) -> String {
        if !probing {
            return "probing is off".to_owned();
        }
        if self.state == State::Down {
            return self.why.clone();
        }
        let text = match self.pairs.iter().filter(|pair| pair.is_avoided()).count() {
            _ if self.pairs.is_empty() => "no local uplink of its address family works",
            _ if self.is_mute() => "does not answer probes, but packets come from it",
            _ if !self.answered => "no answer to a probe yet",
            0 => "answers probes",
            n if n == self.pairs.len() => "does not answer at the moment",
            _ => "answers probes, but not through every uplink",
        };
        text.to_owned()
    }

    /// Why it is down.
    pub(super) fn accusation(&self, now: Instant) -> String {
        let failed = self.pairs.iter().filter(|pair| pair.is_failed());
        let from: Vec<_> = failed.map(|pair| pair.local.to_string()).collect();
        let from = from.join(", ");
        match self.pairs.iter().filter_map(|pair| pair.last_answer).max() {
            Some(at) => {
                let ago = now.since(at).as_secs_f64();
                format!("probes from {from} are not answered; the last answer is {ago:.1} s old")
            }
            None => format!(
                "probes from {from} were never answered: is it an xTR, and does UDP port 4342 \
                 reach it?"
            ),
        }
    }
}

impl Pair {
    fn status(&self, now: Instant) -> PairStatus {
        let state = match self.health {
            Health::Failed { .. } => State::Down,
            _ if self.answered > 0 => State::Up,
            _ => State::Unknown,
        };
        let seconds = |d: Duration| d.as_secs_f64();
        PairStatus {
            uplink: self.uplink.0,
            local: self.local,
            state,
            suspect: matches!(self.health, Health::Suspect { .. }),
            avoided: self.is_avoided(),
            rtt: self.rtt.map(|rtt| seconds(rtt.smoothed)),
            last_rtt: self.rtt.map(|rtt| seconds(rtt.last)),
            loss: self.loss(),
            sent: self.sent,
            answered: self.answered,
            last_answer: self.last_answer.map(|at| seconds(now.since(at))),
        }
    }
}
