//! The journal's file: writes by room and number, in a `redb`, which is whole after a crash at any moment.
//!
//! A file that cannot be read is set aside by another name and begun anew: a router starts without it. One that another process
//! has is refused. Knows nothing of Redis.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError,
    TableDefinition, TableError,
};

/// Its name in the folder of the data.
pub(super) const NAME: &str = "journal.redb";
/// Of one that cannot be read, or was of other rooms; the latest of them.
const SET_ASIDE: &str = "journal.aside";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Pages in memory: what is written is read once.
const CACHE_BYTES: usize = 4 << 20;
/// Writes of a room that are read at once,
const READ_MAX: usize = 64;
/// and their bytes, but for the first.
const READ_BYTES: usize = 1 << 20;

const WRITES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("writes");
/// Whose they are, under [`OF`].
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
const OF: &str = "of";

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// Another process has it.
    #[error("another process has {0}: each router needs a server.data_dir of its own")]
    Taken(PathBuf),
    /// The disk says no.
    #[error("{0} cannot be opened: {1}")]
    Failed(PathBuf, String),
}

/// What is to be changed, together with what else waits.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// One more write.
    Append { room: String, number: u64, bytes: Bytes },
    /// Writes up to there are done with.
    Forget { room: String, up_to: u64 },
}

/// See the module.
pub(super) struct Disk {
    path: PathBuf,
    database: Database,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Disk").field(&self.path).finish()
    }
}

/// Whether it is worth trying to read it.
enum Tried {
    Good(Database),
    Bad(String),
}

impl Disk {
    /// The journal in that folder, of rooms that are `of`; and why the one that was there is set aside, if it is.
    ///
    /// # Errors
    /// Another process has it, or the disk says no.
    pub(super) fn open(folder: &Path, of: &str) -> Result<(Self, Option<String>), Unopened> {
        let path = folder.join(NAME);
        let failed = |error: &dyn std::fmt::Display| Unopened::Failed(path.clone(), error.to_string());
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(|error| failed(&error))?;
        let why = match tried(&path, of)? {
            Tried::Good(database) => return Ok((Self { path, database }, None)),
            Tried::Bad(why) => why,
        };
        fs::rename(&path, folder.join(SET_ASIDE)).map_err(|error| failed(&error))?;
        match tried(&path, of)? {
            Tried::Good(database) => {
                let told = format!("{} {why}; it is {SET_ASIDE} now", path.display());
                Ok((Self { path, database }, Some(told)))
            }
            Tried::Bad(why) => Err(failed(&why)),
        }
    }

    /// One that is elsewhere than in a file.
    #[cfg(test)]
    pub(super) fn on(backend: impl redb::StorageBackend) -> Self {
        let database = Builder::new().create_with_backend(backend).unwrap();
        prepare(&database, "signalbox:fleet").unwrap();
        Self { path: PathBuf::from("memory"), database }
    }

