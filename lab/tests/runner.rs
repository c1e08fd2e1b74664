//! The runner by itself: plain hosts and kernel routers, no router of ours. Needs root, because
//! labs are made of network namespaces; without it the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};

use weft_lab::lab::{self, Lab, Options};
use weft_lab::process::Process;
use weft_lab::report::{Printer, Report};
use weft_lab::state::State;
use weft_lab::{file, test, wire};

/// Wires are processes: this test binary started again, to run only the test below.
const WIRE: &str = "WEFT_LAB_TEST_WIRE";

/// Not a test: what a wire's process runs. The runner appends the specification's path to its
/// command, where the test harness would take it for a filter; `sh` moves it into the environment.
#[test]
fn be_a_wire() {
    if let Some(specification) = std::env::var_os(WIRE) {
        wire::run(Path::new(&specification)).unwrap();
    }
}

fn options() -> Option<Options> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let this = std::env::current_exe().unwrap();
    let script = format!("{WIRE}=$0 exec {} --exact be_a_wire", this.display());
    let wire = vec!["sh".into(), "-c".into(), script.into()];
    Some(Options { weft: "/bin/false".into(), wire, data_plane: None, record: false, stays: false })
}

/// Runs a lab text under a name of its own; gives the report and what was printed.
fn run(name: &str, text: &str, options: &Options) -> (Report, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, false);
    let report = test::run(&[path], options, false, &mut printer).unwrap();
    (report, String::from_utf8(out).unwrap())
}

fn namespaces(lab: &str) -> usize {
    let prefix = format!("weft-{lab}.");
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return 0 };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&prefix)).count()
}

const SITES: &str = r#"
[link.core]
subnet = ["10.0.0.0/24", "fd00::/64"]
[link.far]
delay = "5ms"
[router.r1]
links = { core = ["10.0.0.1", "fd00::1"], site1 = ["192.168.1.1", "fd01::1"] }
routes = ["192.168.2.0/24 via r2", "fd02::/64 via r2"]
[router.r2]
links = { core = ["10.0.0.2", "fd00::2"], far = ["192.168.2.1", "fd02::1"] }
routes = ["192.168.1.0/24 via r1", "fd01::/64 via r1"]
[host.h1]
links = { site1 = ["192.168.1.10", "fd01::10"] }
via = "r1"
[host.h2]
links = { far = ["192.168.2.10", "fd02::10"] }
via = "r2"
"#;

#[test]
fn traffic_of_every_kind_crosses_bridges_and_wires() {
    let Some(options) = options() else { return };
    let checks = r#"
        [[check]]
        name = "ping"
        ping = { from = "h1", to = "h2", interval = "10ms" }
        [[check]]
        name = "ping over IPv6, watched on both links"
        capture = [
          { on = "core", filter = "icmp6 and ip6[40] = 128", packets = 3 },
          { on = "far", filter = "icmp", packets = 0 },
        ]
        while = { ping = { from = "h1", to = "h2", family = 6, count = 3, interval = "10ms" } }
        [[check]]
        name = "flows"
        udp-flows = { from = "h1", to = "h2", flows = 300, packets = 2 }
        split = { node = "r1", on = ["core", "site1"], shares = [100, 0], tolerance = 5 }
        [[check]]
        name = "tcp"
        tcp = { from = "h1", to = "h2", bytes = 3000000 }
    "#;
    let (report, printed) = run("t-traffic", &format!("{SITES}{checks}"), &options);
    assert!(report.passed, "{printed}");
    assert_eq!(report.checks_passed, 4);
    assert_eq!(namespaces("t-traffic"), 0);
}

