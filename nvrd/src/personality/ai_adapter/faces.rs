//! The registry of faces, in the words of the original; what is known of people is the same as in the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use nvr_store::{NewPerson, PageRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use warp::http::StatusCode;

use super::infer::{Frame, fetch, source_of};
use super::intake::Intake;
use super::{Adapter, matching};
use crate::api::access::Caller;
use crate::api::context::Lane;
use crate::api::error::{ApiError, ApiResult, ErrorBody};
use crate::api::faces::{UNKNOWN, forget};
use crate::api::query::Query;
use crate::api::reply::Json;
use crate::faces::{checked_category, checked_metadata, checked_name, metadata_of};
use crate::infer::Picture;

/// Somebody to register.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterRequest {
    /// A picture with exactly one face.
    frame: Option<Frame>,
    /// In place of a frame: the picture itself, as base64 or a data URL.
    image: Option<String>,
    /// 1 to 64 letters, digits, `_` and `-`.
    person_id: Option<String>,
    name: Option<String>,
    /// `employee`, `visitor`, `watchlist`, `vip`, or a word of one's own; `unknown` unless given.
    category: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
}

/// What came of registering.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Registered {
    /// Whether they are registered now.
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// One sentence.
    message: String,
}

/// Somebody who is registered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Face {
    person_id: String,
    name: String,
    category: String,
    /// Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, Value>>,
}

/// Everybody who is registered.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FaceList {
    faces: Vec<Face>,
    total_count: u64,
}

/// Which faces.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FaceListQuery {
    /// Only this category, `watchlist` say.
    category: Option<String>,
}

/// Somebody was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    /// Always true.
    success: bool,
    message: String,
}

/// Registers the one face of a picture; somebody who is registered already is registered anew.
#[utoipa::path(post, path = "/faces/register", tag = "faces", operation_id = "register_face",
    request_body(content = RegisterRequest, content_type = "application/json"),
    responses(
        (status = 200, body = Registered, description = "They are registered, or the message says what is wrong with the picture."),
        (status = 400, body = ErrorBody, description = "A field is missing or wrong."),
        (status = 404, body = ErrorBody, description = "There is no such frame."),
        (status = 503, body = ErrorBody, description = "No model is configured."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn register(
    adapter: Arc<Adapter>,
    caller: Caller,
    []: [String; 0],
    intake: Intake,
) -> ApiResult<Json<Registered>> {
    matching::ready(&caller)?;
    let request = match intake.json_or_form::<RegisterRequest>()? {
        Ok(request) => request,
        Err(_) => {
            return Err(ApiError::bad_request(
                "send JSON with frame, person_id and name",
            ));
        }
    };
    let missing = |field: &str| ApiError::bad_request(format!("Missing '{field}' field"));
    if request.frame.is_none() && request.image.is_none() {
        return Err(missing("frame"));
    }
    let id = request.person_id.ok_or_else(|| missing("person_id"))?;
    let name = request.name.ok_or_else(|| missing("name"))?;
    crate::faces::check_id(&id)?;
    let person = NewPerson {
        name: checked_name(&name)?,
        category: checked_category(request.category.as_deref().unwrap_or(UNKNOWN))?,
        metadata: checked_metadata(&request.metadata.unwrap_or_default())?,
        id,
    };
    let source = source_of("", request.frame.as_ref(), request.image.as_deref())?;
    let fetched = fetch(&adapter, &caller, source).await?;
    let who = caller.clone();
    let enrolled = adapter.analysis.run(move |_| {
        let picture = Picture::decode(&fetched.jpeg)?;
        let done = who
            .faces
            .enrol(who.principal(), &person, &picture, "photo", true)?;
        Ok((done, person))
    });
    let (done, person) = enrolled.await?;
    Ok(Json(match done {
        Ok(()) => Registered {
            success: true,
            message: format!("Face registered for {}", person.name),
            person_id: Some(person.id),
            name: Some(person.name),
        },
        Err(why) => Registered {
            success: false,
            message: why.to_string(),
            person_id: None,
            name: None,
        },
    }))
}

/// Lists who is registered.
#[utoipa::path(get, path = "/faces/list", tag = "faces", operation_id = "list_faces",
    params(FaceListQuery),
    responses(
        (status = 200, body = FaceList, description = "Everybody, or those of the category."),
        (status = 503, body = ErrorBody, description = "No model is configured."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<FaceListQuery>,
) -> ApiResult<Json<FaceList>> {
    matching::ready(&caller)?;
    let found = caller.run(Lane::Read, move |caller| {
        let mut faces = Vec::new();
        let mut page = PageRequest {
            page: 1,
            limit: nvr_store::MAX_LIMIT,
        };
        loop {
            let category = query.category.as_deref();
            let found = caller.store.people(caller.principal(), category, page)?;
            let last = found.items.len() < page.limit as usize;
            faces.extend(found.items.into_iter().map(|row| Face {
                person_id: row.person.id,
                name: row.person.name,
                category: row.person.category,
                metadata: None,
            }));
            if last {
                return Ok(faces);
            }
            page.page += 1;
        }
    });
    let faces = found.await?;
    Ok(Json(FaceList {
        total_count: faces.len() as u64,
        faces,
    }))
}

/// Tells of somebody who is registered.
#[utoipa::path(get, path = "/faces/{person_id}", tag = "faces", operation_id = "get_face",
    params(("person_id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 200, body = Face, description = "Who it is."),
        (status = 404, body = ErrorBody, description = "There is no such person."),
        (status = 503, body = ErrorBody, description = "No model is configured."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<Face>> {
    matching::ready(&caller)?;
    let found = caller.run(Lane::Read, move |caller| {
        caller.store.person(caller.principal(), &id)
    });
    let row = found.await?;
    Ok(Json(Face {
        metadata: Some(metadata_of(&row.person.metadata)),
        person_id: row.person.id,
        name: row.person.name,
        category: row.person.category,
    }))
}

/// Forgets somebody who is registered, without a trace.
#[utoipa::path(delete, path = "/faces/{person_id}", tag = "faces", operation_id = "delete_face",
    params(("person_id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 200, body = Deleted, description = "They are forgotten."),
        (status = 404, body = ErrorBody, description = "There is no such person."),
        (status = 503, body = ErrorBody, description = "No model is configured."),
        (status = "default", body = ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<Deleted>> {
    matching::ready(&caller)?;
    forget(&caller, id.clone()).await?;
    Ok(Json(Deleted {
        success: true,
        message: format!("Face {id} deleted"),
    }))
}

/// 503 with a reason.
pub(super) fn unavailable(reason: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, reason)
}
