//! Time-lapses: asking for a stretch of time as a short film, seeing how far it is, and fetching it.

use nvr_store::{NewTimelapse, TimelapseRow, TimelapseState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::file::{Conditions, Served};
use super::query::{List, PageQuery, Query};
use super::reply::{Accepted, Json, NoContent};

/// Pictures a second unless the client says otherwise.
const FPS: u32 = 25;

/// What shall be made.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewTimelapse)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Name of the camera; one that was removed may have recordings still.
    camera: String,
    /// Start of the stretch, seconds since 1970-01-01 UTC.
    start_unix: f64,
    /// End of the stretch, seconds since 1970-01-01 UTC.
    end_unix: f64,
    /// Seconds from one picture to the next, 0.1 or more; at most 20000 pictures.
    interval_s: f64,
    /// Pictures a second of the film, 1 to 60; 25 unless given.
    fps: Option<u32>,
    /// Largest height in pixels, 16 to 4320; the recording's own unless given.
    height: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TimelapseState)]
enum State {
    /// It waits for its turn.
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

/// A stretch of time as a short film.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Timelapse {
    /// UUID, version 7.
    id: String,
    camera: String,
    /// Start of the stretch, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// End of the stretch, microseconds since 1970-01-01 UTC.
    end_unix_us: i64,
    /// Seconds from one picture to the next.
    interval_s: f64,
    /// Pictures a second of the film.
    fps: u32,
    /// Largest height in pixels, where one was asked for.
    height: Option<u32>,
    state: State,
    /// How much is done, 0 to 1.
    progress: f64,
    /// When the film's first picture was shown, microseconds since 1970-01-01 UTC.
    shown_start_unix_us: Option<i64>,
    /// Pictures of the film.
    pictures: Option<u64>,
    /// Length of the file.
    bytes: Option<u64>,
    /// One sentence for people: why it failed, or what they should know of it.
    detail: Option<String>,
    /// Path of the file, once it is there.
    url: Option<String>,
    /// When it was asked for, microseconds since 1970-01-01 UTC.
    created_unix_us: i64,
    /// When it was over, microseconds since 1970-01-01 UTC.
    finished_unix_us: Option<i64>,
}

