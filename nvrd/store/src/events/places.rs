//! How many events there are and where in their list a page begins, kept beside the rows as they come and go.
//!
//! Counting a million rows for each page, or walking over those before it, takes longer than everything else about a
//! request. The list of all events and that of each camera are cut into lots, and every change of an event is a change
//! of a lot's total, in the same transaction: a page adds up lots and walks in the last one only.

use std::collections::{BTreeMap, BTreeSet};

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;

use super::EventRow;
use crate::conn::Conn;
use crate::schema::{event_places, event_totals, events};

/// Stands for the list of all cameras' events; no camera is called so.
const ALL: &str = "";
/// Events of a lot when one is cut off; a walk passes half of them on average.
const LOT: i64 = 1024;
/// A lot with more is cut.
const MOST: i64 = 2 * LOT;
/// Lots that are read at once while a page is looked for.
const STEP: i64 = 256;

/// Brings both tables up to date with the rows; the same as in the migration that made them.
const REBUILD: &str = "
    DELETE FROM event_totals;
    INSERT INTO event_totals SELECT camera, kind, count(*) FROM events GROUP BY camera, kind;
    DELETE FROM event_places;
    INSERT INTO event_places SELECT '', min(start_us), count(*)
        FROM (SELECT start_us, (rank() OVER (ORDER BY start_us) - 1) / 1024 AS lot FROM events) AS ranked
        GROUP BY lot;
    INSERT INTO event_places SELECT camera, min(start_us), count(*)
        FROM (SELECT camera, start_us, (rank() OVER (PARTITION BY camera ORDER BY start_us) - 1) / 1024 AS lot
              FROM events) AS ranked
        GROUP BY camera, lot;";

/// What a transaction did to the number of events; [settled](Self::settle) before it is committed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    totals: BTreeMap<(String, String), i64>,
    starts: BTreeMap<(String, i64), i64>,
}

impl Tally {
    /// An event was added.
    pub(super) fn add(&mut self, event: &EventRow) {
        self.count(event, 1);
    }

    /// An event was removed.
    pub(super) fn remove(&mut self, event: &EventRow) {
        self.count(event, -1);
    }

    fn count(&mut self, event: &EventRow, by: i64) {
        let key = (event.camera.clone(), event.kind.clone());
        *self.totals.entry(key).or_default() += by;
        for list in [ALL, &event.camera] {
            let key = (list.to_owned(), event.start_us);
            *self.starts.entry(key).or_default() += by;
        }
    }

    /// Stores it.
    pub(crate) fn settle(self, conn: &mut Conn) -> QueryResult<()> {
        for ((camera, kind), by) in &self.totals {
            total(conn, camera, kind, *by)?;
        }
        let mut starts = self
            .starts
            .into_iter()
            .filter(|(_, by)| *by != 0)
            .peekable();
        while let Some(((list, start_us), mut by)) = starts.next() {
            let lot = Lot::of(conn, &list, start_us)?;
            // The whole batch lies in one lot, most of the time.
            while let Some((_, more)) =
                starts.next_if(|((next, at_us), _)| *next == list && lot.holds(*at_us))
            {
                by += more;
            }
            lot.change(conn, &list, by)?;
        }
        Ok(())
    }
}

fn total(conn: &mut Conn, camera: &str, kind: &str, by: i64) -> QueryResult<()> {
    let row = event_totals::table.find((camera, kind));
    let changed = diesel::update(row)
        .set(event_totals::total.eq(event_totals::total + by))
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(event_totals::table)
            .values((
                event_totals::camera.eq(camera),
                event_totals::kind.eq(kind),
                event_totals::total.eq(by),
            ))
            .execute(conn)?;
    } else if by < 0 {
        // Cameras come and go, and a row for each that ever was would add up.
        diesel::delete(row.filter(event_totals::total.le(0))).execute(conn)?;
    }
    Ok(())
}

/// A part of a list: the events that begin in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lot {
    /// Where it begins as stored; `None` for one that is not stored yet.
    stored_us: Option<i64>,
    first_us: i64,
    /// Where the next one begins.
    next_us: Option<i64>,
    total: i64,
}

