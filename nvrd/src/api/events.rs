//! Events: a filtered list, one, its thumbnail, and its removal.

use nvr_base::{Error, ErrorKind, Result};
use nvr_store::{EventFilter, EventRow, EventState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::file::Conditions;
use super::query::{List, Query, number, page_request, unix_us};
use super::reply::{Json, NoContent};
use super::stills::Jpeg;

/// An event. What is not known is `null`; lists are empty rather than `null`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Event {
    /// UUID, version 7.
    id: String,
    camera: String,
    /// What it is about: `motion`, `object`, `face`, `plate`, …
    kind: String,
    /// What exactly: the model's label.
    label: Option<String>,
    state: State,
    /// PTS of the first picture, nanoseconds.
    start_ns: u64,
    /// PTS of the last picture so far, nanoseconds.
    end_ns: Option<u64>,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// Wall time of the last picture so far, microseconds since 1970-01-01 UTC.
    end_unix_us: Option<i64>,
    /// Best score, 0 to 1.
    score: Option<f64>,
    /// Where in the best picture: x, y, width and height as shares of the picture.
    #[serde(rename = "box")]
    bbox: Option<[f64; 4]>,
    /// Names of all zones touched, sorted.
    zones: Vec<String>,
    track_id: Option<u64>,
    /// Who.
    identity: Option<String>,
    /// How similar, -1 to 1.
    similarity: Option<f64>,
    /// Pictures it rests on.
    frames: u64,
    /// Hash of the model.
    model: Option<String>,
    /// Hash of the pipeline.
    pipeline: Option<String>,
    /// Whether the program ended before the event did, so that its end is only the last one known.
    interrupted: bool,
    /// Path of its thumbnail; nothing is there when no picture was kept and nothing of it is recorded.
    thumbnail_url: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EventState)]
pub(super) enum State {
    /// It goes on.
    Open,
    /// It is over.
    Closed,
}

/// Which events: those that meet every condition given.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventQuery {
    /// Of this camera.
    camera: Option<String>,
    /// Of this kind.
    kind: Option<String>,
    /// With exactly this label.
    label: Option<String>,
    /// Going on at this time or after it, seconds since 1970-01-01 UTC, with a fraction if wanted.
    #[param(value_type = Option<f64>)]
    start_unix: Option<String>,
    /// Begun before this time, seconds since 1970-01-01 UTC, with a fraction if wanted.
    #[param(value_type = Option<f64>)]
    end_unix: Option<String>,
    /// With at least this score.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 1)]
    min_score: Option<String>,
    /// That touched this zone.
    zone: Option<String>,
    /// That are in this state.
    #[param(value_type = Option<State>)]
    state: Option<String>,
    /// With this text in camera, kind, label or identity.
    search: Option<String>,
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Items on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

impl EventQuery {
    fn filter(self) -> ApiResult<EventFilter> {
        let state = match self.state.as_deref() {
            None => None,
            Some("open") => Some(EventState::Open),
            Some("closed") => Some(EventState::Closed),
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "state: {other:?}: use open or closed"
                )));
            }
        };
        Ok(EventFilter {
            start_us: unix_us("start_unix", self.start_unix.as_deref())?,
            end_us: unix_us("end_unix", self.end_unix.as_deref())?,
            min_score: number("min_score", self.min_score.as_deref(), 0.0, 1.0)?,
            camera: self.camera,
            kind: self.kind,
            label: self.label,
            zone: self.zone,
            state,
            search: self.search,
        })
    }
}

/// Events, newest start first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "list_events", params(EventQuery), responses(
    (status = 200, body = List<Event>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<EventQuery>,
) -> ApiResult<Json<List<Event>>> {
    let page = page_request(query.page.as_deref(), query.limit.as_deref())?;
    let filter = query.filter()?;
    let list = caller.run(Lane::Read, move |caller| {
        let found = caller.store.events(caller.principal(), &filter, page)?;
        let items = found.items.into_iter().map(event_of).collect();
        Ok(List::new(items, found.total, page))
    });
    list.await.map(Json)
}

/// One event.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", operation_id = "get_event",
    params(("id" = String, Path, description = "Id of the event.")),
    responses(
        (status = 200, body = Event, description = "The event."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<Event>> {
    let event = caller.run(Lane::Read, move |caller| {
        let row = caller.store.event(caller.principal(), &id)?;
        Ok(event_of(row))
    });
    event.await.map(Json)
}

/// Removes an event that is over, and its thumbnail; the recording stays.
#[utoipa::path(delete, path = "/api/v1/events/{id}", tag = "events", operation_id = "delete_event",
    params(("id" = String, Path, description = "Id of the event.")),
    responses(
        (status = 204, description = "It has gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event."),
        (status = 409, body = super::error::ErrorBody, description = "It still goes on."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<NoContent> {
    let done = caller.run(Lane::Change, move |caller| {
        if caller.store.event(caller.principal(), &id)?.state == EventState::Open {
            // The next thing the camera says about it would bring it back.
            return Err(Error::precondition(format!(
                "event {id:?} still goes on: delete it when it is over"
            )));
        }
        caller.store.delete_event(caller.principal(), &id)?;
        remove_thumbnail(caller, &id)
    });
    done.await.map(|()| NoContent)
}

/// The JPEG of an event: the best picture that was seen, else one out of the recording.
#[utoipa::path(get, path = "/api/v1/events/{id}/thumbnail", tag = "events", operation_id = "event_thumbnail",
    params(("id" = String, Path, description = "Id of the event.")),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "image/jpeg", description = "The picture."),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event, or no picture was kept and nothing of it is recorded."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn thumbnail(
    caller: Caller,
    [id]: [String; 1],
    conditions: Conditions,
) -> ApiResult<Jpeg> {
    let (event, kept) = caller
        .run(Lane::Read, move |caller| {
            let kept = caller.stills.kept_of_event(&id)?;
            Ok((caller.store.event(caller.principal(), &id)?, kept))
        })
        .await?;
    let jpeg = match kept {
        Some(jpeg) => jpeg,
        None => {
            let make = move |caller: &Caller| caller.stills.thumbnail_of_event(&event);
            caller.run(Lane::Still, make).await?
        }
    };
    // An event that goes on may get a better picture.
    Ok(Jpeg::of_content(jpeg, &conditions))
}

fn remove_thumbnail(caller: &Caller, id: &str) -> Result<()> {
    caller.stills.forget_event(id);
    let Some(path) = caller.storage.thumbnail(id) else {
        return Ok(());
    };
    match std::fs::remove_file(&path).map_err(|error| Error::io(&path, error)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn event_of(row: EventRow) -> Event {
    Event {
        thumbnail_url: format!("/api/v1/events/{}/thumbnail", row.id),
        id: row.id,
        camera: row.camera,
        kind: row.kind,
        label: row.label,
        state: match row.state {
            EventState::Open => State::Open,
            EventState::Closed => State::Closed,
        },
        start_ns: row.start_ns,
        end_ns: row.end_ns,
        start_unix_us: row.start_us,
        end_unix_us: row.end_us,
        score: row.score.map(rounded),
        bbox: row.bbox.map(|sides| sides.map(rounded)),
        zones: row.zones,
        track_id: row.track_id,
        identity: row.identity,
        similarity: row.similarity.map(rounded),
        frames: row.frames,
        model: row.model,
        pipeline: row.pipeline,
        interrupted: row.interrupted,
    }
}

/// As the elements print events: four digits after the point are a thirtieth of a pixel at 4K.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
