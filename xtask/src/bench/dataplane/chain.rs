//! A network that is up while it is measured.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::network::{FILLED_DEVICE, Network, Routers};
use crate::bench::Tools;
use crate::janitor::Janitor;
use crate::run::{Result, output, run};
use crate::setup;

/// Where h2 is.
pub(super) const FAR: &str = "10.2.0.2";

/// A router: its node, what is behind it, its address on the underlay, and the same of the other.
struct Site {
    node: &'static str,
    eid: &'static str,
    rloc: &'static str,
    remote_eid: &'static str,
    remote_rloc: &'static str,
}

const SITES: [Site; 2] = [
    Site {
        node: "x1",
        eid: "10.1.0.0/24",
        rloc: "192.0.2.1",
        remote_eid: "10.2.0.0/16",
        remote_rloc: "192.0.2.2",
    },
    Site {
        node: "x2",
        eid: "10.2.0.0/16",
        rloc: "192.0.2.2",
        remote_eid: "10.1.0.0/24",
        remote_rloc: "192.0.2.1",
    },
];

/// Where `chain.sh` mounts a BPF file system, in which forwarding outlives a router.
const PINS: &str = "bpf";

/// A network that is up; dropping it removes it.
pub(super) struct Chain {
    pub(super) network: Network,
    /// Configuration, logs and state of its routers.
    folder: PathBuf,
    weft: PathBuf,
    bench: PathBuf,
    /// What the routers of a filled table say of it, x1 first.
    pub(super) filled: Vec<Value>,
    _janitor: Janitor,
}

impl Chain {
    /// Builds the network, starts the routers, and waits until the hosts reach each other.
    pub(super) fn up(network: Network, tools: &Tools) -> Result<Self> {
        // a janitor that is let go at once removes what a killed run left behind
        let (prefix, folder) = (network.prefix(), tools.folder.join(network.prefix()));
        drop(Janitor::hire(&removal(&prefix, &folder))?);
        let janitor = Janitor::hire(&removal(&prefix, &folder))?;
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let routers = match network.routers {
            Routers::Kernel(name) => name,
            Routers::Weft { .. } | Routers::Filled { .. } => "weft",
        };
        let wire = if network.wire { "wire" } else { "" };
        let mut build = setup::as_root(Path::new("sh"))?;
        build.args(["-c", include_str!("chain.sh"), "sh", &prefix, routers, wire]).arg(&folder);
        run(&mut build)?;
        let mut chain = Self {
            network,
            folder,
            weft: tools.weft.clone(),
            bench: tools.bench.clone(),
            filled: Vec::new(),
            _janitor: janitor,
        };
        let mut started = chain.start_routers()?;
        chain.wait_until_reached(&mut started)?;
        chain.check_driver()?;
        // one server for all measurements; it ends with the network
        let mut server = chain.inside("h2", &["iperf3", "--server", "--bind", FAR])?;
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        server.spawn().map_err(|error| format!("iperf3: {error}"))?;
        Ok(chain)
    }

    /// A command in a node, not started yet.
    pub(super) fn inside(&self, node: &str, words: &[&str]) -> Result<Command> {
        let mut command = setup::as_root(Path::new("ip"))?;
        command.args(["netns", "exec", &self.namespace(node)]).args(words);
        Ok(command)
    }

    /// A process in a node that goes on.
    pub(super) fn spawn(&self, node: &str, words: &[&str], out: Stdio) -> Result<Child> {
        let mut command = self.inside(node, words)?;
        command.stdin(Stdio::null()).stdout(out);
        command.spawn().map_err(|error| format!("{}: {error}", words.join(" ")))
    }

    /// What weft's generator is called.
    pub(super) fn generator(&self) -> String {
        self.bench.to_string_lossy().into_owned()
    }

    /// A counter of an interface, by its name in sysfs.
    pub(super) fn count(&self, node: &str, interface: &str, counter: &str) -> Result<f64> {
        let file = format!("/sys/class/net/{interface}/statistics/{counter}");
        let text = output(&mut self.inside(node, &["cat", &file])?)?;
        text.trim().parse().map_err(|_| format!("{node}: {file}: {text}"))
    }

    /// Starts `weft run` in x1 or x2.
    pub(super) fn start_router(&self, node: &str) -> Result<Child> {
        self.start_router_of(node, &self.weft)
    }

