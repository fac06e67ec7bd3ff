//! Events that programs bring: one or many in a request, on disk when it is answered.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use nvr_base::{Error, Result};
use nvr_store::{EventRow, EventState, NewDescription};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::body::AnyBody;
use super::context::Lane;
use super::error::ApiResult;
use super::events::{Event, events_of};
use super::reply::Created;
use super::time::moment_us;
use crate::hub::CommittedEvent;

/// Events in one request.
const MOST: usize = 1000;
/// Longest description, bytes.
const MAX_DESCRIPTION: usize = 8192;
/// Most objects of one event.
const MOST_OBJECTS: usize = 32;
/// Longest word for an object, bytes.
const MAX_OBJECT: usize = 64;
/// So far ahead of ours the clock of whoever brings an event may be, microseconds.
const AHEAD_US: i64 = 60_000_000;
/// 1970-01-01 and 10000-01-01 UTC, microseconds.
const YEARS_US: std::ops::Range<i64> = 0..253_402_300_800_000_000;
/// Name of whoever described an event that came by the API.
const PROVIDER: &str = "api";

/// An event that somebody saw by other means.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventCreate {
    /// Name of the camera.
    #[schema(max_length = 64)]
    camera_id: String,
    /// When it began, RFC 3339; UTC where it names no zone.
    #[schema(format = DateTime)]
    timestamp: String,
    /// When it ended, the same way; when it began unless given.
    #[schema(format = DateTime)]
    end_timestamp: Option<String>,
    /// What there is to see, in words.
    #[schema(min_length = 1, max_length = 8192)]
    description: String,
    /// How sure that is.
    #[schema(minimum = 0, maximum = 100)]
    confidence: u8,
    /// What is to be seen: `person`, `vehicle`, …; the first one becomes the label.
    #[schema(min_items = 1, max_items = 32)]
    objects_detected: Vec<String>,
}

/// One event, or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = EventsToCreate)]
#[expect(dead_code, reason = "it stands for the body in the description")]
pub(super) enum Posted {
    One(EventCreate),
    Several(Vec<EventCreate>),
}

/// One, or several in a list.
#[derive(Debug)]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// Where the events of a list are now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedEvents {
    /// Their ids, in the order of the request.
    ids: Vec<String>,
    /// How many.
    total: u64,
}

/// The event, or the ids of several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = EventsCreated)]
pub(super) enum Added {
    One(Box<Event>),
    Several(CreatedEvents),
}

