//! Where the kernel keeps programs and tables while no router runs: a directory of a BPF file
//! system, one for each network namespace.
//!
//! The file system must outlive us. One that is mounted from within a mount namespace of our own,
//! as service managers and `ip netns exec` give it to us, would not, so nothing is mounted there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Why nothing can be pinned there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is an ordinary directory, and what we mount would be gone with us.
    #[error("{0} is no BPF file system, and one mounted from here would go with the router")]
    Private(String),
    /// It is an ordinary directory, and we may not mount.
    #[error("{path} is no BPF file system and cannot become one: {source}")]
    Mount {
        /// Where.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else does not work there.
    #[error("{path}: {source}")]
    Directory {
        /// Where.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The directory of this network namespace below `path`, which becomes a BPF file system if it is
/// none.
pub(crate) fn prepare(path: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::Directory { path: path.display().to_string(), source };
    fs::create_dir_all(path).map_err(failed)?;
    if !is_bpf_file_system(path) {
        mount_there(path)?;
    }
    let directory = directory(path).map_err(failed)?;
    match fs::create_dir(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(directory),
    }
}

/// Removes what is pinned for this network namespace, which ends what it did. True when there was
/// something.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    let directory = directory(path)?;
    match fs::remove_dir_all(&directory) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a router could pin below `path`; nothing is changed.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    if is_bpf_file_system(path) {
        return Ok(());
    }
    if !shares_mounts() {
        return Err(Error::Private(path.display().to_string()));
    }
    if !nix::unistd::geteuid().is_root() {
        let source = io::Error::from(io::ErrorKind::PermissionDenied);
        return Err(Error::Mount { path: path.display().to_string(), source });
    }
    Ok(())
}

fn mount_there(path: &Path) -> Result<(), Error> {
    if !shares_mounts() {
        return Err(Error::Private(path.display().to_string()));
    }
    let mode = Some("mode=0700");
    mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), mode)
        .map_err(|error| Error::Mount { path: path.display().to_string(), source: error.into() })
}

fn is_bpf_file_system(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}

/// True when what we mount stays when we go: who started us has the same mounts.
fn shares_mounts() -> bool {
    let of = |process: &str| fs::metadata(format!("/proc/{process}/ns/mnt")).map(|ns| ns.ino());
    let parent = nix::unistd::getppid().to_string();
    matches!((of("self"), of(&parent)), (Ok(ours), Ok(theirs)) if ours == theirs)
}

/// The kernel takes no dots in names there.
fn directory(path: &Path) -> io::Result<PathBuf> {
    let namespace = fs::metadata("/proc/thread-self/ns/net")?.ino();
    Ok(path.join(format!("net-{namespace}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_pinned_is_nothing_to_remove() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!remove(folder.path()).unwrap());
        fs::create_dir(directory(folder.path()).unwrap()).unwrap();
        assert!(remove(folder.path()).unwrap());
        assert!(!remove(folder.path()).unwrap());
    }

    #[test]
    fn ordinary_directory_is_no_bpf_file_system() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_bpf_file_system(folder.path()));
        let error = Error::Private("/run/weft_bpf".into()).to_string();
        assert!(error.contains("would go with the router"), "{error}");
    }
}
