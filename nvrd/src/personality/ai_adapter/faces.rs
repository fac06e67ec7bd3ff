//! The registry of faces, and every task that tells faces apart: refused with the reason until their part is there.

use warp::http::StatusCode;

use crate::api::access::Caller;
use crate::api::error::{ApiError, ApiResult, ErrorBody};
use crate::api::reply::NoContent;

/// Why.
pub(super) const REASON: &str = "facematch is not there yet: faces can be detected, not told apart";

/// The tasks that need it.
pub(super) const NEEDS_MATCHING: [&str; 4] = [
    "face_embedding",
    "face_recognition",
    "face_verify",
    "watchlist_check",
];

/// The answer of all of them.
pub(super) fn not_there() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, REASON)
}

/// Would register somebody's face.
#[utoipa::path(post, path = "/faces/register", tag = "faces", operation_id = "register_face", responses(
    (status = 503, body = ErrorBody, description = "Faces cannot be told apart yet."),
    (status = "default", body = ErrorBody, description = "Any other failure."),
))]
pub(super) async fn register(_: Caller, []: [String; 0], (): ()) -> ApiResult<NoContent> {
    Err(not_there())
}

/// Would list who is registered.
#[utoipa::path(get, path = "/faces/list", tag = "faces", operation_id = "list_faces",
    params(("category" = Option<String>, Query, description = "Only this category, `watchlist` say.")),
    responses(
        (status = 503, body = ErrorBody, description = "Faces cannot be told apart yet."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn list(_: Caller, []: [String; 0], (): ()) -> ApiResult<NoContent> {
    Err(not_there())
}

/// Would tell of somebody who is registered.
#[utoipa::path(get, path = "/faces/{person_id}", tag = "faces", operation_id = "get_face",
    params(("person_id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 503, body = ErrorBody, description = "Faces cannot be told apart yet."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(_: Caller, [_]: [String; 1], (): ()) -> ApiResult<NoContent> {
    Err(not_there())
}

/// Would forget somebody who is registered.
#[utoipa::path(delete, path = "/faces/{person_id}", tag = "faces", operation_id = "delete_face",
    params(("person_id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 503, body = ErrorBody, description = "Faces cannot be told apart yet."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(_: Caller, [_]: [String; 1], (): ()) -> ApiResult<NoContent> {
    Err(not_there())
}
