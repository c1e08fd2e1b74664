//! Network namespaces by name, as `ip netns` keeps them: a bind mount under /run/netns. Sockets
//! belong to the namespace of the thread that opened them, whichever thread uses them later, so a
//! short-lived thread inside is all that is needed to put a socket into a node.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, setns, unshare};

/// A namespace that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

const DIRECTORY: &str = "/run/netns";

impl Namespace {
    /// The namespace of that name; whether it exists shows when it is used.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All namespaces whose name begins with `prefix`.
    pub fn with_prefix(prefix: &str) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(DIRECTORY) else { return Vec::new() };
        let mut found: Vec<Self> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .map(Self::named)
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// What the kernel calls it, as seen through `/proc/PID/ns/net`.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(fs::metadata(self.path())?.ino())
    }

    /// Runs `body` in a thread inside the namespace.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let file = self.open()?;
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, || {
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
                body()
            })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into the namespace for good.
    pub fn join(&self) -> io::Result<()> {
        Ok(setns(self.open()?.as_fd(), CloneFlags::CLONE_NEWNET)?)
    }

    /// Makes `command` run inside: in the network namespace, with its own host name and a view of
    /// /sys that fits. In a session of its own all it starts can be ended together; without one it
    /// keeps the user's terminal.
    #[expect(unsafe_code, reason = "the child enters the namespace between fork and exec")]
    pub fn contain(
        &self,
        command: &mut Command,
        host_name: &str,
        own_session: bool,
    ) -> io::Result<()> {
        let file = self.open()?;
        let host_name = host_name.to_owned();
        let enter = move || {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
            nix::unistd::sethostname(&host_name)?;
            own_sysfs()?;
            if own_session {
                nix::unistd::setsid()?;
            }
            Ok(())
        };
        // SAFETY: the closure makes system calls only. It allocates nothing: its paths and the host
        // name are short enough for nix to pass them on the stack.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        File::open(self.path()).map_err(|error| {
            io::Error::new(error.kind(), format!("network namespace {}: {error}", self.name))
        })
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(DIRECTORY).join(&self.name)
    }
}

/// /sys/class/net shows the namespace in which it was mounted, so mount it again.
fn own_sysfs() -> nix::Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none)?;
    // a /sys that cannot be replaced only means that tools reading it see the wrong interfaces
    let _still_mounted = umount("/sys");
    let _old_view = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none);
    Ok(())
}
