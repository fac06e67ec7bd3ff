//! What a log-in takes from the headers of its request.

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;

use super::error::ApiResult;
use super::route::Input;
use crate::net::Peer;

/// What a client says about itself, and how it came.
#[derive(Debug, Clone)]
pub(super) struct ClientHeaders {
    /// `User-Agent`.
    pub(super) agent: Option<String>,
    /// Whether it came by TLS, so that its cookie never travels otherwise.
    pub(super) secure: bool,
}

impl Input for ClientHeaders {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        warp::header::headers_cloned()
            .and(warp::ext::optional::<Peer>())
            .map(|headers: HeaderMap, peer: Option<Peer>| {
                let agent = headers.get("user-agent");
                let agent = agent.and_then(|agent| agent.to_str().ok());
                Ok(Self {
                    agent: agent.map(str::to_owned),
                    secure: peer.is_some_and(|peer| peer.tls),
                })
            })
            .boxed()
    }
}
