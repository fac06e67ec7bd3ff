//! Events: their plain form and the questions and commands about them; how a change is applied is in `life`.

mod counted;
mod life;
mod places;
mod query;
mod record;
mod report;

use std::ops::Range;

use nvr_base::principal::CameraAccess;
use nvr_base::{Error, Principal, Result};

use crate::conn::Store;
use crate::descriptions::{self, NewDescription};
use crate::page::{Page, PageRequest, checked_limit};

pub(crate) use counted::Counted;
pub(crate) use life::apply;
pub(crate) use places::{Tally, settle_with_rows};
pub(crate) use query::counts;

/// Whether an event still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventState {
    /// It goes on.
    Open,
    /// It is over.
    Closed,
}

impl EventState {
    /// `open` or `closed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// An event of one camera.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// UUID (version 7) in text, made by whoever saw the event.
    pub id: String,
    /// Name of the camera.
    pub camera: String,
    /// What it is about: `motion`, `object`, `face`, …
    pub kind: String,
    /// What exactly: the model's label.
    pub label: Option<String>,
    /// Whether it goes on.
    pub state: EventState,
    /// Wall time of the start, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Wall time of the last picture so far, microseconds since 1970-01-01 UTC.
    pub end_us: Option<i64>,
    /// PTS of the first picture, nanoseconds.
    pub start_ns: u64,
    /// PTS of the last picture so far, nanoseconds.
    pub end_ns: Option<u64>,
    /// Best score, 0..1.
    pub score: Option<f64>,
    /// Where in the best picture: x, y, width, height.
    pub bbox: Option<[f64; 4]>,
    /// Names of all zones touched: a set, read back sorted.
    pub zones: Vec<String>,
    /// The track it follows.
    pub track_id: Option<u64>,
    /// Who.
    pub identity: Option<String>,
    /// How similar, -1..1.
    pub similarity: Option<f64>,
    /// Pictures it rests on; never falls while the event goes on.
    pub frames: u64,
    /// Hash of the model.
    pub model: Option<String>,
    /// Hash of the pipeline.
    pub pipeline: Option<String>,
    /// Whether the program ended before the event did, so that the end is only the last one known.
    pub interrupted: bool,
}

/// Where in its life an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It began.
    Opened,
    /// More is known about it.
    Updated,
    /// It is over.
    Closed,
}

impl Change {
    /// `opened`, `updated` or `closed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Closed => "closed",
        }
    }
}

/// A step in the life of an event, with all that is known by then.
#[derive(Debug, Clone, PartialEq)]
pub struct EventChange {
    /// Which step.
    pub change: Change,
    /// The event after the step; its `state` is set by the step.
    pub event: EventRow,
}

/// Events of one camera, kind and label, counted.
#[derive(Debug, Clone, PartialEq)]
pub struct EventGroup {
    /// Name of the camera.
    pub camera: String,
    /// What they are about.
    pub kind: String,
    /// What exactly.
    pub label: Option<String>,
    /// How many there are.
    pub events: u64,
    /// How many of them have a score.
    pub scored: u64,
    /// The sum of their scores.
    pub scores: f64,
    /// The first start, microseconds since 1970-01-01 UTC.
    pub first_us: i64,
    /// The last start, microseconds since 1970-01-01 UTC.
    pub last_us: i64,
}

/// Which events are wanted: those that meet every condition that is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventFilter {
    /// Of this camera.
    pub camera: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With exactly this label.
    pub label: Option<String>,
    /// Going on at this time or after it, microseconds since 1970-01-01 UTC.
    pub start_us: Option<i64>,
    /// Begun before this time, microseconds since 1970-01-01 UTC.
    pub end_us: Option<i64>,
    /// With at least this score.
    pub min_score: Option<f64>,
    /// With a score below this one.
    pub below_score: Option<f64>,
    /// With a label or a kind out of these; an empty list lets nothing through.
    pub about: Option<Vec<String>>,
    /// That touched this zone.
    pub zone: Option<String>,
    /// That are in this state.
    pub state: Option<EventState>,
    /// With this text in camera, kind, label or identity; letters of a to z match both cases.
    pub search: Option<String>,
    /// Whether the oldest start comes first.
    pub ascending: bool,
}

impl Store {
    /// Applies one step of an event's life and returns what was committed, `None` if nothing had to change.
    ///
    /// The same step twice is harmless. After `Closed` nothing changes any more, except that a real end replaces the
    /// one that [`close_interrupted_events`](Self::close_interrupted_events) assumed. A step about an unknown event
    /// stores it whole; an `Updated` is then committed as `Opened`. An `Updated` that rests on fewer frames than what
    /// is stored came late and changes nothing.
    ///
    /// # Errors
    /// `InvalidArgument` for a number that is not finite or an empty id, camera or kind.
    pub fn apply_event(&self, change: &EventChange) -> Result<Option<EventChange>> {
        let applied = self.write(|conn| {
            let mut tally = Tally::default();
            let applied = apply(conn, change, &mut tally)?;
            tally.settle(conn)?;
            Ok(applied)
        });
        self.counted().changed();
        applied
    }

