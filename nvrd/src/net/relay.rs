//! TLS in front of a server on this machine that speaks in the clear: the RTSP server, which keeps its own bounds.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use nvr_base::Shutdown;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::guarded::Guarded;
use super::limits::Limits;
use super::place::Place;
use super::serve::{Entrance, accept_each};
use super::tls::Tls;

/// Where a relay leads, and who is told of each client before it comes there.
pub struct Relay<F> {
    /// The server in the clear.
    pub target: SocketAddr,
    /// Told the address that the server will see, and that of the client.
    pub announce: F,
    /// The certificate.
    pub tls: Arc<Tls>,
    /// What clients are granted until they have shaken hands, and how many there may be.
    pub limits: Limits,
}

impl<F> std::fmt::Debug for Relay<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// Relays until the token is set; what is relayed then is cut.
pub async fn relay<F>(listener: TcpListener, relay: Relay<F>, shutdown: Shutdown)
where
    F: Fn(SocketAddr, SocketAddr) + Send + Sync + 'static,
{
    let entrance = Entrance {
        limits: relay.limits,
        in_the_clear: false,
        pulse: None,
    };
    let relay = Arc::new(relay);
    let stop = shutdown.clone();
    let connect = move |stream, client, place| {
        connection(stream, client, place, Arc::clone(&relay), stop.clone())
    };
    accept_each(listener, entrance, shutdown, connect).await;
}

async fn connection<F>(
    stream: TcpStream,
    client: SocketAddr,
    place: Place,
    relay: Arc<Relay<F>>,
    shutdown: Shutdown,
) where
    F: Fn(SocketAddr, SocketAddr) + Send + Sync + 'static,
{
    let place = Arc::new(place);
    let cut = place.cut();
    let relayed = async {
        let io = Guarded::new(stream, Arc::clone(&place), relay.limits.stall_time);
        let mut outside = relay.tls.acceptor().accept(io).await?;
        // From here on the server behind says how long a client may do nothing.
        place.upgraded();
        let mut inside = connect(&relay, client).await?;
        let copied = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        outside.shutdown().await?;
        copied.map(drop)
    };
    let ended = tokio::select! {
        ended = relayed => ended,
        () = cut.wait() => return,
        () = shutdown.wait() => return,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %client, "a relayed connection ended");
    }
}

/// Connects to the server behind, which has been told for whom.
async fn connect<F>(relay: &Relay<F>, client: SocketAddr) -> std::io::Result<TcpStream>
where
    F: Fn(SocketAddr, SocketAddr),
{
    let mut target = relay.target;
    let (socket, here) = match target {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, Ipv6Addr::LOCALHOST.into()),
    };
    if target.ip().is_unspecified() {
        target.set_ip(here);
    }
    // The port has to be known before the server sees it.
    socket.bind(SocketAddr::new(target.ip(), 0))?;
    (relay.announce)(socket.local_addr()?, client);
    socket.connect(target).await
}
