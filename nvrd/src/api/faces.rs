//! People and the faces they are known by, and strangers until they have a name.

use std::collections::BTreeMap;

use nvr_base::{Error, ErrorKind, Result};
use nvr_store::{FaceRow, Forgotten, NewPerson, PersonRow, StrangerRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::query::{List, PageQuery, Query, page_request};
use super::reply::{Content, Created, Json, NoContent};
use super::time::rfc3339;
use super::upload::Upload;
use crate::ai;
use crate::faces::{checked_category, checked_metadata, checked_name, metadata_of};
use crate::infer::Picture;

/// The category of whom nobody gave one.
pub(crate) const UNKNOWN: &str = "unknown";

/// Somebody with a name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KnownPerson {
    /// What events carry as `identity`.
    person_id: String,
    name: String,
    /// `employee`, `visitor`, `watchlist`, `vip`, `unknown`, or a word of one's own.
    category: String,
    /// What was said beside that.
    metadata: BTreeMap<String, Value>,
    /// How many faces are kept.
    face_count: u64,
    /// RFC 3339.
    created_at: Option<String>,
    /// RFC 3339.
    updated_at: Option<String>,
}

/// Somebody with a name, and the faces that are kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonFaces {
    #[serde(flatten)]
    person: KnownPerson,
    faces: Vec<KnownFace>,
}

/// A face that is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KnownFace {
    id: String,
    /// `photo`, `event`, `live` or `stranger`.
    source: String,
    /// Hash of the model that made its vector.
    model: String,
    /// Path of the photo; `null` where none is kept.
    photo_url: Option<String>,
    /// RFC 3339.
    created_at: Option<String>,
}

/// Somebody without a name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stranger {
    /// What events carry as `identity`.
    id: String,
    /// The camera that saw them last.
    camera_id: String,
    sightings: i64,
    /// RFC 3339.
    first_seen: Option<String>,
    /// RFC 3339.
    last_seen: Option<String>,
}

/// Somebody to enrol, by the one face on one picture: of `image`, `event_id` and `camera_id` exactly one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrolRequest {
    /// 1 to 64 letters, digits, `_` and `-`. Another face of somebody who is there already adds to theirs.
    person_id: String,
    /// The name of who is there already unless given, else the id.
    name: Option<String>,
    /// `employee`, `visitor`, `watchlist`, `vip`, or a word of one's own; `unknown` unless given.
    category: Option<String>,
    /// A JSON object of one's own.
    metadata: Option<BTreeMap<String, Value>>,
    /// A JPEG or PNG in base64, alone or as a `data:` URL.
    image: Option<String>,
    /// Id of an event: its best picture.
    event_id: Option<String>,
    /// Name of a camera: what it shows now.
    camera_id: Option<String>,
}

/// What to change about a person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonChange {
    name: Option<String>,
    category: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
}

/// Who a stranger is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StrangerName {
    /// The person that the stranger becomes; may be there already.
    person_id: String,
    name: Option<String>,
    category: Option<String>,
}

/// A picture whose faces are looked for: of the fields exactly one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FaceQuery {
    image: Option<String>,
    event_id: Option<String>,
    camera_id: Option<String>,
}

/// Whom the faces of a picture look like.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FaceMatches {
    /// The faces, the largest first.
    faces: Vec<MatchedFace>,
    /// From which similarity on it is the same person.
    threshold: f32,
}

/// Whom one face looks like.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MatchedFace {
    /// Left, top, right, bottom; pixels.
    bbox: [i64; 4],
    confidence: f32,
    /// The most similar people, the most similar first.
    matches: Vec<PersonMatch>,
}

/// How much a face is like a person's.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PersonMatch {
    person_id: String,
    name: String,
    category: String,
    /// Cosine, -1 to 1.
    similarity: f32,
}

/// Which people.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PeopleQuery {
    /// Counted from 1; 1 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    page: Option<String>,
    /// Items on a page; 50 unless given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Only this category.
    category: Option<String>,
}

/// A page of those who are known, by id.
#[utoipa::path(get, path = "/api/v1/faces", tag = "faces", operation_id = "list_people", params(PeopleQuery), responses(
    (status = 200, body = List<KnownPerson>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<PeopleQuery>,
) -> ApiResult<Json<List<KnownPerson>>> {
    let page = page_request(query.page.as_deref(), query.limit.as_deref())?;
    let found = caller.run(Lane::Read, move |caller| {
        let category = query.category.as_deref();
        caller.store.people(caller.principal(), category, page)
    });
    let found = found.await?;
    let items = found.items.into_iter().map(person_of).collect();
    Ok(Json(List::new(items, found.total, page)))
}

