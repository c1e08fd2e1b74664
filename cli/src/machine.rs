//! `doctor` and `cleanup`: the machine under the router.

use std::path::Path;

use serde_json::json;
use weft_daemon::{Finding, State};
use weft_manage::api::{Answer, Request};

use crate::arguments::{DEFAULT_CONFIG, Global, Machine};
use crate::client;
use crate::exit::{BUG, DENIED, End, NO, Outcome};
use crate::show::{json_line, out};

/// Checks the machine; ends with 1 if something keeps the router from working.
pub(crate) fn doctor(machine: &Machine, global: &Global) -> Outcome {
    let config = Some(machine.config.as_path())
        .filter(|path| path.as_os_str() != DEFAULT_CONFIG || path.exists());
    let running = client::ask(&global.socket, &Request::Status).is_ok();
    let findings =
        block_on(weft_daemon::doctor(config, running))?.map_err(|error| crate::run::end(&error))?;
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (problems, warnings) = (count(State::Wrong), count(State::Doubtful));
    if global.json {
        let items = findings.iter().map(|finding| {
            json!({
                "check": finding.check, "state": finding.state.word(), "text": finding.text,
                "fix": finding.fix,
            })
        });
        let summary = json!({ "problems": problems, "warnings": warnings });
        out(&json_line(&answer("doctor", items.collect(), summary))?)?;
    } else {
        out(&(findings.iter().map(line).collect::<String>() + &verdict(problems, warnings)))?;
    }
    if problems == 0 { Ok(()) } else { Err(End::silent(NO)) }
}

/// Removes what a stopped router left. One that runs is not touched.
pub(crate) fn cleanup(machine: &Machine, pin_path: Option<&Path>, global: &Global) -> Outcome {
    if client::ask(&global.socket, &Request::Status).is_ok() {
        let help = "stop it first; what it leaves then is removed by `weft cleanup`";
        return Err(End::new(NO, "a router runs here").help(help));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(End::new(DENIED, "only root can remove it").help("sudo weft cleanup"));
    }
    let config = machine.config.exists().then_some(machine.config.as_path());
    let removed = block_on(weft_daemon::cleanup(config, pin_path))?
        .map_err(|error| crate::run::end(&error))?;
    if global.json {
        let items = removed.iter().map(|what| json!(what)).collect();
        return out(&json_line(&answer("cleanup", items, json!(null)))?);
    }
    if removed.is_empty() {
        return out("nothing was left\n");
    }
    removed.iter().try_for_each(|what| out(&format!("removed {what}\n")))
}

fn line(finding: &Finding) -> String {
    let mut line =
        format!("  {:<5} {:<14} {}\n", finding.state.word(), finding.check, finding.text);
    if let Some(fix) = &finding.fix {
        line.push_str(&format!("  {:<5} {:<14} fix: {fix}\n", "", ""));
    }
    line
}

fn verdict(problems: usize, warnings: usize) -> String {
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    match (problems, warnings) {
        (0, 0) => "all is well\n".into(),
        _ => format!("{}, {}\n", counted(problems, "problem"), counted(warnings, "warning")),
    }
}

/// An answer in the form of those of the router.
fn answer(noun: &str, items: Vec<serde_json::Value>, summary: serde_json::Value) -> Answer {
    let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let node = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    Answer {
        schema: format!("weft.{noun}/1"),
        node: node.unwrap_or_default(),
        time: weft_manage::api::rfc3339(since_1970),
        items,
        summary,
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, End> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| End::new(BUG, format!("cannot start: {error}")))?;
    Ok(runtime.block_on(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_is_shown_with_its_remedy_below() {
        let finding = Finding {
            check: "forwarding",
            state: State::Wrong,
            text: "net.ipv4.ip_forward is 0".into(),
            fix: Some("sysctl -w net.ipv4.ip_forward=1".into()),
        };
        let indent = " ".repeat(23);
        let shown = format!(
            "  FAIL  forwarding     net.ipv4.ip_forward is 0\n{indent}fix: sysctl -w \
             net.ipv4.ip_forward=1\n"
        );
        assert_eq!(line(&finding), shown);
        assert_eq!(verdict(1, 2), "1 problem, 2 warnings\n");
        assert_eq!(verdict(0, 0), "all is well\n");
    }
}
