//! The ITR as operators see it. Keys are kebab-case, times are seconds, addresses are text.

use serde::Serialize;
use weft_packet::addr::EidPrefix;
use weft_packet::lisp::Action;

use super::Itr;
use super::map_cache::{Content, Entry};
use super::pending::{Question, Why};
use super::resolvers::Resolver;
use crate::engine::Instant;
use crate::lisp::status::LocatorStatus;

/// How the ITR stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// It takes packets from any source.
    pub proxy: bool,
    /// Configured and learned mappings, in order.
    pub map_cache: Vec<MapCacheEntry>,
    /// Learned mappings an instance may hold.
    pub map_cache_limit: usize,
    /// What was asked and not answered yet.
    pub pending: Vec<PendingRequest>,
    /// In the order of the configuration.
    pub map_resolvers: Vec<ResolverStatus>,
    /// Distinct locator-sets.
    pub locator_sets: usize,
    /// What happened since the start.
    pub counters: Counters,
}

/// A mapping.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MapCacheEntry {
    /// The EID-prefix, `[instance]prefix` outside the default instance.
    pub eid: String,
    /// Whose packets it is for, if not everybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_prefix: Option<String>,
    /// Its instance.
    pub instance: u32,
    /// `positive`, `negative`, or `static`.
    pub kind: &'static str,
    /// What is done where there are no locators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
    /// Where it is.
    pub locators: Vec<LocatorStatus>,
    /// What is particular to learned mappings.
    #[serde(flatten)]
    pub learned: Option<Learned>,
}

/// How a mapping was learned and how long it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Learned {
    /// Who said so.
    #[serde(rename = "learned-from")]
    pub from: String,
    /// It was the site itself.
    pub authoritative: bool,
    /// Since it was learned first.
    pub age: f64,
    /// Since it was confirmed last.
    pub confirmed: f64,
    /// Until its TTL ends; zero while a refresh is waited for.
    pub expires_in: f64,
    /// It carried packets lately.
    pub in_use: bool,
}

/// An unanswered question.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PendingRequest {
    /// Asked for.
    pub eid: String,
    /// Its instance.
    pub instance: u32,
    /// `packet`, `refresh`, `smr`, or `lookup`.
    pub why: &'static str,
    /// Map-Requests so far.
    pub tries: u32,
    /// Since it arose.
    pub age: f64,
}

/// A Map-Resolver.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ResolverStatus {
    /// Its address.
    pub address: String,
    /// It is the one asked first.
    pub current: bool,
    /// Map-Requests sent to it.
    pub requests: u64,
    /// Those answered.
    pub answers: u64,
    /// Since the last one was answered.
    pub last_answer: Option<f64>,
    /// How long that took.
    pub rtt: Option<f64>,
}

/// What happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counters {
    /// Packets without an entry.
    pub punts: u64,
    /// Map-Requests sent.
    pub map_requests: u64,
    /// Map-Replies that answered a question.
    pub map_replies: u64,
    /// Map-Replies to questions answered before.
    pub late_replies: u64,
    /// Messages not taken.
    pub refused: u64,
    /// Punts for EIDs that were asked for in vain just before.
    pub held_back: u64,
    /// Punts dropped because too many questions were open.
    pub pending_full: u64,
    /// Questions nobody answered.
    pub lookups_failed: u64,
    /// Mappings that made room for others.
    pub evicted: u64,
    /// SMRs about nothing that is cached.
    pub smr_ignored: u64,
}

impl Itr {
    /// How it stands now.
    pub fn status(&self, now: Instant) -> Status {
        Status {
            proxy: self.settings.proxy,
            map_cache: self.map_cache(now, None),
            map_cache_limit: self.settings.map_cache_limit,
            pending: self.pending.iter().map(|q| PendingRequest::new(now, q)).collect(),
            map_resolvers: self.resolvers.iter().map(|r| self.resolver_status(now, r)).collect(),
            locator_sets: self.groups.len(),
            counters: self.counters.clone(),
        }
    }

    /// The mappings inside `within`, or all, configured ones first.
    pub fn map_cache(&self, now: Instant, within: Option<EidPrefix>) -> Vec<MapCacheEntry> {
        let wanted = |eid: &EidPrefix| within.is_none_or(|w| w.covers(*eid));
        let fixed = self.statics.iter().filter(|(key, _)| wanted(&key.eid));
        let learned = self.cache.iter().filter(|(eid, _)| wanted(eid));
        let fixed = fixed.map(|(key, &content)| MapCacheEntry {
            kind: "static",
            source_prefix: key.from.map(|from| from.to_string()),
            ..self.entry(key.eid, content)
        });
        let learned = learned.map(|(eid, entry)| MapCacheEntry {
            learned: Some(self.learned(now, entry)),
            ..self.entry(eid, entry.content)
        });
        fixed.chain(learned).collect()
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Learned mappings, and unanswered questions.
    pub fn sizes(&self) -> (usize, usize) {
        (self.cache.len(), self.pending.len())
    }

    fn entry(&self, eid: EidPrefix, content: Content) -> MapCacheEntry {
        let (kind, action, locators) = match content {
            Content::Positive(group) => ("positive", None, self.groups.locators(group)),
            Content::Negative(action) => ("negative", Some(action_word(action)), &[][..]),
        };
        MapCacheEntry {
            eid: eid.to_string(),
            source_prefix: None,
            instance: eid.instance.get(),
            kind,
            action,
            locators: LocatorStatus::all(locators),
            learned: None,
        }
    }

    fn learned(&self, now: Instant, entry: &Entry) -> Learned {
        Learned {
            from: entry.from.to_string(),
            authoritative: entry.authoritative,
            age: now.since(entry.created).as_secs_f64(),
            confirmed: now.since(entry.confirmed).as_secs_f64(),
            expires_in: entry.expires.since(now).as_secs_f64(),
            in_use: self.is_used(now, entry),
        }
    }

    fn resolver_status(&self, now: Instant, resolver: &Resolver) -> ResolverStatus {
        ResolverStatus {
            address: resolver.address.to_string(),
            current: self.resolvers.current() == Some(resolver.address),
            requests: resolver.requests,
            answers: resolver.answers,
            last_answer: resolver.answered.map(|(at, _)| now.since(at).as_secs_f64()),
            rtt: resolver.answered.map(|(_, rtt)| rtt.as_secs_f64()),
        }
    }
}

impl PendingRequest {
    fn new(now: Instant, question: &Question) -> Self {
        Self {
            eid: question.eid.to_string(),
            instance: question.eid.instance.get(),
            why: match question.why {
                Why::Packet(_) => "packet",
                Why::Refresh => "refresh",
                Why::Solicited => "smr",
                Why::Lookup(_) => "lookup",
            },
            tries: question.tries,
            age: now.since(question.since).as_secs_f64(),
        }
    }
}

/// What is done without locators, for programs.
fn action_word(action: Action) -> &'static str {
    match action {
        Action::NoAction => "no-action",
        Action::NativelyForward | Action::Unassigned6 => "natively-forward",
        Action::SendMapRequest => "send-map-request",
        Action::DropNoReason | Action::Unassigned7 => "drop",
        Action::DropPolicyDenied => "drop-policy-denied",
        Action::DropAuthFailure => "drop-auth-failure",
    }
}
