//! How a connection is made: what it is told first, so that it writes for good or does not write at all.

use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, R2D2Connection as _};
use diesel::result::{DatabaseErrorKind, Error as QueryError};
use nvr_base::{Error, Result};

use crate::backend::Conn;
#[cfg(feature = "postgres")]
use crate::dialect::postgres;
use crate::failure::{from_message, from_query};
use crate::place::Place;

/// For every connection. The daemon is the only writer, so waiting for a lock means that a person is in the file.
pub(crate) const COMMON: &str = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";

/// FULL: a commit that was reported is on disk after a power cut. The limit gives back the space of a burst.
/// Rows go in at the end and are not read again: a small cache holds what a transaction touches, and its filling up
/// does not look like a leak for the first hours.
const WRITER: &str =
    "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -256;";

/// A second net below the types: nothing written through a reader ever reaches the file.
/// Readers come for a page or two of rows; what a larger cache would hold lies in the system's cache anyway.
const READER: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -512;";

/// A connection that may write, to a database that was opened before; `claimed` by the one daemon that it has.
pub(crate) fn writer(place: &Place, claimed: bool) -> Result<Conn> {
    let mut conn = establish(place)?;
    make_writer(&mut conn, place)?;
    if claimed {
        claim(&mut conn, place)?;
    }
    Ok(conn)
}

/// Tells a connection what one that writes has to know.
pub(crate) fn make_writer(conn: &mut Conn, place: &Place) -> Result<()> {
    match conn {
        Conn::Sqlite(sqlite) => {
            set(sqlite, place, COMMON)?;
            set(sqlite, place, WRITER)
        }
        #[cfg(feature = "postgres")]
        Conn::Pg(server) => {
            set(server, place, postgres::ENGLISH)?;
            set(server, place, postgres::WRITER)
        }
    }
}

/// Keeps other daemons away, where nothing else does: next to a file lies another lock.
pub(crate) fn claim(conn: &mut Conn, place: &Place) -> Result<()> {
    match conn {
        Conn::Sqlite(_) => Ok(()),
        #[cfg(feature = "postgres")]
        Conn::Pg(server) => postgres::claim(server, place),
    }
}

/// A connection that only reads.
pub(crate) fn reader(place: &Place) -> Result<Conn> {
    let mut conn = establish(place)?;
    match &mut conn {
        Conn::Sqlite(sqlite) => {
            set(sqlite, place, COMMON)?;
            set(sqlite, place, READER)?;
        }
        #[cfg(feature = "postgres")]
        Conn::Pg(server) => set(server, place, postgres::READER)?,
    }
    Ok(conn)
}

/// A connection as the database gives it.
pub(crate) fn establish(place: &Place) -> Result<Conn> {
    match place {
        Place::File(path) => {
            let name = path.to_str().ok_or_else(|| {
                Error::invalid(format!(
                    "{place}: the path of the database must be valid Unicode"
                ))
            })?;
            let conn = SqliteConnection::establish(name);
            conn.map(Conn::Sqlite)
                .map_err(|error| from_message(place, &text_of(error)))
        }
        #[cfg(feature = "postgres")]
        Place::Server(server) => PgConnection::establish(&server.connection_string())
            .map(Conn::Pg)
            .map_err(|error| {
                postgres::not_connected(place, &server.without_password(&text_of(error)))
            }),
        #[cfg(not(feature = "postgres"))]
        Place::Server(_) => Err(Error::precondition(format!(
            "{place}: this program was built without PostgreSQL: build it with the feature `postgres`"
        ))),
    }
}

fn text_of(error: ConnectionError) -> String {
    match error {
        ConnectionError::BadConnection(message) => message,
        other => other.to_string(),
    }
}

/// Tells a connection its settings.
pub(crate) fn set<C: Connection>(conn: &mut C, place: &Place, settings: &str) -> Result<()> {
    conn.batch_execute(settings)
        .map_err(|error| from_query(place, error))
}

/// Whether the other side of a connection is gone; it serves nobody any more then.
pub(crate) fn is_closed(error: &QueryError) -> bool {
    use DatabaseErrorKind as Kind;
    match error {
        QueryError::DatabaseError(Kind::ClosedConnection | Kind::UnableToSendCommand, _) => true,
        QueryError::RollbackErrorOnCommit {
            rollback_error,
            commit_error,
        } => is_closed(commit_error) || is_closed(rollback_error),
        _ => false,
    }
}

/// What the pool of readers knows of one of them.
pub(crate) struct Reader {
    pub(crate) conn: Conn,
    /// Whether it is to be thrown away.
    pub(crate) closed: bool,
}

/// Makes the connections of the pool of readers.
#[derive(Debug)]
pub(crate) struct Readers(pub(crate) Place);

impl ManageConnection for Readers {
    type Connection = Reader;
    type Error = Error;

    fn connect(&self) -> Result<Reader> {
        let conn = reader(&self.0)?;
        Ok(Reader {
            conn,
            closed: false,
        })
    }

    fn is_valid(&self, reader: &mut Reader) -> Result<()> {
        reader
            .conn
            .ping()
            .map_err(|error| from_query(&self.0, error))
    }

    fn has_broken(&self, reader: &mut Reader) -> bool {
        // A panic may have left a transaction open.
        std::thread::panicking() || reader.closed || reader.conn.is_broken()
    }
}