/// Adds an event that is over, or up to 1000 of them in a list: all or, if one is wrong, none.
///
/// They are on disk when the answer comes.
#[utoipa::path(post, path = "/api/v1/events", tag = "events", operation_id = "create_events", request_body = Posted, responses(
    (status = 201, body = Added, description = "The event; of a list, the ids."),
    (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
    (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    AnyBody(body): AnyBody<OneOrMany<EventCreate>>,
) -> ApiResult<Created<Added>> {
    let (many, events) = match body {
        OneOrMany::One(event) => (false, vec![event]),
        OneOrMany::Many(events) => (true, events),
    };
    let added = caller.run(Lane::Write, move |caller| {
        let rows = checked(caller, many, events)?;
        known_cameras(caller, &rows)?;
        let added = caller.store.add_events(&rows)?;
        for step in &added {
            // Fails only when nobody listens.
            drop(
                caller
                    .hub
                    .committed()
                    .send(CommittedEvent::of(step.clone())),
            );
        }
        let rows: Vec<EventRow> = added.into_iter().map(|step| step.event).collect();
        if many {
            let ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
            return Ok(Created {
                location: "/api/v1/events".to_owned(),
                body: Added::Several(CreatedEvents {
                    total: ids.len() as u64,
                    ids,
                }),
            });
        }
        let id = rows.first().map(|row| row.id.clone());
        let event = events_of(caller, rows)?.pop();
        let (id, event) = id
            .zip(event)
            .expect("one was asked for, and all are stored");
        Ok(Created {
            location: format!("/api/v1/events/{id}"),
            body: Added::One(Box::new(event)),
        })
    });
    added.await
}

type Row = (EventRow, Option<NewDescription>);

fn checked(caller: &Caller, many: bool, events: Vec<EventCreate>) -> Result<Vec<Row>> {
    if !(1..=MOST).contains(&events.len()) {
        return Err(Error::invalid(format!(
            "body: {} events: send 1 to {MOST}",
            events.len()
        )));
    }
    let now_us = caller.clock.unix_us();
    events
        .into_iter()
        .enumerate()
        .map(|(index, event)| {
            row(caller.store.new_id(), event, now_us).map_err(|problem| match many {
                true => Error::invalid(format!("[{index}].{problem}")),
                false => Error::invalid(problem),
            })
        })
        .collect()
}

/// The event as it is stored, or what is wrong with it.
fn row(id: String, event: EventCreate, now_us: i64) -> Result<Row, String> {
    let start_us = moment("timestamp", &event.timestamp, now_us)?;
    let end_us = match &event.end_timestamp {
        None => start_us,
        Some(end) => moment("end_timestamp", end, now_us)?,
    };
    if end_us < start_us {
        return Err("end_timestamp: lies before timestamp".to_owned());
    }
    let bounded = |name: &str, text: &str, most: usize| {
        let fine = (1..=most).contains(&text.len()) && !text.contains('\0');
        match fine {
            true => Ok(()),
            false => Err(format!("{name}: use 1 to {most} bytes, and no NUL")),
        }
    };
    bounded("description", &event.description, MAX_DESCRIPTION)?;
    if event.confidence > 100 {
        return Err(format!(
            "confidence: {} is out of range: use 0 to 100",
            event.confidence
        ));
    }
    if !(1..=MOST_OBJECTS).contains(&event.objects_detected.len()) {
        return Err(format!("objects_detected: name 1 to {MOST_OBJECTS}"));
    }
    for (index, object) in event.objects_detected.iter().enumerate() {
        bounded(&format!("objects_detected[{index}]"), object, MAX_OBJECT)?;
    }
    let row = EventRow {
        id,
        camera: event.camera_id,
        kind: "object".to_owned(),
        label: event.objects_detected.first().cloned(),
        state: EventState::Closed,
        start_us,
        end_us: Some(end_us),
        start_ns: 0,
        end_ns: Some((end_us - start_us).cast_unsigned() * 1000),
        score: Some(f64::from(event.confidence) / 100.0),
        bbox: None,
        zones: Vec::new(),
        track_id: None,
        identity: None,
        similarity: None,
        frames: 0,
        model: None,
        pipeline: None,
        interrupted: false,
    };
    let description = NewDescription {
        description: event.description,
        provider: PROVIDER.to_owned(),
        model: String::new(),
        confidence: Some(event.confidence),
        objects: event.objects_detected,
        tokens: 0,
        cost: 0.0,
        response_time_ms: 0,
    };
    Ok((row, Some(description)))
}

fn moment(name: &str, text: &str, now_us: i64) -> Result<i64, String> {
    let us = moment_us(name, text).ok();
    match us.filter(|us| YEARS_US.contains(us)) {
        None => Err(format!(
            "{name}: {text:?} is no time: use 2026-01-01T12:00:00Z"
        )),
        Some(us) if us > now_us.saturating_add(AHEAD_US) => {
            Err(format!("{name}: {text:?} lies in the future"))
        }
        Some(us) => Ok(us),
    }
}

fn known_cameras(caller: &Caller, rows: &[Row]) -> Result<()> {
    let names: BTreeSet<&str> = rows.iter().map(|(row, _)| row.camera.as_str()).collect();
    for name in names {
        caller.may_know(name)?;
        caller.cameras.get(name)?;
    }
    Ok(())
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or a list of objects")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(OneOrMany::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = seq.next_element()? {
                    // One more than may be is enough to say that they are too many.
                    if many.len() <= MOST {
                        many.push(one);
                    }
                }
                Ok(OneOrMany::Many(many))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}
