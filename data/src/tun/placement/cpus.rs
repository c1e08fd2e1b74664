//! What the kernel tells of CPUs, and where it lets a thread run.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::Load;

/// The CPUs of a thread, which is always the calling one.
pub(super) struct Cpus {
    /// Ticks each CPU was idle, and nanoseconds the thread waited, a period ago.
    last: Option<Reading>,
    /// Where the thread may run when it is not placed; known while it is.
    allowed: Option<CpuSet>,
}

struct Reading {
    waited: Duration,
    /// By the number of the CPU, of all and idle ones. Not read while the thread waits little:
    /// the kernel has to work for them, with every CPU more.
    ticks: Option<Vec<(u64, u64)>>,
}

impl Cpus {
    pub(super) fn new() -> Self {
        Self { last: None, allowed: None }
    }

    /// The load since the last time this was asked, `elapsed` ago. Nothing the first times, where
    /// the kernel does not say, and of a thread that waits little.
    pub(super) fn load(&mut self, elapsed: Duration) -> Option<Load> {
        let waited = waited(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)?;
        let last = self.last.replace(Reading { waited, ticks: None })?;
        let waited = waited.saturating_sub(last.waited).as_secs_f64() / elapsed.as_secs_f64();
        if waited < WORTH_A_LOOK {
            return None;
        }
        let ticks = ticks(&fs::read_to_string("/proc/stat").ok()?);
        let now = self.last.as_mut()?.ticks.insert(ticks);
        let last = last.ticks?;
        let idle = |cpu: usize| -> Option<f64> {
            let ((all, idle), (all_before, idle_before)) = (*now.get(cpu)?, *last.get(cpu)?);
            let all = all.saturating_sub(all_before);
            (all > 0).then(|| idle.saturating_sub(idle_before) as f64 / all as f64)
        };
        let allowed = sched_getaffinity(SELF).ok()?;
        let here = sched_getcpu().ok()?;
        let others = (0..now.len()).filter(|cpu| *cpu != here && allowed.is_set(*cpu) == Ok(true));
        let elsewhere = others
            .filter_map(|cpu| Some((cpu, idle(cpu)?)))
            .max_by(|(_, one), (_, other)| one.total_cmp(other))?;
        Some(Load { waited, here: idle(here)?, elsewhere })
    }

    /// Nobody will ask before a period has passed.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Has the thread run on this CPU alone.
    pub(super) fn pin(&mut self, cpu: usize) {
        self.forget();
        let Ok(allowed) = sched_getaffinity(SELF) else { return };
        let mut only = CpuSet::new();
        match only.set(cpu).and_then(|()| sched_setaffinity(SELF, &only)) {
            Ok(()) => {
                tracing::debug!(cpu, "the worker tries an idle CPU");
                self.allowed = Some(allowed);
            }
            Err(error) => tracing::debug!(cpu, %error, "the worker cannot go to that CPU"),
        }
    }

    /// Lets the thread run wherever it was allowed to.
    pub(super) fn release(&mut self) {
        self.forget();
        if let Some(allowed) = self.allowed.take()
            && let Err(error) = sched_setaffinity(SELF, &allowed)
        {
            tracing::warn!(%error, "the worker cannot leave its CPU");
        }
    }
}

/// The calling thread.
const SELF: Pid = Pid::from_raw(0);
/// The part of the time a thread has to wait before the CPUs are worth a look.
pub(super) const WORTH_A_LOOK: f64 = 0.1;

/// Of `schedstat`: time on a CPU, time waiting for one, and turns.
fn waited(text: &str) -> Option<Duration> {
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// Of `stat`: for each CPU all ticks, and those it was idle or waited for a disk.
fn ticks(text: &str) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for line in text.lines() {
        let Some((number, fields)) = line.strip_prefix("cpu").and_then(|l| l.split_once(' '))
        else {
            break;
        };
        // the first line is about all of them
        let Ok(number) = number.parse::<usize>() else { continue };
        if number >= CpuSet::count() {
            break;
        }
        let fields: Vec<u64> =
            fields.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
        let idle = fields.get(3..5).unwrap_or_default().iter().sum();
        // CPUs that are off have no line
        all.resize(all.len().max(number + 1), (0, 0));
        all[number] = (fields.iter().sum(), idle);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        assert_eq!(waited("1200 3400 5\n"), Some(Duration::from_nanos(3400)));
        assert_eq!(waited(""), None);
        let text = "cpu  9 0 9 99 1 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 50 50\ncpu2 0 0 1 9 0 0 0 0 0 0\n\
                    intr 1 2 3\ncpu9 1 1 1 1 1 1 1 1\n";
        assert_eq!(ticks(text), [(36, 9), (0, 0), (10, 9)]);
        assert_eq!(ticks(""), []);
    }

    #[test]
    fn a_thread_goes_where_it_is_sent_and_is_free_again() {
        let mut cpus = Cpus::new();
        assert!(cpus.load(Duration::from_millis(1)).is_none(), "nothing to compare with yet");
        let allowed = sched_getaffinity(SELF).unwrap();
        let cpu = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu).unwrap()).unwrap();
        cpus.pin(cpu);
        assert_eq!(sched_getcpu(), Ok(cpu));
        cpus.release();
        assert_eq!(sched_getaffinity(SELF), Ok(allowed));
    }
}
