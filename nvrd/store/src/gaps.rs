//! The gap ledger: stretches of a camera's time that are not on disk, and why.

mod settle;

use diesel::prelude::*;
use nvr_base::{Error, Principal, Result};

use crate::conn::{Conn, Store};
use crate::page::checked_limit;
use crate::schema::gaps;

pub(crate) use settle::apply;
pub use settle::{GapChange, GapStep};

/// A person switched the recording off.
const PAUSED: &str = "paused";

/// A stretch of time that is not on disk.
#[derive(Queryable, Selectable, Insertable, Debug, Clone, PartialEq, Eq)]
#[diesel(table_name = gaps)]
pub struct GapRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// Name of the camera.
    pub camera: String,
    /// First missing moment, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// When recording went on, microseconds since 1970-01-01 UTC; absent while it has not.
    pub end_us: Option<i64>,
    /// Why: `source_lost`, `paused`, `disk_full`, …
    pub reason: String,
    /// One sentence for people.
    pub detail: Option<String>,
}

impl Store {
    /// Notes that a camera's recording stopped, and why; if a gap with that reason is open, that one stays as it is.
    ///
    /// A gap of that reason that ended at that very moment goes on instead.
    ///
    /// # Errors
    /// `InvalidArgument` if the camera or the reason is empty.
    pub fn open_gap(
        &self,
        camera: &str,
        reason: &str,
        start_us: i64,
        detail: Option<&str>,
    ) -> Result<GapRow> {
        self.add_gap(camera, reason, start_us, None, detail)
    }

    /// Notes a gap whose end may be known; without an end this is [`open_gap`](Self::open_gap). With one, it closes
    /// the open gap of that reason, and adds a closed one if none is open.
    ///
    /// # Errors
    /// `InvalidArgument` if the camera or the reason is empty.
    pub fn add_gap(
        &self,
        camera: &str,
        reason: &str,
        start_us: i64,
        end_us: Option<i64>,
        detail: Option<&str>,
    ) -> Result<GapRow> {
        if camera.is_empty() || reason.is_empty() {
            return Err(Error::invalid("a gap needs a camera and a reason"));
        }
        let gap = GapRow {
            id: self.new_id(),
            camera: camera.to_owned(),
            start_us,
            end_us: end_us.map(|end_us| end_us.max(start_us)),
            reason: reason.to_owned(),
            detail: detail.map(ToOwned::to_owned),
        };
        self.write(|conn| Ok(add(conn, gap)?))
    }

    /// Ends the open gaps of a camera, all or those of one reason, and returns them; none open is no error.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn close_gap(
        &self,
        camera: &str,
        reason: Option<&str>,
        end_us: i64,
    ) -> Result<Vec<GapRow>> {
        self.write(|conn| {
            let mut closed = open(conn, camera, reason)?;
            for gap in &mut closed {
                close(conn, gap, end_us)?;
            }
            Ok(closed)
        })
    }

    /// The gaps of a camera with a moment in `start_us..end_us`, in the order of time, the first `limit` of them;
    /// none of a camera that the asker may not know of.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit out of range.
    pub fn gaps(
        &self,
        principal: &Principal,
        camera: &str,
        start_us: i64,
        end_us: i64,
        limit: u32,
    ) -> Result<Vec<GapRow>> {
        let limit = checked_limit(limit)?;
        if !principal.sees(camera) {
            return Ok(Vec::new());
        }
        self.read(|conn| {
            Ok(gaps::table
                .filter(gaps::camera.eq(camera))
                .filter(gaps::start_us.lt(end_us))
                .filter(gaps::end_us.is_null().or(gaps::end_us.gt(start_us)))
                .order((gaps::start_us, gaps::id))
                .limit(limit)
                .select(GapRow::as_select())
                .load(conn)?)
        })
    }

    /// The open gaps of a camera, oldest first.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn open_gaps(&self, camera: &str) -> Result<Vec<GapRow>> {
        self.read(|conn| Ok(open(conn, camera, None)?))
    }
}

/// Two stretches that are this near each other are one: pictures have a length that nobody knows exactly.
const NEAR_US: i64 = 50_000;

