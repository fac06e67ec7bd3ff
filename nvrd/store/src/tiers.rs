//! What segments show, kept beside them as events come: the order in which retention deletes, found without a search.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use nvr_base::Result;

use crate::conn::{Conn, Store};
use crate::events::{EventRow, EventState};
use crate::retention::{Class, Item, Tier};
use crate::schema::{events, segment_totals, segments};
use crate::segments::{SegmentRow, longest};

/// So much before and after an event counts as part of it, microseconds.
const AROUND_US: i64 = 5_000_000;
/// Segments that may come between the end of an event and its report.
const LATE: i64 = 100;
/// Segments that tell what a camera writes.
const RECENT: i64 = 64;

/// What a camera has in one storage.
#[derive(Queryable, Selectable, Debug, Clone, PartialEq, Eq)]
#[diesel(table_name = segment_totals)]
pub struct Held {
    /// Identity of the storage.
    pub storage: String,
    /// Name of the camera.
    pub camera: String,
    /// How many segments.
    pub segments: i64,
    /// Their length together.
    pub bytes: i64,
}

/// What a camera wrote last.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// Identity of the storage that has its newest segment.
    pub storage: String,
    /// Start of the newest segment, microseconds since 1970-01-01 UTC.
    pub newest_us: i64,
    /// Bytes a second over the wanted time before its last moment; 0 when that is long past.
    pub rate: f64,
}

impl Store {
    /// What each camera has in each storage.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn held(&self) -> Result<Vec<Held>> {
        self.read(|conn| {
            Ok(segment_totals::table
                .order((segment_totals::camera, segment_totals::storage))
                .select(Held::as_select())
                .load(conn)?)
        })
    }

    /// The oldest segments of a camera in a storage that are of a class, after one that is known already.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn oldest_segments(
        &self,
        storage: &str,
        camera: &str,
        class: Class,
        after: Option<&Item>,
        limit: u32,
    ) -> Result<Vec<Item>> {
        self.read(|conn| {
            let mut query = segments::table
                .filter(segments::storage.eq(storage))
                .filter(segments::camera.eq(camera))
                .filter(segments::protected.eq(class.protected))
                .filter(segments::tier.eq(class.tier.rank()))
                .order((segments::start_us, segments::id))
                .limit(i64::from(limit))
                .select((
                    segments::id,
                    segments::start_us,
                    segments::end_us,
                    segments::bytes,
                ))
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(segments::start_us.ge(after.start_us)).filter(
                    segments::start_us
                        .gt(after.start_us)
                        .or(segments::id.gt(&after.id)),
                );
            }
            let rows: Vec<(String, i64, i64, i64)> = query.load(conn)?;
            Ok(rows
                .into_iter()
                .map(|(id, start_us, end_us, bytes)| Item {
                    id,
                    start_us,
                    end_us,
                    bytes: bytes.cast_unsigned(),
                })
                .collect())
        })
    }

    /// What a camera writes, measured over `window_us` before the end of its newest segment; `None` without a segment.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn ahead(&self, camera: &str, window_us: i64) -> Result<Option<Ahead>> {
        let now_us = self.now_us();
        let recent: Vec<(String, i64, i64, i64)> = self.read(|conn| {
            Ok(segments::table
                .filter(segments::camera.eq(camera))
                .order((segments::start_us.desc(), segments::id.desc()))
                .limit(RECENT)
                .select((
                    segments::storage,
                    segments::start_us,
                    segments::end_us,
                    segments::bytes,
                ))
                .load(conn)?)
        })?;
        let Some((storage, newest_us, end_us, _)) = recent.first().cloned() else {
            return Ok(None);
        };
        let window_us = window_us.max(1_000_000);
        // A camera that is silent for longer than that, and than two of its files, writes nothing.
        let length_us = end_us.saturating_sub(newest_us).max(0);
        let silent = now_us.saturating_sub(end_us) > window_us.max(length_us.saturating_mul(2));
        let from_us = end_us.saturating_sub(window_us);
        let bytes: f64 = recent
            .iter()
            .map(|(_, start, end, length)| {
                let whole = end.saturating_sub(*start).max(1) as f64;
                let inside = end.saturating_sub((*start).max(from_us)).max(0) as f64;
                *length as f64 * (inside / whole).min(1.0)
            })
            .sum();
        // Gaps within the window count; what lies before the first segment that is known does not.
        let known_us = recent
            .last()
            .map_or(from_us, |(_, start, ..)| (*start).max(from_us));
        let span_us = end_us.saturating_sub(known_us);
        let rate = match silent || span_us <= 0 {
            true => 0.0,
            false => bytes / (span_us as f64 / 1e6),
        };
        Ok(Some(Ahead {
            storage,
            newest_us,
            rate,
        }))
    }
}

