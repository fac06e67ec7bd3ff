//! Bodies with a picture: JSON, a form, or the picture itself; larger than elsewhere, and few of them at once.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;

use crate::api::body;
use crate::api::error::{ApiError, ApiResult};
use crate::api::route::Input;

/// Largest body.
const MAX_BODY_BYTES: u64 = 16 << 20;
/// Up to here a body needs no place of its own.
const SMALL_BYTES: u64 = 1 << 20;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Places for large bodies, of which 64 MiB are in memory at most.
static LARGE: Semaphore = Semaphore::const_new(4);

/// A body, as it came.
#[derive(Debug)]
pub(super) struct Intake {
    content: Content,
    /// Held while the body is.
    _room: Option<SemaphorePermit<'static>>,
}

#[derive(Debug)]
enum Content {
    Json(Bytes),
    Form(Form),
    Jpeg(Bytes),
}

/// The fields of a form.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// The picture.
    pub(super) frame: Option<Bytes>,
    /// JSON.
    pub(super) params: Option<Bytes>,
    /// What to do with it.
    pub(super) task: Option<String>,
}

impl Input for Intake {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        warp::header::optional::<u64>("content-length")
            .and(warp::header::optional::<String>("content-type"))
            .and(warp::body::stream())
            .then(|length, kind: Option<String>, body| async move {
                let room = room_for(length)?;
                let read = read(kind.unwrap_or_default(), body);
                let late =
                    |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
                let content = tokio::time::timeout(BODY_TIME, read)
                    .await
                    .map_err(late)??;
                Ok(Self {
                    content,
                    _room: room,
                })
            })
            .boxed()
    }
}

impl Intake {
    /// The body as JSON, or the fields of a form.
    ///
    /// # Errors
    /// When it is a bare picture, or JSON that is wrong, with the field that is.
    pub(super) fn json_or_form<T: DeserializeOwned>(self) -> ApiResult<Result<T, Form>> {
        match self.content {
            // A list would be taken for the fields in their order.
            Content::Json(bytes) if bytes.trim_ascii_start().starts_with(b"[") => {
                Err(ApiError::bad_request("body: use a JSON object"))
            }
            Content::Json(bytes) => body::parse(&bytes).map(Ok),
            Content::Form(form) => Ok(Err(form)),
            Content::Jpeg(_) => Err(unsupported(
                "Content-Type: use application/json or multipart/form-data",
            )),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is something else, or wrong, with the field that is.
    pub(super) fn json<T: DeserializeOwned>(self) -> ApiResult<T> {
        self.json_or_form()?
            .map_err(|_| unsupported("Content-Type: use application/json"))
    }

    /// The body as a picture: bare, or the field `frame` of a form.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn picture(self) -> ApiResult<Bytes> {
        match self.content {
            Content::Jpeg(bytes) if !bytes.is_empty() => Ok(bytes),
            Content::Jpeg(_) => Err(ApiError::bad_request("body: it is empty: send a JPEG")),
            Content::Form(form) => form
                .frame
                .ok_or_else(|| ApiError::bad_request("Missing 'frame' field")),
            Content::Json(_) => Err(unsupported(
                "Content-Type: use image/jpeg, or multipart/form-data with the field frame",
            )),
        }
    }
}

fn unsupported(detail: &str) -> ApiError {
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

fn too_large() -> ApiError {
    let detail = format!("the body is larger than {MAX_BODY_BYTES} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// A place for a body of this length; none is needed for a small one.
fn room_for(length: Option<u64>) -> ApiResult<Option<SemaphorePermit<'static>>> {
    match length {
        None => Err(ApiError::new(
            StatusCode::LENGTH_REQUIRED,
            "Content-Length: send a body, and its length",
        )),
        Some(length) if length > MAX_BODY_BYTES => Err(too_large()),
        Some(length) if length > SMALL_BYTES => LARGE
            .try_acquire()
            .map(Some)
            .map_err(|_| ApiError::busy("too many large pictures at once: try again")),
        Some(_) => Ok(None),
    }
}

async fn read(
    kind: String,
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static,
) -> ApiResult<Content> {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" => collect(body).await.map(Content::Json),
        "image/jpeg" | "image/jpg" => collect(body).await.map(Content::Jpeg),
        "multipart/form-data" => form(&kind, body).await.map(Content::Form),
        // A page of another site may send other types without asking first.
        _ => Err(unsupported(
            "Content-Type: use application/json, multipart/form-data or image/jpeg",
        )),
    }
}

async fn collect(body: impl Stream<Item = Result<impl Buf, warp::Error>>) -> ApiResult<Bytes> {
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| unreadable(&error))?;
        // The declared length has been checked; this holds whatever arrives.
        if (bytes.len() + part.remaining()) as u64 > MAX_BODY_BYTES {
            return Err(too_large());
        }
        bytes.put(part);
    }
    Ok(bytes.freeze())
}

