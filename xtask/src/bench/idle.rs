//! What a router costs that has nothing to do. On the quickstart network.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::figure::{Figure, number};
use super::sites::{H2, lab_file};
use super::{Tools, note};
use crate::lab::Lab;
use crate::run::{Result, output};
use crate::setup;

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// How often the threads of a registered router run that has nothing to do but keep up its
/// registration and probe a peer.
pub(super) fn measure(tools: &Tools, _rounds: usize) -> Result<Vec<Figure>> {
    let lab = Lab::up(&tools.weft, &lab_file(tools, "bench-idle", "", "")?)?;
    lab.wait_until_registered()?;
    lab.ping("h1", H2[0], 3)?;
    let namespace = lab.namespace("xtr1");
    let mut pids = setup::as_root(Path::new("ip"))?;
    let pids = output(pids.args(["netns", "pids", &namespace]))?;
    let is_weft = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "weft")
    };
    let pid = pids.lines().find(is_weft).ok_or("no router runs in xtr1")?;
    note(&format!("watching for {} s", WATCHED.as_secs()));
    sleep(WATCHED / 4); // what the ping set in motion comes to rest
    let before = switches(pid)?;
    sleep(WATCHED);
    let rate = |count: u32| f64::from(count) / WATCHED.as_secs_f64();
    let mut grown: Vec<(String, f64)> = switches(pid)?
        .into_iter()
        .map(|(id, name, count)| {
            let earlier = before.iter().find(|thread| thread.0 == id).map_or(0, |thread| thread.2);
            (name, rate(count - earlier))
        })
        .collect();
    grown.sort_by(|a, b| b.1.total_cmp(&a.1));
    let value = grown.iter().map(|(_, rate)| rate).sum();
    let busiest = grown.iter().filter(|(_, rate)| *rate > 0.0).take(3);
    let beside: Vec<_> = busiest.map(|(name, rate)| format!("{name} {}", number(*rate))).collect();
    Ok(vec![Figure::new("idle.wakeups_per_s", value, beside.join(", "))])
}

/// Id, name and voluntary context switches of each thread of a process.
fn switches(pid: &str) -> Result<Vec<(String, String, u32)>> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    let of = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let field = |name: &str| {
            status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        let count = field("voluntary_ctxt_switches:")?.parse().ok()?;
        Some((thread.file_name().to_string_lossy().into_owned(), field("Name:")?, count))
    };
    Ok(threads.flatten().filter_map(of).collect())
}
