//! A network of the lab runner that is up while we work in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::janitor::Janitor;
use crate::run::{Result, output, run};
use crate::setup;

/// A lab that `weft lab up` brought up; dropping it takes it down.
pub(crate) struct Lab {
    weft: PathBuf,
    name: String,
    _janitor: Janitor,
}

impl Lab {
    /// Brings up the lab of a file. The lab's name is the file's.
    pub(crate) fn up(weft: &Path, file: &Path) -> Result<Self> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut up = setup::as_root(weft)?;
        // cleans up after itself when it fails; a lab of that name that was up before stays
        run(up.args(["lab", "up"]).arg(file).stdout(Stdio::null()))?;
        // a command that was interrupted with us may hold the lab for another moment
        let down = format!("'{}' lab down {name} >/dev/null 2>&1", weft.display());
        let script = format!("for _ in 1 2 3 4 5; do {down} && break; sleep 1; done");
        let janitor = Janitor::hire(&script)?;
        Ok(Self { weft: weft.to_owned(), name, _janitor: janitor })
    }

    /// A command in a node, not started yet.
    pub(crate) fn exec(&self, node: &str, words: &[&str]) -> Result<Command> {
        let mut command = setup::as_root(&self.weft)?;
        command.args(["lab", "--lab", &self.name, "exec", node, "--"]).args(words);
        Ok(command)
    }

    /// What a command in a node prints; fails unless it says success.
    pub(crate) fn ask(&self, node: &str, words: &[&str]) -> Result<String> {
        output(&mut self.exec(node, words)?)
    }

    /// Breaks or repairs something, in the words of `do` in lab files.
    pub(crate) fn act(&self, sentence: &str) -> Result {
        let mut command = setup::as_root(&self.weft)?;
        run(command.args(["lab", "--lab", &self.name, "do"]).args(sentence.split(' ')))
    }

    /// The namespace of a node.
    pub(crate) fn namespace(&self, node: &str) -> String {
        format!("weft-{}.{node}", self.name)
    }

    /// A number in what a command in a node prints as JSON.
    pub(crate) fn number(&self, node: &str, words: &[&str], path: &str) -> Result<f64> {
        let answer = self.json(node, words)?;
        answer.pointer(path).and_then(Value::as_f64).ok_or_else(|| format!("no {path} in {answer}"))
    }

    /// What a command in a node prints as JSON.
    pub(crate) fn json(&self, node: &str, words: &[&str]) -> Result<Value> {
        let text = self.ask(node, words)?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}: {text}", words.join(" ")))
    }

    /// Waits until the Map-Server of the quickstart network knows every EID-prefix.
    pub(crate) fn wait_until_registered(&self) -> Result {
        for _ in 0..60 {
            let sites = self.json("ms", &["weft", "map-server", "site", "--json"])?;
            let sites = sites["items"].as_array().cloned().unwrap_or_default();
            if !sites.is_empty() && sites.iter().all(|site| site["registered"] == true) {
                return Ok(());
            }
            sleep(Duration::from_millis(250));
        }
        Err("the sites do not register".into())
    }

    /// Pings from a node; gives how many were sent, and how many answered.
    pub(crate) fn ping(&self, from: &str, to: &str, count: u32) -> Result<(u32, u32)> {
        let count = count.to_string();
        let words = ["ping", "-n", "-q", "-c", &count, "-i", "0.2", "-W", "2", to];
        let out = self.exec(from, &words)?.output().map_err(|error| format!("ping: {error}"))?;
        let text = String::from_utf8_lossy(&out.stdout);
        let summary = text.lines().find(|line| line.contains("packets transmitted"));
        let numbers = summary.unwrap_or_default().split_whitespace();
        let numbers: Vec<u32> = numbers.filter_map(|word| word.parse().ok()).collect();
        match numbers.as_slice() {
            [sent, received, ..] => Ok((*sent, *received)),
            _ => Err(format!("ping said nothing: {text}")),
        }
    }
}
