//! What the properties say, and what a backend is told of it.

use std::sync::Arc;
use std::time::Duration;

use super::Transport;
use crate::backend;
use crate::backoff::Waits;
use crate::net::Wakes;
use crate::uri::{self, Credentials};

/// What the properties say.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) uri: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) user_pw: Option<String>,
    pub(super) transport: Transport,
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
            user_id: None,
            user_pw: None,
            transport: Transport::Auto,
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
    /// What an RTSP camera needs besides its URL; `name` is the element's, so that no two retry in step.
    pub(super) fn options(&self, name: &str, wakes: &Arc<Wakes>) -> backend::Options {
        backend::Options {
            credentials: self.credentials(),
            transport: match self.transport {
                Transport::Auto => backend::Transport::Auto,
                Transport::Tcp => backend::Transport::Tcp,
                Transport::Udp => backend::Transport::Udp,
            },
            timeout: Duration::from_nanos(self.timeout),
            waits: Waits {
                first: Duration::from_nanos(self.retry_first),
                longest: Duration::from_nanos(self.retry_longest.max(self.retry_first)),
            },
            wakes: Arc::clone(wakes),
            seed: name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            }),
        }
    }

    /// The properties go before the URI, each for itself.
    fn credentials(&self) -> Option<Credentials> {
        let in_uri = self
            .uri
            .as_deref()
            .and_then(|text| uri::parse(text).ok())
            .and_then(|parsed| parsed.credentials);
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
}
