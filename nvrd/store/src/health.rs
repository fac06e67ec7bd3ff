//! Tells how the database is: whole or damaged, how large, how full.

use diesel::prelude::*;
use nvr_base::Result;

use crate::conn::Store;
use crate::dialect;
use crate::schema::cameras;
use crate::{events, gaps, migrate, segments};

/// How the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What a quick check found, at most ten sentences; empty if the database is whole.
    pub problems: Vec<String>,
    /// Version of the schema: digits of the newest migration's time.
    pub schema_version: String,
    /// Length of the file with its write-ahead log, or of the database on its server, bytes.
    pub file_bytes: u64,
    /// Cameras made over the API.
    pub cameras: u64,
    /// Events.
    pub events: u64,
    /// Events that go on.
    pub open_events: u64,
    /// Segments.
    pub segments: u64,
    /// Gaps.
    pub gaps: u64,
}

impl Store {
    /// Sees that the database answers: cheap enough to be asked all the time.
    ///
    /// # Errors
    /// Those of the database.
    pub fn ping(&self) -> Result<()> {
        self.read(|conn| Ok(migrate::applied(conn, self.place()).map(drop)?))
    }

    /// Length of the file with its write-ahead log, or of the database on its server, bytes.
    ///
    /// # Errors
    /// Those of the database.
    pub fn size(&self) -> Result<u64> {
        self.read(|conn| dialect::size(conn, self.place()))
    }

    /// Checks the database and counts what is in it. Reads the whole file, so it is for a person who asks, not for a
    /// probe every few seconds: that is [`ping`](Self::ping).
    ///
    /// # Errors
    /// Those of the database, when it is too damaged to be checked or counted.
    pub fn health(&self) -> Result<Health> {
        let place = self.place();
        self.read(|conn| {
            let file_bytes = dialect::size(conn, place)?;
            let problems = dialect::quick_check(conn)?;
            let schema_version = migrate::applied(conn, place)?.pop().unwrap_or_default();
            let cameras: i64 = cameras::table.count().get_result(conn)?;
            let (events, open_events) = events::counts(conn)?;
            Ok(Health {
                problems,
                schema_version,
                file_bytes,
                cameras: cameras.cast_unsigned(),
                events: events.cast_unsigned(),
                open_events: open_events.cast_unsigned(),
                segments: segments::count(conn)?.cast_unsigned(),
                gaps: gaps::count(conn)?.cast_unsigned(),
            })
        })
    }
}
