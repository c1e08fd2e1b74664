//! What the audience sees: commands as they are typed, what they print, and headings between.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::lab::Lab;
use crate::run::Result;

/// The quickstart network, with everything shown that is done to it.
pub(super) struct Stage {
    pub(super) lab: Lab,
}

/// Pings that are on their way, one each 10 ms.
pub(super) struct Pings {
    process: std::process::Child,
    count: u32,
}

const INTERVAL: &str = "0.01";
/// So many of the last pings may be on their way when ping ends.
const TRAILING: u32 = 10;

impl Stage {
    /// Brings the network up.
    pub(super) fn set(weft: &Path, file: &Path) -> Result<Self> {
        typed("weft lab up labs/quickstart.toml");
        Ok(Self { lab: Lab::up(weft, file)? })
    }

    /// Runs a command in a node and shows both; gives what it printed.
    pub(super) fn show(&self, node: &str, words: &[&str]) -> Result<String> {
        typed(&shell_line(node, words));
        let text = self.lab.ask(node, words)?;
        print_indented(&text);
        Ok(text)
    }

    /// Runs a command in a node, shows the command, and of what it prints what `choose` keeps.
    pub(super) fn show_some(
        &self,
        node: &str,
        words: &[&str],
        choose: impl Fn(&str) -> bool,
    ) -> Result<String> {
        typed(&shell_line(node, words));
        let text = self.lab.ask(node, words)?;
        let chosen: Vec<&str> = text.lines().filter(|line| choose(line)).collect();
        print_indented(&chosen.join("\n"));
        Ok(text)
    }

    /// Breaks or repairs something, visibly.
    pub(super) fn act(&self, sentence: &str) -> Result {
        typed(&format!("weft lab do {sentence}"));
        self.lab.act(sentence)
    }

    /// Sends pings in the background.
    pub(super) fn ping_on(&self, from: &str, to: &str, count: u32) -> Result<Pings> {
        let number = count.to_string();
        let words = ["ping", "-n", "-D", "-i", INTERVAL, "-c", &number, to];
        typed(&format!("{} &", shell_line(from, &words)));
        let mut command = self.lab.exec(from, &words)?;
        let process = start(&mut command)?;
        Ok(Pings { process, count })
    }

    /// Asks until an answer in JSON is as wanted.
    pub(super) fn wait_for(
        &self,
        node: &str,
        words: &[&str],
        wanted: impl Fn(&Value) -> bool,
    ) -> Result {
        for _ in 0..60 {
            if wanted(&self.lab.json(node, words)?) {
                return Ok(());
            }
            sleep(Duration::from_millis(250));
        }
        Err(format!("`{}` in {node} does not become what it should", words.join(" ")))
    }
}

impl Pings {
    /// Waits for the last; gives the milliseconds of the longest row without an answer, and
    /// whether that row had an end.
    pub(super) fn longest_outage(self) -> Result<(u32, bool)> {
        let out = self.process.wait_with_output().map_err(|error| format!("ping: {error}"))?;
        let text = String::from_utf8_lossy(&out.stdout);
        let (last, outage) = longest_gap(&text).ok_or_else(|| format!("no ping came: {text}"))?;
        // an answer to one of the last shows that the end was not an outage
        Ok((outage, last + TRAILING >= self.count))
    }
}

/// Of what `ping -D` prints: the number of the last ping that was answered, and the milliseconds
/// between the answers around the longest row of pings that were not. Ping does not keep its
/// interval to the millisecond, so its clock counts and not its numbers.
fn longest_gap(text: &str) -> Option<(u32, u32)> {
    let answer = |line: &str| {
        let (_, after) = line.split_once("icmp_seq=")?;
        let number = after.split(' ').next()?.parse().ok()?;
        let time: f64 = line.strip_prefix('[')?.split_once(']')?.0.parse().ok()?;
        Some((number, time))
    };
    let answered = text.lines().filter(|line| line.contains("time="));
    let mut answers: Vec<(u32, f64)> = answered.filter_map(answer).collect();
    answers.sort_unstable_by_key(|(number, _)| *number);
    let gap = |pair: &[(u32, f64)]| match pair {
        [(before, began), (after, ended)] if *after > before + 1 => ended - began,
        _ => 0.0,
    };
    let longest = answers.windows(2).map(gap).fold(0.0, f64::max);
    let longest = Duration::from_micros(500) + Duration::try_from_secs_f64(longest).ok()?;
    Some((answers.last()?.0, longest.as_millis().try_into().ok()?))
}

fn start(command: &mut Command) -> Result<std::process::Child> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|error| format!("{command:?}: {error}"))
}

/// A chapter begins.
pub(super) fn heading(text: &str) {
    println!("\n{}", bold(&format!("\u{2500}\u{2500} {text}")));
}

/// What the audience should know.
pub(super) fn say(text: &str) {
    println!("{text}");
}

fn typed(line: &str) {
    println!("\n  {}", bold(&format!("$ {line}")));
    // what follows may take a moment, or come from another process
    let _is_gone = std::io::stdout().flush();
}

/// A command in a node as a user types it.
fn shell_line(node: &str, words: &[&str]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| {
            let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,".contains(c));
            if plain { (*word).to_owned() } else { format!("'{word}'") }
        })
        .collect();
    format!("weft lab exec {node} -- {}", quoted.join(" "))
}

fn print_indented(text: &str) {
    for line in text.trim_matches('\n').lines() {
        println!("  {line}");
    }
}

fn bold(text: &str) -> String {
    let colored = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if colored { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ping prints of these, sent 16 ms after each other.
    fn answers(numbers: &[u32]) -> String {
        let line = |n: &u32| {
            let time = 1_700_000_000.0 + f64::from(*n) * 0.016;
            format!("[{time:.6}] 64 bytes from 192.0.2.1: icmp_seq={n} ttl=60 time=0.1 ms\n")
        };
        numbers.iter().map(line).collect()
    }

    #[test]
    fn the_longest_row_of_lost_pings_is_the_outage() {
        assert_eq!(longest_gap(&answers(&[1, 2, 3, 4])), Some((4, 0)));
        assert_eq!(longest_gap(&answers(&[1, 2, 6, 7, 9])), Some((9, 64)));
        assert_eq!(longest_gap(&answers(&[2, 1, 3])), Some((3, 0)));
        let error = "[1.5] From 192.0.2.9 icmp_seq=1 Time to live exceeded\n";
        assert_eq!(longest_gap(error), None);
    }

    #[test]
    fn commands_are_shown_as_they_can_be_typed() {
        assert_eq!(shell_line("xtr1", &["weft", "status"]), "weft lab exec xtr1 -- weft status");
        assert_eq!(shell_line("h1", &["sh", "-c", "a b"]), "weft lab exec h1 -- sh -c 'a b'");
    }
}
