//! Time-lapses: stretches of a camera's time as short films, from the wish to the finished file and its end.

use diesel::prelude::*;
use nvr_base::principal::CameraAccess;
use nvr_base::{Error, Principal, Result};

use crate::backend::MultiBackend;
use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::page::{Page, PageRequest};
use crate::schema::timelapses;

/// How far a time-lapse is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimelapseState {
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

impl TimelapseState {
    const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

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
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTimelapse {
    /// Name of the camera.
    pub camera: String,
    /// Start of the stretch, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// End of the stretch, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// From one moment to the next, microseconds.
    pub interval_us: i64,
    /// Pictures a second of the film.
    pub fps: u32,
    /// Largest height in pixels; the recording's own unless given.
    pub height: Option<u32>,
}

/// A time-lapse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelapseRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// What was asked for.
    pub wish: NewTimelapse,
    /// How far it is.
    pub state: TimelapseState,
    /// When it was asked for, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// When it was over, microseconds since 1970-01-01 UTC.
    pub finished_us: Option<i64>,
    /// What is in the file, once it is there.
    pub film: Option<TimelapseFilm>,
    /// One sentence for people: why it failed, or what they should know of it.
    pub detail: Option<String>,
}

/// A finished film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelapseFilm {
    /// When its first picture was shown, microseconds since 1970-01-01 UTC.
    pub shown_us: i64,
    /// Its pictures.
    pub pictures: u64,
    /// Length of the file.
    pub bytes: u64,
}

impl Store {
    /// Adds a time-lapse to those that wait.
    ///
    /// # Errors
    /// `Unavailable` when `max_waiting` are not over already.
    pub fn add_timelapse(&self, wish: &NewTimelapse, max_waiting: u32) -> Result<TimelapseRow> {
        let row = TimelapseRow {
            id: self.new_id(),
            wish: wish.clone(),
            state: TimelapseState::Queued,
            created_us: self.now_us(),
            finished_us: None,
            film: None,
            detail: None,
        };
        self.write(|conn| {
            let waiting: i64 = timelapses::table
                .filter(timelapses::state.eq_any(["queued", "running"]))
                .count()
                .get_result(conn)?;
            if waiting >= i64::from(max_waiting) {
                return Err(Error::unavailable(format!(
                    "{waiting} time-lapses are waiting already: try again when one is done, or cancel one"
                ))
                .into());
            }
            diesel::insert_into(timelapses::table)
                .values(&Record::from(&row))
                .execute(conn)?;
            Ok(row)
        })
    }

    /// The time-lapse with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none that the asker may know of.
    pub fn timelapse(&self, principal: &Principal, id: &str) -> Result<TimelapseRow> {
        let row = self.read(|conn| known(conn, id))?.into_row()?;
        match principal.sees(&row.wish.camera) {
            true => Ok(row),
            false => Err(unknown(id)),
        }
    }

    /// A page of the time-lapses that the asker may know of, the newest first.
    ///
    /// # Errors
    /// `InvalidArgument` for a page that cannot be.
    pub fn timelapses(
        &self,
        principal: &Principal,
        page: PageRequest,
    ) -> Result<Page<TimelapseRow>> {
        let (limit, offset) = page.window()?;
        let (records, total) = self.read(|conn| {
            let records: Vec<Record> = visible(principal)
                .order(timelapses::id.desc())
                .limit(limit)
                .offset(offset)
                .select(Record::as_select())
                .load(conn)?;
            let total: i64 = visible(principal).count().get_result(conn)?;
            Ok((records, total))
        })?;
        let items: Result<Vec<TimelapseRow>> = records.into_iter().map(Record::into_row).collect();
        Ok(Page {
            items: items?,
            total: total.cast_unsigned(),
        })
    }

