//! Pictures of what is recorded: one moment, a segment in small, a stretch of time on one sheet.

use bytes::Bytes;
use nvr_base::{Error, ErrorKind, Result, Slug};
use nvr_store::EventRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use warp::reply::Response;

use super::access::Caller;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::file::Conditions;
use super::query::{Query, flag, range_of, unix_us, whole};
use super::recordings::{is_known, segment_of_camera, unknown};
use super::reply::{IntoReply, Json};
use crate::stills::{Instant, Sprite, SpriteRequest};

/// For pictures that never change: of a segment that is closed.
const FOREVER: &str = "private, max-age=86400, immutable";
/// For pictures that may change: the client asks each time whether its own is still right.
const ASK: &str = "private, no-cache";
/// Pictures of a sheet unless the client says otherwise.
const COUNT: u32 = 10;
/// Most pictures of a sheet.
const MAX_COUNT: u32 = 50;
/// Pictures in a row unless the client says otherwise.
const COLUMNS: u32 = 5;
/// Height of a sheet's picture unless the client says otherwise.
const HEIGHT: u32 = 90;
/// An event of one picture has a sheet of this length, in microseconds.
const SHORTEST_US: i64 = 1_000_000;

/// A JPEG with its tag, or the word that the client has it.
#[derive(Debug)]
pub(super) struct Jpeg {
    etag: Option<String>,
    cache: &'static str,
    extra: Vec<(&'static str, String)>,
    bytes: Option<Bytes>,
}

impl Jpeg {
    fn new(etag: Option<String>, cache: &'static str, jpeg: Vec<u8>) -> Self {
        Self {
            etag,
            cache,
            extra: Vec::new(),
            bytes: Some(jpeg.into()),
        }
    }

    /// What the client has, if it has this one.
    fn known(etag: &str, cache: &'static str, conditions: &Conditions) -> Option<Self> {
        conditions.has(etag).then(|| Self {
            etag: Some(etag.to_owned()),
            cache,
            extra: Vec::new(),
            bytes: None,
        })
    }

