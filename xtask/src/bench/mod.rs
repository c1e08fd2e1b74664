//! `cargo xtask bench`: the figures that matter to users, most of them as ratios to what the
//! kernel does on the same machine in the same minute. A figure that misses what we want is shown,
//! never an error: machines differ. What cannot be measured here is named, with the reason.

mod chart;
mod dataplane;
mod failure;
mod figure;
mod first_packet;
mod history;
mod idle;
mod machine;
mod mapping_system;
mod options;
mod sites;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use figure::Figure;
use machine::Machine;
use options::Options;

use crate::run::{Result, cargo, run};
use crate::{setup, test};

/// What measures, and where it may write.
struct Tools {
    weft: PathBuf,
    bench: PathBuf,
    folder: PathBuf,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Effort {
    rounds: usize,
    /// Long enough to see that everything works, too short to believe the figures.
    quick: bool,
}

/// What a group gives.
#[derive(Default)]
struct Measured {
    figures: Vec<Figure>,
    /// What this machine does not let us measure, and why.
    missing: Vec<String>,
}

/// A group of figures, and how it is measured.
type Group = (&'static str, fn(&Tools, Effort) -> Result<Measured>);

const GROUPS: &[Group] = &[
    ("dataplane.forwarding", dataplane::forwarding),
    ("dataplane.wire", dataplane::wire),
    ("dataplane.scale", dataplane::scale),
    ("dataplane.restart", dataplane::restart),
    ("firstpacket", |tools, effort| Ok(first_packet::measure(tools, effort.rounds)?.into())),
    ("outage", |tools, effort| Ok(failure::outage(tools, effort.rounds)?.into())),
    ("ms", |tools, effort| Ok(mapping_system::measure(tools, effort.rounds)?.into())),
    ("idle", |tools, effort| Ok(idle::measure(tools, effort.rounds)?.into())),
    ("storm", |tools, effort| Ok(failure::storm(tools, effort.rounds)?.into())),
];

/// Measures one group, those of one family (`dataplane`), or all.
pub(crate) fn bench(words: &[&str]) -> Result {
    let options = Options::parse(words)?;
    let wanted: Vec<&Group> = GROUPS.iter().filter(|(name, _)| options.wants(name)).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
        let asked = options.group.unwrap_or_default();
        return Err(format!("no such group: {asked} (dataplane, {})", names.join(", ")));
    }
    setup::packages()?;
    let tools = match options.weft {
        Some(weft) => Tools::beside(Path::new(weft))?,
        None => Tools::build()?,
    };
    let _only_one = lock(&tools)?;
    let mut machine = Machine::describe();
    note(&machine.to_string());
    note(&format!("load {}; the quieter, the better", machine::load()));
    let (mut all, mut failures) = (Measured::default(), Vec::new());
    for (name, measure) in wanted {
        eprintln!("\n\u{2500}\u{2500} {name}");
        match measure(&tools, options.effort()) {
            Ok(measured) => all.append(measured),
            Err(error) => {
                note(&format!("not measured: {error}"));
                failures.push(format!("{name}: {error}"));
            }
        }
    }
    machine.finished();
    note(&format!("load {}", machine::load()));
    for missing in &all.missing {
        note(&format!("not measured: {missing}"));
    }
    report(&all.figures, &options, &machine, &tools)?;
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n       ")) }
}

impl Tools {
    /// Builds what is measured and what measures, as it is released.
    fn build() -> Result<Self> {
        note("building");
        run(cargo().args(["build", "--quiet", "--release", "--package", "weft-bench"]))?;
        Self::beside(&test::build(&["--release"], "release")?)
    }

    /// Takes what is built already.
    fn beside(weft: &Path) -> Result<Self> {
        let found = |path: &Path| {
            path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
        };
        let weft = found(weft)?;
        let bench = found(&weft.with_file_name("weft-bench"))?;
        let folder = std::env::temp_dir().join("weft-bench");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { weft, bench, folder })
    }
}

impl Measured {
    fn append(&mut self, other: Self) {
        self.figures.extend(other.figures);
        self.missing.extend(other.missing);
    }
}

impl From<Vec<Figure>> for Measured {
    fn from(figures: Vec<Figure>) -> Self {
        Self { figures, missing: Vec::new() }
    }
}

/// Two runs would measure each other.
fn lock(tools: &Tools) -> Result<File> {
    let path = tools.folder.join("lock");
    let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.try_lock().map_err(|_| "another benchmark runs on this machine")?;
    Ok(file)
}

/// Tells what happens, beside the results.
fn note(text: &str) {
    eprintln!("   {text}");
}

/// Shows the figures and writes them wherever they were asked for.
fn report(figures: &[Figure], options: &Options, machine: &Machine, tools: &Tools) -> Result {
    let written =
        |path: &str, text: &str| fs::write(path, text).map_err(|error| format!("{path}: {error}"));
    match options.json {
        Some("-") => print!("{}", figure::json(figures)),
        Some(path) => written(path, &figure::json(figures))?,
        None => {}
    }
    if options.json != Some("-") {
        println!("\n{}", figure::table(figures));
    }
    if let Some(path) = options.history {
        history::append(Path::new(path), figures, machine, tools, options.effort())?;
    }
    match options.svg.map(|path| (path, chart::draw(figures, &machine.to_string()))) {
        Some((path, Some(svg))) => written(path, &svg),
        Some((path, None)) => Err(format!("{path}: nothing of the data plane was measured")),
        None => Ok(()),
    }
}
