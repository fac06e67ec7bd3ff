//! The WebSocket: what happens, as text frames with one JSON object each.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use utoipa::{IntoParams, ToSchema};
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{HeaderValue, UPGRADE};
use warp::reply::Response;
use warp::ws::{Message, WebSocket, Ws};
use warp::{Filter, Reply};

use super::access::Caller;
use super::error::{ApiError, ApiResult};
use super::query::Query;
use super::reply::Json;
use super::route::Input;
use super::seat::{ASK_AGAIN, AT_ONCE, Door, PATIENCE, Seat, Wish};
use crate::hub::{End, Listener, TICKET_LIFE};
use crate::net::Apart;

/// How often the client is asked whether it is there; in text too, as clients of ArgusAI expect it.
const PING: Duration = Duration::from_secs(30);
/// A client that says nothing for so long, not even to pings, has gone.
const SILENCE: Duration = Duration::from_secs(75);
/// Largest message of a client, bytes.
const MAX_MESSAGE: usize = 64 << 10;
/// Most that waits to be sent to one client, bytes; more than a go of frames takes.
const MAX_WAITING: usize = 4 << 20;
/// Messages that a client may send between two times it is asked who it is.
const MANY: u32 = 200;

/// Reasons why a socket is closed, as RFC 6455 and its registry number them.
mod code {
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TRY_AGAIN_LATER: u16 = 1013;
}

/// How a socket is opened.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SocketQuery {
    /// A ticket, for browsers, whose sockets cannot send a header.
    ticket: Option<String>,
    /// Only frames of these types, with commas between them.
    types: Option<String>,
    /// Only frames of these cameras, with commas between them.
    cameras: Option<String>,
    /// Id of the last frame that was heard: what came after it comes first.
    last_event_id: Option<String>,
}

/// A word that opens one socket or stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SocketTicket {
    /// The word, for the parameter `ticket`.
    ticket: String,
    /// Seconds for which it may be used.
    expires_in: u64,
}

/// What a client may say besides `ping`.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Said {
    /// Which frames it wants from now on.
    Subscribe(Wish),
    /// It is there.
    Ping,
}

/// The half of a request that can become a socket; none where the request does not ask for one.
pub(super) struct Upgrade(Option<Ws>);

impl Input for Upgrade {
    fn extract() -> BoxedFilter<(ApiResult<Self>,)> {
        let asked = warp::ws().map(Some).or(warp::any().map(|| None)).unify();
        asked.map(|ws| Ok(Self(ws))).boxed()
    }
}

