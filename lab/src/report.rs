//! Results as people and programs read them.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::check::Verdict;

/// What came of one lab.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LabReport {
    /// The lab.
    pub lab: String,
    /// Its file.
    pub file: PathBuf,
    /// It came up and every check passed.
    pub passed: bool,
    /// How many nodes it has.
    pub nodes: usize,
    /// How long it took until all processes were ready.
    pub up_seconds: f64,
    /// How long everything took.
    pub seconds: f64,
    /// Why it did not come up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The checks.
    pub checks: Vec<Verdict>,
    /// Where logs were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
}

/// What came of all labs of a run: the object that `--json` prints.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// `weft.lab.test/1`
    pub schema: &'static str,
    /// Every check of every lab passed.
    pub passed: bool,
    /// Checks that passed.
    pub checks_passed: usize,
    /// Checks that failed, and labs that did not come up.
    pub checks_failed: usize,
    /// How long everything took.
    pub seconds: f64,
    /// The labs.
    pub labs: Vec<LabReport>,
}

impl Report {
    /// Sums up.
    pub fn of(labs: Vec<LabReport>, seconds: f64) -> Self {
        let checks = || labs.iter().flat_map(|lab| &lab.checks);
        let checks_passed = checks().filter(|check| check.passed).count();
        let did_not_come_up = labs.iter().filter(|lab| lab.error.is_some()).count();
        let checks_failed = checks().filter(|check| !check.passed).count() + did_not_come_up;
        Self {
            schema: "weft.lab.test/1",
            passed: labs.iter().all(|lab| lab.passed),
            checks_passed,
            checks_failed,
            seconds,
            labs,
        }
    }
}

/// Prints results as they come, for people.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    color: bool,
}

/// Where the seconds stand.
const COLUMN: usize = 72;

impl<W: Write> Printer<W> {
    /// Prints to `out`, with colours if it shows them.
    pub fn new(out: W, color: bool) -> Self {
        Self { out, color }
    }

    /// A lab is about to be brought up.
    pub fn lab_starts(&mut self, name: &str, about: &str) -> io::Result<()> {
        let about = if about.is_empty() { String::new() } else { format!(": {about}") };
        writeln!(self.out, "{}{about}", self.bold(name))
    }

    /// A lab is up, or not.
    pub fn lab_is_up(&mut self, report: &LabReport) -> io::Result<()> {
        match &report.error {
            None => writeln!(self.out, "  {} nodes up in {:.1} s", report.nodes, report.up_seconds),
            Some(error) => {
                let mut lines = error.lines();
                let first = lines.next().unwrap_or_default();
                writeln!(self.out, "  {} did not come up: {first}", self.mark(false))?;
                lines.try_for_each(|line| writeln!(self.out, "      {}", line.trim_start()))
            }
        }
    }

    /// A check is done.
    pub fn check(&mut self, verdict: &Verdict) -> io::Result<()> {
        let width = COLUMN.saturating_sub(verdict.name.chars().count());
        writeln!(
            self.out,
            "  {} {}{:width$} {:6.1} s   {}",
            self.mark(verdict.passed),
            verdict.name,
            "",
            verdict.seconds,
            verdict.summary,
        )?;
        verdict.failures.iter().try_for_each(|failure| {
            failure.lines().try_for_each(|line| writeln!(self.out, "      {line}"))
        })
    }

    /// A lab is down again.
    pub fn lab_ends(&mut self, report: &LabReport) -> io::Result<()> {
        if let Some(kept) = &report.kept {
            writeln!(self.out, "      kept: {}", kept.display())?;
            for file in report.checks.iter().flat_map(|check| &check.kept) {
                writeln!(self.out, "            {}", file.display())?;
            }
        }
        writeln!(self.out)
    }

    /// All labs are done.
    pub fn summary(&mut self, report: &Report) -> io::Result<()> {
        let failed = match report.checks_failed {
            0 => "none failed".to_owned(),
            count => format!("{count} failed"),
        };
        writeln!(
            self.out,
            "{} {} passed, {failed} in {:.1} s",
            self.mark(report.passed),
            report.checks_passed,
            report.seconds
        )
    }

    fn mark(&self, passed: bool) -> &'static str {
        match (self.color, passed) {
            (true, true) => "\x1b[32m✓\x1b[0m",
            (true, false) => "\x1b[31m✗\x1b[0m",
            (false, true) => "✓",
            (false, false) => "✗",
        }
    }

    fn bold(&self, text: &str) -> String {
        if self.color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(name: &str, failures: &[&str]) -> Verdict {
        Verdict {
            name: name.into(),
            passed: failures.is_empty(),
            seconds: 1.5,
            failures: failures.iter().map(|text| (*text).to_owned()).collect(),
            summary: "5/5".into(),
            ..Verdict::default()
        }
    }

    #[test]
    fn a_lab_that_did_not_come_up_counts_as_failed() {
        let lab = LabReport { error: Some("no".into()), ..LabReport::default() };
        let report = Report::of(vec![lab], 1.0);
        assert!(!report.passed);
        assert_eq!((report.checks_passed, report.checks_failed), (0, 1));
    }

    #[test]
    fn people_see_a_line_for_each_check_and_why_it_failed() {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, false);
        printer.check(&verdict("hosts reach each other", &[])).unwrap();
        printer.check(&verdict("nothing is lost", &["3 of 200 lost"])).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert!(lines[0].starts_with("  ✓ hosts reach each other"), "{text}");
        assert!(lines[0].ends_with("1.5 s   5/5"), "{text}");
        assert!(lines[1].starts_with("  ✗ nothing is lost"), "{text}");
        assert_eq!(lines[2], "      3 of 200 lost");
    }

    #[test]
    fn programs_find_figures_beside_what_they_are_of() {
        let mut check = verdict("x", &[]);
        let figures = [("outage-ms".to_owned(), 12.5)].into();
        check.evidence.push(crate::check::Evidence { of: "ping h1 h2".into(), figures });
        let lab = LabReport { passed: true, checks: vec![check], ..LabReport::default() };
        let json = serde_json::to_value(Report::of(vec![lab], 1.0)).unwrap();
        assert_eq!(json["schema"], "weft.lab.test/1");
        assert_eq!(json["labs"][0]["checks"][0]["evidence"][0]["outage-ms"], 12.5);
    }
}
