//! CPUs that do not fall asleep. To wake one in a virtual machine takes the CPU that does it tens of
//! microseconds, more than a packet of 64 KiB takes; whether the receiver sleeps between packets then
//! decides how fast a network is, and not what its routers do.

use std::io::PipeWriter;
use std::process::{Child, Command, Stdio};

use crate::bench::Tools;
use crate::run::Result;

/// Idle work on the CPUs of the hosts' programs, of which anything else takes the place at once.
pub(super) struct Awake {
    workers: Vec<Child>,
    /// Its end is the end of the workers, however we end.
    _alive: PipeWriter,
}

const CPUS: [&str; 2] = ["0", "1"];

impl Awake {
    /// From here on until it is dropped.
    pub(super) fn keep(tools: &Tools) -> Result<Self> {
        let (ending, alive) = std::io::pipe().map_err(|error| format!("a pipe: {error}"))?;
        let mut awake = Self { workers: Vec::new(), _alive: alive };
        for cpu in CPUS {
            let ending = ending.try_clone().map_err(|error| format!("a pipe: {error}"))?;
            let mut worker = Command::new("chrt");
            // nice for the accounts: its time is not that of anything that is measured
            worker.args(["--idle", "0", "nice", "-n", "19", "taskset", "-c", cpu]);
            worker.arg(&tools.bench).arg("awake").stdin(ending).stdout(Stdio::null());
            let worker = worker.spawn().map_err(|error| format!("chrt: {error}"))?;
            awake.workers.push(worker);
        }
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // who is gone already needs no end
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
