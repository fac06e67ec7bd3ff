//! Users: who may log in, as what, and which cameras they may know of.
//!
//! Nothing here knows how a password is hashed or a secret sealed: both come in as they shall be stored.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use nvr_base::principal::{CameraAccess, Role};
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::schema::{identity, sessions, user_cameras, users};

/// Most users of one daemon; all of them are held in memory.
pub const MAX_USERS: usize = 1000;

/// A user as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// Log-in name, unique whatever the case of its letters, never changed.
    pub name: String,
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
    /// Whether they may do nothing before they chose a password of their own.
    pub must_change_password: bool,
    /// The hash of the password, in the PHC format.
    pub password_hash: String,
    /// What the password is for Digest, sealed.
    pub digest: Option<String>,
    /// The secret of the second factor, sealed; absent where there is none.
    pub totp: Option<String>,
    /// The secret of a second factor that was not confirmed yet, sealed.
    pub totp_pending: Option<String>,
    /// The last step of time whose code was used; no code is taken twice.
    pub totp_step: Option<i64>,
    /// When they were added, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// When they were last changed, microseconds since 1970-01-01 UTC.
    pub updated_us: i64,
    /// When they last logged in, microseconds since 1970-01-01 UTC.
    pub last_login_us: Option<i64>,
}

/// A user to be.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Log-in name.
    pub name: String,
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
    /// Whether they may do nothing before they chose a password of their own.
    pub must_change_password: bool,
    /// The hash of the password, in the PHC format.
    pub password_hash: String,
    /// What the password is for Digest, sealed.
    pub digest: Option<String>,
}

// By hand: hashes and sealed texts have no place in a log.
macro_rules! debug_by_name {
    ($($type:ident),+) => {
        $(impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("name", &self.name)
                    .field("role", &self.role)
                    .field("active", &self.active)
                    .finish_non_exhaustive()
            }
        })+
    };
}

debug_by_name!(UserRow, NewUser);

/// Which log-ins of a user go on after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep<'a> {
    /// All.
    All,
    /// This session alone.
    Only(&'a str),
    /// None.
    Nothing,
}