    /// One that may change, named by its content.
    pub(super) fn of_content(jpeg: Vec<u8>, conditions: &Conditions) -> Self {
        let etag = format!("\"{}\"", &blake3::hash(&jpeg).to_hex()[..32]);
        Self::known(&etag, ASK, conditions).unwrap_or_else(|| Self::new(Some(etag), ASK, jpeg))
    }
}

impl IntoReply for Jpeg {
    fn into_reply(self) -> Response {
        let status = match self.bytes {
            Some(_) => StatusCode::OK,
            None => StatusCode::NOT_MODIFIED,
        };
        let picture = self.bytes.is_some();
        let mut response = Response::new(self.bytes.unwrap_or_default().into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache));
        let plain =
            |text: &str| HeaderValue::from_str(text).expect("ids and numbers are plain ASCII");
        if let Some(etag) = &self.etag {
            headers.insert(ETAG, plain(etag));
        }
        if picture {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
        }
        for (name, value) in &self.extra {
            headers.insert(HeaderName::from_static(name), plain(value));
        }
        response
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FrameQuery {
    /// The moment, seconds since 1970-01-01 UTC, with a fraction if wanted.
    #[param(value_type = f64, required = true)]
    at_unix: Option<String>,
    /// Whether it must be the very picture that was shown then; `false` gives the key frame before it, which costs
    /// less. True unless given.
    #[param(value_type = Option<bool>)]
    exact: Option<String>,
    /// Largest height in pixels; the picture's own unless given.
    #[param(value_type = Option<u32>, minimum = 16, maximum = 4320)]
    height: Option<String>,
}

/// The picture that a camera showed at a moment.
#[utoipa::path(get, path = "/api/v1/recordings/{camera}/frame.jpg", tag = "recordings", operation_id = "recorded_frame",
    params(("camera" = String, Path, description = "Name of the camera; one that was removed may have recordings still."), FrameQuery),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "image/jpeg", description = "The picture.", headers(
            ("X-Frame-Unix" = f64, description = "When the picture was shown first, seconds since 1970-01-01 UTC."),
            ("X-Frame-Damaged" = bool, description = "`true` when the recording is damaged there and parts of the picture are made up; absent otherwise."),
        )),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "That moment is not recorded; why, and which ones near it are."),
        (status = 500, body = super::error::ErrorBody, description = "The recording is damaged there."),
        (status = 503, body = super::error::ErrorBody, description = "Too much is going on, or the disk is not there."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn frame(
    caller: Caller,
    [camera]: [String; 1],
    (Query(query), conditions): (Query<FrameQuery>, Conditions),
) -> ApiResult<Jpeg> {
    let at_us = unix_us("at_unix", query.at_unix.as_deref())?
        .ok_or_else(|| ApiError::bad_request("at_unix: is missing"))?;
    let wanted = Instant {
        unix_us: at_us,
        exact: flag("exact", query.exact.as_deref())?.unwrap_or(true),
        height: whole("height", query.height.as_deref(), 16, 4320)?,
    };
    caller
        .run(Lane::Still, move |caller| {
            let source = caller.stills.source(&camera, at_us);
            let source = source.map_err(|error| of_camera(caller, &camera, error))?;
            let Instant { exact, height, .. } = wanted;
            let etag = source
                .segment
                .as_ref()
                .map(|id| format!("\"{id}-{at_us}-{exact}-{}\"", height.unwrap_or_default()));
            // What is still being written may be answered better in a second.
            let cache = if etag.is_some() { FOREVER } else { "no-store" };
            if let Some(known) = etag
                .as_deref()
                .and_then(|etag| Jpeg::known(etag, cache, &conditions))
            {
                return Ok(known);
            }
            let picture = caller.stills.picture(&source, wanted)?;
            let mut jpeg = Jpeg::new(etag, cache, picture.jpeg);
            jpeg.extra.push(("x-frame-unix", seconds(picture.unix_us)));
            if picture.damaged {
                jpeg.extra.push(("x-frame-damaged", "true".to_owned()));
            }
            Ok(jpeg)
        })
        .await
}

/// A small picture of a segment, 180 pixels high: the key frame nearest to its middle.
#[utoipa::path(get, path = "/api/v1/recordings/{camera}/{segment_id}/thumbnail.jpg", tag = "recordings", operation_id = "recording_thumbnail",
    params(
        ("camera" = String, Path, description = "Name of the camera."),
        ("segment_id" = String, Path, description = "Id of the segment."),
    ),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "image/jpeg", description = "The picture."),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such segment, or its file has gone."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn thumbnail(
    caller: Caller,
    [camera, id]: [String; 2],
    conditions: Conditions,
) -> ApiResult<Jpeg> {
    let (row, kept) = caller
        .run(Lane::Read, move |caller| {
            let row = segment_of_camera(caller, &camera, &id)?;
            let kept = caller.stills.kept_of_segment(&row);
            Ok((row, kept))
        })
        .await?;
    let etag = format!("\"{}-thumbnail\"", row.id);
    if let Some(known) = Jpeg::known(&etag, FOREVER, &conditions) {
        return Ok(known);
    }
    let jpeg = match kept {
        Some(jpeg) => jpeg,
        None => {
            let make = move |caller: &Caller| match caller.stills.kept_of_segment(&row) {
                // Somebody else made it while this request waited.
                Some(jpeg) => Ok(jpeg),
                None => caller.stills.thumbnail_of_segment(&row),
            };
            caller.run(Lane::Still, make).await?
        }
    };
    Ok(Jpeg::new(Some(etag), FOREVER, jpeg))
}

/// How a sheet is laid out.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SheetQuery {
    /// Pictures; 10 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 50)]
    count: Option<String>,
    /// Pictures in a row; 5 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 50)]
    columns: Option<String>,
    /// Height of a picture in pixels; 90 unless given.
    #[param(value_type = Option<u32>, minimum = 16, maximum = 240)]
    height: Option<String>,
}

impl SheetQuery {
    fn request(&self, (start_us, end_us): (i64, i64)) -> ApiResult<SpriteRequest> {
        Ok(SpriteRequest {
            start_us,
            end_us,
            count: whole("count", self.count.as_deref(), 1, MAX_COUNT)?.unwrap_or(COUNT),
            columns: whole("columns", self.columns.as_deref(), 1, MAX_COUNT)?.unwrap_or(COLUMNS),
            height: whole("height", self.height.as_deref(), 16, 240)?.unwrap_or(HEIGHT),
        })
    }
}

