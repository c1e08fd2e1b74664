//! Cleaning up however we end: finished, failed, interrupted or killed. The janitor is a shell of
//! its own process group that waits for the end of its standard input, which is ours to hold, and
//! then does what it was hired for.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::run::Result;
use crate::setup;

/// Waits until it is dropped or we are gone, then cleans up.
pub(crate) struct Janitor {
    shell: Child,
}

impl Janitor {
    /// Hires one for a shell script, which runs as root.
    pub(crate) fn hire(script: &str) -> Result<Self> {
        let waiting = format!("trap '' INT TERM HUP; read -r _; {script}");
        let shell = setup::as_root(Path::new("sh"))?
            .args(["-c", &waiting])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start a shell: {error}"))?;
        Ok(Self { shell })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        if let Err(error) = self.shell.wait() {
            eprintln!("cleaning up: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_janitor_has_cleaned_up() {
        if setup::privileged().is_none() {
            return;
        }
        let file = std::env::temp_dir().join(format!("weft-janitor-{}", std::process::id()));
        std::fs::write(&file, "dirt").unwrap();
        let janitor = Janitor::hire(&format!("rm {}", file.display())).unwrap();
        assert!(file.exists());
        drop(janitor);
        assert!(!file.exists());
    }
}
