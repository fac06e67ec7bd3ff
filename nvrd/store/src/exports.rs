//! Exports: ranges of a camera's time as one file each, from the wish to the finished file and its end.

use diesel::prelude::*;
use nvr_base::principal::CameraAccess;
use nvr_base::{Error, Principal, Result};

use crate::backend::MultiBackend;
use crate::conn::{Conn, Store};
use crate::page::{MAX_LIMIT, Page, PageRequest};
use crate::schema::exports;

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportState {
    /// It waits for its turn.
    Queued,
    /// Its file is being written.
    Running,
    /// Its file is there.
    Done,
    /// It could not be made.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

impl ExportState {
    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    fn from_word(word: &str) -> Option<Self> {
        let all = [
            Self::Queued,
            Self::Running,
            Self::Done,
            Self::Failed,
            Self::Cancelled,
        ];
        all.into_iter().find(|state| state.as_str() == word)
    }
}

/// A stretch of an export's range that is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportGap {
    /// First missing moment, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Its end, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// Why, one word.
    pub reason: String,
    /// One sentence for people.
    pub detail: Option<String>,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// Name of the camera.
    pub camera: String,
    /// What a person calls it.
    pub name: Option<String>,
    /// Start of the range, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// End of the range, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// How far it is.
    pub state: ExportState,
    /// When it was asked for, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// When it was over, microseconds since 1970-01-01 UTC.
    pub finished_us: Option<i64>,
    /// How often it was begun.
    pub attempts: u32,
    /// Wall time at which the file begins, microseconds since 1970-01-01 UTC.
    pub shown_us: Option<i64>,
    /// Length of the file.
    pub bytes: Option<u64>,
    /// What is not in it.
    pub missing: Vec<ExportGap>,
    /// One sentence for people: what it waits for, or why it failed.
    pub detail: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewExport {
    /// Name of the camera.
    pub camera: String,
    /// What a person calls it.
    pub name: Option<String>,
    /// Start of the range, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// End of the range, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// What is known to be missing.
    pub missing: Vec<ExportGap>,
}

/// What became of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportOutcome {
    /// Its file is there.
    Done {
        /// Wall time at which the file begins, microseconds since 1970-01-01 UTC.
        shown_us: i64,
        /// Length of the file.
        bytes: u64,
        /// What is not in it.
        missing: Vec<ExportGap>,
        /// One sentence for people, where there is something to say.
        detail: Option<String>,
    },
    /// It could not be made, for this reason.
    Failed(String),
}

impl Store {
    /// Adds an export to those that wait.
    ///
    /// # Errors
    /// `Unavailable` when `max_waiting` are not over already.
    pub fn add_export(&self, export: &NewExport, max_waiting: u32) -> Result<ExportRow> {
        let row = ExportRow {
            id: self.new_id(),
            camera: export.camera.clone(),
            name: export.name.clone(),
            start_us: export.start_us,
            end_us: export.end_us,
            state: ExportState::Queued,
            created_us: self.now_us(),
            finished_us: None,
            attempts: 0,
            shown_us: None,
            bytes: None,
            missing: export.missing.clone(),
            detail: None,
        };
        self.write(|conn| {
            let waiting: i64 = exports::table
                .filter(exports::state.eq_any(["queued", "running"]))
                .count()
                .get_result(conn)?;
            if waiting >= i64::from(max_waiting) {
                return Err(Error::unavailable(format!(
                    "{waiting} exports are waiting already: try again when one is done, or cancel one"
                ))
                .into());
            }
            diesel::insert_into(exports::table)
                .values(&Record::from(&row))
                .execute(conn)?;
            Ok(row)
        })
    }

    /// The export with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none that the asker may know of.
    pub fn export(&self, principal: &Principal, id: &str) -> Result<ExportRow> {
        self.read(|conn| {
            let found = find(conn, id)?.filter(|row| principal.sees(&row.camera));
            found.ok_or_else(|| unknown(id).into())
        })?
        .into_row()
    }

    /// A page of the exports that the asker may know of, the newest first.
    ///
    /// # Errors
    /// `InvalidArgument` for a page that cannot be.
    pub fn exports(&self, principal: &Principal, page: PageRequest) -> Result<Page<ExportRow>> {
        let (limit, offset) = page.window()?;
        let (records, total) = self.read(|conn| {
            let records: Vec<Record> = visible(principal)
                .order(exports::id.desc())
                .limit(limit)
                .offset(offset)
                .select(Record::as_select())
                .load(conn)?;
            let total: i64 = visible(principal).count().get_result(conn)?;
            Ok((records, total))
        })?;
        Ok(Page {
            items: rows(records)?,
            total: total.cast_unsigned(),
        })
    }

