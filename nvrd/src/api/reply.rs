//! What handlers return, and how it becomes a response.

use bytes::Bytes;
use serde::Serialize;
use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE};
use warp::reply::Response;

/// Something that can be sent.
pub(crate) trait IntoReply {
    /// The response.
    fn into_reply(self) -> Response;
}

/// Bytes that are no text.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it stands for bodies that are never held whole")]
pub(crate) struct Binary(Bytes);

/// 200 with a JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// 201 with a JSON body and where the new thing is.
#[derive(Debug)]
pub(crate) struct Created<T> {
    /// Its path.
    pub(crate) location: String,
    /// The thing.
    pub(crate) body: T,
}

/// 202 with a JSON body and where the thing is that will be done.
#[derive(Debug)]
pub(super) struct Accepted<T> {
    /// Its path.
    pub(crate) location: String,
    /// The thing.
    pub(crate) body: T,
}

/// 204.
#[derive(Debug)]
pub(crate) struct NoContent;

/// 200 with bytes of some type.
#[derive(Debug)]
pub(crate) struct Content {
    /// Content-Type.
    pub(crate) content_type: String,
    /// Cache-Control.
    pub(crate) cache: &'static str,
    /// The body.
    pub(crate) bytes: Bytes,
}

/// Another path has it.
#[derive(Debug)]
pub(crate) struct Redirect(pub(super) &'static str);

/// A response with a JSON body; what changes by the second is not to be kept.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).expect("texts, finite numbers and lists always serialise");
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl IntoReply for Response {
    fn into_reply(self) -> Response {
        self
    }
}

impl<T: Serialize> IntoReply for Json<T> {
    fn into_reply(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize> IntoReply for Created<T> {
    fn into_reply(self) -> Response {
        let mut response = json(StatusCode::CREATED, &self.body);
        let location = HeaderValue::from_str(&self.location);
        response.headers_mut().insert(
            LOCATION,
            location.expect("names of cameras are plain ASCII"),
        );
        response
    }
}

impl<T: Serialize> IntoReply for Accepted<T> {
    fn into_reply(self) -> Response {
        let mut response = json(StatusCode::ACCEPTED, &self.body);
        let location = HeaderValue::from_str(&self.location);
        response
            .headers_mut()
            .insert(LOCATION, location.expect("ids are plain ASCII"));
        response
    }
}

impl IntoReply for NoContent {
    fn into_reply(self) -> Response {
        let mut response = Response::new(Bytes::new().into());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }
}

impl IntoReply for Content {
    fn into_reply(self) -> Response {
        let mut response = Response::new(self.bytes.into());
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_str(&self.content_type);
        headers.insert(
            CONTENT_TYPE,
            content_type.expect("content types are plain ASCII"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache));
        response
    }
}

impl IntoReply for Redirect {
    fn into_reply(self) -> Response {
        let mut response = Response::new(Bytes::new().into());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response
            .headers_mut()
            .insert(LOCATION, HeaderValue::from_static(self.0));
        response
    }
}

/// What the audit log shall say of a change, beside what it says of every one.
#[derive(Debug, Clone, Default)]
pub(super) struct Remark {
    /// One sentence for people.
    pub(super) detail: Option<String>,
    /// Whether the log has its line already, or this was no change.
    pub(super) done: bool,
}

/// A reply with a remark for the audit log.
#[derive(Debug)]
pub(super) struct Remarked<R>(pub(super) R, pub(super) Remark);

impl<R> Remarked<R> {
    /// With a sentence for the audit log.
    pub(super) fn with(reply: R, detail: impl Into<String>) -> Self {
        let detail = Some(detail.into());
        Self(
            reply,
            Remark {
                detail,
                done: false,
            },
        )
    }

    /// Without a line in the audit log, which has one already.
    pub(super) fn done(reply: R) -> Self {
        Self(
            reply,
            Remark {
                detail: None,
                done: true,
            },
        )
    }
}

impl<R: IntoReply> IntoReply for Remarked<R> {
    fn into_reply(self) -> Response {
        let mut response = self.0.into_reply();
        response.extensions_mut().insert(self.1);
        response
    }
}

/// A reply that sets a cookie, or takes it away.
#[derive(Debug)]
pub(super) struct WithCookie<R>(pub(super) R, pub(super) nvr_base::Secret);

impl<R: IntoReply> IntoReply for WithCookie<R> {
    fn into_reply(self) -> Response {
        let mut response = self.0.into_reply();
        let mut cookie = HeaderValue::from_str(self.1.expose())
            .expect("cookies are made of letters and digits here");
        cookie.set_sensitive(true);
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
    }
}
