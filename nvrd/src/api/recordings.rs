//! Recordings: which segments of a camera cover a time, what is missing in it, and the files themselves.

use nvr_base::{Error, Result, Slug};
use nvr_store::{GapRow, SegmentRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use warp::http::HeaderValue;
use warp::reply::Response;

use super::access::{Caller, no_camera};
use super::context::Lane;
use super::error::ApiResult;
use super::file::{Conditions, Served};
use super::query::{MAX_LIMIT, Query, limit_of, range_of};
use super::reply::{IntoReply, Json};
use super::time::rfc3339;

/// What is recorded of a camera in a range of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Recordings {
    /// Start of the range, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// End of the range, or where this answer stops because it is full.
    end_unix_us: i64,
    /// Segments with a moment in the range, in the order of time.
    items: Vec<Segment>,
    /// Stretches of the range that are not on disk, as far as the reason is known, in the order of time.
    gaps: Vec<Gap>,
    /// Seconds to ask for next as `start_unix`, when the answer is full.
    next_start_unix: Option<f64>,
}

/// A recorded file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Segment {
    /// UUID, version 7.
    id: String,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// Wall time of the end of the last picture, microseconds since 1970-01-01 UTC.
    end_unix_us: i64,
    duration_s: f64,
    /// Pictures.
    frames: u64,
    /// Length of the file.
    bytes: u64,
    /// `h264` or `h265`.
    codec: String,
    width: u32,
    height: u32,
    /// BLAKE3 of the whole file, 64 hex digits.
    blake3: Option<String>,
    /// Whether the first picture does not follow on from the segment before.
    discont: bool,
    /// Identity of the storage that holds the file.
    storage: String,
    /// Whether no policy may delete it.
    protected: bool,
    /// The codec of the sound, `null` without sound.
    audio: Option<String>,
    /// Path of the file.
    url: String,
    /// Path of its small picture.
    thumbnail_url: String,
    #[serde(flatten)]
    names: ChunkNames,
}

/// The same file in the words of OpenNVR.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChunkNames {
    /// Name of the camera in paths.
    camera_id: String,
    /// RFC 3339.
    start: Option<String>,
    /// RFC 3339.
    end: Option<String>,
    /// Seconds since 1970-01-01 UTC.
    start_unix: f64,
    /// Seconds since 1970-01-01 UTC.
    end_unix: f64,
    /// Seconds.
    duration: f64,
    /// Name of the file.
    file: String,
    /// Length of the file.
    size: u64,
    /// Path of the file in the API.
    playback_url: String,
}

/// A stretch of time that is not on disk.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gap {
    /// UUID, version 7.
    id: String,
    /// First missing moment, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// When recording went on, microseconds since 1970-01-01 UTC; `null` while it has not.
    end_unix_us: Option<i64>,
    /// `source_lost`, `disk_full`, …
    reason: String,
    /// One sentence for people.
    detail: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordingQuery {
    /// Start of the range, seconds since 1970-01-01 UTC; a day before its end unless given.
    #[param(value_type = Option<f64>)]
    start_unix: Option<String>,
    /// End of the range, seconds since 1970-01-01 UTC; now unless given.
    #[param(value_type = Option<f64>)]
    end_unix: Option<String>,
    /// Most segments of the answer; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
}

impl RecordingQuery {
    fn range(&self, now_us: i64) -> ApiResult<(i64, i64)> {
        range_of(self.start_unix.as_deref(), self.end_unix.as_deref(), now_us)
    }
}

/// The recorded files of a camera in a range of time, in the order of time.
///
/// A full answer says in the header `X-Next-Start-Unix` where to go on. What is missing, and why, is in the camera's
/// coverage, and beside the files at `/api/v1/cameras/{camera}/recordings`.
#[utoipa::path(get, path = "/api/v1/recordings/{camera}", tag = "recordings", operation_id = "list_chunks",
    params(("camera" = String, Path, description = "Name of the camera; one that was removed may have recordings still."), RecordingQuery),
    responses(
        (status = 200, body = Vec<Segment>, description = "The files.", headers(
            ("X-Next-Start-Unix" = Option<f64>, description = "Seconds to ask for next as `start_unix`, when the answer is full."),
        )),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera, nor a recording of it."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn chunks(
    caller: Caller,
    names: [String; 1],
    query: Query<RecordingQuery>,
) -> ApiResult<Chunks> {
    let Json(found) = list(caller, names, query).await?;
    Ok(Chunks {
        items: found.items,
        next_start_unix: found.next_start_unix,
    })
}

/// A list of files, with where to go on in a header.
pub(super) struct Chunks {
    items: Vec<Segment>,
    next_start_unix: Option<f64>,
}

impl IntoReply for Chunks {
    fn into_reply(self) -> Response {
        let mut response = Json(self.items).into_reply();
        let next = self.next_start_unix.map(|next| format!("{next:.6}"));
        if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
            response.headers_mut().insert("x-next-start-unix", next);
        }
        response
    }
}

