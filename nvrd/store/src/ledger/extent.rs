//! Asks the database, on one snapshot, for the facts of a range, and for the lifetime of a camera.

use std::ops::Range;

use diesel::prelude::*;
use nvr_base::{Principal, Result};

use super::{Facts, MARGIN_US, Recorded, Tile, tile};
use crate::conn::{Conn, Store};
use crate::gaps::GapRow;
use crate::runs::{self, RunRow};
use crate::schema::{gaps, segments};
use crate::segments as files;

/// Most runs that are looked at; older ones of a range count as not known.
const MAX_RUNS: i64 = 20_000;

/// The tiles of a range of a camera.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The camera's first moment, microseconds since 1970-01-01 UTC; absent when nothing is known of it.
    pub first_us: Option<i64>,
    /// The end of what is known of it, microseconds since 1970-01-01 UTC.
    pub last_us: Option<i64>,
    /// The part of the range inside the lifetime, in order and without hole or overlap.
    pub tiles: Vec<Tile>,
    /// Where to go on when there were too many rows for one answer, microseconds since 1970-01-01 UTC.
    pub next_us: Option<i64>,
}

impl Store {
    /// The ledger of a camera in a range; empty for a camera that the asker may not know of.
    ///
    /// `live` is what is recorded and not yet listed. A camera that there is lives on until `until_us`; one that was
    /// removed, until the last thing that is known of it. At most `limit` segments and gaps are looked at each.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn ledger(
        &self,
        principal: &Principal,
        camera: &str,
        range: Range<i64>,
        live: &[Recorded],
        until_us: Option<i64>,
        limit: u32,
    ) -> Result<Ledger> {
        let now_us = self.now_us();
        if !principal.sees(camera) {
            return Ok(Ledger::default());
        }
        self.read(|conn| {
            let (first, last) = extent(conn, camera)?;
            let first_us = live.iter().map(|piece| piece.start_us).chain(first).min();
            let last_us = match until_us {
                Some(until) => first_us.map(|first| first.max(until)),
                None => live.iter().map(|piece| piece.end_us).chain(last).max(),
            };
            let mut ledger = Ledger {
                first_us,
                last_us,
                tiles: Vec::new(),
                next_us: None,
            };
            let (Some(first), Some(last)) = (first_us, last_us) else {
                return Ok(ledger);
            };
            let mut range = range.start.max(first)..range.end.min(last);
            if range.start >= range.end {
                return Ok(ledger);
            }
            let limit = i64::from(limit.max(16));
            let asked = range.end;
            let mut recorded = pieces(conn, camera, &range, limit)?;
            cut(
                &mut range,
                recorded.len(),
                limit,
                recorded.last().map(|piece| piece.start_us),
            );
            recorded.extend_from_slice(live);
            let gaps = gaps_within(conn, camera, &range, limit)?;
            cut(
                &mut range,
                gaps.len(),
                limit,
                gaps.last().map(|gap| gap.start_us),
            );
            let (runs, runs_known_from_us) = runs_within(conn, &range)?;
            let facts = Facts {
                segments: &recorded,
                gaps: &gaps,
                runs: &runs,
                runs_known_from_us,
                now_us,
            };
            ledger.tiles = tile(range.clone(), &facts);
            ledger.next_us = (range.end < asked).then_some(range.end);
            Ok(ledger)
        })
    }
}

/// Shortens a range to what the rows cover, when there are more rows than were asked for.
fn cut(range: &mut Range<i64>, rows: usize, limit: i64, last_start: Option<i64>) {
    let full = i64::try_from(rows).is_ok_and(|rows| rows >= limit);
    match last_start {
        // Otherwise nothing would be left, and whoever asks on would ask for ever.
        Some(start) if full && range.start < start => range.end = range.end.min(start),
        _ => {}
    }
}

/// First and last known moment of a camera in the database.
fn extent(conn: &mut Conn, camera: &str) -> QueryResult<(Option<i64>, Option<i64>)> {
    let of_segments = segments::table.filter(segments::camera.eq(camera));
    let of_gaps = gaps::table.filter(gaps::camera.eq(camera));
    let first_segment: Option<i64> = of_segments
        .select(diesel::dsl::min(segments::start_us))
        .get_result(conn)?;
    let first_gap: Option<i64> = of_gaps
        .select(diesel::dsl::min(gaps::start_us))
        .get_result(conn)?;
    let last_gap: Option<(i64, Option<i64>)> = of_gaps
        .order(gaps::start_us.desc())
        .select((gaps::start_us, gaps::end_us))
        .first(conn)
        .optional()?;
    let first = first_segment.into_iter().chain(first_gap).min();
    let last_gap = last_gap.map(|(start, end)| end.unwrap_or(start));
    let last_segment = end_before(conn, camera, i64::MAX)?;
    Ok((first, last_segment.into_iter().chain(last_gap).max()))
}

/// The end of the last segment that began before a moment.
pub(crate) fn end_before(
    conn: &mut Conn,
    camera: &str,
    before_us: i64,
) -> QueryResult<Option<i64>> {
    segments::table
        .filter(segments::camera.eq(camera))
        .filter(segments::start_us.lt(before_us))
        .order((segments::start_us.desc(), segments::id.desc()))
        .select(segments::end_us)
        .first(conn)
        .optional()
}

/// What is recorded in a range and next to it, without the rest of the rows.
pub(crate) fn pieces(
    conn: &mut Conn,
    camera: &str,
    range: &Range<i64>,
    limit: i64,
) -> QueryResult<Vec<Recorded>> {
    let start_us = range.start.saturating_sub(MARGIN_US);
    let end_us = range.end.saturating_add(MARGIN_US);
    let earliest_us = start_us.saturating_sub(files::longest(conn, camera)?.unwrap_or(0));
    let rows: Vec<(String, i64, i64)> = segments::table
        .filter(segments::camera.eq(camera))
        .filter(segments::start_us.ge(earliest_us))
        .filter(segments::start_us.le(end_us))
        .filter(segments::end_us.ge(start_us))
        .order((segments::start_us, segments::id))
        .limit(limit)
        .select((segments::id, segments::start_us, segments::end_us))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(id, start_us, end_us)| Recorded {
            id: Some(id),
            start_us,
            end_us,
        })
        .collect())
}

pub(crate) fn gaps_within(
    conn: &mut Conn,
    camera: &str,
    range: &Range<i64>,
    limit: i64,
) -> QueryResult<Vec<GapRow>> {
    gaps::table
        .filter(gaps::camera.eq(camera))
        .filter(gaps::start_us.lt(range.end))
        .filter(gaps::end_us.is_null().or(gaps::end_us.gt(range.start)))
        .order((gaps::start_us, gaps::id))
        .limit(limit)
        .select(GapRow::as_select())
        .load(conn)
}

/// The runs of a range and next to it, and from when on they are complete.
pub(crate) fn runs_within(conn: &mut Conn, range: &Range<i64>) -> QueryResult<(Vec<RunRow>, i64)> {
    let start_us = range.start.saturating_sub(MARGIN_US);
    let end_us = range.end.saturating_add(MARGIN_US);
    let rows = runs::overlapping(conn, start_us, end_us, MAX_RUNS)?;
    let first = runs::first_start(conn)?.unwrap_or(i64::MAX);
    let oldest = rows.last().map(|run| run.started_us);
    let full = i64::try_from(rows.len()).is_ok_and(|count| count >= MAX_RUNS);
    let known_from = match oldest {
        Some(oldest) if full => first.max(oldest),
        // The range begins in a downtime: the run before it has ended.
        _ => first.max(start_us),
    };
    Ok((rows, known_from))
}
