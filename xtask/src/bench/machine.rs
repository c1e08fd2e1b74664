//! What it was measured on. Figures of two machines say little about each other; their ratios say
//! more.

use std::fmt;
use std::fs;

use serde_json::{Value, json};

/// The machine, as far as it shows in figures.
pub(super) struct Machine {
    processor: String,
    processors: usize,
    memory_mib: u64,
    kernel: String,
    /// A guest of a hypervisor: its processors are shared with others.
    guest: bool,
    /// Load of a minute before the run.
    load_before: f64,
    load_after: f64,
}

impl Machine {
    /// This one, now.
    pub(super) fn describe() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory =
            field(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: field(&cpuinfo, "model name").unwrap_or("unknown processor").to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.unwrap_or(0u64) / 1024,
            kernel: kernel.trim().to_owned(),
            guest: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            load_before: load_of_a_minute(),
            load_after: 0.0,
        }
    }

    /// The run is over.
    pub(super) fn finished(&mut self) {
        self.load_after = load_of_a_minute();
    }

    /// For the history.
    pub(super) fn json(&self) -> Value {
        json!({
            "processor": self.processor,
            "processors": self.processors,
            "memory_mib": self.memory_mib,
            "kernel": self.kernel,
            "guest": self.guest,
            "load": [self.load_before, self.load_after],
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processors, processor, kernel, .. } = self;
        let guest = if self.guest { " of a virtual machine" } else { "" };
        let memory = self.memory_mib.div_ceil(1024);
        write!(f, "{processors} CPUs{guest}, {processor}, {memory} GiB, Linux {kernel}")
    }
}

/// The machine's load of the last minute, as people read it.
pub(super) fn load() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{} on {processors} CPUs", load_of_a_minute())
}

fn load_of_a_minute() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The first line `name : value` of such a file.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC"));
        assert_eq!(field(text, "name"), None);
    }

    #[test]
    fn this_machine_has_a_kernel_and_a_processor() {
        let machine = Machine::describe();
        assert!(machine.processors >= 1 && machine.memory_mib > 0);
        assert!(machine.to_string().contains("Linux"), "{machine}");
        assert_eq!(machine.json()["kernel"], machine.kernel);
    }
}
