//! `cargo xtask bench`: the figures that matter to users, most of them as ratios to what the
//! kernel does on the same machine in the same minute. A figure that misses what we want is shown,
//! never an error: machines differ.

mod chain;
mod dataplane;
mod failure;
mod figure;
mod first_packet;
mod idle;
mod mapping_system;
mod sites;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use figure::Figure;

use crate::run::{Result, cargo, run};
use crate::{setup, test};

/// What measures, and where it may write.
struct Tools {
    weft: PathBuf,
    bench: PathBuf,
    folder: PathBuf,
}

/// A group of figures, and how it is measured with so many rounds.
type Group = (&'static str, fn(&Tools, usize) -> Result<Vec<Figure>>);

const GROUPS: &[Group] = &[
    ("dataplane", dataplane::measure),
    ("firstpacket", first_packet::measure),
    ("outage", failure::outage),
    ("ms", mapping_system::measure),
    ("idle", idle::measure),
    ("storm", failure::storm),
];

/// How it was called.
#[derive(Debug, PartialEq)]
struct Options<'a> {
    group: Option<&'a str>,
    /// Where the figures are written for programs; `-` is the standard output.
    json: Option<&'a str>,
    rounds: usize,
    /// Measured instead of what is in the tree; its `weft-bench` is beside it.
    weft: Option<&'a str>,
}

/// Measures one group, or all.
pub(crate) fn bench(words: &[&str]) -> Result {
    let options = Options::parse(words)?;
    let only = options.group;
    let wanted = || GROUPS.iter().filter(move |(name, _)| only.is_none_or(|group| group == *name));
    if wanted().next().is_none() {
        let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no such group: {} ({})", only.unwrap_or_default(), names.join(", ")));
    }
    setup::packages()?;
    let tools = match options.weft {
        Some(weft) => Tools::beside(Path::new(weft))?,
        None => Tools::build()?,
    };
    let _only_one = lock(&tools)?;
    note(&format!("load of this machine: {}; the quieter, the better", load()));
    let (mut figures, mut failures) = (Vec::new(), Vec::new());
    for (name, measure) in wanted() {
        eprintln!("\n\u{2500}\u{2500} {name}");
        match measure(&tools, options.rounds) {
            Ok(measured) => figures.extend(measured),
            Err(error) => {
                note(&format!("not measured: {error}"));
                failures.push(format!("{name}: {error}"));
            }
        }
    }
    note(&format!("load of this machine: {}", load()));
    print(&figures, options.json)?;
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n       ")) }
}

impl<'a> Options<'a> {
    fn parse(words: &[&'a str]) -> Result<Self> {
        let mut options = Self { group: None, json: None, rounds: 5, weft: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--json" => options.json = Some(words.next().ok_or("--json FILE, or --json -")?),
                "--weft" => options.weft = Some(words.next().ok_or("--weft PATH")?),
                "--rounds" => {
                    let number = words.next().and_then(|word| word.parse().ok());
                    options.rounds =
                        number.filter(|n| (1..=1000).contains(n)).ok_or("--rounds N, 1 to 1000")?;
                }
                option if option.starts_with('-') => return Err(format!("no option {option}")),
                group if options.group.is_none() => options.group = Some(group),
                more => return Err(format!("one group or all, not also {more}")),
            }
        }
        Ok(options)
    }
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

/// The machine's load of the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split(' ').next().unwrap_or_default().to_owned();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{load} on {cpus} CPUs")
}

fn print(figures: &[Figure], json: Option<&str>) -> Result {
    if json == Some("-") {
        print!("{}", figure::json(figures));
        return Ok(());
    }
    println!("\n{}", figure::table(figures));
    let Some(path) = json else { return Ok(()) };
    fs::write(path, figure::json(figures)).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_come_in_any_order() {
        let options = Options::parse(&["--rounds", "3", "ms", "--json", "-"]);
        let wanted = Options { group: Some("ms"), json: Some("-"), rounds: 3, weft: None };
        assert_eq!(options, Ok(wanted));
        assert!(Options::parse(&["--rounds", "0"]).is_err());
        assert!(Options::parse(&["ms", "idle"]).is_err());
        assert!(Options::parse(&["--fast"]).is_err());
    }
}
