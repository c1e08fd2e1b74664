//! A router is restarted, and replaced by another binary, while packets pass it every millisecond
//! in both directions. What the kernel carries must not notice.

use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::chain::{Chain, FAR};
use super::network::EBPF;
use super::rounds::bring_up;
use crate::bench::figure::{Figure, number};
use crate::bench::{Effort, Measured, Tools, note};
use crate::run::{Result, run};
use crate::setup;

/// The router that is restarted: it encapsulates one way and decapsulates the other.
const ROUTER: &str = "x1";
/// How long packets are counted, and how much of it before the router stops, and while it is away.
const COUNTED: Duration = Duration::from_secs(8);
const BEFORE: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_secs(1);
/// Behind the moment when the new one is at work.
const AFTER: Duration = Duration::from_millis(500);

/// Pings lost over all rounds.
pub(in crate::bench) fn measure(tools: &Tools, effort: Effort) -> Result<Measured> {
    let mut missing = Vec::new();
    let chains = bring_up(&[EBPF], tools, &mut missing)?;
    let Some(chain) = chains.first() else {
        return Ok(Measured { figures: Vec::new(), missing });
    };
    let next = chain.next_binary()?;
    let (mut sent, mut lost) = (0.0, 0.0);
    for round in 1..=effort.rounds {
        for (what, weft) in [("restarted", &tools.weft), ("upgraded", &next)] {
            let (pinged, answered) = restart(chain, weft)?;
            let gone = pinged - answered;
            note(&format!("round {round} of {}: {what}, {gone} of {pinged} lost", effort.rounds));
            sent += pinged;
            lost += gone;
        }
    }
    let rounds = effort.rounds;
    let beside = format!("of {} pings over {rounds} restarts, {rounds} upgrades", number(sent));
    Ok(vec![Figure::new("dataplane.restart_lost", lost, beside)].into())
}

/// Restarts the router, by this binary; how many pings were sent meanwhile, and how many answered.
#[expect(clippy::disallowed_methods, reason = "keeps to the time the pings take")]
fn restart(chain: &Chain, weft: &Path) -> Result<(f64, f64)> {
    let seconds = COUNTED.as_secs().to_string();
    let ping = ["ping", "-n", "-q", "-i", "0.001", "-w", &seconds, FAR];
    let began = Instant::now();
    let ping = chain.spawn("h1", &ping, Stdio::piped())?;
    sleep(BEFORE);
    stop(chain)?;
    sleep(AWAY);
    let mut router = chain.start_router_of(ROUTER, weft)?;
    while chain.data_plane(ROUTER).is_err() {
        if matches!(router.try_wait(), Ok(Some(_))) {
            return Err(format!("{ROUTER} does not start again"));
        }
        sleep(Duration::from_millis(20));
    }
    sleep(AFTER);
    if began.elapsed() >= COUNTED {
        return Err(format!("{ROUTER} took longer to start than packets were counted"));
    }
    let told = ping.wait_with_output().map_err(|error| format!("ping: {error}"))?;
    summary(&String::from_utf8_lossy(&told.stdout))
}

/// Asks the router to end, and waits until it has.
fn stop(chain: &Chain) -> Result {
    let pid = chain.router_pid(ROUTER)?;
    let mut kill = setup::as_root(Path::new("kill"))?;
    run(kill.args(["-TERM", &pid]))?;
    for _ in 0..200 {
        if chain.router_pid(ROUTER).is_err() {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    Err(format!("{ROUTER} does not end"))
}

/// Packets transmitted and received, of what ping says at its end.
fn summary(text: &str) -> Result<(f64, f64)> {
    let line = text.lines().find(|line| line.contains("packets transmitted"));
    let words = line.unwrap_or_default().split_whitespace();
    let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [sent, received, ..] => Ok((*sent, *received)),
        _ => Err(format!("ping says nothing: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_tells_what_it_lost() {
        let text = "PING\n\n--- 10.2.0.2 ping statistics ---\n\
                    8000 packets transmitted, 7998 received, 0.025% packet loss, time 7999ms\n";
        assert_eq!(summary(text), Ok((8000.0, 7998.0)));
        assert!(summary("ping: sendmsg: Network is unreachable\n").is_err());
    }
}
