//! The machinery behind the table of routes: templates of paths, typed inputs, and what is refused before both.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::host::Authority;
use warp::http::header::{ALLOW, CONTENT_LENGTH, HeaderName, HeaderValue, ORIGIN};
use warp::http::{HeaderMap, Method, StatusCode};
use warp::path::FullPath;
use warp::reply::Response;

use super::access::{Admitted, Caller, admit};
use super::audit;
use super::context::ApiContext;
use super::error::{ApiError, ApiResult, Turned, recover};
use super::guard;
use super::reply::IntoReply;
use crate::auth::Need;
use crate::net::Peer;

/// Something that a handler takes from the request besides the path.
pub(crate) trait Input: Sized + Send + 'static {
    /// The filter that reads it; it rejects only what no handler could say better.
    fn extract() -> BoxedFilter<(ApiResult<Self>,)>;
}

impl Input for () {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        warp::any().map(|| Ok(())).boxed()
    }
}

impl<A: Input, B: Input> Input for (A, B) {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        A::extract()
            .and(B::extract())
            .map(|first: ApiResult<A>, second: ApiResult<B>| Ok((first?, second?)))
            .boxed()
    }
}

/// Method, template and need of a route.
pub(crate) type Row = (Method, &'static str, Need);

/// The routes, each with its method, its template, what it needs and its handler.
pub(crate) struct Table {
    context: Arc<ApiContext>,
    rows: Vec<Row>,
    aliases: Vec<&'static str>,
    routes: Vec<BoxedFilter<(Response,)>>,
}

impl Table {
    /// A table without a route.
    pub(crate) fn new(context: Arc<ApiContext>) -> Self {
        Self {
            context,
            rows: Vec::new(),
            aliases: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Adds a route; `N` is the number of `{…}` in its template. GET answers HEAD too.
    #[must_use]
    pub(crate) fn on<const N: usize, I, F, T, R>(
        mut self,
        method: Method,
        template: &'static str,
        need: Need,
        handler: F,
    ) -> Self
    where
        I: Input,
        F: Fn(Caller, [String; N], I) -> T + Clone + Send + Sync + 'static,
        T: Future<Output = ApiResult<R>> + Send + 'static,
        R: IntoReply + 'static,
    {
        let context = Arc::clone(&self.context);
        let wanted = method.clone();
        let here =
            warp::method()
                .and(warp::path::full())
                .and_then(move |got: Method, path: FullPath| {
                    let found = serves(&wanted, &got)
                        .then(|| arguments(template, path.as_str()))
                        .flatten();
                    std::future::ready(found.ok_or_else(warp::reject::not_found))
                });
        // Before the body is read: who may not ask sends it in vain.
        let admitted = here
            .and(warp::method())
            .and(warp::header::headers_cloned())
            .and(warp::ext::optional::<Peer>())
            .and_then(
                move |names: [String; N],
                      method: Method,
                      headers: HeaderMap,
                      peer: Option<Peer>| {
                    let context = Arc::clone(&context);
                    async move {
                        let camera = camera_at(template).map(|at| names[at].as_str());
                        let peer = peer.map(|peer| peer.address);
                        match admit(&context, need, &method, &headers, peer, camera).await {
                            Ok(admitted) => Ok((names, admitted)),
                            Err(error) => Err(warp::reject::custom(Turned(error))),
                        }
                    }
                },
            )
            .untuple_one();
        let changes = (!method.is_safe()).then(|| method.clone());
        let route = admitted.and(I::extract()).then(
            move |names: [String; N], admitted: Admitted, input: ApiResult<I>| {
                let handler = handler.clone();
                let record = changes.clone().map(|method| {
                    audit::Record::new(method, template, &names, admitted.caller.clone())
                });
                async move {
                    let done = match input {
                        Ok(input) => handler(admitted.caller, names, input).await,
                        Err(error) => Err(error),
                    };
                    let mut response =
                        done.map_or_else(IntoReply::into_reply, IntoReply::into_reply);
                    response.headers_mut().extend(admitted.headers);
                    if let Some(record) = record {
                        record.write(&mut response).await;
                    }
                    response
                }
            },
        );
        self.rows.push((method, template, need));
        self.routes.push(route.boxed());
        self
    }

    /// Adds another path to what a route of the table answers; the document does not have it.
    #[must_use]
    pub(super) fn alias<const N: usize, I, F, T, R>(
        mut self,
        method: Method,
        template: &'static str,
        need: Need,
        handler: F,
    ) -> Self
    where
        I: Input,
        F: Fn(Caller, [String; N], I) -> T + Clone + Send + Sync + 'static,
        T: Future<Output = ApiResult<R>> + Send + 'static,
        R: IntoReply + 'static,
    {
        self.aliases.push(template);
        self.on(method, template, need, handler)
    }

    /// The paths that the document does not have.
    #[cfg(test)]
    pub(super) fn aliases(&self) -> &[&'static str] {
        &self.aliases
    }

    /// What each route is.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Everything as one filter that always answers.
    pub(crate) fn into_filter(
        self,
    ) -> impl Filter<Extract = (Response,), Error = std::convert::Infallible>
    + Clone
    + Send
    + Sync
    + 'static {
        let refused = refusals(Arc::clone(&self.context), self.rows.into());
        let (clock, http) = (
            Arc::clone(&self.context.clock),
            Arc::clone(&self.context.http),
        );
        let begun = {
            let clock = Arc::clone(&clock);
            warp::any().map(move || clock.monotonic())
        };
        let all = self
            .routes
            .into_iter()
            .fold(refused, |all, route| all.or(route).unify().boxed());
        begun
            .and(warp::method())
            .and(all.recover(recover).unify())
            .map(move |begun, method: Method, response: Response| {
                let took = clock.monotonic().saturating_sub(begun);
                http.count(&method, response.status(), took);
                finish(&method, response)
            })
    }
}

fn serves(wanted: &Method, got: &Method) -> bool {
    wanted == got || (wanted == Method::GET && got == Method::HEAD)
}

/// Answers what no route may see: hosts and origins of others, unknown paths, methods a path does not have, OPTIONS.
///
/// To be rejected here means to go on to the routes, so nothing but its last step may reject.
fn refusals(context: Arc<ApiContext>, rows: Arc<[Row]>) -> BoxedFilter<(Response,)> {
    let readable = warp::host::optional().map(Some);
    let host = readable.or(warp::any().map(|| None)).unify();
    warp::method()
        .and(warp::path::full())
        .and(host)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<Peer>())
        .and_then(
            move |method: Method,
                  path: FullPath,
                  host: Option<Option<Authority>>,
                  headers: HeaderMap,
                  peer: Option<Peer>| {
                let refused = match guard::check(
                    &method,
                    host.as_ref(),
                    headers.get(ORIGIN),
                    context.is_open(),
                    peer.is_some_and(|peer| peer.tls),
                ) {
                    Err(error) => Some(error.into_reply()),
                    Ok(()) => match guard::check_encoding(&headers) {
                        Err(error) => Some(error.into_reply()),
                        Ok(()) => known(&rows, &method, path.as_str()),
                    },
                };
                std::future::ready(refused.ok_or_else(warp::reject::not_found))
            },
        )
        .boxed()
}

/// The answer for a path or method that is not in the table, and for OPTIONS.
fn known(rows: &[Row], method: &Method, path: &str) -> Option<Response> {
    let here: Vec<&Row> = rows
        .iter()
        .filter(|(_, template, _)| fits(template, path))
        .collect();
    if here.is_empty() {
        return Some(ApiError::not_found("there is nothing at this path").into_reply());
    }
    if here.iter().any(|(wanted, _, _)| serves(wanted, method)) {
        return None;
    }
    // A path that stands in the table as it is tells of itself alone, not of what could be in its place.
    let exact = here.iter().any(|(_, template, _)| !template.contains('{'));
    let mut allow: Vec<&str> = here
        .iter()
        .filter(|(_, template, _)| !exact || !template.contains('{'))
        .map(|(method, _, _)| method.as_str())
        .collect();
    if allow.contains(&"GET") {
        allow.push("HEAD");
    }
    let allow = allow.join(", ");
    if method != Method::OPTIONS {
        return Some(ApiError::method_not_allowed(method, &allow).into_reply());
    }
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(
        ALLOW,
        HeaderValue::from_str(&allow).expect("methods are plain ASCII"),
    );
    Some(response)
}

/// What every response carries: browsers take it for what it says it is, and show it in no page of others.
const HEADERS: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    // The pages of the documentation style themselves inline.
    (
        "content-security-policy",
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    ),
];

