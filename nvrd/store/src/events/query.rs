//! Reads events: one, a page of those that a filter lets through, and how many there are.

use std::collections::HashMap;

use diesel::dsl::{count_star, sql};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel::sqlite::Sqlite;
use nvr_base::principal::CameraAccess;
use nvr_base::{Error, Principal, Result};

use super::record::Record;
use super::{EventFilter, EventRow, EventState};
use crate::conn::Conn;
use crate::page::Page;
use crate::schema::{event_zones, events};

/// Sees that a filter can be asked.
pub(super) fn check(filter: &EventFilter) -> Result<()> {
    if filter.min_score.is_some_and(f64::is_nan) {
        return Err(Error::invalid("min_score is not a number"));
    }
    // SQLite's LIKE ends its pattern there, and PostgreSQL stores no such text.
    if filter
        .search
        .as_deref()
        .is_some_and(|text| text.contains('\0'))
    {
        return Err(Error::invalid("search must not hold a NUL character"));
    }
    Ok(())
}

pub(super) fn page(
    conn: &mut Conn,
    principal: &Principal,
    filter: &EventFilter,
    limit: i64,
    offset: i64,
) -> QueryResult<Page<EventRow>> {
    let total: i64 = filtered(principal, filter)
        .select(count_star())
        .first(conn)?;
    let records = filtered(principal, filter)
        .select(Record::as_select())
        .order((events::start_us.desc(), events::id.desc()))
        .limit(limit)
        .offset(offset)
        .load(conn)?;
    Ok(Page {
        items: with_zones(conn, records)?,
        total: total.cast_unsigned(),
    })
}

pub(super) fn find(conn: &mut Conn, id: &str) -> QueryResult<Option<EventRow>> {
    let record = events::table
        .find(id)
        .select(Record::as_select())
        .first(conn)
        .optional()?;
    match record {
        None => Ok(None),
        Some(record) => Ok(with_zones(conn, vec![record])?.pop()),
    }
}

/// All events that are open, oldest first.
pub(super) fn open(conn: &mut Conn) -> QueryResult<Vec<EventRow>> {
    let records = events::table
        .filter(is_open())
        .order((events::start_us, events::id))
        .select(Record::as_select())
        .load(conn)?;
    with_zones(conn, records)
}

/// How many events there are, and how many of them are open.
pub(crate) fn counts(conn: &mut Conn) -> QueryResult<(i64, i64)> {
    let open = events::table.filter(is_open());
    Ok((
        events::table.count().get_result(conn)?,
        open.count().get_result(conn)?,
    ))
}

/// Written out, not bound: only so can the database use the index that holds the open events alone.
fn is_open() -> SqlLiteral<Bool> {
    sql("events.state = 'open'")
}

fn filtered<'a>(
    principal: &'a Principal,
    filter: &'a EventFilter,
) -> events::BoxedQuery<'a, Sqlite> {
    let mut query = events::table.into_boxed();
    if let CameraAccess::Only(names) = &principal.cameras {
        query = query.filter(events::camera.eq_any(names));
    }
    if let Some(camera) = &filter.camera {
        query = query.filter(events::camera.eq(camera));
    }
    if let Some(kind) = &filter.kind {
        query = query.filter(events::kind.eq(kind));
    }
    if let Some(label) = &filter.label {
        query = query.filter(events::label.eq(label));
    }
    if let Some(start_us) = filter.start_us {
        query = query.filter(
            events::end_us
                .ge(start_us)
                .or(events::start_us.ge(start_us))
                .or(is_open()),
        );
    }
    if let Some(end_us) = filter.end_us {
        query = query.filter(events::start_us.lt(end_us));
    }
    if let Some(min_score) = filter.min_score {
        query = query.filter(events::score.ge(min_score));
    }
    if let Some(zone) = &filter.zone {
        let touched = event_zones::table
            .filter(event_zones::zone.eq(zone))
            .select(event_zones::event_id);
        query = query.filter(events::id.eq_any(touched));
    }
    query = match filter.state {
        None => query,
        Some(EventState::Open) => query.filter(is_open()),
        Some(EventState::Closed) => query.filter(events::state.eq(EventState::Closed.as_str())),
    };
    if let Some(text) = &filter.search {
        let pattern = containing(text);
        query = query.filter(
            events::camera
                .like(pattern.clone())
                .escape('\\')
                .or(events::kind.like(pattern.clone()).escape('\\'))
                .or(events::label.like(pattern.clone()).escape('\\'))
                .or(events::identity.like(pattern).escape('\\')),
        );
    }
    query
}

/// The LIKE pattern for a text anywhere, taken as it is.
fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn with_zones(conn: &mut Conn, records: Vec<Record>) -> QueryResult<Vec<EventRow>> {
    let mut zones: HashMap<String, Vec<String>> = HashMap::new();
    // SQLite takes 32766 values in one question; only the start of the program can have more events at once.
    for part in records.chunks(1000) {
        let pairs: Vec<(String, String)> = event_zones::table
            .filter(event_zones::event_id.eq_any(part.iter().map(|record| &record.id)))
            .order((event_zones::event_id, event_zones::zone))
            .select((event_zones::event_id, event_zones::zone))
            .load(conn)?;
        for (id, zone) in pairs {
            zones.entry(id).or_default().push(zone);
        }
    }
    Ok(records
        .into_iter()
        .map(|record| {
            let zones = zones.remove(&record.id).unwrap_or_default();
            record.into_row(zones)
        })
        .collect())
}
