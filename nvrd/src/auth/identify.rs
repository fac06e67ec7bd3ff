//! From the headers of a request to who asks.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use nvr_base::Principal;
use nvr_base::principal::Actor;

use super::meter::Metered;
use super::people::{KEY_MARK, Person, hash_of, same_text};
use super::tokens::Use;
use super::{Asked, Auth, Identified, Need, Refused, SESSION_COOKIE, address};

/// Cookie with a token for requests, as some clients keep it.
const TOKEN_COOKIE: &str = "access_token";

impl Auth {
    /// Says who asks.
    ///
    /// # Errors
    /// When credentials are missing, wrong or not enough, or too many requests came.
    pub async fn identify(&self, asked: &Asked<'_>) -> Result<Identified, Refused> {
        let peer = asked.peer.map(|peer| peer.ip());
        let address = address::client(peer, asked.headers, &self.trusted_proxies);
        if let Some(key) = shown_key(asked.headers) {
            return self.program(asked, key, address);
        }
        let mut found = match self.person(asked) {
            Ok(Some(found)) => found,
            Ok(None) => self.nobody(asked.need)?,
            // A page that is open to everybody is so to those whose log-in has ended, too.
            Err(_) if asked.need == Need::Public => self.nobody(asked.need)?,
            Err(refused) => return Err(refused),
        };
        found.address = address;
        self.allow(asked.need, &found.principal)?;
        Ok(found)
    }

    /// Who asks with nothing in hand.
    fn nobody(&self, need: Need) -> Result<Identified, Refused> {
        let principal = match (self.is_open(), need) {
            (true, _) => Principal::local(),
            (false, Need::Public) => Principal::anonymous(),
            _ if self.people().is_empty() => return Err(Refused::no_user_yet()),
            _ => return Err(Refused::not_authenticated()),
        };
        Ok(Identified {
            principal: Arc::new(principal),
            session: None,
            address: None,
            headers: Vec::new(),
        })
    }

    /// Whether they may do what is needed.
    fn allow(&self, need: Need, principal: &Principal) -> Result<(), Refused> {
        if let (Actor::User { id, .. }, false) = (
            &principal.actor,
            matches!(need, Need::Public | Need::Person),
        ) && self
            .people()
            .user(id)
            .is_some_and(|person| person.row.must_change_password)
        {
            return Err(Refused::forbidden(
                "choose a password of your own first: POST /api/v1/auth/change-password",
            ));
        }
        if need.allows(principal) {
            return Ok(());
        }
        let detail = match (need.takes(), &principal.scopes) {
            (Some((_, scope)), Some(_)) => {
                format!("API key lacks required scopes: {}", scope.as_str())
            }
            (Some((role, _)), None) => format!("this needs the role {}", role.as_str()),
            (None, _) => "an API key cannot do this: log in as a user".to_owned(),
        };
        Err(Refused::forbidden(detail))
    }

    /// A program that shows a key.
    fn program(
        &self,
        asked: &Asked<'_>,
        shown: &str,
        address: Option<IpAddr>,
    ) -> Result<Identified, Refused> {
        let (people, now_us) = (self.people(), self.clock.unix_us());
        let Some(program) = people.key(shown, now_us) else {
            return match asked.need {
                Need::Public => self.nobody(Need::Public),
                _ => Err(Refused::bad_key()),
            };
        };
        let row = &program.row;
        let now = self.clock.monotonic();
        let metered = self
            .meters
            .count(&row.id, row.per_minute, now, now_us, address);
        let headers = headers_of(metered, now_us);
        if metered.refused {
            return Err(over_the_limit(metered).with_all(&headers));
        }
        self.allow(asked.need, &program.principal)
            .map_err(|refused| refused.with_all(&headers))?;
        Ok(Identified {
            principal: Arc::clone(&program.principal),
            session: None,
            address,
            headers,
        })
    }

