//! The connection to either database, as one type that every query is written against.
// The macro writes public items without a word about them.
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "the macro's, and nothing of it leaves the crate"
)]

#[cfg(feature = "postgres")]
use diesel::pg::PgConnection;
use diesel::sqlite::SqliteConnection;

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum Conn {
    /// First, because SQLite would take the address of a server for the name of a file.
    #[cfg(feature = "postgres")]
    Pg(PgConnection),
    Sqlite(SqliteConnection),
}
