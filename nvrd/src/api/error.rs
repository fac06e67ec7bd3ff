//! How failures become HTTP: one status for each kind, and one shape for all of them.

use std::convert::Infallible;

use nvr_base::{Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;
use warp::http::header::{ALLOW, CONTENT_RANGE, HeaderName, HeaderValue, RETRY_AFTER};
use warp::reject::{InvalidHeader, LengthRequired, PayloadTooLarge, Rejection};
use warp::reply::Response;

use super::body::MAX_BODY_BYTES;
use super::reply::{IntoReply, json};

/// What every failure looks like.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody {
    /// One sentence for people: what is wrong, and with which field.
    detail: String,
    /// The HTTP status again.
    status_code: u16,
}

/// A failure on its way to the client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    status: StatusCode,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A request that was turned away before its body was read.
#[derive(Debug)]
pub(super) struct Turned(pub(super) ApiError);

impl warp::reject::Reject for Turned {}

/// What handlers return.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A failure with a status of its own.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// The request is wrong; the sentence begins with the name of the field.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the client has to change something.
    pub(crate) fn is_clients(&self) -> bool {
        self.status.is_client_error()
    }

    /// The same failure of something inside a field.
    #[must_use]
    pub(crate) fn within(mut self, field: &str) -> Self {
        self.detail = format!("{field}: {}", self.detail);
        self
    }

    /// There is no such thing.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The path exists, but not for this method.
    pub(super) fn method_not_allowed(method: &warp::http::Method, allow: &str) -> Self {
        let detail = format!("{method} is not possible here: use {allow}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail).with(ALLOW, allow)
    }

    /// The range begins behind the end of the file.
    pub(super) fn range_not_satisfiable(length: u64) -> Self {
        let detail = format!("Range: the file has {length} bytes");
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, detail)
            .with(CONTENT_RANGE, &format!("bytes */{length}"))
    }

    /// Too much is going on.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, "2")
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).ok();
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The same failure with these headers.
    pub(crate) fn with_headers(mut self, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        self.headers.extend(headers);
        self
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = status_of(error.kind());
        if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a request failed");
        }
        let answer = Self::new(status, error.message());
        match status {
            StatusCode::SERVICE_UNAVAILABLE => answer.with(RETRY_AFTER, "2"),
            _ => answer,
        }
    }
}

/// The one place where kinds become statuses.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
        // The request would be right in another state of things.
        ErrorKind::AlreadyExists | ErrorKind::FailedPrecondition => StatusCode::CONFLICT,
        ErrorKind::ResourceExhausted => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::DataLoss | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoReply for ApiError {
    fn into_reply(self) -> Response {
        let body = ErrorBody {
            detail: self.detail,
            status_code: self.status.as_u16(),
        };
        let mut response = json(self.status, &body);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// What the filters themselves refuse, in the shape of everything else.
pub(super) async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let error = if let Some(Turned(error)) = rejection.find() {
        error.clone()
    } else if rejection.find::<PayloadTooLarge>().is_some() {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {MAX_BODY_BYTES} bytes"),
        )
    } else if rejection.find::<LengthRequired>().is_some() {
        ApiError::new(
            StatusCode::LENGTH_REQUIRED,
            "Content-Length: send a body, and its length",
        )
    } else if let Some(header) = rejection.find::<InvalidHeader>() {
        ApiError::bad_request(format!("{}: the header cannot be read", header.name()))
    } else if rejection.is_not_found() {
        ApiError::not_found("there is nothing at this path")
    } else {
        tracing::error!(error = ?rejection, "a request was refused for a reason nobody thought of");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request could not be handled",
        )
    };
    Ok(error.into_reply())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status() {
        let check = |error: Error, status: u16| {
            assert_eq!(ApiError::from(error).status.as_u16(), status);
        };
        check(Error::not_found("x"), 404);
        check(Error::invalid("x"), 400);
        check(Error::already_exists("x"), 409);
        check(Error::precondition("x"), 409);
        check(Error::exhausted("x"), 507);
        check(Error::unavailable("x"), 503);
        check(Error::data_loss("x"), 500);
        check(Error::internal("x"), 500);
    }
}
