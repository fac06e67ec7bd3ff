//! Watches the storage folders: which are there and well, and which one takes new files.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use nvr_base::{Clock, Error, Result, Shutdown};
use nvr_contract::segment::GapReason;
use nvr_store::Store;

use super::choice::{Fitness, choose};
use super::volume::{Condition, Volume};
use super::{Storage, arrival, identity};
use crate::alarms::Alarms;

/// How often the folders are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// The alarms that a storage may raise.
const ALARMS: [(&str, &str); 4] = [
    ("missing", "storage_missing"),
    ("foreign", "storage_foreign"),
    ("failing", "storage_failing"),
    ("full", "storage_full"),
];

/// What a storage was like, for the choice.
#[derive(Debug, Clone, Copy, Default)]
struct Past {
    /// Since when it is well; absent while it is not, or when it always was.
    well_since: Option<Duration>,
    was_unfit: bool,
}

/// See the module.
#[expect(missing_debug_implementations, reason = "lives on its own thread")]
pub struct Watch {
    storage: Arc<Storage>,
    store: Store,
    clock: Arc<dyn Clock>,
    alarms: Arc<Alarms>,
    /// Called when another storage takes new files.
    moved: Box<dyn Fn() -> Result<()> + Send>,
    past: Vec<Past>,
    /// Whether the cameras have to be told still.
    untold: bool,
}

impl Watch {
    /// A watch; `moved` tells the cameras where to write.
    pub fn new(
        storage: Arc<Storage>,
        store: Store,
        clock: Arc<dyn Clock>,
        alarms: Arc<Alarms>,
        moved: Box<dyn Fn() -> Result<()> + Send>,
    ) -> Self {
        let past = storage
            .volumes()
            .iter()
            .map(|volume| Past {
                well_since: None,
                was_unfit: volume.condition() != Condition::Ready,
            })
            .collect();
        for volume in storage.volumes() {
            tell(&alarms, volume, &Condition::Ready, &volume.condition());
        }
        Self {
            storage,
            store,
            clock,
            alarms,
            moved,
            past,
            untold: false,
        }
    }

    /// Watches until `stopping` is set and the bell is rung.
    pub fn run(mut self, stopping: &Shutdown) {
        while !stopping.is_triggered() {
            if let Err(error) = self.look() {
                tracing::error!(%error, "the storages could not be looked at");
            }
            self.storage.watch_bell.wait(EVERY);
        }
    }

    /// Looks at every folder once.
    ///
    /// # Errors
    /// Those of the database, which knows the identities, and of the cameras that are told.
    pub fn look(&mut self) -> Result<()> {
        let reports = self.storage.take_reports();
        let now = self.clock.monotonic();
        for index in 0..self.storage.volumes().len() {
            let volume = Arc::clone(&self.storage.volumes()[index]);
            let before = volume.condition();
            let reported = reports.iter().rfind(|report| report.volume == index);
            let after = match reported {
                Some(report) => Condition::Failing(report.detail.clone()),
                None => self.condition(index, &volume, &before)?,
            };
            // A folder that is not there fails because of that.
            let after = match (&after, self.presence(&volume)) {
                (Condition::Failing(_), Some(absent)) => absent,
                _ => after,
            };
            let past = &mut self.past[index];
            let fit = after == Condition::Ready;
            past.was_unfit |= !fit;
            past.well_since = match fit {
                true => past.well_since.or(past.was_unfit.then_some(now)),
                false => None,
            };
            volume.set_condition(after.clone());
            tell(&self.alarms, &volume, &before, &after);
        }
        self.keep_reserve();
        self.choose(now)
    }

    fn condition(&self, index: usize, volume: &Volume, before: &Condition) -> Result<Condition> {
        if volume.id().is_none() || !before.is_present() {
            return self.storage.look(index, &self.store, false);
        }
        if let Some(absent) = self.presence(volume) {
            return Ok(absent);
        }
        if let (Condition::Failing(_), Err(error)) = (before, probe(volume)) {
            return Ok(Condition::Failing(error.to_string()));
        }
        Ok(match self.storage.fullness(index) {
            Some(detail) => Condition::Full(detail),
            None => Condition::Ready,
        })
    }