    /// Stores events that are over, each with what is said of it, all of them or none; all are on disk when this
    /// returns.
    ///
    /// # Errors
    /// `InvalidArgument` for a number that is not finite or an empty id, camera or kind; `AlreadyExists` for an id
    /// that is known.
    pub fn add_events(
        &self,
        new: &[(EventRow, Option<NewDescription>)],
    ) -> Result<Vec<EventChange>> {
        let created_us = self.now_us();
        let added = self.write(|conn| {
            let mut tally = Tally::default();
            let mut added = Vec::with_capacity(new.len());
            for (event, description) in new {
                let step = EventChange {
                    change: Change::Closed,
                    event: event.clone(),
                };
                let Some(step) = apply(conn, &step, &mut tally)? else {
                    let known = format!("event {:?} is known already", event.id);
                    return Err(Error::already_exists(known).into());
                };
                if let Some(description) = description {
                    descriptions::put(conn, &event.id, description, created_us)?;
                }
                added.push(step);
            }
            tally.settle(conn)?;
            Ok(added)
        });
        self.counted().changed();
        added
    }

    /// One page of the events that a filter lets through and the asker may know of, newest start first.
    ///
    /// The total is exact where the filter names at most a camera and a kind; another one that takes long to count is
    /// remembered for twenty times as long as that took, 10 s at most. Every page of all events or of one camera costs
    /// about as much as the first; with another filter, what lies before a page is walked over.
    ///
    /// # Errors
    /// `InvalidArgument` for page 0, a limit out of range, or a NUL character in the search text.
    pub fn events(
        &self,
        principal: &Principal,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<EventRow>> {
        let (limit, offset) = page.window()?;
        query::check(filter)?;
        let asked = query::Asked {
            principal,
            filter,
            limit,
            offset,
        };
        self.read(|conn| {
            let now = || self.monotonic();
            Ok(query::page(conn, asked, self.counted(), now)?)
        })
    }

    /// The next events that a filter lets through behind one of them, the first ones without; for going through all of
    /// them in parts. `last` is start and id of the last one that is known.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    pub fn events_after(
        &self,
        principal: &Principal,
        filter: &EventFilter,
        last: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<Vec<EventRow>> {
        let limit = checked_limit(limit)?;
        query::check(filter)?;
        self.read(|conn| Ok(report::after(conn, principal, filter, last, limit)?))
    }

    /// How many events that began in a range there are of each camera, kind and label, as far as the asker may know.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn event_groups(
        &self,
        principal: &Principal,
        camera: Option<&str>,
        range: &Range<i64>,
    ) -> Result<Vec<EventGroup>> {
        let cameras: Option<Vec<&str>> = match (&principal.cameras, camera) {
            (_, Some(camera)) => Some(
                [camera]
                    .into_iter()
                    .filter(|it| principal.sees(it))
                    .collect(),
            ),
            (CameraAccess::Only(names), None) => Some(names.iter().map(String::as_str).collect()),
            (CameraAccess::All, None) => None,
        };
        self.read(|conn| Ok(report::groups(conn, cameras.as_deref(), range)?))
    }

    /// The event with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none that the asker may know of.
    pub fn event(&self, principal: &Principal, id: &str) -> Result<EventRow> {
        self.read(|conn| {
            let found = query::find(conn, id)?.filter(|event| principal.sees(&event.camera));
            found.ok_or_else(|| unknown(id).into())
        })
    }

    /// Removes an event; its recording stays.
    ///
    /// # Errors
    /// `NotFound` if there is none that the asker may know of.
    pub fn delete_event(&self, principal: &Principal, id: &str) -> Result<()> {
        self.write(|conn| {
            let seen = query::find(conn, id)?.is_some_and(|event| principal.sees(&event.camera));
            if seen && life::delete(conn, id)? {
                Ok(())
            } else {
                Err(unknown(id).into())
            }
        })?;
        self.counted().changed();
        Ok(())
    }

    /// For the start of the program: closes every event that the last run left open and returns them as they are now.
    ///
    /// Each ends at its last known end, or at its start, never after `now_us`, and is marked as interrupted.
    /// Totals that do not agree with the events are counted anew.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn close_interrupted_events(&self, now_us: i64) -> Result<Vec<EventRow>> {
        self.write(|conn| {
            settle_with_rows(conn)?;
            Ok(life::close_interrupted(conn, now_us)?)
        })
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("no event has the id {id:?}"))
}
