//! Running one check: watchers first, then the background traffic, then what is done, then the
//! question; at last everything that was seen is judged together.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::{CaptureCheck, Check, CommandCheck, SplitCheck};
use crate::capture::{self, Capture};
use crate::lab::{COMMAND_LIMIT, Error, Lab};
use crate::network::Network;
use crate::traffic::{self, Control, Outcome, Traffic};
use crate::wait;

/// What came of a check.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// The claim.
    pub name: String,
    /// It holds.
    pub passed: bool,
    /// How long it took to find out.
    pub seconds: f64,
    /// Why it does not hold.
    pub failures: Vec<String>,
    /// In a few words.
    pub summary: String,
    /// What was measured.
    pub evidence: Vec<Evidence>,
    /// Files that show more.
    pub kept: Vec<PathBuf>,
}

/// One thing that was measured.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Evidence {
    /// Of what: `ping h1 h2`, `split`, `capture core`.
    pub of: String,
    /// Numbers by name.
    #[serde(flatten)]
    pub figures: BTreeMap<String, f64>,
}

/// How long traffic may take to begin, and to flow again after what was done, without `until`.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

/// Background traffic that goes on.
struct Background<'scope> {
    traffic: &'scope Traffic,
    control: Control,
    thread: ScopedJoinHandle<'scope, Result<Outcome, traffic::Error>>,
}

/// A capture that goes on.
struct Watch<'a> {
    check: &'a CaptureCheck,
    capture: Capture,
}

/// Runs a check. What the lab cannot do counts as a failure of the check; only an interruption ends
/// the run.
pub fn run(check: &Check, number: usize, lab: &mut Lab) -> Result<Verdict, wait::Interrupted> {
    let began = Instant::now();
    let mut verdict = Verdict { name: check.name.clone(), ..Verdict::default() };
    if let Err(error) = attempt(check, number, lab, &mut verdict) {
        wait::interrupted()?;
        verdict.failures.push(error.to_string());
    }
    wait::interrupted()?;
    verdict.passed = verdict.failures.is_empty();
    verdict.seconds = began.elapsed().as_secs_f64();
    Ok(verdict)
}

fn attempt(
    check: &Check,
    number: usize,
    lab: &mut Lab,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    let network = lab.network().clone();
    let watches = start_watches(check, number, lab)?;
    let before = check.split.as_ref().map(|split| sent_packets(&network, split));
    std::thread::scope(|scope| {
        let mut background = Vec::new();
        let result = flow_and_act(scope, check, &network, lab, &mut background, verdict);
        for item in &background {
            if result.is_err() { item.control.stop() } else { item.control.finish() }
        }
        for item in background {
            let outcome = item.thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
            judge_background(check, item.traffic, outcome, verdict);
        }
        result
    })?;
    for watch in watches {
        judge_capture(watch, verdict)?;
    }
    if let (Some(split), Some(before)) = (&check.split, before) {
        judge_split(split, &before, &sent_packets(&network, split), verdict);
    }
    Ok(())
}

/// Everything between the start of the watchers and the end of the background traffic.
fn flow_and_act<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    check: &'env Check,
    network: &'env Network,
    lab: &mut Lab,
    background: &mut Vec<Background<'scope>>,
    verdict: &mut Verdict,
) -> Result<(), Error> {
    // on its own, traffic sends exactly what is written; otherwise it lasts as long as the rest
    let alone = check.during.len() == 1 && check.actions.is_empty() && !check.asks();
    for traffic in &check.during {
        let control = if alone { Control::default() } else { Control::kept_on() };
        let thread = scope.spawn({
            let control = control.clone();
            move || traffic.run(network, &control)
        });
        let limit = check.until.unwrap_or(BEGIN_LIMIT);
        let begun =
            wait::until(limit, || (control.is_flowing() || thread.is_finished()).then_some(()));
        background.push(Background { traffic, control, thread });
        if begun?.is_none() {
            verdict.failures.push(format!("{} did not begin to flow", title(traffic)));
        }
    }
    for action in &check.actions {
        lab.perform(action)?;
    }
    for item in background.iter() {
        item.control.begin_recovery();
    }
    ask(check, network, lab, verdict)?;
    if !check.actions.is_empty() {
        wait_for_recovery(check, background, verdict)?;
    }
    let storms = background.iter().filter(|item| matches!(item.traffic, Traffic::Storm(_)));
    while !storms.clone().all(|storm| storm.thread.is_finished()) {
        wait::pass(Duration::from_millis(10))?;
    }
    Ok(())
}