/// Opens a WebSocket that tells what happens: `event.created`, `event.updated`, `event.closed`, `camera.status` and
/// `notification.new`, each `{"type", "data", "timestamp", "id"}`.
///
/// It needs a header with credentials, the cookie of a page of ours, or a ticket. The text `ping` is answered with
/// `pong`; the server says `ping` every 30 s. `{"type":"subscribe","types":[…],"cameras":[…]}` narrows what comes.
/// A client that is too slow is closed with 1013, one that may not listen any more with 1008.
#[utoipa::path(get, path = "/ws", tag = "live", operation_id = "socket", params(SocketQuery), responses(
    (status = 101, description = "The socket is open."),
    (status = 401, body = super::error::ErrorBody, description = "Nobody is known by these credentials."),
    (status = 403, body = super::error::ErrorBody, description = "They are not enough, or a page of another origin asks."),
    (status = 426, body = super::error::ErrorBody, description = "The request does not ask for a WebSocket."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn open(
    caller: Caller,
    []: [String; 0],
    (Query(query), (door, upgrade)): (Query<SocketQuery>, (Door, Upgrade)),
) -> ApiResult<Response> {
    let wish = Wish::of_query(query.types.as_deref(), query.cameras.as_deref());
    let seat = Seat::take(&caller, door, query.ticket.as_deref(), wish).await?;
    let Some(ws) = upgrade.0 else {
        let detail = "Upgrade: this path speaks WebSocket: connect with ws:// or wss://";
        let error = ApiError::new(StatusCode::UPGRADE_REQUIRED, detail);
        let header = (UPGRADE, HeaderValue::from_static("websocket"));
        return Err(error.with_headers(vec![header]));
    };
    let listener = seat.listen(query.last_event_id.as_deref())?;
    let reply = ws
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .max_write_buffer_size(MAX_WAITING)
        .on_upgrade(move |socket| talk(Talk::new(seat, listener, socket)));
    let mut response = reply.into_response();
    response.extensions_mut().insert(Apart);
    Ok(response)
}

/// Sells a ticket that opens one socket or stream with the credentials of this request.
#[utoipa::path(post, path = "/api/v1/events/ws-ticket", tag = "live", operation_id = "socket_ticket", responses(
    (status = 200, body = SocketTicket, description = "The ticket."),
    (status = 503, body = super::error::ErrorBody, description = "Too many tickets are open."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn ticket(
    caller: Caller,
    []: [String; 0],
    door: Door,
) -> ApiResult<Json<SocketTicket>> {
    let now = caller.clock.monotonic();
    let ticket = caller.hub.tickets().sell(door.into_headers(), now);
    let ticket = ticket.ok_or_else(|| ApiError::busy("too many tickets are open: try again"))?;
    Ok(Json(SocketTicket {
        ticket,
        expires_in: TICKET_LIFE.as_secs(),
    }))
}

/// A socket that is open.
struct Talk {
    seat: Seat,
    listener: Listener,
    sink: SplitSink<WebSocket, Message>,
    source: SplitStream<WebSocket>,
    heard: Instant,
    /// Messages since it was last asked who it is.
    messages: u32,
}

/// How a talk ends: with words, or without any because nobody would hear them.
enum Over {
    Close(u16, &'static str),
    Gone,
}

impl From<warp::Error> for Over {
    fn from(error: warp::Error) -> Self {
        tracing::debug!(%error, "a socket ended");
        Self::Gone
    }
}

/// Until one of both ends it.
async fn talk(mut talk: Talk) {
    let mut ping = every(PING);
    let mut ask = every(ASK_AGAIN);
    let over = loop {
        let step = tokio::select! {
            frame = talk.listener.next() => match frame {
                Ok(frame) => talk.tell(frame).await,
                Err(end) => Err(why(end)),
            },
            message = talk.source.next() => match message {
                Some(Ok(message)) => talk.hear(&message).await,
                Some(Err(error)) => Err(error.into()),
                None => Err(Over::Gone),
            },
            _ = ping.tick() => talk.ping().await,
            _ = ask.tick() => talk.ask().await,
        };
        if let Err(over) = step {
            break over;
        }
    };
    if let Over::Close(code, reason) = over {
        talk.close(code, reason).await;
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn why(end: End) -> Over {
    match end {
        End::Slow => Over::Close(code::TRY_AGAIN_LATER, "too slow: frames are missing"),
        End::Stopping => Over::Close(code::GOING_AWAY, "the daemon stops"),
    }
}

impl Talk {
    fn new(seat: Seat, listener: Listener, socket: WebSocket) -> Self {
        let (sink, source) = socket.split();
        Self {
            seat,
            listener,
            sink,
            source,
            heard: Instant::now(),
            messages: 0,
        }
    }

    /// Sends a frame and those that are there behind it.
    async fn tell(&mut self, first: std::sync::Arc<crate::hub::Frame>) -> Result<(), Over> {
        let mut next = Some(first);
        let mut sent = 0;
        while let Some(frame) = next {
            if self.seat.wants(&frame) {
                self.sink.feed(Message::text(frame.json())).await?;
                sent += 1;
            }
            next = match sent < AT_ONCE {
                true => self.listener.ready().map_err(why)?,
                false => None,
            };
        }
        match sent {
            0 => Ok(()),
            _ => self.flush().await,
        }
    }

    async fn say(&mut self, message: Message) -> Result<(), Over> {
        self.sink.feed(message).await?;
        self.flush().await
    }

    /// Waits until the client has taken everything, but not for ever.
    async fn flush(&mut self) -> Result<(), Over> {
        let stopping = self.seat.caller().hub.stopping().clone();
        tokio::select! {
            done = tokio::time::timeout(PATIENCE, self.sink.flush()) => match done {
                Ok(done) => Ok(done?),
                Err(_) => {
                    tracing::info!(peer = ?self.seat.caller().peer(), "a listener takes nothing and is cut");
                    Err(Over::Gone)
                }
            },
            () = stopping.wait() => Err(why(End::Stopping)),
        }
    }

    async fn hear(&mut self, message: &Message) -> Result<(), Over> {
        self.heard = Instant::now();
        self.messages += 1;
        if self.messages > MANY {
            return Err(Over::Close(code::POLICY, "too many messages"));
        }
        if message.is_close() {
            // The answer is sent by the library.
            return Err(Over::Gone);
        }
        let Ok(text) = message.to_str() else {
            return Ok(());
        };
        if text == "ping" {
            return self.say(Message::text("pong")).await;
        }
        if text == "pong" {
            return Ok(());
        }
        let answer = match serde_json::from_str(text) {
            Ok(Said::Ping) => serde_json::json!({"type": "pong"}),
            Ok(Said::Subscribe(wish)) => match self.seat.wish(wish.clone()) {
                Ok(()) => serde_json::json!({
                    "type": "subscribed", "types": wish.types, "cameras": wish.cameras,
                }),
                Err(detail) => error(&detail),
            },
            Err(problem) => error(&format!("message: {problem}")),
        };
        self.say(Message::text(answer.to_string())).await
    }

    async fn ping(&mut self) -> Result<(), Over> {
        if self.heard.elapsed() > SILENCE {
            return Err(Over::Gone);
        }
        self.sink.feed(Message::text("ping")).await?;
        self.say(Message::ping("")).await
    }

    async fn ask(&mut self) -> Result<(), Over> {
        self.messages = 0;
        match self.seat.renew() {
            true => Ok(()),
            false => Err(Over::Close(code::POLICY, "you may not listen any more")),
        }
    }

    async fn close(mut self, code: u16, reason: &'static str) {
        let goodbye = async {
            self.sink.send(Message::close_with(code, reason)).await?;
            // The other side's goodbye, so that it hears ours before the socket goes.
            while let Some(Ok(message)) = self.source.next().await {
                if message.is_close() {
                    break;
                }
            }
            Ok::<(), warp::Error>(())
        };
        if !matches!(
            tokio::time::timeout(Duration::from_secs(1), goodbye).await,
            Ok(Ok(()))
        ) {
            tracing::debug!(code, reason, "a listener did not hear why it is closed");
        }
    }
}

fn error(detail: &str) -> serde_json::Value {
    serde_json::json!({"type": "error", "data": {"detail": detail}})
}
