//! The store itself: one connection that writes, a few that read, and how a transaction on them runs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::TransactionManager as _;
use diesel::prelude::*;
use diesel::r2d2::{NopErrorHandler, Pool, PooledConnection, R2D2Connection as _};
use nvr_base::{Clock, Error, Result};
use uuid::{ContextV7, Timestamp, Uuid};

pub(crate) use crate::backend::Conn;
use crate::connect::{self, Readers, is_closed};
use crate::dialect;
use crate::events::Counted;
use crate::failure::{Failure, from_query, went_away};
use crate::latency::{Latency, Took};
use crate::open;
use crate::place::Place;

/// Readers at once; more requests wait.
const READERS: u32 = 4;

/// How long a reader may be waited for before the request fails.
const READER_WAIT: Duration = Duration::from_secs(5);

/// The database; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    clock: Arc<dyn Clock>,
    ids: Mutex<ContextV7>,
    /// Empty while a transaction runs, and after one that left the connection in doubt.
    writer: Mutex<Option<Conn>>,
    readers: Pool<Readers>,
    read_only: bool,
    /// Whether this is the daemon.
    claimed: AtomicBool,
    /// Totals of lists of events that took long to count.
    counted: Counted,
    reads: Took,
    writes: Took,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("place", &self.inner.place)
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
        Self::open_at(&Place::File(path.to_owned()), clock)
    }

    /// Opens the database of a file to read in it, beside the program that writes to it or without it.
    ///
    /// # Errors
    /// As [`open`](Self::open), but a file that is not there is an error, and so is one with an older schema.
    pub fn open_read_only(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_read_only_at(&Place::File(path.to_owned()), clock)
    }

    /// Opens a database wherever it is, and brings its schema up to date.
    ///
    /// On a server the database must be there; its tables are made, or changed in one transaction, and nothing is
    /// copied first: backups are the server's. One daemon at a time writes to it, and holds a lock for that.
    ///
    /// # Errors
    /// As [`open`](Self::open); `Unavailable` if the server is not there or another daemon writes to the database.
    pub fn open_at(place: &Place, clock: Arc<dyn Clock>) -> Result<Self> {
        let (place, conn) = open::to_write(place)?;
        Self::over(place, clock, Some(conn))
    }

    /// Opens a database wherever it is to read in it.
    ///
    /// # Errors
    /// As [`open_read_only`](Self::open_read_only).
    pub fn open_read_only_at(place: &Place, clock: Arc<dyn Clock>) -> Result<Self> {
        let place = open::to_read(place)?;
        Self::over(place, clock, None)
    }

    fn over(place: Place, clock: Arc<dyn Clock>, writer: Option<Conn>) -> Result<Self> {
        let readers = Pool::builder()
            .max_size(READERS)
            .min_idle(Some(1))
            .connection_timeout(READER_WAIT)
            // Each transaction finds that out by itself.
            .test_on_check_out(false)
            // Whoever waits for a connection is told.
            .error_handler(Box::new(NopErrorHandler))
            .build(Readers(place.clone()))
            .map_err(|error| {
                Error::unavailable(format!("{place}: no connection to the database: {error}"))
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                place,
                clock,
                ids: Mutex::new(ContextV7::new()),
                read_only: writer.is_none(),
                writer: Mutex::new(writer),
                readers,
                claimed: AtomicBool::new(false),
                counted: Counted::default(),
                reads: Took::default(),
                writes: Took::default(),
            }),
        })
    }

    /// Where the database is.
    pub fn place(&self) -> &Place {
        &self.inner.place
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

    /// How long reading took.
    pub fn reading(&self) -> Latency {
        self.inner.reads.latency()
    }

    /// How long writing took.
    pub fn writing(&self) -> Latency {
        self.inner.writes.latency()
    }

    /// Runs queries on one snapshot of the database.
    pub(crate) fn read<T>(
        &self,
        queries: impl FnOnce(&mut Conn) -> Result<T, Failure>,
    ) -> Result<T> {
        let inner = &self.inner;
        inner
            .reads
            .count(inner.clock.as_ref(), || self.read_uncounted(queries))
    }

    fn read_uncounted<T>(
        &self,
        queries: impl FnOnce(&mut Conn) -> Result<T, Failure>,
    ) -> Result<T> {
        let place = &self.inner.place;
        let mut reader = self.reader()?;
        let (result, closed) = finish(place, &mut reader.conn, queries);
        reader.closed = closed;
        result
    }

    /// A reader within a transaction; those whose server went away while nobody used them are thrown away.
    fn reader(&self) -> Result<PooledConnection<Readers>> {
        let place = &self.inner.place;
        let mut failed = None;
        for _ in 0..=READERS {
            let mut reader = self.inner.readers.get().map_err(|error| {
                Error::unavailable(format!(
                    "{place}: no connection to the database is free; try again"
                ))
                .with_source(error)
            })?;
            match dialect::begin_reading(&mut reader.conn) {
                Ok(()) => return Ok(reader),
                Err(error) => {
                    reader.closed = true;
                    if !is_gone(&mut reader.conn, &error) {
                        return Err(from_query(place, error));
                    }
                    failed = Some(went_away(place, error));
                }
            }
        }
        Err(failed.expect("no reader began a transaction, so one failed"))
    }

    /// Gives the connection that writes, without a transaction, for what SQLite refuses inside of one.
    pub(crate) fn alone<T>(&self, work: impl FnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        let mut place = self.lock_writer();
        let mut conn = match place.take() {
            Some(conn) => conn,
            None => self.new_writer()?,
        };
        let done = work(&mut conn);
        // What went wrong may have left another file attached.
        if done.is_ok() && !conn.is_broken() {
            *place = Some(conn);
        }
        done
    }

    /// Runs a transaction; it is on disk when this returns without an error, and undone otherwise.
    ///
    /// Where a server went away while it committed, nobody knows which: then this is an error too, and whoever gives
    /// the changes again must be ready to find them.
    pub(crate) fn write<T>(
        &self,
        changes: impl FnOnce(&mut Conn) -> Result<T, Failure>,
    ) -> Result<T> {
        let inner = &self.inner;
        inner
            .writes
            .count(inner.clock.as_ref(), || self.write_uncounted(changes))
    }

    fn write_uncounted<T>(
        &self,
        changes: impl FnOnce(&mut Conn) -> Result<T, Failure>,
    ) -> Result<T> {
        let place = &self.inner.place;
        if self.inner.read_only {
            return Err(Error::precondition(format!(
                "{place}: the database is open for reading only"
            )));
        }
        // A panic inside left the place empty, not the data half changed.
        let mut kept = self.lock_writer();
        let mut conn = match kept.take() {
            Some(conn) => conn,
            None => self.new_writer()?,
        };
        if let Err(error) = dialect::begin_writing(&mut conn) {
            if !is_gone(&mut conn, &error) {
                if !conn.is_broken() {
                    *kept = Some(conn);
                }
                return Err(dialect::not_begun(place, error));
            }
            // The server went away since the last time, and nothing was said yet: once more, on a new connection.
            conn = self.new_writer()?;
            dialect::begin_writing(&mut conn).map_err(|error| from_query(place, error))?;
        }
        let (result, closed) = finish(place, &mut conn, changes);
        if !closed && !conn.is_broken() {
            *kept = Some(conn);
        }
        result
    }

    /// Says that this is the one daemon that the database has: another one on another machine is refused, for as long
    /// as this one is connected. What writes beside the daemon, a command say, does not claim it.
    ///
    /// # Errors
    /// `Unavailable` if another daemon claims it.
    pub fn claim(&self) -> Result<()> {
        self.alone(|conn| connect::claim(conn, &self.inner.place))?;
        self.inner.claimed.store(true, Ordering::Release);
        Ok(())
    }

    fn new_writer(&self) -> Result<Conn> {
        let claimed = self.inner.claimed.load(Ordering::Acquire);
        connect::writer(&self.inner.place, claimed)
    }

    fn lock_writer(&self) -> std::sync::MutexGuard<'_, Option<Conn>> {
        self.inner
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what belongs into a transaction that has begun, and ends it; says too whether the connection is of no use any
/// more.
pub(crate) fn finish<T>(
    place: &Place,
    conn: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T, Failure>,
) -> (Result<T>, bool) {
    type Manager = <Conn as Connection>::TransactionManager;
    match work(conn) {
        Ok(done) => match Manager::commit_transaction(conn) {
            Ok(()) => (Ok(done), false),
            Err(error) if is_gone(conn, &error) => (Err(went_away(place, error)), true),
            Err(error) => (Err(from_query(place, error)), false),
        },
        Err(failure) => {
            // SQLite may have rolled back by itself, on a full disk say: the first reason is the one that counts, and
            // a connection whose state is in doubt is known to be broken.
            drop(Manager::rollback_transaction(conn));
            match failure {
                Failure::Query(error) if is_gone(conn, &error) => {
                    (Err(went_away(place, error)), true)
                }
                failure => (Err(failure.into_error(place)), false),
            }
        }
    }
}

/// Whether the other side of a connection that failed is gone, whatever was said about it.
fn is_gone(conn: &mut Conn, error: &diesel::result::Error) -> bool {
    is_closed(error) || dialect::is_gone(conn)
}

#[cfg(test)]
#[path = "conn_tests.rs"]
mod tests;
