//! RTSP cameras: connects, delivers, and connects again, on the shared network thread.

use std::sync::Arc;
use std::time::Duration;

use nvr_contract::source::LossReason;
use retina::client::SessionGroup;
use url::Url;

use super::Options;
use super::rtsp_broken::Broken;
use super::rtsp_delivery::Delivery;
use super::rtsp_open::open;
use crate::backoff::Backoff;
use crate::packet::{Item, Loss};
use crate::queue::Queue;

/// How long a camera may take to say goodbye before it is asked again.
const FAREWELL: Duration = Duration::from_secs(1);
/// A connection that brought pictures for this long was a good one.
const HEALTHY: Duration = Duration::from_secs(5);

/// How pictures travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP first, and the other one after a failure that the transport may be to blame for.
    Auto,
    /// Inside the RTSP connection.
    Tcp,
    /// In datagrams.
    Udp,
    /// Inside HTTP.
    Http,
}

/// How one connection went.
struct Attempt {
    broken: Broken,
    /// Pictures that were delivered.
    pictures: u64,
    /// From the first picture to the end.
    lasted: Duration,
}

/// Delivers a camera until the queue is closed.
pub async fn run(url: Url, options: Options, queue: Arc<Queue>) {
    let mut backoff = Backoff::new(options.seed, options.waits);
    let mut udp = options.transport == Transport::Udp;
    while !queue.is_closed() {
        let auto = options.transport == Transport::Auto;
        let mut attempt = connection(&url, &options, udp, auto, &queue).await;
        if auto && attempt.pictures == 0 && attempt.broken.by_transport {
            let other = connection(&url, &options, !udp, true, &queue).await;
            if other.pictures > 0 {
                // What works is remembered: the next connection begins with it.
                udp = !udp;
                attempt = other;
            }
        }
        if attempt.lasted >= HEALTHY {
            backoff.succeeded();
        } else if attempt.pictures > 0 {
            backoff.flapped();
        }
        let wait = match attempt.broken.reason {
            LossReason::Unauthorized => backoff.refused(),
            _ => backoff.failed(),
        };
        let loss = Loss {
            reason: attempt.broken.reason,
            detail: attempt.broken.sentence(&url),
            attempts: backoff.attempts(),
        };
        if queue.tell(Item::Lost(loss)).is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

/// One connection from its beginning to its goodbye.
async fn connection(
    url: &Url,
    options: &Options,
    udp: bool,
    has_choice: bool,
    queue: &Queue,
) -> Attempt {
    let group = Arc::new(SessionGroup::default());
    options.wakes.hurry(udp);
    let mut delivery = Delivery::new(options, has_choice, queue);
    let result = match open(url, options, udp, &group).await {
        Ok(session) => delivery.run(session).await.map_err(|broken| {
            // It plays, and nothing arrives: what carries the packets does not.
            match delivery.heard {
                true => broken,
                false => broken.blaming_transport(),
            }
        }),
        Err(broken) => Err(broken),
    };
    options.wakes.hurry(false);
    // Cameras that serve few sessions must have forgotten this one first; a dead one never answers.
    drop(tokio::time::timeout(FAREWELL, group.await_teardown()).await);
    Attempt {
        broken: result
            .err()
            .unwrap_or_else(|| Broken::new(LossReason::Ended, "the camera ended the stream")),
        pictures: delivery.pictures,
        lasted: delivery
            .first
            .map_or(Duration::ZERO, |first| first.elapsed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::Waits;
    use crate::net::Wakes;

    #[test]
    fn a_refused_connection_is_unreachable() {
        let (send, receive) = std::sync::mpsc::channel();
        crate::net::handle().unwrap().spawn(async move {
            // The port is free again when the listener is dropped.
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .unwrap()
                .port();
            let options = Options {
                credentials: None,
                transport: Transport::Auto,
                timeout: Duration::from_secs(5),
                seed: 1,
                waits: Waits::default(),
                wakes: Arc::new(Wakes::new(Duration::ZERO)),
                second: false,
                rtspsrc: false,
                tls: super::super::Tls::default(),
                hung: Arc::default(),
            };
            let url = Url::parse(&format!("rtsp://127.0.0.1:{port}/x")).unwrap();
            let group = Arc::new(SessionGroup::default());
            let broken = open(&url, &options, false, &group).await.err().unwrap();
            send.send(broken.reason).unwrap();
        });
        assert_eq!(receive.recv().unwrap(), LossReason::Unreachable);
    }
}