impl Lot {
    /// The one that an event with this start belongs to.
    fn of(conn: &mut Conn, list: &str, start_us: i64) -> QueryResult<Self> {
        let rows = event_places::table.filter(event_places::camera.eq(list));
        let columns = (event_places::first_us, event_places::total);
        let next: Option<(i64, i64)> = rows
            .filter(event_places::first_us.gt(start_us))
            .order(event_places::first_us)
            .select(columns)
            .first(conn)
            .optional()?;
        let found: Option<(i64, i64)> = rows
            .filter(event_places::first_us.le(start_us))
            .order(event_places::first_us.desc())
            .select(columns)
            .first(conn)
            .optional()?;
        let next_us = next.map(|(first_us, _)| first_us);
        if let Some((first_us, total)) = found {
            return Ok(Self {
                stored_us: Some(first_us),
                first_us,
                next_us,
                total,
            });
        }
        // Older than all: the oldest lot begins earlier from now on.
        let Some((stored_us, total)) = next else {
            return Ok(Self {
                stored_us: None,
                first_us: start_us,
                next_us: None,
                total: 0,
            });
        };
        let next_us = rows
            .filter(event_places::first_us.gt(stored_us))
            .order(event_places::first_us)
            .select(event_places::first_us)
            .first(conn)
            .optional()?;
        Ok(Self {
            stored_us: Some(stored_us),
            first_us: start_us,
            next_us,
            total,
        })
    }

    fn holds(&self, start_us: i64) -> bool {
        start_us >= self.first_us && self.next_us.is_none_or(|next_us| start_us < next_us)
    }

    fn change(mut self, conn: &mut Conn, list: &str, by: i64) -> QueryResult<()> {
        self.total += by;
        match self.stored_us {
            Some(stored_us) if self.total > 0 => {
                diesel::update(event_places::table.find((list, stored_us)))
                    .set((
                        event_places::first_us.eq(self.first_us),
                        event_places::total.eq(self.total),
                    ))
                    .execute(conn)?;
            }
            // What it held is empty; an event that comes there belongs to the lot before.
            Some(stored_us) => {
                diesel::delete(event_places::table.find((list, stored_us))).execute(conn)?;
            }
            None if self.total > 0 => insert(conn, list, self.first_us, self.total)?,
            None => {}
        }
        self.cut(conn, list)
    }

    /// Cuts a lot that has grown; one whose events all began at one moment stays whole.
    fn cut(mut self, conn: &mut Conn, list: &str) -> QueryResult<()> {
        while self.total > MOST {
            let here = || in_list(list, self.first_us, self.next_us);
            let at_us: Option<i64> = here()
                .order(events::start_us)
                .select(events::start_us)
                .offset(LOT)
                .first(conn)
                .optional()?;
            let at_us = match at_us {
                Some(at_us) if at_us > self.first_us => Some(at_us),
                _ => here()
                    .filter(events::start_us.gt(self.first_us))
                    .order(events::start_us)
                    .select(events::start_us)
                    .first(conn)
                    .optional()?,
            };
            let Some(at_us) = at_us else { break };
            let before: i64 = in_list(list, self.first_us, Some(at_us))
                .count()
                .get_result(conn)?;
            diesel::update(event_places::table.find((list, self.first_us)))
                .set(event_places::total.eq(before))
                .execute(conn)?;
            self.first_us = at_us;
            self.total -= before;
            insert(conn, list, self.first_us, self.total)?;
        }
        Ok(())
    }
}

fn insert(conn: &mut Conn, list: &str, first_us: i64, total: i64) -> QueryResult<()> {
    diesel::insert_into(event_places::table)
        .values((
            event_places::camera.eq(list),
            event_places::first_us.eq(first_us),
            event_places::total.eq(total),
        ))
        .execute(conn)
        .map(drop)
}

/// The events of a list that begin in a range.
fn in_list(list: &str, from_us: i64, until_us: Option<i64>) -> super::query::Boxed<'_> {
    let mut query = events::table
        .filter(events::start_us.ge(from_us))
        .into_boxed();
    if let Some(until_us) = until_us {
        query = query.filter(events::start_us.lt(until_us));
    }
    if list != ALL {
        query = query.filter(events::camera.eq(list));
    }
    query
}

/// Where a page begins: with the events that began at a moment, the first few of them left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The page has events that began then or before.
    pub(super) start_us: i64,
    /// So many of them come before the page.
    pub(super) offset: i64,
}