fn unreadable(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("the body cannot be read: {error}"))
}

async fn form(
    kind: &str,
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static,
) -> ApiResult<Form> {
    let boundary = multer::parse_boundary(kind)
        .map_err(|_| ApiError::bad_request("Content-Type: a form needs a boundary"))?;
    let parts = body.map(|part| part.map(|mut part| part.copy_to_bytes(part.remaining())));
    let limit = multer::SizeLimit::new().whole_stream(MAX_BODY_BYTES);
    let limits = multer::Constraints::new()
        .allowed_fields(vec!["frame", "params", "task"])
        .size_limit(limit);
    let mut multipart = multer::Multipart::with_constraints(parts, boundary, limits);
    let mut form = Form::default();
    while let Some(field) = multipart.next_field().await.map_err(|it| wrong(&it))? {
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(|it| wrong(&it))?;
        let twice = match name.as_str() {
            "frame" => form.frame.replace(bytes).is_some(),
            "params" => form.params.replace(bytes).is_some(),
            _ => {
                let text = String::from_utf8(bytes.into())
                    .map_err(|_| ApiError::bad_request("task: it is no text"))?;
                form.task.replace(text).is_some()
            }
        };
        if twice {
            return Err(ApiError::bad_request(format!("{name}: given twice")));
        }
    }
    Ok(form)
}

fn wrong(error: &multer::Error) -> ApiError {
    match error {
        multer::Error::UnknownField { field_name } => ApiError::bad_request(format!(
            "{}: unknown field of the form: use frame, params and task",
            field_name.as_deref().unwrap_or_default()
        )),
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            too_large()
        }
        error => unreadable(error),
    }
}

/// The bytes of a picture in a text: base64, alone or as a data URL.
///
/// # Errors
/// The sentence, without the field's name.
pub(super) fn picture_in_text(text: &str) -> Result<Bytes, &'static str> {
    let encoded = match text.strip_prefix("data:") {
        None => text,
        Some(rest) => match rest.split_once(";base64,") {
            Some(("image/jpeg" | "image/jpg" | "image/png", encoded)) => encoded,
            _ => return Err("use a data URL that begins with data:image/jpeg;base64,"),
        },
    };
    match STANDARD.decode(encoded) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes.into()),
        Ok(_) => Err("it is empty"),
        Err(_) => Err("it is not base64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_in_texts_are_read() {
        let check = |text: &str, expect: Option<&[u8]>| {
            let got = picture_in_text(text).ok();
            assert_eq!(got.as_deref(), expect, "{text}");
        };
        check("aGk=", Some(b"hi"));
        check("data:image/jpeg;base64,aGk=", Some(b"hi"));
        check("data:image/png;base64,aGk=", Some(b"hi"));
        check("data:text/html;base64,aGk=", None);
        check("data:image/jpeg,hi", None);
        check("http://169.254.169.254/", None);
        check("", None);
        check("data:image/jpeg;base64,", None);
    }

    #[test]
    fn large_bodies_are_few() {
        assert!(room_for(None).is_err());
        assert!(room_for(Some(MAX_BODY_BYTES + 1)).is_err());
        assert!(room_for(Some(SMALL_BYTES)).unwrap().is_none());
        let held: Vec<_> = (0..4)
            .map(|_| room_for(Some(SMALL_BYTES + 1)).unwrap())
            .collect();
        assert!(room_for(Some(SMALL_BYTES + 1)).is_err());
        assert!(room_for(Some(5)).unwrap().is_none());
        drop(held);
        assert!(room_for(Some(MAX_BODY_BYTES)).unwrap().is_some());
    }
}
