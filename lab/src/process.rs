//! Processes inside namespaces. A process is known by its id and its start time together, so that
//! one that ended, and whose id another program got since, is never signalled.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::network::Namespace;
use crate::wait::{self, Interrupted};

/// A process that was started, and all of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Its id, which is also the id of its session and process group.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

/// A process could not be started or waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It does not end, not even when killed.
    #[error("process {0} does not end")]
    Immortal(i32),
    /// The user wants to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// A process to be started.
#[derive(Debug)]
pub struct Start {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Gets what it prints, appended.
    pub log: PathBuf,
    /// Added to its environment.
    pub environment: Vec<(OsString, OsString)>,
    namespace: Namespace,
    host_name: String,
}

/// What a command that ran to its end has said.
#[derive(Debug)]
pub struct Answer {
    /// Its exit status; nothing if a signal or the time limit ended it.
    pub exit: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its error output.
    pub stderr: String,
}

impl Start {
    /// A process in a namespace; its words are still to be filled in.
    pub fn new(namespace: &Namespace, host_name: &str) -> Self {
        Self {
            words: Vec::new(),
            directory: PathBuf::from("/"),
            log: PathBuf::from("/dev/null"),
            environment: Vec::new(),
            namespace: namespace.clone(),
            host_name: host_name.to_owned(),
        }
    }

    /// Starts it and leaves it running.
    pub fn spawn(&self) -> Result<Process, Error> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let both = log.and_then(|log| Ok((log.try_clone()?, log)));
        let (stdout, stderr) = both.map_err(|source| self.failed(source))?;
        let mut command = self.command(true)?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = command.spawn().map_err(|source| self.failed(source))?;
        let pid = i32::try_from(child.id()).map_err(|_| Error::Immortal(0))?;
        let started = Stat::of(pid).map_or(0, |stat| stat.started);
        Ok(Process { pid, started })
    }

    /// Runs it to its end, for at most `limit`.
    pub fn run(&self, limit: Duration) -> Result<Answer, Error> {
        let mut command = self.command(true)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| self.failed(source))?;
        let stdout = reader(child.stdout.take());
        let stderr = reader(child.stderr.take());
        let ended = wait::until(limit, || child.try_wait().transpose());
        if !matches!(ended, Ok(Some(_))) {
            let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
            let _already_gone = killpg(group, Signal::SIGKILL);
            let _status = child.wait();
        }
        let status: Option<ExitStatus> = ended?.and_then(Result::ok);
        let mut stderr = stderr.join().unwrap_or_default();
        if status.is_none() {
            stderr = format!("{stderr}no answer within {limit:?}\n");
        }
        let stdout = stdout.join().unwrap_or_default();
        Ok(Answer { exit: status.and_then(|status| status.code()), stdout, stderr })
    }

    /// Runs it in the foreground, on the user's terminal.
    pub fn run_attached(&self) -> Result<ExitStatus, Error> {
        self.command(false)?.status().map_err(|source| self.failed(source))
    }

    fn command(&self, own_session: bool) -> Result<Command, Error> {
        let mut words = self.words.iter();
        let mut command = Command::new(words.next().map_or("true".as_ref(), OsString::as_os_str));
        command.args(words).current_dir(&self.directory).envs(self.environment.iter().cloned());
        self.namespace
            .contain(&mut command, &self.host_name, own_session)
            .map_err(|source| self.failed(source))?;
        Ok(command)
    }

    fn failed(&self, source: io::Error) -> Error {
        let program = self.words.first().map(|word| word.to_string_lossy().into_owned());
        Error::Start { program: program.unwrap_or_default(), source }
    }
}

impl Process {
    /// The calling process.
    pub fn this() -> Self {
        let pid = std::process::id().try_into().unwrap_or(0);
        Self { pid, started: Stat::of(pid).map_or(0, |stat| stat.started) }
    }

    /// Does it still run?
    pub fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started && !stat.zombie)
    }

    /// If it is a child of ours that has ended: how.
    pub fn ended(&self) -> Option<String> {
        match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Some(format!("ended with status {code}")),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(format!("was ended by {signal}")),
            Err(Errno::ECHILD) if !self.is_alive() => Some("has ended".to_owned()),
            _ => None,
        }
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive() {
            let _gone_meanwhile = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Asks the process and what it started to end, waits, and kills what is left after `limit`.
    pub fn stop(&self, limit: Duration) -> Result<(), Error> {
        self.signal_group(Signal::SIGTERM);
        // an interruption must not leave processes behind: it only shortens the patience
        let gone = wait::until(limit, || self.ended()).unwrap_or_default();
        if gone.is_none() {
            self.kill()?;
        }
        self.kill_session();
        Ok(())
    }

    /// Ends the process and what it started, without asking.
    pub fn kill(&self) -> Result<(), Error> {
        self.signal_group(Signal::SIGKILL);
        // what it holds of the kernel's network is given back under a lock that others want too
        for _attempt in 0..2000 {
            if self.ended().is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Error::Immortal(self.pid))
    }

    fn signal_group(&self, signal: Signal) {
        if self.is_alive() {
            let _gone_meanwhile = killpg(Pid::from_raw(self.pid), signal);
        }
    }

    /// Kills what the process left behind in its session. Whoever is in that session and not older
    /// than its leader was started by it.
    fn kill_session(&self) {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        for pid in pids {
            let ours = Stat::of(pid).is_some_and(|stat| {
                stat.session == self.pid && stat.started >= self.started && pid != self.pid
            });
            if ours && Stat::of(self.pid).is_none() {
                let _gone_meanwhile = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// What `/proc/PID/stat` says.
struct Stat {
    zombie: bool,
    session: i32,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the program's name stands in parentheses and may hold anything, also parentheses
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        Some(Self {
            zombie: matches!(*fields.first()?, "Z" | "X"),
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Most that is kept of a command's output.
const OUTPUT_LIMIT: u64 = 16 << 20;

fn reader(pipe: Option<impl io::Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // what was read until an error is all there is to show
            let _cut_short = pipe.take(OUTPUT_LIMIT).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The last lines of a log, as evidence.
pub fn tail(log: &Path, lines: usize) -> Vec<String> {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut file| file.read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}
