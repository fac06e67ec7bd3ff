//! Log-ins that last: each row is one browser or one family of tokens, and a row that is gone is a revoked one.

use diesel::prelude::*;
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::schema::{sessions, users};
use crate::users::changed;

/// Sessions of one user; a new one ends the oldest.
pub const MAX_SESSIONS_OF_USER: usize = 32;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// A cookie in a browser.
    Browser,
    /// Tokens of a program, which are renewed.
    Token,
}

impl SessionKind {
    /// `browser` or `token`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Token => "token",
        }
    }
}

/// A session as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// What it is for.
    pub kind: SessionKind,
    /// Hash of the secret that proves it, hex digits.
    pub secret_hash: String,
    /// Address it was opened from.
    pub address: Option<String>,
    /// What the client said it is.
    pub agent: Option<String>,
    /// When it was opened, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// When it was last used, about, microseconds since 1970-01-01 UTC.
    pub seen_us: i64,
    /// When it ends by itself, microseconds since 1970-01-01 UTC.
    pub expires_us: i64,
}

// By hand: what proves a session has no place in a log, hashed or not.
impl std::fmt::Debug for SessionRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionRow")
            .field("id", &self.id)
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

/// What became of a secret that was shown to be changed for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// The new one counts from now on.
    Done,
    /// It was an old one: somebody has a copy, so the session is gone.
    Replayed,
    /// There is no such session.
    Gone,
}

impl Store {
    /// Opens a session and notes the log-in; the user's oldest go where there are too many, and whatever has ended.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn add_session(&self, session: &SessionRow) -> Result<()> {
        let now_us = self.now_us();
        self.write(|conn| {
            let over = sessions::table.filter(sessions::expires_us.le(now_us));
            diesel::delete(over).execute(conn)?;
            let mine: Vec<String> = sessions::table
                .filter(sessions::user_id.eq(&session.user_id))
                .order((sessions::created_us.desc(), sessions::id.desc()))
                .select(sessions::id)
                .load(conn)?;
            for id in mine.iter().skip(MAX_SESSIONS_OF_USER - 1) {
                diesel::delete(sessions::table.find(id)).execute(conn)?;
            }
            diesel::insert_into(sessions::table)
                .values(&Record::from(session))
                .execute(conn)?;
            diesel::update(users::table.find(&session.user_id))
                .set(users::last_login_us.eq(Some(session.created_us)))
                .execute(conn)?;
            changed(conn)
        })
    }

    /// All sessions, the newest first.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn sessions(&self) -> Result<Vec<SessionRow>> {
        let records: Vec<Record> = self.read(|conn| {
            Ok(sessions::table
                .order((sessions::created_us.desc(), sessions::id.desc()))
                .select(Record::as_select())
                .load(conn)?)
        })?;
        records.into_iter().map(SessionRow::try_from).collect()
    }

    /// Replaces the secret of a session, which goes on until `until_us` then; one that is not the current one ends it.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn rotate_session(
        &self,
        id: &str,
        shown: &str,
        new: &str,
        until_us: i64,
    ) -> Result<Rotated> {
        let now_us = self.now_us();
        self.write(|conn| {
            let live = sessions::table
                .filter(sessions::id.eq(id))
                .filter(sessions::expires_us.gt(now_us));
            let current = live.filter(sessions::secret_hash.eq(shown));
            let updated = diesel::update(current)
                .set((
                    sessions::secret_hash.eq(new),
                    sessions::seen_us.eq(now_us),
                    sessions::expires_us.eq(until_us),
                ))
                .execute(conn)?;
            if updated > 0 {
                changed(conn)?;
                return Ok(Rotated::Done);
            }
            let gone = remove(conn, id)?;
            Ok(if gone {
                Rotated::Replayed
            } else {
                Rotated::Gone
            })
        })
    }

    /// Ends a session; `false` when there is none.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn delete_session(&self, id: &str) -> Result<bool> {
        self.write(|conn| remove(conn, id))
    }

    /// Notes when sessions were last used, microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn see_sessions(&self, seen: &[(String, i64)]) -> Result<()> {
        self.write(|conn| {
            for (id, at_us) in seen {
                diesel::update(sessions::table.find(id))
                    .set(sessions::seen_us.eq(at_us))
                    .execute(conn)?;
            }
            Ok(())
        })
    }
}

fn remove(conn: &mut Conn, id: &str) -> Result<bool, Failure> {
    let removed = diesel::delete(sessions::table.find(id)).execute(conn)? > 0;
    if removed {
        changed(conn)?;
    }
    Ok(removed)
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = sessions)]
struct Record {
    id: String,
    user_id: String,
    kind: String,
    secret_hash: String,
    address: Option<String>,
    agent: Option<String>,
    created_us: i64,
    seen_us: i64,
    expires_us: i64,
}

impl From<&SessionRow> for Record {
    fn from(row: &SessionRow) -> Self {
        let row = row.clone();
        Self {
            id: row.id,
            user_id: row.user_id,
            kind: row.kind.as_str().to_owned(),
            secret_hash: row.secret_hash,
            address: row.address,
            agent: row.agent,
            created_us: row.created_us,
            seen_us: row.seen_us,
            expires_us: row.expires_us,
        }
    }
}

impl TryFrom<Record> for SessionRow {
    type Error = Error;

    fn try_from(record: Record) -> Result<Self> {
        let kinds = [SessionKind::Browser, SessionKind::Token];
        let kind = kinds.into_iter().find(|kind| kind.as_str() == record.kind);
        Ok(Self {
            kind: kind.ok_or_else(|| {
                Error::data_loss(format!(
                    "the kind of session {:?} cannot be read",
                    record.id
                ))
            })?,
            id: record.id,
            user_id: record.user_id,
            secret_hash: record.secret_hash,
            address: record.address,
            agent: record.agent,
            created_us: record.created_us,
            seen_us: record.seen_us,
            expires_us: record.expires_us,
        })
    }
}
