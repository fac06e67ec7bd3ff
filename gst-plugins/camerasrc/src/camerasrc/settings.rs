//! What the properties say, and what a backend is told of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Backend, Transport};
use crate::backend::{self, Hung, Tls};
use crate::backoff::Waits;
use crate::net::Wakes;
use crate::uri::{self, Credentials, Source};

/// What the properties say.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) uri: Option<String>,
    pub(super) sub_uri: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) user_pw: Option<String>,
    pub(super) transport: Transport,
    pub(super) backend: Backend,
    pub(super) tls_ca: Option<String>,
    pub(super) tls_insecure: bool,
    pub(super) timeout: u64,
    pub(super) latency: u64,
    pub(super) wake_interval: u64,
    pub(super) retry_first: u64,
    pub(super) retry_longest: u64,
    pub(super) start_unix_us: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uri: None,
            sub_uri: None,
            user_id: None,
            user_pw: None,
            transport: Transport::Auto,
            backend: Backend::Auto,
            tls_ca: None,
            tls_insecure: false,
            timeout: 5_000_000_000,
            latency: 200_000_000,
            wake_interval: 20_000_000,
            retry_first: 1_000_000_000,
            retry_longest: 30_000_000_000,
            start_unix_us: -1,
        }
    }
}

impl Settings {
    /// The source that is recorded, and the second one.
    ///
    /// # Errors
    /// One sentence that names the property.
    pub(super) fn sources(&self) -> Result<(Source, Option<Source>), String> {
        let Some(text) = &self.uri else {
            return Err("set property \"uri\", for example to rtsp://192.0.2.7/stream".to_owned());
        };
        let main = uri::parse(text).map_err(|error| format!("property \"uri\": {error}"))?;
        if let Some(path) = &self.tls_ca
            && let Err(error) = std::fs::File::open(path)
        {
            return Err(format!("property \"tls-ca\": {path}: {error}"));
        }
        self.rtspsrc(&main.source)?;
        let Some(text) = &self.sub_uri else {
            return Ok((main.source, None));
        };
        let second = uri::parse(text).map_err(|error| format!("property \"sub-uri\": {error}"))?;
        if main.source.is_live() != second.source.is_live() {
            return Err(
                "property \"sub-uri\": one stream is live and the other one is not: add realtime=true to both or to none"
                    .to_owned(),
            );
        }
        self.rtspsrc(&second.source)?;
        Ok((main.source, Some(second.source)))
    }

    /// Whether `rtspsrc` speaks with that source.
    fn rtspsrc(&self, source: &Source) -> Result<bool, String> {
        let Source::Rtsp(url) = source else {
            return Ok(false);
        };
        let needed = url.scheme() == "rtsps" || self.transport == Transport::Http;
        if url.scheme() == "rtsps" && self.transport == Transport::Udp {
            return Err(
                "property \"transport\": udp would send the pictures of rtsps:// unencrypted: use auto, tcp or http"
                    .to_owned(),
            );
        }
        match self.backend {
            Backend::Auto => Ok(needed),
            Backend::Rtspsrc => Ok(true),
            Backend::Retina if needed => Err(
                "property \"backend\": retina speaks neither rtsps:// nor HTTP tunnels: use auto or rtspsrc"
                    .to_owned(),
            ),
            Backend::Retina => Ok(false),
        }
    }

