//! Who a handler works for: the context of the API together with the principal that asks.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use nvr_base::{Error, Principal, Result};
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::context::{ApiContext, Lane};
use super::error::{ApiError, ApiResult};
use crate::auth::{Asked, Identified, Need, Refused};

/// The context of the API, for somebody.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    context: Arc<ApiContext>,
    identified: Arc<Identified>,
    peer: Option<SocketAddr>,
    /// The host by which the client reached us, if it said so.
    host: Option<Arc<str>>,
}

impl Deref for Caller {
    type Target = ApiContext;

    fn deref(&self) -> &ApiContext {
        &self.context
    }
}

impl Caller {
    /// Who asks.
    pub(crate) fn principal(&self) -> &Principal {
        &self.identified.principal
    }

    /// The connection that the request came by; unknown in tests that have none.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Who asks, in which session and from where.
    pub(crate) fn identified(&self) -> &Identified {
        &self.identified
    }

    /// Where the request comes from, behind trusted proxies; unknown in tests that have no connection.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.identified.address
    }

    /// Host and port by which the client reaches the RTSP server.
    pub(crate) fn rtsp_authority(&self) -> String {
        let address = self.cameras.rtsp_address();
        match &self.host {
            // Every address of this machine: the one that the client knows already.
            Some(host) if address.ip().is_unspecified() => format!("{host}:{}", address.port()),
            _ => address.to_string(),
        }
    }

    /// Runs blocking work in a lane, off the threads that serve requests.
    ///
    /// A client that goes does not stop the work, and the work keeps its place in the lane.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> ApiResult<T> {
        let this = self.clone();
        self.context.block(lane, move || work(&this)).await
    }

    /// The same, for whoever sent these headers: a ticket stands for those of an earlier request.
    ///
    /// # Errors
    /// When they may neither see events nor cameras.
    pub(super) async fn again(&self, headers: &HeaderMap) -> ApiResult<Self> {
        let ask = |need| admit(&self.context, need, &Method::GET, headers, self.peer, None);
        let admitted = match ask(Need::SeeEvents).await {
            Err(error) if error.status() == StatusCode::FORBIDDEN => ask(Need::SeeCameras).await,
            other => other,
        };
        admitted.map(|admitted| admitted.caller)
    }

    /// The same caller as they are by now, who has listened for a while; `None` once they may neither see events nor
    /// cameras, or are nobody any more.
    pub(super) fn now(&self) -> Option<Self> {
        let principal = self.context.auth.still(&self.identified)?;
        let sees = [Need::SeeEvents, Need::SeeCameras];
        if !sees.iter().any(|need| need.allows(&principal)) {
            return None;
        }
        let identified = Identified {
            principal,
            session: self.identified.session.clone(),
            address: self.identified.address,
            headers: Vec::new(),
        };
        Some(Self {
            identified: Arc::new(identified),
            ..self.clone()
        })
    }

    /// For a camera that a body or a parameter names.
    ///
    /// # Errors
    /// `NotFound`, in the words of a camera that does not exist, where the principal may not know of it.
    pub(crate) fn may_know(&self, camera: &str) -> Result<()> {
        match self.principal().sees(camera) {
            true => Ok(()),
            false => Err(no_camera(camera)),
        }
    }
}

/// That there is no such camera; the very words also for one that the asker may not know of.
pub(crate) fn no_camera(name: &str) -> Error {
    Error::not_found(format!("no camera is called {name:?}"))
}

/// What a request may go on with.
pub(super) struct Admitted {
    pub(super) caller: Caller,
    /// What the answer carries beside its own.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Lets a request in, or says why not; `camera` is the one that its path names.
pub(super) async fn admit(
    context: &Arc<ApiContext>,
    need: Need,
    method: &Method,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    camera: Option<&str>,
) -> ApiResult<Admitted> {
    let asked = Asked {
        method,
        headers,
        peer,
        need,
    };
    let identified = context.identify(&asked).await?;
    let caller = Caller {
        context: Arc::clone(context),
        identified: Arc::new(identified),
        peer,
        host: host_of(headers),
    };
    let headers = caller.identified.headers.clone();
    if let Some(camera) = camera {
        let known = caller.may_know(camera);
        known.map_err(|error| ApiError::from(error).with_headers(headers.clone()))?;
    }
    Ok(Admitted { caller, headers })
}

fn host_of(headers: &HeaderMap) -> Option<Arc<str>> {
    let host = headers.get(warp::http::header::HOST)?.to_str().ok()?;
    let authority: warp::http::uri::Authority = host.parse().ok()?;
    Some(authority.host().into())
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::FORBIDDEN);
        Self::new(status, refused.detail).with_headers(refused.headers)
    }
}
