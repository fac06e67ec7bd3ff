//! Writes events: what each step of a life changes, given what is stored.

use diesel::prelude::*;
use nvr_base::{Error, Result};

use super::places::Tally;
use super::record::Record;
use super::{Change, EventChange, EventRow, EventState, query};
use crate::conn::Conn;
use crate::failure::Failure;
use crate::schema::{event_zones, events};
use crate::tiers;

/// Applies a step; returns what is to be committed, `None` if nothing changes.
///
/// What it does to the number of events goes into `tally`, which is to be settled in the same transaction.
pub(crate) fn apply(
    conn: &mut Conn,
    change: &EventChange,
    tally: &mut Tally,
) -> Result<Option<EventChange>, Failure> {
    check(&change.event)?;
    let event = normal(change);
    let Some(stored) = query::find(conn, &event.id)? else {
        insert(conn, &event)?;
        tally.add(&event);
        // Whoever follows the committed steps has not heard of the event before.
        let change = match change.change {
            Change::Opened | Change::Updated => Change::Opened,
            Change::Closed => Change::Closed,
        };
        return Ok(Some(EventChange { change, event }));
    };
    if !supersedes(change.change, &event, &stored) {
        return Ok(None);
    }
    update(conn, &event, &stored)?;
    if (&event.camera, &event.kind, event.start_us)
        != (&stored.camera, &stored.kind, stored.start_us)
    {
        tally.remove(&stored);
        tally.add(&event);
    }
    Ok(Some(EventChange {
        change: change.change,
        event,
    }))
}

pub(super) fn delete(conn: &mut Conn, id: &str) -> QueryResult<bool> {
    let Some(event) = query::find(conn, id)? else {
        return Ok(false);
    };
    // Zones go with it, by the foreign key.
    diesel::delete(events::table.find(id)).execute(conn)?;
    tiers::without_event(conn, &event)?;
    let mut tally = Tally::default();
    tally.remove(&event);
    tally.settle(conn)?;
    Ok(true)
}

pub(super) fn close_interrupted(conn: &mut Conn, now_us: i64) -> QueryResult<Vec<EventRow>> {
    let mut closed = query::open(conn)?;
    for event in &mut closed {
        let before = event.clone();
        let known = event.end_us.unwrap_or(event.start_us);
        // A wall clock that was set back must not make an event end in the future, or before it began.
        event.end_us = Some(known.min(now_us).max(event.start_us));
        event.end_ns = Some(event.end_ns.unwrap_or(event.start_ns));
        event.state = EventState::Closed;
        event.interrupted = true;
        update(conn, event, &before)?;
    }
    Ok(closed)
}

/// Whether a step says more than what is stored.
fn supersedes(change: Change, event: &EventRow, stored: &EventRow) -> bool {
    match (stored.state, change) {
        (EventState::Open, Change::Opened) => false,
        (EventState::Open, Change::Updated) => event.frames >= stored.frames && event != stored,
        (EventState::Open, Change::Closed) => true,
        (EventState::Closed, Change::Closed) => stored.interrupted && !event.interrupted,
        (EventState::Closed, Change::Opened | Change::Updated) => false,
    }
}

/// The event as it would be read back after the step.
fn normal(change: &EventChange) -> EventRow {
    let mut event = change.event.clone();
    event.zones.sort();
    event.zones.dedup();
    match change.change {
        Change::Opened | Change::Updated => {
            event.state = EventState::Open;
            event.interrupted = false;
        }
        Change::Closed => event.state = EventState::Closed,
    }
    event
}

fn check(event: &EventRow) -> Result<()> {
    for (name, text) in [
        ("id", &event.id),
        ("camera", &event.camera),
        ("kind", &event.kind),
    ] {
        if text.is_empty() {
            return Err(Error::invalid(format!(
                "event {:?}: {name} is empty",
                event.id
            )));
        }
    }
    // SQLite stores a NaN as nothing, without a word.
    let numbers = [event.score, event.similarity];
    let numbers = numbers.into_iter().flatten();
    if !numbers
        .chain(event.bbox.into_iter().flatten())
        .all(f64::is_finite)
    {
        return Err(Error::invalid(format!(
            "event {:?}: score, similarity and box must be finite numbers",
            event.id
        )));
    }
    Ok(())
}

fn insert(conn: &mut Conn, event: &EventRow) -> QueryResult<()> {
    diesel::insert_into(events::table)
        .values(&Record::from(event))
        .execute(conn)?;
    tiers::on_event(conn, event)?;
    insert_zones(conn, event)
}

fn update(conn: &mut Conn, event: &EventRow, stored: &EventRow) -> QueryResult<()> {
    diesel::update(events::table.find(&event.id))
        .set(&Record::from(event))
        .execute(conn)?;
    // While it is open, segments that come take it into account themselves.
    if event.state == EventState::Closed {
        tiers::on_event(conn, event)?;
    }
    if event.zones == stored.zones {
        return Ok(());
    }
    diesel::delete(event_zones::table.filter(event_zones::event_id.eq(&event.id))).execute(conn)?;
    insert_zones(conn, event)
}

fn insert_zones(conn: &mut Conn, event: &EventRow) -> QueryResult<()> {
    for zone in &event.zones {
        diesel::insert_into(event_zones::table)
            .values((
                event_zones::event_id.eq(&event.id),
                event_zones::zone.eq(zone),
            ))
            .execute(conn)?;
    }
    Ok(())
}
