//! A certificate with its key, and what can be told of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use nvr_base::{Error, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Days before its end from which on a certificate is warned of.
const WARN_DAYS: i64 = 14;
const DAY_US: i64 = 86_400_000_000;

/// A certificate with its key.
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    facts: Facts,
    chain_pem: String,
    key_pem: String,
}

/// What may be told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Since when it is valid, microseconds since 1970-01-01 UTC.
    pub not_before_us: i64,
    /// Until when it is valid, microseconds since 1970-01-01 UTC.
    pub not_after_us: i64,
    /// The names and addresses it is for.
    pub names: Vec<String>,
    /// Whether it was signed with its own key.
    pub self_signed: bool,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub sha256: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Facts {
    fn of(der: &[u8]) -> Result<Self, String> {
        let (_, found) = X509Certificate::from_der(der)
            .map_err(|error| format!("it is no certificate: {error}"))?;
        let validity = found.validity();
        let us = |seconds: i64| seconds.saturating_mul(1_000_000);
        let names = found.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        Ok(Self {
            subject: found.subject().to_string(),
            issuer: found.issuer().to_string(),
            not_before_us: us(validity.not_before.timestamp()),
            not_after_us: us(validity.not_after.timestamp()),
            names: names.filter_map(name_of).collect(),
            self_signed: found.subject().as_raw() == found.issuer().as_raw(),
            sha256: digest
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        })
    }

    /// Whether it is valid at a moment.
    pub fn is_valid_at(&self, unix_us: i64) -> bool {
        (self.not_before_us..=self.not_after_us).contains(&unix_us)
    }

    /// Whole days until its end; negative when it is over.
    pub fn days_left(&self, unix_us: i64) -> i64 {
        (self.not_after_us - unix_us).div_euclid(DAY_US)
    }

    pub(super) fn warn_of_its_end(&self, unix_us: i64) {
        let days = self.days_left(unix_us);
        if !self.is_valid_at(unix_us) {
            tracing::warn!(subject = %self.subject, "the certificate is not valid at this time; clients refuse it");
        } else if days < WARN_DAYS {
            tracing::warn!(subject = %self.subject, days, "the certificate ends soon");
        }
    }
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

impl Certificate {
    /// Reads the files of the configuration.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let chain_pem = super::read("tls.certificate", certificate)?;
        let key_pem = super::read("tls.key", key)?;
        warn_of_readers(key);
        let wrong = |which: &str, file: &Path, why: String| {
            Error::precondition(format!("tls.{which}: {}: {why}", file.display()))
        };
        Self::of(&chain_pem, &key_pem).map_err(|(which, why)| match which {
            "key" => wrong(which, key, why),
            _ => wrong(which, certificate, why),
        })
    }

    /// Makes one of PEM; an error names which of the two is wrong, and why.
    pub(super) fn of(chain_pem: &[u8], key_pem: &[u8]) -> Result<Self, (&'static str, String)> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem)
            .collect::<Result<_, _>>()
            .map_err(|error| ("certificate", format!("it is no PEM: {error}")))?;
        let Some(first) = chain.first() else {
            return Err(("certificate", "there is no certificate in it".to_owned()));
        };
        let facts = Facts::of(first).map_err(|why| ("certificate", why))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| {
            (
                "key",
                "there is no private key in it, or it is encrypted".to_owned(),
            )
        })?;
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
            use rustls::{Error as E, InconsistentKeys};
            match error {
                E::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    ("key", "it is not the key of the certificate".to_owned())
                }
                error => ("key", format!("it cannot be used: {error}")),
            }
        })?;
        let text = |pem: &[u8]| String::from_utf8_lossy(pem).into_owned();
        Ok(Self {
            certified: Arc::new(certified),
            facts,
            chain_pem: text(chain_pem),
            key_pem: text(key_pem),
        })
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// What may be told of it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The chain and the key in PEM, for listeners that are not ours; the key is secret.
    pub fn pem(&self) -> (&str, &str) {
        (&self.chain_pem, &self.key_pem)
    }
}

/// A key that everybody on the machine may read is no secret.
fn warn_of_readers(key: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::metadata(key).is_ok_and(|data| data.permissions().mode() & 0o007 != 0);
    if open {
        tracing::warn!(
            "tls.key: {}: everybody on this machine may read it",
            key.display()
        );
    }
}
