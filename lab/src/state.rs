//! What is known about labs that run or have run: a folder for each under /tmp/weft-lab with its
//! logs and a file that names its processes, so that any later run can find and clean up what an
//! earlier one left behind.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::process::Process;

/// A lab that is up, or was.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// Its name.
    pub lab: String,
    /// The file it came from.
    pub file: PathBuf,
    /// The text it was made of; the file may have changed since.
    pub text: String,
    /// It was asked to stay up after the command that started it.
    pub stays: bool,
    /// The data plane its routers use where their configuration leaves it open.
    #[serde(default)]
    pub data_plane: Option<String>,
    /// The process that started it.
    pub runner: Process,
    /// The processes of its nodes.
    pub nodes: BTreeMap<String, Process>,
    /// The processes of its wires.
    pub wires: BTreeMap<String, Process>,
}

/// While this exists no other command changes the lab.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// The folder of a lab cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The root folder belongs to somebody else, who could redirect what we write.
    #[error("{0} is not a folder of this user; remove it")]
    Foreign(PathBuf),
    /// Another command is at work on this lab.
    #[error("lab {0} is in use by another command")]
    Busy(String),
}

/// Where all labs have their folders.
pub fn root() -> PathBuf {
    std::env::temp_dir().join("weft-lab")
}

impl State {
    /// The folder of a lab.
    pub fn directory(lab: &str) -> PathBuf {
        root().join(lab)
    }

    /// What is known about a lab; nothing if it is not up and left nothing behind.
    pub fn load(lab: &str) -> Option<Self> {
        let text = fs::read_to_string(Self::directory(lab).join("lab.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// All labs that are up or left something behind.
    pub fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir(root()) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names.iter().filter_map(|name| Self::load(name)).collect()
    }

    /// Writes it down; a reader sees the old or the new state, never a part.
    pub fn save(&self) -> Result<(), Error> {
        let directory = Self::directory(&self.lab);
        let (path, new) = (directory.join("lab.json"), directory.join("lab.json.new"));
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.map_err(|source| Error::File { path, source })
    }

    /// Forgets the processes; logs stay.
    pub fn forget(lab: &str) {
        let _was_not_there = fs::remove_file(Self::directory(lab).join("lab.json"));
    }
}

impl Lock {
    /// Takes the lock of a lab, or says that it is taken.
    pub fn take(lab: &str) -> Result<Self, Error> {
        create_root()?;
        let path = root().join(format!(".{lab}.lock"));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|source| Error::File { path, source })?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Self { _file: file }),
            Err(_) => Err(Error::Busy(lab.to_owned())),
        }
    }
}

/// An empty folder for a lab.
pub fn fresh_directory(lab: &str) -> Result<PathBuf, Error> {
    create_root()?;
    let path = State::directory(lab);
    let failed = |source| Error::File { path: path.clone(), source };
    match fs::remove_dir_all(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    fs::create_dir(&path).map_err(failed)?;
    Ok(path)
}

fn create_root() -> Result<(), Error> {
    let path = root();
    let failed = |source| Error::File { path: path.clone(), source };
    match DirBuilder::new().mode(0o755).create(&path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    let metadata = fs::symlink_metadata(&path).map_err(failed)?;
    let ours = metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw();
    if ours { Ok(()) } else { Err(Error::Foreign(path)) }
}

/// Removes a lab's folder with all logs.
pub fn remove_directory(directory: &Path) {
    let _nothing_to_remove = fs::remove_dir_all(directory);
}
