//! What survives a restart: nonces, registrations and the like, as the engine's `Store` actions
//! give them. A batch is on disk before the messages that acknowledge it leave.

use std::path::{Path, PathBuf};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use weft_control::lisp::Stored;

const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");

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
        _ => "",
    }
}

/// One file of keys and values.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    database: Database,
}

/// Something to keep, or to forget.
pub(crate) type Write = (String, Option<Vec<u8>>);

impl Store {
    /// Opens the file, making it and its folder if they are not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("state.redb");
        let open = || -> Result<Database, redb::Error> {
            std::fs::create_dir_all(folder).map_err(redb::Error::Io)?;
            Ok(Database::create(&path)?)
        };
        match open() {
            Ok(database) => Ok(Self { path, database }),
            Err(source) => Err(Error { path, source: Box::new(source) }),
        }
    }

    /// Everything kept, as it was before the restart.
    pub(crate) fn load(&self) -> Result<Stored, Error> {
        let load = || -> Result<Stored, redb::Error> {
            let read = self.database.begin_read()?;
            let table = match read.open_table(VALUES) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Stored::default()),
                Err(error) => return Err(error.into()),
            };
            let mut stored = Stored::default();
            for entry in table.iter()? {
                let (key, value) = entry?;
                stored.insert(key.value().to_owned(), value.value().to_vec());
            }
            Ok(stored)
        };
        load().map_err(|source| self.error(source))
    }

    /// Keeps a batch: all of it or, on error, nothing. Returns when it is on disk.
    pub(crate) fn write(&self, batch: &[Write]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate).map_err(redb::Error::from)?;
            {
                let mut table = transaction.open_table(VALUES)?;
                for (key, value) in batch {
                    match value {
                        Some(value) => drop(table.insert(key.as_str(), value.as_slice())?),
                        None => drop(table.remove(key.as_str())?),
                    }
                }
            }
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|source| self.error(source))
    }

    fn error(&self, source: redb::Error) -> Error {
        Error { path: self.path.clone(), source: Box::new(source) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_write_of_each_key_is_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let write = |key: &str, value: Option<&[u8]>| (key.to_owned(), value.map(<[u8]>::to_vec));
        store.write(&[write("a", Some(b"1")), write("b", Some(b"2"))]).unwrap();
        store.write(&[write("a", Some(b"3")), write("b", None), write("c", None)]).unwrap();
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
}