/// Which stretch of time a sheet shows, and how it is laid out.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SpriteQuery {
    /// Start of the stretch, seconds since 1970-01-01 UTC; a day before its end unless given.
    #[param(value_type = Option<f64>)]
    start_unix: Option<String>,
    /// End of the stretch, seconds since 1970-01-01 UTC; now unless given.
    #[param(value_type = Option<f64>)]
    end_unix: Option<String>,
    /// Pictures, evenly spaced; 10 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 50)]
    count: Option<String>,
    /// Pictures in a row; 5 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 50)]
    columns: Option<String>,
    /// Height of a picture in pixels; 90 unless given.
    #[param(value_type = Option<u32>, minimum = 16, maximum = 240)]
    height: Option<String>,
}

impl SpriteQuery {
    fn request(self, now_us: i64) -> ApiResult<SpriteRequest> {
        let range = range_of(self.start_unix.as_deref(), self.end_unix.as_deref(), now_us)?;
        let sheet = SheetQuery {
            count: self.count,
            columns: self.columns,
            height: self.height,
        };
        sheet.request(range)
    }
}

/// How a sheet of small pictures is to be read.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SpriteSheet {
    camera: String,
    /// Start of the stretch, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// End of the stretch, microseconds since 1970-01-01 UTC.
    end_unix_us: i64,
    /// Pictures in a row.
    columns: u32,
    rows: u32,
    /// Width of a picture in pixels.
    width: u32,
    /// Height of a picture in pixels.
    height: u32,
    /// The pictures by rows.
    cells: Vec<SpriteCell>,
}

/// A small picture of a sheet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SpriteCell {
    /// Its left edge on the sheet in pixels.
    x: u32,
    /// Its upper edge on the sheet in pixels.
    y: u32,
    /// The moment that it stands for, microseconds since 1970-01-01 UTC.
    wanted_unix_us: i64,
    /// When the picture was shown, microseconds since 1970-01-01 UTC; `null` where nothing is recorded and it is black.
    unix_us: Option<i64>,
}

/// Small pictures of a stretch of time on one sheet, evenly spaced, out of key frames; black where nothing is recorded.
#[utoipa::path(get, path = "/api/v1/recordings/{camera}/sprite.jpg", tag = "recordings", operation_id = "recording_sprite",
    params(("camera" = String, Path, description = "Name of the camera."), SpriteQuery),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "image/jpeg", description = "The sheet.", headers(
            ("X-Sprite-Unix" = String, description = "When each picture was shown, seconds since 1970-01-01 UTC, by rows, with commas between them; empty for a black one."),
        )),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "Nothing of the stretch is recorded."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn sprite(
    caller: Caller,
    [camera]: [String; 1],
    (Query(query), conditions): (Query<SpriteQuery>, Conditions),
) -> ApiResult<Jpeg> {
    let request = query.request(caller.clock.unix_us())?;
    caller
        .run(Lane::Still, move |caller| {
            sheet(caller, &camera, request, &conditions)
        })
        .await
}

/// Which pictures such a sheet has, and where each stands on it.
#[utoipa::path(get, path = "/api/v1/recordings/{camera}/sprite.json", tag = "recordings", operation_id = "recording_sprite_cells",
    params(("camera" = String, Path, description = "Name of the camera."), SpriteQuery),
    responses(
        (status = 200, body = SpriteSheet, description = "Its cells."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "Nothing of the stretch is recorded."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn sprite_cells(
    caller: Caller,
    [camera]: [String; 1],
    Query(query): Query<SpriteQuery>,
) -> ApiResult<Json<SpriteSheet>> {
    let request = query.request(caller.clock.unix_us())?;
    let sprite = caller.run(Lane::Read, move |caller| {
        let sprite = plan(caller, &camera, request)?;
        Ok(cells_of(camera, &sprite))
    });
    sprite.await.map(Json)
}

/// Small pictures of an event from its start to its end on one sheet; black where nothing is recorded.
#[utoipa::path(get, path = "/api/v1/events/{id}/sprite.jpg", tag = "events", operation_id = "event_sprite",
    params(("id" = String, Path, description = "Id of the event."), SheetQuery),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "image/jpeg", description = "The sheet.", headers(
            ("X-Sprite-Unix" = String, description = "When each picture was shown, seconds since 1970-01-01 UTC, by rows, with commas between them; empty for a black one."),
        )),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event, or nothing of it is recorded."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn event_sprite(
    caller: Caller,
    [id]: [String; 1],
    (Query(query), conditions): (Query<SheetQuery>, Conditions),
) -> ApiResult<Jpeg> {
    let layout = query.request((0, 0))?;
    caller
        .run(Lane::Still, move |caller| {
            let event = caller.store.event(caller.principal(), &id)?;
            let request = stretch_of(caller, &event, layout);
            sheet(caller, &event.camera, request, &conditions)
        })
        .await
}

