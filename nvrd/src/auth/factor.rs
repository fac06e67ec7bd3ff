//! Setting the second factor up and taking it away. All of it blocks.

use std::net::IpAddr;

use nvr_base::{Error, Secret};
use nvr_store::{Keep, UserRow};

use super::{Auth, Refused, second};

impl Auth {
    /// A new secret for a user and what a picture of it holds; it counts once a code of it was shown.
    ///
    /// # Errors
    /// When there is a second factor already.
    pub fn begin_second_factor(&self, user: &UserRow) -> Result<(Secret, Secret), Refused> {
        let secret = second::new_secret();
        let sealed = self.vault.seal(secret.expose());
        self.store.change_user(&user.id, Keep::All, |row| {
            if row.totp.is_some() {
                return Err(Error::precondition(
                    "there is a second factor already: take it away first",
                ));
            }
            row.totp_pending = Some(sealed);
            Ok(())
        })?;
        self.reload()?;
        let uri = second::uri(&secret, &user.name);
        Ok((secret, uri))
    }

    /// Lets the secret count that was begun with, for somebody who shows a code of it.
    ///
    /// # Errors
    /// When none was begun, the code is wrong, or too many attempts were made.
    pub fn confirm_second_factor(
        &self,
        user: &UserRow,
        code: &str,
        address: Option<IpAddr>,
    ) -> Result<(), Refused> {
        let pending = user.totp_pending.as_deref().ok_or_else(|| {
            Error::precondition("there is nothing to confirm: POST /api/v1/auth/mfa/setup first")
        })?;
        self.attempts
            .take(address, &user.name, self.clock.monotonic())
            .map_err(Refused::too_many)?;
        self.check_code(&user.id, pending, code)
            .map_err(|_| Refused::from(Error::invalid("code: it is not one of this moment")))?;
        self.attempts.give_back(address, &user.name);
        self.store.change_user(&user.id, Keep::All, |row| {
            // Another set-up may have begun meanwhile.
            if row.totp_pending.as_deref() == Some(pending) {
                row.totp = row.totp_pending.take();
            }
            Ok(())
        })?;
        Ok(self.reload()?)
    }

    /// Takes the second factor of a user away, who shows the password.
    ///
    /// # Errors
    /// When the password is not the right one, or too many attempts were made.
    pub fn drop_second_factor(
        &self,
        user: &UserRow,
        password: &Secret,
        address: Option<IpAddr>,
    ) -> Result<(), Refused> {
        self.check_password(user, password, address)?;
        self.store.change_user(&user.id, Keep::All, |row| {
            (row.totp, row.totp_pending) = (None, None);
            Ok(())
        })?;
        Ok(self.reload()?)
    }
}
