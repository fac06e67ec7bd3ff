//! What the two databases say in different words; queries that both understand are written where they are asked.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod health;

use diesel::backend::Backend;
use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _};
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::Error as QueryError;
use diesel::sql_types::{Bool, Nullable, Text};
use diesel::sqlite::Sqlite;
use nvr_base::Error;

use crate::backend::{Conn, MultiBackend};
use crate::failure::from_query;
use crate::place::Place;

#[cfg(all(test, feature = "postgres"))]
pub(crate) use health::lines;
pub(crate) use health::{integrity, quick_check, size, tables};

/// Begins a transaction that is going to write: it waits until no other one writes, and then sees all that they did.
pub(crate) fn begin_writing(conn: &mut Conn) -> QueryResult<()> {
    match conn {
        Conn::Sqlite(conn) => {
            // A transaction that first reads cannot wait for the lock once it writes.
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")
        }
        #[cfg(feature = "postgres")]
        Conn::Pg(conn) => {
            let begun =
                AnsiTransactionManager::begin_transaction_sql(conn, postgres::BEGIN_WRITING);
            // It may have begun without the lock.
            begun.inspect_err(|_| drop(conn.batch_execute("ROLLBACK")))
        }
    }
}

/// Whether a connection that failed has nobody on its other side. Diesel does not always notice, and the words for it
/// are those of some language.
pub(crate) fn is_gone(conn: &mut Conn) -> bool {
    match conn {
        Conn::Sqlite(_) => false,
        #[cfg(feature = "postgres")]
        Conn::Pg(conn) => conn.batch_execute("SELECT 1").is_err(),
    }
}

/// The error for a transaction that was to write and did not begin.
pub(crate) fn not_begun(place: &Place, error: QueryError) -> Error {
    match place {
        Place::File(_) => from_query(place, error),
        // Whatever language the server says it in.
        Place::Server(_) => Error::unavailable(format!(
            "{place}: the database is locked by another program ({error}); stop that program or try again"
        ))
        .with_source(error),
    }
}

/// From here on this connection leaves nothing of what it deletes in the file.
pub(crate) fn delete_for_good(conn: &mut Conn) -> QueryResult<()> {
    match conn {
        Conn::Sqlite(conn) => conn.batch_execute("PRAGMA secure_delete = ON"),
        // What a deleted row leaves behind there is the server's business, and goes with its next VACUUM.
        #[cfg(feature = "postgres")]
        Conn::Pg(_) => Ok(()),
    }
}

/// Leaves nothing of what was overwritten in the file beside the database.
pub(crate) fn empty_log(conn: &mut Conn) -> QueryResult<()> {
    match conn {
        Conn::Sqlite(conn) => conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)"),
        #[cfg(feature = "postgres")]
        Conn::Pg(_) => Ok(()),
    }
}

/// Begins a transaction that sees one moment of the database; how, a reader was told when it was connected.
pub(crate) fn begin_reading(conn: &mut Conn) -> QueryResult<()> {
    <Conn as Connection>::TransactionManager::begin_transaction(conn)
}

/// A raw query with `?` in the place of each value, as the database wants it.
pub(crate) fn placeholders(conn: &Conn, query: &str) -> String {
    match conn {
        Conn::Sqlite(_) => query.to_owned(),
        #[cfg(feature = "postgres")]
        Conn::Pg(_) => {
            let mut parts = query.split('?');
            let mut text = parts.next().unwrap_or_default().to_owned();
            for (index, part) in parts.enumerate() {
                text.push_str(&format!("${}{part}", index + 1));
            }
            text
        }
    }
}

/// `text` has the pattern of `LIKE` in it, with letters of a to z in both cases and `\` before what is no wildcard.
///
/// SQLite's own LIKE is like that; PostgreSQL's ILIKE is, on our columns, which it compares byte by byte.
pub(crate) fn like_any_case<E>(text: E, pattern: String) -> LikeAnyCase<E> {
    LikeAnyCase { text, pattern }
}

/// See [`like_any_case`].
#[derive(Debug, Clone, QueryId)]
pub(crate) struct LikeAnyCase<E> {
    text: E,
    pattern: String,
}

impl<E: Expression> Expression for LikeAnyCase<E> {
    type SqlType = Nullable<Bool>;
}

impl<E, QS> SelectableExpression<QS> for LikeAnyCase<E>
where
    E: SelectableExpression<QS>,
    Self: AppearsOnTable<QS>,
{
}

impl<E: AppearsOnTable<QS>, QS> AppearsOnTable<QS> for LikeAnyCase<E> {}

impl<E> ValidGrouping<()> for LikeAnyCase<E> {
    type IsAggregate = is_aggregate::No;
}

impl<E: QueryFragment<MultiBackend>> QueryFragment<MultiBackend> for LikeAnyCase<E> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        self.text.walk_ast(out.reborrow())?;
        MultiBackend::walk_variant_ast(&Like, out.reborrow())?;
        out.push_bind_param::<Text, _>(&self.pattern)?;
        out.push_sql(" ESCAPE '\\'");
        Ok(())
    }
}

/// The word of each database.
struct Like;

impl QueryFragment<Sqlite> for Like {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        word(out, " LIKE ")
    }
}

#[cfg(feature = "postgres")]
impl QueryFragment<diesel::pg::Pg> for Like {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, diesel::pg::Pg>) -> QueryResult<()> {
        word(out, " ILIKE ")
    }
}

fn word<DB: Backend>(mut out: AstPass<'_, '_, DB>, word: &str) -> QueryResult<()> {
    out.push_sql(word);
    Ok(())
}
