//! The loop that accepts connections, and what is done with each of them.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{HeaderValue, STRICT_TRANSPORT_SECURITY};
use hyper::rt::Executor;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nvr_base::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::counted::Counted;
use super::guarded::Guarded;
use super::limits::Limits;
use super::place::{Place, Places};
use super::tls::Tls;
use super::{Apart, Peer, refuse};
use crate::pulse::Pulse;

/// Bytes of a header, and of what is read ahead.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Refusals on their way at once; further connections are closed without a word.
const MAX_REFUSALS: usize = 32;
/// Time for whoever took over a connection to let go of it once it is cut.
const LET_GO: Duration = Duration::from_secs(1);

/// How a listener serves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What it grants its clients.
    pub limits: Limits,
    /// The certificate, where it encrypts.
    pub tls: Option<Arc<Tls>>,
    /// Says that the loop goes on.
    pub pulse: Option<Arc<Pulse>>,
}

impl Options {
    /// The same, with a pulse.
    #[must_use]
    pub fn with_pulse(mut self, pulse: Pulse) -> Self {
        self.pulse = Some(Arc::new(pulse));
        self
    }
}

/// What every connection of a listener shares.
struct Shared<S> {
    service: S,
    options: Options,
    shutdown: Shutdown,
}

/// Serves until the token is set; returns when every connection has ended or been ended.
pub async fn serve<S, B>(listener: TcpListener, service: S, options: Options, shutdown: Shutdown)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let limits = options.limits;
    let shared = Arc::new(Shared {
        service,
        options,
        shutdown: shutdown.clone(),
    });
    let entrance = Entrance {
        limits,
        in_the_clear: shared.options.tls.is_none(),
        pulse: shared.options.pulse.clone(),
    };
    let connect = move |stream, peer, place| connection(stream, peer, place, Arc::clone(&shared));
    accept_each(listener, entrance, shutdown, connect).await;
}

/// How connections are let in.
pub(super) struct Entrance {
    pub(super) limits: Limits,
    /// Whether one that cannot have a place is told so in HTTP, because that is what is spoken.
    pub(super) in_the_clear: bool,
    /// Says that the loop goes on.
    pub(super) pulse: Option<Arc<Pulse>>,
}

/// Gives each connection a place and a task, until the token is set; then ends them.
pub(super) async fn accept_each<C, F>(
    listener: TcpListener,
    entrance: Entrance,
    shutdown: Shutdown,
    connect: C,
) where
    C: Fn(TcpStream, SocketAddr, Place) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let limits = entrance.limits;
    let places = Places::new(limits);
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let mut sweep = tokio::time::interval(limits.sweep_every());
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            // Reaps what has ended, so that the set does not grow.
            Some(ended) = connections.join_next() => {
                log_panic(ended);
                continue;
            }
            _ = sweep.tick() => {
                places.sweep(Instant::now());
                if let Some(pulse) = &entrance.pulse {
                    pulse.tick();
                }
                continue;
            }
            () = shutdown.wait() => break,
        };
        match places.admit(peer) {
            Ok(place) => {
                connections.spawn(connect(stream, peer, place));
            }
            Err(_) => {
                if let (true, Ok(turn)) = (
                    entrance.in_the_clear,
                    Arc::clone(&refusals).try_acquire_owned(),
                ) {
                    connections.spawn(async move {
                        refuse::answer(stream, refuse::TOO_MANY).await;
                        drop(turn);
                    });
                }
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.farewell, places.empty())
        .await
        .is_err()
    {
        tracing::info!(connections = places.count(), "connections are cut off");
        places.cut_all();
    }
    // Also waits until every task has let go of the service.
    connections.shutdown().await;
    drop(connect);
    if tokio::time::timeout(LET_GO, places.empty()).await.is_err() {
        tracing::warn!(
            connections = places.count(),
            "connections that were taken over are not let go of"
        );
    }
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Places) -> (TcpStream, SocketAddr) {
    loop {
        places.room().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small; without this each waits for the client's acknowledgement.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection keeps its delay");
                }
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                // Out of file descriptors, most likely: trying again at once would only burn time.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request panicked");
    }
}

