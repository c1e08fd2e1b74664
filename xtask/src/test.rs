//! Everything CI runs.

use std::path::PathBuf;

use crate::run::{Result, cargo, root, run, step};
use crate::{check, setup};

/// All of it, or one part.
pub(crate) fn test(which: Option<&str>) -> Result {
    match which {
        None => {
            setup::packages()?;
            setup::bpf_compiler();
            check::check()?;
            unit()?;
            labs()
        }
        Some("check") => check::check(),
        Some("unit") => unit(),
        Some("sim") => {
            step("sim");
            run(cargo().args(["test", "--package", "weft-control", "--test", "sim"]))
        }
        Some("fuzz") => {
            step("fuzz smoke");
            run(cargo().args(["test", "--package", "weft-packet", "--test", "fuzz_smoke"]))
        }
        Some("labs") => {
            setup::packages()?;
            labs()
        }
        Some(other) => Err(format!("no such part: {other} (check, unit, sim, fuzz, labs)")),
    }
}

/// Unit, property, simulation and fuzz-smoke tests of every crate.
fn unit() -> Result {
    step("tests of all crates");
    run(cargo().args(["test", "--quiet", "--workspace"]))
}

/// Whole processes in network namespaces, on one data plane after the other.
fn labs() -> Result {
    let weft = build(&["--profile", "fast"], "fast")?;
    for plane in ["ebpf", "tun"] {
        step(&format!("labs on {plane}"));
        let mut labs = setup::as_root(&weft)?;
        run(labs.args(["lab", "test", "--data-plane", plane, "--all"]).arg(root().join("labs")))?;
    }
    Ok(())
}

/// Builds the binary; where it is.
pub(crate) fn build(profile: &[&str], folder: &str) -> Result<PathBuf> {
    run(cargo().args(["build", "--quiet", "--package", "weft"]).args(profile))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let weft = target.join(folder).join("weft");
    weft.canonicalize().map_err(|error| format!("{}: {error}", weft.display()))
}
