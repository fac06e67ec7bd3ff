//! `/metrics`: the figures of this moment for Prometheus and whatever reads its format.

mod gather;

use bytes::Bytes;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::access::Caller;
use super::context::Lane;
use super::error::ApiResult;
use super::reply::Content;
use super::route::Input;
use crate::metrics::Format;

/// The header `Accept`; one that is no text counts as none.
#[derive(Debug)]
pub(super) struct Accept(Option<String>);

impl Input for Accept {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        warp::header::headers_cloned()
            .map(|headers: warp::http::HeaderMap| {
                let accept = headers.get(warp::http::header::ACCEPT);
                let accept = accept.and_then(|value| value.to_str().ok());
                Ok(Self(accept.map(str::to_owned)))
            })
            .boxed()
    }
}

/// The figures of this moment in Prometheus' text format, or as `OpenMetrics` where `Accept` asks for it.
///
/// It needs the role admin, or an API key with the scope `read:cameras`; cameras that the asker may not know of are
/// left out.
#[utoipa::path(get, path = "/metrics", tag = "system", operation_id = "metrics", responses(
    (status = 200, body = String, content_type = "text/plain", description = "The figures."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn get(
    caller: Caller,
    []: [String; 0],
    Accept(accept): Accept,
) -> ApiResult<Content> {
    let format = Format::of(accept.as_deref());
    let text = caller.run(Lane::Read, move |caller| {
        gather::figures(caller)?.write(format)
    });
    Ok(Content {
        content_type: format.content_type().to_owned(),
        cache: "no-store",
        bytes: Bytes::from(text.await?),
    })
}
