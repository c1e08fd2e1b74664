//! What happened lately: a bounded history for `weft monitor --last`, live subscribers, and the
//! log.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;
use weft_manage::event::{Shown, Weight};

/// The history of events.
#[derive(Debug)]
pub(crate) struct Journal {
    capacity: usize,
    past: VecDeque<(Weight, Arc<Value>)>,
    watchers: Vec<Watcher>,
}

/// Somebody who watches live.
#[derive(Debug)]
struct Watcher {
    least: Weight,
    queue: mpsc::Sender<Arc<Value>>,
}

/// Items a slow watcher may be behind; what comes beyond is lost for it alone. They share
/// what they wait for.
const WATCHER_QUEUE: usize = 1024;

impl Journal {
    /// Keeps the last `capacity` events.
    pub(crate) fn new(capacity: usize) -> Self {
        let past = VecDeque::with_capacity(capacity.min(4096));
        Self { capacity, past, watchers: Vec::new() }
    }

    /// Takes an event: logs, keeps and passes it on.
    pub(crate) fn record(&mut self, shown: &Shown, time: &str) {
        match shown.weight {
            Weight::Message => tracing::trace!(kind = shown.kind, "{}", shown.text),
            Weight::Change => tracing::info!(kind = shown.kind, "{}", shown.text),
            Weight::Trouble => tracing::warn!(kind = shown.kind, "{}", shown.text),
        }
        self.pass_on(shown.weight, shown.json(time));
    }

    /// Passes on what is no engine event: a dropped packet.
    pub(crate) fn pass_on(&mut self, weight: Weight, item: Value) {
        let item = Arc::new(item);
        self.watchers.retain(|watcher| {
            watcher.least > weight
                || !matches!(
                    watcher.queue.try_send(item.clone()),
                    Err(mpsc::error::TrySendError::Closed(_))
                )
        });
        if weight == Weight::Message {
            return;
        }
        if self.past.len() >= self.capacity {
            self.past.pop_front();
        }
        self.past.push_back((weight, item));
    }

    /// The last `count` events, oldest first.
    pub(crate) fn last(&self, count: usize) -> impl Iterator<Item = &Arc<Value>> {
        self.past.iter().skip(self.past.len().saturating_sub(count)).map(|(_, item)| item)
    }

    /// Watches from now on; messages too when `messages`.
    pub(crate) fn watch(&mut self, messages: bool) -> mpsc::Receiver<Arc<Value>> {
        let (queue, receiver) = mpsc::channel(WATCHER_QUEUE);
        let least = if messages { Weight::Message } else { Weight::Change };
        self.watchers.push(Watcher { least, queue });
        receiver
    }

    /// True while somebody wants to see every message.
    pub(crate) fn wants_messages(&mut self) -> bool {
        self.watchers.retain(|watcher| !watcher.queue.is_closed());
        self.watchers.iter().any(|watcher| watcher.least == Weight::Message)
    }

    /// True while anybody watches.
    pub(crate) fn has_watchers(&mut self) -> bool {
        self.watchers.retain(|watcher| !watcher.queue.is_closed());
        !self.watchers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn history_is_bounded_and_keeps_the_newest() {
        let mut journal = Journal::new(2);
        for n in 0..5 {
            journal.pass_on(Weight::Change, json!(n));
        }
        journal.pass_on(Weight::Message, json!("not kept"));
        let last = |count| journal.last(count).map(|item| (**item).clone()).collect::<Vec<_>>();
        assert_eq!(last(10), [json!(3), json!(4)]);
        assert_eq!(last(1), [json!(4)]);
    }

    #[test]
    fn watchers_see_what_they_asked_for_until_they_leave() {
        let mut journal = Journal::new(2);
        let mut quiet = journal.watch(false);
        let all = journal.watch(true);
        assert!(journal.wants_messages());
        drop(all);
        assert!(!journal.wants_messages());
        journal.pass_on(Weight::Message, json!(1));
        journal.pass_on(Weight::Trouble, json!(2));
        assert_eq!(*quiet.try_recv().unwrap(), json!(2));
        assert!(quiet.try_recv().is_err());
    }
}
