//! A lab that is up: its network, its processes, and what can be done to them. Whatever ends the
//! run, `down` leaves nothing behind but logs.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::Signal;

use crate::action::{Action, NodeChange};
use crate::capture::{self, Capture};
use crate::file;
use crate::network::{self, Namespace, Network};
use crate::process::{self, Answer, Process, Start, tail};
use crate::state::{self, Lock, State};
use crate::topology::{Kind, Node, Topology};
use crate::wait::{self, Interrupted};

/// How labs are run on this machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// The router under test.
    pub weft: PathBuf,
    /// Starts a wire when the path of its specification is added.
    pub wire: Vec<PathBuf>,
    /// The data plane its routers use where their configuration leaves it open, as `weft run
    /// --driver` takes it.
    pub data_plane: Option<String>,
    /// Record all links.
    pub record: bool,
    /// The lab stays up after the command that starts it.
    pub stays: bool,
}

/// One lab that is up.
#[derive(Debug)]
pub struct Lab {
    network: Network,
    directory: PathBuf,
    state: State,
    weft: PathBuf,
    recordings: Vec<Capture>,
    _lock: Lock,
}

/// A lab could not be brought up, changed or taken down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folder or state.
    #[error(transparent)]
    State(#[from] state::Error),
    /// Its network.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// One of its processes.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A recording.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// The user wants to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A process did not become ready.
    #[error("{node} {what}\n{}", log.join("\n"))]
    NotReady {
        /// The node.
        node: String,
        /// What it did instead.
        what: String,
        /// Its last words.
        log: Vec<String>,
    },
    /// A step of `do` failed.
    #[error("`{action}` failed: {why}")]
    Action {
        /// The step.
        action: String,
        /// Why.
        why: String,
    },
    /// It runs already.
    #[error("lab {0} is up; take it down first: weft lab down {0}")]
    AlreadyUp(String),
    /// Namespaces and raw sockets need rights.
    #[error("labs need root: they make network namespaces")]
    NotRoot,
}

/// The folder, within that of the lab, in which routers pin what they keep.
const PINS: &str = "bpf";

/// How long a process may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// How long a router may take to answer before it is asked again.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// How long a process may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How long one command may take.
pub(crate) const COMMAND_LIMIT: Duration = Duration::from_secs(10);

