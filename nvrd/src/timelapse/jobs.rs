//! The time-lapses that were asked for: they wait in the database and are made one after the other on a thread.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nvr_base::{Clock, Error, Principal, Result};
use nvr_store::{NewTimelapse, Store, TimelapseFilm, TimelapseRow, TimelapseState};

use super::{Made, Plan, beside};
use crate::stills::Stills;
use crate::storage::Storage;

/// Time-lapses that may wait or run.
const QUEUE: u32 = 16;
/// Time-lapses that are over and are kept with their files.
const KEEP: u32 = 100;
/// How often an end of the daemon may interrupt one before it counts as its cause.
const ATTEMPTS: u32 = 3;
/// Room that must be left on the disk, bytes: recording goes first.
const SPARE_BYTES: u64 = 1 << 30;
/// How long the thread is waited for when the daemon stops.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long the database is left alone after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// All time-lapses of a daemon; the work ends with the value.
#[derive(Debug)]
pub struct Timelapses {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    stills: Arc<Stills>,
    storage: Arc<Storage>,
    clock: Arc<dyn Clock>,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    stopping: bool,
    /// Whether there is a thread that works.
    at_work: bool,
    /// Grows with every wish, so that none is slept through.
    wishes: u64,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    id: String,
    cancelled: bool,
    done: u64,
    all: u64,
}

impl Timelapses {
    /// Begins to work; what an earlier daemon left goes on.
    ///
    /// Without a thread nothing is made, and everything else works.
    pub fn start(
        store: Store,
        stills: Arc<Stills>,
        storage: Arc<Storage>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let shared = Arc::new(Shared {
            store,
            stills,
            storage,
            clock,
            work: Mutex::default(),
            changed: Condvar::new(),
        });
        shared.work().at_work = true;
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("timelapses".to_owned());
        let spawned = thread.spawn(move || {
            worker.run();
            worker.work().at_work = false;
            worker.changed.notify_all();
        });
        if let Err(error) = spawned {
            shared.work().at_work = false;
            tracing::error!(%error, "no thread to make time-lapses on");
        }
        Self { shared }
    }

    /// Asks for a time-lapse.
    ///
    /// # Errors
    /// `InvalidArgument` that names the field, `NotFound` when nothing is recorded at any of its moments,
    /// `ResourceExhausted` when the disk has no room, `Unavailable` when too many wait.
    pub fn request(&self, wish: &NewTimelapse) -> Result<TimelapseRow> {
        super::check(wish, self.shared.clock.unix_us())?;
        let plan = Plan::of(&self.shared.stills, wish)?;
        self.shared.room_for(&plan)?;
        let row = self.shared.store.add_timelapse(wish, QUEUE)?;
        self.shared.work().wishes += 1;
        self.shared.changed.notify_all();
        Ok(row)
    }

    /// Cancels a time-lapse that is not over, and removes one that is, with its file.
    ///
    /// # Errors
    /// `NotFound` when there is none; when its file cannot be removed.
    pub fn delete(&self, id: &str) -> Result<()> {
        if self.shared.store.cancel_timelapse(id)? {
            let mut work = self.shared.work();
            if let Some(running) = work.running.as_mut().filter(|job| job.id == id) {
                running.cancelled = true;
            }
            return Ok(());
        }
        self.shared.remove(id)
    }

    /// How much of a time-lapse is done, 0 to 1.
    pub fn progress(&self, row: &TimelapseRow) -> f64 {
        match row.state {
            TimelapseState::Done => 1.0,
            TimelapseState::Running => {
                let work = self.shared.work();
                let running = work.running.as_ref().filter(|job| job.id == row.id);
                running.map_or(0.0, |job| job.done as f64 / job.all.max(1) as f64)
            }
            _ => 0.0,
        }
    }

    /// The file of a time-lapse that is done.
    ///
    /// # Errors
    /// `FailedPrecondition` when it is not done.
    pub fn file(&self, row: &TimelapseRow) -> Result<PathBuf> {
        match row.state {
            TimelapseState::Done => Ok(self.shared.file(&row.id)),
            state => Err(Error::precondition(format!(
                "time-lapse {:?} is {}: it has no file",
                row.id,
                state.as_str()
            ))),
        }
    }
}

impl Drop for Timelapses {
    fn drop(&mut self) {
        self.shared.work().stopping = true;
        self.shared.changed.notify_all();
        let work = self.shared.work();
        let at_work = |work: &mut Work| work.at_work;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(work, FAREWELL, at_work);
        if waited.is_ok_and(|(_, waited)| waited.timed_out()) {
            tracing::warn!("a time-lapse that is being made is left behind");
        }
    }
}

impl Shared {
    fn run(&self) {
        self.patiently("could not be begun anew", || {
            self.store.requeue_timelapses(ATTEMPTS)?;
            self.sweep()
        });
        while !self.work().stopping {
            let seen = self.work().wishes;
            let next = self.patiently("could not be begun", || self.store.begin_timelapse());
            match next {
                Some(Some(row)) => self.run_one(&row),
                _ => self.wait(seen),
            }
        }
    }