    /// Carries out all of these; they are on the disk then.
    ///
    /// # Errors
    /// None of them is, and the database is of no use any more.
    pub(super) fn commit(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut writes = transaction.open_table(WRITES)?;
            for change in changes {
                match change {
                    Change::Append { room, number, bytes } => {
                        writes.insert((room.as_str(), *number), bytes.as_ref())?;
                    }
                    Change::Forget { room, up_to } => {
                        let room = room.as_str();
                        writes.retain_in::<(&str, u64), _>((room, 0)..=(room, *up_to), |_, _| false)?;
                    }
                }
            }
        }
        Ok(transaction.commit()?)
    }

    /// The oldest writes of a room after that one, in order.
    ///
    /// # Errors
    /// The disk says no.
    pub(super) fn read(&self, room: &str, after: u64) -> Result<Vec<(u64, Bytes)>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let (mut read, mut size) = (Vec::new(), 0);
        for row in
            transaction.open_table(WRITES)?.range::<(&str, u64)>((room, after.saturating_add(1))..=(room, u64::MAX))?
        {
            let (key, value) = row?;
            let bytes = Bytes::copy_from_slice(value.value());
            size += bytes.len();
            if !read.is_empty() && (size > READ_BYTES || read.len() == READ_MAX) {
                break;
            }
            read.push((key.value().1, bytes));
        }
        Ok(read)
    }

    /// Shows all writes, by room and in order.
    ///
    /// # Errors
    /// The disk says no.
    pub(super) fn each(&self, mut show: impl FnMut(&str, u64, Bytes)) -> Result<(), redb::Error> {
        let transaction = self.database.begin_read()?;
        for row in transaction.open_table(WRITES)?.iter()? {
            let (key, value) = row?;
            let (room, number) = key.value();
            show(room, number, Bytes::copy_from_slice(value.value()));
        }
        Ok(())
    }

    /// Gives the disk back what nothing stands in any more.
    pub(super) fn shrink(&mut self) -> Result<(), String> {
        self.database.compact().map(drop).map_err(|error| error.to_string())
    }

    /// Ends it and its file: all that was in it is done with.
    ///
    /// # Errors
    /// The file is still there.
    pub(super) fn discard(folder: &Path) -> std::io::Result<()> {
        match fs::remove_file(folder.join(NAME)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Opens it and looks at all of it; a file that brings the library itself down is a bad one.
fn tried(path: &Path, of: &str) -> Result<Tried, Unopened> {
    let failed = |why: String| Unopened::Failed(path.to_owned(), why);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
    let file = file.map_err(|error| failed(error.to_string()))?;
    match catch_unwind(AssertUnwindSafe(|| opened(file, of))) {
        Ok(Ok(None)) => Ok(Tried::Bad("is of other rooms: another server.id, redis.prefix or fleet".to_owned())),
        Ok(Ok(Some(database))) => Ok(Tried::Good(database)),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(Unopened::Taken(path.to_owned())),
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) if error.kind() != ErrorKind::InvalidData => {
            // the end of a file that was cut short is found as that of the disk's words
            match error.kind() {
                ErrorKind::UnexpectedEof => Ok(Tried::Bad(format!("cannot be read: {error}"))),
                _ => Err(failed(error.to_string())),
            }
        }
        Ok(Err(error)) => Ok(Tried::Bad(format!("cannot be read: {error}"))),
        Err(_) => Ok(Tried::Bad("cannot be read: it brings its reader down".to_owned())),
    }
}

/// Absent: it is of others.
fn opened(file: File, of: &str) -> Result<Option<Database>, DatabaseError> {
    let is_new = file.metadata()?.len() == 0;
    let mut database = Builder::new().set_cache_size(CACHE_BYTES).create_file(file)?;
    if !is_new {
        // whether what is there is what was written; what a crash left half done is not
        database.check_integrity()?;
    }
    let is_ours = prepare(&database, of).map_err(storage)?;
    Ok(is_ours.then_some(database))
}

/// Whether it is of these rooms. An empty one becomes so; one that is needs nothing written, so that a full disk can be read.
fn prepare(database: &Database, of: &str) -> Result<bool, redb::Error> {
    let (before, is_empty) = about(database)?;
    if before.as_deref() == Some(of) || !is_empty {
        return Ok(before.is_none_or(|before| before == of));
    }
    let transaction = database.begin_write()?;
    transaction.open_table(WRITES)?;
    transaction.open_table(ABOUT)?.insert(OF, of)?;
    transaction.commit()?;
    Ok(true)
}

/// Whose it is, and whether nothing is in it.
fn about(database: &Database) -> Result<(Option<String>, bool), redb::Error> {
    let transaction = database.begin_read()?;
    let is_empty = match transaction.open_table(WRITES) {
        Ok(writes) => writes.is_empty()?,
        Err(TableError::TableDoesNotExist(_)) => true,
        Err(error) => return Err(error.into()),
    };
    let of = match transaction.open_table(ABOUT) {
        Ok(about) => about.get(OF)?.map(|of| of.value().to_owned()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok((of, is_empty))
}

fn storage(error: redb::Error) -> DatabaseError {
    match error {
        redb::Error::Io(error) => DatabaseError::Storage(StorageError::Io(error)),
        error => DatabaseError::Storage(StorageError::Corrupted(error.to_string())),
    }
}
