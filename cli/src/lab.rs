//! `weft lab`: networks of routers in namespaces of this machine.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use weft_lab::action::Action;
use weft_lab::capture::Capture;
use weft_lab::lab::{self, Options};
use weft_lab::network::Network;
use weft_lab::report::Printer;
use weft_lab::state::{self, State};
use weft_lab::{file, graph, test, wait, wire};

use crate::exit::{CONFIG, DENIED, End, NO, Outcome, USAGE};

/// `weft lab`
#[derive(Debug, Args)]
pub(crate) struct Lab {
    #[command(subcommand)]
    verb: Verb,
    /// The router to run in the labs, instead of this program.
    #[arg(long, global = true, env = "WEFT_BIN", value_name = "PATH")]
    weft: Option<PathBuf>,
    /// Which lab, when several are up.
    #[arg(long = "lab", global = true, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring labs up, run their checks, take them down.
    Test {
        /// Lab files.
        #[arg(required_unless_present = "all", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// All lab files of a folder.
        #[arg(long, value_name = "DIR", conflicts_with = "files")]
        all: Option<PathBuf>,
        /// Print one JSON object with every figure.
        #[arg(long)]
        json: bool,
        /// The data plane of routers whose configuration leaves it open.
        #[arg(long, value_name = "DRIVER", value_parser = ["ebpf", "tun"])]
        data_plane: Option<String>,
        /// Leave the labs up afterwards.
        #[arg(long)]
        keep: bool,
        /// Record every link; the recordings are kept.
        #[arg(long)]
        record: bool,
    },
    /// Read lab files and say everything that is wrong with them.
    Check {
        /// Lab files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Bring a lab up and leave it up.
    Up {
        /// The lab file.
        file: PathBuf,
        /// The data plane of routers whose configuration leaves it open.
        #[arg(long, value_name = "DRIVER", value_parser = ["ebpf", "tun"])]
        data_plane: Option<String>,
    },
    /// Take a lab down. Also removes what a crash left behind.
    Down {
        /// Which, when several are up.
        lab: Option<String>,
        /// All labs of this machine, whoever brought them up.
        #[arg(long, conflicts_with = "lab")]
        all: bool,
    },
    /// The labs that are up, with their nodes.
    #[command(visible_alias = "list")]
    Status,
    /// A shell in a node; `weft` there talks to its router.
    Shell {
        /// The node, or LAB/NODE.
        node: String,
    },
    /// Run a command in a node.
    Exec {
        /// The node, or LAB/NODE.
        node: String,
        /// The command.
        #[arg(required = true, last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Break or repair something, in the words of `do` in lab files.
    Do {
        /// Such as: link core down xtr1
        #[arg(required = true, num_args = 1.., value_name = "WORDS")]
        words: Vec<String>,
    },
    /// Show the packets of a link or node, or write them to a file.
    Capture {
        /// The link or node.
        on: String,
        /// A pcap filter, when packets are shown.
        filter: Vec<String>,
        /// Write a pcap file instead; `-` is the standard output.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// What a node's process has logged.
    Logs {
        /// The node, or LAB/NODE.
        node: String,
        /// Go on as it grows.
        #[arg(long, short)]
        follow: bool,
    },
    /// Draw a lab.
    Graph {
        /// A lab file, or the name of a lab that is up.
        lab: String,
        /// For Graphviz.
        #[arg(long)]
        dot: bool,
    },
    /// Be a wire.
    #[command(hide = true)]
    Wire {
        /// What the runner wrote.
        specification: PathBuf,
    },
}

/// Runs `weft lab`.
pub(crate) fn run(lab: Lab) -> Outcome {
    let Lab { verb, weft, name } = lab;
    let name = name.as_deref();
    match verb {
        Verb::Test { files, all, json, data_plane, keep, record } => {
            let options = Options { data_plane, stays: keep, record, ..options(weft)? };
            test_labs(files, all.as_deref(), json, &options)
        }
        Verb::Check { files } => check(&files),
        Verb::Up { file, data_plane } => {
            up(&file, &Options { data_plane, stays: true, ..options(weft)? })
        }
        Verb::Down { lab, all } => down(lab.as_deref().or(name), all),
        Verb::Status => {
            status();
            Ok(())
        }
        Verb::Shell { node } => shell(name, &node),
        Verb::Exec { node, command } => exec(name, &node, command),
        Verb::Do { words } => act(name, &words.join(" "), options(weft)?.weft),
        Verb::Capture { on, filter, output } => capture(name, &on, &filter, output.as_deref()),
        Verb::Logs { node, follow } => logs(name, &node, follow),
        Verb::Graph { lab, dot } => draw(&lab, dot),
        Verb::Wire { specification } => wire::run(&specification).map_err(failed),
    }
}

fn options(weft: Option<PathBuf>) -> Result<Options, End> {
    let this = std::env::current_exe().map_err(failed)?;
    let weft = match weft {
        Some(path) => path
            .canonicalize()
            .map_err(|error| End::new(USAGE, format!("cannot find {}: {error}", path.display())))?,
        None => this.clone(),
    };
    let wire = vec![this, "lab".into(), "wire".into()];
    Ok(Options { weft, wire, data_plane: None, record: false, stays: false })
}

fn test_labs(
    mut files: Vec<PathBuf>,
    all: Option<&Path>,
    json: bool,
    options: &Options,
) -> Outcome {
    if let Some(folder) = all {
        files = test::files_in(folder)
            .map_err(|error| End::new(USAGE, format!("{}: {error}", folder.display())))?;
    }
    let color = colored();
    let out: Box<dyn io::Write> = if json { Box::new(io::sink()) } else { Box::new(io::stdout()) };
    let mut printer = Printer::new(out, color);
    let report = test::run(&files, options, color, &mut printer).map_err(|error| {
        let code = match &error {
            test::Error::File(_) => CONFIG,
            test::Error::Lab(lab::Error::NotRoot) => DENIED,
            _ => NO,
        };
        End::new(code, error.to_string())
    })?;
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(failed)?;
        println!("{text}");
    }
    if report.passed { Ok(()) } else { Err(End::silent(NO)) }
}

fn check(files: &[PathBuf]) -> Outcome {
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|path| Some(file::read(path, colored()).err()?.to_string()))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(End::new(CONFIG, wrong.join("\n\n"))) }
}

