//! Data packets as evidence: traffic that went both ways and now only goes one way says that
//! something broke, long before the next regular probe.
//!
//! One-way traffic is not a fault, so silence counts once: afterwards it is news again only when
//! data came back in between.

use std::time::Duration;

use crate::engine::Instant;

/// Silence shorter than this is normal. A little less than a second, so that windows of a half or
/// a quarter may be counted a few milliseconds early.
const SILENCE: Duration = Duration::from_millis(900);

/// Data packets to and from somewhere, seen in windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversation {
    sent_at: Option<Instant>,
    received_at: Option<Instant>,
    /// Data came back and no silence was noticed since.
    two_way: bool,
    /// Totals as last told.
    totals: Option<(u64, u64)>,
}

impl Conversation {
    /// What was sent and received since the last call, from running totals. The first call only
    /// takes the totals: they may be old.
    pub(super) fn advance(&mut self, sent: u64, received: u64) -> (u64, u64) {
        let (s, r) = self.totals.replace((sent, received)).unwrap_or((sent, received));
        (sent.saturating_sub(s), received.saturating_sub(r))
    }

    /// So many packets went and came in the window that ends now.
    pub(super) fn window(&mut self, now: Instant, sent: u64, received: u64) {
        if sent > 0 {
            self.sent_at = Some(now);
        }
        if received > 0 {
            self.received_at = Some(now);
            self.two_way = true;
        }
    }

    /// When packets were last sent.
    pub(super) fn sent_at(&self) -> Option<Instant> {
        self.sent_at
    }

    /// When packets last came.
    pub(super) fn received_at(&self) -> Option<Instant> {
        self.received_at
    }

    /// True when packets were sent in the window that ends now, and none came back.
    pub(super) fn is_one_way(&self, now: Instant) -> bool {
        self.sent_at == Some(now) && self.received_at != Some(now)
    }

    /// True when packets are sent, and those that used to come back do not. A site that only
    /// answers sends nothing while it hears nothing: when it sends again, its silence is old.
    pub(super) fn went_silent(&self, now: Instant) -> bool {
        let silent = self.received_at.is_some_and(|at| now.since(at) >= SILENCE);
        self.two_way && silent && self.is_one_way(now)
    }

    /// The silence is being looked into; it is no news until data came back.
    pub(super) fn acknowledge(&mut self) {
        self.two_way = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays windows of 500 ms given as (sent, received); the number of the window in which the
    /// silence was noticed, each time it was.
    fn noticed(windows: &[(u64, u64)]) -> Vec<usize> {
        let mut conversation = Conversation::default();
        let at = |n: usize| Instant::after_start(Duration::from_millis(500 * n as u64));
        (0..windows.len())
            .filter(|&n| {
                let (sent, received) = windows[n];
                conversation.window(at(n + 1), sent, received);
                let silent = conversation.went_silent(at(n + 1));
                if silent {
                    conversation.acknowledge();
                }
                silent
            })
            .collect()
    }

    #[test]
    fn silence_is_noticed_in_the_second_silent_window_and_only_once() {
        assert_eq!(noticed(&[(5, 5), (5, 3), (5, 0), (5, 0), (5, 0), (5, 0)]), [3]);
    }

    #[test]
    fn silence_is_news_again_after_data_came_back() {
        assert_eq!(noticed(&[(5, 5), (5, 0), (5, 0), (5, 0), (5, 1), (5, 0), (5, 0)]), [2, 6]);
    }

    #[test]
    fn one_way_traffic_is_never_news() {
        assert_eq!(noticed(&[(5, 0); 20]), [0; 0]);
        assert_eq!(noticed(&[(0, 5); 20]), [0; 0]);
    }

    #[test]
    fn slow_pings_are_noticed_too() {
        assert_eq!(noticed(&[(1, 1), (0, 0), (1, 1), (0, 0), (1, 0), (0, 0), (1, 0)]), [4]);
    }

    #[test]
    fn silence_while_nothing_is_sent_is_noticed_when_something_is() {
        let mut windows = vec![(5, 5), (1, 0)];
        windows.extend([(0, 0); 10]);
        assert_eq!(noticed(&windows), [0; 0]);
        windows.extend([(1, 1), (0, 0), (0, 0), (0, 0), (1, 0)]);
        assert_eq!(noticed(&windows), [16]);
    }

    #[test]
    fn totals_from_before_are_not_taken_for_new() {
        let mut conversation = Conversation::default();
        assert_eq!(conversation.advance(1000, 900), (0, 0));
        assert_eq!(conversation.advance(1003, 901), (3, 1));
        assert_eq!(conversation.advance(2, 1), (0, 0), "counted from zero again");
    }
}