    /// The exports in a state, the oldest first.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn exports_in(&self, state: ExportState) -> Result<Vec<ExportRow>> {
        let records = self.read(|conn| {
            Ok(exports::table
                .filter(exports::state.eq(state.as_str()))
                .order(exports::id)
                .limit(i64::from(MAX_LIMIT))
                .select(Record::as_select())
                .load(conn)?)
        })?;
        rows(records)
    }

    /// Begins an export that waits; `false` when it does not wait any more.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn begin_export(&self, id: &str) -> Result<bool> {
        let changed = self.write(|conn| {
            Ok(diesel::update(waiting(id, ExportState::Queued))
                .set((
                    exports::state.eq(ExportState::Running.as_str()),
                    exports::attempts.eq(exports::attempts + 1),
                    exports::detail.eq(None::<String>),
                ))
                .execute(conn)?)
        })?;
        Ok(changed > 0)
    }

    /// Says what became of an export that runs; `false` when it does not run any more, because it was cancelled.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn end_export(&self, id: &str, outcome: &ExportOutcome) -> Result<bool> {
        let finished_us = exports::finished_us.eq(Some(self.now_us()));
        let changed = self.write(|conn| {
            let changed = match outcome {
                ExportOutcome::Done {
                    shown_us,
                    bytes,
                    missing,
                    detail,
                } => diesel::update(waiting(id, ExportState::Running))
                    .set((
                        exports::state.eq(ExportState::Done.as_str()),
                        finished_us,
                        exports::shown_us.eq(Some(shown_us)),
                        exports::bytes.eq(Some(bytes.cast_signed())),
                        exports::missing_json.eq(json_of(missing)),
                        exports::detail.eq(detail.as_deref()),
                    ))
                    .execute(conn)?,
                ExportOutcome::Failed(why) => diesel::update(waiting(id, ExportState::Running))
                    .set((
                        exports::state.eq(ExportState::Failed.as_str()),
                        finished_us,
                        exports::detail.eq(Some(why)),
                    ))
                    .execute(conn)?,
            };
            Ok(changed)
        })?;
        Ok(changed > 0)
    }

    /// Cancels an export that is not over; `false` when it is over already.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn cancel_export(&self, id: &str) -> Result<bool> {
        let finished_us = exports::finished_us.eq(Some(self.now_us()));
        self.write(|conn| {
            find(conn, id)?.ok_or_else(|| unknown(id))?;
            let open = exports::table
                .filter(exports::id.eq(id))
                .filter(exports::state.eq_any(["queued", "running"]));
            let changed = diesel::update(open)
                .set((
                    exports::state.eq(ExportState::Cancelled.as_str()),
                    finished_us,
                    exports::detail.eq(None::<String>),
                ))
                .execute(conn)?;
            Ok(changed > 0)
        })
    }

    /// Removes the row of an export, not the file.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn delete_export(&self, id: &str) -> Result<()> {
        self.write(|conn| {
            let removed = diesel::delete(exports::table.find(id)).execute(conn)?;
            match removed {
                0 => Err(unknown(id).into()),
                _ => Ok(()),
            }
        })
    }

    /// Lets exports wait again that ran when the daemon ended; those that were begun `attempts` times fail instead.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn requeue_exports(&self, attempts: u32) -> Result<()> {
        let finished_us = exports::finished_us.eq(Some(self.now_us()));
        let running = exports::table.filter(exports::state.eq(ExportState::Running.as_str()));
        self.write(|conn| {
            diesel::update(running.filter(exports::attempts.ge(i64::from(attempts))))
                .set((
                    exports::state.eq(ExportState::Failed.as_str()),
                    finished_us,
                    exports::detail.eq(Some(format!(
                        "the daemon ended {attempts} times while this export ran"
                    ))),
                ))
                .execute(conn)?;
            diesel::update(running)
                .set(exports::state.eq(ExportState::Queued.as_str()))
                .execute(conn)?;
            Ok(())
        })
    }

    /// The exports that are over and to be removed: those that were over before `before_us`, and of those that are
    /// done all but the newest `keep`.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn stale_exports(&self, before_us: Option<i64>, keep: u32) -> Result<Vec<ExportRow>> {
        let records = self.read(|conn| {
            let mut stale: Vec<Record> = exports::table
                .filter(exports::finished_us.lt(before_us.unwrap_or(i64::MIN)))
                .order(exports::id)
                .limit(i64::from(MAX_LIMIT))
                .select(Record::as_select())
                .load(conn)?;
            let surplus: Vec<Record> = exports::table
                .filter(exports::state.eq(ExportState::Done.as_str()))
                .order(exports::id.desc())
                .offset(i64::from(keep))
                .limit(i64::from(MAX_LIMIT))
                .select(Record::as_select())
                .load(conn)?;
            let known: Vec<String> = stale.iter().map(|record| record.id.clone()).collect();
            stale.extend(surplus.into_iter().filter(|one| !known.contains(&one.id)));
            Ok(stale)
        })?;
        rows(records)
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = exports)]
struct Record {
    id: String,
    camera: String,
    name: Option<String>,
    start_us: i64,
    end_us: i64,
    state: String,
    created_us: i64,
    finished_us: Option<i64>,
    attempts: i64,
    shown_us: Option<i64>,
    bytes: Option<i64>,
    missing_json: String,
    detail: Option<String>,
}

