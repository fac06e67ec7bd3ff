//! Turns what Diesel and the databases report into the daemon's error kinds, once.

use diesel::result::{DatabaseErrorKind, Error as QueryError};
use nvr_base::Error;

use crate::place::Place;

/// Why a transaction was rolled back.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database would not.
    Query(QueryError),
    /// We would not: the sentence is for the caller as it is.
    Refused(Error),
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The error that leaves the crate, naming the database where it is to blame.
    pub(crate) fn into_error(self, place: &Place) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Query(error) => from_query(place, error),
        }
    }
}

/// The error for a failed query.
pub(crate) fn from_query(place: &Place, error: QueryError) -> Error {
    use DatabaseErrorKind as Kind;
    if let QueryError::RollbackErrorOnCommit { commit_error, .. } = error {
        return from_query(place, *commit_error);
    }
    let mapped = match &error {
        QueryError::NotFound => Error::not_found("no such row"),
        QueryError::DatabaseError(Kind::UniqueViolation, info) => {
            Error::already_exists(format!("it exists already ({})", info.message()))
        }
        QueryError::DatabaseError(
            Kind::ForeignKeyViolation | Kind::NotNullViolation | Kind::CheckViolation,
            info,
        ) => Error::invalid(format!("the database refused a value: {}", info.message())),
        QueryError::DatabaseError(Kind::ClosedConnection | Kind::UnableToSendCommand, _) => {
            return went_away(place, error);
        }
        QueryError::DatabaseError(Kind::ReadOnlyTransaction, info) => Error::precondition(format!(
            "{place}: the database is read-only ({})",
            one_line(info.message())
        )),
        QueryError::DatabaseError(Kind::SerializationFailure, _) => Error::unavailable(format!(
            "{place}: somebody else changed the same rows; try again"
        )),
        QueryError::DatabaseError(_, info) => from_message(place, info.message()),
        QueryError::DeserializationError(cause) => Error::data_loss(format!(
            "{place}: a row cannot be read ({cause}); restore a backup"
        )),
        other => from_message(place, &other.to_string()),
    };
    mapped.with_source(error)
}

/// The error for a sentence of the database: Diesel passes no result code on, and these texts are SQLite's fixed ones.
pub(crate) fn from_message(place: &Place, message: &str) -> Error {
    let file = match place {
        Place::File(path) => path.display(),
        #[cfg(feature = "postgres")]
        Place::Server(_) => return crate::dialect::postgres::from_message(place, message),
        #[cfg(not(feature = "postgres"))]
        Place::Server(_) => return Error::internal(format!("{place}: {message}")),
    };
    let says = |text: &str| message.contains(text);
    if says("is locked") {
        Error::unavailable(format!(
            "{file}: the database is locked by another program; stop that program or try again"
        ))
    } else if says("is full") {
        Error::exhausted(format!(
            "{file}: no space is left for the database; free some space on its disk"
        ))
    } else if says("is not a database") {
        Error::data_loss(format!(
            "{file}: the file is not a SQLite database; move it away or restore a backup"
        ))
    } else if says("malformed") {
        Error::data_loss(format!(
            "{file}: the database is damaged ({message}); restore a backup or rebuild it from the recordings"
        ))
    } else if says("readonly") {
        Error::precondition(format!(
            "{file}: the database is read-only; give the daemon's user write access to it and its folder"
        ))
    } else if says("unable to open") {
        Error::precondition(format!(
            "{file}: the database cannot be opened; see that it is a file in a folder that the daemon's user may write"
        ))
    } else if says("disk I/O error") {
        Error::unavailable(format!(
            "{file}: the disk failed while the database was used; check the disk"
        ))
    } else {
        Error::internal(format!("{file}: {message}"))
    }
}

/// The error for a server that answers nothing more.
pub(crate) fn went_away(place: &Place, error: QueryError) -> Error {
    Error::unavailable(format!(
        "{place}: the database server went away ({}); it is asked again",
        one_line(&error.to_string())
    ))
    .with_source(error)
}

/// What libpq says in several lines.
fn one_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;
    use diesel::prelude::*;
    use nvr_base::ErrorKind;

    use std::path::Path;

    use super::*;

    fn connection(file: &Path) -> SqliteConnection {
        SqliteConnection::establish(file.to_str().unwrap()).unwrap()
    }

    /// Each failure is brought about for real: a new SQLite that words one in another way fails here.
    #[test]
    fn sqlite_failures_get_the_kind_that_they_deserve() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let mut conn = connection(&file);
        conn.batch_execute(
            "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL CHECK (v <> 'bad')) STRICT; \
             CREATE TABLE u (k INTEGER REFERENCES t (k)) STRICT; \
             INSERT INTO t VALUES (1, 'x');",
        )
        .unwrap();
        let other = |before: &'static str| {
            let mut other = connection(&file);
            other.batch_execute(before).unwrap();
            other
        };
        let check = |conn: &mut SqliteConnection, sql: &str, kind: ErrorKind, says: &str| {
            let error = from_query(
                &Place::File(file.clone()),
                conn.batch_execute(sql).unwrap_err(),
            );
            assert_eq!(error.kind(), kind, "{sql}: {error}");
            assert!(error.to_string().contains(says), "{sql}: {error}");
        };
        let insert = "INSERT INTO t VALUES (2, 'y')";
        let fill = "INSERT INTO t VALUES (3, hex(randomblob(1000000)))";

        conn.batch_execute("BEGIN EXCLUSIVE").unwrap();
        check(
            &mut other("PRAGMA busy_timeout = 0"),
            insert,
            ErrorKind::Unavailable,
            "a.db: the database is locked",
        );
        conn.batch_execute("ROLLBACK").unwrap();
        check(
            &mut other("PRAGMA max_page_count = 4"),
            fill,
            ErrorKind::ResourceExhausted,
            "a.db: no space is left",
        );
        check(
            &mut other("PRAGMA query_only = ON"),
            insert,
            ErrorKind::FailedPrecondition,
            "a.db: the database is read-only",
        );
        check(
            &mut conn,
            "INSERT INTO t VALUES (1, 'y')",
            ErrorKind::AlreadyExists,
            "t.k",
        );
        check(
            &mut conn,
            "INSERT INTO t VALUES (9, 'bad')",
            ErrorKind::InvalidArgument,
            "CHECK",
        );
        check(
            &mut conn,
            "INSERT INTO t VALUES (9, NULL)",
            ErrorKind::InvalidArgument,
            "NOT NULL",
        );
        check(
            &mut other("PRAGMA foreign_keys = ON"),
            "INSERT INTO u VALUES (77)",
            ErrorKind::InvalidArgument,
            "FOREIGN KEY",
        );
        check(&mut conn, "SELEKT", ErrorKind::Internal, "a.db: near");
        drop(conn);

        // The root page of the table, the second of the file.
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[4096..4196].fill(0xff);
        std::fs::write(&file, bytes).unwrap();
        check(
            &mut connection(&file),
            "SELECT * FROM t",
            ErrorKind::DataLoss,
            "a.db: the database is damaged",
        );
    }
}
