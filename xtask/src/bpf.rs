//! The program in the kernel: `data/ebpf/weft.bpf.o`, which is committed, so that building weft
//! takes no C compiler. The same compiler makes the same octets of the same source, wherever the
//! tree lies; so the object can be held to its source.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Result, installed, output, root, run, step};

/// The compiler, and the Debian package it comes in.
pub(crate) const COMPILER: &str = "clang-14";

const SOURCE: &str = "weft.bpf.c";
const OBJECT: &str = "weft.bpf.o";

/// Compiles the program.
pub(crate) fn build() -> Result {
    step("the program in the kernel");
    let object = folder()?.join(OBJECT);
    compile(&object)?;
    println!("{}", object.display());
    Ok(())
}

/// Fails when the object is not what its source compiles to. Where that cannot be told, says why.
pub(crate) fn check() -> Result {
    if !installed(COMPILER) {
        println!("not compared with its source: {COMPILER} is not installed");
        return Ok(());
    }
    let object = folder()?.join(OBJECT);
    let committed = read(&object)?;
    let version = version()?;
    if !contains(&committed, version.as_bytes()) {
        println!("not compared with its source: another compiler made it than \"{version}\"");
        return Ok(());
    }
    let fresh = std::env::temp_dir().join(format!("weft-{}.bpf.o", std::process::id()));
    let compiled = compile(&fresh).and_then(|()| read(&fresh));
    // Nothing is lost if it stays.
    let _ = std::fs::remove_file(&fresh);
    if compiled? == committed {
        println!("{OBJECT} is what its source compiles to");
        return Ok(());
    }
    Err(format!("{} is not what its source compiles to: run `cargo xtask bpf`", object.display()))
}

/// Paths are given relative to the folder, or the debug information would name ours.
fn compile(object: &Path) -> Result {
    let folder = folder()?;
    let mut command = Command::new(COMPILER);
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-nostdinc"]);
    command.args(["-Wall", "-Wextra", "-Werror", "-fdebug-compilation-dir=."]);
    run(command.args(["-c", SOURCE, "-o"]).arg(object).current_dir(folder))
}

/// As the compiler writes it into the debug information.
fn version() -> Result<String> {
    let text = output(Command::new(COMPILER).arg("--version"))?;
    text.lines().next().map(str::to_owned).ok_or_else(|| format!("{COMPILER} names no version"))
}

fn folder() -> Result<PathBuf> {
    let folder = root().join("data/ebpf");
    folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len().max(1)).any(|window| window == wanted)
}
