//! Speaks with a controller in the API of `UniFi` Protect: a log-in that gives a cookie, and one answer with everything.

use std::time::Duration;

use http::Method;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use nvr_base::{Error, Result, Secret};
use serde_json::json;
use url::Url;

use super::bootstrap::Bootstrap;
use crate::outbound::{Answer, Call, Outbound};

/// How long one answer may take.
const TIME: Duration = Duration::from_secs(15);
/// Largest answer: a controller with a hundred cameras tells some megabytes.
const MAX_ANSWER: usize = 16 << 20;
/// Longest cookies and tokens, bytes.
const MAX_SESSION: usize = 8 << 10;

const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const NEW_CSRF: HeaderName = HeaderName::from_static("x-updated-csrf-token");

/// Where a controller is, and how to log in there.
pub(super) struct Device<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) username: &'a str,
    pub(super) password: &'a Secret,
    pub(super) verify_ssl: bool,
}

/// What a log-in gave; it holds until the controller says otherwise.
#[derive(Clone)]
pub(super) struct Session {
    cookie: HeaderValue,
    csrf: Option<HeaderValue>,
}

// By hand: whoever has it is logged in.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Device<'_> {
    /// Everything the controller tells, with the session there is or a new one.
    pub(super) async fn bootstrap(
        &self,
        outbound: &Outbound,
        session: Option<Session>,
    ) -> Result<(Bootstrap, Session)> {
        if let Some(session) = session {
            let answer = self.ask(outbound, &session).await?;
            // It ended, and another log-in gives a new one.
            if !matches!(answer.status, 401 | 403) {
                return self.read(&answer).map(|told| (told, session));
            }
        }
        let session = self.log_in(outbound).await?;
        let answer = self.ask(outbound, &session).await?;
        Ok((self.read(&answer)?, session))
    }

    async fn log_in(&self, outbound: &Outbound) -> Result<Session> {
        let body = json!({
            "username": self.username, "password": self.password.expose(), "rememberMe": false,
        });
        let call = self.call(outbound, Method::POST, "/api/auth/login")?;
        let answer = outbound.call(call.json(&body, true)).await?;
        let refused = |why: &str| Err(Error::unavailable(format!("{}: {why}", self.host)));
        match answer.status {
            200..=299 => {}
            400 | 401 | 403 => return refused("the user name or the password is refused"),
            404 => return refused("it has no log-in like that of a Protect controller"),
            429 => return refused("it wants no more log-ins for now"),
            499 => return refused("the user needs a second factor: use a local user without one"),
            status => return refused(&format!("the log-in ends with HTTP {status}")),
        }
        let cookie = cookies_of(&answer.headers).ok_or_else(|| {
            Error::unavailable(format!("{}: the log-in gives no cookie", self.host))
        })?;
        let csrf = answer
            .headers
            .get(NEW_CSRF)
            .or_else(|| answer.headers.get(CSRF));
        Ok(Session {
            cookie,
            csrf: csrf.filter(|token| token.len() <= MAX_SESSION).cloned(),
        })
    }

    async fn ask(&self, outbound: &Outbound, session: &Session) -> Result<Answer> {
        let mut call = self
            .call(outbound, Method::GET, "/proxy/protect/api/bootstrap")?
            .secret_header(COOKIE, session.cookie.clone());
        if let Some(csrf) = &session.csrf {
            call = call.secret_header(CSRF, csrf.clone());
        }
        outbound.call(call).await
    }

    fn read(&self, answer: &Answer) -> Result<Bootstrap> {
        let failed = |why: &str| Error::unavailable(format!("{}: {why}", self.host));
        match answer.status {
            200..=299 => Bootstrap::read(&answer.body).map_err(failed),
            401 | 403 => Err(failed("the user may not see the cameras")),
            404 => Err(failed("Protect is not installed there")),
            429 => Err(failed("it wants no more questions for now")),
            status => Err(failed(&format!("it answers with HTTP {status}"))),
        }
    }

    fn call(&self, outbound: &Outbound, method: Method, path: &str) -> Result<Call> {
        let url = url_of(outbound, self.host, self.port)?;
        let url = url
            .join(path)
            .map_err(|error| Error::internal(format!("{path}: {error}")))?;
        Ok(Call::new(method, url)
            .verify(self.verify_ssl)
            .time(TIME)
            .max_answer(MAX_ANSWER))
    }
}

/// The URL of a controller, whose host is a name or an address and nothing more.
pub(super) fn url_of(outbound: &Outbound, host: &str, port: u16) -> Result<Url> {
    outbound.check_url("host", &format!("https://{}:{port}/", in_url(host)?))
}

/// A host as it stands in a URL.
pub(super) fn in_url(host: &str) -> Result<String> {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(format!("[{host}]"));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match (1..=255).contains(&host.len()) && host.bytes().all(fits) {
        true => Ok(host.to_owned()),
        false => Err(Error::invalid(format!(
            "host: {host:?} is no name or address: leave out https:// and the port"
        ))),
    }
}

/// The cookies of a log-in in one header.
fn cookies_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let pairs: Vec<&str> = headers
        .get_all(SET_COOKIE)
        .iter()
        .take(8)
        .filter_map(|value| value.to_str().ok()?.split(';').next())
        .map(str::trim)
        .filter(|pair| pair.contains('='))
        .collect();
    let cookie = pairs.join("; ");
    (!cookie.is_empty() && cookie.len() <= MAX_SESSION)
        .then(|| HeaderValue::from_str(&cookie).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        let check = |host: &str, expect: Option<&str>| {
            assert_eq!(in_url(host).ok().as_deref(), expect, "{host}");
        };
        check("192.168.1.1", Some("192.168.1.1"));
        check("unvr.lan", Some("unvr.lan"));
        check("fd00::1", Some("[fd00::1]"));
        for bad in [
            "",
            "https://unvr.lan",
            "unvr.lan:443",
            "a/b",
            "u@h",
            "a b",
            "a#",
            "a?x",
            "[::1]",
            "ü.lan",
        ] {
            check(bad, None);
        }
        check(&"a".repeat(256), None);
    }

    #[test]
    fn cookies_are_joined_without_their_attributes() {
        let mut headers = HeaderMap::new();
        assert!(cookies_of(&headers).is_none());
        for value in ["TOKEN=abc; Path=/; HttpOnly", "other=1", "nonsense"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(value));
        }
        assert_eq!(cookies_of(&headers).unwrap(), "TOKEN=abc; other=1");
        headers.append(
            SET_COOKIE,
            HeaderValue::from_str(&format!("a={}", "x".repeat(9000))).unwrap(),
        );
        assert!(cookies_of(&headers).is_none());
    }
}