    /// Begins the time-lapse that has waited longest; `None` when none waits.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn begin_timelapse(&self) -> Result<Option<TimelapseRow>> {
        let begun = self.write(|conn| {
            let Some(oldest) = timelapses::table
                .filter(timelapses::state.eq(TimelapseState::Queued.as_str()))
                .order(timelapses::id)
                .select(Record::as_select())
                .first(conn)
                .optional()?
            else {
                return Ok(None);
            };
            diesel::update(timelapses::table.find(&oldest.id))
                .set((
                    timelapses::state.eq(TimelapseState::Running.as_str()),
                    timelapses::attempts.eq(timelapses::attempts + 1),
                ))
                .execute(conn)?;
            Ok(Some(known(conn, &oldest.id)?))
        })?;
        begun.map(Record::into_row).transpose()
    }

    /// Says what became of a time-lapse that runs: its film, or why there is none; `false` when it does not run any
    /// more, because it was cancelled.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn end_timelapse(
        &self,
        id: &str,
        film: Option<TimelapseFilm>,
        detail: Option<&str>,
    ) -> Result<bool> {
        let state = match film {
            Some(_) => TimelapseState::Done,
            None => TimelapseState::Failed,
        };
        let changed = self.write(|conn| {
            let running = timelapses::table
                .filter(timelapses::id.eq(id))
                .filter(timelapses::state.eq(TimelapseState::Running.as_str()));
            Ok(diesel::update(running)
                .set((
                    timelapses::state.eq(state.as_str()),
                    timelapses::finished_us.eq(Some(self.now_us())),
                    timelapses::shown_us.eq(film.map(|film| film.shown_us)),
                    timelapses::pictures.eq(film.map(|film| film.pictures.cast_signed())),
                    timelapses::bytes.eq(film.map(|film| film.bytes.cast_signed())),
                    timelapses::detail.eq(detail),
                ))
                .execute(conn)?)
        })?;
        Ok(changed > 0)
    }

    /// Cancels a time-lapse that is not over; `false` when it is over already.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn cancel_timelapse(&self, id: &str) -> Result<bool> {
        self.write(|conn| {
            known(conn, id)?;
            let open = timelapses::table
                .filter(timelapses::id.eq(id))
                .filter(timelapses::state.eq_any(["queued", "running"]));
            let changed = diesel::update(open)
                .set((
                    timelapses::state.eq(TimelapseState::Cancelled.as_str()),
                    timelapses::finished_us.eq(Some(self.now_us())),
                ))
                .execute(conn)?;
            Ok(changed > 0)
        })
    }

    /// Removes the row of a time-lapse, not the file.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn delete_timelapse(&self, id: &str) -> Result<()> {
        self.write(|conn| {
            known(conn, id)?;
            diesel::delete(timelapses::table.find(id)).execute(conn)?;
            Ok(())
        })
    }

    /// Lets time-lapses wait again that ran when the daemon ended; those that were begun `attempts` times fail instead.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn requeue_timelapses(&self, attempts: u32) -> Result<()> {
        let running =
            timelapses::table.filter(timelapses::state.eq(TimelapseState::Running.as_str()));
        self.write(|conn| {
            diesel::update(running.filter(timelapses::attempts.ge(i64::from(attempts))))
                .set((
                    timelapses::state.eq(TimelapseState::Failed.as_str()),
                    timelapses::finished_us.eq(Some(self.now_us())),
                    timelapses::detail.eq(Some(format!(
                        "the daemon ended {attempts} times while it was made"
                    ))),
                ))
                .execute(conn)?;
            diesel::update(running)
                .set(timelapses::state.eq(TimelapseState::Queued.as_str()))
                .execute(conn)?;
            Ok(())
        })
    }

    /// The ids of the time-lapses that are over, all but the newest `keep`.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn surplus_timelapses(&self, keep: u32) -> Result<Vec<String>> {
        self.read(|conn| {
            Ok(timelapses::table
                .filter(timelapses::finished_us.is_not_null())
                .order(timelapses::id.desc())
                .offset(i64::from(keep))
                .limit(i64::from(crate::page::MAX_LIMIT))
                .select(timelapses::id)
                .load(conn)?)
        })
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = timelapses)]
struct Record {
    id: String,
    camera: String,
    start_us: i64,
    end_us: i64,
    interval_us: i64,
    fps: i64,
    height: Option<i64>,
    state: String,
    created_us: i64,
    finished_us: Option<i64>,
    attempts: i64,
    shown_us: Option<i64>,
    pictures: Option<i64>,
    bytes: Option<i64>,
    detail: Option<String>,
}

fn known(conn: &mut Conn, id: &str) -> Result<Record, Failure> {
    let found = timelapses::table
        .find(id)
        .select(Record::as_select())
        .first(conn)
        .optional()?;
    found.ok_or_else(|| unknown(id).into())
}

fn visible(principal: &Principal) -> timelapses::BoxedQuery<'_, MultiBackend> {
    let all = timelapses::table.into_boxed();
    match &principal.cameras {
        CameraAccess::All => all,
        CameraAccess::Only(names) => all.filter(timelapses::camera.eq_any(names)),
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("no time-lapse has the id {id:?}"))
}

impl From<&TimelapseRow> for Record {
    fn from(row: &TimelapseRow) -> Self {
        let wish = row.wish.clone();
        Self {
            id: row.id.clone(),
            camera: wish.camera,
            start_us: wish.start_us,
            end_us: wish.end_us,
            interval_us: wish.interval_us,
            fps: i64::from(wish.fps),
            height: wish.height.map(i64::from),
            state: row.state.as_str().to_owned(),
            created_us: row.created_us,
            finished_us: row.finished_us,
            attempts: 0,
            shown_us: row.film.map(|film| film.shown_us),
            pictures: row.film.map(|film| film.pictures.cast_signed()),
            bytes: row.film.map(|film| film.bytes.cast_signed()),
            detail: row.detail.clone(),
        }
    }
}

impl Record {
    fn into_row(self) -> Result<TimelapseRow> {
        let damaged = || Error::data_loss(format!("time-lapse {:?}: its row is damaged", self.id));
        let small = |value: i64| u32::try_from(value).map_err(|_| damaged());
        let mut states = TimelapseState::ALL.into_iter();
        let state = states.find(|state| state.as_str() == self.state);
        let film = match (self.shown_us, self.pictures, self.bytes) {
            (Some(shown_us), Some(pictures), Some(bytes)) => Some(TimelapseFilm {
                shown_us,
                pictures: pictures.cast_unsigned(),
                bytes: bytes.cast_unsigned(),
            }),
            _ => None,
        };
        Ok(TimelapseRow {
            state: state.ok_or_else(damaged)?,
            wish: NewTimelapse {
                camera: self.camera.clone(),
                start_us: self.start_us,
                end_us: self.end_us,
                interval_us: self.interval_us,
                fps: small(self.fps)?,
                height: self.height.map(small).transpose()?,
            },
            created_us: self.created_us,
            finished_us: self.finished_us,
            film,
            detail: self.detail.clone(),
            id: self.id,
        })
    }
}