fn up(path: &Path, options: &Options) -> Outcome {
    let labs = file::read(path, colored()).map_err(|error| End::new(CONFIG, error.to_string()))?;
    wait::catch_interrupts().map_err(failed)?;
    for topology in labs {
        let name = topology.name.clone();
        let lab = lab::Lab::up(topology, options).map_err(|error| match error {
            lab::Error::NotRoot => End::new(DENIED, error.to_string()),
            _ => End::new(NO, error.to_string()),
        })?;
        println!("{name} is up; logs are in {}", lab.directory().display());
        print!("{}", graph::text(lab.topology()));
    }
    Ok(())
}

fn down(lab: Option<&str>, all: bool) -> Outcome {
    let names = if all { lab::known() } else { vec![the_lab(lab)?] };
    for name in names {
        match lab::take_down(&name) {
            Ok(()) => println!("{name} is down"),
            // a test that is going on takes its lab down itself
            Err(lab::Error::State(state::Error::Busy(_))) if all => println!("{name} is in use"),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn status() {
    for state in State::all() {
        let how = match (state.stays, state.runner.is_alive()) {
            (true, _) => "up",
            (false, true) => "being tested",
            (false, false) => "left behind by a crash: weft lab down",
        };
        println!("{}  {how}  {}", state.lab, state.file.display());
        for (node, process) in state.nodes.iter().chain(&state.wires) {
            let running = if process.is_alive() { "runs" } else { "has ended" };
            println!("  {node:15}  {running}  pid {}", process.pid);
        }
    }
}

fn shell(lab: Option<&str>, node: &str) -> Outcome {
    let (network, state, node) = find(lab, node)?;
    let bash = Path::new("/bin/bash").exists();
    let words: &[&str] =
        if bash { &["bash", "--noprofile", "--norc", "-i"] } else { &["sh", "-i"] };
    let words = words.iter().map(OsString::from).collect();
    let mut start = lab::start_in(&network, &State::directory(&state.lab), &node, words);
    start.environment.push(("PS1".into(), format!("[{}/{node}] # ", state.lab).into()));
    start.run_attached().map_err(failed)?;
    Ok(())
}

fn exec(lab: Option<&str>, node: &str, command: Vec<OsString>) -> Outcome {
    let (network, state, node) = find(lab, node)?;
    let start = lab::start_in(&network, &State::directory(&state.lab), &node, command);
    let status = start.run_attached().map_err(failed)?;
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(()),
        Some(Ok(code)) => Err(End::silent(code)),
        _ => Err(End::new(NO, format!("the command has ended: {status}"))),
    }
}

fn act(lab: Option<&str>, sentence: &str, weft: PathBuf) -> Outcome {
    let action = Action::parse(sentence).map_err(|error| End::new(USAGE, error))?;
    let name = the_lab(lab)?;
    let attached = lab::Lab::attach(&name, weft).map_err(failed)?;
    let mut attached = attached.ok_or_else(|| not_up(&name))?;
    let topology = attached.topology();
    if let Some(node) = action.node().filter(|node| topology.node(node).is_none()) {
        return Err(End::new(USAGE, format!("lab {name} has no node `{node}`")));
    }
    if let Some(link) = action.link().filter(|link| topology.link(link).is_none()) {
        return Err(End::new(USAGE, format!("lab {name} has no link `{link}`")));
    }
    attached.perform(&action).map_err(failed)
}

fn capture(lab: Option<&str>, on: &str, filter: &[String], output: Option<&Path>) -> Outcome {
    let (network, state) = open(&the_lab(lab)?)?;
    let topology = network.topology();
    if topology.node(on).is_none() && topology.link(on).is_none() {
        return Err(End::new(USAGE, format!("lab {} has no link or node `{on}`", state.lab)));
    }
    if let Some(path) = output {
        let path = if path == Path::new("-") { Path::new("/dev/stdout") } else { path };
        wait::catch_interrupts().map_err(failed)?;
        let capture = Capture::start(&network, on, path).map_err(failed)?;
        while wait::pass(Duration::from_hours(1)).is_ok() {}
        capture.finish().map_err(failed)?;
        return Ok(());
    }
    // a bridge shows all its frames; the frames of a wire are seen at any node on it
    let (place, interface) = match topology.link(on) {
        Some(link) if link.wire.is_none() => (on, "bridge"),
        Some(_) => (topology.attached(on).next().map_or(on, |node| &*node.name), on),
        None => (on, "any"),
    };
    let mut words: Vec<OsString> = ["tcpdump", "-n", "-l", "-i", interface].map(Into::into).into();
    words.extend(filter.iter().map(Into::into));
    let start = lab::start_in(&network, &State::directory(&state.lab), place, words);
    start.run_attached().map_err(failed)?;
    Ok(())
}

fn logs(lab: Option<&str>, node: &str, follow: bool) -> Outcome {
    let (lab, node) = match node.split_once('/') {
        Some((lab, node)) => (lab.to_owned(), node),
        None => (the_lab(lab)?, node),
    };
    let path = State::directory(&lab).join(format!("{node}.log"));
    let mut log = File::open(&path)
        .map_err(|error| End::new(NO, format!("cannot read {}: {error}", path.display())))?;
    wait::catch_interrupts().map_err(failed)?;
    loop {
        let mut text = Vec::new();
        log.read_to_end(&mut text).map_err(failed)?;
        io::stdout().write_all(&text).map_err(failed)?;
        if !follow {
            return Ok(());
        }
        let shown = log.stream_position().map_err(failed)?;
        let grown = || log.metadata().is_ok_and(|metadata| metadata.len() != shown).then_some(());
        match wait::until(Duration::from_hours(1), grown) {
            Ok(_) => log.seek(SeekFrom::Start(shown)).map_err(failed)?,
            Err(wait::Interrupted) => return Ok(()),
        };
    }
}

fn draw(lab: &str, dot: bool) -> Outcome {
    let draw = |topology: &weft_lab::topology::Topology| {
        print!("{}", if dot { graph::dot(topology) } else { graph::text(topology) });
    };
    if !Path::new(lab).exists() {
        draw(open(lab)?.0.topology());
        return Ok(());
    }
    let labs = file::read(Path::new(lab), colored());
    labs.map_err(|error| End::new(CONFIG, error.to_string()))?.iter().for_each(draw);
    Ok(())
}

/// The network of the lab a node is in, and the node's own name.
fn find(lab: Option<&str>, node: &str) -> Result<(Network, State, String), End> {
    let (lab, node) = match node.split_once('/') {
        Some((lab, node)) => (lab.to_owned(), node),
        None => (the_lab(lab)?, node),
    };
    let (network, state) = open(&lab)?;
    if network.topology().node(node).is_none() {
        let nodes: Vec<&str> = network.topology().nodes.iter().map(|node| &*node.name).collect();
        return Err(End::new(USAGE, format!("lab {lab} has no node `{node}`"))
            .help(format!("its nodes are {}", nodes.join(", "))));
    }
    Ok((network, state, node.to_owned()))
}

fn open(lab: &str) -> Result<(Network, State), End> {
    lab::open(lab).ok_or_else(|| not_up(lab))
}

/// The named lab, or the only one.
fn the_lab(name: Option<&str>) -> Result<String, End> {
    let up = State::all().into_iter().filter(|state| state.stays);
    match (name, up.map(|state| state.lab).collect::<Vec<_>>().as_slice()) {
        (Some(name), _) => Ok(name.to_owned()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(End::new(NO, "no lab is up").help("weft lab up FILE")),
        (None, several) => Err(End::new(USAGE, "several labs are up")
            .help(format!("say which with --lab: {}", several.join(", ")))),
    }
}

fn not_up(lab: &str) -> End {
    End::new(NO, format!("lab {lab} is not up")).help("weft lab status shows which are")
}

fn colored() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn failed(error: impl std::fmt::Display) -> End {
    End::new(NO, error.to_string())
}
