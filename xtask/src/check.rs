//! What can be checked without running anything: formatting, lints, which crate may use which,
//! licences, the object of the kernel program.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::bpf;
use crate::licences;
use crate::run::{Result, cargo, output, run, step};

/// Who may use whom. The table of ARCHITECTURE.md, enforced.
const MAY_USE: &[(&str, &[&str])] = &[
    ("weft-packet", &[]),
    ("weft-fib", &["weft-packet"]),
    ("weft-control", &["weft-packet", "weft-fib"]),
    ("weft-data", &["weft-packet", "weft-fib"]),
    ("weft-manage", &["weft-packet", "weft-fib", "weft-control", "weft-data"]),
    ("weft-daemon", &["weft-packet", "weft-fib", "weft-control", "weft-data", "weft-manage"]),
    ("weft-lab", &[]),
    (
        "weft",
        &[
            "weft-packet",
            "weft-fib",
            "weft-control",
            "weft-data",
            "weft-manage",
            "weft-daemon",
            "weft-lab",
        ],
    ),
    ("weft-bench", &["weft-packet", "weft-fib", "weft-control", "weft-data"]),
    ("weft-xtask", &[]),
];

/// Crates that must stay free of runtimes and C, so that they test in seconds and run anywhere.
const PURE: &[&str] = &["weft-packet", "weft-fib", "weft-control"];
const IMPURE: &[&str] = &["tokio", "libc", "nix", "cc", "socket2", "getrandom", "rand"];

/// `cargo metadata`, as far as it matters here.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

/// A package of the tree.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// All checks.
pub(crate) fn check() -> Result {
    step("formatting");
    run(cargo().args(["fmt", "--all", "--", "--check"]))?;
    step("lints");
    run(cargo().args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    step("crate dependencies and licences");
    let host = host()?;
    let platform = ["metadata", "--format-version", "1", "--locked", "--filter-platform", &host];
    let text = output(cargo().args(platform))?;
    let metadata: Metadata =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let mut wrong = dependency_table(&metadata);
    wrong.extend(purity(&metadata));
    wrong.extend(licences::refused(&metadata.packages));
    if !wrong.is_empty() {
        return Err(wrong.join("\n       "));
    }
    println!("{} packages, every one allowed", metadata.packages.len());
    step("the program in the kernel");
    bpf::check()
}

fn members(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id))
}

fn dependency_table(metadata: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in members(metadata) {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
            wrong.push(format!("{} is not in the dependency table of xtask", package.name));
            continue;
        };
        let used = package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev"));
        for dependency in used.filter(|d| d.name == "weft" || d.name.starts_with("weft-")) {
            if !allowed.contains(&dependency.name.as_str()) {
                wrong.push(format!("{} must not use {}", package.name, dependency.name));
            }
        }
    }
    wrong
}

/// What the pure crates pull in on Linux, however deep.
fn purity(metadata: &Metadata) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut wrong = Vec::new();
    for package in members(metadata).filter(|p| PURE.contains(&p.name.as_str())) {
        let mut seen = BTreeSet::new();
        let mut open = vec![package.id.as_str()];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let name = names.get(id).copied().unwrap_or_default();
            if IMPURE.contains(&name) {
                wrong.push(format!("{} pulls in {name}", package.name));
            }
            let Some(node) = nodes.get(id) else { continue };
            open.extend(node.deps.iter().filter(|d| is_linked(d)).map(|d| d.pkg.as_str()));
        }
    }
    wrong
}

/// Linked, and not for tests or build scripts only.
fn is_linked(dependency: &NodeDependency) -> bool {
    dependency.dep_kinds.iter().any(|kind| kind.kind.is_none())
}

/// The system this is built on: dependencies of others do not count.
fn host() -> Result<String> {
    let version = output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".into())
}
