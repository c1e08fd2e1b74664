//! `config`: check, show, diff, reload, explain, example.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde_json::json;
use weft_manage::api::{Answer, Request};
use weft_manage::config::{self, Severity, UplinkNames};

use crate::arguments::{Config, Global};
use crate::client;
use crate::exit::{CONFIG, End, NO, Outcome, USAGE};
use crate::show::{out, print, text};

/// Carries out a `config` command.
pub(crate) fn config(verb: Config, global: &Global) -> Outcome {
    match verb {
        Config::Check { file, strict } => check(&file, strict, global),
        Config::Show { path, file: Some(file) } => show_file(&file, path.as_deref(), global),
        Config::Show { path, file: None } => {
            let mut answer = client::ask(&global.socket, &Request::ConfigShow)?;
            answer.items.retain(|item| below(&text(item, "path"), path.as_deref()));
            print(global, &answer, render_lines)
        }
        Config::Diff { file, exit_code } => diff(file, exit_code, global),
        Config::Reload => {
            let answer = client::ask(&global.socket, &Request::ConfigReload)?;
            print(global, &answer, |answer| match answer.items.len() {
                0 => "nothing changed\n".into(),
                _ => changes(answer, |item| item.as_str().unwrap_or_default().to_owned()),
            })
        }
        Config::Explain { path } => match config::explain(&path) {
            Some(text) => out(&text),
            None => Err(End::new(USAGE, format!("`{path}` is not a key of weft.toml"))
                .maybe_help(config::suggest(&path))),
        },
        Config::Example { role } => match config::example(&role) {
            Some(text) => out(text),
            None => Err(End::new(USAGE, format!("no example for `{role}`"))
                .help(format!("there are: {}", config::example_roles().join(", ")))),
        },
    }
}

fn check(file: &Path, strict: bool, global: &Global) -> Outcome {
    let (config, report) = read(file)?;
    let warnings = report.problems().len() - report.errors();
    let good = config.is_some() && !(strict && warnings > 0);
    if global.json {
        let problems: Vec<_> = report
            .problems()
            .iter()
            .map(|problem| {
                let error = problem.severity == Severity::Error;
                json!({
                    "severity": if error { "error" } else { "warning" },
                    "message": problem.message, "help": problem.help,
                    "at": problem.places.iter().map(|(p, _)| p.line()).collect::<Vec<_>>(),
                })
            })
            .collect();
        out(&format!("{}\n", json!({"file": file, "valid": good, "problems": problems})))?;
        return if good { Ok(()) } else { Err(End::silent(CONFIG)) };
    }
    if !report.problems().is_empty() {
        let colored = std::io::stderr().is_terminal() && !global.no_color;
        eprintln!("{}\n", report.render(colored));
    }
    if !good {
        let (errors, warnings) = (count(report.errors(), "error"), count(warnings, "warning"));
        return Err(End::new(CONFIG, format!("{}: {errors}, {warnings}", file.display())));
    }
    out(&format!("{}: valid, {}\n", file.display(), count(warnings, "warning")))
}

fn read(file: &Path) -> Result<(Option<config::Config>, config::Report), End> {
    let mut names = UplinkNames::default();
    if file != Path::new("-") {
        return Ok(config::check(file, &mut names));
    }
    let text = std::io::read_to_string(std::io::stdin())
        .map_err(|error| End::new(USAGE, format!("cannot read standard input: {error}")))?;
    Ok(config::check_text("standard input", &text, &mut names))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn show_file(file: &Path, path: Option<&str>, global: &Global) -> Outcome {
    let mut names = UplinkNames::default();
    let config =
        config::load(file, &mut names).map_err(|report| End::new(CONFIG, report.to_string()))?;
    for line in config::lines(&config, &names) {
        if !below(&line.path, path) {
            continue;
        }
        if global.json {
            out(&format!("{}\n", json!({"path": line.path, "value": line.value})))?;
        } else {
            out(&format!("{} = {}\n", line.path, line.value))?;
        }
    }
    Ok(())
}

fn below(path: &str, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| {
        path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn render_lines(answer: &Answer) -> String {
    let line = |item| format!("{} = {}\n", text(item, "path"), text(item, "value"));
    answer.items.iter().map(line).collect()
}

fn diff(file: Option<PathBuf>, exit_code: bool, global: &Global) -> Outcome {
    let file = file
        .map(|file| std::path::absolute(&file).map_err(|e| End::new(USAGE, e.to_string())))
        .transpose()?;
    let request =
        Request::ConfigDiff { file: file.map(|file| file.to_string_lossy().into_owned()) };
    let answer = client::ask(&global.socket, &request)?;
    print(global, &answer, |answer| match answer.items.len() {
        0 => "no difference\n".into(),
        _ => changes(answer, |item| text(item, "text")),
    })?;
    if exit_code && !answer.items.is_empty() { Err(End::silent(NO)) } else { Ok(()) }
}

fn changes(answer: &Answer, line: fn(&serde_json::Value) -> String) -> String {
    let mut out: String = answer.items.iter().map(|item| line(item) + "\n").collect();
    out.push_str(&count(answer.items.len(), "change"));
    out + "\n"
}