impl Lab {
    /// Brings a lab up. If that fails, what was there already is taken down again.
    pub fn up(topology: Topology, options: &Options) -> Result<Self, Error> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        let lock = Lock::take(&topology.name)?;
        if State::load(&topology.name).is_some_and(|state| state.stays) {
            return Err(Error::AlreadyUp(topology.name));
        }
        clean_up(&topology.name)?;
        let directory = state::fresh_directory(&topology.name)?;
        let state = State {
            lab: topology.name.clone(),
            file: topology.file.clone(),
            text: topology.text.clone(),
            stays: options.stays,
            data_plane: options.data_plane.clone(),
            runner: Process::this(),
            nodes: [].into(),
            wires: [].into(),
        };
        let network = Network::of(Arc::new(topology), &directory);
        let weft = options.weft.clone();
        let mut lab = Self { network, directory, state, weft, recordings: Vec::new(), _lock: lock };
        match lab.bring_up(options) {
            Ok(()) => Ok(lab),
            Err(error) => {
                lab.down(true)?;
                Err(error)
            }
        }
    }

    /// The lab of that name, which another command brought up.
    pub fn attach(name: &str, weft: PathBuf) -> Result<Option<Self>, Error> {
        let lock = Lock::take(name)?;
        let Some((network, state)) = open(name) else { return Ok(None) };
        let directory = State::directory(name);
        Ok(Some(Self { network, directory, state, weft, recordings: Vec::new(), _lock: lock }))
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The lab as it is written.
    pub fn topology(&self) -> &Topology {
        self.network.topology()
    }

    /// Where logs and recordings are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes everything down. Logs stay if they are wanted.
    pub fn down(self, keep_logs: bool) -> Result<(), Error> {
        for recording in self.recordings {
            // what was recorded until an interface went away is all there is
            let _ended_early = recording.finish();
        }
        clean_up(&self.state.lab)?;
        if !keep_logs {
            state::remove_directory(&self.directory);
        }
        Ok(())
    }

    /// Does one step of `do`.
    pub fn perform(&mut self, action: &Action) -> Result<(), Error> {
        match action {
            Action::Link { link, change } => Ok(self.network.change_link(link, change)?),
            Action::Node { node, change } => self.change_node(node, *change),
            Action::Run { node, command } => self.run_successfully(node, command, action),
            Action::Address { node, link, add, address } => {
                Ok(self.network.change_address(node, link, *add, *address)?)
            }
            Action::Wait(time) => Ok(wait::pass(*time)?),
        }
    }

    /// Runs a shell command in a node.
    pub fn run(&self, node: &str, command: &str, limit: Duration) -> Result<Answer, Error> {
        let words = ["sh", "-c", command].map(OsString::from).to_vec();
        Ok(self.start_in(node, words).run(limit)?)
    }

    /// A process in a node, not started yet.
    pub fn start_in(&self, node: &str, words: Vec<OsString>) -> Start {
        start_in(&self.network, &self.directory, node, words)
    }

    /// Saves what each router says about itself; gives the names of the files.
    pub fn save_status(&self) -> Vec<PathBuf> {
        let weft_nodes = self.topology().nodes.iter().filter(|node| {
            matches!(node.kind, Kind::Weft { .. }) && self.state.nodes.contains_key(&node.name)
        });
        weft_nodes
            .filter_map(|node| {
                let answer = self.run(&node.name, "weft status --json", COMMAND_LIMIT / 5).ok()?;
                let path = self.directory.join(format!("{}.status.json", node.name));
                let text = if answer.stdout.is_empty() { answer.stderr } else { answer.stdout };
                fs::write(&path, text).ok()?;
                Some(path)
            })
            .collect()
    }

    fn bring_up(&mut self, options: &Options) -> Result<(), Error> {
        self.state.save()?;
        self.write_files()?;
        mount_pins(&self.directory);
        let network = self.network.clone();
        network.build(&options.wire, |link, wire| {
            self.state.wires.insert(link.to_owned(), wire);
            self.state.save().map_err(|error| network::Error::Wire {
                link: link.to_owned(),
                message: error.to_string(),
            })
        })?;
        let record_all = options.record;
        let topology = self.topology();
        let recorded: Vec<String> = topology
            .links
            .iter()
            .map(|link| link.name.clone())
            .filter(|link| record_all || topology.record.contains(link))
            .collect();
        for link in recorded {
            let path = self.directory.join(format!("{link}.pcap"));
            self.recordings.push(Capture::start(&self.network, &link, &path)?);
        }
        let nodes: Vec<String> = self.processes().map(|node| node.name.clone()).collect();
        for node in &nodes {
            self.start(node)?;
        }
        nodes.iter().try_for_each(|node| self.wait_ready(node))
    }

    /// The nodes in which a process runs.
    fn processes(&self) -> impl Iterator<Item = &Node> {
        let runs = |node: &&Node| matches!(node.kind, Kind::Weft { .. } | Kind::Command { .. });
        self.topology().nodes.iter().filter(runs)
    }

    /// A folder for each node with its configuration and files, and `weft` where commands find it.
    fn write_files(&self) -> Result<(), Error> {
        let failed = |path: &Path, source| state::Error::File { path: path.to_owned(), source };
        let binaries = self.directory.join("bin");
        fs::create_dir(&binaries).map_err(|source| failed(&binaries, source))?;
        std::os::unix::fs::symlink(&self.weft, binaries.join("weft"))
            .map_err(|source| failed(&binaries, source))?;
        for node in &self.topology().nodes {
            let folder = self.directory.join(&node.name);
            fs::create_dir_all(folder.join("state")).map_err(|source| failed(&folder, source))?;
            let config = match &node.kind {
                Kind::Weft { config } => Some(("weft.toml", config)),
                _ => None,
            };
            let files = node.files.iter().map(|(name, text)| (name.as_str(), text));
            for (name, text) in config.into_iter().chain(files) {
                let path = folder.join(name);
                fs::write(&path, text).map_err(|source| failed(&path, source))?;
            }
        }
        Ok(())
    }

    fn start(&mut self, name: &str) -> Result<(), Error> {
        let Some(node) = self.topology().node(name) else { return Ok(()) };
        let words: Vec<OsString> = match &node.kind {
            Kind::Weft { .. } => self.router_words(name),
            Kind::Command { command, .. } => vec!["sh".into(), "-c".into(), command.into()],
            Kind::Host | Kind::Router => return Ok(()),
        };
        let mut start = self.start_in(name, words);
        start.log = self.directory.join(format!("{name}.log"));
        let process = start.spawn()?;
        self.state.nodes.insert(name.to_owned(), process);
        Ok(self.state.save()?)
    }

    /// A router cleans up when it stops, unless its configuration says otherwise.
    fn router_words(&self, name: &str) -> Vec<OsString> {
        let folder = self.directory.join(name);
        let mut words: Vec<OsString> = vec![self.weft.clone().into(), "run".into()];
        for (option, value) in [
            ("--config", folder.join("weft.toml")),
            ("--socket", folder.join("weft.sock")),
            ("--state", folder.join("state")),
            ("--pin-path", self.directory.join(PINS)),
            ("--on-exit", "clean".into()),
        ] {
            words.extend([option.into(), value.into()]);
        }
        if let Some(data_plane) = &self.state.data_plane {
            words.extend(["--driver".into(), data_plane.into()]);
        }
        words
    }

    fn wait_ready(&self, name: &str) -> Result<(), Error> {
        let Some(process) = self.state.nodes.get(name) else { return Ok(()) };
        let mut ended = None;
        let ready = wait::until(READY_LIMIT, || {
            ended = process.ended();
            if ended.is_some() { Some(()) } else { self.is_ready(name).then_some(()) }
        })?;
        let what = match (ended, ready) {
            (None, Some(())) => return Ok(()),
            (Some(ended), _) => ended,
            (None, None) => format!("is not ready after {READY_LIMIT:?}"),
        };
        let log = tail(&self.directory.join(format!("{name}.log")), 8);
        Err(Error::NotReady { node: name.to_owned(), what, log })
    }

    fn is_ready(&self, name: &str) -> bool {
        match self.topology().node(name).map(|node| &node.kind) {
            Some(Kind::Weft { .. }) => answers(&self.directory.join(name).join("weft.sock")),
            Some(Kind::Command { ready: Some(ready), .. }) => {
                self.run(name, ready, COMMAND_LIMIT).is_ok_and(|answer| answer.exit == Some(0))
            }
            _ => true,
        }
    }

    fn change_node(&mut self, node: &str, change: NodeChange) -> Result<(), Error> {
        match change {
            NodeChange::Restart => {
                self.stop(node)?;
                self.start(node)?;
                self.wait_ready(node)
            }
            NodeChange::Start => {
                self.start(node)?;
                self.wait_ready(node)
            }
            NodeChange::Stop => self.stop(node),
            NodeChange::Kill => match self.state.nodes.remove(node) {
                Some(process) => Ok(process.kill()?),
                None => Ok(()),
            },
            NodeChange::Reload => self.reload(node),
        }
    }

    fn stop(&mut self, node: &str) -> Result<(), Error> {
        if let Some(process) = self.state.nodes.remove(node) {
            process.stop(STOP_LIMIT)?;
            self.state.save()?;
        }
        Ok(())
    }

    fn reload(&self, node: &str) -> Result<(), Error> {
        let action = Action::Node { node: node.to_owned(), change: NodeChange::Reload };
        if matches!(self.topology().node(node).map(|node| &node.kind), Some(Kind::Weft { .. })) {
            return self.run_successfully(node, "weft config reload", &action);
        }
        let Some(process) = self.state.nodes.get(node) else {
            let why = "it does not run".to_owned();
            return Err(Error::Action { action: action.to_string(), why });
        };
        process.signal(Signal::SIGHUP);
        Ok(())
    }

    fn run_successfully(&self, node: &str, command: &str, action: &Action) -> Result<(), Error> {
        let answer = self.run(node, command, COMMAND_LIMIT)?;
        if answer.exit == Some(0) {
            return Ok(());
        }
        let said = if answer.stderr.trim().is_empty() { answer.stdout } else { answer.stderr };
        Err(Error::Action { action: action.to_string(), why: said.trim().to_owned() })
    }
}

