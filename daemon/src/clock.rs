//! The only clock of the router.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use weft_control::engine::Instant;

/// Gives engines their time, and people theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: std::time::Instant,
    wall: SystemTime,
}

impl Clock {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock the others are given")]
    pub(crate) fn start() -> Self {
        Self { start: std::time::Instant::now(), wall: SystemTime::now() }
    }

    /// Time since the start, for engines.
    pub(crate) fn now(&self) -> Instant {
        Instant::after_start(self.start.elapsed())
    }

    /// The tokio instant at which `at` is.
    pub(crate) fn at(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + at.since_start())
    }

    /// Seconds and nanoseconds since 1970 at which `at` was, by the wall clock at the start.
    pub(crate) fn wall(&self, at: Instant) -> Duration {
        self.wall.duration_since(UNIX_EPOCH).unwrap_or_default() + at.since_start()
    }
}