/// What is recorded of a camera in a range of time, and what is missing.
#[utoipa::path(get, path = "/api/v1/cameras/{camera}/recordings", tag = "recordings", operation_id = "list_recordings",
    params(("camera" = String, Path, description = "Name of the camera; one that was removed may have recordings still."), RecordingQuery),
    responses(
        (status = 200, body = Recordings, description = "What there is."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera, nor a recording of it."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn list(
    caller: Caller,
    [camera]: [String; 1],
    Query(query): Query<RecordingQuery>,
) -> ApiResult<Json<Recordings>> {
    let range = query.range(caller.clock.unix_us())?;
    let limit = limit_of(query.limit.as_deref())?;
    let recordings = caller.run(Lane::Read, move |caller| {
        let camera: Slug = camera.parse().map_err(|_| unknown(&camera))?;
        recordings_of(caller, camera.as_str(), range, limit)
    });
    recordings.await.map(Json)
}

fn recordings_of(
    caller: &Caller,
    camera: &str,
    (start, end): (i64, i64),
    limit: u32,
) -> Result<Recordings> {
    let store = &caller.store;
    let mut rows = store.segments(caller.principal(), camera, start, end, limit)?;
    if rows.is_empty() && !is_known(caller, camera)? {
        return Err(unknown(camera));
    }
    // Full: what follows begins where the last segment ends, if there is anything.
    let mut until = end;
    if let Some(last) = rows.last().filter(|_| rows.len() == limit as usize)
        && !store
            .segments(caller.principal(), camera, last.end_us, end, 1)?
            .is_empty()
    {
        until = last.end_us.clamp(start + 1, end);
    }
    let gaps = store.gaps(caller.principal(), camera, start, until, MAX_LIMIT)?;
    // So many gaps that they too are cut off: the answer stops before the last of them.
    if let Some(last) = gaps
        .last()
        .filter(|last| gaps.len() == MAX_LIMIT as usize && last.start_us > start)
    {
        until = last.start_us;
        rows.retain(|row| row.start_us < until);
    }
    Ok(Recordings {
        start_unix_us: start,
        end_unix_us: until,
        items: rows.into_iter().map(segment_of).collect(),
        gaps: gaps
            .into_iter()
            .filter(|gap| gap.start_us < until)
            .map(gap_of)
            .collect(),
        next_start_unix: (until < end).then_some(until as f64 / 1e6),
    })
}

/// Whether there is such a camera, or was, with something left of it.
pub(super) fn is_known(caller: &Caller, camera: &str) -> Result<bool> {
    if caller
        .cameras
        .list(caller.principal())?
        .iter()
        .any(|view| view.input.name == camera)
    {
        return Ok(true);
    }
    Ok(!caller
        .store
        .segments(caller.principal(), camera, i64::MIN, i64::MAX, 1)?
        .is_empty())
}

pub(super) fn unknown(camera: &str) -> Error {
    no_camera(camera)
}

/// The file of a segment, whole or a range of it.
#[utoipa::path(get, path = "/api/v1/recordings/{camera}/{segment_id}/file.mp4", tag = "recordings", operation_id = "recording_file",
    params(
        ("camera" = String, Path, description = "Name of the camera."),
        ("segment_id" = String, Path, description = "Id of the segment."),
        ("Range" = Option<String>, Header, description = "One range of bytes; more than one gives the whole file."),
    ),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "video/mp4", description = "The whole file."),
        (status = 206, body = super::reply::Binary, content_type = "video/mp4", description = "The range."),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such segment, or its file has gone."),
        (status = 416, body = super::error::ErrorBody, description = "The range begins behind the end."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn file(
    caller: Caller,
    [camera, id]: [String; 2],
    conditions: Conditions,
) -> ApiResult<Served> {
    let found = caller.run(Lane::Read, move |caller| {
        let row = segment_of_camera(caller, &camera, &id)?;
        let path = caller.storage.segment_file(&row)?;
        Ok((path, row.blake3.unwrap_or(row.id)))
    });
    let (path, tag) = found.await?;
    Served::open(&path, &tag, &conditions).await
}

/// The row of a segment of that very camera.
pub(super) fn segment_of_camera(caller: &Caller, camera: &str, id: &str) -> Result<SegmentRow> {
    let row = caller.store.segment(caller.principal(), id)?;
    if row.camera == camera {
        return Ok(row);
    }
    Err(Error::not_found(format!(
        "camera {camera:?} has no segment with the id {id:?}"
    )))
}

fn segment_of(row: SegmentRow) -> Segment {
    let url = format!("/api/v1/recordings/{}/{}/file.mp4", row.camera, row.id);
    let names = ChunkNames {
        camera_id: row.camera.clone(),
        start: rfc3339(row.start_us),
        end: rfc3339(row.end_us),
        start_unix: row.start_us as f64 / 1e6,
        end_unix: row.end_us as f64 / 1e6,
        duration: row.end_us.saturating_sub(row.start_us) as f64 / 1e6,
        file: row.path.rsplit('/').next().unwrap_or_default().to_owned(),
        size: row.bytes,
        playback_url: url.clone(),
    };
    Segment {
        names,
        url,
        thumbnail_url: format!("/api/v1/recordings/{}/{}/thumbnail.jpg", row.camera, row.id),
        duration_s: row.end_us.saturating_sub(row.start_us) as f64 / 1e6,
        id: row.id,
        start_unix_us: row.start_us,
        end_unix_us: row.end_us,
        frames: row.frames,
        bytes: row.bytes,
        codec: row.codec,
        width: row.width,
        height: row.height,
        blake3: row.blake3,
        discont: row.discont,
        storage: row.storage,
        protected: row.protected,
        audio: row.audio,
    }
}

fn gap_of(row: GapRow) -> Gap {
    Gap {
        id: row.id,
        start_unix_us: row.start_us,
        end_unix_us: row.end_us,
        reason: row.reason,
        detail: row.detail,
    }
}
