//! Whether packets can be forwarded in the kernel here, and if not, why: for an operator who has
//! to do something about it.

use std::fs;
use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

/// Why packets cannot be forwarded in the kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The process may not do it.
    #[error(
        "it takes the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON in the host's user \
         namespace, and {0} is missing"
    )]
    NotPermitted(&'static str),
    /// The process has the rights, and was refused all the same.
    #[error(
        "the kernel forbids BPF although the capabilities are there: \
         look for kernel lockdown, a seccomp filter or a container without BPF"
    )]
    Forbidden,
    /// The kernel was built without it.
    #[error("this kernel was built without BPF (CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF)")]
    NoBpf,
    /// The kernel lacks memory for the tables.
    #[error("the kernel has no memory for the table `{0}`")]
    NoMemory(String),
    /// The kernel does not know a kind of table.
    #[error("this kernel is too old: it cannot make the table `{table}` ({source})")]
    NoTable {
        /// Which of the program's.
        table: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not accept the program, mostly for want of a function.
    #[error("this kernel does not accept the program: {0}")]
    Program(String),
    /// Nothing can be attached to interfaces.
    #[error("no program can be attached to an interface here: {0}")]
    NoHook(String),
}

impl Refusal {
    /// Why the program or its maps could not be loaded.
    pub(super) fn of(error: EbpfError) -> Self {
        match error {
            EbpfError::MapError(error) => Self::of_map(error),
            EbpfError::ProgramError(error) => Self::of_program(error),
            other => Self::Program(sentence(&other)),
        }
    }

    /// Why a map could not be made.
    pub(super) fn of_map(error: MapError) -> Self {
        match error {
            MapError::CreateError { name, io_error } => match io_error.raw_os_error() {
                Some(libc::ENOMEM | libc::E2BIG) => Self::NoMemory(name),
                Some(libc::EINVAL) => Self::NoTable { table: name, source: io_error },
                _ => {
                    Self::of_system(&io_error).unwrap_or_else(|| Self::Program(sentence(&io_error)))
                }
            },
            other => Self::Program(sentence(&other)),
        }
    }

    /// Why the program was not taken.
    pub(super) fn of_program(error: ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                Self::of_load(&io_error, &verifier_log.to_string())
            }
            other => Self::Program(sentence(&other)),
        }
    }

    /// Where the verifier said something it is the program, unless a right is missing: without
    /// CAP_PERFMON the verifier allows less.
    fn of_load(error: &io::Error, log: &str) -> Self {
        if let Some(missing) = missing_right() {
            return Self::NotPermitted(missing);
        }
        verdict(log)
            .map(Self::Program)
            .or_else(|| Self::of_system(error))
            .unwrap_or_else(|| Self::Program(sentence(error)))
    }

    /// What an error number says by itself.
    pub(super) fn of_system(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            libc::ENOSYS => Some(Self::NoBpf),
            libc::EPERM | libc::EACCES => {
                Some(missing_right().map_or(Self::Forbidden, Self::NotPermitted))
            }
            _ => None,
        }
    }
}

/// An error with all its causes.
pub(super) fn sentence(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = error.source();
    }
    said
}

/// The line of a verifier log that says what was wrong: the last one before the statistics.
fn verdict(log: &str) -> Option<String> {
    const STATISTICS: [&str; 4] =
        ["processed ", "verification time ", "stack depth ", "max_states_per_insn "];
    let lines = log.lines().rev().map(str::trim);
    let mut said = lines.filter(|line| !line.is_empty());
    said.find(|line| !STATISTICS.iter().any(|start| line.starts_with(start))).map(str::to_owned)
}

/// The capability that is missing, if one is.
fn missing_right() -> Option<&'static str> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    missing_in(&status)
}

fn missing_in(status: &str) -> Option<&'static str> {
    const SYS_ADMIN: u32 = 21;
    const NEEDED: [(u32, &str); 3] = [(39, "CAP_BPF"), (12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON")];
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    let has = |capability: u32| effective >> capability & 1 == 1;
    if has(SYS_ADMIN) {
        return None;
    }
    NEEDED.into_iter().find(|(capability, _)| !has(*capability)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_capability_is_named() {
        let status = |mask: &str| format!("Name:\tweft\nCapPrm:\t0\nCapEff:\t{mask}\nCapBnd:\t0\n");
        assert_eq!(missing_in(&status("0000000000000000")), Some("CAP_BPF"));
        assert_eq!(missing_in(&status("0000008000000000")), Some("CAP_NET_ADMIN"));
        assert_eq!(missing_in(&status("0000008000001000")), Some("CAP_PERFMON"));
        assert_eq!(missing_in(&status("000000c000001000")), None);
        assert_eq!(missing_in(&status("0000000000200000")), None, "CAP_SYS_ADMIN is all of them");
        assert_eq!(missing_in(&status("000001ffffffffff")), None);
    }

    #[test]
    fn the_verifiers_last_word_is_found() {
        let log = "0: R1=ctx() R10=fp0\n12: (85) call bpf_redirect_peer#155\n\
                   program of this type cannot use helper bpf_redirect_peer#155\n\
                   verification time 812 usec\nstack depth 64\n\
                   processed 13 insns (limit 1000000) max_states_per_insn 0\n";
        let said = "program of this type cannot use helper bpf_redirect_peer#155";
        assert_eq!(verdict(log).as_deref(), Some(said));
        assert_eq!(verdict("\n\n"), None);
    }

    #[test]
    fn errors_become_reasons() {
        let made = |number| MapError::CreateError {
            name: "nodes".to_owned(),
            io_error: io::Error::from_raw_os_error(number),
        };
        assert!(matches!(Refusal::of_map(made(libc::ENOMEM)), Refusal::NoMemory(_)));
        assert!(matches!(Refusal::of_map(made(libc::EINVAL)), Refusal::NoTable { .. }));
        assert!(matches!(Refusal::of_map(made(libc::ENOSYS)), Refusal::NoBpf));
        let denied = io::Error::from_raw_os_error(libc::EACCES);
        let said = Refusal::of_load(&denied, "R3 invalid mem access\nprocessed 3 insns\n");
        let expected = missing_right().unwrap_or("R3 invalid mem access");
        assert!(said.to_string().contains(expected), "{said}");
        assert!(!matches!(Refusal::of_load(&denied, ""), Refusal::Program(_)));
    }
}
