//! Logging in, going on, and logging out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nvr_base::{Principal, Result, Secret};
use nvr_store::{NewAudit, Rotated, SessionKind, SessionRow, UserRow};

use super::people::{hash_of, random_text};
use super::tokens::{ACCESS_S, REFRESH_S, Use};
use super::{Auth, Refused, password, second};

/// How long a browser stays logged in, in seconds.
const BROWSER_S: i64 = 30 * 86_400;
/// How long a log-in waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Letters of the secret in a cookie: 256 bits.
const SECRET_LETTERS: usize = 43;
/// Longest name of a client that is kept.
const MAX_AGENT: usize = 200;

/// Who wants to log in.
#[derive(Debug)]
pub struct LogIn {
    /// Name of the user.
    pub username: String,
    /// Their password.
    pub password: Secret,
    /// A code of the second factor.
    pub code: Option<String>,
    /// What for.
    pub kind: SessionKind,
    /// Where they ask from.
    pub address: Option<IpAddr>,
    /// What the client says it is.
    pub agent: Option<String>,
}

/// Tokens of a session.
#[derive(Debug)]
pub struct Tokens {
    /// For requests.
    pub access: Secret,
    /// For renewal; good once.
    pub refresh: Secret,
    /// How long the first counts, in seconds.
    pub expires_in: i64,
}

/// Somebody who is logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who it is.
    pub user: UserRow,
    /// The session.
    pub session: SessionRow,
    /// What the cookie of a browser holds, or the tokens of a program.
    pub proof: Proof,
}

/// What proves a session.
#[derive(Debug)]
pub enum Proof {
    /// A cookie's value.
    Cookie(Secret),
    /// Tokens.
    Tokens(Tokens),
}

impl Auth {
    /// Logs somebody in.
    ///
    /// # Errors
    /// When name, password or code are wrong, the user may not log in, or too many attempts were made.
    pub async fn log_in(self: &Arc<Self>, asked: LogIn) -> Result<LoggedIn, Refused> {
        if self.needs_setup() {
            return Err(Refused::no_user_yet());
        }
        self.attempts
            .take(asked.address, &asked.username, self.clock.monotonic())
            .map_err(Refused::too_many)?;
        self.hashed(move |this| {
            let done = this.check_log_in(&asked);
            let user = done.as_ref().ok().map(|logged| &logged.user);
            if user.is_some() {
                this.attempts.give_back(asked.address, &asked.username);
            }
            this.note_log_in(&asked, user, done.as_ref().err());
            done
        })
        .await
    }

    /// Gives new tokens for the one for renewal; one that was used before ends the session.
    ///
    /// # Errors
    /// When it does not count.
    pub async fn refresh(
        self: &Arc<Self>,
        token: Secret,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, Refused> {
        self.blocking(move |this| this.refresh_now(&token, address))
            .await
    }

    /// Ends a session. Blocks.
    ///
    /// # Errors
    /// Those of the database.
    pub fn log_out(&self, session: &str) -> Result<bool> {
        let ended = self.store.delete_session(session)?;
        self.reload()?;
        Ok(ended)
    }

    /// Whether a password is that of a user, counted as an attempt to log in. Blocks.
    ///
    /// # Errors
    /// When it is not, or too many attempts were made.
    pub fn check_password(
        &self,
        user: &UserRow,
        shown: &Secret,
        address: Option<IpAddr>,
    ) -> Result<(), Refused> {
        self.attempts
            .take(address, &user.name, self.clock.monotonic())
            .map_err(Refused::too_many)?;
        if !password::verify(shown.expose(), Some(&user.password_hash)) {
            return Err(Refused::forbidden("the password is not the right one"));
        }
        self.attempts.give_back(address, &user.name);
        Ok(())
    }

    /// Checks a code against a sealed secret, and marks it as used. Blocks.
    ///
    /// # Errors
    /// When it is wrong or was used before.
    pub fn check_code(&self, user_id: &str, sealed: &str, code: &str) -> Result<(), Refused> {
        let secret = self.vault.open(sealed)?;
        let wrong = || Refused::second_factor("code: it is wrong or was used before");
        let step = second::step_of(&secret, code, self.now_unix())?.ok_or_else(wrong)?;
        match self.store.use_totp_step(user_id, step)? {
            true => Ok(()),
            false => Err(wrong()),
        }
    }

    /// Work that costs a core and memory: as many at once as there are cores.
    pub(super) async fn hashed<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let turn = Arc::clone(&self.hashing).acquire_owned();
        let turn = tokio::time::timeout(TURN, turn).await;
        let turn = turn
            .map_err(|_| Refused::busy("too many log-ins at once: try again"))?
            .expect("nobody closes the turns");
        self.blocking(move |this| {
            let done = work(this);
            drop(turn);
            done
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&this)).await;
        done.map_err(|error| nvr_base::Error::internal("a log-in panicked").with_source(error))?
    }

