//! What demo, labs and benchmark need besides Rust: Debian packages, and the right to make
//! network namespaces.

use std::process::{Command, Stdio};

use crate::bpf;
use crate::run::{Result, installed, run, step};

/// A program and the Debian package it comes in.
struct Needed {
    program: &'static str,
    package: &'static str,
}

const NEEDED: &[Needed] = &[
    Needed { program: "ip", package: "iproute2" },
    Needed { program: "ping", package: "iputils-ping" },
    Needed { program: "ethtool", package: "ethtool" },
    Needed { program: "iperf3", package: "iperf3" },
    Needed { program: "tcpdump", package: "tcpdump" },
    Needed { program: "tshark", package: "tshark" },
    Needed { program: "cc", package: "gcc" },
    Needed { program: "sysctl", package: "procps" },
];

/// Installs what is missing, through apt where we may; otherwise says what is missing.
pub(crate) fn packages() -> Result {
    install(NEEDED)
}

/// Installs the compiler of the kernel program, where there is one to install: not every
/// distribution has it, and only a comparison needs it.
pub(crate) fn bpf_compiler() {
    let compiler = Needed { program: bpf::COMPILER, package: bpf::COMPILER };
    if let Err(error) = install(&[compiler]) {
        println!("{error}");
    }
}

fn install(needed: &[Needed]) -> Result {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(prefix) = privileged().filter(|_| installed("apt-get")) else {
        return Err(format!(
            "these programs are missing: {list}\n  on Debian or Ubuntu: sudo apt-get install {list}"
        ));
    };
    step(&format!("installing {list}"));
    let apt = |words: &[&str]| {
        let mut all = prefix.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        let mut command = Command::new(all.next().copied().unwrap_or("env"));
        command.args(all).arg("-qq").args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    run(&mut apt(&["update"]))?;
    let mut words = vec!["install", "-y", "--no-install-recommends"];
    words.extend(&missing);
    run(&mut apt(&words))?;
    match self::missing(needed).as_slice() {
        [] => Ok(()),
        left => Err(format!("apt installed them, but these are still missing: {}", left.join(" "))),
    }
}

fn missing(needed: &[Needed]) -> Vec<&'static str> {
    needed.iter().filter(|need| !installed(need.program)).map(|need| need.package).collect()
}

/// How a command is run as root: directly, or by sudo; `None` when neither is possible.
pub(crate) fn privileged() -> Option<&'static [&'static str]> {
    if is_root() {
        return Some(&[]);
    }
    let sudo = installed("sudo")
        && Command::new("sudo")
            .args(["-n", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    sudo.then_some(&["sudo"][..])
}

/// A command that runs as root.
pub(crate) fn as_root(program: &std::path::Path) -> Result<Command> {
    match privileged() {
        Some([]) => Ok(Command::new(program)),
        Some([sudo, ..]) => {
            let mut command = Command::new(sudo);
            command.arg(program);
            Ok(command)
        }
        None => Err("network namespaces need root: run this as root, or allow sudo".into()),
    }
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|ids| ids.split_whitespace().nth(1))
            == Some("0")
    })
}
