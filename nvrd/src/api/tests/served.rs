//! The listener over real sockets: impatience, bounds, and an orderly end.

use std::net::SocketAddr;
use std::time::Duration;

use nvr_base::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::World;
use crate::api::service;
use crate::net::{Limits, Options, bind, serve};

/// No step of these tests takes so long unless it never ends.
const PATIENCE: Duration = Duration::from_secs(10);

struct Listener {
    world: World,
    address: SocketAddr,
    stop: Shutdown,
    task: JoinHandle<()>,
}

async fn listen(limits: Limits) -> Listener {
    let world = World::new();
    let listener = bind("api.listen", ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Shutdown::new();
    let options = Options {
        limits,
        ..Options::default()
    };
    let task = tokio::spawn(serve(
        listener,
        service(world.context.clone()),
        options,
        stop.clone(),
    ));
    Listener {
        world,
        address,
        stop,
        task,
    }
}

/// Sends a request head, or part of it.
async fn begin(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything until the other side closes; a reset is an end too.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text))
        .await
        .expect("the connection ends");
    read.map(drop).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

const GET: &str = "GET /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered_over_a_socket() {
    let listener = listen(Limits::default()).await;
    let text = rest(begin(listener.address, GET).await).await;
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("\"gate\""),
        "{text}"
    );
    let head = GET.replace("GET", "HEAD");
    let text = rest(begin(listener.address, &head).await).await;
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"),
        "{text}"
    );
    assert!(text.contains("content-length: "), "{text}");
    let foreign = GET.replace("localhost", "evil.example");
    let text = rest(begin(listener.address, &foreign).await).await;
    assert!(
        text.starts_with("HTTP/1.1 403 Forbidden\r\n") && text.contains("is not this machine"),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_comes_over_a_socket() {
    let listener = listen(Limits::default()).await;
    let content = "segment ".repeat(100_000);
    let id = listener.world.add_segment(0, content.as_bytes(), None);
    let path = format!("/api/v1/recordings/front/{id}/file.mp4");
    let text = rest(begin(listener.address, &GET.replace("/api/v1/cameras", &path)).await).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-length: 800000") && !head.contains("chunked"),
        "{head}"
    );
    assert!(body == content);
    let head = GET.replace("/api/v1/cameras", &path).replace("GET", "HEAD");
    let text = rest(begin(listener.address, &head).await).await;
    assert!(
        text.contains("content-length: 800000") && text.ends_with("\r\n\r\n"),
        "{text}"
    );
}

#[tokio::test]
async fn whoever_sends_too_slowly_is_left() {
    let header_time = Duration::from_millis(200);
    let listener = listen(Limits {
        header_time,
        idle_time: header_time,
        ..Limits::default()
    })
    .await;
    for text in [
        "",
        "G",
        "PRI * HTTP/2.0\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    ] {
        let stream = begin(listener.address, text).await;
        let start = tokio::time::Instant::now();
        rest(stream).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{text:?}");
    }
    // A connection that is kept open ends the same way.
    let kept = GET.replace("Connection: close\r\n", "");
    assert!(
        rest(begin(listener.address, &kept).await)
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
}

#[tokio::test]
async fn connections_are_bounded_and_the_others_wait() {
    let limits = Limits {
        connections: 1,
        header_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let listener = listen(limits).await;
    let silent = begin(listener.address, "").await;
    // Answered once the silent one has been left.
    let text = rest(begin(listener.address, GET).await).await;
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    rest(silent).await;
}

#[tokio::test]
async fn the_end_is_orderly_and_bounded() {
    let listener = listen(Limits {
        farewell: Duration::from_millis(200),
        ..Limits::default()
    })
    .await;
    // Half a body: this request will never be whole.
    let half = "POST /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let stream = begin(listener.address, half).await;
    // A whole exchange on another connection: by then the first one has been accepted too.
    rest(begin(listener.address, GET).await).await;
    listener.stop.trigger();
    tokio::time::timeout(PATIENCE, listener.task)
        .await
        .expect("the listener ends")
        .unwrap();
    assert_eq!(rest(stream).await, "");
    assert!(TcpStream::connect(listener.address).await.is_err());
    // Nothing of the API holds the daemon's parts any more.
    assert_eq!(std::sync::Arc::strong_count(&listener.world.context), 1);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = bind("api.listen", ([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    let address = first.local_addr().unwrap();
    let error = bind("api.listen", address).await.unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "api.listen: {address} is in use by another program: stop that one, or choose another port"
        )
    );
    let error = bind("api.listen", "192.0.2.1:8000".parse().unwrap())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("api.listen: 192.0.2.1:8000 is no address of this machine"),
        "{error}"
    );
}
