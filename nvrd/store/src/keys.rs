//! API keys: what programs show instead of a password, and how often each was used.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use nvr_base::principal::{CameraAccess, Scope};
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::page::{Page, PageRequest};
use crate::schema::{api_key_cameras, api_keys};
use crate::users::changed;

/// Most keys that count; all of them are held in memory.
pub const MAX_KEYS: usize = 1000;

/// A key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// Its first letters, by which people recognise it.
    pub prefix: String,
    /// Hash of the whole key, hex digits.
    pub hash: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// Which cameras it may know of.
    pub cameras: CameraAccess,
    /// Requests that it may make in a minute.
    pub per_minute: u32,
    /// Name of the user who made it.
    pub created_by: Option<String>,
    /// When it was made, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// From when on it does not count any more, microseconds since 1970-01-01 UTC.
    pub expires_us: Option<i64>,
    /// When it was revoked, microseconds since 1970-01-01 UTC.
    pub revoked_us: Option<i64>,
    /// Requests made with it.
    pub uses: u64,
    /// When it was last used, microseconds since 1970-01-01 UTC.
    pub last_used_us: Option<i64>,
    /// Where it was last used from.
    pub last_used_ip: Option<String>,
}

// By hand: a hash has no place in a log.
impl std::fmt::Debug for KeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRow")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A key to be.
#[derive(Clone)]
pub struct NewKey {
    /// What a person calls it.
    pub name: String,
    /// Its first letters.
    pub prefix: String,
    /// Hash of the whole key, hex digits.
    pub hash: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// Which cameras it may know of.
    pub cameras: CameraAccess,
    /// Requests that it may make in a minute, 1 to 10000.
    pub per_minute: u32,
    /// Name of the user who makes it.
    pub created_by: Option<String>,
    /// From when on it does not count any more, microseconds since 1970-01-01 UTC.
    pub expires_us: Option<i64>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Requests made with a key since the last time this was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Id of the key.
    pub id: String,
    /// How many.
    pub count: u64,
    /// When the last one came, microseconds since 1970-01-01 UTC.
    pub at_us: i64,
    /// Where it came from.
    pub ip: Option<String>,
}

impl Store {
    /// Adds a key.
    ///
    /// # Errors
    /// `ResourceExhausted` if there are too many.
    pub fn add_key(&self, key: &NewKey) -> Result<KeyRow> {
        let (id, now_us) = (self.new_id(), self.now_us());
        let key = key.clone();
        self.write(|conn| {
            let count: i64 = api_keys::table
                .filter(api_keys::revoked_us.is_null())
                .count()
                .get_result(conn)?;
            if count >= MAX_KEYS as i64 {
                return Err(Error::exhausted(format!(
                    "there are {MAX_KEYS} API keys already: revoke those that nobody uses"
                ))
                .into());
            }
            let row = KeyRow {
                id,
                name: key.name,
                prefix: key.prefix,
                hash: key.hash,
                scopes: key.scopes,
                cameras: key.cameras,
                per_minute: key.per_minute,
                created_by: key.created_by,
                created_us: now_us,
                expires_us: key.expires_us,
                revoked_us: None,
                uses: 0,
                last_used_us: None,
                last_used_ip: None,
            };
            diesel::insert_into(api_keys::table)
                .values(&Record::from(&row))
                .execute(conn)?;
            if let CameraAccess::Only(names) = &row.cameras {
                for name in names {
                    diesel::insert_into(api_key_cameras::table)
                        .values((
                            api_key_cameras::key_id.eq(&row.id),
                            api_key_cameras::camera.eq(name),
                        ))
                        .execute(conn)?;
                }
            }
            changed(conn)?;
            Ok(row)
        })
    }

    /// A page of the keys, the newest first.
    ///
    /// # Errors
    /// `InvalidArgument` for a page that cannot be.
    pub fn keys(&self, with_revoked: bool, page: PageRequest) -> Result<Page<KeyRow>> {
        let (limit, offset) = page.window()?;
        self.read(|conn| {
            let mut total = api_keys::table.into_boxed();
            let mut items = api_keys::table.into_boxed();
            if !with_revoked {
                total = total.filter(api_keys::revoked_us.is_null());
                items = items.filter(api_keys::revoked_us.is_null());
            }
            let total: i64 = total.count().get_result(conn)?;
            let records = items
                .order(api_keys::id.desc())
                .limit(limit)
                .offset(offset)
                .select(Record::as_select())
                .load(conn)?;
            Ok(Page {
                items: with_cameras(conn, records)?,
                total: total.cast_unsigned(),
            })
        })
    }

