//! The thread that writes: batches into the store, again and again while the store takes nothing, and the files that
//! were left out meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nvr_base::{Clock, ErrorKind, Result, Shutdown};
use nvr_store::{SegmentRow, Store, StoreChange};
use tokio::sync::broadcast;

use super::backlog::{Backlog, LeftOut, Waiting, Work};
use crate::evidence::Evidence;
use crate::hub::CommittedEvent;
use crate::live::Live;
use crate::pulse::Pulse;
use crate::recovery;
use crate::storage::Storage;

/// Most changes in one transaction.
const BATCH: usize = 256;
/// First wait before a failed batch is tried again; doubles up to a second.
const RETRY: Duration = Duration::from_millis(50);
/// How long a store that takes nothing is waited for when the daemon stops; what is lost then is found again on disk.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How often the run is noted to go on; so much the end of a killed one may be off.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What writing needs.
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) storage: Arc<Storage>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) committed: broadcast::Sender<CommittedEvent>,
    pub(super) stopping: Shutdown,
    pub(super) evidence: Option<Arc<Evidence>>,
    pub(super) live: Arc<Live>,
    /// Id of the run of the daemon, where it is noted.
    pub(super) run: Option<String>,
    pub(super) pulse: Option<Pulse>,
}

impl Writer {
    /// Works until the backlog is closed and empty; then the run has ended in order.
    pub(super) fn run(self, backlog: &Backlog) {
        let mut seen_at = self.clock.monotonic();
        loop {
            match backlog.take(BATCH, HEARTBEAT) {
                Work::Changes(changes) => self.write(changes),
                Work::LeftOut(files) => self.list(files, backlog),
                Work::Nothing => {}
                Work::Done => break,
            }
            self.goes_on();
            let now = self.clock.monotonic();
            if now.saturating_sub(seen_at) >= HEARTBEAT {
                seen_at = now;
                self.note_run(|run| self.store.run_seen(run, self.clock.unix_us()));
            }
        }
        self.note_run(|run| self.store.end_run(run, self.clock.unix_us()));
    }

    fn goes_on(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.tick();
        }
    }

    fn note_run(&self, work: impl FnOnce(&str) -> Result<()>) {
        if let Some(Err(error)) = self.run.as_deref().map(work) {
            tracing::warn!(%error, "it was not noted that the daemon runs");
        }
    }

    fn write(&self, batch: Vec<Waiting>) {
        self.chain(&batch);
        let changes: Vec<StoreChange> = batch.iter().map(|item| item.change.clone()).collect();
        let committed = self.patiently("changes", || self.store.apply_batch(&changes));
        for item in &batch {
            if let (StoreChange::Segment(row), Some(location)) = (&item.change, &item.location) {
                self.settled(&row.camera, location);
            }
        }
        let Some(committed) = committed else { return };
        for refused in &committed.refused {
            tracing::error!(error = %refused.error, "a change was refused");
        }
        // In the order of the batch, so each is looked for behind the one before.
        let mut items = batch.into_iter();
        for change in &committed.changes {
            let StoreChange::Event(step) = change else {
                continue;
            };
            let event = items.by_ref().find_map(|item| {
                item.event.filter(|told| {
                    told.event.id == step.event.id && matches!(&item.change, StoreChange::Event(asked) if asked.change == step.change)
                })
            });
            if let Some(mut event) = event {
                event.committed = step.clone();
                // Fails only when nobody listens.
                drop(self.committed.send(event));
            }
        }
    }

    fn settled(&self, camera: &str, location: &str) {
        let now = self.clock.monotonic();
        self.live.with(camera, now, |live| live.settled(location));
    }

    /// Adds the segments among the changes to the chains of their cameras, before their rows are stored.
    ///
    /// A chain that cannot be written costs no recording: what it lacks is in the log, and added at the next start.
    fn chain(&self, batch: &[Waiting]) {
        let segments = batch.iter().filter_map(|item| match &item.change {
            StoreChange::Segment(row) => Some(row.clone()),
            _ => None,
        });
        self.prove(&segments.collect::<Vec<_>>(), None);
    }

    fn prove(&self, rows: &[SegmentRow], reason: Option<&str>) {
        if let (Some(evidence), false) = (&self.evidence, rows.is_empty()) {
            self.patiently("the proof of recordings", || {
                evidence.recorded(rows, reason)
            });
        }
    }

    /// Lists files whose rows were left out while the database took nothing.
    fn list(&self, files: Vec<LeftOut>, backlog: &Backlog) {
        let mut rest = files.into_iter();
        while let Some(file) = rest.next() {
            match self.list_file(&file) {
                Ok(listed) => {
                    if listed {
                        self.live.counters().find_segment();
                    }
                    self.settled(&file.camera, &file.location);
                }
                Err(error) => {
                    tracing::warn!(camera.id = file.camera, %error, "a file is not listed yet, trying again");
                    backlog.put_back(std::iter::once(file).chain(rest).collect());
                    if !self.stopping.is_triggered() {
                        std::thread::sleep(RETRY * 20);
                    }
                    return;
                }
            }
        }
    }

    /// Gives a file its row if it has none; `false` when it has one, or is none of ours, or cannot be read.
    fn list_file(&self, file: &LeftOut) -> Result<bool> {
        let location = Path::new(&file.location);
        let Some((storage, path)) = self.storage.relative(location) else {
            return Ok(false);
        };
        let path = path.display().to_string();
        if self.store.has_segment_path(&storage, &path)? {
            return Ok(false);
        }
        let row = recovery::row_of_closed(&self.store, &file.camera, &storage, &path, location);
        let row = match row {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(false),
            // The next start looks at it more closely.
            Err(error) if error.kind() == ErrorKind::DataLoss => {
                tracing::error!(%error, "a file is not listed");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.prove(std::slice::from_ref(&row), Some("listed late"));
        self.store.insert_segment(&row)
    }

    /// Does something with the store, again while it is busy or full; `None`, and a record in the log, when it
    /// cannot be done.
    fn patiently<T>(&self, what: &str, mut work: impl FnMut() -> Result<T>) -> Option<T> {
        let mut wait = RETRY;
        let mut last_waits = Duration::ZERO;
        loop {
            let begun = self.clock.monotonic();
            let error = match work() {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            let passing = matches!(
                error.kind(),
                ErrorKind::Unavailable | ErrorKind::ResourceExhausted
            );
            if !passing || last_waits >= LAST_WAIT {
                tracing::error!(%error, "{what} could not be stored");
                return None;
            }
            if error.kind() == ErrorKind::ResourceExhausted {
                // The disk of the database is full: what was held back for it is given up, and room is made.
                self.storage.release_reserve();
                self.storage.retention_bell.ring();
            }
            self.live.counters().retry_store();
            tracing::warn!(%error, retry_ms = wait.as_millis() as u64, "the store does not take {what}, trying again");
            // A store that refuses is no stuck thread: a restart would not mend it.
            self.goes_on();
            std::thread::sleep(wait);
            if self.stopping.is_triggered() {
                // A locked database takes its time to say so.
                last_waits += wait + self.clock.monotonic().saturating_sub(begun);
            }
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }
}
