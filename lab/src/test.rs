//! `weft lab test`: bring up, check, take down, for one lab after the other.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::check;
use crate::file;
use crate::lab::{self, Lab, Options};
use crate::report::{LabReport, Printer, Report};
use crate::topology::Topology;
use crate::wait::{self, Interrupted};

/// A run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lab file is wrong.
    #[error(transparent)]
    File(#[from] file::Error),
    /// A lab could not be taken down, or this machine cannot run labs.
    #[error("error: {0}")]
    Lab(#[from] lab::Error),
    /// The user wants to end; everything was cleaned up.
    #[error("{0}")]
    Interrupted(#[from] Interrupted),
    /// Results could not be printed, or a folder not be read.
    #[error("error: {0}")]
    Io(#[from] io::Error),
}

/// The lab files of a folder, by name.
pub fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

/// Reads all files, then runs their labs. With `keep` the last lab that fails stays up.
pub fn run<W: Write>(
    files: &[PathBuf],
    options: &Options,
    color: bool,
    printer: &mut Printer<W>,
) -> Result<Report, Error> {
    let began = Instant::now();
    let mut labs = Vec::new();
    for path in files {
        labs.extend(file::read(path, color)?);
    }
    wait::catch_interrupts()?;
    let reports: Vec<LabReport> =
        labs.into_iter().map(|lab| run_lab(lab, options, printer)).collect::<Result<_, _>>()?;
    let report = Report::of(reports, began.elapsed().as_secs_f64());
    printer.summary(&report)?;
    Ok(report)
}

fn run_lab<W: Write>(
    topology: Topology,
    options: &Options,
    printer: &mut Printer<W>,
) -> Result<LabReport, Error> {
    let began = Instant::now();
    let mut report = LabReport {
        lab: topology.name.clone(),
        file: topology.file.clone(),
        nodes: topology.nodes.len(),
        ..LabReport::default()
    };
    printer.lab_starts(&topology.name, &topology.about)?;
    let checks = topology.checks.clone();
    let up = Lab::up(topology, options);
    report.up_seconds = began.elapsed().as_secs_f64();
    match up {
        Ok(mut lab) => {
            printer.lab_is_up(&report)?;
            let result = run_checks(&checks, &mut lab, &mut report, printer);
            let passed = result.is_ok() && report.checks.iter().all(|check| check.passed);
            report.passed = passed;
            take_down(lab, options, result.is_ok(), &mut report)?;
            result?;
        }
        Err(error @ (lab::Error::NotRoot | lab::Error::AlreadyUp(_) | lab::Error::State(_))) => {
            return Err(error.into());
        }
        Err(error) => {
            wait::interrupted()?;
            report.error = Some(error.to_string());
            report.kept = Some(crate::state::State::directory(&report.lab));
            printer.lab_is_up(&report)?;
        }
    }
    report.seconds = began.elapsed().as_secs_f64();
    printer.lab_ends(&report)?;
    Ok(report)
}

fn run_checks<W: Write>(
    checks: &[check::Check],
    lab: &mut Lab,
    report: &mut LabReport,
    printer: &mut Printer<W>,
) -> Result<(), Error> {
    for (number, check) in checks.iter().enumerate() {
        let verdict = check::run(check, number, lab)?;
        printer.check(&verdict)?;
        report.checks.push(verdict);
    }
    Ok(())
}

/// Takes the lab down unless it is to stay; keeps the evidence of a failure.
fn take_down(
    lab: Lab,
    options: &Options,
    completed: bool,
    report: &mut LabReport,
) -> Result<(), Error> {
    let failed = completed && !report.passed;
    if failed {
        report.kept = Some(lab.directory().to_owned());
        lab.save_status();
    }
    if options.stays && completed {
        report.kept = Some(lab.directory().to_owned());
        return Ok(());
    }
    Ok(lab.down(failed || options.record)?)
}