/// The network and state of a lab that another command brought up, only to look at it.
pub fn open(name: &str) -> Option<(Network, State)> {
    let state = State::load(name)?;
    let mut topology = file::parse(&state.file, &state.text, false).ok()?.into_iter().next()?;
    topology.name.clone_from(&state.lab);
    Some((Network::of(Arc::new(topology), &State::directory(name)), state))
}

/// True when a router answers at its socket. It listens there before it forwards, and answers
/// when it does.
fn answers(socket: &Path) -> bool {
    let ask = || -> io::Result<usize> {
        let mut router = UnixStream::connect(socket)?;
        router.set_read_timeout(Some(ANSWER_LIMIT))?;
        router.write_all(b"{\"request\":\"interface\"}\n")?;
        router.read(&mut [0; 1])
    };
    ask().is_ok_and(|read| read > 0)
}

/// A BPF file system for what routers keep while they are restarted. It has to be mounted here:
/// what a node mounts goes with the node's process. Without one they keep nothing.
fn mount_pins(directory: &Path) {
    let pins = directory.join(PINS);
    let _kernel_without_bpf = fs::create_dir(&pins).is_ok()
        && mount(Some("bpf"), &pins, Some("bpf"), MsFlags::empty(), None::<&str>).is_ok();
}

/// A process in a node of a lab, not started yet: `weft` is found and talks to the node's router.
pub fn start_in(network: &Network, directory: &Path, node: &str, words: Vec<OsString>) -> Start {
    let mut start = Start::new(&network.namespace(node), node);
    let folder = directory.join(node);
    let mut path = directory.join("bin").into_os_string();
    if let Some(usual) = std::env::var_os("PATH") {
        path.push(":");
        path.push(usual);
    }
    start.environment = vec![
        ("PATH".into(), path),
        ("WEFT_SOCKET".into(), folder.join("weft.sock").into()),
        ("STATE_DIRECTORY".into(), folder.join("state").into()),
        ("RUNTIME_DIRECTORY".into(), folder.clone().into()),
    ];
    if let Some(node) = network.topology().node(node) {
        let own = node.environment.iter();
        start.environment.extend(own.map(|(key, value)| (key.into(), value.into())));
    }
    start.words = words;
    // links have no folder of their own
    start.directory = if folder.is_dir() { folder } else { directory.to_owned() };
    start
}