    /// The same of another binary.
    pub(super) fn start_router_of(&self, node: &str, weft: &Path) -> Result<Child> {
        let Routers::Weft { driver, encapsulation, joins_plain } = self.network.routers else {
            return Err(format!("{} has no routers of ours", self.network.title));
        };
        let site = SITES.iter().find(|site| site.node == node).ok_or("no such router")?;
        // a tun router needs none, and one of before eBPF knows none
        let pins = match driver {
            "ebpf" => format!("pin-path = \"{}\"", self.folder.join(PINS).display()),
            _ => String::new(),
        };
        let join = if joins_plain { "join-plain-lisp = [\"u0\"]" } else { "" };
        let config = include_str!("xtr.toml")
            .replace("PINS", &pins)
            .replace("JOIN", join)
            .replace("DRIVER", driver)
            .replace("ENCAPSULATION", encapsulation)
            .replace("LOCAL-EID", site.eid)
            .replace("REMOTE-EID", site.remote_eid)
            .replace("REMOTE-RLOC", site.remote_rloc);
        let file = self.file(node, "toml");
        fs::write(&file, config).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut command = self.inside(node, &[&weft.to_string_lossy(), "run"])?;
        command.arg("--config").arg(file).arg("--socket").arg(self.file(node, "sock"));
        command.arg("--state").arg(self.file(node, "state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log(node)?);
        command.spawn().map_err(|error| format!("weft: {error}"))
    }

    /// A copy of the binary, as an upgrade puts one beside it.
    pub(super) fn next_binary(&self) -> Result<PathBuf> {
        let folder = self.folder.join("next");
        let next = folder.join("weft");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::copy(&self.weft, &next))
            .map_err(|error| format!("{}: {error}", next.display()))?;
        Ok(next)
    }

    /// The process of `weft run` in a node.
    pub(super) fn router_pid(&self, node: &str) -> Result<String> {
        let mut pids = setup::as_root(Path::new("ip"))?;
        let pids = output(pids.args(["netns", "pids", &self.namespace(node)]))?;
        let is_weft = |pid: &&str| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "weft")
        };
        let pid = pids.lines().find(is_weft).map(str::to_owned);
        pid.ok_or_else(|| format!("no router runs in {node}"))
    }

    /// What `weft status` says of the data plane in a node.
    pub(super) fn data_plane(&self, node: &str) -> Result<Value> {
        let weft = self.weft.to_string_lossy();
        let mut status = self.inside(node, &[&weft, "status", "--json", "--socket"])?;
        // a router that is not healthy yet has an answer too
        let told = status.arg(self.file(node, "sock")).output();
        let told = told.map_err(|error| format!("weft status: {error}"))?;
        let status: Value = serde_json::from_slice(&told.stdout)
            .map_err(|error| format!("weft status: {error}"))?;
        Ok(status["summary"]["data-plane"].clone())
    }

    fn start_routers(&mut self) -> Result<Vec<(&'static str, Child)>> {
        let mut started = Vec::new();
        for site in &SITES {
            match self.network.routers {
                Routers::Kernel(_) => {}
                Routers::Weft { .. } => started.push((site.node, self.start_router(site.node)?)),
                Routers::Filled { prefixes } => {
                    started.push((site.node, self.fill(site, prefixes)?));
                }
            }
        }
        Ok(started)
    }

    /// Starts the eBPF data plane alone, and waits until its table is full.
    fn fill(&mut self, site: &Site, prefixes: u32) -> Result<Child> {
        let (bench, prefixes) = (self.generator(), prefixes.to_string());
        let words = [&bench, "fill", FILLED_DEVICE, site.rloc, site.remote_rloc, site.eid];
        let mut command = self.inside(site.node, &words)?;
        command.args([site.remote_eid, &prefixes, "h0", "u0"]).arg(self.folder.join(PINS));
        command.stderr(self.log(site.node)?).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{bench} fill: {error}"))?;
        let mut line = String::new();
        let said = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        if !matches!(said, Some(Ok(length)) if length > 0) {
            return Err(self.last_words(site.node));
        }
        let value =
            serde_json::from_str(&line).map_err(|error| format!("fill: {error}: {line}"))?;
        self.filled.push(value);
        let route = ["ip", "route", "replace", site.remote_eid, "dev", FILLED_DEVICE];
        run(&mut self.inside(site.node, &route)?)?;
        Ok(child)
    }

    fn wait_until_reached(&self, started: &mut [(&'static str, Child)]) -> Result {
        for _ in 0..40 {
            for (node, router) in started.iter_mut() {
                if matches!(router.try_wait(), Ok(Some(_))) {
                    return Err(self.last_words(node));
                }
            }
            let mut ping = self.inside("h1", &["ping", "-q", "-c", "1", "-W", "1", FAR])?;
            if ping.stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(250));
        }
        Err(format!("h1 does not reach h2; logs are in {}", self.folder.display()))
    }

    /// Whoever measures one data plane for another measures nothing.
    fn check_driver(&self) -> Result {
        let Routers::Weft { driver, .. } = self.network.routers else { return Ok(()) };
        for site in &SITES {
            let plane = self.data_plane(site.node)?;
            if plane["driver"] != driver {
                return Err(format!("{} runs another data plane: {plane}", site.node));
            }
        }
        Ok(())
    }

    /// Why a router did not stay.
    fn last_words(&self, node: &str) -> String {
        let log = fs::read_to_string(self.file(node, "log")).unwrap_or_default();
        let said = || log.lines().rev().filter(|line| !line.trim().is_empty());
        let last = said().find(|line| line.starts_with("error")).or_else(|| said().next());
        format!("the router in {node} ended: {}", last.unwrap_or("without a word"))
    }

    fn log(&self, node: &str) -> Result<fs::File> {
        let path = self.file(node, "log");
        fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&path)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn file(&self, node: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{node}.{ending}"))
    }

    fn namespace(&self, node: &str) -> String {
        format!("{}-{node}", self.network.prefix())
    }
}

/// The script that removes a chain and what runs in it.
fn removal(prefix: &str, folder: &Path) -> String {
    let script = include_str!("chain_down.sh");
    format!("name={prefix}\nfolder='{}'\n{script}", folder.display())
}
