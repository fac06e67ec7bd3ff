//! The audit log: who changed what, who logged in, and who tried to in vain.

use diesel::prelude::*;
use nvr_base::Result;
use nvr_base::principal::Actor;

use crate::conn::Store;
use crate::page::{Page, PageRequest};
use crate::schema::audit_log;

/// A line of the log to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewAudit {
    /// `user`, `key`, `local`, `system` or `anonymous`.
    pub actor_kind: String,
    /// Id of the user or key.
    pub actor_id: Option<String>,
    /// Name of the user or key, or what else tells them.
    pub actor: String,
    /// Address they asked from.
    pub address: Option<String>,
    /// What was done, in words with dots.
    pub action: String,
    /// Method of the request.
    pub method: Option<String>,
    /// Template of the request's path.
    pub route: Option<String>,
    /// What it was done to.
    pub object: Option<String>,
    /// Status of the answer.
    pub status: Option<u16>,
    /// Whether it was refused.
    pub refused: bool,
    /// One sentence for people.
    pub detail: Option<String>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// When, microseconds since 1970-01-01 UTC.
    pub at_us: i64,
    /// What is known of it.
    pub entry: NewAudit,
}

/// Which lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Name of a user or key.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// Not before, microseconds since 1970-01-01 UTC.
    pub start_us: Option<i64>,
    /// Before, microseconds since 1970-01-01 UTC.
    pub end_us: Option<i64>,
}

/// How much of the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditBounds {
    /// Lines before this time go, microseconds since 1970-01-01 UTC.
    pub before_us: i64,
    /// Most lines of what was done.
    pub done: u32,
    /// Most lines of what was refused; counted apart, so that nobody pushes lines out by failing often.
    pub refused: u32,
}

impl NewAudit {
    /// The same entry with who did it.
    #[must_use]
    pub fn by(mut self, actor: &Actor) -> Self {
        let (kind, id, name) = match actor {
            Actor::System => ("system", None, "the daemon"),
            Actor::Anonymous => ("anonymous", None, "nobody"),
            Actor::Local => ("local", None, "local"),
            Actor::User { id, name } => ("user", Some(id), name.as_str()),
            Actor::Key { id, name } => ("key", Some(id), name.as_str()),
        };
        self.actor_kind = kind.to_owned();
        self.actor_id = id.cloned();
        self.actor = name.to_owned();
        self
    }
}

impl Store {
    /// Adds a line.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn add_audit(&self, entry: &NewAudit) -> Result<()> {
        let record = Record::new(self.new_id(), self.now_us(), entry.clone());
        self.write(|conn| {
            diesel::insert_into(audit_log::table)
                .values(&record)
                .execute(conn)?;
            Ok(())
        })
    }

    /// A page of the log, the newest first.
    ///
    /// # Errors
    /// `InvalidArgument` for a page that cannot be.
    pub fn audits(&self, filter: &AuditFilter, page: PageRequest) -> Result<Page<AuditRow>> {
        let (limit, offset) = page.window()?;
        // Twice the same conditions: a boxed query is used up by its first use.
        macro_rules! filtered {
            () => {{
                let mut query = audit_log::table.into_boxed();
                if let Some(actor) = &filter.actor {
                    query = query.filter(audit_log::actor.eq(actor));
                }
                if let Some(action) = &filter.action {
                    query = query.filter(audit_log::action.eq(action));
                }
                if let Some(start_us) = filter.start_us {
                    query = query.filter(audit_log::at_us.ge(start_us));
                }
                if let Some(end_us) = filter.end_us {
                    query = query.filter(audit_log::at_us.lt(end_us));
                }
                query
            }};
        }
        self.read(|conn| {
            let total: i64 = filtered!().count().get_result(conn)?;
            let records: Vec<Record> = filtered!()
                .order((audit_log::at_us.desc(), audit_log::id.desc()))
                .limit(limit)
                .offset(offset)
                .select(Record::as_select())
                .load(conn)?;
            Ok(Page {
                items: records.into_iter().map(AuditRow::from).collect(),
                total: total.cast_unsigned(),
            })
        })
    }

    /// Removes what is older or more than the bounds say; gives how many lines went.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn trim_audits(&self, bounds: AuditBounds) -> Result<usize> {
        self.write(|conn| {
            let old = audit_log::table.filter(audit_log::at_us.lt(bounds.before_us));
            let mut removed = diesel::delete(old).execute(conn)?;
            for (refused, most) in [(false, bounds.done), (true, bounds.refused)] {
                let of_kind = audit_log::table.filter(audit_log::refused.eq(refused));
                let first_too_many: Option<(i64, String)> = of_kind
                    .order((audit_log::at_us.desc(), audit_log::id.desc()))
                    .offset(i64::from(most))
                    .select((audit_log::at_us, audit_log::id))
                    .first(conn)
                    .optional()?;
                let Some((at_us, id)) = first_too_many else {
                    continue;
                };
                let too_many = of_kind.filter(
                    audit_log::at_us
                        .lt(at_us)
                        .or(audit_log::at_us.eq(at_us).and(audit_log::id.le(id))),
                );
                removed += diesel::delete(too_many).execute(conn)?;
            }
            Ok(removed)
        })
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_log)]
struct Record {
    id: String,
    at_us: i64,
    actor_kind: String,
    actor_id: Option<String>,
    actor: String,
    address: Option<String>,
    action: String,
    method: Option<String>,
    route: Option<String>,
    object: Option<String>,
    status: Option<i32>,
    refused: bool,
    detail: Option<String>,
}

impl Record {
    fn new(id: String, at_us: i64, entry: NewAudit) -> Self {
        Self {
            id,
            at_us,
            actor_kind: entry.actor_kind,
            actor_id: entry.actor_id,
            actor: entry.actor,
            address: entry.address,
            action: entry.action,
            method: entry.method,
            route: entry.route,
            object: entry.object,
            status: entry.status.map(i32::from),
            refused: entry.refused,
            detail: entry.detail,
        }
    }
}

impl From<Record> for AuditRow {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            at_us: record.at_us,
            entry: NewAudit {
                actor_kind: record.actor_kind,
                actor_id: record.actor_id,
                actor: record.actor,
                address: record.address,
                action: record.action,
                method: record.method,
                route: record.route,
                object: record.object,
                status: record.status.and_then(|status| u16::try_from(status).ok()),
                refused: record.refused,
                detail: record.detail,
            },
        }
    }
}
