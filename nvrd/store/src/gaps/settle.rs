//! What happens to a camera's recording, as it becomes rows of gaps: few, exact, and without a moment unexplained.

use std::ops::Range;

use diesel::prelude::*;
use nvr_base::Error;

use super::{GapRow, add, close, open};
use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::ledger::{self, Facts, Recorded, Stretch, Tile, UNKNOWN, tile};
use crate::schema::gaps;

/// Gaps and segments between two segments that are looked at; more of them leave some rows less exact.
const MANY: i64 = 5000;

/// These say what happened to one stretch exactly, and nothing of what is next to it.
const EXACT: [&str; 3] = ["deleted", "damaged", "clock_step"];

/// Something that happened to the recording of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapChange {
    /// Name of the camera.
    pub camera: String,
    /// Until when the camera is recorded, as far as whoever says this knows, microseconds since 1970-01-01 UTC.
    pub covered_us: Option<i64>,
    /// What.
    pub what: GapStep,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GapStep {
    /// From `start_us` on something is missing; what is not explained right before it is for the same reason.
    Begins {
        /// Why.
        reason: String,
        /// First missing moment, microseconds since 1970-01-01 UTC.
        start_us: i64,
        /// End, if it is over already, microseconds since 1970-01-01 UTC.
        end_us: Option<i64>,
        /// One sentence for people.
        detail: Option<String>,
    },
    /// The open gaps, all or those of one reason, end, and nothing may be recorded all the same.
    Ends {
        /// Which.
        reason: Option<String>,
        /// When, microseconds since 1970-01-01 UTC.
        end_us: i64,
    },
    /// A file begins: every open gap ends, and every moment since the file before gets its reason.
    Resumes {
        /// Its first picture, microseconds since 1970-01-01 UTC.
        at_us: i64,
        /// Why, where nothing is noted.
        reason: String,
        /// One sentence for people, to go with that.
        detail: Option<String>,
    },
}

/// Notes what happened.
pub(crate) fn apply(store: &Store, conn: &mut Conn, change: &GapChange) -> Result<(), Failure> {
    let GapChange {
        camera,
        covered_us,
        what,
    } = change;
    let now_us = store.now_us();
    let refused = |what: &str| Error::invalid(format!("a gap needs {what}"));
    if camera.is_empty() {
        return Err(refused("a camera").into());
    }
    match what {
        GapStep::Begins {
            reason,
            start_us,
            end_us,
            detail,
        } => {
            if reason.is_empty() {
                return Err(refused("a reason").into());
            }
            let asked = covered_us.map_or(*start_us, |covered| covered.max(*start_us));
            let start_us = back_to_what_is_known(conn, camera, asked, *covered_us, now_us)?;
            let gap = GapRow {
                id: store.new_id(),
                camera: camera.clone(),
                start_us,
                end_us: end_us.map(|end| end.max(start_us)),
                reason: reason.clone(),
                detail: detail.clone(),
            };
            // Covered by what was recorded meanwhile.
            if gap.end_us != Some(gap.start_us) || has_open(conn, camera, reason)? {
                add(conn, gap)?;
            }
        }
        GapStep::Ends { reason, end_us } => end(conn, camera, reason.as_deref(), *end_us)?,
        GapStep::Resumes {
            at_us,
            reason,
            detail,
        } => {
            end(conn, camera, None, *at_us)?;
            let noted = ledger::end_before(conn, camera, *at_us)?;
            let Some(since) = noted.max(*covered_us).filter(|since| since < at_us) else {
                return Ok(());
            };
            let fallback = GapRow {
                id: String::new(),
                camera: camera.clone(),
                start_us: since,
                end_us: Some(*at_us),
                reason: reason.clone(),
                detail: detail.clone(),
            };
            explain(store, conn, since..*at_us, &fallback)?;
        }
    }
    Ok(())
}

fn has_open(conn: &mut Conn, camera: &str, reason: &str) -> QueryResult<bool> {
    Ok(!open(conn, camera, Some(reason))?.is_empty())
}

fn end(conn: &mut Conn, camera: &str, reason: Option<&str>, end_us: i64) -> QueryResult<()> {
    for mut gap in open(conn, camera, reason)? {
        close(conn, &mut gap, end_us)?;
    }
    Ok(())
}

