//! Files over HTTP: conditional requests, single ranges, and a body that is read as fast as it is taken.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use nvr_base::Error;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use warp::filters::BoxedFilter;
use warp::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderValue,
};
use warp::http::{Method, StatusCode};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::error::{ApiError, ApiResult};
use super::reply::IntoReply;
use super::route::Input;

/// Bytes that are read at once: what one request holds in memory.
const CHUNK: u64 = 256 << 10;

/// What the client already has, and which part it wants.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    range: Option<String>,
    if_range: Option<String>,
    if_none_match: Option<String>,
    head: bool,
}

impl Input for Conditions {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        warp::header::optional("range")
            .and(warp::header::optional("if-range"))
            .and(warp::header::optional("if-none-match"))
            .and(warp::method())
            .map(|range, if_range, if_none_match, method| {
                Ok(Self {
                    range,
                    if_range,
                    if_none_match,
                    head: method == Method::HEAD,
                })
            })
            .boxed()
    }
}

impl Conditions {
    /// Whether the client has what this tag, quotes included, names.
    pub(super) fn has(&self, etag: &str) -> bool {
        let known = self.if_none_match.as_deref();
        known.is_some_and(|known| names(known, etag))
    }
}

/// A file, or a part of it, on its way to the client.
#[derive(Debug)]
pub(super) struct Served {
    status: StatusCode,
    etag: HeaderValue,
    length: u64,
    part: Part,
    file: Option<File>,
    disposition: Option<HeaderValue>,
}

/// First byte and number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    start: u64,
    length: u64,
}

/// What a Range header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    Part(Part),
    Nothing,
}

impl Served {
    /// Opens a file that never changes; `tag` names its content.
    pub(super) async fn open(path: &Path, tag: &str, conditions: &Conditions) -> ApiResult<Self> {
        let etag = format!("\"{tag}\"");
        let mut served = Self {
            status: StatusCode::NOT_MODIFIED,
            etag: HeaderValue::from_str(&etag)
                .map_err(|_| Error::data_loss("the file's tag is damaged"))?,
            length: 0,
            part: Part {
                start: 0,
                length: 0,
            },
            file: None,
            disposition: None,
        };
        if conditions.has(&etag) {
            return Ok(served);
        }
        let mut file = File::open(path)
            .await
            .map_err(|error| failure(path, error))?;
        let metadata = file
            .metadata()
            .await
            .map_err(|error| failure(path, error))?;
        served.length = metadata.len();
        // A range is meant for the file that the client knows; of another it gets the whole.
        let same = conditions
            .if_range
            .as_deref()
            .is_none_or(|known| known == etag);
        // The standard gives a range no meaning but for GET.
        let wanted = conditions
            .range
            .as_deref()
            .filter(|_| same && !conditions.head);
        match wanted.map_or(Wanted::Whole, |range| wanted_of(range, served.length)) {
            Wanted::Nothing => return Err(ApiError::range_not_satisfiable(served.length)),
            Wanted::Whole => {
                served.status = StatusCode::OK;
                served.part.length = served.length;
            }
            Wanted::Part(part) => {
                served.status = StatusCode::PARTIAL_CONTENT;
                served.part = part;
                file.seek(io::SeekFrom::Start(part.start))
                    .await
                    .map_err(|error| failure(path, error))?;
            }
        }
        served.file = Some(file).filter(|_| !conditions.head);
        Ok(served)
    }

    /// The same file, to be saved under a name; a name that a header cannot hold leaves it to the client.
    #[must_use]
    pub(super) fn saved_as(mut self, name: &str) -> Self {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let value = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
        self.disposition = value.ok().filter(|_| plain);
        self
    }
}

fn failure(path: &Path, error: io::Error) -> ApiError {
    match error.kind() {
        io::ErrorKind::NotFound => ApiError::not_found("the file has gone"),
        _ => Error::io(path, error).into(),
    }
}

/// Whether an If-None-Match header names a tag; weakness does not matter there.
fn names(header: &str, etag: &str) -> bool {
    header.trim() == "*"
        || header
            .split(',')
            .any(|known| known.trim().trim_start_matches("W/") == etag)
}

/// Reads a Range header; what is not one range of bytes asks for the whole.
fn wanted_of(header: &str, length: u64) -> Wanted {
    let parsed = header
        .trim()
        .strip_prefix("bytes=")
        .filter(|ranges| !ranges.contains(','))
        .and_then(|range| range.trim().split_once('-'));
    let (first, last) = match parsed {
        Some((first, last))
            if is_number(first) && is_number(last) && !(first.is_empty() && last.is_empty()) =>
        {
            (first, last)
        }
        _ => return Wanted::Whole,
    };
    // A number too large for 64 bits is behind every end.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let (start, end) = match (first, last) {
        ("", last) => (length.saturating_sub(number(last)), length),
        (first, "") => (number(first), length),
        (first, last) if number(first) > number(last) => return Wanted::Whole,
        (first, last) => (number(first), number(last).saturating_add(1).min(length)),
    };
    if start < end {
        Wanted::Part(Part {
            start,
            length: end - start,
        })
    } else {
        Wanted::Nothing
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The next `left` bytes of a file.
fn chunks(file: File, left: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
    futures_util::stream::try_unfold((file, left), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let size = left.min(CHUNK);
        let mut chunk = BytesMut::with_capacity(usize::try_from(size).unwrap_or(usize::MAX));
        let read = (&mut file).take(size).read_buf(&mut chunk).await?;
        if read == 0 {
            // Shorter than it was: the connection breaks, so that nobody takes it for whole.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((chunk.freeze(), (file, left - read as u64))))
    })
}

impl IntoReply for Served {
    fn into_reply(self) -> Response {
        let Part { start, length } = self.part;
        let mut response = match self.file {
            Some(file) => warp::reply::stream(chunks(file, length)).into_response(),
            None => Response::new(Bytes::new().into()),
        };
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag);
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=86400, immutable"),
        );
        if self.status == StatusCode::NOT_MODIFIED {
            return response;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
        if let Some(disposition) = self.disposition {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_LENGTH, length.into());
        if self.status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {start}-{}/{}", start + length - 1, self.length);
            headers.insert(
                CONTENT_RANGE,
                HeaderValue::from_str(&range).expect("numbers are plain ASCII"),
            );
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let check =
            |header: &str, expect: Wanted| assert_eq!(wanted_of(header, 100), expect, "{header}");
        let part = |start, length| Wanted::Part(Part { start, length });
        check("bytes=0-9", part(0, 10));
        check("bytes=90-", part(90, 10));
        check("bytes=-10", part(90, 10));
        check("bytes=-1000", part(0, 100));
        check("bytes=50-1000", part(50, 50));
        check("bytes=99-99", part(99, 1));
        check("bytes=0-99999999999999999999999", part(0, 100));
        check("bytes=100-", Wanted::Nothing);
        check("bytes=99999999999999999999999-", Wanted::Nothing);
        check("bytes=-0", Wanted::Nothing);
        for whole in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=9-1",
            "bytes=0-1,5-6",
            "items=0-1",
            "bytes=+1-2",
            "bytes=--5",
        ] {
            check(whole, Wanted::Whole);
        }
        assert_eq!(wanted_of("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted_of("bytes=-5", 0), Wanted::Nothing);
    }

    #[test]
    fn tags_are_found() {
        for header in ["*", "\"a\"", "W/\"a\"", "\"b\", \"a\""] {
            assert!(names(header, "\"a\""), "{header}");
        }
        assert!(!names("\"ab\"", "\"a\""));
        assert!(!names("a", "\"a\""));
    }
}