    /// Every key that was not revoked.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn live_keys(&self) -> Result<Vec<KeyRow>> {
        self.read(|conn| {
            let records = api_keys::table
                .filter(api_keys::revoked_us.is_null())
                .select(Record::as_select())
                .load(conn)?;
            with_cameras(conn, records)
        })
    }

    /// The key with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn key(&self, id: &str) -> Result<KeyRow> {
        self.read(|conn| existing(conn, id))
    }

    /// Revokes a key for good; the oldest revoked ones are forgotten where there are too many.
    ///
    /// # Errors
    /// `NotFound` if there is none that counts.
    pub fn revoke_key(&self, id: &str) -> Result<KeyRow> {
        let now_us = self.now_us();
        self.write(|conn| {
            let row = existing(conn, id)?;
            if row.revoked_us.is_some() {
                return Err(unknown(id).into());
            }
            diesel::update(api_keys::table.find(id))
                .set(api_keys::revoked_us.eq(Some(now_us)))
                .execute(conn)?;
            let revoked: Vec<String> = api_keys::table
                .filter(api_keys::revoked_us.is_not_null())
                .order(api_keys::revoked_us.desc())
                .offset(MAX_KEYS as i64)
                .limit(MAX_KEYS as i64)
                .select(api_keys::id)
                .load(conn)?;
            for old in revoked {
                diesel::delete(api_keys::table.find(old)).execute(conn)?;
            }
            changed(conn)?;
            Ok(KeyRow {
                revoked_us: Some(now_us),
                ..row
            })
        })
    }

    /// Adds to what is known of the use of keys; one that is gone is passed over.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn note_key_uses(&self, uses: &[KeyUse]) -> Result<()> {
        self.write(|conn| {
            for made in uses {
                let count = i64::try_from(made.count).unwrap_or(i64::MAX);
                diesel::update(api_keys::table.find(&made.id))
                    .set((
                        api_keys::uses.eq(api_keys::uses + count),
                        api_keys::last_used_us.eq(Some(made.at_us)),
                        api_keys::last_used_ip.eq(made.ip.as_deref()),
                    ))
                    .execute(conn)?;
            }
            Ok(())
        })
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("no API key has the id {id:?}"))
}

fn existing(conn: &mut Conn, id: &str) -> Result<KeyRow, Failure> {
    let record = api_keys::table
        .find(id)
        .select(Record::as_select())
        .first(conn)
        .optional()?;
    let found = with_cameras(conn, record.into_iter().collect())?.pop();
    found.ok_or_else(|| unknown(id).into())
}

fn with_cameras(conn: &mut Conn, records: Vec<Record>) -> Result<Vec<KeyRow>, Failure> {
    let limited: Vec<&str> = records
        .iter()
        .filter(|record| !record.all_cameras)
        .map(|record| record.id.as_str())
        .collect();
    let mut cameras: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // Few names at once: a database takes only so many values in one query.
    for ids in limited.chunks(500) {
        let granted: Vec<(String, String)> = api_key_cameras::table
            .filter(api_key_cameras::key_id.eq_any(ids))
            .select((api_key_cameras::key_id, api_key_cameras::camera))
            .load(conn)?;
        for (id, camera) in granted {
            cameras.entry(id).or_default().insert(camera);
        }
    }
    records
        .into_iter()
        .map(|record| {
            let cameras = cameras.remove(&record.id).unwrap_or_default();
            record.into_row(cameras)
        })
        .collect()
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys)]
struct Record {
    id: String,
    name: String,
    prefix: String,
    hash: String,
    scopes: String,
    all_cameras: bool,
    per_minute: i64,
    created_by: Option<String>,
    created_us: i64,
    expires_us: Option<i64>,
    revoked_us: Option<i64>,
    uses: i64,
    last_used_us: Option<i64>,
    last_used_ip: Option<String>,
}

impl From<&KeyRow> for Record {
    fn from(row: &KeyRow) -> Self {
        let scopes: Vec<&str> = row.scopes.iter().map(|scope| scope.as_str()).collect();
        let row = row.clone();
        Self {
            scopes: scopes.join(" "),
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            hash: row.hash,
            all_cameras: row.cameras == CameraAccess::All,
            per_minute: i64::from(row.per_minute),
            created_by: row.created_by,
            created_us: row.created_us,
            expires_us: row.expires_us,
            revoked_us: row.revoked_us,
            uses: i64::try_from(row.uses).unwrap_or(i64::MAX),
            last_used_us: row.last_used_us,
            last_used_ip: row.last_used_ip,
        }
    }
}

impl Record {
    fn into_row(self, cameras: BTreeSet<String>) -> Result<KeyRow, Failure> {
        let unreadable = |what| {
            Error::data_loss(format!(
                "the {what} of API key {:?} cannot be read",
                self.id
            ))
        };
        let scopes: Result<BTreeSet<Scope>> =
            self.scopes.split_whitespace().map(str::parse).collect();
        Ok(KeyRow {
            scopes: scopes.map_err(|error| unreadable("scopes").with_source(error))?,
            cameras: match self.all_cameras {
                true => CameraAccess::All,
                false => CameraAccess::Only(cameras),
            },
            per_minute: u32::try_from(self.per_minute).map_err(|_| unreadable("limit"))?,
            uses: u64::try_from(self.uses).map_err(|_| unreadable("use"))?,
            id: self.id,
            name: self.name,
            prefix: self.prefix,
            hash: self.hash,
            created_by: self.created_by,
            created_us: self.created_us,
            expires_us: self.expires_us,
            revoked_us: self.revoked_us,
            last_used_us: self.last_used_us,
            last_used_ip: self.last_used_ip,
        })
    }
}