    /// What an RTSP camera needs besides its URL; `name` is the element's, so that no two retry in step.
    pub(super) fn options(
        &self,
        name: &str,
        source: &Source,
        wakes: Arc<Wakes>,
        hung: Arc<Hung>,
    ) -> backend::Options {
        backend::Options {
            rtspsrc: self.rtspsrc(source).unwrap_or(true),
            tls: Tls {
                authorities: self.tls_ca.as_ref().map(PathBuf::from),
                insecure: self.tls_insecure,
            },
            hung,
            credentials: self.credentials(),
            transport: match self.transport {
                Transport::Auto => backend::Transport::Auto,
                Transport::Tcp => backend::Transport::Tcp,
                Transport::Udp => backend::Transport::Udp,
                Transport::Http => backend::Transport::Http,
            },
            timeout: Duration::from_nanos(self.timeout),
            waits: Waits {
                first: Duration::from_nanos(self.retry_first),
                longest: Duration::from_nanos(self.retry_longest.max(self.retry_first)),
            },
            wakes,
            seed: name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            }),
            second: false,
        }
    }

    /// The same for the second stream.
    pub(super) fn second_options(
        &self,
        name: &str,
        source: &Source,
        wakes: Arc<Wakes>,
        hung: Arc<Hung>,
    ) -> backend::Options {
        backend::Options {
            credentials: self.second_credentials(),
            second: true,
            ..self.options(&format!("{name}/sub"), source, wakes, hung)
        }
    }

    /// The properties go before the URI, each for itself.
    fn credentials(&self) -> Option<Credentials> {
        self.over(in_uri(self.uri.as_deref()))
    }

    /// The same; what the main URI says counts where the second one says nothing, for the same host only.
    fn second_credentials(&self) -> Option<Credentials> {
        let host = |text: Option<&str>| match uri::parse(text?).ok()?.source {
            Source::Rtsp(url) => url.host_str().map(str::to_owned),
            _ => None,
        };
        let (main, second) = (self.uri.as_deref(), self.sub_uri.as_deref());
        let same = host(main).is_some() && host(main) == host(second);
        self.over(in_uri(second).or_else(|| in_uri(main).filter(|_| same)))
    }

    fn over(&self, in_uri: Option<Credentials>) -> Option<Credentials> {
        if self.user_id.is_none() && self.user_pw.is_none() {
            return in_uri;
        }
        let (user, password) =
            in_uri.map_or_else(Default::default, |known| (known.user, known.password));
        Some(Credentials {
            user: self.user_id.clone().unwrap_or(user),
            password: self.user_pw.clone().unwrap_or(password),
        })
    }
}

fn in_uri(text: Option<&str>) -> Option<Credentials> {
    uri::parse(text?).ok()?.credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_go_before_the_uri() {
        for (uri, user, password, expected) in [
            ("rtsp://cam/", None, None, None),
            ("rtsp://a:b@cam/", None, None, Some(("a", "b"))),
            ("rtsp://a:b@cam/", None, Some("d"), Some(("a", "d"))),
            ("rtsp://a:b@cam/", Some("c"), Some("d"), Some(("c", "d"))),
            ("rtsp://cam/", Some("c"), None, Some(("c", ""))),
        ] {
            let settings = Settings {
                uri: Some(uri.to_owned()),
                user_id: user.map(str::to_owned),
                user_pw: password.map(str::to_owned),
                ..Settings::default()
            };
            let found = settings.credentials();
            let found = found
                .as_ref()
                .map(|known| (known.user.as_str(), known.password.as_str()));
            assert_eq!(found, expected, "{uri}");
        }
    }

    #[test]
    fn a_password_in_the_main_uri_goes_to_no_other_host() {
        for (sub, user, expected) in [
            ("rtsp://cam/2", None, Some(("a", "b"))),
            ("rtsp://other/2", None, None),
            ("rtsp://c:d@other/2", None, Some(("c", "d"))),
            ("rtsp://other/2", Some("e"), Some(("e", ""))),
            ("test://ball", None, None),
        ] {
            let settings = Settings {
                uri: Some("rtsp://a:b@cam/1".to_owned()),
                sub_uri: Some(sub.to_owned()),
                user_id: user.map(str::to_owned),
                ..Settings::default()
            };
            let found = settings.second_credentials();
            let found = found
                .as_ref()
                .map(|known| (known.user.as_str(), known.password.as_str()));
            assert_eq!(found, expected, "{sub}");
        }
    }
}