/// One connection from its first byte to its last.
async fn connection<S, B>(
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
    shared: Arc<Shared<S>>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let place = Arc::new(place);
    let cut = place.cut();
    let stall_time = shared.options.limits.stall_time;
    let peer = Peer {
        address,
        tls: shared.options.tls.is_some(),
    };
    let Some(tls) = shared.options.tls.clone() else {
        let io = Guarded::new(stream, Arc::clone(&place), stall_time);
        place.greeted(false);
        return drive(io, false, peer, place, shared).await;
    };
    let greeting = async {
        let mut first = [0];
        let peeked = stream.peek(&mut first).await;
        // No TLS record begins with a letter, and every method of HTTP does.
        if peeked.is_ok_and(|bytes| bytes == 1) && first[0].is_ascii_uppercase() {
            refuse::answer(stream, refuse::NOT_TLS).await;
            return None;
        }
        let io = Guarded::new(stream, Arc::clone(&place), stall_time);
        match tls.acceptor().accept(io).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::debug!(%error, %address, "a TLS handshake failed");
                None
            }
        }
    };
    let greeted = tokio::select! {
        greeted = greeting => greeted,
        () = cut.wait() => None,
        () = shared.shutdown.wait() => None,
    };
    if let Some(stream) = greeted {
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        place.greeted(h2);
        drive(stream, h2, peer, place, shared).await;
    }
}

/// Answers the requests of a connection.
async fn drive<IO, S, B>(io: IO, h2: bool, peer: Peer, place: Arc<Place>, shared: Arc<Shared<S>>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let streams = Streams::default();
    let builder = protocol(h2, streams.clone(), &shared.options.limits);
    let _streams = EndOf(streams);
    let cut = place.cut();
    let shutdown = shared.shutdown.clone();
    // The place goes with the socket: an upgraded connection keeps it, and this task does not.
    let weak = Arc::downgrade(&place);
    drop(place);
    let promise = shared
        .options
        .tls
        .as_ref()
        .is_some_and(|tls| tls.is_configured());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(shared.shutdown.clone());
        let ticket = weak.upgrade().map(|place| place.begin());
        let answer = shared.service.call(request);
        async move {
            let mut response = answer.await?;
            // Only a certificate that somebody chose is one that browsers may insist on.
            if promise {
                response.headers_mut().insert(
                    STRICT_TRANSPORT_SECURITY,
                    HeaderValue::from_static("max-age=31536000"),
                );
            }
            let ticket = ticket.expect("a request comes over a socket, which has its place");
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                ticket.place().upgraded();
            }
            if response.extensions().get::<Apart>().is_some() {
                ticket.apart();
            }
            Ok::<_, Infallible>(response.map(|body| Counted::new(body, ticket)))
        }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let mut told = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = cut.wait() => return,
            () = shutdown.wait(), if !told => {
                connection.as_mut().graceful_shutdown();
                told = true;
            }
        }
    };
    if let Err(error) = ended {
        // Clients come and go as they like.
        tracing::debug!(%error, "a connection ended");
    }
}

/// The rules of HTTP/1 or HTTP/2; which one is known before, so that nobody waits for a first byte to tell.
fn protocol(h2: bool, streams: Streams, limits: &Limits) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        // The sweep is more exact; this holds if it ever fails.
        .header_read_timeout(limits.header_time + limits.idle_time)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .max_send_buf_size(256 << 10)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    match h2 {
        true => builder.http2_only(),
        false => builder.http1_only(),
    }
}

/// Runs the requests of one HTTP/2 connection.
#[derive(Debug, Clone, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

/// Ends the requests of a connection with it.
struct EndOf(Streams);

impl Drop for EndOf {
    fn drop(&mut self) {
        if let Ok(mut streams) = self.0.0.lock() {
            streams.abort_all();
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut streams = self.0.lock().expect("no holder of this lock panics");
        while let Some(ended) = streams.try_join_next() {
            log_panic(ended);
        }
        streams.spawn(stream);
    }
}
