//! Reads many events: all of them in parts, and how many there are of what.

use std::ops::Range;

use diesel::dsl::{count, count_star, max, min, sum};
use diesel::prelude::*;
use nvr_base::Principal;

use super::query::{filtered, ordered, with_zones};
use super::record::Record;
use super::{EventFilter, EventGroup, EventRow};
use crate::conn::Conn;
use crate::schema::events;

/// The next events behind one, in the order of the filter; the first ones without.
pub(super) fn after(
    conn: &mut Conn,
    principal: &Principal,
    filter: &EventFilter,
    last: Option<(i64, &str)>,
    limit: i64,
) -> QueryResult<Vec<EventRow>> {
    let mut query = filtered(principal, filter, true);
    if let Some((start_us, id)) = last {
        let (at_once, id) = (events::start_us.eq(start_us), id.to_owned());
        query = match filter.ascending {
            false => query.filter(
                events::start_us
                    .lt(start_us)
                    .or(at_once.and(events::id.lt(id))),
            ),
            true => query.filter(
                events::start_us
                    .gt(start_us)
                    .or(at_once.and(events::id.gt(id))),
            ),
        };
    }
    let query = ordered(query, filter).select(Record::as_select());
    let records = query.limit(limit).load(conn)?;
    with_zones(conn, records)
}

/// Camera, kind, label, events, those with a score, the sum of their scores, first and last start.
type Group = (
    String,
    String,
    Option<String>,
    i64,
    i64,
    Option<f64>,
    Option<i64>,
    Option<i64>,
);

/// How many events that began in a range there are of each camera, kind and label.
pub(super) fn groups(
    conn: &mut Conn,
    cameras: Option<&[&str]>,
    range: &Range<i64>,
) -> QueryResult<Vec<EventGroup>> {
    // A query that may or may not have a condition cannot be grouped, so there are two.
    macro_rules! grouped {
        ($events:expr) => {
            $events
                .filter(events::start_us.ge(range.start))
                .filter(events::start_us.lt(range.end))
                .group_by((events::camera, events::kind, events::label))
                .select((
                    events::camera,
                    events::kind,
                    events::label,
                    count_star(),
                    count(events::score),
                    sum(events::score),
                    min(events::start_us),
                    max(events::start_us),
                ))
                .load::<Group>(conn)?
        };
    }
    let groups = match cameras {
        None => grouped!(events::table),
        Some(names) => grouped!(events::table.filter(events::camera.eq_any(names))),
    };
    let group_of = |(camera, kind, label, events, scored, scores, first_us, last_us): Group| {
        EventGroup {
            camera,
            kind,
            label,
            events: events.cast_unsigned(),
            scored: scored.cast_unsigned(),
            scores: scores.unwrap_or(0.0),
            // A group has a row, so both are there.
            first_us: first_us.unwrap_or(range.start),
            last_us: last_us.unwrap_or(range.start),
        }
    };
    Ok(groups.into_iter().map(group_of).collect())
}
