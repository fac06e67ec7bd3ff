//! Takes out of a damaged database what SQLite can still read of it.

use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::events;
use crate::failure::from_query;

/// Tables that no file of a recording can give back, in an order that keeps references whole.
const TABLES: [&str; 11] = [
    "cameras",
    "storages",
    "runs",
    "gaps",
    "events",
    "event_zones",
    "users",
    "user_cameras",
    "api_keys",
    "api_key_cameras",
    "audit_log",
];
/// Rows that are taken at once from a table that cannot be read as a whole, and given up at once.
const CHUNK: i64 = 64;
/// Chunks that are tried at most: what a damaged file says of its length need not be true.
const MAX_CHUNKS: i64 = 1_000_000;

/// What came back of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// Name of the table.
    pub table: &'static str,
    /// Rows that were taken over.
    pub rows: u64,
    /// Why it is not all of them, if so.
    pub problem: Option<String>,
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Bounds {
    #[diesel(sql_type = Nullable<BigInt>)]
    low: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    high: Option<i64>,
}

impl Store {
    /// Copies what can be read of another database file into this one, but for segments: cameras made over the API,
    /// users, keys, the audit log, events, gaps, runs, storages and what is still to be unlinked.
    ///
    /// Rows that are here stay as they are. The other file is not written to. Segments come after it, so that they
    /// are ranked by the events.
    ///
    /// # Errors
    /// When this database fails; whatever is wrong with the other one is in the answer.
    pub fn salvage(&self, from: &Path) -> Result<Vec<Salvaged>> {
        let salvaged = self.beside(from, |conn| {
            TABLES.iter().map(|table| table_of(conn, table)).collect()
        })?;
        self.write(|conn| Ok(events::settle_with_rows(conn)?))?;
        Ok(salvaged)
    }

    /// Gives segments that are here the ids that they have in another database file, and protects those that are
    /// protected there.
    ///
    /// # Errors
    /// As [`salvage`](Self::salvage).
    pub fn salvage_marks(&self, from: &Path) -> Result<Vec<Salvaged>> {
        self.beside(from, |conn| vec![marks(conn)])
    }

    fn beside(
        &self,
        from: &Path,
        work: impl FnOnce(&mut Conn) -> Vec<Salvaged>,
    ) -> Result<Vec<Salvaged>> {
        let name = from.to_str().ok_or_else(|| {
            Error::invalid(format!(
                "{}: the path must be valid Unicode",
                from.display()
            ))
        })?;
        self.place()
            .need_file("what was in a file cannot be copied there")?;
        self.alone(|conn| {
            // Read-only, so that a program that looks at it later finds what we found.
            let uri = format!("file:{}?mode=ro", escaped(name));
            let attached = diesel::sql_query("ATTACH DATABASE ? AS old")
                .bind::<Text, _>(uri)
                .execute(conn);
            if let Err(error) = attached {
                return Ok(vec![Salvaged {
                    table: "all",
                    rows: 0,
                    problem: Some(error.to_string()),
                }]);
            }
            let salvaged = work(conn);
            conn.batch_execute("DETACH DATABASE old")
                .map_err(|error| from_query(self.place(), error))?;
            Ok(salvaged)
        })
    }
}

fn escaped(path: &str) -> String {
    path.replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23")
}

fn table_of(conn: &mut Conn, table: &'static str) -> Salvaged {
    match columns(conn, table) {
        Ok(columns) if columns.is_empty() => Salvaged {
            table,
            rows: 0,
            problem: None,
        },
        Ok(columns) => {
            let columns = columns.join(", ");
            let all = format!(
                "INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM old.{table}"
            );
            match run(conn, &all) {
                Ok(rows) => Salvaged {
                    table,
                    rows,
                    problem: None,
                },
                Err(error) => in_chunks(conn, table, &columns, &error),
            }
        }
        Err(error) => Salvaged {
            table,
            rows: 0,
            problem: Some(error.to_string()),
        },
    }
}

/// The columns that both databases have.
fn columns(conn: &mut Conn, table: &str) -> QueryResult<Vec<String>> {
    let mut of = |schema: &str| -> QueryResult<Vec<String>> {
        let query = format!("SELECT name FROM pragma_table_info('{table}', '{schema}')");
        let columns: Vec<Column> = diesel::sql_query(query).load(conn)?;
        Ok(columns.into_iter().map(|column| column.name).collect())
    };
    let old = of("old")?;
    let mut columns = of("main")?;
    columns.retain(|column| old.contains(column));
    Ok(columns)
}

/// A table that cannot be read as a whole: its parts, those that fail left out.
fn in_chunks(
    conn: &mut Conn,
    table: &'static str,
    columns: &str,
    first: &diesel::result::Error,
) -> Salvaged {
    let mut salvaged = Salvaged {
        table,
        rows: 0,
        problem: Some(first.to_string()),
    };
    let bound = |order: &str| {
        format!(
            "SELECT (SELECT rowid FROM old.{table} ORDER BY rowid {order} LIMIT 1) AS low, NULL AS high"
        )
    };
    let ends: Vec<Option<i64>> = ["ASC", "DESC"]
        .iter()
        .map(|order| {
            let found: QueryResult<Bounds> = diesel::sql_query(bound(order)).get_result(conn);
            found.ok().and_then(|bounds| bounds.low.or(bounds.high))
        })
        .collect();
    let low = ends[0].unwrap_or(1);
    let high = ends[1].unwrap_or(low.saturating_add(CHUNK * 1024));
    let mut lost = 0_u64;
    let mut at = low;
    for _ in 0..MAX_CHUNKS {
        if at > high {
            break;
        }
        let end = at.saturating_add(CHUNK);
        let part = format!(
            "INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM old.{table} \
             WHERE rowid >= {at} AND rowid < {end}"
        );
        match run(conn, &part) {
            Ok(rows) => salvaged.rows += rows,
            Err(_) => lost += 1,
        }
        at = end;
    }
    salvaged.problem = Some(format!(
        "{first}; up to {} rows could not be read",
        lost * CHUNK.cast_unsigned()
    ));
    salvaged
}

/// Ids and protection of segments, which their files do not hold.
fn marks(conn: &mut Conn) -> Salvaged {
    let table = "segments";
    let same =
        "o.camera = segments.camera AND o.start_us = segments.start_us AND o.path = segments.path";
    let protect = format!(
        "UPDATE main.segments SET protected = 1 \
         WHERE EXISTS (SELECT 1 FROM old.segments AS o WHERE {same} AND o.protected = 1)"
    );
    let rename = format!(
        "UPDATE OR IGNORE main.segments \
         SET (id, discont) = (SELECT o.id, o.discont FROM old.segments AS o WHERE {same}) \
         WHERE EXISTS (SELECT 1 FROM old.segments AS o WHERE {same})"
    );
    // Of a file from before there was protection, the ids alone.
    let protected = run(conn, &protect);
    match run(conn, &rename) {
        Ok(rows) => Salvaged {
            table,
            rows,
            problem: protected
                .err()
                .map(|error| format!("which were protected is lost: {error}")),
        },
        Err(error) => Salvaged {
            table,
            rows: 0,
            problem: Some(format!("ids and protection are lost: {error}")),
        },
    }
}

/// One statement in a transaction of its own: one that fails leaves nothing half done.
fn run(conn: &mut Conn, statement: &str) -> QueryResult<u64> {
    conn.transaction(|conn| {
        diesel::sql_query(statement)
            .execute(conn)
            .map(|rows| rows as u64)
    })
}
