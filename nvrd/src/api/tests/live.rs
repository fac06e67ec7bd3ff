//! What happens over real sockets: sockets and event streams, those who come back, those who are slow, strangers.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::{Request, generate_key};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::World;
use crate::api::routes;
use crate::hub::{KEPT, Topic};

const PATIENCE: Duration = Duration::from_secs(20);

/// The routes at a free port.
async fn serve(world: &World) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = warp::serve(routes(world.context.clone())).incoming(listener);
    tokio::spawn(server.run());
    address
}

fn request(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::get(format!("ws://{address}{path}"))
        .header("Host", address.to_string())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn socket(address: SocketAddr, path: &str) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let opened = tokio_tungstenite::client_async(request(address, path, &[]), stream).await;
    opened.unwrap().0
}

/// Status and body of a socket that is not opened.
async fn refused(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let stream = TcpStream::connect(address).await.unwrap();
    let opened = tokio_tungstenite::client_async(request(address, path, headers), stream).await;
    match opened.map(drop) {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or(b"null");
            (
                response.status().as_u16(),
                serde_json::from_slice(body).unwrap(),
            )
        }
        other => panic!("{path} {headers:?}: {other:?}"),
    }
}

/// The next text that is JSON.
async fn frame(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await;
        match message.expect("a frame comes").unwrap().unwrap() {
            Message::Text(text) if text.starts_with('{') => {
                return serde_json::from_str(&text).unwrap();
            }
            Message::Close(close) => panic!("closed: {close:?}"),
            _ => {}
        }
    }
}

/// Code and reason of the end.
async fn end(mut socket: WebSocketStream<TcpStream>) -> (u16, String) {
    let last = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(close)))) => {
                    return (u16::from(close.code), close.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("it ended without a word: {other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, last).await.expect("it ends")
}

/// An event stream, and a way to read it line by line.
async fn stream(address: SocketAddr, query: &str, headers: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET /api/v1/stream{query} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut stream = BufReader::new(stream);
    let status = line(&mut stream).await;
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    until(&mut stream, ": listening").await;
    stream
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_line(&mut text)).await;
    assert_ne!(
        read.expect("a line comes").unwrap(),
        0,
        "the stream has ended"
    );
    text.trim_end().to_owned()
}

/// Reads up to a line with this beginning, and gives it.
async fn until(stream: &mut BufReader<TcpStream>, wanted: &str) -> String {
    loop {
        let line = line(stream).await;
        if line.starts_with(wanted) {
            return line;
        }
    }
}

async fn data(stream: &mut BufReader<TcpStream>) -> Value {
    let line = until(stream, "data: ").await;
    serde_json::from_str(&line["data: ".len()..]).unwrap()
}

#[tokio::test]
async fn a_socket_tells_what_happens_and_answers() {
    let world = World::new();
    let hub = world.context.hub.clone();
    let address = serve(&world).await;
    for path in ["/ws", "/api/v1/ws"] {
        let mut socket = socket(address, path).await;
        socket.send(Message::text("ping")).await.unwrap();
        let pong = socket.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::text("pong"));
        hub.publish(Topic::EventCreated, "gate", &json!({"n": 1}));
        let got = frame(&mut socket).await;
        assert_eq!(
            (&got["type"], &got["data"]["n"]),
            (&json!("event.created"), &json!(1))
        );

        let wish = json!({"type": "subscribe", "types": ["camera.status"], "cameras": ["gate"]});
        socket.send(Message::text(wish.to_string())).await.unwrap();
        assert_eq!(frame(&mut socket).await["type"], "subscribed");
        hub.publish(Topic::EventCreated, "gate", &json!({"n": 2}));
        hub.publish(Topic::CameraStatus, "yard", &json!({"n": 3}));
        hub.publish(Topic::CameraStatus, "gate", &json!({"n": 4}));
        assert_eq!(frame(&mut socket).await["data"]["n"], 4);

        for (said, detail) in [
            (
                "{\"type\":\"subscribe\",\"types\":[\"cats\"]}",
                "types[0]: \"cats\": use ",
            ),
            (
                "{\"type\":\"subscribe\",\"kinds\":[]}",
                "unknown field `kinds`",
            ),
            ("{\"type\":\"dance\"}", "message: unknown variant"),
            ("hello", "message: "),
        ] {
            socket.send(Message::text(said)).await.unwrap();
            let answer = frame(&mut socket).await;
            let text = answer["data"]["detail"].as_str().unwrap();
            assert!(
                answer["type"] == "error" && text.contains(detail),
                "{answer}"
            );
        }
        drop(socket);
    }
    assert_places_come_back(&world).await;
}