/// Asks for a film of key frames at even distances, which is made in its turn, slowly; where nothing is recorded it goes on.
#[utoipa::path(post, path = "/api/v1/timelapses", tag = "timelapses", operation_id = "create_timelapse",
    request_body = Wish,
    responses(
        (status = 202, body = Timelapse, description = "It will be made; ask for its state.", headers(("Location" = String, description = "Path of the time-lapse."))),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong; the sentence begins with its name."),
        (status = 404, body = super::error::ErrorBody, description = "Nothing is recorded at any of its moments, or there is no such camera."),
        (status = 503, body = super::error::ErrorBody, description = "Too many wait already."),
        (status = 507, body = super::error::ErrorBody, description = "There is no room for it; the sentence says how much is needed."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    Body(new): Body<Wish>,
) -> ApiResult<Accepted<Timelapse>> {
    let wish = NewTimelapse {
        start_us: micros("start_unix", new.start_unix)?,
        end_us: micros("end_unix", new.end_unix)?,
        interval_us: micros("interval_s", new.interval_s)?,
        fps: new.fps.unwrap_or(FPS),
        height: new.height,
        camera: new.camera,
    };
    let body = caller
        .run(Lane::Still, move |caller| {
            caller.may_know(&wish.camera)?;
            let row = caller.timelapses.request(&wish)?;
            Ok(timelapse_of(caller, row))
        })
        .await?;
    Ok(Accepted {
        location: format!("/api/v1/timelapses/{}", body.id),
        body,
    })
}

/// Time-lapses, newest first.
#[utoipa::path(get, path = "/api/v1/timelapses", tag = "timelapses", operation_id = "list_timelapses", params(PageQuery), responses(
    (status = 200, body = List<Timelapse>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<List<Timelapse>>> {
    let page = query.request()?;
    let list = caller.run(Lane::Read, move |caller| {
        let found = caller.store.timelapses(caller.principal(), page)?;
        let items = found.items.into_iter();
        let items = items.map(|row| timelapse_of(caller, row)).collect();
        Ok(List::new(items, found.total, page))
    });
    list.await.map(Json)
}

/// One time-lapse, and how far it is.
#[utoipa::path(get, path = "/api/v1/timelapses/{id}", tag = "timelapses", operation_id = "get_timelapse",
    params(("id" = String, Path, description = "Id of the time-lapse.")),
    responses(
        (status = 200, body = Timelapse, description = "The time-lapse."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such time-lapse."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<Timelapse>> {
    let found = caller.run(Lane::Read, move |caller| {
        let row = caller.store.timelapse(caller.principal(), &id)?;
        Ok(timelapse_of(caller, row))
    });
    found.await.map(Json)
}

/// Cancels a time-lapse that is not over; removes one that is, with its file.
#[utoipa::path(delete, path = "/api/v1/timelapses/{id}", tag = "timelapses", operation_id = "delete_timelapse",
    params(("id" = String, Path, description = "Id of the time-lapse.")),
    responses(
        (status = 204, description = "It is cancelled, or has gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such time-lapse."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<NoContent> {
    let done = caller.run(Lane::Change, move |caller| {
        caller.store.timelapse(caller.principal(), &id)?;
        caller.timelapses.delete(&id)
    });
    done.await.map(|()| NoContent)
}

/// The film, whole or a range of it.
#[utoipa::path(get, path = "/api/v1/timelapses/{id}/file.mp4", tag = "timelapses", operation_id = "timelapse_file",
    params(
        ("id" = String, Path, description = "Id of the time-lapse."),
        ("Range" = Option<String>, Header, description = "One range of bytes; more than one gives the whole file."),
    ),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "video/mp4", description = "The whole file."),
        (status = 206, body = super::reply::Binary, content_type = "video/mp4", description = "The range."),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such time-lapse, or its file has gone."),
        (status = 409, body = super::error::ErrorBody, description = "It is not done."),
        (status = 416, body = super::error::ErrorBody, description = "The range begins behind the end."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn file(
    caller: Caller,
    [id]: [String; 1],
    conditions: Conditions,
) -> ApiResult<Served> {
    let found = caller.run(Lane::Read, move |caller| {
        let row = caller.store.timelapse(caller.principal(), &id)?;
        Ok((caller.timelapses.file(&row)?, row.id))
    });
    let (path, id) = found.await?;
    Served::open(&path, &id, &conditions).await
}

fn micros(field: &str, seconds: f64) -> ApiResult<i64> {
    let micros = (seconds * 1e6).round();
    // NaN is in no range; 253402300800 is the year 10000.
    match (0.0..=253_402_300_800e6).contains(&micros) {
        true => Ok(micros as i64),
        false => Err(ApiError::bad_request(format!(
            "{field}: {seconds} is out of range: use seconds, 0 to 253402300800"
        ))),
    }
}

fn timelapse_of(caller: &Caller, row: TimelapseRow) -> Timelapse {
    let progress = caller.timelapses.progress(&row);
    let done = row.state == TimelapseState::Done;
    Timelapse {
        url: done.then(|| format!("/api/v1/timelapses/{}/file.mp4", row.id)),
        state: match row.state {
            TimelapseState::Queued => State::Queued,
            TimelapseState::Running => State::Running,
            TimelapseState::Done => State::Done,
            TimelapseState::Failed => State::Failed,
            TimelapseState::Cancelled => State::Cancelled,
        },
        progress: (progress * 1e4).round() / 1e4,
        id: row.id,
        camera: row.wish.camera,
        start_unix_us: row.wish.start_us,
        end_unix_us: row.wish.end_us,
        interval_s: row.wish.interval_us as f64 / 1e6,
        fps: row.wish.fps,
        height: row.wish.height,
        shown_start_unix_us: row.film.map(|film| film.shown_us),
        pictures: row.film.map(|film| film.pictures),
        bytes: row.film.map(|film| film.bytes),
        detail: row.detail,
        created_unix_us: row.created_us,
        finished_unix_us: row.finished_us,
    }
}
