//! Questions on their way: what was asked of the mapping system and not answered yet.
//!
//! There is one question per EID, however many packets wait for it. It is sent at once, then
//! repeated after 1 s and twice as long each time, with a fresh nonce, until an answer to any of
//! its nonces comes or its tries are used up (RFC 9301 §5.3). A budget over all questions keeps
//! a scan of unknown destinations from flooding the mapping system: what exceeds it waits in
//! line, in three lines that take turns, so that nobody waits for ever.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use smallvec::SmallVec;
use weft_packet::addr::{EidPrefix, Nonce};

use crate::engine::{Instant, Timers};
use crate::lisp::rate::{Bucket, Rate};

/// What a question is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// For the map-cache: one per EID.
    Cache(EidPrefix),
    /// For an operator: as many as they like.
    Lookup(Nonce),
}

/// Why it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A packet from this address waits.
    Packet(IpAddr),
    /// A cached mapping is about to expire.
    Refresh,
    /// Its site said that it changed (RFC 9301 §6.1).
    Solicited,
    /// An operator wants to know, maybe from this Map-Resolver.
    Lookup(Option<IpAddr>),
}

/// Something to be known.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) eid: EidPrefix,
    pub(super) why: Why,
    /// Since when.
    pub(super) since: Instant,
    /// How often it was asked, or could not be.
    pub(super) tries: u32,
    /// The last Map-Requests.
    pub(super) sent: SmallVec<[Sent; 2]>,
    waiting: bool,
}

/// A Map-Request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) nonce: Nonce,
    pub(super) resolver: IpAddr,
    pub(super) at: Instant,
}

/// All questions.
#[derive(Debug, Default)]
pub(super) struct Pending {
    questions: BTreeMap<Key, Question>,
    by_nonce: BTreeMap<Nonce, Key>,
    /// When to ask again or give up.
    deadlines: Timers<Key>,
    lines: [VecDeque<Key>; 3],
    turn: usize,
    /// What was sent lately, of [`REQUESTS`].
    budget: Bucket,
    /// Requests of questions that were closed lately.
    closed: VecDeque<Sent>,
}

