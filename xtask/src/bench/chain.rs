//! The networks of the data-plane group: the same two hosts and two routers three times.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::Tools;
use crate::janitor::Janitor;
use crate::run::{Result, run};
use crate::setup;

/// What the routers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Plain,
    Vxlan,
    Tun,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Vxlan, Self::Tun];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Vxlan => "vxlan",
            Self::Tun => "tun",
        }
    }
}

/// A chain that is up; dropping it removes it.
pub(super) struct Chain {
    pub(super) kind: Kind,
    _janitor: Janitor,
}

/// Where h2 is.
pub(super) const FAR: &str = "10.2.0.2";

/// Static mappings: nobody else is on the wire between the routers.
const CONFIGS: [(&str, &str); 2] =
    [("x1", include_str!("x1.toml")), ("x2", include_str!("x2.toml"))];

impl Chain {
    /// Builds the network, starts the routers, and waits until the hosts reach each other.
    pub(super) fn up(kind: Kind, tools: &Tools) -> Result<Self> {
        // a janitor that is let go at once removes what a killed run left behind
        drop(Janitor::hire(&removal(kind))?);
        let janitor = Janitor::hire(&removal(kind))?;
        let mut build = setup::as_root(Path::new("sh"))?;
        build.args(["-c", include_str!("chain.sh"), "sh", &prefix(kind), kind.name()]);
        run(&mut build)?;
        let chain = Self { kind, _janitor: janitor };
        if kind == Kind::Tun {
            for (node, config) in CONFIGS {
                chain.start_router(node, config, tools)?;
            }
        }
        chain.wait_until_reached(tools)?;
        // one server for all measurements; it ends with the network
        let mut server = chain.inside("h2", &["iperf3", "--server", "--bind", FAR])?;
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        server.spawn().map_err(|error| format!("iperf3: {error}"))?;
        Ok(chain)
    }

    /// A command in a node, not started yet.
    pub(super) fn inside(&self, node: &str, words: &[&str]) -> Result<Command> {
        let mut command = setup::as_root(Path::new("ip"))?;
        command.args(["netns", "exec", &format!("{}-{node}", prefix(self.kind))]).args(words);
        Ok(command)
    }

    /// A process in a node that goes on.
    pub(super) fn spawn(&self, node: &str, words: &[&str], out: Stdio) -> Result<Child> {
        let mut command = self.inside(node, words)?;
        command.stdin(Stdio::null()).stdout(out);
        command.spawn().map_err(|error| format!("{}: {error}", words.join(" ")))
    }

    fn start_router(&self, node: &str, config: &str, tools: &Tools) -> Result {
        let file = |ending: &str| tools.folder.join(format!("{node}.{ending}"));
        let written = |path: &PathBuf, text: &str| {
            fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        written(&file("toml"), config)?;
        let log = fs::File::create(file("log")).map_err(|error| format!("log: {error}"))?;
        let weft = tools.weft.to_string_lossy();
        let mut command = self.inside(node, &[&weft, "run"])?;
        command.arg("--config").arg(file("toml")).arg("--socket").arg(file("sock"));
        command.arg("--state").arg(file("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map_err(|error| format!("weft: {error}"))?;
        Ok(())
    }

    fn wait_until_reached(&self, tools: &Tools) -> Result {
        for _ in 0..40 {
            let mut ping = self.inside("h1", &["ping", "-q", "-c", "1", "-W", "1", FAR])?;
            if ping.stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(250));
        }
        let logs = tools.folder.display();
        Err(format!("{}: h1 does not reach h2; logs are in {logs}", self.kind.name()))
    }
}

fn prefix(kind: Kind) -> String {
    format!("weft-bench-{}", kind.name())
}

/// The script that removes a chain and what runs in it.
fn removal(kind: Kind) -> String {
    format!("name={}\n{}", prefix(kind), include_str!("chain_down.sh"))
}
