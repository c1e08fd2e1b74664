//! The programs in the kernel, those of the data plane and the one that measures its lookup. Their
//! objects, `*.bpf.o` beside the sources, are committed, so that building weft takes no C compiler. The same compiler makes the same octets of the same source, wherever the
//! tree lies; so an object can be held to its source.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Result, installed, output, root, run, step};

/// The compiler, and the Debian package it comes in.
pub(crate) const COMPILER: &str = "clang-14";

/// Where they lie, without the endings of source and object.
const PROGRAMS: [&str; 3] = ["data/ebpf/weft", "data/ebpf/steer", "benches/ebpf/lookup"];

/// Compiles the programs.
pub(crate) fn build() -> Result {
    step("the programs in the kernel");
    for program in PROGRAMS {
        let object = object_of(program);
        compile(program, &object)?;
        println!("{}", object.display());
    }
    Ok(())
}

/// Fails when an object is not what its source compiles to. Where that cannot be told, says why.
pub(crate) fn check() -> Result {
    if !installed(COMPILER) {
        println!("not compared with its source: {COMPILER} is not installed");
        return Ok(());
    }
    let version = version()?;
    PROGRAMS.into_iter().try_for_each(|program| check_one(program, &version))
}

fn check_one(program: &str, version: &str) -> Result {
    let object = object_of(program);
    let committed = read(&object)?;
    if !contains(&committed, version.as_bytes()) {
        println!("not compared with its source: another compiler made it than \"{version}\"");
        return Ok(());
    }
    let fresh = std::env::temp_dir().join(format!("weft-{}.bpf.o", std::process::id()));
    let compiled = compile(program, &fresh).and_then(|()| read(&fresh));
    // Nothing is lost if it stays.
    let _ = std::fs::remove_file(&fresh);
    if compiled? == committed {
        println!("{program}.bpf.o is what its source compiles to");
        return Ok(());
    }
    Err(format!("{} is not what its source compiles to: run `cargo xtask bpf`", object.display()))
}

/// Paths are given relative to the folder, or the debug information would name ours.
fn compile(program: &str, object: &Path) -> Result {
    let (folder, name) = program.rsplit_once('/').unwrap_or((".", program));
    let mut command = Command::new(COMPILER);
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-nostdinc"]);
    command.args(["-Wall", "-Wextra", "-Werror", "-fdebug-compilation-dir=."]);
    command.args(["-c", &format!("{name}.bpf.c"), "-o"]).arg(object);
    run(command.current_dir(root().join(folder)))
}

fn object_of(program: &str) -> PathBuf {
    // the compiler runs in another folder than we do
    let root = root().canonicalize().unwrap_or_else(|_| root());
    root.join(format!("{program}.bpf.o"))
}

/// As the compiler writes it into the debug information.
fn version() -> Result<String> {
    let text = output(Command::new(COMPILER).arg("--version"))?;
    text.lines().next().map(str::to_owned).ok_or_else(|| format!("{COMPILER} names no version"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len().max(1)).any(|window| window == wanted)
}
