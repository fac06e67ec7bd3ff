//! How a database says whether it is whole, how large it is and which tables it has.

use diesel::prelude::*;
use diesel::sql_types::Text;
use nvr_base::{Error, Result};

use crate::backend::Conn;
#[cfg(feature = "postgres")]
use crate::dialect::postgres;
use crate::failure::Failure;
use crate::place::Place;

#[derive(QueryableByName)]
pub(crate) struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct QuickCheck {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

#[derive(QueryableByName)]
struct IntegrityCheck {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// The texts that a query finds, in a column called `line`.
pub(crate) fn lines<C>(conn: &mut C, query: &str) -> QueryResult<Vec<String>>
where
    C: diesel::connection::LoadConnection,
    Line: QueryableByName<C::Backend>,
    diesel::query_builder::SqlQuery: diesel::query_dsl::LoadQuery<'static, C, Line>,
{
    let found: Vec<Line> = diesel::sql_query(query.to_owned()).load(conn)?;
    Ok(found.into_iter().map(|found| found.line).collect())
}

/// What a quick look finds wrong, at most ten sentences.
pub(crate) fn quick_check(conn: &mut Conn) -> Result<Vec<String>, Failure> {
    match conn {
        Conn::Sqlite(conn) => {
            let found: Vec<QuickCheck> = diesel::sql_query("PRAGMA quick_check(10)").load(conn)?;
            let sentences = found.into_iter().map(|found| found.quick_check);
            Ok(sentences.filter(|sentence| sentence != "ok").collect())
        }
        // Its pages are the server's to look after; that it counts our rows says that their tables can be read.
        #[cfg(feature = "postgres")]
        Conn::Pg(_) => Ok(Vec::new()),
    }
}

/// What a look at every row and index finds wrong, at most ten sentences.
pub(crate) fn integrity(conn: &mut Conn) -> Result<Vec<String>, Failure> {
    match conn {
        Conn::Sqlite(conn) => {
            let query = diesel::sql_query("PRAGMA integrity_check(10)");
            let found: Vec<IntegrityCheck> = query.load(conn)?;
            let sentences = found.into_iter().map(|found| found.integrity_check);
            Ok(sentences.filter(|sentence| sentence != "ok").collect())
        }
        #[cfg(feature = "postgres")]
        Conn::Pg(conn) => postgres::integrity(conn),
    }
}

/// Bytes of the database on disk.
pub(crate) fn size(conn: &mut Conn, place: &Place) -> Result<u64, Failure> {
    match conn {
        Conn::Sqlite(_) => {
            let file = place.need_file("its size is the server's to tell")?;
            let mut log = file.as_os_str().to_owned();
            log.push("-wal");
            Ok(length(file)? + length(log.as_ref())?)
        }
        #[cfg(feature = "postgres")]
        Conn::Pg(conn) => Ok(postgres::size(conn)?),
    }
}

fn length(path: &std::path::Path) -> Result<u64> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        // The log exists only while it is needed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io(path, error)),
    }
}

/// Everything in the database that has a name of its own; empty in a new one.
pub(crate) fn tables(conn: &mut Conn) -> QueryResult<Vec<String>> {
    match conn {
        Conn::Sqlite(conn) => lines(conn, "SELECT name AS line FROM sqlite_master"),
        #[cfg(feature = "postgres")]
        Conn::Pg(conn) => lines(conn, postgres::TABLES),
    }
}
