//! TLS: both protocols over it, what is refused, and a certificate that changes under it.

use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use nvr_base::SimulatedClock;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::net::tls::{Source, Tls};

struct Encrypted {
    listener: Listener,
    folder: tempfile::TempDir,
    tls: Arc<Tls>,
}

fn write_pair(folder: &std::path::Path) -> Source {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("c.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("k.pem"), made.signing_key.serialize_pem()).unwrap();
    Source::Files {
        certificate: folder.join("c.pem"),
        key: folder.join("k.pem"),
    }
}

async fn encrypted(change: impl FnOnce(&mut Limits)) -> Encrypted {
    let folder = tempfile::tempdir().unwrap();
    // 2026-01-01.
    let clock = Arc::new(SimulatedClock::at(1_767_225_600_000_000));
    let tls = Arc::new(Tls::open(write_pair(folder.path()), clock).unwrap());
    let options = Options {
        tls: Some(Arc::clone(&tls)),
        ..limits(change)
    };
    Encrypted {
        listener: listen(options).await,
        folder,
        tls,
    }
}

impl Encrypted {
    /// Connects as a client that trusts nothing but the certificate in the folder.
    async fn connect(&self, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_to(self.listener.address, protocol).await
    }

    async fn connect_to(
        &self,
        address: SocketAddr,
        protocol: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let pem = std::fs::read(self.folder.path().join("c.pem")).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !protocol.is_empty() {
            config.alpn_protocols = vec![protocol.to_vec()];
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    async fn ask(&self, path: &str) -> String {
        let mut stream = self.connect(b"http/1.1").await.unwrap();
        stream.write_all(get(path).as_bytes()).await.unwrap();
        let mut text = Vec::new();
        stream
            .read_to_end(&mut text)
            .await
            .map(drop)
            .unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[tokio::test]
async fn http_1_and_2_are_spoken_and_the_peer_is_known() {
    let this = encrypted(|_| {}).await;
    let text = this.ask("/").await;
    assert!(
        text.starts_with("HTTP/1.1 200 ") && text.contains("x-tls: true\r\n"),
        "{text}"
    );
    assert!(
        text.contains("strict-transport-security: max-age="),
        "{text}"
    );
    let stream = this.connect(b"h2").await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::get("https://localhost/")
            .body(Pieces::Left(0))
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["x-tls"]),
            (StatusCode::OK, &"true".parse().unwrap())
        );
    }
    ended(this.listener).await;
    connection.await.unwrap().map(drop).unwrap_or_default();
}

#[tokio::test]
async fn whoever_speaks_in_the_clear_is_told_and_whoever_says_nothing_is_left() {
    let this = encrypted(|limits| limits.handshake_time = Duration::from_millis(200)).await;
    let address = this.listener.address;
    let text = rest(begin(address, &get("/")).await).await;
    assert!(
        text.starts_with("HTTP/1.1 400 ") && text.contains("this port speaks TLS"),
        "{text}"
    );
    for text in [
        "",
        "\u{16}\u{3}\u{1}",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
        "\u{80}\u{0}nothing",
    ] {
        let start = tokio::time::Instant::now();
        rest(begin(address, text).await).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{text:?}");
    }
    assert!(this.ask("/").await.starts_with("HTTP/1.1 200 "));
    ended(this.listener).await;
}

#[tokio::test]
async fn a_new_certificate_is_used_by_the_next_connection() {
    let this = encrypted(|_| {}).await;
    let mut old = this.connect(b"http/1.1").await.unwrap();
    write_pair(this.folder.path());
    assert!(this.connect(b"http/1.1").await.is_err());
    this.tls.look();
    this.tls.look();
    assert!(this.ask("/").await.starts_with("HTTP/1.1 200 "));
    // Who is connected goes on.
    old.write_all(get("/").as_bytes()).await.unwrap();
    assert_eq!(old.read_u8().await.unwrap(), b'H');
    ended(this.listener).await;
}

#[tokio::test]
async fn a_stream_of_http_2_that_is_not_taken_is_cut() {
    let this = encrypted(|limits| limits.stall_time = Duration::from_millis(300)).await;
    let stream = this.connect(b"h2").await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/big")
        .body(Pieces::Left(0))
        .unwrap();
    // Its window fills, and nobody makes room.
    let response = client.send_request(request).await.unwrap();
    let ended_by_itself = tokio::time::timeout(PATIENCE, connection).await;
    assert!(ended_by_itself.is_ok());
    drop(response);
    ended(this.listener).await;
}

#[tokio::test]
async fn a_relay_says_for_whom_it_comes() {
    let this = encrypted(|_| {}).await;
    let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let relay = crate::net::Relay {
        target: behind.local_addr().unwrap(),
        announce: move |relay, client| tell.send((relay, client)).unwrap(),
        tls: Arc::clone(&this.tls),
        limits: Limits::default(),
    };
    let front = bind("test", ([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = front.local_addr().unwrap();
    let stop = Shutdown::new();
    let task = tokio::spawn(crate::net::relay(front, relay, stop.clone()));
    let mut client = this.connect_to(address, b"").await.unwrap();
    let (mut inside, seen) = behind.accept().await.unwrap();
    let client_address = client.get_ref().0.local_addr().unwrap();
    assert_eq!(told.recv().await.unwrap(), (seen, client_address));
    client.write_all(b"there").await.unwrap();
    let mut bytes = [0; 5];
    inside.read_exact(&mut bytes).await.unwrap();
    inside.write_all(b"back!").await.unwrap();
    client.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"back!");
    stop.trigger();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(client.read_u8().await.is_err());
    assert!(inside.read_u8().await.is_err());
    ended(this.listener).await;
}
