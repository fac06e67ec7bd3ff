//! Listeners over real sockets: what they bound, encrypt, and end.

mod bounds;
mod encrypted;
mod taken_over;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use nvr_base::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Limits, Options, Peer, bind, serve};

/// No step of these tests takes so long unless it never ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// A body of so many pieces of 64 KiB, each of which is ready at once; or one that says nothing until the end.
enum Pieces {
    Left(usize),
    Silent(Shutdown),
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Left(0) => Poll::Ready(None),
            Self::Left(left) => {
                *left -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 64 << 10])))))
            }
            Self::Silent(stop) if stop.is_triggered() => Poll::Ready(None),
            Self::Silent(_) => Poll::Pending,
        }
    }
}

struct Listener {
    address: SocketAddr,
    stop: Shutdown,
    task: JoinHandle<()>,
}

/// What every test listener serves: `/who` the other side, `/big` 64 MiB, `/slow` an answer that never comes.
async fn answer(mut request: Request<Incoming>) -> Result<Response<Pieces>, Infallible> {
    let peer = *request
        .extensions()
        .get::<Peer>()
        .expect("the listener adds it");
    let stop = request
        .extensions()
        .get::<Shutdown>()
        .expect("the listener adds it")
        .clone();
    let mut response = Response::new(Pieces::Left(0));
    match request.uri().path() {
        "/big" => *response.body_mut() = Pieces::Left(1024),
        "/slow" => std::future::pending().await,
        "/silent" => *response.body_mut() = Pieces::Silent(stop),
        "/echo" => {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response
                .headers_mut()
                .insert("upgrade", "echo".parse().unwrap());
            response
                .headers_mut()
                .insert("connection", "upgrade".parse().unwrap());
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                let mut byte = [0];
                while io.read_exact(&mut byte).await.is_ok() && io.write_all(&byte).await.is_ok() {}
            });
        }
        _ => {
            response
                .headers_mut()
                .insert("x-tls", peer.tls.to_string().parse().unwrap());
            response
                .headers_mut()
                .insert("x-ip", peer.address.ip().to_string().parse().unwrap());
        }
    }
    Ok(response)
}

async fn listen(options: Options) -> Listener {
    let listener = bind("test", ([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Shutdown::new();
    let task = tokio::spawn(serve(listener, service_fn(answer), options, stop.clone()));
    Listener {
        address,
        stop,
        task,
    }
}

fn limits(change: impl FnOnce(&mut Limits)) -> Options {
    let mut limits = Limits::default();
    change(&mut limits);
    Options {
        limits,
        ..Options::default()
    }
}

/// Sends text, which may be the beginning of a request.
async fn begin(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// Everything until the other side closes; a reset is an end too.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    read.expect("the connection ends")
        .map(drop)
        .unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

async fn ended(listener: Listener) {
    listener.stop.trigger();
    let ended = tokio::time::timeout(PATIENCE, listener.task).await;
    ended.expect("the listener ends").unwrap();
}
