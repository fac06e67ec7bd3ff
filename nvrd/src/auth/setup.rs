//! The first user: made by whoever has the one-time link that the daemon printed at its start.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use nvr_base::principal::{CameraAccess, Role};
use nvr_base::{Error, Secret};
use nvr_store::{NewAudit, SessionKind};

use super::people::{hash_of, random_text, same_text};
use super::{Auth, LoggedIn, NewAccount, Refused, accounts};

/// How long the link counts.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Letters of its secret: 256 bits.
const LETTERS: usize = 43;

/// A link that counts.
#[derive(Debug)]
pub(super) struct Setup {
    hash: String,
    /// Monotonic time of its end.
    until: Duration,
}

impl Auth {
    /// A new secret for the link, where there is no user yet; an earlier one counts no more.
    pub fn begin_setup(&self) -> Option<Secret> {
        if !self.needs_setup() {
            return None;
        }
        let secret = random_text(LETTERS);
        let setup = Setup {
            hash: hash_of(secret.expose()),
            until: self.clock.monotonic() + LIFE,
        };
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = Some(setup);
        Some(secret)
    }

    /// Makes the first user, who may do everything, and logs them in.
    ///
    /// # Errors
    /// When the secret does not count, a field is wrong, or there is a user already.
    pub async fn set_up(
        self: &Arc<Self>,
        secret: Secret,
        username: String,
        password: Secret,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, Refused> {
        if !self.needs_setup() {
            return Err(Error::precondition("there is a user already: log in").into());
        }
        self.attempts
            .take(address, "set-up", self.clock.monotonic())
            .map_err(Refused::too_many)?;
        self.hashed(move |this| {
            if !this.may_set_up(&secret) {
                return Err(Refused::forbidden(
                    "token: the set-up link is wrong, used or older than a day: start the recorder anew for another one",
                ));
            }
            let account = NewAccount {
                username,
                password,
                display_name: None,
                email: None,
                role: Role::Admin,
                cameras: CameraAccess::All,
                active: true,
                must_change_password: false,
            };
            let user = accounts::add_user(&this.store, &this.vault, &account, true)?;
            this.end_setup();
            this.attempts.give_back(address, "set-up");
            let logged = this.begin_session(&user, SessionKind::Token, address, None)?;
            let entry = NewAudit {
                action: "users.create".to_owned(),
                address: address.map(|address| address.to_string()),
                object: Some(user.name.clone()),
                detail: Some("the first user, by the set-up link".to_owned()),
                ..NewAudit::default()
            };
            this.note(&entry.by(&nvr_base::principal::Actor::User { id: user.id.clone(), name: user.name.clone() }));
            Ok(logged)
        })
        .await
    }

    /// Lets the link count no more.
    pub(super) fn end_setup(&self) {
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn may_set_up(&self, secret: &Secret) -> bool {
        let setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        setup.as_ref().is_some_and(|setup| {
            setup.until > self.clock.monotonic()
                && same_text(&setup.hash, &hash_of(secret.expose()))
        })
    }
}