type InState<'a> = diesel::dsl::Filter<
    diesel::dsl::Filter<exports::table, diesel::dsl::Eq<exports::id, &'a str>>,
    diesel::dsl::Eq<exports::state, &'static str>,
>;

fn waiting(id: &str, state: ExportState) -> InState<'_> {
    exports::table
        .filter(exports::id.eq(id))
        .filter(exports::state.eq(state.as_str()))
}

fn find(conn: &mut Conn, id: &str) -> QueryResult<Option<Record>> {
    exports::table
        .find(id)
        .select(Record::as_select())
        .first(conn)
        .optional()
}

fn visible(principal: &Principal) -> exports::BoxedQuery<'_, MultiBackend> {
    let all = exports::table.into_boxed();
    match &principal.cameras {
        CameraAccess::All => all,
        CameraAccess::Only(names) => all.filter(exports::camera.eq_any(names)),
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("no export has the id {id:?}"))
}

fn rows(records: Vec<Record>) -> Result<Vec<ExportRow>> {
    records.into_iter().map(Record::into_row).collect()
}

/// Start, end, reason, detail.
type GapFields = (i64, i64, String, Option<String>);

fn json_of(missing: &[ExportGap]) -> String {
    let fields: Vec<GapFields> = missing
        .iter()
        .cloned()
        .map(|gap| (gap.start_us, gap.end_us, gap.reason, gap.detail))
        .collect();
    serde_json::to_string(&fields).expect("numbers and texts always serialise")
}

impl From<&ExportRow> for Record {
    fn from(row: &ExportRow) -> Self {
        let missing_json = json_of(&row.missing);
        let row = row.clone();
        Self {
            id: row.id,
            camera: row.camera,
            name: row.name,
            start_us: row.start_us,
            end_us: row.end_us,
            state: row.state.as_str().to_owned(),
            created_us: row.created_us,
            finished_us: row.finished_us,
            attempts: i64::from(row.attempts),
            shown_us: row.shown_us,
            bytes: row.bytes.map(u64::cast_signed),
            missing_json,
            detail: row.detail,
        }
    }
}

impl Record {
    fn into_row(self) -> Result<ExportRow> {
        let damaged = |what: &str| {
            Error::data_loss(format!("export {:?}: its {what} cannot be read", self.id))
        };
        let state = ExportState::from_word(&self.state).ok_or_else(|| damaged("state"))?;
        let missing: Vec<GapFields> =
            serde_json::from_str(&self.missing_json).map_err(|_| damaged("list of gaps"))?;
        Ok(ExportRow {
            id: self.id,
            camera: self.camera,
            name: self.name,
            start_us: self.start_us,
            end_us: self.end_us,
            state,
            created_us: self.created_us,
            finished_us: self.finished_us,
            attempts: u32::try_from(self.attempts).unwrap_or(u32::MAX),
            shown_us: self.shown_us,
            bytes: self.bytes.map(i64::cast_unsigned),
            missing: missing
                .into_iter()
                .map(|(start_us, end_us, reason, detail)| ExportGap {
                    start_us,
                    end_us,
                    reason,
                    detail,
                })
                .collect(),
            detail: self.detail,
        })
    }
}
