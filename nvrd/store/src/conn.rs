//! The store itself: one connection that writes, a few that read, and how a transaction on them runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool, R2D2Connection as _};
use diesel::result::Error as QueryError;
use nvr_base::{Clock, Error, Result};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::events::Counted;
use crate::failure::{Failure, from_message, from_query};
use crate::migrate;

/// The one type of connection; a second database makes it an enum.
pub(crate) type Conn = SqliteConnection;

/// Readers at once; more requests wait.
const READERS: u32 = 4;

/// How long a reader may be waited for before the request fails.
const READER_WAIT: Duration = Duration::from_secs(5);

/// For every connection. The daemon is the only writer, so waiting for a lock means that a person is in the file.
const COMMON: &str = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";

/// FULL: a commit that was reported is on disk after a power cut. The limit gives back the space of a burst.
/// Rows go in at the end and are not read again: a small cache holds what a transaction touches, and its filling up
/// does not look like a leak for the first hours.
const WRITER: &str =
    "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -256;";

/// A second net below the types: nothing written through a reader ever reaches the file.
/// Readers come for a page or two of rows; what a larger cache would hold lies in the system's cache anyway.
const READER: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -512;";

/// The database; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    ids: Mutex<ContextV7>,
    /// Empty while a transaction runs, and after one that left the connection in doubt.
    writer: Mutex<Option<Conn>>,
    readers: Pool<ConnectionManager<Conn>>,
    read_only: bool,
    /// Totals of lists of events that took long to count.
    counted: Counted,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database in a file, making it if it is not there, and brings its schema up to date.
    ///
    /// A file with an older schema is first copied to `<file>.schema-<version>.backup`.
    ///
    /// # Errors
    /// `DataLoss` if the file is not a database or is damaged, `FailedPrecondition` if a newer program or another one
    /// wrote it or it cannot be opened, `NotFound` if its folder does not exist, `Unavailable` if it is locked.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        // SQLite takes a name that begins with `file:` for a URI; an absolute one begins with a slash.
        let path = std::path::absolute(path).map_err(|error| Error::io(path, error))?;
        migrate::create_private(&path)?;
        let mut conn = establish(&path)?;
        set(&mut conn, &path, "PRAGMA busy_timeout = 5000;")?;
        // Before anything is written: a file that is not ours stays as it is.
        migrate::check(&mut conn, &path)?;
        use_write_ahead_log(&mut conn, &path)?;
        migrate::upgrade(&mut conn, &path)?;
        set(&mut conn, &path, COMMON)?;
        set(&mut conn, &path, WRITER)?;
        Self::over(path, clock, Some(conn))
    }

    /// Opens the database of a file to read in it, beside the program that writes to it or without it.
    ///
    /// # Errors
    /// As [`open`](Self::open), but a file that is not there is an error, and so is one with an older schema.
    pub fn open_read_only(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| Error::io(path, error))?;
        std::fs::metadata(&path).map_err(|error| Error::io(&path, error))?;
        let mut conn = establish(&path)?;
        set(&mut conn, &path, COMMON)?;
        set(&mut conn, &path, READER)?;
        migrate::check(&mut conn, &path)?;
        if migrate::is_older(&mut conn, &path)? {
            return Err(Error::precondition(format!(
                "{}: an older program wrote the database: start `nvrd run` once, which brings it up to date",
                path.display()
            )));
        }
        Self::over(path, clock, None)
    }

    fn over(path: PathBuf, clock: Arc<dyn Clock>, writer: Option<Conn>) -> Result<Self> {
        let readers = Pool::builder()
            .max_size(READERS)
            .min_idle(Some(1))
            .connection_timeout(READER_WAIT)
            .test_on_check_out(false)
            .connection_customizer(Box::new(ReaderSettings))
            .build(ConnectionManager::new(text_of(&path)?))
            .map_err(|error| from_message(&path, &error.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                clock,
                ids: Mutex::new(ContextV7::new()),
                read_only: writer.is_none(),
                writer: Mutex::new(writer),
                readers,
                counted: Counted::default(),
            }),
        })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// A new id: a UUID (version 7) in text, so that ids sort by the time they were made.
    pub fn new_id(&self) -> String {
        let now = u64::try_from(self.now_us()).unwrap_or(0);
        let nanos = u32::try_from(now % 1_000_000).expect("below a million") * 1000;
        Uuid::new_v7(Timestamp::from_unix(
            &self.inner.ids,
            now / 1_000_000,
            nanos,
        ))
        .to_string()
    }

    /// The wall time of the store's clock, microseconds since 1970-01-01 UTC.
    pub fn now_unix_us(&self) -> i64 {
        self.now_us()
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.inner.clock.unix_us()
    }

    pub(crate) fn monotonic(&self) -> Duration {
        self.inner.clock.monotonic()
    }

    pub(crate) fn counted(&self) -> &Counted {
        &self.inner.counted
    }

    /// Runs queries on one snapshot of the database.
    pub(crate) fn read<T>(
        &self,
        queries: impl FnOnce(&mut Conn) -> Result<T, Failure>,
    ) -> Result<T> {
        let path = &self.inner.path;
        let mut conn = self.inner.readers.get().map_err(|error| {
            Error::unavailable(format!(
                "{}: no connection to the database is free; try again",
                path.display()
            ))
            .with_source(error)
        })?;
        let mut failed = None;
        let result =
            (*conn).transaction(|conn| queries(conn).map_err(|why| undo(&mut failed, why)));
        outcome(path, failed, result)
    }

    /// Gives the connection that writes, without a transaction, for what SQLite refuses inside of one.
    pub(crate) fn alone<T>(&self, work: impl FnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        let mut place = self
            .inner
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut conn = match place.take() {
            Some(conn) => conn,
            None => writer(&self.inner.path)?,
        };
        let done = work(&mut conn);
        // What went wrong may have left another file attached.
        if done.is_ok() && !conn.is_broken() {
            *place = Some(conn);
        }
        done
    }

    /// Runs a transaction; it is on disk when this returns without an error, and undone otherwise.
    pub(crate) fn write<T>(
        &self,
        changes: impl FnOnce(&mut Conn) -> Result<T, Failure>,
    ) -> Result<T> {
        let path = &self.inner.path;
        if self.inner.read_only {
            return Err(Error::precondition(format!(
                "{}: the database is open for reading only",
                path.display()
            )));
        }
        // A panic inside left the place empty, not the data half changed.
        let mut place = self
            .inner
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut conn = match place.take() {
            Some(conn) => conn,
            None => writer(path)?,
        };
        // Immediate: a transaction that first reads cannot wait for a lock once it writes.
        let mut failed = None;
        let result =
            conn.immediate_transaction(|conn| changes(conn).map_err(|why| undo(&mut failed, why)));
        if !conn.is_broken() {
            *place = Some(conn);
        }
        drop(place);
        outcome(path, failed, result)
    }
}