impl Store {
    /// How often users, sessions and keys were changed, by whatever program.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn identity_version(&self) -> Result<i64> {
        self.read(|conn| {
            let version: Option<i64> = identity::table
                .find(1)
                .select(identity::version)
                .first(conn)
                .optional()?;
            Ok(version.unwrap_or(0))
        })
    }

    /// All users, by name.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn users(&self) -> Result<Vec<UserRow>> {
        self.read(all)
    }

    /// The user with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn user(&self, id: &str) -> Result<UserRow> {
        self.read(|conn| existing(conn, id))
    }

    /// Adds a user; with `first`, only where there is none yet.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `FailedPrecondition` if there is a user although it should be the first,
    /// `ResourceExhausted` if there are too many.
    pub fn add_user(&self, user: &NewUser, first: bool) -> Result<UserRow> {
        let id = self.new_id();
        let now_us = self.now_us();
        self.write(|conn| {
            let count: i64 = users::table.count().get_result(conn)?;
            if first && count > 0 {
                return Err(Error::precondition("there is a user already: log in").into());
            }
            if count >= MAX_USERS as i64 {
                return Err(
                    Error::exhausted(format!("there are {MAX_USERS} users already")).into(),
                );
            }
            let taken: i64 = users::table
                .filter(users::name_key.eq(key_of(&user.name)))
                .count()
                .get_result(conn)?;
            if taken > 0 {
                return Err(Error::already_exists(format!(
                    "username: {:?} exists already",
                    user.name
                ))
                .into());
            }
            let row = row_of(user.clone(), id, now_us);
            diesel::insert_into(users::table)
                .values(&Record::from(&row))
                .execute(conn)?;
            set_cameras(conn, &row)?;
            changed(conn)?;
            Ok(row)
        })
    }

    /// Changes a user to what `change` makes of them, and ends the sessions that are not to be kept.
    ///
    /// Neither the name nor the id changes.
    ///
    /// # Errors
    /// `NotFound` if there is none, `FailedPrecondition` if nobody would be left who may manage, that of `change`.
    pub fn change_user(
        &self,
        id: &str,
        keep: Keep<'_>,
        change: impl FnOnce(&mut UserRow) -> Result<()>,
    ) -> Result<UserRow> {
        let now_us = self.now_us();
        self.write(|conn| {
            let before = existing(conn, id)?;
            let mut row = before.clone();
            change(&mut row)?;
            (row.id, row.name) = (before.id.clone(), before.name.clone());
            row.updated_us = now_us;
            if manages(&before) && !manages(&row) {
                refuse_to_remove_the_last(conn, &before)?;
            }
            diesel::update(users::table.find(id))
                .set(&Record::from(&row))
                .execute(conn)?;
            set_cameras(conn, &row)?;
            let ended = sessions::table.filter(sessions::user_id.eq(id));
            match keep {
                Keep::All => {}
                Keep::Only(session) => {
                    diesel::delete(ended.filter(sessions::id.ne(session))).execute(conn)?;
                }
                Keep::Nothing => {
                    diesel::delete(ended).execute(conn)?;
                }
            }
            changed(conn)?;
            Ok(row)
        })
    }

    /// Removes a user and their sessions.
    ///
    /// # Errors
    /// `NotFound` if there is none, `FailedPrecondition` if nobody would be left who may manage.
    pub fn delete_user(&self, id: &str) -> Result<UserRow> {
        self.write(|conn| {
            let before = existing(conn, id)?;
            if manages(&before) {
                refuse_to_remove_the_last(conn, &before)?;
            }
            diesel::delete(users::table.find(id)).execute(conn)?;
            changed(conn)?;
            Ok(before)
        })
    }

    /// Marks a code of the second factor as used; `false` when it or a later one was used before.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn use_totp_step(&self, id: &str, step: i64) -> Result<bool> {
        self.write(|conn| {
            let unused = users::table
                .filter(users::id.eq(id))
                .filter(users::totp_step.is_null().or(users::totp_step.lt(step)));
            Ok(diesel::update(unused)
                .set(users::totp_step.eq(Some(step)))
                .execute(conn)?
                > 0)
        })
    }
}

/// Notes that something about users, sessions or keys changed.
pub(crate) fn changed(conn: &mut Conn) -> Result<(), Failure> {
    let updated = diesel::update(identity::table.find(1))
        .set(identity::version.eq(identity::version + 1))
        .execute(conn)?;
    if updated == 0 {
        diesel::insert_into(identity::table)
            .values((identity::one.eq(1), identity::version.eq(1_i64)))
            .execute(conn)?;
    }
    Ok(())
}

/// What makes two names the same.
fn key_of(name: &str) -> String {
    name.to_lowercase()
}

fn manages(user: &UserRow) -> bool {
    user.active && user.role == Role::Admin
}

fn refuse_to_remove_the_last(conn: &mut Conn, user: &UserRow) -> Result<(), Failure> {
    let others: i64 = users::table
        .filter(users::active.eq(true))
        .filter(users::role.eq(Role::Admin.as_str()))
        .filter(users::id.ne(&user.id))
        .count()
        .get_result(conn)?;
    if others == 0 {
        return Err(Error::precondition(format!(
            "{:?} is the last active admin: make another user one first",
            user.name
        ))
        .into());
    }
    Ok(())
}

fn set_cameras(conn: &mut Conn, user: &UserRow) -> Result<(), Failure> {
    let before = user_cameras::table.filter(user_cameras::user_id.eq(&user.id));
    diesel::delete(before).execute(conn)?;
    let CameraAccess::Only(names) = &user.cameras else {
        return Ok(());
    };
    for name in names {
        diesel::insert_into(user_cameras::table)
            .values((
                user_cameras::user_id.eq(&user.id),
                user_cameras::camera.eq(name),
            ))
            .execute(conn)?;
    }
    Ok(())
}

