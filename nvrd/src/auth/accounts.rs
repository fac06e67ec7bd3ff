//! Making and changing users and keys, for the API and the command line alike. All of it blocks.

use std::collections::BTreeSet;

use nvr_base::principal::{CameraAccess, Role, Scope};
use nvr_base::{Error, Result, Secret, Slug};
use nvr_store::{Keep, KeyRow, NewKey, NewUser, Store, UserRow};

use super::password::{check_name, check_password, digest, hash};
use super::people::{KEY_MARK, hash_of, prefix_of, random_text};
use crate::vault::Vault;

/// Letters of a key after its mark: 190 bits.
const KEY_LETTERS: usize = 32;
/// Letters of a password that nobody chose.
const PASSWORD_LETTERS: usize = 20;
/// Most cameras that a user or a key is granted one by one.
const MAX_CAMERAS: usize = 256;
/// Most requests a minute.
const MAX_PER_MINUTE: u32 = 10_000;
/// Longest name of a key and of a person, in characters.
const MAX_NAME: usize = 100;
/// Longest address for mail, in bytes.
const MAX_EMAIL: usize = 254;

/// A user to be.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Log-in name.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// What a person calls them.
    pub display_name: Option<String>,
    /// Address for mail.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Which cameras they may know of.
    pub cameras: CameraAccess,
    /// Whether they may log in.
    pub active: bool,
    /// Whether they must choose a password first.
    pub must_change_password: bool,
}

/// What changes about a user; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    /// Password; a new one ends all sessions.
    pub password: Option<Secret>,
    /// A session that goes on whatever changes.
    pub keep_session: Option<String>,
    /// What a person calls them.
    pub display_name: Option<Option<String>>,
    /// Address for mail.
    pub email: Option<Option<String>>,
    /// What they may do.
    pub role: Option<Role>,
    /// Which cameras they may know of.
    pub cameras: Option<CameraAccess>,
    /// Whether they may log in.
    pub active: Option<bool>,
    /// Whether they must choose a password first.
    pub must_change_password: Option<bool>,
    /// Takes the second factor away.
    pub without_second_factor: bool,
}

/// A key to be.
#[derive(Debug, Clone)]
pub struct NewProgram {
    /// What a person calls it.
    pub name: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// Which cameras it may know of.
    pub cameras: CameraAccess,
    /// Requests a minute.
    pub per_minute: u32,
    /// From when on it does not count any more, microseconds since 1970-01-01 UTC.
    pub expires_us: Option<i64>,
    /// Who makes it.
    pub created_by: Option<String>,
}

/// Adds a user; with `first`, only where there is none yet.
///
/// # Errors
/// When a field is wrong, in a sentence that begins with its name, the name is taken, or the first user is no admin.
pub fn add_user(store: &Store, vault: &Vault, new: &NewAccount, first: bool) -> Result<UserRow> {
    check_name(&new.username)?;
    check_password("password", new.password.expose(), &new.username)?;
    check_text("display_name", new.display_name.as_deref(), MAX_NAME)?;
    check_email(new.email.as_deref())?;
    check_cameras(&new.cameras)?;
    // Nobody could log in to make another one.
    if (new.role != Role::Admin || !new.active) && store.users()?.is_empty() {
        return Err(Error::precondition(
            "role: the first user must be an active admin",
        ));
    }
    let user = NewUser {
        name: new.username.clone(),
        display_name: new.display_name.clone(),
        email: new.email.clone(),
        role: new.role,
        cameras: new.cameras.clone(),
        active: new.active,
        must_change_password: new.must_change_password,
        password_hash: hash(new.password.expose())?,
        digest: Some(vault.seal(&digest(&new.username, new.password.expose()))),
    };
    store.add_user(&user, first)
}