/// Ends what is left of a lab, whoever started it, and removes its namespaces.
pub fn clean_up(name: &str) -> Result<(), Error> {
    if let Some(state) = State::load(name) {
        let processes = || state.nodes.values().chain(state.wires.values());
        // ask all at once, so that they end at the same time
        processes().for_each(|process| process.signal(Signal::SIGTERM));
        for process in processes() {
            process.stop(STOP_LIMIT)?;
        }
    }
    Network::remove(name)?;
    let _was_not_mounted = umount(&State::directory(name).join(PINS));
    State::forget(name);
    Ok(())
}

/// Takes a lab down that another command brought up or left behind, with all its logs.
pub fn take_down(name: &str) -> Result<(), Error> {
    let _lock = Lock::take(name)?;
    clean_up(name)?;
    state::remove_directory(&State::directory(name));
    Ok(())
}

/// The names of all labs that are up or left something behind.
pub fn known() -> Vec<String> {
    let mut names: Vec<String> = State::all().into_iter().map(|state| state.lab).collect();
    for namespace in Namespace::with_prefix("weft-") {
        let lab = namespace.name().strip_prefix("weft-").and_then(|name| name.split_once('.'));
        if let Some((lab, _)) = lab.filter(|(lab, _)| !names.iter().any(|name| name == lab)) {
            names.push(lab.to_owned());
        }
    }
    names
}