/// Enrols somebody by the one face on a picture: one that is sent, an event's, or what a camera shows now.
#[utoipa::path(post, path = "/api/v1/faces", tag = "faces", operation_id = "enrol_person",
    request_body(content = EnrolRequest, content_type = "application/json"),
    responses(
        (status = 201, body = PersonFaces, description = "The person.", headers(("Location" = String, description = "Path of the person."))),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong, or the picture has no face, several faces, or one that is too small, blurred or turned away."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event or camera."),
        (status = 409, body = super::error::ErrorBody, description = "No model is configured."),
        (status = 503, body = super::error::ErrorBody, description = "The camera sends nothing."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn create(
    caller: Caller,
    []: [String; 0],
    upload: Upload<EnrolRequest>,
) -> ApiResult<Created<PersonFaces>> {
    let Upload { fields, file, .. } = &upload;
    crate::faces::check_id(&fields.person_id)?;
    let person = person_to_be(
        &caller,
        &fields.person_id,
        fields.name.as_deref(),
        fields.category.as_deref(),
        fields.metadata.as_ref(),
    )
    .await?;
    let (bytes, source) = picture(
        &caller,
        fields.image.as_deref(),
        file.as_ref(),
        fields.event_id.as_deref(),
        fields.camera_id.as_deref(),
    )
    .await?;
    let done = caller.run(Lane::Change, move |caller| {
        let picture = Picture::decode(&bytes)?;
        let id = person.id.clone();
        let who = caller.principal();
        caller
            .faces
            .enrol(who, &person, &picture, source, false)?
            .map_err(|why| Error::invalid(format!("image: {why}")))?;
        of_person(caller, &id)
    });
    let body = done.await?;
    drop(upload);
    Ok(Created {
        location: format!("/api/v1/faces/{}", body.person.person_id),
        body,
    })
}

/// Somebody, and the faces that are kept of them.
#[utoipa::path(get, path = "/api/v1/faces/{person_id}", tag = "faces", operation_id = "get_person",
    params(("person_id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 200, body = PersonFaces, description = "The person."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such person."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<PersonFaces>> {
    let found = caller.run(Lane::Read, move |caller| of_person(caller, &id));
    found.await.map(Json)
}

/// Changes name, category or metadata of somebody.
#[utoipa::path(patch, path = "/api/v1/faces/{person_id}", tag = "faces", operation_id = "change_person", request_body = PersonChange,
    params(("person_id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 200, body = PersonFaces, description = "The person as they are now."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such person."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn change(
    caller: Caller,
    [id]: [String; 1],
    Body(change): Body<PersonChange>,
) -> ApiResult<Json<PersonFaces>> {
    let done = caller.run(Lane::Change, move |caller| {
        let row = caller.store.person(caller.principal(), &id)?;
        let person = NewPerson {
            name: checked_name(change.name.as_deref().unwrap_or(&row.person.name))?,
            category: checked_category(change.category.as_deref().unwrap_or(&row.person.category))?,
            metadata: match &change.metadata {
                Some(metadata) => checked_metadata(metadata)?,
                None => row.person.metadata,
            },
            id,
        };
        caller.faces.change(caller.principal(), &person)?;
        of_person(caller, &person.id)
    });
    done.await.map(Json)
}

/// Forgets somebody: rows, vectors, photos, the name in events, and the thumbnails of those events.
#[utoipa::path(delete, path = "/api/v1/faces/{person_id}", tag = "faces", operation_id = "forget_person",
    params(("person_id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 204, description = "Nothing is left of them but recordings."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such person."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<NoContent> {
    forget(&caller, id).await.map(|()| NoContent)
}

/// Forgets a person without a trace.
pub(crate) async fn forget(caller: &Caller, id: String) -> ApiResult<()> {
    let done = caller.run(Lane::Change, move |caller| {
        let forgotten = caller.faces.forget(caller.principal(), &id)?;
        remove_thumbnails(caller, &forgotten)
    });
    done.await
}

/// The photo of a face, cut to the face.
#[utoipa::path(get, path = "/api/v1/faces/{person_id}/photos/{face_id}", tag = "faces", operation_id = "person_photo",
    params(("person_id" = String, Path, description = "Id of the person."), ("face_id" = String, Path, description = "Id of the face.")),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "image/jpeg", description = "The photo."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such person, face or photo."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn photo(
    caller: Caller,
    [person, face]: [String; 2],
    (): (),
) -> ApiResult<Content> {
    let read = caller.run(Lane::Read, move |caller| {
        let faces = caller.store.faces_of(caller.principal(), &person)?;
        let found = faces.into_iter().find(|it| it.face.id == face);
        let file = found.and_then(|it| it.face.photo);
        caller
            .faces
            .photo(&file.ok_or_else(|| Error::not_found("there is no such photo"))?)
    });
    Ok(Content {
        content_type: "image/jpeg".to_owned(),
        cache: "private, no-store",
        bytes: read.await?.into(),
    })
}

/// Whom the faces of a picture look like.
#[utoipa::path(post, path = "/api/v1/faces/search", tag = "faces", operation_id = "search_faces",
    request_body(content = FaceQuery, content_type = "application/json"),
    responses(
        (status = 200, body = FaceMatches, description = "Each face, and whom it looks like."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong, or it is no picture."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event or camera."),
        (status = 409, body = super::error::ErrorBody, description = "No model is configured."),
        (status = 503, body = super::error::ErrorBody, description = "The camera sends nothing."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn search(
    caller: Caller,
    []: [String; 0],
    upload: Upload<FaceQuery>,
) -> ApiResult<Json<FaceMatches>> {
    let Upload { fields, file, .. } = &upload;
    let (bytes, _) = picture(
        &caller,
        fields.image.as_deref(),
        file.as_ref(),
        fields.event_id.as_deref(),
        fields.camera_id.as_deref(),
    )
    .await?;
    let found = caller.run(Lane::Change, move |caller| {
        let picture = Picture::decode(&bytes)?;
        let mut faces = Vec::new();
        for seen in caller.faces.look(&picture)?.iter().take(32) {
            let vector = caller.faces.vector(seen)?;
            let near = caller.faces.nearest(&vector, None, 5)?;
            faces.push(MatchedFace {
                bbox: seen.bbox.map(|edge| edge.round() as i64),
                confidence: seen.score,
                matches: near
                    .into_iter()
                    .map(|near| PersonMatch {
                        person_id: near.person.id,
                        name: near.person.name,
                        category: near.person.category,
                        similarity: near.similarity,
                    })
                    .collect(),
            });
        }
        Ok(FaceMatches {
            faces,
            threshold: caller.faces.threshold(),
        })
    });
    let found = found.await?;
    drop(upload);
    Ok(Json(found))
}

/// Faces that came again and have no name, the last seen first.
#[utoipa::path(get, path = "/api/v1/strangers", tag = "faces", operation_id = "list_strangers", params(PageQuery), responses(
    (status = 200, body = List<Stranger>, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn strangers(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<List<Stranger>>> {
    let page = query.request()?;
    let found = caller.run(Lane::Read, move |caller| {
        caller.store.strangers(caller.principal(), page)
    });
    let found = found.await?;
    let items = found.items.into_iter().map(stranger_of).collect();
    Ok(Json(List::new(items, found.total, page)))
}

/// Gives a stranger a name: faces and events become the person's.
#[utoipa::path(post, path = "/api/v1/strangers/{id}/name", tag = "faces", operation_id = "name_stranger", request_body = StrangerName,
    params(("id" = String, Path, description = "Id of the stranger.")),
    responses(
        (status = 200, body = PersonFaces, description = "The person."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such stranger."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn name_stranger(
    caller: Caller,
    [id]: [String; 1],
    Body(named): Body<StrangerName>,
) -> ApiResult<Json<PersonFaces>> {
    crate::faces::check_id(&named.person_id)?;
    let person = person_to_be(
        &caller,
        &named.person_id,
        named.name.as_deref(),
        named.category.as_deref(),
        None,
    )
    .await?;
    let done = caller.run(Lane::Change, move |caller| {
        caller
            .faces
            .name_stranger(caller.principal(), &id, &person)?;
        of_person(caller, &person.id)
    });
    done.await.map(Json)
}

/// Forgets a stranger: rows, vectors, the id in events, and the thumbnails of those events.
#[utoipa::path(delete, path = "/api/v1/strangers/{id}", tag = "faces", operation_id = "forget_stranger",
    params(("id" = String, Path, description = "Id of the stranger.")),
    responses(
        (status = 204, description = "Nothing is left of them but recordings."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such stranger."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn forget_stranger(
    caller: Caller,
    [id]: [String; 1],
    (): (),
) -> ApiResult<NoContent> {
    let done = caller.run(Lane::Change, move |caller| {
        let forgotten = caller.faces.forget_stranger(caller.principal(), &id)?;
        remove_thumbnails(caller, &forgotten)
    });
    done.await.map(|()| NoContent)
}

/// The bytes of the one picture that is named, and where it is from.
async fn picture(
    caller: &Caller,
    image: Option<&str>,
    file: Option<&Vec<u8>>,
    event: Option<&str>,
    camera: Option<&str>,
) -> ApiResult<(Vec<u8>, &'static str)> {
    match (image, file, event, camera) {
        (Some(text), None, None, None) => Ok((ai::Picture::of_text(text)?.into_bytes(), "photo")),
        (None, Some(file), None, None) => {
            Ok((ai::Picture::of_bytes(file.clone())?.into_bytes(), "photo"))
        }
        (None, None, Some(id), None) => {
            let (picture, _) = super::ai::picture_of_event(caller, id.to_owned()).await?;
            Ok((picture.into_bytes(), "event"))
        }
        (None, None, None, Some(name)) => {
            caller.may_know(name)?;
            let camera = name.to_owned();
            let shown = caller.run(Lane::Snapshot, move |caller| {
                caller.cameras.snapshot(&camera, None)
            });
            Ok((shown.await?, "live"))
        }
        _ => Err(ApiError::bad_request(
            "image: give exactly one of image, event_id and camera_id",
        )),
    }
}

/// A person as they shall be: what is not said stays as it was.
async fn person_to_be(
    caller: &Caller,
    id: &str,
    name: Option<&str>,
    category: Option<&str>,
    metadata: Option<&BTreeMap<String, Value>>,
) -> ApiResult<NewPerson> {
    let asked = id.to_owned();
    let before = caller.run(Lane::Read, move |caller| {
        match caller.store.person(caller.principal(), &asked) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(|row| Some(row.person)),
        }
    });
    let before = before.await?;
    let before = before.as_ref();
    Ok(NewPerson {
        id: id.to_owned(),
        name: checked_name(name.or(before.map(|it| it.name.as_str())).unwrap_or(id))?,
        category: checked_category(
            category
                .or(before.map(|it| it.category.as_str()))
                .unwrap_or(UNKNOWN),
        )?,
        metadata: match (metadata, before) {
            (Some(metadata), _) => checked_metadata(metadata)?,
            (None, Some(before)) => before.metadata.clone(),
            (None, None) => "{}".to_owned(),
        },
    })
}

fn of_person(caller: &Caller, id: &str) -> Result<PersonFaces> {
    let person = caller.store.person(caller.principal(), id)?;
    let faces = caller.store.faces_of(caller.principal(), id)?;
    Ok(PersonFaces {
        faces: faces.into_iter().map(|row| face_of(id, row)).collect(),
        person: person_of(person),
    })
}

fn person_of(row: PersonRow) -> KnownPerson {
    KnownPerson {
        metadata: metadata_of(&row.person.metadata),
        person_id: row.person.id,
        name: row.person.name,
        category: row.person.category,
        face_count: row.faces,
        created_at: rfc3339(row.created_us),
        updated_at: rfc3339(row.updated_us),
    }
}

fn face_of(person: &str, row: FaceRow) -> KnownFace {
    let photo_url = row
        .face
        .photo
        .is_some()
        .then(|| format!("/api/v1/faces/{person}/photos/{}", row.face.id));
    KnownFace {
        id: row.face.id,
        source: row.face.source,
        model: row.face.model,
        photo_url,
        created_at: rfc3339(row.created_us),
    }
}

fn stranger_of(row: StrangerRow) -> Stranger {
    Stranger {
        id: row.id,
        camera_id: row.camera,
        sightings: row.sightings,
        first_seen: rfc3339(row.first_us),
        last_seen: rfc3339(row.last_us),
    }
}

fn remove_thumbnails(caller: &Caller, forgotten: &Forgotten) -> Result<()> {
    for event in &forgotten.events {
        super::events::remove_thumbnail(caller, event)?;
    }
    Ok(())
}