    /// What is wrong with the identity of a folder that was well.
    fn presence(&self, volume: &Volume) -> Option<Condition> {
        let expected = volume.id()?;
        match identity::read(volume.root()) {
            Ok(Some(found)) if found == expected => None,
            Ok(Some(found)) => Some(arrival::foreign(volume, expected, &found, &[])),
            Ok(None) => Some(arrival::missing(volume)),
            Err(error) => Some(Condition::Missing(error.to_string())),
        }
    }

    fn keep_reserve(&self) {
        let first = self.storage.first();
        let held = match (first.condition(), first.space()) {
            (Condition::Ready, Some(space)) => self.storage.hold_reserve(space),
            _ => return,
        };
        if let Err(error) = held {
            tracing::debug!(%error, "no reserve is held");
        }
    }

    fn choose(&mut self, now: Duration) -> Result<()> {
        let all: Vec<Fitness> = self
            .storage
            .volumes()
            .iter()
            .zip(&self.past)
            .map(|(volume, past)| match volume.condition() {
                Condition::Ready => Fitness::Well(past.well_since),
                Condition::Full(_) => Fitness::Full,
                _ => Fitness::Unfit,
            })
            .collect();
        let current = self.storage.chosen();
        let next = choose(&all, current, now);
        if next != current {
            self.storage.set_chosen(next);
            self.untold = true;
            match next {
                Some(index) => {
                    let volume = &self.storage.volumes()[index];
                    tracing::warn!(
                        storage.name = volume.name(),
                        storage.path = %volume.root().display(),
                        "new recordings go to this storage now"
                    );
                    self.alarms.clear("no_storage", "all");
                    self.alarms.note("storage_switched", volume.name());
                }
                None => {
                    tracing::error!("no storage takes recordings: nothing is recorded");
                    self.alarms.raise("no_storage", "all");
                }
            }
        }
        if self.untold {
            (self.moved)()?;
            self.untold = false;
        }
        Ok(())
    }
}

/// Writes and syncs a little file where writing failed before.
fn probe(volume: &Volume) -> Result<()> {
    let path = volume.root().join("nvrd.probe");
    let fail = |error: std::io::Error| Error::io(&path, error);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(fail)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    drop(file);
    let removed = std::fs::remove_file(&path);
    written.map_err(fail)?;
    removed.map_err(fail)
}

/// Says what has changed about a storage: in the log, and as an event.
fn tell(alarms: &Alarms, volume: &Volume, before: &Condition, after: &Condition) {
    let label = |condition: &Condition| {
        let found = ALARMS.iter().find(|(word, _)| *word == condition.as_str());
        found.map(|(_, label)| *label)
    };
    if before.as_str() == after.as_str() {
        // Raised already, unless this is the first look.
        return;
    }
    let name = volume.name();
    let path = volume.root().display();
    if let Some(label) = label(before) {
        alarms.clear(label, name);
    }
    match (after.detail(), label(after)) {
        (Some(detail), Some(label)) => {
            tracing::error!(storage.name = name, storage.path = %path, "storage is {}: {detail}", after.as_str());
            alarms.raise(label, name);
        }
        _ => tracing::info!(storage.name = name, storage.path = %path, "storage is ready"),
    }
}

/// A write that failed, as a recorder reported it.
#[derive(Debug, Clone)]
pub(super) struct Report {
    volume: usize,
    detail: String,
}

impl Storage {
    /// What a recorder says about the disk; a full one is looked after by retention, one that fails by the watch.
    pub fn trouble(&self, reason: GapReason, detail: Option<&str>) {
        let detail = detail.unwrap_or_default();
        match reason {
            GapReason::DiskFull => self.retention_bell.ring(),
            GapReason::DiskGone => self.watch_bell.ring(),
            GapReason::DiskError => {
                // The sentence begins with the file: another storage may be in use by now.
                let root =
                    |volume: &Arc<Volume>| detail.starts_with(&*volume.root().to_string_lossy());
                let named = self.volumes().iter().position(root);
                if let Some(volume) = named.or_else(|| self.chosen()) {
                    let mut reports = self.reports.lock().expect("no holder of this lock panics");
                    reports.retain(|report| report.volume != volume);
                    reports.push(Report {
                        volume,
                        detail: detail.to_owned(),
                    });
                }
                self.watch_bell.ring();
            }
            _ => {}
        }
    }

    fn take_reports(&self) -> Vec<Report> {
        let mut reports = self.reports.lock().expect("no holder of this lock panics");
        std::mem::take(&mut *reports)
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