    /// A person by token or cookie; `None` when nothing was shown.
    fn person(&self, asked: &Asked<'_>) -> Result<Option<Identified>, Refused> {
        if let Some(shown) = asked.headers.get(AUTHORIZATION) {
            let token = shown.to_str().ok().and_then(bearer).ok_or_else(|| {
                Refused::unknown("Authorization: use Bearer and a token of POST /api/v1/auth/login")
            })?;
            return self.by_token(token).map(Some);
        }
        let session = cookie(asked.headers, SESSION_COOKIE);
        let token = cookie(asked.headers, TOKEN_COOKIE);
        if session.is_none() && token.is_none() {
            return Ok(None);
        }
        // A browser adds cookies by itself, also for a page of somebody else.
        let changes = !asked.method.is_safe() || asked.headers.contains_key(UPGRADE);
        if changes && !is_same_origin(asked.headers) {
            return Err(Refused::forbidden(
                "Origin: a change with a cookie must come from a page of this recorder",
            ));
        }
        match (session, token) {
            (Some(shown), _) => self.by_cookie(&shown).map(Some),
            (None, Some(token)) => self.by_token(&token).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn by_token(&self, token: &str) -> Result<Identified, Refused> {
        let invalid = || Refused::unknown("Invalid token");
        let now_us = self.clock.unix_us();
        let claims = self.tokens.check(Use::Access, token, self.now_unix());
        let claims = claims.ok_or_else(invalid)?;
        let people = self.people();
        let (session, person) = people.session(&claims.sid, now_us).ok_or_else(invalid)?;
        if session.user_id != claims.sub {
            return Err(invalid());
        }
        Ok(self.seen_now(&session.id, person))
    }

    fn by_cookie(&self, shown: &str) -> Result<Identified, Refused> {
        let over = || Refused::unknown("the session has ended: log in again");
        let (id, secret) = shown.split_once('.').ok_or_else(over)?;
        let people = self.people();
        let (session, person) = people.session(id, self.clock.unix_us()).ok_or_else(over)?;
        if session.kind != nvr_store::SessionKind::Browser
            || !same_text(&session.secret_hash, &hash_of(secret))
        {
            return Err(over());
        }
        Ok(self.seen_now(&session.id, person))
    }

    fn seen_now(&self, session: &str, person: &Person) -> Identified {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(session.to_owned(), self.clock.unix_us());
        Identified {
            principal: Arc::clone(&person.principal),
            session: Some(session.to_owned()),
            address: None,
            headers: Vec::new(),
        }
    }
}

/// The API key of a request; programs that send no header of their own, Prometheus say, show it as a token.
fn shown_key(headers: &HeaderMap) -> Option<&str> {
    if let Some(shown) = headers.get("x-api-key") {
        return Some(shown.to_str().unwrap_or_default());
    }
    let token = bearer(headers.get(AUTHORIZATION)?.to_str().ok()?)?;
    token.starts_with(KEY_MARK).then_some(token)
}

/// The token of an `Authorization` header.
fn bearer(shown: &str) -> Option<&str> {
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The first cookie of a name.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE);
    lines
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, value)| *found == name && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

/// Whether the browser says that a page of this very listener asks.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let authority = text(ORIGIN).and_then(|origin| origin.split_once("://"));
    authority.is_some_and(|(_, authority)| Some(authority) == text(HOST))
}

fn headers_of(metered: Metered, now_us: i64) -> Vec<(HeaderName, HeaderValue)> {
    let reset_us = i64::try_from(metered.reset.as_micros()).unwrap_or(i64::MAX);
    // Rounded up: at that second the request is really possible.
    let reset = now_us.saturating_add(reset_us).saturating_add(999_999) / 1_000_000;
    vec![
        (
            HeaderName::from_static("x-ratelimit-limit"),
            metered.limit.into(),
        ),
        (
            HeaderName::from_static("x-ratelimit-remaining"),
            metered.remaining.into(),
        ),
        (HeaderName::from_static("x-ratelimit-reset"), reset.into()),
    ]
}

fn over_the_limit(metered: Metered) -> Refused {
    let seconds = metered.reset.as_secs_f64().ceil().max(1.0) as u64;
    Refused {
        status: 429,
        detail: format!(
            "Rate limit exceeded. Limit: {}/minute. Retry after {seconds} seconds.",
            metered.limit
        ),
        headers: vec![(RETRY_AFTER, seconds.into())],
    }
}