/// The tier that an event gives to what it touches.
fn tier_of(kind: &str) -> Tier {
    match kind {
        // What the recorder says about itself shows nothing.
        "system" => Tier::Continuous,
        "motion" => Tier::Motion,
        _ => Tier::Event,
    }
}

/// Gives a new segment the tier of the events around it.
pub(crate) fn on_segment(conn: &mut Conn, segment: &SegmentRow) -> QueryResult<()> {
    let tier = around(conn, &segment.camera, segment.start_us, segment.end_us)?;
    if tier == Tier::Continuous {
        return Ok(());
    }
    diesel::update(segments::table.find(&segment.id))
        .set(segments::tier.eq(tier.rank()))
        .execute(conn)
        .map(drop)
}

fn around(conn: &mut Conn, camera: &str, start_us: i64, end_us: i64) -> QueryResult<Tier> {
    let until_us = end_us.saturating_add(AROUND_US);
    let open: Vec<String> = events::table
        // Written out, so that the index of the open events alone is used.
        .filter(sql::<Bool>("events.state = 'open'"))
        .filter(events::camera.eq(camera))
        .filter(events::start_us.lt(until_us))
        .select(events::kind)
        .distinct()
        .load(conn)?;
    let closed: Vec<String> = events::table
        .filter(events::camera.eq(camera))
        .filter(events::end_us.gt(start_us.saturating_sub(AROUND_US)))
        // The plus keeps the index by start out: it would look at everything before the segment.
        .filter(sql::<Bool>("+events.start_us < ").bind::<BigInt, _>(until_us))
        .select(events::kind)
        .distinct()
        .load(conn)?;
    let tiers = open.iter().chain(&closed).map(|kind| tier_of(kind));
    Ok(tiers.max().unwrap_or(Tier::Continuous))
}

/// Lifts the segments that an event touches to its tier.
pub(crate) fn on_event(conn: &mut Conn, event: &EventRow) -> QueryResult<()> {
    let tier = tier_of(&event.kind);
    if tier == Tier::Continuous {
        return Ok(());
    }
    let (earliest_us, from_us, until_us) = reach(conn, event)?;
    diesel::update(
        segments::table
            .filter(segments::camera.eq(&event.camera))
            .filter(segments::start_us.ge(earliest_us))
            .filter(segments::start_us.lt(until_us))
            .filter(segments::end_us.gt(from_us))
            .filter(segments::tier.lt(tier.rank())),
    )
    .set(segments::tier.eq(tier.rank()))
    .execute(conn)?;
    if event.state == EventState::Open {
        return Ok(());
    }
    // It may have ended before what came while it was open; only the last ones can be meant.
    let late: Vec<(String, i64, i64)> = segments::table
        .filter(segments::camera.eq(&event.camera))
        .filter(segments::start_us.ge(until_us))
        .filter(segments::tier.gt(0))
        .order(segments::start_us)
        .limit(LATE)
        .select((segments::id, segments::start_us, segments::end_us))
        .load(conn)?;
    settle(conn, &event.camera, late)
}

/// Lowers the segments that an event touched to what the other events make of them.
pub(crate) fn without_event(conn: &mut Conn, event: &EventRow) -> QueryResult<()> {
    let (earliest_us, from_us, until_us) = reach(conn, event)?;
    let touched: Vec<(String, i64, i64)> = segments::table
        .filter(segments::camera.eq(&event.camera))
        .filter(segments::start_us.ge(earliest_us))
        .filter(segments::start_us.lt(until_us))
        .filter(segments::end_us.gt(from_us))
        .filter(segments::tier.gt(0))
        .select((segments::id, segments::start_us, segments::end_us))
        .load(conn)?;
    settle(conn, &event.camera, touched)
}

/// Gives segments the tiers that the events around them make of them.
fn settle(conn: &mut Conn, camera: &str, touched: Vec<(String, i64, i64)>) -> QueryResult<()> {
    for (id, start_us, end_us) in touched {
        let tier = around(conn, camera, start_us, end_us)?;
        diesel::update(segments::table.find(id))
            .set(segments::tier.eq(tier.rank()))
            .execute(conn)?;
    }
    Ok(())
}

/// Where segments that an event touches may begin, and where it begins and ends with what is around it.
fn reach(conn: &mut Conn, event: &EventRow) -> QueryResult<(i64, i64, i64)> {
    let from_us = event.start_us.saturating_sub(AROUND_US);
    let until_us = match event.state {
        EventState::Open => i64::MAX,
        EventState::Closed => event
            .end_us
            .unwrap_or(event.start_us)
            .saturating_add(AROUND_US),
    };
    let longest_us = longest(conn, &event.camera)?.unwrap_or(0);
    Ok((from_us.saturating_sub(longest_us), from_us, until_us))
}
