//! How a database is opened: made where it may be, refused where it is not ours, and brought up to date.

use diesel::prelude::*;
use nvr_base::{Error, Result};

use crate::backend::Conn;
use crate::connect::{establish, make_writer, reader, set};
use crate::failure::from_query;
use crate::migrate;
use crate::place::Place;

/// A connection that may write, to a database with today's schema.
pub(crate) fn to_write(place: &Place) -> Result<(Place, Conn)> {
    let place = absolute(place)?;
    if let Place::File(path) = &place {
        migrate::create_private(path)?;
    }
    let mut conn = establish(&place)?;
    match &mut conn {
        Conn::Sqlite(sqlite) => {
            set(sqlite, &place, "PRAGMA busy_timeout = 5000;")?;
            // Before anything is written: a file that is not ours stays as it is.
            migrate::check(&mut conn, &place)?;
            use_write_ahead_log(&mut conn, &place)?;
        }
        #[cfg(feature = "postgres")]
        Conn::Pg(server) => {
            crate::dialect::postgres::check(server, &place)?;
            migrate::check(&mut conn, &place)?;
        }
    }
    migrate::upgrade(&mut conn, &place)?;
    make_writer(&mut conn, &place)?;
    Ok((place, conn))
}

/// Sees that a database is there and has today's schema.
pub(crate) fn to_read(place: &Place) -> Result<Place> {
    let place = absolute(place)?;
    if let Place::File(path) = &place {
        std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    }
    let mut conn = reader(&place)?;
    migrate::check(&mut conn, &place)?;
    if migrate::is_older(&mut conn, &place)? {
        return Err(Error::precondition(format!(
            "{place}: an older program wrote the database: start `nvrd run` once, which brings it up to date"
        )));
    }
    Ok(place)
}

/// SQLite takes a name that begins with `file:` for a URI; an absolute one begins with a slash.
fn absolute(place: &Place) -> Result<Place> {
    match place {
        Place::File(path) => std::path::absolute(path)
            .map(Place::File)
            .map_err(|error| Error::io(path, error)),
        Place::Server(_) => Ok(place.clone()),
    }
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = diesel::sql_types::Text)]
    journal_mode: String,
}

/// Readers do not wait for the writer only with a write-ahead log, and SQLite falls back in silence where it cannot.
fn use_write_ahead_log(conn: &mut Conn, place: &Place) -> Result<()> {
    let mode: JournalMode = diesel::sql_query("PRAGMA journal_mode = WAL")
        .get_result(conn)
        .map_err(|error| from_query(place, error))?;
    if mode.journal_mode == "wal" {
        Ok(())
    } else {
        Err(Error::precondition(format!(
            "{place}: the file system cannot hold a write-ahead log; put the database on a local disk"
        )))
    }
}
