//! One call: bounded in time and size, to addresses that were judged, with redirects that are judged again.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method};
use nvr_base::{Error, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use super::Outbound;

/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long a call may take unless it says otherwise.
const TOTAL_TIME: Duration = Duration::from_secs(30);
/// Largest answer unless the call says otherwise.
const MAX_ANSWER: usize = 1 << 20;
/// Most redirects that are followed.
const MAX_REDIRECTS: u32 = 3;

/// What is to be asked of whom.
pub struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    secret: bool,
    verify: bool,
    time: Duration,
    max_answer: usize,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

// By hand: headers and bodies hold credentials.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

impl Call {
    /// A call without a body.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            secret: false,
            verify: true,
            time: TOTAL_TIME,
            max_answer: MAX_ANSWER,
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With a header that nobody else may see: the call never follows a redirect to another host.
    #[must_use]
    pub fn secret_header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self.secret = true;
        self
    }

    /// With a JSON body; `secret` as for a header.
    #[must_use]
    pub fn json(mut self, body: &serde_json::Value, secret: bool) -> Self {
        self.body = body.to_string().into();
        self.secret |= secret;
        let json = HeaderValue::from_static("application/json");
        self.headers.insert(http::header::CONTENT_TYPE, json);
        self
    }

    /// With a body of any type; `secret` as for a header.
    #[must_use]
    pub fn body(mut self, kind: &'static str, body: Bytes, secret: bool) -> Self {
        self.body = body;
        self.secret |= secret;
        let kind = HeaderValue::from_static(kind);
        self.headers.insert(http::header::CONTENT_TYPE, kind);
        self
    }

    /// With the certificate of the other side taken as it is, or not.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// With another limit for all of it, redirects included.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// With another limit for the answer's body, bytes.
    #[must_use]
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }
}

impl Outbound {
    /// Makes a call. Any status is an answer.
    ///
    /// # Errors
    /// `InvalidArgument` when the call leads where none may, `Unavailable` when no answer came, in one sentence that
    /// names the host and never what it said.
    pub async fn call(&self, call: Call) -> Result<Answer> {
        let host = call.url.authority().to_owned();
        let seconds = call.time.as_secs();
        match tokio::time::timeout(call.time, self.followed(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::unavailable(format!(
                "{host}: no answer within {seconds} s"
            ))),
        }
    }

    async fn followed(&self, mut call: Call) -> Result<Answer> {
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.once(&call).await?;
            let moved = match answer.status {
                301..=303 if call.method == Method::GET => true,
                307 | 308 => true,
                _ => false,
            };
            if !moved {
                return Ok(answer);
            }
            call.url = next(&call, answer.headers.get(LOCATION))?;
        }
        Err(Error::unavailable(format!(
            "{}: more than {MAX_REDIRECTS} redirects",
            call.url.authority()
        )))
    }

    async fn once(&self, call: &Call) -> Result<Answer> {
        let url = super::parsed(call.url.as_str()).map_err(Error::invalid)?;
        let host = url.authority().to_owned();
        let target = self.target(&url).await?;
        let client = self.client(call, target.addresses).await?;
        let request = client
            .request(call.method.clone(), url)
            .headers(call.headers.clone())
            .body(call.body.clone());
        let response = request.send().await.map_err(|error| failed(&host, error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = body_of(response, call.max_answer, &host).await?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    /// A client for one call; reading the system's certificates blocks.
    async fn client(&self, call: &Call, addresses: Vec<SocketAddr>) -> Result<reqwest::Client> {
        let (verify, plain) = (call.verify, call.url.scheme() == "http");
        let pem = self.ca_pem.clone();
        let made = tokio::task::spawn_blocking(move || {
            use_ring();
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("nvrd/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                // A proxy of the environment would resolve the name anew, out of sight.
                .no_proxy()
                .http1_only()
                .pool_max_idle_per_host(0)
                .connect_timeout(CONNECT_TIME)
                .dns_resolver(Judged(addresses));
            if plain {
                // Nothing is encrypted, and a machine without certificates can call all the same.
                builder = builder.tls_certs_only([]);
            } else if !verify {
                builder = builder.tls_danger_accept_invalid_certs(true);
            } else if let Some(pem) = &pem {
                let more = reqwest::Certificate::from_pem_bundle(pem);
                let more = more.map_err(|error| {
                    Error::precondition("outbound.ca_file: holds no certificates in PEM")
                        .with_source(error)
                })?;
                builder = builder.tls_certs_merge(more);
            }
            builder.build().map_err(|error| {
                Error::precondition(
                    "there are no certificates to trust: install ca-certificates or set outbound.ca_file",
                )
                .with_source(error)
            })
        });
        let made = made.await;
        made.map_err(|error| Error::internal("making a client panicked").with_source(error))?
    }
}

/// Makes ring the source of cryptography where nobody chose one yet.
pub(crate) fn use_ring() {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
    {
        tracing::debug!("another part chose its source of cryptography first");
    }
}

/// Gives the addresses that were judged, whatever is asked.
#[derive(Debug)]
struct Judged(Vec<SocketAddr>);

impl Resolve for Judged {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// Where a redirect leads, if it may be followed.
fn next(call: &Call, location: Option<&HeaderValue>) -> Result<Url> {
    let from = call.url.authority();
    let refuse = |why: String| Error::unavailable(format!("{from}: redirects {why}"));
    let location = location
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| refuse("to nowhere".to_owned()))?;
    let url = call
        .url
        .join(location)
        .map_err(|error| refuse(format!("to what is no URL: {error}")))?;
    if url.scheme() != call.url.scheme() {
        return Err(refuse(format!(
            "to {}://, which is not followed",
            url.scheme()
        )));
    }
    let same = url.host() == call.url.host()
        && url.port_or_known_default() == call.url.port_or_known_default();
    if call.secret && !same {
        return Err(refuse(
            "to another host, which may not see the credentials".to_owned(),
        ));
    }
    Ok(url)
}

async fn body_of(mut response: reqwest::Response, most: usize, host: &str) -> Result<Bytes> {
    let too_long = || Error::unavailable(format!("{host}: the answer is longer than {most} bytes"));
    if response
        .content_length()
        .is_some_and(|length| length > most as u64)
    {
        return Err(too_long());
    }
    let mut body = BytesMut::new();
    while let Some(part) = response
        .chunk()
        .await
        .map_err(|error| failed(host, error))?
    {
        if body.len() + part.len() > most {
            return Err(too_long());
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

/// The sentence for a call without an answer; the cause behind it goes into it where it says more.
fn failed(host: &str, error: reqwest::Error) -> Error {
    // The deepest cause is the system's or the TLS library's own sentence.
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let why = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        format!("cannot connect: {cause}")
    } else {
        format!("the call broke off: {cause}")
    };
    Error::unavailable(format!("{host}: {why}")).with_source(error.without_url())
}