/// Finds the event with `offset` newer ones before it in the list of a camera or of all; `None` behind the end.
pub(super) fn place(
    conn: &mut Conn,
    camera: Option<&str>,
    offset: i64,
) -> QueryResult<Option<Place>> {
    let list = camera.unwrap_or(ALL);
    let mut before = offset;
    let mut next_us: Option<i64> = None;
    loop {
        let mut query = event_places::table
            .filter(event_places::camera.eq(list))
            .into_boxed();
        if let Some(next_us) = next_us {
            query = query.filter(event_places::first_us.lt(next_us));
        }
        let lots: Vec<(i64, i64)> = query
            .order(event_places::first_us.desc())
            .select((event_places::first_us, event_places::total))
            .limit(STEP)
            .load(conn)?;
        if lots.is_empty() {
            return Ok(None);
        }
        for (first_us, total) in lots {
            if before < total {
                return walk(conn, list, (first_us, next_us), before);
            }
            before -= total;
            next_us = Some(first_us);
        }
    }
}

/// The last steps, inside a lot. By start alone: the index by start holds no more, and the rows are not touched.
fn walk(
    conn: &mut Conn,
    list: &str,
    (first_us, next_us): (i64, Option<i64>),
    before: i64,
) -> QueryResult<Option<Place>> {
    let start_us: Option<i64> = in_list(list, first_us, next_us)
        .order(events::start_us.desc())
        .select(events::start_us)
        .offset(before)
        .first(conn)
        .optional()?;
    let Some(start_us) = start_us else {
        return Ok(None);
    };
    let newer: i64 = in_list(list, start_us.saturating_add(1), next_us)
        .count()
        .get_result(conn)?;
    Ok(Some(Place {
        start_us,
        offset: before - newer,
    }))
}

/// How many events there are of these cameras, all unless given, and of this kind.
pub(super) fn count(
    conn: &mut Conn,
    cameras: Option<&BTreeSet<&str>>,
    kind: Option<&str>,
) -> QueryResult<i64> {
    let totals: Vec<(String, String, i64)> = event_totals::table
        .select((
            event_totals::camera,
            event_totals::kind,
            event_totals::total,
        ))
        .load(conn)?;
    Ok(totals
        .iter()
        .filter(|(camera, of, _)| {
            cameras.is_none_or(|cameras| cameras.contains(camera.as_str()))
                && kind.is_none_or(|kind| kind == of)
        })
        .map(|(.., total)| total)
        .sum())
}

/// Counts anew where what was kept is not what is there: rows came by another way, or a file was mended by hand.
pub(crate) fn settle_with_rows(conn: &mut Conn) -> QueryResult<()> {
    let rows: i64 = events::table.count().get_result(conn)?;
    let kept = count(conn, None, None)?;
    let lots: Vec<i64> = event_places::table
        .filter(event_places::camera.eq(ALL))
        .select(event_places::total)
        .load(conn)?;
    if rows == kept && rows == lots.iter().sum::<i64>() {
        return Ok(());
    }
    conn.batch_execute(REBUILD)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nvr_base::{Principal, SimulatedClock};

    use super::*;
    use crate::{Change, EventChange, EventFilter, EventState, PageRequest, Store, StoreChange};

    #[test]
    fn what_does_not_agree_with_the_rows_is_counted_anew_at_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a.db"), Arc::new(SimulatedClock::at(1)));
        let store = store.unwrap();
        let events = (0..3000).map(|n| EventRow {
            id: format!("{n:04}"),
            camera: "a".to_owned(),
            kind: "object".to_owned(),
            label: None,
            state: EventState::Closed,
            start_us: n,
            end_us: Some(n),
            start_ns: 0,
            end_ns: None,
            score: None,
            bbox: None,
            zones: Vec::new(),
            track_id: None,
            identity: None,
            similarity: None,
            frames: 1,
            model: None,
            pipeline: None,
            interrupted: false,
        });
        let change = Change::Closed;
        let batch: Vec<_> = events
            .map(|event| StoreChange::Event(EventChange { change, event }))
            .collect();
        store.apply_batch(&batch).unwrap();
        let page = || {
            let page = PageRequest {
                page: 1250,
                limit: 2,
            };
            let filter = EventFilter::default();
            let found = store.events(&Principal::local(), &filter, page).unwrap();
            let ids: Vec<String> = found.items.into_iter().map(|row| row.id).collect();
            (found.total, ids)
        };
        let expect = (3000, vec!["0501".to_owned(), "0500".to_owned()]);
        assert_eq!(page(), expect);
        for damage in [
            "DELETE FROM event_totals",
            "DELETE FROM event_places WHERE camera = ''",
            "UPDATE event_places SET total = total + 1",
        ] {
            store.write(|conn| Ok(conn.batch_execute(damage)?)).unwrap();
            assert_ne!(page(), expect, "{damage}");
            store.close_interrupted_events(5).unwrap();
            assert_eq!(page(), expect, "{damage}");
        }
    }
}
