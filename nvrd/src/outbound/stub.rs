//! A small HTTP server for tests, which stands in for language models and controllers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What the server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// By their names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What it answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body never ends.
    pub(crate) endless: bool,
}

impl Told {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into_bytes(),
            endless: false,
        }
    }

    pub(crate) fn moved(status: u16, to: &str) -> Self {
        Self {
            status,
            headers: vec![("location", to.to_owned())],
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A server on a free port of this machine, which remembers what it was asked.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Stub {
    /// Speaks plain HTTP.
    pub(crate) async fn start(
        answer: impl Fn(&Asked) -> Told + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::over(answer, None).await
    }

    /// Speaks HTTPS with a certificate that nobody signed.
    pub(crate) async fn start_tls(
        answer: impl Fn(&Asked) -> Told + Clone + Send + Sync + 'static,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self::over(answer, Some(Arc::new(config).into())).await
    }

    async fn over(
        answer: impl Fn(&Asked) -> Told + Clone + Send + Sync + 'static,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, seen, tls) = (answer.clone(), Arc::clone(&seen), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => talk(socket, answer, &seen).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                talk(socket, answer, &seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// Everything it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn talk(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(&Asked) -> Told,
    seen: &Mutex<Vec<Asked>>,
) {
    let Some(asked) = read(&mut socket).await else {
        return;
    };
    seen.lock().unwrap().push(asked.clone());
    let told = answer(&asked);
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", told.status);
    for (name, value) in &told.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if told.endless {
        head += "transfer-encoding: chunked\r\n\r\n";
    } else {
        head += &format!("content-length: {}\r\n\r\n", told.body.len());
    }
    let mut sent = socket.write_all(head.as_bytes()).await;
    if !told.endless {
        sent = socket.write_all(&told.body).await;
    }
    while told.endless && sent.is_ok() {
        let part = [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat();
        sent = socket.write_all(&part).await;
    }
    socket.shutdown().await.ok();
}

async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        if socket.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Asked {
        method,
        path,
        headers,
        body,
    })
}
