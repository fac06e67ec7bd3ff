//! The certificate that listeners encrypt with: of the configuration or our own, and changed while they run.

mod certificate;
mod self_signed;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use nvr_base::{Clock, Error, Result, Shutdown};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

pub use certificate::{Certificate, Facts};
pub use self_signed::Names;

/// How often the files are looked at; a change is taken at the second look that finds it the same.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Two files in PEM: the certificate with what it was signed by, and its key.
    Files {
        /// The chain, our own certificate first.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// One that we make ourselves.
    SelfSigned {
        /// Where it is kept.
        folder: PathBuf,
        /// What it is made for.
        names: Names,
    },
}

/// What is told of every certificate, the first included.
type Listener = Box<dyn Fn(&Certificate) + Send + Sync>;

/// The certificate of the listeners.
pub struct Tls {
    source: Source,
    clock: Arc<dyn Clock>,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    listeners: Mutex<Vec<Listener>>,
    /// What the files looked like: when they were last read, and at the last look.
    looks: Mutex<(Look, Look)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Hands out the certificate of the moment.
#[derive(Debug)]
struct Current(RwLock<Arc<Certificate>>);

impl Current {
    fn get(&self) -> Arc<Certificate> {
        Arc::clone(&self.0.read().expect("no holder of this lock panics"))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().certified())
    }
}

/// When a file was changed and how long it is, for each file.
type Look = Vec<Option<(std::time::SystemTime, u64)>>;

impl Source {
    fn load(&self, clock: &dyn Clock) -> Result<Certificate> {
        match self {
            Self::Files { certificate, key } => Certificate::read(certificate, key),
            Self::SelfSigned { folder, names } => {
                self_signed::load_or_make(folder, names, clock.unix_us())
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Files { certificate, key } => vec![certificate.clone(), key.clone()],
            Self::SelfSigned { folder, .. } => self_signed::files(folder).into(),
        }
    }

    fn look(&self) -> Look {
        let look = |file: &PathBuf| {
            let data = std::fs::metadata(file).ok()?;
            Some((data.modified().ok()?, data.len()))
        };
        self.files().iter().map(look).collect()
    }
}

impl Tls {
    /// Reads the certificate, or makes it.
    ///
    /// # Errors
    /// One sentence with the key of the configuration and the file, when it cannot be used.
    pub fn open(source: Source, clock: Arc<dyn Clock>) -> Result<Self> {
        let look = source.look();
        let certificate = source.load(clock.as_ref())?;
        certificate.facts().warn_of_its_end(clock.unix_us());
        let current = Arc::new(Current(RwLock::new(Arc::new(certificate))));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal(format!("tls: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // What was made by us in this look is no change.
        let look = match &source {
            Source::SelfSigned { .. } => source.look(),
            Source::Files { .. } => look,
        };
        Ok(Self {
            source,
            clock,
            current,
            config: Arc::new(config),
            listeners: Mutex::default(),
            looks: Mutex::new((look.clone(), look)),
        })
    }

    /// Greets clients with the certificate of the moment.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Whether somebody chose the certificate, so that clients may be told to insist on it.
    pub fn is_configured(&self) -> bool {
        matches!(self.source, Source::Files { .. })
    }

    /// The certificate of the moment.
    pub fn certificate(&self) -> Arc<Certificate> {
        self.current.get()
    }

    /// Tells `listener` of the certificate now, and of every one that follows.
    pub fn follow(&self, listener: impl Fn(&Certificate) + Send + Sync + 'static) {
        let mut listeners = self
            .listeners
            .lock()
            .expect("no holder of this lock panics");
        listener(&self.current.get());
        listeners.push(Box::new(listener));
    }

    /// Reads the files again; what is wrong with them leaves the certificate as it is.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn reload(&self) -> Result<()> {
        let look = self.source.look();
        let certificate = Arc::new(self.source.load(self.clock.as_ref())?);
        let look = match &self.source {
            Source::SelfSigned { .. } => self.source.look(),
            Source::Files { .. } => look,
        };
        *self.looks.lock().expect("no holder of this lock panics") = (look.clone(), look);
        certificate.facts().warn_of_its_end(self.clock.unix_us());
        let same = certificate.facts() == self.current.get().facts();
        let listeners = self
            .listeners
            .lock()
            .expect("no holder of this lock panics");
        *self
            .current
            .0
            .write()
            .expect("no holder of this lock panics") = Arc::clone(&certificate);
        for listener in listeners.iter() {
            listener(&certificate);
        }
        if !same {
            let facts = certificate.facts();
            tracing::info!(subject = %facts.subject, fingerprint = %facts.sha256, "a new certificate is in use");
        }
        Ok(())
    }

    /// Looks at the files once, and takes them when they changed and stay the same since the last look.
    pub fn look(&self) {
        let now = self.source.look();
        let due = {
            let mut looks = self.looks.lock().expect("no holder of this lock panics");
            let settled = now != looks.0 && now == looks.1;
            looks.1.clone_from(&now);
            if settled {
                // Whatever comes of it, it is said once.
                looks.0 = now;
            }
            settled || self.must_be_renewed()
        };
        if due && let Err(error) = self.reload() {
            tracing::error!(%error, "the certificate stays as it is");
        }
    }

    fn must_be_renewed(&self) -> bool {
        !self.is_configured()
            && self_signed::is_due(self.current.get().facts(), self.clock.unix_us())
    }

    /// Looks at the files every few seconds until the daemon stops.
    pub async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.wait() => return,
            }
            let this = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || this.look()).await {
                tracing::error!(%error, "looking at the certificate panicked");
            }
        }
    }
}

/// Reads a file of a certificate or a key, which is far shorter than the limit.
fn read(key: &str, file: &Path) -> Result<Vec<u8>> {
    const MAX_BYTES: u64 = 1 << 20;
    let failed = |error: std::io::Error| {
        Error::precondition(format!("{key}: {}: {error}", file.display())).with_source(error)
    };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(opened, MAX_BYTES), &mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}