/// Notes that what was recorded in a stretch was deleted; one that follows on from what was deleted widens it.
pub(crate) fn deleted(
    conn: &mut Conn,
    id: String,
    camera: &str,
    start_us: i64,
    end_us: i64,
) -> QueryResult<()> {
    let near = |from: i64, to: i64| {
        gaps::table
            .filter(gaps::camera.eq(camera.to_owned()))
            .filter(gaps::reason.eq("deleted"))
            .filter(gaps::start_us.ge(from))
            .filter(gaps::start_us.le(to))
            .filter(gaps::end_us.is_not_null())
            .order(gaps::start_us.desc())
            .select(GapRow::as_select())
            .limit(1)
    };
    let reaches = |gap: &GapRow| gap.end_us >= Some(start_us.saturating_sub(NEAR_US));
    let before = near(i64::MIN, start_us).first(conn).optional()?;
    let before: Option<GapRow> = before.filter(reaches);
    let after: Option<GapRow> = near(start_us.saturating_add(1), end_us.saturating_add(NEAR_US))
        .first(conn)
        .optional()?;
    let until = after.as_ref().and_then(|gap| gap.end_us).unwrap_or(end_us);
    let until = until
        .max(end_us)
        .max(before.as_ref().and_then(|gap| gap.end_us).unwrap_or(end_us));
    if let Some(after) = after {
        diesel::delete(gaps::table.find(after.id)).execute(conn)?;
    }
    match before {
        Some(before) => diesel::update(gaps::table.find(before.id))
            .set(gaps::end_us.eq(until))
            .execute(conn),
        None => diesel::insert_into(gaps::table)
            .values(&GapRow {
                id,
                camera: camera.to_owned(),
                start_us,
                end_us: Some(until),
                reason: "deleted".to_owned(),
                detail: None,
            })
            .execute(conn),
    }
    .map(drop)
}

/// How many gaps there are.
pub(crate) fn count(conn: &mut Conn) -> QueryResult<i64> {
    gaps::table.count().get_result(conn)
}

fn add(conn: &mut Conn, mut gap: GapRow) -> QueryResult<GapRow> {
    if let Some(mut known) = open(conn, &gap.camera, Some(&gap.reason))?.pop() {
        if let Some(end_us) = gap.end_us {
            close(conn, &mut known, end_us)?;
        }
        return Ok(known);
    }
    // What goes on where one of its kind ended is the same gap.
    if let Some(before) = ending_at(conn, &gap.camera, &gap.reason, gap.start_us)? {
        gap = GapRow {
            end_us: gap.end_us,
            detail: before.detail.clone().or(gap.detail),
            ..before
        };
        diesel::update(gaps::table.find(&gap.id))
            .set((gaps::end_us.eq(gap.end_us), gaps::detail.eq(&gap.detail)))
            .execute(conn)?;
        return Ok(gap);
    }
    diesel::insert_into(gaps::table)
        .values(&gap)
        .execute(conn)?;
    Ok(gap)
}

/// A gap of a reason that lasted some time and ended at that very moment.
fn ending_at(
    conn: &mut Conn,
    camera: &str,
    reason: &str,
    end_us: i64,
) -> QueryResult<Option<GapRow>> {
    gaps::table
        .filter(gaps::camera.eq(camera))
        .filter(gaps::end_us.eq(Some(end_us)))
        .filter(gaps::reason.eq(reason))
        .filter(gaps::start_us.lt(end_us))
        .select(GapRow::as_select())
        .first(conn)
        .optional()
}

pub(crate) fn open(
    conn: &mut Conn,
    camera: &str,
    reason: Option<&str>,
) -> QueryResult<Vec<GapRow>> {
    let mut query = gaps::table
        .filter(gaps::camera.eq(camera))
        .filter(gaps::end_us.is_null())
        .order((gaps::start_us, gaps::id))
        .select(GapRow::as_select())
        .into_boxed();
    if let Some(reason) = reason {
        query = query.filter(gaps::reason.eq(reason));
    }
    query.load(conn)
}

pub(crate) fn close(conn: &mut Conn, gap: &mut GapRow, end_us: i64) -> QueryResult<()> {
    // A wall clock that was set back must not end a gap before it began.
    gap.end_us = Some(end_us.max(gap.start_us));
    diesel::update(gaps::table.find(&gap.id))
        .set(gaps::end_us.eq(gap.end_us))
        .execute(conn)
        .map(drop)
}

/// Ends what lasted when a run ended, but for what a person had asked for: that lasts until it is asked otherwise.
pub(crate) fn end_of_run(conn: &mut Conn, end_us: i64) -> QueryResult<()> {
    let lasting: Vec<GapRow> = gaps::table
        .filter(gaps::end_us.is_null())
        .filter(gaps::reason.ne(PAUSED))
        .select(GapRow::as_select())
        .load(conn)?;
    for mut gap in lasting {
        close(conn, &mut gap, end_us)?;
    }
    Ok(())
}