fn wait_for_recovery(
    check: &Check,
    background: &[Background<'_>],
    verdict: &mut Verdict,
) -> Result<(), Error> {
    let limit = check.until.unwrap_or(RECOVERY_LIMIT);
    let recovers = |item: &&Background<'_>| !matches!(item.traffic, Traffic::Storm(_));
    let flows = |item: &Background<'_>| item.control.has_recovered() || item.thread.is_finished();
    wait::until(limit, || background.iter().filter(recovers).all(flows).then_some(()))?;
    for item in background.iter().filter(recovers).filter(|item| !item.control.has_recovered()) {
        let title = title(item.traffic);
        verdict.failures.push(format!("{title} did not flow again within {limit:?}"));
    }
    Ok(())
}

/// The question: a command or traffic, asked again until the answer is right if `until` says so.
fn ask(check: &Check, network: &Network, lab: &Lab, verdict: &mut Verdict) -> Result<(), Error> {
    let limit = check.until.unwrap_or(Duration::ZERO);
    if let Some(command) = &check.command {
        let mut wrong = Vec::new();
        wait::until(limit, || {
            wrong = judge_command(command, lab);
            wrong.is_empty().then_some(())
        })?;
        verdict.failures.append(&mut wrong);
    }
    if let Some(traffic) = &check.traffic {
        let mut last = None;
        wait::until(limit, || {
            let outcome = traffic.run(network, &Control::default());
            let right = outcome.as_ref().is_ok_and(|outcome| outcome.failures.is_empty());
            last = Some(outcome);
            right.then_some(())
        })?;
        if let Some(outcome) = last {
            note_outcome(traffic, outcome, verdict);
        }
    }
    Ok(())
}

fn judge_command(command: &CommandCheck, lab: &Lab) -> Vec<String> {
    match lab.run(&command.on, &command.run, COMMAND_LIMIT) {
        Ok(answer) => command.judge(answer.exit, &answer.stdout, &answer.stderr),
        Err(error) => vec![error.to_string()],
    }
}

fn judge_background(
    check: &Check,
    traffic: &Traffic,
    outcome: Result<Outcome, traffic::Error>,
    verdict: &mut Verdict,
) {
    let outage = outcome.as_ref().ok().and_then(|outcome| outcome.outage);
    note_outcome(traffic, outcome, verdict);
    if let (Some(bound), Some(outage)) = (check.outage, outage)
        && outage > bound
    {
        let title = title(traffic);
        verdict.failures.push(format!("{title} was out for {outage:.1?}, allowed {bound:?}"));
    }
}

fn note_outcome(
    traffic: &Traffic,
    outcome: Result<Outcome, traffic::Error>,
    verdict: &mut Verdict,
) {
    match outcome {
        Ok(mut outcome) => {
            verdict.failures.append(&mut outcome.failures);
            let figures = outcome.figures.into_iter().map(|(key, value)| (key.to_owned(), value));
            note(verdict, &outcome.summary, title(traffic), figures.collect());
        }
        Err(error) => verdict.failures.push(error.to_string()),
    }
}

fn note(verdict: &mut Verdict, summary: &str, of: String, figures: BTreeMap<String, f64>) {
    if !verdict.summary.is_empty() && !summary.is_empty() {
        verdict.summary.push_str("; ");
    }
    verdict.summary.push_str(summary);
    verdict.evidence.push(Evidence { of, figures });
}

fn start_watches<'a>(check: &'a Check, number: usize, lab: &Lab) -> Result<Vec<Watch<'a>>, Error> {
    let watch = |(at, check): (usize, &'a CaptureCheck)| {
        let name = format!("check{}-{}{}.pcap", number + 1, check.on, "'".repeat(at));
        let capture = Capture::start(lab.network(), &check.on, &lab.directory().join(name))?;
        Ok(Watch { check, capture })
    };
    check.captures.iter().enumerate().map(watch).collect()
}

fn judge_capture(watch: Watch<'_>, verdict: &mut Verdict) -> Result<(), Error> {
    let check = watch.check;
    let path = watch.capture.finish()?;
    let lines = capture::matching(&path, check.filter.as_deref())?;
    let count = lines.len() as u64;
    let filter = check.filter.as_deref().unwrap_or("any");
    let figures = [("packets".to_owned(), count as f64)].into();
    let summary = format!("{count} packets of `{filter}` on {}", check.on);
    note(verdict, &format!("{count} on {}", check.on), format!("capture {}", check.on), figures);
    if (check.min..=check.max).contains(&count) {
        let _stays_until_the_end = fs::remove_file(path);
        return Ok(());
    }
    let wanted = match (check.min, check.max) {
        (min, max) if min == max => format!("{min}"),
        (min, u64::MAX) => format!("at least {min}"),
        (0, max) => format!("at most {max}"),
        (min, max) => format!("{min} to {max}"),
    };
    verdict.failures.push(format!("{summary}, expected {wanted}"));
    verdict.failures.extend(lines.into_iter().take(3));
    verdict.kept.push(path);
    Ok(())
}

fn judge_split(split: &SplitCheck, before: &[u64], after: &[u64], verdict: &mut Verdict) {
    let counts: Vec<u64> =
        before.iter().zip(after).map(|(before, after)| after.saturating_sub(*before)).collect();
    let all = counts.iter().sum::<u64>().max(1) as f64;
    let shares: Vec<f64> = counts.iter().map(|count| *count as f64 * 100.0 / all).collect();
    let named = split.on.iter().zip(&shares);
    let summary: Vec<String> =
        named.clone().map(|(on, share)| format!("{on} {share:.0}%")).collect();
    let figures = named.map(|(on, share)| (on.clone(), *share)).collect();
    let summary = summary.join(" ");
    let off = |(share, wanted): (&f64, &f64)| (share - wanted).abs() > split.tolerance;
    if shares.iter().zip(&split.shares).any(off) {
        verdict.failures.push(format!(
            "the split is {summary}, expected {:?} within {} points",
            split.shares, split.tolerance
        ));
    }
    note(verdict, &summary, "split".into(), figures);
}

/// Packets sent so far on each link of a split, by one node or by all.
fn sent_packets(network: &Network, split: &SplitCheck) -> Vec<u64> {
    let on_link = |link: &String| {
        let nodes = network.topology().attached(link).map(|node| &node.name);
        let counted = nodes.filter(|node| split.node.as_ref().is_none_or(|only| only == *node));
        counted.filter_map(|node| network.sent_packets(node, link)).sum()
    };
    split.on.iter().map(on_link).collect()
}

fn title(traffic: &Traffic) -> String {
    let (from, to) = match traffic {
        Traffic::Ping(ping) => (&ping.from, ping.to.clone()),
        Traffic::Tcp(tcp) => (&tcp.from, tcp.to.clone()),
        Traffic::UdpFlows(flows) => (&flows.from, flows.to.clone()),
        Traffic::Storm(storm) => (&storm.from, storm.to.to_string()),
    };
    format!("{} {from} {to}", traffic.kind())
}