/// Changes a user.
///
/// # Errors
/// When a field is wrong, there is no such user, or nobody would be left who may manage.
pub fn change_user(
    store: &Store,
    vault: &Vault,
    id: &str,
    change: &AccountChange,
) -> Result<UserRow> {
    let before = store.user(id)?;
    check_text(
        "display_name",
        change
            .display_name
            .iter()
            .flatten()
            .next()
            .map(String::as_str),
        MAX_NAME,
    )?;
    check_email(change.email.iter().flatten().next().map(String::as_str))?;
    if let Some(cameras) = &change.cameras {
        check_cameras(cameras)?;
    }
    let secrets = match &change.password {
        None => None,
        Some(password) => {
            check_password("password", password.expose(), &before.name)?;
            let sealed = vault.seal(&digest(&before.name, password.expose()));
            Some((hash(password.expose())?, sealed))
        }
    };
    let ends = secrets.is_some() || change.active == Some(false);
    let keep = match (&change.keep_session, ends) {
        (_, false) => Keep::All,
        (Some(session), true) => Keep::Only(session),
        (None, true) => Keep::Nothing,
    };
    store.change_user(id, keep, |user| {
        if let Some((password_hash, digest)) = secrets {
            (user.password_hash, user.digest) = (password_hash, Some(digest));
        }
        if let Some(display_name) = &change.display_name {
            user.display_name = display_name.clone();
        }
        if let Some(email) = &change.email {
            user.email = email.clone();
        }
        if let Some(cameras) = &change.cameras {
            user.cameras = cameras.clone();
        }
        user.role = change.role.unwrap_or(user.role);
        user.active = change.active.unwrap_or(user.active);
        user.must_change_password = change
            .must_change_password
            .unwrap_or(user.must_change_password);
        if change.without_second_factor {
            (user.totp, user.totp_pending) = (None, None);
        }
        Ok(())
    })
}

/// The user with a log-in name.
///
/// # Errors
/// `NotFound` if there is none.
pub fn find_user(store: &Store, name: &str) -> Result<UserRow> {
    let mut users = store.users()?.into_iter();
    users
        .find(|user| user.name.to_lowercase() == name.to_lowercase())
        .ok_or_else(|| Error::not_found(format!("no user is called {name:?}")))
}

/// A password that nobody chose.
pub fn generate_password() -> Secret {
    random_text(PASSWORD_LETTERS)
}

/// Adds a key, which is told this once.
///
/// # Errors
/// When a field is wrong, in a sentence that begins with its name, or there are too many keys.
pub fn add_key(store: &Store, new: &NewProgram) -> Result<(KeyRow, Secret)> {
    if new.name.trim().is_empty() {
        return Err(Error::invalid("name: say what the key is for"));
    }
    check_text("name", Some(&new.name), MAX_NAME)?;
    if new.scopes.is_empty() {
        return Err(Error::invalid(
            "scopes: use one or more of read:events, read:cameras, write:cameras and admin",
        ));
    }
    if !(1..=MAX_PER_MINUTE).contains(&new.per_minute) {
        return Err(Error::invalid(format!(
            "rate_limit_per_minute: {} is out of range: use 1 to {MAX_PER_MINUTE}",
            new.per_minute
        )));
    }
    if new.expires_us.is_some_and(|end| end <= store.now_unix_us()) {
        return Err(Error::invalid("expires_at: it is over already"));
    }
    check_cameras(&new.cameras)?;
    let key = Secret::new(format!("{KEY_MARK}{}", random_text(KEY_LETTERS).expose()));
    let row = store.add_key(&NewKey {
        name: new.name.clone(),
        prefix: prefix_of(key.expose())
            .expect("it begins with the mark")
            .to_owned(),
        hash: hash_of(key.expose()),
        scopes: new.scopes.clone(),
        cameras: new.cameras.clone(),
        per_minute: new.per_minute,
        created_by: new.created_by.clone(),
        expires_us: new.expires_us,
    })?;
    Ok((row, key))
}

fn check_text(field: &str, text: Option<&str>, most: usize) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "{field}: use {most} characters or less, and no control character"
        )));
    }
    Ok(())
}

fn check_email(email: Option<&str>) -> Result<()> {
    let Some(email) = email else { return Ok(()) };
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    let parts = email.split_once('@');
    let good = email.len() <= MAX_EMAIL
        && email.chars().all(plain)
        && parts.is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    match good {
        true => Ok(()),
        false => Err(Error::invalid("email: it is no address for mail")),
    }
}

fn check_cameras(cameras: &CameraAccess) -> Result<()> {
    let CameraAccess::Only(names) = cameras else {
        return Ok(());
    };
    if names.len() > MAX_CAMERAS {
        return Err(Error::invalid(format!(
            "cameras: name {MAX_CAMERAS} or less"
        )));
    }
    for name in names {
        name.parse::<Slug>()
            .map_err(|error| Error::invalid(format!("cameras: {error}")))?;
    }
    Ok(())
}
