//! Calls that the daemon makes on behalf of clients, all through one guard: no client can make it speak to itself, to
//! a cloud's metadata service or to anything else that only it can reach.
//!
//! A name is resolved once, every address it has is judged, and the connection goes to exactly these addresses, so
//! that a name which changes its mind in between changes nothing.

mod address;
mod call;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use nvr_base::{Error, Result};
use url::{Host, Url};

pub(crate) use call::use_ring;
pub use call::{Answer, Call};

use self::address::Reason;
use crate::config::{Net, OutboundConfig};

/// How long a name may take to resolve.
const NAME_TIME: Duration = Duration::from_secs(5);
/// The same for a camera that is being saved, where a person waits and an unknown name is no mistake.
const CAMERA_NAME_TIME: Duration = Duration::from_secs(2);
/// Longest URL.
const MAX_URL: usize = 2048;

/// Which addresses a name has; the system's resolver, or a double of it in tests.
pub trait Names: std::fmt::Debug + Send + Sync + 'static {
    /// All addresses of a name. Blocks.
    ///
    /// # Errors
    /// When it has none or nobody can be asked.
    fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// Asks the system.
#[derive(Debug)]
struct SystemNames;

impl Names for SystemNames {
    fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(name, 0))?;
        Ok(found.map(|found| found.ip()).collect())
    }
}

/// The guard, and the client behind it.
#[derive(Debug)]
pub struct Outbound {
    allow: Vec<Net>,
    ca_pem: Option<Vec<u8>>,
    names: Arc<dyn Names>,
    /// The daemon's own listeners, which are never called.
    own: RwLock<Vec<SocketAddr>>,
}

/// Where a URL leads, once all of it was judged.
#[derive(Debug)]
struct Target {
    addresses: Vec<SocketAddr>,
}

impl Default for Outbound {
    /// A guard without exceptions, which trusts whom the system trusts.
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ca_pem: None,
            names: Arc::new(SystemNames),
            own: RwLock::default(),
        }
    }
}

impl Outbound {
    /// A guard with the exceptions of the configuration file.
    ///
    /// # Errors
    /// When the file of certificates cannot be read.
    pub fn new(config: &OutboundConfig) -> Result<Self> {
        let read = |path: &std::path::PathBuf| {
            std::fs::read(path).map_err(|error| {
                Error::invalid(format!("outbound.ca_file: {}", Error::io(path, error)))
            })
        };
        Ok(Self {
            allow: config.allow.clone(),
            ca_pem: config.ca_file.as_ref().map(read).transpose()?,
            ..Self::default()
        })
    }

    /// The same guard with another resolver.
    #[must_use]
    pub fn with_names(mut self, names: Arc<dyn Names>) -> Self {
        self.names = names;
        self
    }

    /// Adds a listener of the daemon, which no client may make it call.
    pub fn add_listener(&self, listener: SocketAddr) {
        let mut own = self.own.write().expect("no holder of this lock panics");
        own.push(listener);
    }

    /// Judges a URL without calling anything; a name is not resolved.
    ///
    /// # Errors
    /// `InvalidArgument` that begins with the field's name.
    pub fn check_url(&self, field: &str, text: &str) -> Result<Url> {
        let refuse = |why: String| Error::invalid(format!("{field}: {why}"));
        let url = parsed(text).map_err(refuse)?;
        let port = url.port_or_known_default().unwrap_or_default();
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        if let Some(address) = literal {
            self.judge(address, port).map_err(refuse)?;
        }
        Ok(url)
    }

    /// Judges all that a camera's URI may lead to; what is no address of a network passes.
    ///
    /// Cameras are private machines, and while nobody but this machine may ask, also ones on it. Blocks for a name.
    ///
    /// # Errors
    /// `InvalidArgument` that begins with the field's name.
    pub fn check_camera(&self, field: &str, uri: &str) -> Result<()> {
        let Ok(url) = Url::parse(uri) else {
            return Ok(());
        };
        if !matches!(url.scheme(), "rtsp" | "rtsps" | "http" | "https") {
            return Ok(());
        }
        // Hosts of such URIs are texts, and no normal form was made of the address in them.
        let host = url.host_str().unwrap_or_default();
        let host = percent_encoding::percent_decode_str(host).decode_utf8_lossy();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port().unwrap_or(match url.scheme() {
            "rtsps" => 322,
            "http" => 80,
            "https" => 443,
            _ => 554,
        });
        let addresses = match bare.parse() {
            Ok(address) => vec![address],
            Err(_) => self.camera_addresses(bare),
        };
        for address in addresses {
            self.judge_camera(address, port)
                .map_err(|why| Error::invalid(format!("{field}: {why}")))?;
        }
        Ok(())
    }

