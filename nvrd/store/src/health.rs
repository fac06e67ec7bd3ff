//! Tells how the database is: whole or damaged, how large, how full.

use std::path::Path;

use diesel::prelude::*;
use diesel::sql_types::Text;
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::schema::cameras;
use crate::{events, gaps, migrate, segments};

/// How the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What SQLite's quick check found, at most ten sentences; empty if the database is whole.
    pub problems: Vec<String>,
    /// Version of the schema: digits of the newest migration's time.
    pub schema_version: String,
    /// Length of the file with its write-ahead log, bytes.
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

#[derive(QueryableByName)]
struct Problem {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

impl Store {
    /// Sees that the database answers: cheap enough to be asked all the time.
    ///
    /// # Errors
    /// Those of the database.
    pub fn ping(&self) -> Result<()> {
        self.read(|conn| Ok(migrate::applied(conn, self.path()).map(drop)?))
    }

    /// Checks the database and counts what is in it. Reads the whole file, so it is for a person who asks, not for a
    /// probe every few seconds: that is [`ping`](Self::ping).
    ///
    /// # Errors
    /// Those of the database, when it is too damaged to be checked or counted.
    pub fn health(&self) -> Result<Health> {
        let path = self.path();
        let file_bytes = length(path)? + length(&with_suffix(path, "-wal"))?;
        self.read(|conn| {
            let problems = quick_check(conn)?;
            let schema_version = migrate::applied(conn, path)?.pop().unwrap_or_default();
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

fn quick_check(conn: &mut Conn) -> QueryResult<Vec<String>> {
    let found: Vec<Problem> = diesel::sql_query("PRAGMA quick_check(10)").load(conn)?;
    Ok(found
        .into_iter()
        .map(|problem| problem.quick_check)
        .filter(|sentence| sentence != "ok")
        .collect())
}

fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn length(path: &Path) -> Result<u64> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        // The log exists only while it is needed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io(path, error)),
    }
}
