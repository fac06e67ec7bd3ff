//! The event stream (`text/event-stream`): what happens, for whatever can read a response line by line.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use utoipa::IntoParams;
use warp::Reply;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use warp::reply::Response;

use super::access::Caller;
use super::error::ApiResult;
use super::query::Query;
use super::seat::{ASK_AGAIN, AT_ONCE, Door, PATIENCE, Seat, Wish};
use crate::hub::{End, Frame, Listener};
use crate::net::Apart;

/// A line that says nothing, so that nobody in between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client waits before it comes back, milliseconds.
const RETRY_MS: u32 = 3000;
/// Pieces that wait for the client, each at most a go of frames.
const WAITING: usize = 2;

/// How a stream is opened.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// A ticket, for whoever cannot send a header.
    ticket: Option<String>,
    /// Only frames of these types, with commas between them.
    types: Option<String>,
    /// Only frames of these cameras, with commas between them.
    cameras: Option<String>,
    /// As the header `Last-Event-ID`, which goes before it.
    last_event_id: Option<String>,
}

/// What happens, as server-sent events: `event.created`, `event.updated`, `event.closed`, `camera.status` and
/// `notification.new`; the data of each is the object that the WebSocket sends.
///
/// With `Last-Event-ID` what came after that one comes first; where that is not kept any more, an event `reset` does.
#[utoipa::path(get, path = "/api/v1/stream", tag = "live", operation_id = "stream",
    params(StreamQuery, ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that was heard.")),
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "The stream, which goes on until one side ends it."),
        (status = 401, body = super::error::ErrorBody, description = "Nobody is known by these credentials."),
        (status = 403, body = super::error::ErrorBody, description = "They are not enough, or a page of another origin asks."),
        (status = 503, body = super::error::ErrorBody, description = "Too many listen already."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn open(
    caller: Caller,
    []: [String; 0],
    (Query(query), door): (Query<StreamQuery>, Door),
) -> ApiResult<Response> {
    let wish = Wish::of_query(query.types.as_deref(), query.cameras.as_deref());
    let after = door.text("last-event-id").map(str::to_owned);
    let seat = Seat::take(&caller, door, query.ticket.as_deref(), wish).await?;
    let listener = seat.listen(after.or(query.last_event_id).as_deref())?;
    let (sender, pieces) = mpsc::channel(WAITING);
    tokio::spawn(tell(seat, listener, sender));
    let body = futures_util::stream::unfold(pieces, |mut pieces| async move {
        let piece: Bytes = pieces.recv().await?;
        Some((Ok::<_, Infallible>(piece), pieces))
    });
    let mut response = warp::reply::stream(body).into_response();
    response.extensions_mut().insert(Apart);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that collects an answer before it hands it on would collect this one for ever.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// Until one of both ends it.
async fn tell(mut seat: Seat, mut listener: Listener, pieces: mpsc::Sender<Bytes>) {
    let mut alive = tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    let mut ask = tokio::time::interval_at(Instant::now() + ASK_AGAIN, ASK_AGAIN);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut piece = Ok(Bytes::from(format!("retry: {RETRY_MS}\n: listening\n\n")));
    loop {
        match piece {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => {
                let sent = pieces.send_timeout(bytes, PATIENCE).await;
                if sent.is_err() {
                    tracing::debug!(peer = ?seat.caller().peer(), "a listener went, or takes nothing");
                    return;
                }
                alive.reset();
            }
            Err(reason) => {
                // Whoever took nothing will not take this either.
                drop(pieces.try_send(Bytes::from(last(reason))));
                return;
            }
        }
        piece = tokio::select! {
            frame = listener.next() => match frame {
                Ok(frame) => go(&seat, &mut listener, frame).map_err(why),
                Err(end) => Err(why(end)),
            },
            _ = alive.tick() => Ok(Bytes::from_static(b": alive\n\n")),
            _ = ask.tick() => match seat.renew() {
                true => Ok(Bytes::new()),
                false => Err("you may not listen any more"),
            },
            () = pieces.closed() => return,
        };
    }
}

/// A frame and those that are there behind it, as one piece.
fn go(seat: &Seat, listener: &mut Listener, first: Arc<Frame>) -> Result<Bytes, End> {
    let mut next = Some(first);
    let mut wanted: Vec<Arc<Frame>> = Vec::new();
    while let Some(frame) = next {
        if seat.wants(&frame) {
            wanted.push(frame);
        }
        next = match wanted.len() < AT_ONCE {
            true => listener.ready()?,
            false => None,
        };
    }
    // One frame is shared by all who listen.
    if let [frame] = wanted.as_slice() {
        return Ok(frame.sse().clone());
    }
    let length = wanted.iter().map(|frame| frame.sse().len()).sum();
    let mut piece = BytesMut::with_capacity(length);
    for frame in &wanted {
        piece.extend_from_slice(frame.sse());
    }
    Ok(piece.freeze())
}

fn why(end: End) -> &'static str {
    match end {
        End::Slow => "too slow: events are missing",
        End::Stopping => "the daemon stops",
    }
}

fn last(reason: &str) -> String {
    format!(
        "event: end\ndata: {}\n\n",
        serde_json::json!({"reason": reason})
    )
}
