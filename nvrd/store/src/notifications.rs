//! What people are told of, and what each of them has read of it.

use std::collections::HashMap;

use diesel::prelude::*;
use nvr_base::principal::{Actor, CameraAccess};
use nvr_base::{Error, Principal, Result};

use crate::backend::MultiBackend;
use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::page::{Page, PageRequest};
use crate::schema::{notification_marks, notifications};

/// Rows that are removed at once.
const LOT: i64 = 500;

/// Something that people are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotification {
    /// Id of the event.
    pub event_id: String,
    /// Name of the camera.
    pub camera: String,
    /// Kind of the event.
    pub kind: String,
    /// Label of the event.
    pub label: Option<String>,
    /// What there is to see, in words.
    pub text: String,
}

/// A notification as somebody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// What it says.
    pub what: NewNotification,
    /// When it was made, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// Whether whoever asks has read it.
    pub read: bool,
}

/// How long notifications are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepNotifications {
    /// For so long, microseconds.
    pub age_us: i64,
    /// So many at most.
    pub count: u32,
}

impl Store {
    /// Stores notifications, made now, and removes those that are too old or too many.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn add_notifications(
        &self,
        new: &[NewNotification],
        keep: KeepNotifications,
    ) -> Result<Vec<NotificationRow>> {
        let now_us = self.now_us();
        let rows: Vec<NotificationRow> = new
            .iter()
            .map(|what| NotificationRow {
                id: self.new_id(),
                what: what.clone(),
                created_us: now_us,
                read: false,
            })
            .collect();
        self.write(|conn| {
            for row in &rows {
                diesel::insert_into(notifications::table)
                    .values(&Record::from(row))
                    .execute(conn)?;
            }
            Ok(trim(conn, now_us, keep)?)
        })?;
        Ok(rows)
    }

    /// One page of the notifications that somebody may see and has not removed, the newest first; `unread` leaves out
    /// those that they have read.
    ///
    /// # Errors
    /// `InvalidArgument` for page 0 or a limit out of range.
    pub fn notifications(
        &self,
        principal: &Principal,
        unread: bool,
        page: PageRequest,
    ) -> Result<Page<NotificationRow>> {
        let (limit, offset) = page.window()?;
        let who = who(principal);
        self.read(|conn| {
            let total: i64 = of(principal, &who, unread).count().get_result(conn)?;
            let records: Vec<Record> = of(principal, &who, unread)
                .order((notifications::created_us.desc(), notifications::id.desc()))
                .select(Record::as_select())
                .limit(limit)
                .offset(offset)
                .load(conn)?;
            Ok(Page {
                items: with_marks(conn, &who, records)?,
                total: total.cast_unsigned(),
            })
        })
    }

    /// How many notifications somebody may see and has not read.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn unread_notifications(&self, principal: &Principal) -> Result<u64> {
        let who = who(principal);
        let count: i64 =
            self.read(|conn| Ok(of(principal, &who, true).count().get_result(conn)?))?;
        Ok(count.cast_unsigned())
    }

    /// Marks one as read by whoever asks.
    ///
    /// # Errors
    /// `NotFound` if there is none that they may see, or they removed it.
    pub fn read_notification(&self, principal: &Principal, id: &str) -> Result<NotificationRow> {
        let who = who(principal);
        self.write(|conn| {
            let record = one(conn, principal, &who, id)?;
            mark(conn, &who, id, Mark::Seen)?;
            Ok(record.into_row(true))
        })
    }

    /// Marks all that somebody may see as read by them; returns how many were not.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn read_all_notifications(&self, principal: &Principal) -> Result<u64> {
        self.mark_all(principal, true, Mark::Seen)
    }

    /// Removes one for whoever asks; others see it as before.
    ///
    /// # Errors
    /// `NotFound` if there is none that they may see, or they removed it before.
    pub fn hide_notification(&self, principal: &Principal, id: &str) -> Result<()> {
        let who = who(principal);
        self.write(|conn| {
            one(conn, principal, &who, id)?;
            Ok(mark(conn, &who, id, Mark::Hidden)?)
        })
    }

    /// Removes all that somebody may see, for them alone; returns how many those were.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn hide_all_notifications(&self, principal: &Principal) -> Result<u64> {
        self.mark_all(principal, false, Mark::Hidden)
    }

    fn mark_all(&self, principal: &Principal, unread: bool, how: Mark) -> Result<u64> {
        let who = who(principal);
        self.write(|conn| {
            let ids: Vec<String> = of(principal, &who, unread)
                .select(notifications::id)
                .load(conn)?;
            for id in &ids {
                mark(conn, &who, id, how)?;
            }
            Ok(ids.len() as u64)
        })
    }
}

/// What somebody made of a notification.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Seen,
    Hidden,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = notifications)]