impl Pending {
    /// Puts a question in line unless it is asked already. False when there are too many.
    pub(super) fn ask(&mut self, now: Instant, key: Key, eid: EidPrefix, why: Why) -> bool {
        if self.questions.contains_key(&key) {
            return true;
        }
        let limit = if matches!(why, Why::Packet(_)) { PACKET_QUESTIONS } else { QUESTIONS };
        if self.questions.len() >= limit {
            return false;
        }
        let sent = SmallVec::new();
        let question = Question { eid, why, since: now, tries: 0, sent, waiting: true };
        self.questions.insert(key, question);
        self.line(key, why, 0);
        true
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.questions.contains_key(&key)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Question> {
        self.questions.get(&key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Question> {
        self.questions.values()
    }

    pub(super) fn len(&self) -> usize {
        self.questions.len()
    }

    /// The next question to send now, if the budget allows one.
    pub(super) fn next(&mut self, now: Instant) -> Option<Key> {
        while let Some(line) = self.next_line() {
            let key = *self.lines[line].front()?;
            if self.questions.get(&key).is_some_and(|q| q.waiting) {
                if !self.budget.take(REQUESTS, now) {
                    return None;
                }
                self.turn = line + 1;
            }
            self.lines[line].pop_front();
            if let Some(question) = self.questions.get_mut(&key).filter(|q| q.waiting) {
                question.waiting = false;
                return Some(key);
            }
        }
        None
    }

    /// Notes that a try was made: with `nonce` in the Map-Request to each of `resolvers`, or
    /// with none where it could not be sent.
    pub(super) fn tried(&mut self, now: Instant, key: Key, requests: &[(Nonce, IpAddr)]) {
        let Some(question) = self.questions.get_mut(&key) else { return };
        question.tries += 1;
        for &(nonce, resolver) in requests {
            if question.sent.len() == NONCES_KEPT {
                self.by_nonce.remove(&question.sent.remove(0).nonce);
            }
            question.sent.push(Sent { nonce, resolver, at: now });
            self.by_nonce.insert(nonce, key);
        }
        self.deadlines.set(key, now + patience(question.tries));
    }

    /// A question whose last try was not answered in time. It is asked again by
    /// [`Pending::retry`] or given up by [`Pending::close`].
    pub(super) fn due(&mut self, now: Instant) -> Option<Key> {
        self.deadlines.due(now)
    }

    /// Puts a question in line again.
    pub(super) fn retry(&mut self, key: Key) {
        if let Some(question) = self.questions.get_mut(&key).filter(|q| !q.waiting) {
            question.waiting = true;
            let (why, tries) = (question.why, question.tries);
            self.line(key, why, tries);
        }
    }

    /// Starts anew with everything unanswered, a second after it was asked at the earliest.
    pub(super) fn start_anew(&mut self, now: Instant) {
        for (&key, question) in self.questions.iter_mut().filter(|(_, q)| !q.waiting) {
            question.tries = 0;
            let last = question.sent.last().map_or(now, |s| s.at + FIRST_PATIENCE);
            self.deadlines.set_earlier(key, last.max(now));
        }
    }

    /// The question a nonce belongs to.
    pub(super) fn by_nonce(&self, nonce: Nonce) -> Option<(Key, Sent)> {
        let &key = self.by_nonce.get(&nonce)?;
        let sent = self.questions.get(&key)?.sent.iter().find(|s| s.nonce == nonce)?;
        Some((key, *sent))
    }

    /// A request whose question was closed lately: answered through another try, or given up.
    pub(super) fn closed(&self, nonce: Nonce) -> Option<Sent> {
        self.closed.iter().find(|s| s.nonce == nonce).copied()
    }

    /// What waits in line for packets to EIDs inside `eid`.
    pub(super) fn waiting_inside(&self, eid: EidPrefix) -> impl Iterator<Item = EidPrefix> {
        let following = self.questions.range(Key::Cache(eid)..);
        let inside = following.take_while(move |(_, q)| eid.covers(q.eid));
        let waiting = inside.filter(|(_, q)| q.waiting && matches!(q.why, Why::Packet(_)));
        waiting.map(|(_, question)| question.eid)
    }

    /// Forgets a question.
    pub(super) fn close(&mut self, key: Key) -> Option<Question> {
        let question = self.questions.remove(&key)?;
        self.deadlines.cancel(&key);
        for sent in &question.sent {
            self.by_nonce.remove(&sent.nonce);
            if self.closed.len() == CLOSED_KEPT {
                self.closed.pop_front();
            }
            self.closed.push_back(*sent);
        }
        Some(question)
    }

    /// When something is to be done.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        let waiting = self.lines.iter().map(VecDeque::len).sum::<usize>();
        // A few at a time: waking up for each would cost more than sending them.
        let count = u32::try_from(waiting).unwrap_or(u32::MAX).min(REQUESTS_PER_WAKE_UP);
        let line = (count > 0).then(|| self.budget.ready(REQUESTS, count));
        [self.deadlines.next(), line].into_iter().flatten().min()
    }

    fn line(&mut self, key: Key, why: Why, tries: u32) {
        let line = match (why, tries) {
            (Why::Packet(_), 0) => 0,
            (Why::Packet(_), _) => 1,
            _ => 2,
        };
        self.lines[line].push_back(key);
    }

    fn next_line(&self) -> Option<usize> {
        let count = self.lines.len();
        (self.turn..self.turn + count).map(|l| l % count).find(|&l| !self.lines[l].is_empty())
    }
}

/// EIDs that nobody answered for lately, or whose answer helps no packet. They are not asked for
/// again until a while has passed.
#[derive(Debug, Default)]
pub(super) struct Holds {
    until: BTreeMap<EidPrefix, Instant>,
    order: VecDeque<(Instant, EidPrefix)>,
}

impl Holds {
    pub(super) fn add(&mut self, now: Instant, eid: EidPrefix) {
        let until = now + HOLD;
        self.until.insert(eid, until);
        self.order.push_back((until, eid));
        self.settle(now);
    }

    pub(super) fn contains(&mut self, now: Instant, eid: EidPrefix) -> bool {
        self.settle(now);
        self.until.contains_key(&eid)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn settle(&mut self, now: Instant) {
        while let Some(&(until, eid)) = self.order.front() {
            if until > now && self.order.len() <= QUESTIONS {
                return;
            }
            self.order.pop_front();
            if self.until.get(&eid) == Some(&until) {
                self.until.remove(&eid);
            }
        }
    }
}

/// How long an answer to the `tries`-th try is waited for.
fn patience(tries: u32) -> Duration {
    if tries >= TRIES_UNTIL_REST {
        return LONGEST_PATIENCE;
    }
    (FIRST_PATIENCE * (1 << (tries.clamp(1, 8) - 1))).min(LONGEST_PATIENCE)
}

/// RFC 9301 §5.3: at most one Map-Request a second for an EID-prefix.
pub(super) const FIRST_PATIENCE: Duration = Duration::from_secs(1);
/// RFC 9301 §5.3: 30 s after ten tries.
const TRIES_UNTIL_REST: u32 = 10;
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);
/// How long an EID nobody answered for is left alone.
const HOLD: Duration = Duration::from_secs(5);
/// Map-Requests for all EIDs together: 2000 a second.
const REQUESTS: Rate = Rate { period: Duration::from_micros(500), burst: 200 };
const REQUESTS_PER_WAKE_UP: u32 = 20;
/// Questions on behalf of packets, and of everything.
const PACKET_QUESTIONS: usize = 65_536;
const QUESTIONS: usize = 2 * PACKET_QUESTIONS;
/// Tries of one question whose answer is still taken.
const NONCES_KEPT: usize = 4;
/// Requests remembered to tell late answers from forged ones.
const CLOSED_KEPT: usize = 1024;
