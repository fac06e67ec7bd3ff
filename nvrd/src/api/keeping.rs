//! What persons decide about recordings: to keep a range of time, to let it go, or to delete it.

use nvr_base::{Error, Result, Slug};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::query::{MAX_LIMIT, Query, unix_us};
use super::recordings::{is_known, unknown};
use super::reply::Json;

/// A range of time of a camera, and whether it is to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProtectRequest {
    /// Start of the range, seconds since 1970-01-01 UTC.
    start_unix: f64,
    /// End of the range, seconds since 1970-01-01 UTC.
    end_unix: f64,
    /// Whether no policy may delete it.
    protected: bool,
}

/// What was marked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Protected {
    /// Segments with a moment in the range.
    segments: u64,
    /// Whether no policy may delete them now.
    protected: bool,
}

/// Protects what is recorded in a range of time from being deleted, or lets it go again.
#[utoipa::path(post, path = "/api/v1/recordings/{camera}/protect", tag = "recordings", operation_id = "protect_recordings",
    params(("camera" = String, Path, description = "Name of the camera.")),
    request_body = ProtectRequest,
    responses(
        (status = 200, body = Protected, description = "How many segments are marked now; whole ones, also where the range has a part of them."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera, nor a recording of it."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn protect(
    caller: Caller,
    [camera]: [String; 1],
    Body(request): Body<ProtectRequest>,
) -> ApiResult<Json<Protected>> {
    let range = whole_range(
        Some(&request.start_unix.to_string()),
        Some(&request.end_unix.to_string()),
    )?;
    let protected = request.protected;
    let done = caller.run(Lane::Change, move |caller| {
        let camera: Slug = camera.parse().map_err(|_| unknown(&camera))?;
        if !is_known(caller, camera.as_str())? {
            return Err(unknown(camera.as_str()));
        }
        let store = &caller.store;
        let segments = store.protect_segments(camera.as_str(), range.0, range.1, protected)?;
        Ok(Protected {
            segments,
            protected,
        })
    });
    done.await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteQuery {
    /// Start of the range, seconds since 1970-01-01 UTC.
    #[param(value_type = f64)]
    start_unix: Option<String>,
    /// End of the range, seconds since 1970-01-01 UTC.
    #[param(value_type = f64)]
    end_unix: Option<String>,
    /// Whether protected segments go too; `false` unless given.
    #[param(value_type = Option<bool>)]
    force: Option<String>,
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// Segments that are gone.
    segments: u64,
    /// Their length together.
    bytes: u64,
}

/// Deletes what is recorded in a range of time: every segment that lies wholly in it.
#[utoipa::path(delete, path = "/api/v1/recordings/{camera}", tag = "recordings", operation_id = "delete_recordings",
    params(("camera" = String, Path, description = "Name of the camera; one that was removed may have recordings still."), DeleteQuery),
    responses(
        (status = 200, body = Deleted, description = "What is gone; the files follow within seconds."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera, nor a recording of it."),
        (status = 409, body = super::error::ErrorBody, description = "Some of it is protected, and `force` is not set."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(
    caller: Caller,
    [camera]: [String; 1],
    Query(query): Query<DeleteQuery>,
) -> ApiResult<Json<Deleted>> {
    let range = whole_range(query.start_unix.as_deref(), query.end_unix.as_deref())?;
    let force = match query.force.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "force: {other:?}: use true or false"
            )));
        }
    };
    let done = caller.run(Lane::Change, move |caller| {
        let camera: Slug = camera.parse().map_err(|_| unknown(&camera))?;
        if !is_known(caller, camera.as_str())? {
            return Err(unknown(camera.as_str()));
        }
        let done = delete_range(caller, camera.as_str(), range, force);
        caller.storage.retention_bell.ring();
        done
    });
    done.await.map(Json)
}

fn delete_range(
    caller: &Caller,
    camera: &str,
    (start, end): (i64, i64),
    force: bool,
) -> Result<Deleted> {
    let store = &caller.store;
    if !force && store.has_protected(camera, start, end)? {
        return Err(Error::precondition(format!(
            "camera {camera:?} has protected segments in this range: take the protection off, or say force=true"
        )));
    }
    let (mut segments, mut bytes) = (0, 0);
    let mut from = start;
    loop {
        let rows = store.segments(caller.principal(), camera, from, end, MAX_LIMIT)?;
        let Some(last) = rows.last().map(|row| row.start_us) else {
            break;
        };
        let whole = rows
            .iter()
            .filter(|row| row.start_us >= start && row.end_us <= end)
            .filter(|row| force || !row.protected);
        let ids: Vec<String> = whole.map(|row| row.id.clone()).collect();
        let gone = store.discard_segments(&ids, "person")?;
        segments += gone.len() as u64;
        bytes += gone
            .iter()
            .map(|row| row.bytes.cast_unsigned())
            .sum::<u64>();
        if rows.len() < MAX_LIMIT as usize {
            break;
        }
        // What lies across the ends of the range stays, and must not be looked at for ever.
        from = last.max(from.saturating_add(1));
    }
    Ok(Deleted { segments, bytes })
}

/// A range of which both ends must be given.
fn whole_range(start: Option<&str>, end: Option<&str>) -> ApiResult<(i64, i64)> {
    let given = |name: &str, text: Option<&str>| {
        unix_us(name, text)?.ok_or_else(|| {
            ApiError::bad_request(format!(
                "{name}: is missing: use seconds since 1970-01-01 UTC"
            ))
        })
    };
    let (start, end) = (given("start_unix", start)?, given("end_unix", end)?);
    if start < end {
        Ok((start, end))
    } else {
        Err(ApiError::bad_request("start_unix: is not before end_unix"))
    }
}
