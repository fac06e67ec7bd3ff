//! JSON bodies: bounded in size and time, of the right content type, and with errors that name the field.

use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;

use super::error::{ApiError, ApiResult};
use super::route::Input;

/// Largest body.
pub(super) const MAX_BODY_BYTES: u64 = 1 << 20;
/// Largest form: names and passwords.
const MAX_FORM_BYTES: u64 = 16 << 10;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A JSON body that is an object.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

/// A JSON body that may also be a list.
#[derive(Debug)]
pub(super) struct AnyBody<T>(pub(super) T);

impl<T: DeserializeOwned + Send + 'static> Input for Body<T> {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        whole()
            .map(|bytes: ApiResult<BytesMut>| parse_object(&bytes?).map(Self))
            .boxed()
    }
}

impl<T: DeserializeOwned + Send + 'static> Input for AnyBody<T> {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        whole()
            .map(|bytes: ApiResult<BytesMut>| parse(&bytes?).map(Self))
            .boxed()
    }
}

/// The bytes of a body that says it is JSON.
fn whole() -> BoxedFilter<(ApiResult<BytesMut>,)> {
    warp::body::content_length_limit(MAX_BODY_BYTES)
        .and(warp::header::optional::<String>("content-type"))
        .and(warp::body::stream())
        .then(|content_type: Option<String>, body| async move {
            check_content_type(content_type.as_deref())?;
            let bytes = tokio::time::timeout(BODY_TIME, collect(body)).await;
            let late =
                |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
            bytes.map_err(late)?
        })
        .boxed()
}

/// Fields in order are not taken for an object, though serde would.
fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    match bytes.trim_ascii_start().first() {
        Some(b'[') => Err(ApiError::bad_request(
            "body: a list, where an object belongs",
        )),
        _ => parse(bytes),
    }
}

impl<T: DeserializeOwned + Send + 'static> Input for Option<Body<T>> {
    /// A request without a body gives `None`, whatever its header says of it.
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        warp::header::optional::<String>("content-type")
            .and(warp::body::stream())
            .then(|content_type: Option<String>, body| async move {
                let bytes = tokio::time::timeout(BODY_TIME, collect(body)).await;
                let late =
                    |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
                let bytes = bytes.map_err(late)??;
                if bytes.is_empty() {
                    return Ok(None);
                }
                check_content_type(content_type.as_deref())?;
                parse_object(&bytes).map(|body| Some(Body(body)))
            })
            .boxed()
    }
}

/// A JSON body, or a form as browsers and `OAuth2` clients send it.
#[derive(Debug)]
pub(super) struct FormOrJson<T>(pub(super) T);

impl<T: DeserializeOwned + Send + 'static> Input for FormOrJson<T> {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        warp::body::content_length_limit(MAX_FORM_BYTES)
            .and(warp::header::optional::<String>("content-type"))
            .and(warp::body::stream())
            .then(|content_type: Option<String>, body| async move {
                let form = essence(content_type.as_deref())
                    .eq_ignore_ascii_case("application/x-www-form-urlencoded");
                if !form {
                    check_content_type(content_type.as_deref())?;
                }
                let bytes = tokio::time::timeout(BODY_TIME, collect(body)).await;
                let late =
                    |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
                let bytes = bytes.map_err(late)??;
                match form {
                    true => parse_form(&bytes),
                    false => parse(&bytes),
                }
                .map(FormOrJson)
            })
            .boxed()
    }
}

fn parse_form<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    let mut fields = serde_json::Map::new();
    for (name, value) in url::form_urlencoded::parse(bytes) {
        if fields.contains_key(name.as_ref()) {
            return Err(ApiError::bad_request(format!("{name}: given twice")));
        }
        fields.insert(name.into_owned(), value.into_owned().into());
    }
    serde_json::from_value(fields.into())
        .map_err(|error| ApiError::bad_request(format!("body: {error}")))
}

/// A password or a token in a body.
#[derive(Debug, Clone)]
pub(super) struct Hidden(pub(super) nvr_base::Secret);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(nvr_base::Secret::new(text)))
    }
}

fn essence(content_type: Option<&str>) -> &str {
    let first = content_type.unwrap_or_default().split(';').next();
    first.unwrap_or_default().trim()
}

pub(super) fn check_content_type(content_type: Option<&str>) -> ApiResult<()> {
    if essence(content_type).eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        // A page of another site may send other types without asking first.
        Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type: use application/json",
        ))
    }
}

async fn collect(body: impl Stream<Item = Result<impl Buf, warp::Error>>) -> ApiResult<BytesMut> {
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part
            .map_err(|error| ApiError::bad_request(format!("the body cannot be read: {error}")))?;
        // The declared length has been checked; this holds whatever arrives.
        if (bytes.len() + part.remaining()) as u64 > MAX_BODY_BYTES {
            let detail = format!("the body is larger than {MAX_BODY_BYTES} bytes");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        bytes.put(part);
    }
    Ok(bytes)
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            // The whole body, or a place the message names itself.
            "." | "?" => ApiError::bad_request(format!("body: {}", error.inner())),
            path => ApiError::bad_request(format!("{path}: {}", error.inner())),
        }
    })?;
    json.end()
        .map_err(|error| ApiError::bad_request(format!("body: {error}")))?;
    Ok(value)
}

/// Tells a field that is `null` from one that is absent, with `#[serde(default)]` beside it.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its errors matter")]
    struct Sample {
        name: String,
        numbers: Vec<u8>,
    }

    #[test]
    fn errors_name_the_field() {
        let check = |text: &str, expect: &str| {
            let error = format!("{:?}", parse::<Sample>(text.as_bytes()).unwrap_err());
            assert!(error.contains(expect), "{text} -> {error}");
        };
        check(r#"{"name": 5}"#, "name: invalid type: integer `5`");
        check(
            r#"{"name": "a", "numbers": [1, 300]}"#,
            "numbers[1]: invalid value: integer `300`",
        );
        check(r#"{"name": "a"}"#, "missing field `numbers`");
        check(r#"{"nmae": "a"}"#, "unknown field `nmae`");
        check(r#"{"name": "a", "name": "b"}"#, "duplicate field `name`");
        check(r#"{"name": "a", "numbers": []} x"#, "trailing characters");
        check("", "EOF");
        check("[", "body: ");
        assert!(parse::<Sample>(br#"{"name": "a", "numbers": []}"#).is_ok());
    }

    #[test]
    fn a_list_is_no_object() {
        assert!(
            parse::<Sample>(br#"["a", []]"#).is_ok(),
            "serde would take it"
        );
        let error = parse_object::<Sample>(br#" ["a", []]"#).unwrap_err();
        assert!(format!("{error:?}").contains("body: a list"));
        assert!(parse_object::<Sample>(br#" {"name": "a", "numbers": []}"#).is_ok());
    }

    #[test]
    fn only_json_is_json() {
        assert!(check_content_type(Some("application/json")).is_ok());
        assert!(check_content_type(Some("Application/JSON; charset=utf-8")).is_ok());
        assert!(check_content_type(Some("text/plain")).is_err());
        assert!(check_content_type(None).is_err());
    }
}