fn finish(method: &Method, mut response: Response) -> Response {
    for (name, value) in HEADERS {
        // A page may have a reason of its own for another value.
        response
            .headers_mut()
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
    if method == Method::HEAD {
        let length = hyper::body::Body::size_hint(response.body()).exact();
        *response.body_mut() = Bytes::new().into();
        if let (Some(length), false) = (length, response.headers().contains_key(CONTENT_LENGTH)) {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
    }
    response
}

/// The texts at the places `{…}` of a template, if the path fits it and has `N` of them.
fn arguments<const N: usize>(template: &str, path: &str) -> Option<[String; N]> {
    let mut found = Vec::with_capacity(N);
    let mut parts = path.strip_suffix('/').unwrap_or(path).split('/');
    for wanted in template.split('/') {
        let part = parts.next()?;
        if wanted.starts_with('{') {
            let text = percent_encoding::percent_decode_str(part)
                .decode_utf8()
                .ok()?;
            found.push(Some(text.into_owned()).filter(|text| !text.is_empty())?);
        } else if part != wanted {
            return None;
        }
    }
    if parts.next().is_some() {
        return None;
    }
    found.try_into().ok()
}

/// Which place of a template names a camera.
fn camera_at(template: &str) -> Option<usize> {
    template
        .split('/')
        .filter(|part| part.starts_with('{'))
        .position(|part| part == "{camera}")
}

fn fits(template: &str, path: &str) -> bool {
    match template.matches('{').count() {
        0 => arguments::<0>(template, path).is_some(),
        1 => arguments::<1>(template, path).is_some(),
        _ => arguments::<2>(template, path).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_their_paths_apart() {
        let check = |path: &str, expect: Option<[&str; 2]>| {
            let got = arguments::<2>("/a/{x}/b/{y}", path);
            assert_eq!(got, expect.map(|texts| texts.map(str::to_owned)), "{path}");
        };
        check("/a/1/b/2", Some(["1", "2"]));
        check("/a/1/b/2/", Some(["1", "2"]));
        check("/a/%C3%A4/b/%2e%2e%2f", Some(["ä", "../"]));
        check("/a//b/2", None);
        check("/a/1/b", None);
        check("/a/1/b/2/3", None);
        check("/a/1/c/2", None);
        check("/a/%ff/b/2", None);
        assert_eq!(arguments::<1>("/a/{x}/b/{y}", "/a/1/b/2"), None);
        assert_eq!(arguments::<0>("/a", "/a/"), Some([]));
    }
}
