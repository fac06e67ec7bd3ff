//! Reads events: one, a page of those that a filter lets through, and how many there are.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use diesel::dsl::{count_star, sql};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};
use nvr_base::principal::CameraAccess;
use nvr_base::{Error, Principal, Result};

use super::counted::Counted;
use super::record::Record;
use super::{EventFilter, EventRow, EventState, places};
use crate::backend::MultiBackend;
use crate::conn::Conn;
use crate::dialect::like_any_case;
use crate::page::Page;
use crate::schema::{event_zones, events};

/// Events, with conditions that are known only when it is asked.
pub(super) type Boxed<'a> = events::BoxedQuery<'a, MultiBackend>;

/// So many are walked over faster than their place is looked up.
const SHALLOW: i64 = 200;
/// So many of several cameras are not sorted by start: walking from the newest on meets enough of them soon.
const MANY: i64 = 2000;

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

/// A question for a page of events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) principal: &'a Principal,
    pub(super) filter: &'a EventFilter,
    pub(super) limit: i64,
    pub(super) offset: i64,
}

pub(super) fn page(
    conn: &mut Conn,
    asked: Asked<'_>,
    counted: &Counted,
    now: impl Fn() -> Duration,
) -> QueryResult<Page<EventRow>> {
    let total = match lists(asked) {
        Some(lists) => places::count(conn, lists.as_ref(), asked.filter.kind.as_deref())?,
        None => {
            let list = format!("{:?} {:?}", asked.principal.cameras, asked.filter);
            counted.total(list, now, || {
                filtered(asked.principal, asked.filter, false)
                    .select(count_star())
                    .first(conn)
            })?
        }
    };
    let records = if asked.offset < total {
        records(conn, asked, total)?
    } else {
        Vec::new()
    };
    Ok(Page {
        items: with_zones(conn, records)?,
        total: total.cast_unsigned(),
    })
}

/// The cameras whose totals together are what is asked for, `None` within for all; nothing where a condition needs
/// more than they tell.
fn lists(asked: Asked<'_>) -> Option<Option<BTreeSet<&str>>> {
    let filter = asked.filter;
    let told = EventFilter {
        camera: filter.camera.clone(),
        kind: filter.kind.clone(),
        ascending: filter.ascending,
        ..EventFilter::default()
    };
    if *filter != told {
        return None;
    }
    Some(match (&filter.camera, &asked.principal.cameras) {
        (None, CameraAccess::All) => None,
        (None, CameraAccess::Only(names)) => Some(names.iter().map(String::as_str).collect()),
        (Some(camera), _) => Some(
            Some(camera.as_str())
                .filter(|camera| asked.principal.sees(camera))
                .into_iter()
                .collect(),
        ),
    })
}

/// The events of a page, those before it passed over in the cheapest way there is.
fn records(conn: &mut Conn, asked: Asked<'_>, total: i64) -> QueryResult<Vec<Record>> {
    let mut query = filtered(asked.principal, asked.filter, total > MANY);
    let mut offset = asked.offset;
    let list = lists(asked)
        .filter(|_| !asked.filter.ascending && asked.filter.kind.is_none() && offset >= SHALLOW);
    let camera = match &list {
        Some(None) => Some(None),
        Some(Some(cameras)) if cameras.len() == 1 => Some(cameras.first().copied()),
        _ => None,
    };
    if let Some(camera) = camera {
        let Some(place) = places::place(conn, camera, offset)? else {
            return Ok(Vec::new());
        };
        query = query.filter(events::start_us.le(place.start_us));
        offset = place.offset;
    }
    ordered(query, asked.filter)
        .select(Record::as_select())
        .limit(asked.limit)
        .offset(offset)
        .load(conn)
}

/// In the order that a filter wants.
pub(super) fn ordered<'a>(query: Boxed<'a>, filter: &EventFilter) -> Boxed<'a> {
    match filter.ascending {
        false => query.order((events::start_us.desc(), events::id.desc())),
        true => query.order((events::start_us.asc(), events::id.asc())),
    }
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
        places::count(conn, None, None)?,
        open.count().get_result(conn)?,
    ))
}

/// Written out, not bound: only so can the database use the index that holds the open events alone.
fn is_open() -> SqlLiteral<Bool> {
    sql("events.state = 'open'")
}

/// The events that somebody may know of and a filter lets through; those of several cameras either by the index of
/// the cameras or, `by_start`, in the order of their start.
pub(super) fn filtered<'a>(
    principal: &'a Principal,
    filter: &'a EventFilter,
    by_start: bool,
) -> Boxed<'a> {
    let mut query = events::table.into_boxed();
    if let CameraAccess::Only(names) = &principal.cameras {
        query = if by_start && names.len() > 1 {
            // No index knows the expression, so none but that by start is left.
            query.filter(sql::<Text>("(events.camera || '')").eq_any(names))
        } else {
            query.filter(events::camera.eq_any(names))
        };
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
    if let Some(below_score) = filter.below_score {
        query = query.filter(events::score.lt(below_score));
    }
    if let Some(about) = &filter.about {
        query = if by_start {
            // As above: several labels by their index would all be sorted for one page.
            let label = sql::<Nullable<Text>>("(events.label || '')");
            let kind = sql::<Text>("(events.kind || '')");
            query.filter(label.eq_any(about).or(kind.eq_any(about)))
        } else {
            query.filter(events::label.eq_any(about).or(events::kind.eq_any(about)))
        };
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
            like_any_case(events::camera, pattern.clone())
                .or(like_any_case(events::kind, pattern.clone()))
                .or(like_any_case(events::label, pattern.clone()))
                .or(like_any_case(events::identity, pattern)),
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

pub(super) fn with_zones(conn: &mut Conn, records: Vec<Record>) -> QueryResult<Vec<EventRow>> {
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