async fn assert_places_come_back(world: &World) {
    let given_back = async {
        while world.context.hub.listeners() > 0 {
            // Whoever went is noticed at the next write.
            world
                .context
                .hub
                .publish(Topic::CameraStatus, "gate", &json!({}));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_back)
        .await
        .expect("places come back");
}

#[tokio::test]
async fn a_stream_goes_on_where_it_ended() {
    let world = World::new();
    let hub = world.context.hub.clone();
    let address = serve(&world).await;
    let mut first = stream(address, "", "").await;
    hub.publish(Topic::EventCreated, "gate", &json!({"n": 1}));
    hub.publish(Topic::NotificationNew, "gate", &json!({"n": 2}));
    let id = until(&mut first, "id: ").await["id: ".len()..].to_owned();
    assert_eq!(until(&mut first, "event: ").await, "event: event.created");
    assert_eq!(data(&mut first).await["data"]["n"], 1);
    drop(first);

    let header = format!("Last-Event-ID: {id}\r\n");
    let mut back = stream(address, "", &header).await;
    assert_eq!(data(&mut back).await["data"]["n"], 2);
    let query = format!("?last_event_id={id}&types=notification.new&cameras=gate");
    let mut back = stream(address, &query, "").await;
    assert_eq!(data(&mut back).await["data"]["n"], 2);
    let mut stranger = stream(address, "", "Last-Event-ID: 1-1\r\n").await;
    assert_eq!(until(&mut stranger, "event: ").await, "event: reset");
    let reset = data(&mut stranger).await;
    assert!(reset["id"].as_str().unwrap().ends_with("-2"), "{reset}");
    hub.stopping().trigger();
    assert_eq!(until(&mut back, "event: ").await, "event: end");
    assert_places_come_back(&world).await;
}

#[tokio::test]
async fn strangers_stay_outside() {
    let world = World::new();
    let address = serve(&world).await;
    let own = format!("http://{address}");
    let check = async |path: &str, headers: &[(&str, &str)], status: u16, says: &str| {
        let (got, body) = refused(address, path, headers).await;
        assert_eq!(got, status, "{path} {headers:?} {body}");
        let detail = body["detail"].as_str().unwrap();
        assert!(
            detail.contains(says) && body["status_code"] == status,
            "{detail}"
        );
    };
    check(
        "/ws",
        &[("Origin", "https://evil.example")],
        403,
        "may not listen here",
    )
    .await;
    check("/ws", &[("Origin", "null")], 403, "may not listen here").await;
    check("/ws?ticket=abc", &[], 401, "ticket: ").await;
    check("/ws?types=cats", &[], 400, "types[0]: ").await;
    check("/ws?cats=1", &[], 400, "unknown parameter `cats`").await;
    let stream = TcpStream::connect(address).await.unwrap();
    let request = request(address, "/ws", &[("Origin", own.as_str())]);
    tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();

    let plain = world.ask("GET", "/ws").await;
    plain.assert_refused(426, "speaks WebSocket");
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    let hostile = warp::test::request()
        .path("/api/v1/stream")
        .header("Origin", "https://evil.example")
        .reply(&routes(world.context.clone()))
        .await;
    assert_eq!(hostile.status(), 403);
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let world = World::new();
    let address = serve(&world).await;
    let answer = world.ask("POST", "/api/v1/events/ws-ticket").await;
    assert_eq!(answer.status, 200);
    let ticket = answer.json();
    assert_eq!(ticket["expires_in"], 30);
    let path = format!("/ws?ticket={}", ticket["ticket"].as_str().unwrap());
    let mut socket = socket(address, &path).await;
    world
        .context
        .hub
        .publish(Topic::EventClosed, "gate", &json!({}));
    assert_eq!(frame(&mut socket).await["type"], "event.closed");
    assert_eq!(refused(address, &path, &[]).await.0, 401);
}

#[tokio::test]
async fn the_end_is_said_and_a_flood_is_ended() {
    let world = World::new();
    let address = serve(&world).await;
    let mut loud = socket(address, "/ws").await;
    let (mut say, hear) = (&mut loud).split();
    for _ in 0..500 {
        if say.send(Message::text("ping")).await.is_err() {
            break;
        }
    }
    drop((say, hear));
    assert_eq!(end(loud).await, (1008, "too many messages".to_owned()));

    let mut large = socket(address, "/ws").await;
    large.send(Message::text("x".repeat(70_000))).await.unwrap();
    let over = tokio::time::timeout(PATIENCE, async {
        while let Some(Ok(message)) = large.next().await {
            if message.is_close() {
                break;
            }
        }
    });
    over.await
        .expect("a message that is too large ends the socket");

    let calm = socket(address, "/ws").await;
    world.context.hub.stopping().trigger();
    assert_eq!(end(calm).await, (1001, "the daemon stops".to_owned()));
    assert_places_come_back(&world).await;
}

/// A client that reads nothing is cut, and the others get every frame.
#[tokio::test]
async fn a_slow_one_is_cut_and_the_rest_unharmed() {
    let world = World::new();
    let hub = world.context.hub.clone();
    let address = serve(&world).await;
    let mut slow = stream(address, "", "Connection: close\r\n").await;
    let silent = socket(address, "/ws").await;
    let mut quick = socket(address, "/ws").await;
    let total = KEPT as u64 * 3;
    let telling = tokio::spawn({
        let hub = hub.clone();
        async move {
            let filling = "x".repeat(2000);
            for n in 0..total {
                hub.publish(Topic::EventCreated, "gate", &json!({"n": n, "x": filling}));
                if n % 64 == 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    });
    for n in 0..total {
        assert_eq!(frame(&mut quick).await["data"]["n"], n);
    }
    telling.await.unwrap();
    // Both took some until the sockets were full, and then fell behind.
    assert_eq!(end(silent).await.0, 1013);
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest))
        .await
        .expect("the stream ends")
        .unwrap();
    assert!(rest.len() < KEPT * 3 * 2000, "{}", rest.len());
    drop(quick);
    assert_places_come_back(&world).await;
}

#[tokio::test]
async fn two_hundred_listeners_hear_every_event_soon() {
    const EACH: usize = 100;
    const EVENTS: usize = 20;
    let world = World::new();
    let hub = world.context.hub.clone();
    let address = serve(&world).await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..EACH {
        let mut socket = socket(address, "/ws").await;
        let first = told.clone();
        tokio::spawn(async move {
            for _ in 0..EVENTS {
                let frame = frame(&mut socket).await;
                first
                    .send((
                        frame["data"]["n"].as_u64().unwrap(),
                        tokio::time::Instant::now(),
                    ))
                    .unwrap();
            }
        });
        let mut stream = stream(address, "", "").await;
        let told = told.clone();
        tokio::spawn(async move {
            for _ in 0..EVENTS {
                let frame = data(&mut stream).await;
                told.send((
                    frame["data"]["n"].as_u64().unwrap(),
                    tokio::time::Instant::now(),
                ))
                .unwrap();
            }
        });
    }
    let mut sent = Vec::new();
    let mut late: Vec<Duration> = Vec::new();
    for n in 0..EVENTS {
        sent.push(tokio::time::Instant::now());
        hub.publish(Topic::EventCreated, "gate", &json!({"n": n}));
        for _ in 0..EACH * 2 {
            let got = tokio::time::timeout(PATIENCE, heard.recv()).await;
            let (n, at) = got.expect("everybody hears it").unwrap();
            late.push(at - sent[n as usize]);
        }
    }
    late.sort();
    let p99 = late[late.len() * 99 / 100];
    // Generous: a debug build beside other tests.
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
}