/// Keeps the reason and asks for a rollback: SQLite may have rolled back by itself, on a full disk say, and Diesel
/// would then report only that it could not.
fn undo(failed: &mut Option<Failure>, why: Failure) -> QueryError {
    *failed = Some(why);
    QueryError::RollbackTransaction
}

fn outcome<T>(path: &Path, failed: Option<Failure>, result: QueryResult<T>) -> Result<T> {
    match failed {
        Some(failure) => Err(failure.into_error(path)),
        // Begin or commit.
        None => result.map_err(|error| from_query(path, error)),
    }
}

/// A connection that may write, to a file that was opened before.
fn writer(path: &Path) -> Result<Conn> {
    let mut conn = establish(path)?;
    set(&mut conn, path, COMMON)?;
    set(&mut conn, path, WRITER)?;
    Ok(conn)
}

fn establish(path: &Path) -> Result<Conn> {
    Conn::establish(text_of(path)?).map_err(|error| match error {
        ConnectionError::BadConnection(message) => from_message(path, &message),
        other => from_message(path, &other.to_string()),
    })
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::invalid(format!(
            "{}: the path of the database must be valid Unicode",
            path.display()
        ))
    })
}

fn set(conn: &mut Conn, path: &Path, pragmas: &str) -> Result<()> {
    conn.batch_execute(pragmas)
        .map_err(|error| from_query(path, error))
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = diesel::sql_types::Text)]
    journal_mode: String,
}

/// Readers do not wait for the writer only with a write-ahead log, and SQLite falls back in silence where it cannot.
fn use_write_ahead_log(conn: &mut Conn, path: &Path) -> Result<()> {
    let mode: JournalMode = diesel::sql_query("PRAGMA journal_mode = WAL")
        .get_result(conn)
        .map_err(|error| from_query(path, error))?;
    if mode.journal_mode == "wal" {
        Ok(())
    } else {
        Err(Error::precondition(format!(
            "{}: the file system cannot hold a write-ahead log; put the database on a local disk",
            path.display()
        )))
    }
}

#[derive(Debug)]
struct ReaderSettings;

impl CustomizeConnection<Conn, diesel::r2d2::Error> for ReaderSettings {
    fn on_acquire(&self, conn: &mut Conn) -> Result<(), diesel::r2d2::Error> {
        conn.batch_execute(COMMON)
            .and_then(|()| conn.batch_execute(READER))
            .map_err(diesel::r2d2::Error::QueryError)
    }
}

#[cfg(test)]
#[path = "conn_tests.rs"]
mod tests;
