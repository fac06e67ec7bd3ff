//! What only a PostgreSQL server is told and asked.

use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use nvr_base::{Error, Result};

use super::health::lines;
use crate::failure::{Failure, from_query};
use crate::place::Place;

/// On: a commit that was reported is on the server's disk. What the server or the role say otherwise does not count.
/// One that hangs on a lock of somebody else ends with an error, and what waits is written later.
pub(crate) const WRITER: &str = "SET synchronous_commit = on; SET default_transaction_read_only = off; \
     SET default_transaction_isolation = 'read committed'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '60s';";

/// Some errors are told from others by their words, which are English where the role may say so.
pub(crate) const ENGLISH: &str = "DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); \
     EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;";

/// One moment for all queries of a transaction, nothing written, and an end to a query that looks at too much.
pub(crate) const READER: &str = "SET default_transaction_isolation = 'repeatable read'; \
     SET default_transaction_read_only = on; SET statement_timeout = '60s'; SET lock_timeout = '10s'; \
     SET idle_in_transaction_session_timeout = '60s';";

/// Whoever writes holds this until the end of the transaction: the daemon and a command beside it take turns, as they
/// do on a file. It is of the schema, and "nvrd" as a number.
pub(crate) const BEGIN_WRITING: &str =
    "BEGIN; SELECT pg_advisory_xact_lock(1853256292, hashtext(current_schema()))";

/// The tables and views of the schema that we use.
pub(crate) const TABLES: &str = "SELECT table_name::text AS line FROM information_schema.tables \
     WHERE table_schema = current_schema()";

/// The oldest server that this was tried with.
const OLDEST: i64 = 15;

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Bool)]
    standby: bool,
    #[diesel(sql_type = Bool)]
    schema: bool,
}

/// Sees that the server is one that we can write to for good.
pub(crate) fn check(conn: &mut PgConnection, place: &Place) -> Result<()> {
    let server: Server = diesel::sql_query(
        "SELECT current_setting('server_version_num')::bigint / 10000 AS version, \
             current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby, \
             current_schema() IS NOT NULL AS schema",
    )
    .get_result(conn)
    .map_err(|error| from_query(place, error))?;
    let refuse = |why: String| Err(Error::precondition(format!("{place}: {why}")));
    if server.version < OLDEST {
        return refuse(format!(
            "the server is PostgreSQL {}: {OLDEST} or newer is needed",
            server.version
        ));
    }
    if server.encoding != "UTF8" {
        return refuse(format!(
            "the database's encoding is {}: make one with `createdb --template=template0 --encoding=UTF8`",
            server.encoding
        ));
    }
    if server.standby {
        return refuse(
            "the server is a standby, which takes no changes: name the primary".to_owned(),
        );
    }
    if !server.schema {
        return refuse(
            "no schema of the search path is there: make one, or name another".to_owned(),
        );
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    locked: bool,
}

/// Takes the lock of the one daemon that a schema has; it is held for as long as the connection lasts, so that a daemon
/// that lost it cannot write any more.
pub(crate) fn claim(conn: &mut PgConnection, place: &Place) -> Result<()> {
    let found: Locked = diesel::sql_query(
        "SELECT pg_try_advisory_lock(1853256293, hashtext(current_schema())) AS locked",
    )
    .get_result(conn)
    .map_err(|error| from_query(place, error))?;
    if found.locked {
        Ok(())
    } else {
        Err(Error::unavailable(format!(
            "{place}: another nvrd records into the database: stop it, or give each a database of its own"
        )))
    }
}

/// The error for a connection that could not be made.
pub(crate) fn not_connected(place: &Place, message: &str) -> Error {
    let message = message
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("; ");
    // Answers of a server that is there; in another language they are taken for a server that is not.
    let answers = [
        "does not exist",
        "authentication failed",
        "no password supplied",
        "no pg_hba.conf entry",
        "permission denied",
        "invalid URI",
        "invalid connection option",
    ];
    let message = format!("{place}: no connection to the database server: {message}");
    match answers.iter().any(|answer| message.contains(answer)) {
        true => Error::precondition(message),
        false => Error::unavailable(message),
    }
}

/// The error for what the server said and Diesel has no kind for.
pub(crate) fn from_message(place: &Place, message: &str) -> Error {
    let says = |text: &str| message.contains(text);
    if says("0x00") {
        Error::invalid("a text holds a NUL character, which the database cannot store")
    } else if says("No space left on device") || says("could not extend file") {
        Error::exhausted(format!(
            "{place}: no space is left for the database; free some on the server's disk"
        ))
    } else if says("permission denied") || says("must be owner") {
        Error::precondition(format!(
            "{place}: the server refused ({message}); give the role the right to it"
        ))
    } else if says("timeout") || says("the database system is") || says("terminating connection") {
        Error::unavailable(format!(
            "{place}: the server did not answer ({message}); try again"
        ))
    } else if says("invalid page") || says("could not read block") || says("missing chunk number") {
        Error::data_loss(format!(
            "{place}: the database is damaged ({message}); restore a backup of the server"
        ))
    } else {
        Error::internal(format!("{place}: {message}"))
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

pub(crate) fn size(conn: &mut PgConnection) -> QueryResult<u64> {
    let query = "SELECT pg_database_size(current_database()) AS number";
    let found: Number = diesel::sql_query(query).get_result(conn)?;
    Ok(found.number.cast_unsigned())
}

/// Reads every column of every row, and checks the trees of the indexes where the server has `amcheck`.
pub(crate) fn integrity(conn: &mut PgConnection) -> Result<Vec<String>, Failure> {
    // It takes as long as it takes.
    conn.batch_execute("SET LOCAL statement_timeout = 0")?;
    let mut checks: Vec<(String, String)> = lines(conn, TABLES)?
        .into_iter()
        .map(|table| {
            let rows = format!(
                "SELECT coalesce(sum(length(t::text)), 0)::bigint AS number FROM \"{table}\" t"
            );
            (table, rows)
        })
        .collect();
    let amcheck = "SELECT 'yes' AS line \
         WHERE has_function_privilege(to_regprocedure('bt_index_check(regclass,boolean)'), 'EXECUTE')";
    if !lines(conn, amcheck)?.is_empty() {
        let indexes = "SELECT c.relname::text AS line FROM pg_class c JOIN pg_am a ON a.oid = c.relam \
             WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.relnamespace = current_schema()::regnamespace";
        checks.extend(lines(conn, indexes)?.into_iter().map(|index| {
            let check = format!(
                "SELECT 0::bigint AS number FROM (SELECT bt_index_check('\"{index}\"', true)) x"
            );
            (index, check)
        }));
    }
    let mut problems = Vec::new();
    for (name, check) in checks {
        // A check that fails ends its transaction, and the others still want one.
        let found: QueryResult<Number> =
            conn.transaction(|conn| diesel::sql_query(check).get_result(conn));
        match found {
            Ok(_) => {}
            Err(error) if crate::connect::is_closed(&error) => return Err(error.into()),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
        if problems.len() == 10 {
            break;
        }
    }
    Ok(problems)
}

/// Texts are compared and sorted byte by byte, as SQLite does it, whatever language the database was made for: the
/// order of paths is that of the files. Done here for every column, so that no migration can forget it.
pub(crate) const BYTEWISE: &str = "DO $$ DECLARE c record; BEGIN
    FOR c IN SELECT k.table_name, k.column_name FROM information_schema.columns k
        JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE k.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
            AND k.data_type = 'text' AND k.collation_name IS DISTINCT FROM 'C'
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE \"C\"', c.table_name, c.column_name);
    END LOOP;
END $$;";
