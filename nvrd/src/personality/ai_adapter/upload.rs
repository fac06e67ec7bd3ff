//! The frames of a camera over HTTP: what a client leaves here to ask about, and what was drawn in answers.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::frames::DRAWN;
use super::intake::Intake;
use super::uri::{LATEST, is_file, uri_of};
use super::{Adapter, camera_meant};
use crate::api::access::Caller;
use crate::api::context::Lane;
use crate::api::error::{ApiError, ApiResult, ErrorBody};
use crate::api::reply::{Binary, Content, Created, Json, NoContent};
use crate::infer::Picture;

/// A frame that is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Frame)]
pub(super) struct KeptFrame {
    /// How requests name it.
    uri: String,
    /// Size of the file.
    bytes: u64,
    /// When it was left here, microseconds since 1970-01-01 UTC.
    stored_unix_us: i64,
}

/// The frames of a camera.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeptFrames {
    /// By name.
    frames: Vec<KeptFrame>,
    /// How many they are.
    count: usize,
}

/// Lists the frames that were left here for a camera.
#[utoipa::path(get, path = "/frames/{folder}", tag = "frames", operation_id = "list_frames",
    params(("folder" = String, Path, description = "Name of the camera.")),
    responses(
        (status = 200, body = KeptFrames, description = "The frames."),
        (status = 404, body = ErrorBody, description = "There is no such camera."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn list(
    adapter: Arc<Adapter>,
    caller: Caller,
    [folder]: [String; 1],
    (): (),
) -> ApiResult<Json<KeptFrames>> {
    let camera = camera_meant(&caller, folder).await?;
    let frames: Vec<KeptFrame> = caller
        .run(Lane::Read, move |_| {
            let kept = adapter.frames.list(&camera).into_iter();
            let told = kept.map(|(file, entry)| KeptFrame {
                uri: uri_of(&camera, &file),
                bytes: entry.bytes,
                stored_unix_us: entry.at_us,
            });
            Ok(told.collect())
        })
        .await?;
    Ok(Json(KeptFrames {
        count: frames.len(),
        frames,
    }))
}

/// A frame as a JPEG: what the camera shows now, what was left here, or what was drawn in an answer.
#[utoipa::path(get, path = "/frames/{folder}/{file}", tag = "frames", operation_id = "get_frame",
    params(
        ("folder" = String, Path, description = "Name of the camera."),
        ("file" = String, Path, description = "Name of the frame, with `.jpg`; `latest.jpg` is now."),
    ),
    responses(
        (status = 200, body = Binary, content_type = "image/jpeg", description = "The picture."),
        (status = 404, body = ErrorBody, description = "There is no such frame."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(
    adapter: Arc<Adapter>,
    caller: Caller,
    [folder, file]: [String; 2],
    (): (),
) -> ApiResult<Content> {
    check(&file)?;
    let camera = camera_meant(&caller, folder).await?;
    let bytes = match file == LATEST {
        true => caller
            .run(Lane::Snapshot, move |caller| {
                caller.cameras.snapshot(&camera, None)
            })
            .await?
            .into(),
        false => {
            caller
                .run(Lane::Read, move |_| adapter.frames.get(&camera, &file))
                .await?
        }
    };
    Ok(Content {
        content_type: "image/jpeg".to_owned(),
        cache: "no-store",
        bytes,
    })
}

/// Leaves a JPEG here under a name, to be asked about; one of the same name goes.
///
/// 1000 frames and 256 MiB are kept, 30 days at most; the oldest go first.
#[utoipa::path(post, path = "/frames/{folder}/{file}", tag = "frames", operation_id = "put_frame",
    params(
        ("folder" = String, Path, description = "Name of the camera."),
        ("file" = String, Path, description = "Name of the frame, with `.jpg`."),
    ),
    request_body(content = Binary, content_type = "image/jpeg", description = "The picture, or a form with the file `frame`."),
    responses(
        (status = 201, body = KeptFrame, description = "It is here."),
        (status = 400, body = ErrorBody, description = "It is no JPEG, too large, or its name is none."),
        (status = 404, body = ErrorBody, description = "There is no such camera."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn post(
    adapter: Arc<Adapter>,
    caller: Caller,
    [folder, file]: [String; 2],
    intake: Intake,
) -> ApiResult<Created<KeptFrame>> {
    check(&file)?;
    if file == LATEST || file.ends_with(DRAWN) {
        return Err(ApiError::bad_request(format!(
            "file: {file:?} is a picture that is made here: choose another name"
        )));
    }
    let camera = camera_meant(&caller, folder).await?;
    let jpeg = intake.picture()?;
    if !jpeg.starts_with(&[0xff, 0xd8]) {
        return Err(ApiError::bad_request("Invalid image: it is no JPEG"));
    }
    let (whole, seen) = (jpeg.clone(), Arc::clone(&adapter));
    // What cannot be looked at is refused now, while somebody is there to hear it.
    seen.analysis
        .run(move |_| Picture::decode(&whole).map(drop))
        .await?;
    let (uri, location) = (uri_of(&camera, &file), format!("/frames/{camera}/{file}"));
    let entry = caller
        .run(Lane::Change, move |_| {
            adapter.frames.put(&camera, &file, &jpeg)
        })
        .await?;
    Ok(Created {
        location,
        body: KeptFrame {
            uri,
            bytes: entry.bytes,
            stored_unix_us: entry.at_us,
        },
    })
}

/// Removes a frame that was left here.
#[utoipa::path(delete, path = "/frames/{folder}/{file}", tag = "frames", operation_id = "delete_frame",
    params(
        ("folder" = String, Path, description = "Name of the camera."),
        ("file" = String, Path, description = "Name of the frame, with `.jpg`."),
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, body = ErrorBody, description = "There is no such frame."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(
    adapter: Arc<Adapter>,
    caller: Caller,
    [folder, file]: [String; 2],
    (): (),
) -> ApiResult<NoContent> {
    check(&file)?;
    let camera = camera_meant(&caller, folder).await?;
    caller
        .run(Lane::Change, move |_| adapter.frames.delete(&camera, &file))
        .await?;
    Ok(NoContent)
}

/// Refuses what is no name of a frame.
fn check(file: &str) -> ApiResult<()> {
    match is_file(file) {
        true => Ok(()),
        false => Err(ApiError::bad_request(
            "file: Invalid frame URI: use up to 64 of a-z, A-Z, 0-9, _, - and ., with .jpg at the end",
        )),
    }
}
