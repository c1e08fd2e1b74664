//! Links that outlive the process: a folder on a BPF file system with a file for each interface.
//!
//! While its file exists the program stays attached and forwards with its last tables, so that a
//! router can be replaced without a packet lost. The next process finds the file and puts its own
//! program, with its own tables, in the place of the old one in a single step.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// What is pinned of one program, in the folder of a network namespace.
pub(super) struct Pins {
    folder: PathBuf,
    prefix: &'static str,
}

impl Pins {
    /// Makes the folder if there is none, and mounts a BPF file system on it if it is not on one.
    /// The names of the program's files begin with `prefix`.
    pub(super) fn open(folder: &Path, prefix: &'static str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        if statfs(folder)?.filesystem_type() != BPF_FS_MAGIC {
            let options = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount(Some("bpffs"), folder, Some("bpf"), options, Some("mode=0700"))?;
        }
        Ok(Self { folder: folder.to_owned(), prefix })
    }

    /// The interfaces there are links for.
    pub(super) fn interfaces(&self) -> Vec<u32> {
        let Ok(files) = fs::read_dir(&self.folder) else { return Vec::new() };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.strip_prefix(self.prefix)?.parse().ok()).collect()
    }

    /// The link that an earlier process left for an interface.
    pub(super) fn find(&self, interface: u32) -> Option<FdLink> {
        PinnedLink::from_pin(self.file(interface)).ok().map(FdLink::from)
    }

    /// Lets a link outlive the process. The link is lost if that fails.
    pub(super) fn add(&self, interface: u32, link: FdLink) -> Result<FdLink, aya::pin::PinError> {
        link.pin(self.file(interface)).map(FdLink::from)
    }

    /// Forgets a link; it goes with the last process that holds it.
    pub(super) fn remove(&self, interface: u32) {
        let file = self.file(interface);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %file.display(), %error, "cannot remove a pinned link");
            }
            _ => {}
        }
    }

    fn file(&self, interface: u32) -> PathBuf {
        self.folder.join(format!("{}{interface}", self.prefix))
    }
}

/// Of the main program.
pub(super) const INGRESS: &str = "ingress-";
/// Of the one at the card itself.
pub(super) const ARRIVAL: &str = "arrival-";