#[test]
fn faults_are_seen_by_traffic_and_repaired() {
    let Some(options) = options() else { return };
    let checks = r#"
        [[check]]
        name = "a cut wire"
        while = { ping = { from = "h1", to = "h2", interval = "10ms" } }
        do = ["link far down h2", "run h2 ip link show far | grep NO-CARRIER", "link far up h2"]
        [[check]]
        name = "a cut bridge"
        while = { ping = { from = "h1", to = "h2", interval = "10ms" } }
        do = ["link core down r1", "run r1 ip link show core | grep NO-CARRIER", "link core up r1"]
        [[check]]
        name = "a black hole"
        while = { ping = { from = "h1", to = "h2", interval = "10ms" } }
        do = ["link core blackhole r2", "run r2 ip link show core | grep LOWER_UP", "link core heal r2"]
        [[check]]
        name = "a narrow link is announced"
        do = "link far mtu 1400"
        ping = { from = "h1", to = "h2", size = 1472, df = true, too-big = 1400, count = 1 }
        [[check]]
        name = "a lossy wire"
        do = "link far loss 100%"
        ping = { from = "h1", to = "h2", reach = false }
    "#;
    let (report, printed) = run("t-faults", &format!("{SITES}{checks}"), &options);
    assert!(report.passed, "{printed}");
}

#[test]
fn a_failure_is_told_with_evidence_and_its_logs_are_kept() {
    let Some(options) = options() else { return };
    let checks = r#"
        [[check]]
        name = "nobody is there"
        ping = { from = "h1", to = "192.168.2.77", count = 1 }
        [[check]]
        name = "nothing passes the core"
        capture = { on = "core", filter = "icmp", packets = 0 }
        while = { ping = { from = "h1", to = "h2", count = 2, interval = "10ms" } }
        [[check]]
        name = "json"
        on = "h1"
        run = "echo '{\"state\": \"down\"}'"
        json = { "$.state" = "up" }
    "#;
    let (report, printed) = run("t-failure", &format!("{SITES}{checks}"), &options);
    assert_eq!((report.checks_passed, report.checks_failed), (0, 3), "{printed}");
    let checks = &report.labs[0].checks;
    assert!(checks[0].failures[0].contains("1 of 1 lost"), "{printed}");
    assert!(checks[1].failures[0].contains("4 packets of `icmp` on core, expected 0"), "{printed}");
    assert!(checks[1].kept[0].exists());
    assert_eq!(checks[2].failures[0], "$.state is [\"down\"], expected \"up\"");
    lab::take_down("t-failure").unwrap();
    assert!(!checks[1].kept[0].exists());
}

#[test]
fn a_process_that_does_not_start_is_shown_with_its_last_words() {
    let Some(options) = options() else { return };
    let text = "[node.a]\ncommand = \"echo no such key >&2; exit 7\"\nready = \"false\"\n";
    let (report, _) = run("t-start", text, &options);
    let error = report.labs[0].error.as_deref().unwrap();
    assert!(error.starts_with("a ended with status 7"), "{error}");
    assert!(error.contains("no such key"), "{error}");
    assert_eq!(namespaces("t-start"), 0);
    lab::take_down("t-start").unwrap();
}

#[test]
fn what_a_crashed_run_left_behind_is_cleaned_up_and_nothing_else() {
    let Some(options) = options() else { return };
    let text =
        "[node.a]\ncommand = \"sleep 1000 & sleep 1000\"\n[node.b]\ncommand = \"sleep 1000\"\n";
    let topology = file::parse(&PathBuf::from("t-crash.toml"), text, false).unwrap().remove(0);
    let up = Lab::up(topology.clone(), &options).unwrap();
    let state = State::load("t-crash").unwrap();
    // as after a crash: nobody takes the lab down, only the lock is gone
    drop(up);
    let children = || -> Vec<Process> { state.nodes.values().copied().collect() };
    assert!(children().iter().all(Process::is_alive));
    // the id of a process that ended belongs to another program now
    let mut stale = state.clone();
    let this = Process::this();
    stale.nodes.insert("c".into(), Process { pid: this.pid, started: this.started - 1 });
    stale.save().unwrap();

    let again = Lab::up(topology, &options).unwrap();
    assert!(!children().iter().any(Process::is_alive));
    assert!(this.is_alive());
    again.down(false).unwrap();
    assert_eq!(namespaces("t-crash"), 0);
    assert!(State::load("t-crash").is_none());
}
