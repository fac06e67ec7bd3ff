//! The words in which somebody is turned away; clients match on some of them.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use nvr_base::{Error, ErrorKind};

/// Somebody who may not.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// 400, 401, 403, 404, 409, 429, 500, 503 or 507.
    pub status: u16,
    /// One sentence for people.
    pub detail: String,
    /// What the answer carries beside it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refused {
    fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// Credentials are missing or do not count.
    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        let bearer = HeaderValue::from_static("Bearer");
        Self::new(401, detail).with(WWW_AUTHENTICATE, bearer)
    }

    /// Nothing was shown.
    pub(super) fn not_authenticated() -> Self {
        Self::unknown("Not authenticated")
    }

    /// An API key that does not count.
    pub(super) fn bad_key() -> Self {
        let key = HeaderValue::from_static("ApiKey");
        Self::new(401, "Invalid or expired API key").with(WWW_AUTHENTICATE, key)
    }

    /// Known, but not allowed to.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, detail)
    }

    /// Nobody can log in before the first user was made.
    pub(super) fn no_user_yet() -> Self {
        let header = HeaderName::from_static("x-setup-required");
        Self::forbidden(
            "there is no user yet: open the set-up link that the recorder printed at its start",
        )
        .with(header, HeaderValue::from_static("true"))
    }

    /// A code of the second factor is missing or wrong.
    pub(super) fn second_factor(detail: &str) -> Self {
        let header = HeaderName::from_static("x-mfa-required");
        Self::unknown(detail).with(header, HeaderValue::from_static("true"))
    }

    /// Too many attempts.
    pub(super) fn too_many(wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        let detail = format!("Too many attempts to log in. Retry after {seconds} seconds.");
        Self::new(429, detail).with(RETRY_AFTER, seconds.into())
    }

    /// Too much is going on.
    pub(super) fn busy(detail: &str) -> Self {
        Self::new(503, detail).with(RETRY_AFTER, HeaderValue::from_static("2"))
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn with_all(mut self, headers: &[(HeaderName, HeaderValue)]) -> Self {
        self.headers.extend_from_slice(headers);
        self
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidArgument => Self::new(400, error.message()),
            ErrorKind::NotFound => Self::new(404, error.message()),
            ErrorKind::AlreadyExists | ErrorKind::FailedPrecondition => {
                Self::new(409, error.message())
            }
            ErrorKind::ResourceExhausted => Self::new(507, error.message()),
            ErrorKind::Unavailable => Self::busy(error.message()),
            ErrorKind::DataLoss | ErrorKind::Internal => {
                tracing::error!(%error, "who asks cannot be found out");
                Self::new(500, error.message())
            }
        }
    }
}
