//! Bodies that carry a picture: JSON with the picture as text in it, or a form with the picture as a file.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;

use super::body;
use super::error::{ApiError, ApiResult};
use super::route::Input;

/// Largest body: a picture of 12 MiB in base64, and what is around it.
const MAX_UPLOAD: usize = 17 << 20;
/// How long it may take to arrive.
const UPLOAD_TIME: Duration = Duration::from_secs(30);
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Parts of a form.
const MAX_PARTS: usize = 16;
/// Longest text in a form.
const MAX_TEXT: usize = 16 << 10;
/// Uploads that are held in memory at once.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(4));

/// What was sent: the fields, and the file of a form.
#[derive(Debug)]
pub(super) struct Upload<T> {
    pub(super) fields: T,
    pub(super) file: Option<Vec<u8>>,
    /// Its place in memory, until what was sent has been dealt with.
    _turn: SemaphorePermit<'static>,
}

impl<T: DeserializeOwned + Send + 'static> Input for Upload<T> {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        warp::header::optional::<u64>("content-length")
            .and(warp::header::optional::<String>("content-type"))
            .and(warp::body::stream())
            .then(
                |length: Option<u64>, content_type: Option<String>, body| async move {
                    if length.is_some_and(|length| length > MAX_UPLOAD as u64) {
                        return Err(too_large());
                    }
                    let turn = tokio::time::timeout(TURN, TURNS.acquire()).await;
                    let turn = turn
                        .map_err(|_| {
                            ApiError::busy("too many pictures are sent at once: try again")
                        })?
                        .expect("nobody closes the lanes");
                    let bytes = tokio::time::timeout(UPLOAD_TIME, collect(body)).await;
                    let late = |_| {
                        ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")
                    };
                    let bytes = bytes.map_err(late)??;
                    let content_type = content_type.unwrap_or_default();
                    let (fields, file) = match multer::parse_boundary(&content_type) {
                        Ok(boundary) => form(bytes, boundary).await?,
                        Err(_) => {
                            check_content_type(&content_type)?;
                            (body::parse(&bytes)?, None)
                        }
                    };
                    Ok(Self {
                        fields,
                        file,
                        _turn: turn,
                    })
                },
            )
            .boxed()
    }
}

fn check_content_type(content_type: &str) -> ApiResult<()> {
    body::check_content_type(Some(content_type)).map_err(|_| {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type: use application/json or multipart/form-data",
        )
    })
}

fn too_large() -> ApiError {
    let detail = format!("the body is larger than {MAX_UPLOAD} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

async fn collect(body: impl Stream<Item = Result<impl Buf, warp::Error>>) -> ApiResult<Bytes> {
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part
            .map_err(|error| ApiError::bad_request(format!("the body cannot be read: {error}")))?;
        if bytes.len() + part.remaining() > MAX_UPLOAD {
            return Err(too_large());
        }
        bytes.put(part);
    }
    Ok(bytes.freeze())
}

/// The texts of a form as fields, and the part `image` or `file`.
async fn form<T: DeserializeOwned>(
    bytes: Bytes,
    boundary: String,
) -> ApiResult<(T, Option<Vec<u8>>)> {
    let wrong = |error: multer::Error| ApiError::bad_request(format!("body: {error}"));
    let whole = futures_util::stream::once(std::future::ready(Ok::<_, std::io::Error>(bytes)));
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut texts = serde_json::Map::new();
    let mut file = None;
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(wrong)? {
        count += 1;
        if count > MAX_PARTS {
            let detail = format!("body: has more than {MAX_PARTS} parts");
            return Err(ApiError::bad_request(detail));
        }
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = matches!(name.as_str(), "image" | "file") && part.file_name().is_some();
        let content = part.bytes().await.map_err(wrong)?;
        if is_file {
            if file.replace(content.to_vec()).is_some() {
                return Err(ApiError::bad_request("image: given twice"));
            }
            continue;
        }
        let limit = if name == "image" {
            MAX_UPLOAD
        } else {
            MAX_TEXT
        };
        let text = std::str::from_utf8(&content)
            .ok()
            .filter(|text| text.len() <= limit)
            .ok_or_else(|| {
                ApiError::bad_request(format!("{name}: is no text of at most {limit} bytes"))
            })?;
        if texts.insert(name.clone(), text.into()).is_some() {
            return Err(ApiError::bad_request(format!("{name}: given twice")));
        }
    }
    let fields = serde_json::from_value(texts.into())
        .map_err(|error| ApiError::bad_request(format!("body: {error}")))?;
    Ok((fields, file))
}