fn all(conn: &mut Conn) -> Result<Vec<UserRow>, Failure> {
    let mut cameras: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let granted: Vec<(String, String)> = user_cameras::table
        .select((user_cameras::user_id, user_cameras::camera))
        .load(conn)?;
    for (id, camera) in granted {
        cameras.entry(id).or_default().insert(camera);
    }
    let records: Vec<Record> = users::table
        .order(users::name_key)
        .select(Record::as_select())
        .load(conn)?;
    records
        .into_iter()
        .map(|record| {
            let cameras = cameras.remove(&record.id).unwrap_or_default();
            record.into_row(cameras)
        })
        .collect()
}

fn existing(conn: &mut Conn, id: &str) -> Result<UserRow, Failure> {
    let record: Option<Record> = users::table
        .find(id)
        .select(Record::as_select())
        .first(conn)
        .optional()?;
    let record = record.ok_or_else(|| Error::not_found(format!("no user has the id {id:?}")))?;
    let cameras: Vec<String> = user_cameras::table
        .filter(user_cameras::user_id.eq(id))
        .select(user_cameras::camera)
        .load(conn)?;
    record.into_row(cameras.into_iter().collect())
}

fn row_of(user: NewUser, id: String, now_us: i64) -> UserRow {
    UserRow {
        id,
        name: user.name,
        display_name: user.display_name,
        email: user.email,
        role: user.role,
        cameras: user.cameras,
        active: user.active,
        must_change_password: user.must_change_password,
        password_hash: user.password_hash,
        digest: user.digest,
        totp: None,
        totp_pending: None,
        totp_step: None,
        created_us: now_us,
        updated_us: now_us,
        last_login_us: None,
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = users, treat_none_as_null = true)]
struct Record {
    id: String,
    name: String,
    name_key: String,
    display_name: Option<String>,
    email: Option<String>,
    role: String,
    all_cameras: bool,
    active: bool,
    must_change_password: bool,
    password_hash: String,
    digest: Option<String>,
    totp: Option<String>,
    totp_pending: Option<String>,
    totp_step: Option<i64>,
    created_us: i64,
    updated_us: i64,
    last_login_us: Option<i64>,
}

impl From<&UserRow> for Record {
    fn from(row: &UserRow) -> Self {
        let row = row.clone();
        Self {
            name_key: key_of(&row.name),
            id: row.id,
            name: row.name,
            display_name: row.display_name,
            email: row.email,
            role: row.role.as_str().to_owned(),
            all_cameras: row.cameras == CameraAccess::All,
            active: row.active,
            must_change_password: row.must_change_password,
            password_hash: row.password_hash,
            digest: row.digest,
            totp: row.totp,
            totp_pending: row.totp_pending,
            totp_step: row.totp_step,
            created_us: row.created_us,
            updated_us: row.updated_us,
            last_login_us: row.last_login_us,
        }
    }
}

impl Record {
    fn into_row(self, cameras: BTreeSet<String>) -> Result<UserRow, Failure> {
        let role = self.role.parse().map_err(|error| {
            Error::data_loss(format!("the role of user {:?} cannot be read", self.name))
                .with_source(error)
        })?;
        Ok(UserRow {
            id: self.id,
            name: self.name,
            display_name: self.display_name,
            email: self.email,
            role,
            cameras: match self.all_cameras {
                true => CameraAccess::All,
                false => CameraAccess::Only(cameras),
            },
            active: self.active,
            must_change_password: self.must_change_password,
            password_hash: self.password_hash,
            digest: self.digest,
            totp: self.totp,
            totp_pending: self.totp_pending,
            totp_step: self.totp_step,
            created_us: self.created_us,
            updated_us: self.updated_us,
            last_login_us: self.last_login_us,
        })
    }
}

#[cfg(test)]
#[path = "users_tests.rs"]
mod tests;
