//! Changing the kernel's network through the `ip` command, many commands at a time: one process
//! reads a whole batch and stops at the first that fails.

use std::fmt;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use super::Namespace;

/// A batch of `ip` commands for one namespace.
#[derive(Debug, Default)]
pub(super) struct Script {
    commands: String,
}

/// A batch that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The `ip` command cannot be started.
    #[error("the `ip` command of iproute2 cannot be started: {0}")]
    Start(#[from] io::Error),
    /// One of its commands was refused.
    #[error("`ip {command}` in {namespace}: {message}")]
    Refused {
        /// The command.
        command: String,
        /// Where.
        namespace: String,
        /// What `ip` said.
        message: String,
    },
}

impl Script {
    /// Adds a command, written without the leading `ip`.
    pub(super) fn add(&mut self, command: fmt::Arguments<'_>) {
        self.commands.push_str(&command.to_string());
        self.commands.push('\n');
    }

    /// Runs all commands in a namespace, or in ours.
    pub(super) fn run(&self, namespace: Option<&Namespace>) -> Result<(), Error> {
        if self.commands.is_empty() {
            return Ok(());
        }
        let mut ip = Command::new("ip");
        if let Some(namespace) = namespace {
            ip.args(["-n", namespace.name()]);
        }
        let mut child = ip
            .args(["-b", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // a batch that ends early closes the pipe; its exit status says more than EPIPE does
            let _exit_status_tells = stdin.write_all(self.commands.as_bytes());
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Error::Refused {
            command: failed_command(&said, &self.commands).to_owned(),
            namespace: namespace.map_or("this namespace", Namespace::name).to_owned(),
            message: said.lines().next().unwrap_or("no reason given").to_owned(),
        })
    }
}

/// `Command failed -:3` names the line.
fn failed_command<'a>(said: &str, commands: &'a str) -> &'a str {
    said.rsplit_once("-:")
        .and_then(|(_, line)| line.trim().parse::<usize>().ok())
        .and_then(|line| commands.lines().nth(line.checked_sub(1)?))
        .unwrap_or_else(|| commands.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failing_line_is_found_in_what_ip_says() {
        let commands = "link add a\nlink add b\n";
        let said = "RTNETLINK answers: File exists\nCommand failed -:2\n";
        assert_eq!(failed_command(said, commands), "link add b");
        assert_eq!(failed_command("nonsense", commands), "link add a");
    }
}
