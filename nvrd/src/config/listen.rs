//! Where the daemon listens, whom it answers there, and what it encrypts with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Network;

/// `[api]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port; `127.0.0.1:8000` unless given. Port 0 takes a free one.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// Whether everybody has to log in from the first start on, not only once there is a user; needed to listen on
    /// anything but loopback.
    pub auth: bool,
    /// Whether it encrypts, with the certificate of `[tls]`.
    pub tls: bool,
    /// Connections at once, 16 to 65536; 256 unless given.
    pub connections: usize,
    /// Connections at once from one address, 1 to 65536; 64 unless given.
    pub connections_per_address: usize,
    /// Seconds that a connection may wait for its next request, 1 to 3600; 10 unless given.
    pub idle_s: u32,
    /// Proxies whose `X-Forwarded-For` is believed: addresses, or networks such as `10.0.0.0/8`.
    #[schema(value_type = Vec<String>, default = json!([]))]
    pub trusted_proxies: Vec<Network>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            auth: false,
            tls: false,
            connections: 256,
            connections_per_address: 64,
            idle_s: 10,
            trusted_proxies: Vec::new(),
        }
    }
}

impl ApiConfig {
    /// How long a connection may wait for its next request.
    pub fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_s.into())
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |key: &str, value: usize, least: usize, most: usize| {
            if !(least..=most).contains(&value) {
                problems.push(format!(
                    "api.{key}: {value} is out of range: use {least} to {most}"
                ));
            }
        };
        check("connections", self.connections, 16, 65_536);
        check(
            "connections_per_address",
            self.connections_per_address,
            1,
            65_536,
        );
        check("idle_s", self.idle_s as usize, 1, 3600);
        problems
    }
}

/// `[rtsp]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RtspConfig {
    /// Address and port; `127.0.0.1:8554` unless given. Port 0 takes a free one.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// Whether viewers have to log in from the first start on, not only once there is a user; needed to listen on
    /// anything but loopback.
    pub auth: bool,
    /// Where it is encrypted (`rtsps://`), with the certificate of `[tls]`; nowhere unless given.
    #[schema(value_type = Option<String>)]
    pub tls_listen: Option<SocketAddr>,
}

impl Default for RtspConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8554)),
            auth: false,
            tls_listen: None,
        }
    }
}

/// `[tls]`: the certificate of every listener that encrypts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate in PEM, followed by those it was signed by.
    #[schema(value_type = Option<String>)]
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM.
    #[schema(value_type = Option<String>)]
    pub key: Option<PathBuf>,
    /// Whether to make a certificate ourselves instead.
    pub self_signed: bool,
    /// Further names and addresses for that one.
    pub names: Vec<String>,
}

impl TlsConfig {
    /// Whether there is a certificate at all.
    pub fn is_given(&self) -> bool {
        self.self_signed || self.certificate.is_some()
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        for path in [&mut self.certificate, &mut self.key] {
            *path = path.take().map(|path| folder.join(path));
        }
    }

    /// Its own problems, and those of a listener that wants it.
    pub(super) fn problems(&self, wanted_by: Option<&str>) -> Vec<String> {
        let mut problems = Vec::new();
        match (&self.certificate, &self.key) {
            (Some(_), None) => {
                problems
                    .push("tls.key: missing: give the private key of tls.certificate".to_owned());
            }
            (None, Some(_)) => {
                problems
                    .push("tls.certificate: missing: give the certificate of tls.key".to_owned());
            }
            (Some(_), Some(_)) if self.self_signed => problems.push(
                "tls.self_signed: there is tls.certificate already: leave one of them out"
                    .to_owned(),
            ),
            _ => {}
        }
        if self.names.len() > 100 {
            problems.push("tls.names: more than 100".to_owned());
        }
        if !self.names.is_empty() && !self.self_signed {
            problems.push("tls.names: they are for tls.self_signed = true only".to_owned());
        }
        if let (Some(key), false, true) = (wanted_by, self.is_given(), problems.is_empty()) {
            problems.push(format!(
                "{key}: there is no certificate: give tls.certificate and tls.key, or tls.self_signed = true"
            ));
        }
        problems
    }
}
