//! What survives a restart: nonces, registrations and the like, as the engine's `Store` actions
//! give them. A batch is on disk before the messages that acknowledge it leave. What a full or
//! failing disk does not take is kept, and written with the next batch once it does.

use std::collections::BTreeMap;
use std::io;
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use weft_control::engine::Instant;
use weft_control::lisp::Stored;

const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");

/// After a failure the disk is tried again so often.
const RETRY: Duration = Duration::from_secs(1);

/// The store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[error("state file {}: {source}{}", path.display(), hint(source))]
pub struct Error {
    path: PathBuf,
    source: Box<redb::Error>,
}

fn hint(error: &redb::Error) -> &'static str {
    match error {
        redb::Error::DatabaseAlreadyOpen => " (another router runs with it; give each its own)",
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => DAMAGED,
        redb::Error::Io(error) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => DAMAGED,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => " (make room there)",
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                " (let management.state name a folder that can be written)"
            }
            _ => "",
        },
        _ => "",
    }
}

const DAMAGED: &str = " (it is damaged or no state file; move it away and start again: peers \
     repeat within a minute what it held)";

/// One file of keys and values.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// Absent from a failure until the file could be opened again.
    database: Option<Database>,
    /// What waits for a disk that takes it.
    unwritten: BTreeMap<String, Option<Vec<u8>>>,
    failed: Option<Instant>,
}

/// Something to keep, or to forget.
pub(crate) type Write = (String, Option<Vec<u8>>);

impl Store {
    /// Opens the file, making it and its folder if they are not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("state.redb");
        let open = || -> Result<Database, redb::Error> {
            std::fs::create_dir_all(folder).map_err(redb::Error::Io)?;
            let mut database = Database::create(&path)?;
            // A damaged page would go unnoticed, or break the router when it is read later.
            database.check_integrity()?;
            Ok(database)
        };
        match explaining_panics(&path, open) {
            Ok(database) => {
                let unwritten = BTreeMap::new();
                Ok(Self { path, database: Some(database), unwritten, failed: None })
            }
            Err(source) => Err(Error { path, source: Box::new(source) }),
        }
    }

    /// Everything kept, as it was before the restart.
    pub(crate) fn load(&self) -> Result<Stored, Error> {
        let load = || -> Result<Stored, redb::Error> {
            let mut stored = Stored::default();
            let Some(database) = &self.database else { return Err(redb::Error::PreviousIo) };
            let read = database.begin_read()?;
            let table = match read.open_table(VALUES) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(stored),
                Err(error) => return Err(error.into()),
            };
            for entry in table.iter()? {
                let (key, value) = entry?;
                stored.insert(key.value().to_owned(), value.value().to_vec());
            }
            Ok(stored)
        };
        load().map_err(|source| self.error(source))
    }

    /// True while the disk has not taken everything.
    pub(crate) fn is_behind(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Keeps a batch, and what was left of earlier ones. Returns when all of it is on disk; on
    /// error nothing of it is, and all of it waits for the next call.
    pub(crate) fn write(&mut self, now: Instant, batch: Vec<Write>) -> Result<(), Error> {
        self.unwritten.extend(batch);
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if self.failed.is_some_and(|at| now < at + RETRY) {
            return Err(self.error(redb::Error::PreviousIo));
        }
        match self.commit() {
            Ok(()) => {
                self.unwritten.clear();
                self.failed = None;
                Ok(())
            }
            Err(source) => {
                // It takes nothing more after a failure; it is opened anew.
                self.database = None;
                self.failed = Some(now);
                Err(self.error(source))
            }
        }
    }

    fn commit(&mut self) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::create(&self.path)?,
        };
        let database = self.database.insert(database);
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate).map_err(redb::Error::from)?;
        {
            let mut table = transaction.open_table(VALUES)?;
            for (key, value) in &self.unwritten {
                match value {
                    Some(value) => drop(table.insert(key.as_str(), value.as_slice())?),
                    None => drop(table.remove(key.as_str())?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn error(&self, source: redb::Error) -> Error {
        Error { path: self.path.clone(), source: Box::new(source) }
    }
}

/// Does what reads the file of unknown content. The database trusts a few of its numbers and
/// panics where they are wrong; then the process ends with an explanation for the operator.
fn explaining_panics<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    let usual: Arc<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> = Arc::from(panic::take_hook());
    let (ours, path, otherwise) = (thread::current().id(), path.to_owned(), usual.clone());
    panic::set_hook(Box::new(move |panicked| {
        if thread::current().id() == ours {
            eprintln!("error: state file {}: unreadable{DAMAGED}", path.display());
            std::process::exit(1);
        }
        otherwise(panicked);
    }));
    let result = work();
    panic::set_hook(Box::new(move |panicked| usual(panicked)));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, value: Option<&[u8]>) -> Write {
        (key.to_owned(), value.map(<[u8]>::to_vec))
    }

    #[test]
    fn last_write_of_each_key_is_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.write(Instant::START, vec![write("a", Some(b"1")), write("b", Some(b"2"))]).unwrap();
        store
            .write(Instant::START, vec![write("a", Some(b"3")), write("b", None), write("c", None)])
            .unwrap();
        drop(store);
        let stored = Store::open(folder.path()).unwrap().load().unwrap();
        assert_eq!(stored, Stored::from([("a".to_owned(), b"3".to_vec())]));
    }

    #[test]
    fn second_router_on_the_same_state_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Store::open(folder.path()).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another router runs with it"), "{error}");
    }

    #[test]
    fn what_the_disk_did_not_take_is_written_with_the_next_batch() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        // A file that cannot be opened stands for a disk that takes nothing.
        store.database = None;
        let path = std::mem::replace(&mut store.path, "/no/such/folder/state.redb".into());
        assert!(
            store
                .write(Instant::START, vec![write("a", Some(b"1")), write("b", Some(b"1"))])
                .is_err()
        );
        assert!(store.is_behind());
        store.path = path;
        store.write(Instant::START + RETRY, vec![write("b", Some(b"2"))]).unwrap();
        assert!(!store.is_behind());
        drop(store);
        let stored = Store::open(folder.path()).unwrap().load().unwrap();
        let kept = [("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())];
        assert_eq!(stored, Stored::from(kept));
    }

    #[test]
    fn damaged_file_is_explained_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let damage = b"this is a shopping list, not a database".repeat(100);
        std::fs::write(&path, &damage).unwrap();
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), damage);
    }

    #[test]
    fn file_that_lost_its_end_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.write(Instant::START, vec![write("a", Some(&[7; 100_000]))]).unwrap();
        drop(store);
        let file = std::fs::File::options().write(true).open(folder.path().join("state.redb"));
        file.unwrap().set_len(50_000).unwrap();
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
    }
}
