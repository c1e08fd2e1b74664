//! Waiting for conditions. Nothing in a lab sleeps for a guessed time: every wait polls a condition
//! with a deadline, and every wait ends at once when the user interrupts the run.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The user asked the run to end (Ctrl-C or SIGTERM); everything is being cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP end waits instead of the process, so that cleaning up
/// always happens.
#[expect(unsafe_code, reason = "installing a signal handler")]
pub fn catch_interrupts() -> io::Result<()> {
    let action =
        SigAction::new(SigHandler::Handler(note_interrupt), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Has the user asked to end?
pub fn interrupted() -> Result<(), Interrupted> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
}

/// Polls `condition` until it gives a value, or gives `None` when `limit` has passed.
pub fn until<T>(
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<Option<T>, Interrupted> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        interrupted()?;
        if let Some(value) = condition() {
            return Ok(Some(value));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Lets `time` pass, in steps short enough to notice an interruption.
pub fn pass(time: Duration) -> Result<(), Interrupted> {
    until(time, || None::<()>).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_becomes_true_ends_the_wait() {
        let mut polls = 0;
        let seen = until(Duration::from_mins(1), || {
            polls += 1;
            (polls == 3).then_some("ready")
        });
        assert_eq!(seen, Ok(Some("ready")));
        assert_eq!(polls, 3);
    }

    #[test]
    fn a_condition_is_polled_at_least_once_and_given_up_at_the_deadline() {
        let mut polls = 0;
        let seen = until(Duration::ZERO, || {
            polls += 1;
            None::<()>
        });
        assert_eq!(seen, Ok(None));
        assert_eq!(polls, 1);
    }
}