/// Which pictures the sheet of an event has, and where each stands on it.
#[utoipa::path(get, path = "/api/v1/events/{id}/sprite.json", tag = "events", operation_id = "event_sprite_cells",
    params(("id" = String, Path, description = "Id of the event."), SheetQuery),
    responses(
        (status = 200, body = SpriteSheet, description = "Its cells."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event, or nothing of it is recorded."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn event_sprite_cells(
    caller: Caller,
    [id]: [String; 1],
    Query(query): Query<SheetQuery>,
) -> ApiResult<Json<SpriteSheet>> {
    let layout = query.request((0, 0))?;
    let sprite = caller.run(Lane::Read, move |caller| {
        let event = caller.store.event(caller.principal(), &id)?;
        let sprite = plan(caller, &event.camera, stretch_of(caller, &event, layout))?;
        Ok(cells_of(event.camera, &sprite))
    });
    sprite.await.map(Json)
}

/// From the start of an event to its end, or to now while it goes on.
fn stretch_of(caller: &Caller, event: &EventRow, layout: SpriteRequest) -> SpriteRequest {
    let end_us = event.end_us.unwrap_or_else(|| caller.clock.unix_us());
    SpriteRequest {
        start_us: event.start_us,
        end_us: end_us.max(event.start_us.saturating_add(SHORTEST_US)),
        ..layout
    }
}

fn plan(caller: &Caller, camera: &str, request: SpriteRequest) -> Result<Sprite> {
    let sprite = caller.stills.sprite(camera, request);
    sprite.map_err(|error| of_camera(caller, camera, error))
}

fn sheet(
    caller: &Caller,
    camera: &str,
    request: SpriteRequest,
    conditions: &Conditions,
) -> Result<Jpeg> {
    let sprite = plan(caller, camera, request)?;
    // The pictures and their places are all that the sheet depends on.
    let content = blake3::hash(format!("{sprite:?}").as_bytes()).to_hex();
    let etag = format!("\"{}\"", &content[..32]);
    if let Some(known) = Jpeg::known(&etag, ASK, conditions) {
        return Ok(known);
    }
    let (bytes, filled) = caller.stills.sheet(&sprite)?;
    let times = sprite.cells.iter().zip(filled).map(|(cell, filled)| {
        let pick = cell.pick.as_ref().filter(|_| filled);
        pick.map_or_else(String::new, |pick| seconds(pick.unix_us))
    });
    let times: Vec<String> = times.collect();
    let mut jpeg = Jpeg::new(Some(etag), ASK, bytes);
    jpeg.extra.push(("x-sprite-unix", times.join(",")));
    Ok(jpeg)
}

fn cells_of(camera: String, sprite: &Sprite) -> SpriteSheet {
    let SpriteRequest {
        start_us,
        end_us,
        height,
        ..
    } = sprite.request;
    let columns = sprite.request.columns();
    let cells = (0..).zip(&sprite.cells).map(|(number, cell)| SpriteCell {
        x: number % columns * sprite.width,
        y: number / columns * height,
        wanted_unix_us: cell.wanted_us,
        unix_us: cell.pick.as_ref().map(|pick| pick.unix_us),
    });
    SpriteSheet {
        camera,
        start_unix_us: start_us,
        end_unix_us: end_us,
        columns,
        rows: sprite.request.rows(),
        width: sprite.width,
        height,
        cells: cells.collect(),
    }
}

/// Says of a camera that there never was what is true of it, and not that a moment of it is missing.
fn of_camera(caller: &Caller, camera: &str, error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    match camera
        .parse::<Slug>()
        .is_ok_and(|_| is_known(caller, camera).unwrap_or(true))
    {
        true => error,
        false => unknown(camera),
    }
}

/// Seconds since 1970 with six digits behind the point, as in queries.
fn seconds(unix_us: i64) -> String {
    format!(
        "{}.{:06}",
        unix_us.div_euclid(1_000_000),
        unix_us.rem_euclid(1_000_000)
    )
}