/// The tiles of a hole between the end of one segment and the start of the next.
fn tiles(
    conn: &mut Conn,
    camera: &str,
    hole: &Range<i64>,
    resumes: bool,
    now_us: i64,
) -> QueryResult<(Vec<Tile>, Vec<GapRow>)> {
    let gaps = ledger::gaps_within(conn, camera, hole, MANY)?;
    let (runs, runs_known_from_us) = ledger::runs_within(conn, hole)?;
    let piece = |start_us, end_us| Recorded {
        id: None,
        start_us,
        end_us,
    };
    let mut segments = vec![piece(hole.start.saturating_sub(1), hole.start)];
    if resumes {
        segments.push(piece(hole.end, hole.end.saturating_add(1)));
    }
    let facts = Facts {
        segments: &segments,
        gaps: &gaps,
        runs: &runs,
        runs_known_from_us,
        now_us: now_us.max(hole.end),
    };
    Ok((tile(hole.clone(), &facts), gaps))
}

fn is_unknown(tile: &Tile) -> bool {
    matches!(&tile.what, Stretch::Missing { reason, .. } if reason == UNKNOWN)
}

/// Where a gap begins that was noticed at some moment: where the last thing ends that is known before it.
fn back_to_what_is_known(
    conn: &mut Conn,
    camera: &str,
    at_us: i64,
    covered_us: Option<i64>,
    now_us: i64,
) -> QueryResult<i64> {
    let noted = ledger::end_before(conn, camera, at_us)?;
    let Some(since) = noted.max(covered_us).filter(|since| *since < at_us) else {
        return Ok(at_us);
    };
    let (tiles, _) = tiles(conn, camera, &(since..at_us), false, now_us)?;
    Ok(tiles
        .last()
        .filter(|tile| is_unknown(tile))
        .map_or(at_us, |tile| tile.start_us))
}

/// Gives every moment of a hole its reason: that of the gap before, else of the gap behind, else the fallback's.
fn explain(store: &Store, conn: &mut Conn, hole: Range<i64>, fallback: &GapRow) -> QueryResult<()> {
    let (tiles, mut rows) = tiles(conn, &fallback.camera, &hole, true, store.now_us())?;
    rows.retain(|gap| !EXACT.contains(&gap.reason.as_str()) && Some(gap.start_us) != gap.end_us);
    for tile in tiles.iter().filter(|tile| is_unknown(tile)) {
        let before = rows
            .iter()
            .position(|gap| gap.end_us == Some(tile.start_us));
        let behind = rows.iter().position(|gap| gap.start_us == tile.end_us);
        match (before, behind) {
            (Some(before), Some(behind))
                if before != behind && rows[before].reason == rows[behind].reason =>
            {
                let end_us = rows[behind].end_us;
                diesel::delete(gaps::table.find(&rows[behind].id)).execute(conn)?;
                set(conn, &mut rows[before], None, end_us)?;
                rows.remove(behind);
            }
            (Some(before), _) => set(conn, &mut rows[before], None, Some(tile.end_us))?,
            (None, Some(behind)) => {
                let end_us = rows[behind].end_us;
                set(conn, &mut rows[behind], Some(tile.start_us), end_us)?;
            }
            (None, None) => {
                // One hole may have several such stretches, around the downtimes of a daemon say.
                let id = store.new_id();
                let (start_us, end_us) = (tile.start_us, Some(tile.end_us));
                add(
                    conn,
                    GapRow {
                        id,
                        start_us,
                        end_us,
                        ..fallback.clone()
                    },
                )?;
            }
        }
    }
    Ok(())
}

fn set(
    conn: &mut Conn,
    gap: &mut GapRow,
    start_us: Option<i64>,
    end_us: Option<i64>,
) -> QueryResult<()> {
    gap.start_us = start_us.unwrap_or(gap.start_us);
    gap.end_us = end_us;
    diesel::update(gaps::table.find(&gap.id))
        .set((gaps::start_us.eq(gap.start_us), gaps::end_us.eq(gap.end_us)))
        .execute(conn)
        .map(drop)
}