    /// The addresses of a camera's name, none where it does not resolve in time: it may be away for now.
    fn camera_addresses(&self, name: &str) -> Vec<IpAddr> {
        let (names, name) = (Arc::clone(&self.names), name.to_owned());
        let (sender, found) = std::sync::mpsc::sync_channel(1);
        let asking = std::thread::Builder::new()
            .name("look-up".to_owned())
            .spawn(move || sender.send(names.addresses(&name).unwrap_or_default()));
        match asking {
            Ok(_) => found.recv_timeout(CAMERA_NAME_TIME).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "a camera's name is not looked up");
                Vec::new()
            }
        }
    }

    /// Resolves a URL once and judges every address.
    async fn target(&self, url: &Url) -> Result<Target> {
        let port = url.port_or_known_default().unwrap_or_default();
        let host = url
            .host()
            .ok_or_else(|| Error::invalid("there is no host"))?;
        let addresses = match host {
            Host::Ipv4(address) => vec![IpAddr::V4(address)],
            Host::Ipv6(address) => vec![IpAddr::V6(address)],
            Host::Domain(name) => self.resolved(name).await?,
        };
        for address in &addresses {
            self.judge(*address, port).map_err(Error::invalid)?;
        }
        let addresses = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        Ok(Target { addresses })
    }

    async fn resolved(&self, name: &str) -> Result<Vec<IpAddr>> {
        let (names, asked) = (Arc::clone(&self.names), name.to_owned());
        let asking = tokio::task::spawn_blocking(move || names.addresses(&asked));
        let unknown = |why: &str| Error::unavailable(format!("{name}: {why}"));
        let found = tokio::time::timeout(NAME_TIME, asking).await;
        let found = found
            .map_err(|_| unknown("the name did not resolve in time"))?
            .map_err(|error| Error::internal("a look-up panicked").with_source(error))?
            .map_err(|error| unknown(&format!("the name does not resolve: {error}")))?;
        match found.is_empty() {
            true => Err(unknown("the name has no address")),
            false => Ok(found),
        }
    }

    fn judge(&self, address: IpAddr, port: u16) -> Result<(), String> {
        let plain = address::plain(address);
        if self.is_own(plain, port) {
            return Err(format!("{address}:{port} is the recorder itself"));
        }
        match address::refused(address) {
            Some(reason) if !self.allows(plain) => Err(refusal(address, reason)),
            _ => Ok(()),
        }
    }

    fn judge_camera(&self, address: IpAddr, port: u16) -> Result<(), String> {
        let plain = address::plain(address);
        if self.is_own(plain, port) {
            return Err(format!("{address}:{port} is the recorder itself"));
        }
        match address::refused(address) {
            Some(Reason::Loopback) if !self.is_on_network() => Ok(()),
            Some(reason) if !self.allows(plain) => Err(refusal(address, reason)),
            _ => Ok(()),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(address))
    }

    /// Whether others than this machine may ask for something.
    fn is_on_network(&self) -> bool {
        let own = self.own.read().expect("no holder of this lock panics");
        own.iter().any(|listener| !listener.ip().is_loopback())
    }

    /// Whether one of the daemon's own listeners is there.
    fn is_own(&self, address: IpAddr, port: u16) -> bool {
        let own = self.own.read().expect("no holder of this lock panics");
        own.iter()
            .filter(|listener| listener.port() == port)
            .any(|listener| listener.ip() == address || is_here(address))
    }
}

/// Whether an address is one of this machine's: only such a one can be bound.
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

fn refusal(address: IpAddr, reason: Reason) -> String {
    format!(
        "{address} is {}, which is not called for clients: `outbound.allow` of the configuration file can open it",
        reason.what()
    )
}

/// A URL that may be called as far as its text goes.
fn parsed(text: &str) -> Result<Url, String> {
    if text.len() > MAX_URL {
        return Err(format!("longer than {MAX_URL} bytes"));
    }
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "{}:// is not spoken: use http:// or https://",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong into a URL".to_owned());
    }
    if let Some(Host::Ipv4(address)) = url.host()
        && !written(text).eq_ignore_ascii_case(&address.to_string())
    {
        return Err(format!("write the address as {address}"));
    }
    Ok(url)
}

/// The host as somebody wrote it, before a normal form was made of it.
fn written(text: &str) -> &str {
    let rest = text.trim().split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.split(':').next().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;