struct Record {
    id: String,
    event_id: String,
    camera: String,
    kind: String,
    label: Option<String>,
    text: String,
    created_us: i64,
}

impl From<&NotificationRow> for Record {
    fn from(row: &NotificationRow) -> Self {
        let NotificationRow { id, what, .. } = row.clone();
        Self {
            id,
            event_id: what.event_id,
            camera: what.camera,
            kind: what.kind,
            label: what.label,
            text: what.text,
            created_us: row.created_us,
        }
    }
}

impl Record {
    fn into_row(self, read: bool) -> NotificationRow {
        NotificationRow {
            id: self.id,
            what: NewNotification {
                event_id: self.event_id,
                camera: self.camera,
                kind: self.kind,
                label: self.label,
                text: self.text,
            },
            created_us: self.created_us,
            read,
        }
    }
}

/// Under which name the marks of somebody stand.
fn who(principal: &Principal) -> String {
    match &principal.actor {
        Actor::System => "system".to_owned(),
        Actor::Anonymous => "anonymous".to_owned(),
        Actor::Local => "local".to_owned(),
        Actor::User { id, .. } => format!("user:{id}"),
        Actor::Key { id, .. } => format!("key:{id}"),
    }
}

/// Those that somebody may see and has not removed, with `unread` without those that they have read.
fn of<'a>(
    principal: &'a Principal,
    who: &'a str,
    unread: bool,
) -> notifications::BoxedQuery<'a, MultiBackend> {
    let marks = notification_marks::table.filter(notification_marks::who.eq(who));
    let hidden = marks
        .filter(notification_marks::hidden.eq(true))
        .select(notification_marks::notification_id);
    let mut query = notifications::table
        .filter(notifications::id.ne_all(hidden))
        .into_boxed();
    if unread {
        let seen = marks
            .filter(notification_marks::seen.eq(true))
            .select(notification_marks::notification_id);
        query = query.filter(notifications::id.ne_all(seen));
    }
    if let CameraAccess::Only(names) = &principal.cameras {
        query = query.filter(notifications::camera.eq_any(names));
    }
    query
}

fn one(conn: &mut Conn, principal: &Principal, who: &str, id: &str) -> Result<Record, Failure> {
    of(principal, who, false)
        .filter(notifications::id.eq(id))
        .select(Record::as_select())
        .first(conn)
        .optional()?
        .ok_or_else(|| Error::not_found(format!("no notification has the id {id:?}")).into())
}

fn with_marks(
    conn: &mut Conn,
    who: &str,
    records: Vec<Record>,
) -> QueryResult<Vec<NotificationRow>> {
    let ids = records.iter().map(|record| &record.id);
    let marks: Vec<(String, bool)> = notification_marks::table
        .filter(notification_marks::who.eq(who))
        .filter(notification_marks::notification_id.eq_any(ids))
        .select((
            notification_marks::notification_id,
            notification_marks::seen,
        ))
        .load(conn)?;
    let marks: HashMap<String, bool> = marks.into_iter().collect();
    let read = |record: &Record| marks.get(&record.id).copied().unwrap_or_default();
    Ok(records
        .into_iter()
        .map(|record| {
            let read = read(&record);
            record.into_row(read)
        })
        .collect())
}

fn mark(conn: &mut Conn, who: &str, id: &str, how: Mark) -> QueryResult<()> {
    let row = notification_marks::table.find((who, id));
    let changed = match how {
        Mark::Seen => diesel::update(row)
            .set(notification_marks::seen.eq(true))
            .execute(conn)?,
        Mark::Hidden => diesel::update(row)
            .set(notification_marks::hidden.eq(true))
            .execute(conn)?,
    };
    if changed == 0 {
        let hidden = matches!(how, Mark::Hidden);
        diesel::insert_into(notification_marks::table)
            .values((
                notification_marks::who.eq(who),
                notification_marks::notification_id.eq(id),
                notification_marks::seen.eq(!hidden),
                notification_marks::hidden.eq(hidden),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Removes what is too old, and the oldest of what is too much; their marks go with them.
fn trim(conn: &mut Conn, now_us: i64, keep: KeepNotifications) -> QueryResult<()> {
    let oldest_us = now_us.saturating_sub(keep.age_us);
    diesel::delete(notifications::table.filter(notifications::created_us.lt(oldest_us)))
        .execute(conn)?;
    loop {
        let surplus: Vec<String> = notifications::table
            .order((notifications::created_us.desc(), notifications::id.desc()))
            .select(notifications::id)
            .offset(i64::from(keep.count))
            .limit(LOT)
            .load(conn)?;
        if surplus.is_empty() {
            return Ok(());
        }
        diesel::delete(notifications::table.filter(notifications::id.eq_any(surplus)))
            .execute(conn)?;
    }
}
