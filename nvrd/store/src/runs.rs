//! Runs of the daemon: when it was there to record, as far as anybody knows.

use diesel::prelude::*;
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::page::checked_limit;
use crate::schema::runs;

/// From a start of the daemon to its end.
#[derive(Queryable, Selectable, Insertable, Debug, Clone, PartialEq, Eq)]
#[diesel(table_name = runs)]
pub struct RunRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// When it started, microseconds since 1970-01-01 UTC.
    pub started_us: i64,
    /// When it was last known to run, microseconds since 1970-01-01 UTC.
    pub seen_us: i64,
    /// When it ended, microseconds since 1970-01-01 UTC; absent for the run that goes on.
    ///
    /// After a crash it is the moment at which the run was last seen.
    pub ended_us: Option<i64>,
    /// Whether it ended in order.
    pub clean: bool,
}

impl Store {
    /// Notes that the daemon starts. Runs that never ended were killed: they end when they were last seen, and so do
    /// the open gaps of cameras that nobody had paused; who goes on after that notes his own.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn begin_run(&self, now_us: i64) -> Result<RunRow> {
        let run = RunRow {
            id: self.new_id(),
            started_us: now_us,
            seen_us: now_us,
            ended_us: None,
            clean: false,
        };
        self.write(|conn| {
            let last_seen: Option<i64> =
                newest(conn)?.map(|run| run.ended_us.unwrap_or(run.seen_us));
            diesel::update(runs::table.filter(runs::ended_us.is_null()))
                .set(runs::ended_us.eq(runs::seen_us.nullable()))
                .execute(conn)?;
            // A clock that was set back must not make a gap last into the new run.
            crate::gaps::end_of_run(conn, last_seen.unwrap_or(now_us).min(now_us))?;
            diesel::insert_into(runs::table)
                .values(&run)
                .execute(conn)?;
            Ok(run)
        })
    }

    /// Notes that a run goes on: some rows of nothing, for once every few seconds.
    ///
    /// # Errors
    /// `NotFound` if there is no such run.
    pub fn run_seen(&self, id: &str, now_us: i64) -> Result<()> {
        self.set(id, |conn| {
            diesel::update(runs::table.find(id))
                .set(runs::seen_us.eq(now_us))
                .execute(conn)
        })
    }

    /// Notes the orderly end of a run.
    ///
    /// # Errors
    /// `NotFound` if there is no such run.
    pub fn end_run(&self, id: &str, now_us: i64) -> Result<()> {
        self.set(id, |conn| {
            diesel::update(runs::table.find(id))
                .set((
                    runs::seen_us.eq(now_us),
                    runs::ended_us.eq(Some(now_us)),
                    runs::clean.eq(true),
                ))
                .execute(conn)
        })
    }

    /// The runs with a moment in `start_us..end_us`, in the order of their starts, the last `limit` of them.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit out of range.
    pub fn runs(&self, start_us: i64, end_us: i64, limit: u32) -> Result<Vec<RunRow>> {
        let limit = checked_limit(limit)?;
        self.read(|conn| {
            let mut rows = overlapping(conn, start_us, end_us, limit)?;
            rows.reverse();
            Ok(rows)
        })
    }

    fn set(&self, id: &str, change: impl FnOnce(&mut Conn) -> QueryResult<usize>) -> Result<()> {
        self.write(|conn| match change(conn)? {
            0 => Err(Error::not_found(format!("no run has the id {id:?}")).into()),
            _ => Ok(()),
        })
    }
}

/// The runs with a moment in a range, the newest first.
pub(crate) fn overlapping(
    conn: &mut Conn,
    start_us: i64,
    end_us: i64,
    limit: i64,
) -> QueryResult<Vec<RunRow>> {
    runs::table
        .filter(runs::started_us.lt(end_us))
        .filter(runs::ended_us.is_null().or(runs::ended_us.gt(start_us)))
        .order((runs::started_us.desc(), runs::id.desc()))
        .limit(limit)
        .select(RunRow::as_select())
        .load(conn)
}

/// When the daemon first ran, as far as this database knows.
pub(crate) fn first_start(conn: &mut Conn) -> QueryResult<Option<i64>> {
    runs::table
        .select(diesel::dsl::min(runs::started_us))
        .get_result(conn)
}

fn newest(conn: &mut Conn) -> QueryResult<Option<RunRow>> {
    runs::table
        .order((runs::started_us.desc(), runs::id.desc()))
        .select(RunRow::as_select())
        .first(conn)
        .optional()
}
