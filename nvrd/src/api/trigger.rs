//! A person's wish that a camera be recorded now.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::reply::Json;

/// How long the event lasts unless the client says otherwise, in seconds.
const DEFAULT_SECONDS: u32 = 30;
/// The longest a client may ask for at once, in seconds.
const MAX_SECONDS: u32 = 3600;

/// For how long; without a body 30 s.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerOptions {
    /// Length of the event from now on.
    #[schema(minimum = 1, maximum = 3600, default = 30)]
    seconds: Option<u32>,
}

/// The event that was made, or lasts longer now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Triggered {
    /// Id of the event, of the kind `manual`.
    event_id: String,
    /// Its start, microseconds since 1970-01-01 UTC.
    start_unix_us: i64,
    /// Its end, unless it is asked for again before, microseconds since 1970-01-01 UTC.
    end_unix_us: i64,
}

/// Makes an event of the kind `manual`; a camera that records on events records it, with pre-roll and post-roll.
///
/// Asked again while it lasts, the same event lasts until the later end.
#[utoipa::path(post, path = "/api/v1/cameras/{camera}/trigger", tag = "cameras", operation_id = "trigger_camera",
    request_body = Option<TriggerOptions>,
    params(("camera" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = Triggered, description = "The event."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = 409, body = super::error::ErrorBody, description = "The camera does not run."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn post(
    caller: Caller,
    [name]: [String; 1],
    body: Option<Body<TriggerOptions>>,
) -> ApiResult<Json<Triggered>> {
    let options = body.map(|Body(options)| options).unwrap_or_default();
    let seconds = options.seconds.unwrap_or(DEFAULT_SECONDS);
    if !(1..=MAX_SECONDS).contains(&seconds) {
        return Err(ApiError::bad_request(format!(
            "seconds: {seconds} is out of range: use 1 to {MAX_SECONDS}"
        )));
    }
    let done = caller.run(Lane::Change, move |caller| {
        caller.cameras.trigger(&name, seconds)
    });
    let done = done.await?;
    Ok(Json(Triggered {
        event_id: done.event_id,
        start_unix_us: done.start_unix_us,
        end_unix_us: done.end_unix_us,
    }))
}
