//! Exports: ranges of a camera's time that are made into one file each, one after the other, beside everything else.
//!
//! A single thread of low priority works; wishes wait in the database, so that they outlive the daemon.

mod job;
mod range;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nvr_base::{Clock, Error, Principal, Result, Slug};
use nvr_store::{ExportRow, ExportState, NewExport, Store};

pub use job::{Made, Workshop};
pub use range::{Range, moment, moment_in_name};

use crate::config::ExportConfig;
use crate::evidence::Evidence;
use crate::storage::Storage;

/// Longest name of an export, bytes.
const MAX_NAME: usize = 128;

/// What exports need of the daemon.
pub struct Parts {
    /// Where wishes wait.
    pub store: Store,
    /// Where recordings and exports lie.
    pub storage: Arc<Storage>,
    /// Signs what is exported.
    pub evidence: Option<Arc<Evidence>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How long and how many, at the start.
    pub config: ExportConfig,
}

/// All exports of a daemon; clones share them.
#[derive(Clone)]
pub struct Exports {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    config: Mutex<ExportConfig>,
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    stopping: bool,
    running: Option<Running>,
}

/// The export whose file is being written.
struct Running {
    id: String,
    cancelled: bool,
    done_bytes: u64,
    all_bytes: u64,
}

impl std::fmt::Debug for Exports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exports").finish_non_exhaustive()
    }
}

impl Exports {
    /// Exports that nobody works on yet; see [`start`](Self::start).
    pub fn new(parts: Parts) -> Self {
        Self {
            inner: Arc::new(Inner {
                config: Mutex::new(parts.config),
                parts,
                work: Mutex::default(),
                changed: Condvar::new(),
            }),
        }
    }

    /// Begins to work: what an earlier daemon left goes on.
    ///
    /// # Errors
    /// When the folder cannot be made, the database cannot be read, or there is no thread.
    pub fn start(&self) -> Result<JoinHandle<()>> {
        worker::start(self.clone())
    }

    /// Ends the work: what is running waits for the next daemon.
    pub fn stop(&self) {
        self.work().stopping = true;
        self.inner.changed.notify_all();
    }

    /// Asks for an export.
    ///
    /// # Errors
    /// `InvalidArgument` that names the field, `NotFound` when nothing is recorded in the range, `FailedPrecondition`
    /// when it cannot be one file, `ResourceExhausted` when the disk has no room, `Unavailable` when too many wait.
    pub fn request(&self, range: &Range, name: Option<String>) -> Result<ExportRow> {
        let parts = &self.inner.parts;
        range
            .camera
            .parse::<Slug>()
            .map_err(|error| Error::invalid(format!("camera: {error}")))?;
        if let Some(name) = &name
            && (name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control))
        {
            return Err(Error::invalid(format!(
                "name: use 1 to {MAX_NAME} bytes without control characters"
            )));
        }
        range.check(parts.clock.unix_us(), self.config().max_hours)?;
        let rows = match range.segments(&parts.store) {
            // What is asked for may be in the file that is being written.
            Err(error) if error.kind() == nvr_base::ErrorKind::NotFound => {
                match self.may_come(range)? {
                    true => Vec::new(),
                    false => return Err(error),
                }
            }
            rows => rows?,
        };
        job::room_for(&self.file(""), Range::bytes(&rows))?;
        let export = NewExport {
            camera: range.camera.clone(),
            name,
            start_us: range.start_us,
            end_us: range.end_us,
            missing: range.missing(&parts.store)?,
        };
        let row = parts.store.add_export(&export, self.config().queue)?;
        self.inner.changed.notify_all();
        Ok(row)
    }

    /// Whether something of the range may still be listed: it is young, and nothing says that it is missing.
    fn may_come(&self, range: &Range) -> Result<bool> {
        let parts = &self.inner.parts;
        let young = parts.clock.unix_us() - range.end_us < worker::PATIENCE_US;
        let known = !parts
            .store
            .segments(Principal::system(), &range.camera, i64::MIN, i64::MAX, 1)?
            .is_empty();
        Ok(young && known && !range.is_settled(&parts.store)?)
    }

    /// Cancels an export that is not over, and removes one that is, with its file.
    ///
    /// # Errors
    /// `NotFound` when there is none, or its file cannot be removed.
    pub fn delete(&self, id: &str) -> Result<()> {
        if self.inner.parts.store.cancel_export(id)? {
            if let Some(running) = self.work().running.as_mut().filter(|job| job.id == id) {
                running.cancelled = true;
            }
            self.inner.changed.notify_all();
            return Ok(());
        }
        // The file first: a row without one says so, a file without a row would lie there for ever.
        job::remove(&self.file(id))?;
        self.inner.parts.store.delete_export(id)
    }

    /// How much of an export is done, 0..1.
    pub fn progress(&self, row: &ExportRow) -> f64 {
        match row.state {
            ExportState::Done => 1.0,
            ExportState::Running => {
                let work = self.work();
                let running = work.running.as_ref().filter(|job| job.id == row.id);
                running.map_or(0.0, |job| {
                    job.done_bytes as f64 / job.all_bytes.max(1) as f64
                })
            }
            _ => 0.0,
        }
    }

    /// When an export that is over is removed, microseconds since 1970-01-01 UTC.
    pub fn expires_us(&self, row: &ExportRow) -> Option<i64> {
        row.finished_us
            .map(|finished| finished.saturating_add(self.keep_us()))
    }

    /// The file of an export that is done.
    ///
    /// # Errors
    /// `FailedPrecondition` when it is not done.
    pub fn finished_file(&self, row: &ExportRow) -> Result<PathBuf> {
        match row.state {
            ExportState::Done => Ok(self.file(&row.id)),
            state => Err(Error::precondition(format!(
                "export {:?} is {}: it has no file",
                row.id,
                state.as_str()
            ))),
        }
    }

    /// How long and how many.
    pub fn config(&self) -> ExportConfig {
        let config = self.inner.config.lock();
        *config.unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes and keeps exports by other limits from now on.
    pub fn set_config(&self, config: ExportConfig) {
        let place = self.inner.config.lock();
        *place.unwrap_or_else(PoisonError::into_inner) = config;
        self.inner.changed.notify_all();
    }

    fn folder(&self) -> PathBuf {
        self.inner.parts.storage.first().root().join("exports")
    }

    /// Ids come from the database alone, so none leads out of the folder.
    fn file(&self, id: &str) -> PathBuf {
        self.folder().join(format!("{id}.mp4"))
    }

    fn keep_us(&self) -> i64 {
        i64::from(self.config().keep_days) * 86_400_000_000
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        // Nothing in it is ever half changed.
        self.inner
            .work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