    /// Does something with the database; after a failure it says so and pauses.
    fn patiently<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        match work() {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::error!(%error, "a time-lapse {what}");
                let work = self.work();
                drop(
                    self.changed
                        .wait_timeout_while(work, RETRY, |work| !work.stopping),
                );
                None
            }
        }
    }

    /// Waits for the next wish.
    fn wait(&self, seen: u64) {
        let idle = |work: &mut Work| !work.stopping && work.wishes == seen;
        drop(self.changed.wait_while(self.work(), idle));
    }

    fn run_one(&self, row: &TimelapseRow) {
        self.work().running = Some(Running {
            id: row.id.clone(),
            cancelled: false,
            done: 0,
            all: 0,
        });
        let made = self.make(row);
        self.work().running = None;
        let (film, detail) = match made {
            Ok(Some((made, bytes))) => {
                let film = TimelapseFilm {
                    shown_us: made.shown_us,
                    pictures: made.pictures,
                    bytes,
                };
                (Some(film), made.detail())
            }
            // Cancelled, or the daemon stops: the next one begins it anew.
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(timelapse.id = row.id, camera.id = row.wish.camera, %error, "a time-lapse failed");
                (None, Some(error.message().to_owned()))
            }
        };
        let noted = self.patiently("could not be noted", || {
            self.store.end_timelapse(&row.id, film, detail.as_deref())
        });
        if noted == Some(false) {
            // Cancelled at the last moment.
            remove(&self.file(&row.id)).unwrap_or_else(|error| {
                tracing::error!(%error, "a cancelled time-lapse could not be removed");
            });
        }
        self.patiently("that is old could not be removed", || {
            let surplus = self.store.surplus_timelapses(KEEP)?;
            surplus.iter().try_for_each(|id| self.remove(id))
        });
    }

    /// Makes the file; it has its name only once it is whole and synced.
    fn make(&self, row: &TimelapseRow) -> Result<Option<(Made, u64)>> {
        let file = self.file(&row.id);
        let part = part_of(&file);
        let made = self.make_part(row, &part);
        let done = match made {
            Ok(Some(made)) => finish(&part, &file).map(|bytes| Some((made, bytes))),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        if !matches!(done, Ok(Some(_))) {
            remove(&part)?;
        }
        remove(&beside(&part))?;
        done
    }

    fn make_part(&self, row: &TimelapseRow, part: &Path) -> Result<Option<Made>> {
        let plan = Plan::of(&self.stills, &row.wish)?;
        self.room_for(&plan)?;
        let folder = self.folder();
        std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
        let full = Mutex::new(false);
        let made = plan.make(part, &|done, all| {
            let mut work = self.work();
            let stopping = work.stopping;
            match &mut work.running {
                Some(running) if !running.cancelled && !stopping => {
                    running.done = done;
                    running.all = all;
                }
                _ => return ControlFlow::Break(()),
            }
            drop(work);
            // Estimates are estimates: recording must not be what notices.
            if done % 64 == 0 && self.free() < SPARE_BYTES / 2 {
                *full.lock().unwrap_or_else(PoisonError::into_inner) = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if full.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(Error::exhausted(
                "the disk became full while it was made: free some, or ask for less",
            ));
        }
        Ok(made)
    }

    fn free(&self) -> u64 {
        let space = self.storage.first().space();
        space.map_or(u64::MAX, |space| space.free_bytes)
    }

    fn room_for(&self, plan: &Plan) -> Result<()> {
        let needed = plan.bytes().saturating_add(SPARE_BYTES);
        let free = self.free();
        if free >= needed {
            return Ok(());
        }
        let mega = |bytes: u64| bytes.div_ceil(1_000_000);
        Err(Error::exhausted(format!(
            "the time-lapse needs about {} MB of free space, {} MB of it to spare, and there are {} MB: free some, or ask for less",
            mega(needed),
            mega(SPARE_BYTES),
            free / 1_000_000
        )))
    }

    /// The file first: a row without one says so, a file without a row would lie there for ever.
    fn remove(&self, id: &str) -> Result<()> {
        remove(&self.file(id))?;
        self.store.delete_timelapse(id)
    }

    /// Removes what a crash left: parts, and files of which the database knows nothing.
    fn sweep(&self) -> Result<()> {
        let folder = self.folder();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io(&folder, error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| Error::io(&folder, error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some((id, ending)) = name.split_once('.') else {
                continue;
            };
            let ours = uuid::Uuid::parse_str(id).is_ok();
            let done = ending == "mp4"
                && self
                    .store
                    .timelapse(Principal::system(), id)
                    .is_ok_and(|row| row.state == TimelapseState::Done);
            if ours && !done {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        self.storage.first().root().join("timelapses")
    }

    /// Ids come from the database alone, so none leads out of the folder.
    fn file(&self, id: &str) -> PathBuf {
        self.folder().join(format!("{id}.mp4"))
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        // Nothing in it is ever half changed.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the file is while it is written.
fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Syncs a file, gives it its name and says how long it is.
fn finish(part: &Path, file: &Path) -> Result<u64> {
    let fail = |error| Error::io(file, error);
    let written = File::open(part).map_err(fail)?;
    written.sync_all().map_err(fail)?;
    std::fs::rename(part, file).map_err(fail)?;
    if let Some(folder) = file.parent() {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(fail)?;
    }
    Ok(written.metadata().map_err(fail)?.len())
}

/// Removes a file; one that is not there is none.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}
