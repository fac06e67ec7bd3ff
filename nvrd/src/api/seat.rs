//! Who listens to what happens: let in once, asked again every few seconds, told only what they may know.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::host::Authority;
use warp::http::HeaderMap;
use warp::http::StatusCode;
use warp::http::header::ORIGIN;

use super::access::Caller;
use super::error::{ApiError, ApiResult};
use super::guard;
use super::route::Input;
use crate::hub::{Frame, Listener, Topic};
use crate::net::Peer;

/// How often it is asked whether a listener may still listen.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(4);
/// How long a client may take for what it was sent before it is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Frames that are sent in one go.
pub(super) const AT_ONCE: usize = 32;
/// Cameras that a client may name.
const MOST_CAMERAS: usize = 256;

/// What a request brings that wants to listen.
#[derive(Debug)]
pub(super) struct Door {
    headers: HeaderMap,
    host: Option<Authority>,
    tls: bool,
}

impl Input for Door {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        let host = warp::host::optional().or(warp::any().map(|| None)).unify();
        warp::header::headers_cloned()
            .and(host)
            .and(warp::ext::optional::<Peer>())
            .map(|headers, host, peer: Option<Peer>| {
                Ok(Self {
                    headers,
                    host,
                    tls: peer.is_some_and(|peer| peer.tls),
                })
            })
            .boxed()
    }
}

impl Door {
    /// All headers.
    pub(super) fn into_headers(self) -> HeaderMap {
        self.headers
    }

    /// The value of a header that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Which frames a client wants; those that are allowed, unless it says less.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// Of these topics.
    pub(super) types: Option<Vec<String>>,
    /// Of these cameras.
    pub(super) cameras: Option<Vec<String>>,
}

#[derive(Debug, Default)]
struct Wanted {
    topics: Option<Vec<Topic>>,
    cameras: Option<BTreeSet<String>>,
}

/// Somebody who listens.
#[derive(Debug)]
pub(super) struct Seat {
    caller: Caller,
    wanted: Wanted,
}

impl Wish {
    /// Reads the parameters of a request: words with commas between them.
    pub(super) fn of_query(types: Option<&str>, cameras: Option<&str>) -> Self {
        let list = |text: &str| text.split(',').map(|word| word.trim().to_owned()).collect();
        Self {
            types: types.map(list),
            cameras: cameras.map(list),
        }
    }

    fn wanted(self) -> Result<Wanted, String> {
        let topic = |(index, word): (usize, String)| {
            Topic::of(&word).ok_or_else(|| {
                let known: Vec<&str> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
                format!("types[{index}]: {word:?}: use {}", known.join(", "))
            })
        };
        let topics = self
            .types
            .map(|types| types.into_iter().enumerate().map(topic).collect());
        if self
            .cameras
            .as_ref()
            .is_some_and(|cameras| cameras.len() > MOST_CAMERAS)
        {
            return Err(format!("cameras: more than {MOST_CAMERAS}"));
        }
        Ok(Wanted {
            topics: topics.transpose()?,
            cameras: self.cameras.map(|cameras| cameras.into_iter().collect()),
        })
    }
}

impl Seat {
    /// Lets somebody in by their credentials or by a ticket.
    ///
    /// Pages of other origins are kept out: a browser lets every page open a socket, with this one's cookies.
    pub(super) async fn take(
        caller: &Caller,
        door: Door,
        ticket: Option<&str>,
        wish: Wish,
    ) -> ApiResult<Self> {
        guard::own_page(door.host.as_ref(), door.headers.get(ORIGIN), door.tls)?;
        let headers = match ticket {
            None => door.headers,
            Some(ticket) => {
                let now = caller.clock.monotonic();
                caller.hub.tickets().redeem(ticket, now).ok_or_else(|| {
                    let detail = "ticket: it is unknown, used or too old: ask for another one";
                    ApiError::new(StatusCode::UNAUTHORIZED, detail)
                })?
            }
        };
        let caller = caller.again(&headers).await?;
        let wanted = wish.wanted().map_err(ApiError::bad_request)?;
        Ok(Self { caller, wanted })
    }

    /// Who listens.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Takes a place at the hub.
    pub(super) fn listen(&self, after: Option<&str>) -> ApiResult<Listener> {
        let full = |_| ApiError::busy("too many listen already: try again later");
        self.caller.hub.listen(after).map_err(full)
    }

    /// Takes another wish; the one before stays where the new one is wrong.
    pub(super) fn wish(&mut self, wish: Wish) -> Result<(), String> {
        self.wanted = wish.wanted()?;
        Ok(())
    }

    /// Looks again who it is, which counts as no request of theirs; `false` once they may not listen any more.
    pub(super) fn renew(&mut self) -> bool {
        let now = self.caller.now();
        if let Some(caller) = now {
            self.caller = caller;
            return true;
        }
        false
    }

    /// Whether a frame is for them.
    pub(super) fn wants(&self, frame: &Frame) -> bool {
        let Wanted { topics, cameras } = &self.wanted;
        let wished = frame.topic() == Topic::Reset
            || (topics
                .as_ref()
                .is_none_or(|topics| topics.contains(&frame.topic()))
                && cameras
                    .as_ref()
                    .is_none_or(|names| names.contains(frame.camera())));
        wished && frame.is_for(self.caller.principal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_checked() {
        let wish = Wish::of_query(Some("event.created, camera.status"), Some("a,b"));
        let wanted = wish.wanted().unwrap();
        assert_eq!(
            wanted.topics.unwrap(),
            [Topic::EventCreated, Topic::CameraStatus]
        );
        assert_eq!(wanted.cameras.unwrap().len(), 2);
        let error = Wish::of_query(Some("event.created,reset"), None).wanted();
        let error = error.unwrap_err();
        assert!(
            error.starts_with("types[1]: \"reset\": use event.created,"),
            "{error}"
        );
        let many = "x,".repeat(MOST_CAMERAS);
        assert!(Wish::of_query(None, Some(&many)).wanted().is_err());
    }
}
