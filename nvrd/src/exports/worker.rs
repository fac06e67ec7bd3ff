//! The thread that makes exports, one after the other, and removes those that are old.

use std::ops::ControlFlow;
use std::thread::JoinHandle;
use std::time::Duration;

use nvr_base::{Error, ErrorKind, Principal, Result};
use nvr_store::{ExportOutcome, ExportRow, ExportState};

use super::job::{Workshop, part_of, remove};
use super::{Exports, Range, Running};

/// How long an export waits for the end of its range to be listed, microseconds: files last a minute or a few.
pub(super) const PATIENCE_US: i64 = 600_000_000;
/// How often a restart of the daemon may interrupt an export before it counts as its cause.
const ATTEMPTS: u32 = 3;
/// How often old exports are looked for, and waiting ones looked at.
const ROUND: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(1);
/// Below the threads that record.
const NICE: i32 = 10;

pub(super) fn start(exports: Exports) -> Result<JoinHandle<()>> {
    let folder = exports.folder();
    std::fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, error))?;
    exports.inner.parts.store.requeue_exports(ATTEMPTS)?;
    exports.sweep()?;
    std::thread::Builder::new()
        .name("exports".to_owned())
        .spawn(move || exports.run())
        .map_err(|error| Error::exhausted(format!("exports: no thread: {error}")))
}

impl Exports {
    fn run(&self) {
        // Of this thread alone, on Linux. Without it exports work all the same.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "exports run at the usual priority");
        }
        let mut next_round = Duration::ZERO;
        let clock = &self.inner.parts.clock;
        while !self.work().stopping {
            if clock.monotonic() >= next_round {
                next_round = clock.monotonic() + ROUND;
                if let Err(error) = self.forget_old() {
                    tracing::error!(%error, "old exports could not be removed");
                }
            }
            let wait = match self.next() {
                Ok(Next::Run(row)) => {
                    self.run_one(&row);
                    continue;
                }
                Ok(Next::Wait) => LOOK,
                Ok(Next::Nothing) => ROUND,
                Err(error) => {
                    tracing::error!(%error, "the waiting exports could not be read");
                    ROUND
                }
            };
            let work = self.work();
            if !work.stopping {
                // Woken or not: the loop looks at everything anew.
                drop(self.inner.changed.wait_timeout(work, wait));
            }
        }
    }

    fn next(&self) -> Result<Next> {
        let parts = &self.inner.parts;
        let queued = parts.store.exports_in(ExportState::Queued)?;
        let waits = !queued.is_empty();
        for row in queued {
            let late = parts.clock.unix_us() - row.created_us >= PATIENCE_US;
            if late || range_of(&row).is_settled(&parts.store)? {
                return Ok(Next::Run(row));
            }
        }
        Ok(if waits { Next::Wait } else { Next::Nothing })
    }

    fn run_one(&self, row: &ExportRow) {
        let store = &self.inner.parts.store;
        match store.begin_export(&row.id) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(export.id = row.id, %error, "an export could not be begun");
                std::thread::sleep(LOOK);
                return;
            }
        }
        self.work().running = Some(Running {
            id: row.id.clone(),
            cancelled: false,
            done_bytes: 0,
            all_bytes: 0,
        });
        let mut outcome = self.make(row);
        // A segment that was deleted meanwhile is no part of the range any more: what is left of it is.
        for _ in 1..ATTEMPTS {
            match &outcome {
                Err(error) if error.kind() == ErrorKind::DataLoss => outcome = self.make(row),
                _ => break,
            }
        }
        self.work().running = None;
        let outcome = match outcome {
            Ok(Some(outcome)) => outcome,
            // Cancelled, or the daemon stops: the next one finds it and begins anew.
            Ok(None) => return,
            Err(error) => {
                tracing::error!(export.id = row.id, camera.id = row.camera, %error, "an export failed");
                ExportOutcome::Failed(error.to_string())
            }
        };
        match store.end_export(&row.id, &outcome) {
            Ok(true) => {
                tracing::info!(
                    export.id = row.id,
                    camera.id = row.camera,
                    "an export is over"
                );
            }
            Ok(false) => {
                // Cancelled at the last moment.
                if let Err(error) = remove(&self.file(&row.id)) {
                    tracing::error!(export.id = row.id, %error, "a cancelled export could not be removed");
                }
            }
            Err(error) => {
                tracing::error!(export.id = row.id, %error, "an export could not be noted");
            }
        }
    }

    fn make(&self, row: &ExportRow) -> Result<Option<ExportOutcome>> {
        let parts = &self.inner.parts;
        let range = range_of(row);
        let segments = range.segments(&parts.store)?;
        let mut missing = range.missing(&parts.store)?;
        let workshop = Workshop {
            file_of: &|row| parts.storage.segment_file(row),
            evidence: parts.evidence.as_deref(),
            step: &|done, all| self.step(done, all),
        };
        let made = workshop.make(&range, &segments, &self.file(&row.id))?;
        Ok(made.map(|made| {
            missing.extend(made.lost);
            missing.sort_by_key(|gap| gap.start_us);
            ExportOutcome::Done {
                shown_us: made.shown_us,
                bytes: made.bytes,
                missing,
                detail: made.detail,
            }
        }))
    }

    fn step(&self, done: u64, all: u64) -> ControlFlow<()> {
        let mut work = self.work();
        let stopping = work.stopping;
        match &mut work.running {
            Some(running) if !running.cancelled && !stopping => {
                running.done_bytes = done;
                running.all_bytes = all;
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        }
    }

    /// Removes exports that are too old or too many.
    fn forget_old(&self) -> Result<()> {
        let parts = &self.inner.parts;
        // A clock that is not believed deletes nothing by age.
        let trusted = parts.store.clock_doubt()?.is_none();
        let before = parts.clock.unix_us().saturating_sub(self.keep_us());
        let stale = parts
            .store
            .stale_exports(trusted.then_some(before), self.config().keep_count)?;
        for row in stale {
            remove(&self.file(&row.id))?;
            parts.store.delete_export(&row.id)?;
            tracing::info!(export.id = row.id, "an old export was removed");
        }
        Ok(())
    }

    /// Removes what a crash left: parts, and files of which the database knows nothing.
    fn sweep(&self) -> Result<()> {
        let folder = self.folder();
        let fail = |error| Error::io(&folder, error);
        for entry in std::fs::read_dir(&folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some((id, ending)) = name.split_once('.') else {
                continue;
            };
            let ours = uuid::Uuid::parse_str(id).is_ok();
            let part = part_of(&self.file(id)) == path;
            let lost = ending == "mp4" && ours && !self.is_done(id)?;
            if ours && (part || lost) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn is_done(&self, id: &str) -> Result<bool> {
        match self.inner.parts.store.export(Principal::system(), id) {
            Ok(row) => Ok(row.state == ExportState::Done),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

enum Next {
    Run(ExportRow),
    /// For recordings that are still being written.
    Wait,
    Nothing,
}

fn range_of(row: &ExportRow) -> Range {
    Range {
        camera: row.camera.clone(),
        start_us: row.start_us,
        end_us: row.end_us,
    }
}