    fn check_log_in(&self, asked: &LogIn) -> Result<LoggedIn, Refused> {
        let people = self.people();
        let person = people.named(&asked.username);
        let hash = person.map(|person| person.row.password_hash.as_str());
        let right = password::verify(asked.password.expose(), hash);
        let Some(person) = person.filter(|_| right) else {
            return Err(Refused::unknown("Incorrect username or password"));
        };
        if !person.row.active {
            return Err(Refused::forbidden("Account disabled"));
        }
        if let Some(sealed) = &person.row.totp {
            let code = asked.code.as_deref().filter(|code| !code.is_empty());
            let code = code.ok_or_else(|| {
                Refused::second_factor("code: a code of the second factor is needed")
            })?;
            self.check_code(&person.row.id, sealed, code)?;
        }
        let agent = asked.agent.as_deref();
        self.begin_session(&person.row, asked.kind, asked.address, agent)
    }

    /// Opens a session for a user. Blocks.
    pub(super) fn begin_session(
        &self,
        user: &UserRow,
        kind: SessionKind,
        address: Option<IpAddr>,
        agent: Option<&str>,
    ) -> Result<LoggedIn, Refused> {
        let (id, now_us) = (self.store.new_id(), self.clock.unix_us());
        let (proof, secret_hash, life_s) = match kind {
            SessionKind::Browser => {
                let secret = random_text(SECRET_LETTERS);
                let hash = hash_of(secret.expose());
                let cookie = Secret::new(format!("{id}.{}", secret.expose()));
                (Proof::Cookie(cookie), hash, BROWSER_S)
            }
            SessionKind::Token => {
                let (tokens, hash) = self.new_tokens(&user.id, &id)?;
                (Proof::Tokens(tokens), hash, REFRESH_S)
            }
        };
        let session = SessionRow {
            id,
            user_id: user.id.clone(),
            kind,
            secret_hash,
            address: address.map(|address| address.to_string()),
            agent: agent.map(|agent| agent.chars().take(MAX_AGENT).collect()),
            created_us: now_us,
            seen_us: now_us,
            expires_us: now_us.saturating_add(life_s * 1_000_000),
        };
        self.store.add_session(&session)?;
        self.reload()?;
        let user = self.user(&user.id).unwrap_or_else(|| user.clone());
        Ok(LoggedIn {
            user,
            session,
            proof,
        })
    }

    fn refresh_now(&self, token: &Secret, address: Option<IpAddr>) -> Result<LoggedIn, Refused> {
        let invalid = || Refused::unknown("Invalid token");
        let claims = self
            .tokens
            .check(Use::Refresh, token.expose(), self.now_unix());
        let claims = claims.ok_or_else(invalid)?;
        let (tokens, hash) = self.new_tokens(&claims.sub, &claims.sid)?;
        let until_us = self.clock.unix_us().saturating_add(REFRESH_S * 1_000_000);
        let shown = hash_of(&claims.jti);
        let rotated = self
            .store
            .rotate_session(&claims.sid, &shown, &hash, until_us)?;
        self.reload()?;
        if rotated == Rotated::Replayed {
            let name = self.user(&claims.sub).map(|user| user.name);
            let entry = NewAudit {
                action: "session.replayed".to_owned(),
                address: address.map(|address| address.to_string()),
                object: name,
                refused: true,
                detail: Some("a token for renewal came twice: its session was ended".to_owned()),
                ..NewAudit::default()
            };
            self.note(&entry.by(&Principal::anonymous().actor));
        }
        let people = self.people();
        match (rotated, people.session(&claims.sid, self.clock.unix_us())) {
            (Rotated::Done, Some((session, person))) => Ok(LoggedIn {
                user: person.row.clone(),
                session: session.clone(),
                proof: Proof::Tokens(tokens),
            }),
            _ => Err(invalid()),
        }
    }

    fn new_tokens(&self, user: &str, session: &str) -> Result<(Tokens, String)> {
        let now = self.now_unix();
        let (access, _) = self.tokens.sign(Use::Access, user, session, now)?;
        let (refresh, jti) = self.tokens.sign(Use::Refresh, user, session, now)?;
        let tokens = Tokens {
            access: Secret::new(access),
            refresh: Secret::new(refresh),
            expires_in: ACCESS_S,
        };
        Ok((tokens, hash_of(&jti)))
    }

    fn note_log_in(&self, asked: &LogIn, user: Option<&UserRow>, failed: Option<&Refused>) {
        let entry = NewAudit {
            action: "session.open".to_owned(),
            address: asked.address.map(|address| address.to_string()),
            object: Some(asked.username.chars().take(64).collect()),
            refused: failed.is_some(),
            status: failed.map(|refused| refused.status),
            detail: failed.map(|refused| refused.detail.clone()),
            ..NewAudit::default()
        };
        let people = self.people();
        let known = user.and_then(|user| people.user(&user.id));
        let actor = known.map(|person| person.principal.actor.clone());
        self.note(&entry.by(&actor.unwrap_or(Principal::anonymous().actor)));
    }
}
