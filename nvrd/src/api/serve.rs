//! The listener: a loop of our own, because warp's sets no time within which a request must arrive.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nvr_base::{Error, Result, Shutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::access::Peer;
use super::context::ApiContext;

/// What the listener grants its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time for the header of a request to arrive, and for the next request of a connection to begin.
    pub header_time: Duration,
    /// Connections at once; more wait in the system's queue.
    pub connections: usize,
    /// Time for requests to be finished when the daemon stops.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_time: Duration::from_secs(10),
            connections: 256,
            farewell: Duration::from_secs(3),
        }
    }
}

/// Listens on an address; port 0 takes a free one.
///
/// # Errors
/// One sentence with the key and the address when it is in use or not ours.
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "is in use by another program: stop that one, or choose another port".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => {
                "is no address of this machine: choose another one".to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "needs privileges: choose a port above 1023".to_owned()
            }
            _ => format!("cannot be listened on: {error}"),
        };
        Error::precondition(format!("api.listen: {address} {why}")).with_source(error)
    })
}

/// Serves the API until the token is set; returns when every connection has ended or been ended.
pub async fn serve(listener: TcpListener, context: Arc<ApiContext>, shutdown: Shutdown) {
    serve_with(listener, context, shutdown, Limits::default()).await;
}

/// Like [`serve`], with limits of one's own.
pub async fn serve_with(
    listener: TcpListener,
    context: Arc<ApiContext>,
    shutdown: Shutdown,
    limits: Limits,
) {
    let routes = TowerToHyperService::new(warp::service(super::routes(context)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    // HTTP/1 only: a connection that may still become HTTP/2 waits for its first bytes without a limit.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(64 << 10);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            // Reaps what has ended, so that the set does not grow.
            Some(ended) = connections.join_next() => {
                log_panic(ended);
                continue;
            }
            () = shutdown.wait() => break,
        };
        let Some((stream, peer, place)) = accepted else {
            continue;
        };
        let routes = routes.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            routes.call(request)
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                // Clients come and go as they like.
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.farewell, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::info!(connections = connections.len(), "connections are cut off");
    }
    // Also waits until every task has let go of the context.
    connections.shutdown().await;
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .expect("nobody closes the places");
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small; without this each waits for the client's acknowledgement.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its delay");
            }
            Some((stream, peer, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            // Out of file descriptors, most likely: trying again at once would only burn time.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a request panicked");
    }
}
