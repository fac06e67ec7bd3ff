//! A picture of what a camera shows now.

use serde::Deserialize;
use utoipa::IntoParams;

use super::access::Caller;
use super::context::Lane;
use super::error::ApiResult;
use super::query::{Query, whole};
use super::reply::Content;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotQuery {
    /// Largest width in pixels; the picture's own unless given.
    #[param(value_type = Option<u32>, minimum = 16, maximum = 7680)]
    width: Option<String>,
}

/// A JPEG of now.
#[utoipa::path(get, path = "/api/v1/cameras/{camera}/snapshot.jpg", tag = "cameras", operation_id = "camera_snapshot",
    params(("camera" = String, Path, description = "Name of the camera."), SnapshotQuery),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "image/jpeg", description = "The picture."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera."),
        (status = 503, body = super::error::ErrorBody, description = "No picture has come."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(
    caller: Caller,
    [name]: [String; 1],
    Query(query): Query<SnapshotQuery>,
) -> ApiResult<Content> {
    let width = whole("width", query.width.as_deref(), 16, 7680)?;
    let width = width.and_then(|width| i32::try_from(width).ok());
    let jpeg = caller
        .run(Lane::Snapshot, move |caller| {
            caller.cameras.snapshot(&name, width)
        })
        .await?;
    Ok(Content {
        content_type: "image/jpeg".to_owned(),
        cache: "no-store",
        bytes: jpeg.into(),
    })
}
