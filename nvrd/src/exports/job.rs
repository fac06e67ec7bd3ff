//! Making one export: its file is planned, written beside its place, proven, synced, and only then given its name.

use std::fs::{File, OpenOptions};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use nvr_base::{Error, ErrorKind, Result};
use nvr_mp4::flat::{Flat, FlatError, Plan};
use nvr_store::{ExportGap, SegmentRow};

use super::range::Range;
use crate::evidence::Evidence;

/// Bytes after which what is written is sent to the disk: more at once would make the recorder's own syncs wait.
const SYNC_BYTES: u64 = 64 << 20;
/// Room that must be left on the disk, bytes.
pub(super) const SPARE_BYTES: u64 = 256 << 20;

/// What an export is made with.
pub struct Workshop<'a> {
    /// Where the file of a segment is.
    pub file_of: &'a dyn Fn(&SegmentRow) -> Result<PathBuf>,
    /// Signs the file, where it shall be signed.
    pub evidence: Option<&'a Evidence>,
    /// Told the bytes that are written and all there will be; may stop the work.
    pub step: &'a dyn Fn(u64, u64) -> ControlFlow<()>,
}

/// An export that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Wall time at which it begins, microseconds since 1970-01-01 UTC.
    pub shown_us: i64,
    /// Length of the file.
    pub bytes: u64,
    /// Pictures in it, those included that are only decoded.
    pub pictures: usize,
    /// What could not be taken into it, though the database has it.
    pub lost: Vec<ExportGap>,
    /// What a person should know of it.
    pub detail: Option<String>,
}

impl Workshop<'_> {
    /// Makes the file of a range out of its segments; `None` when it was stopped.
    ///
    /// # Errors
    /// When nothing of the range can be read, or the file cannot be written. Then no file is left.
    pub fn make(&self, range: &Range, rows: &[SegmentRow], to: &Path) -> Result<Option<Made>> {
        let part = part_of(to);
        let made = self.make_part(range, rows, &part);
        match made {
            Ok(Some(made)) => {
                std::fs::rename(&part, to).map_err(|error| Error::io(to, error))?;
                sync_folder(to)?;
                Ok(Some(made))
            }
            other => {
                remove(&part)?;
                other
            }
        }
    }

    fn make_part(&self, range: &Range, rows: &[SegmentRow], part: &Path) -> Result<Option<Made>> {
        let Some((plan, used, lost)) = self.plan(range, rows)? else {
            return Ok(None);
        };
        room_for(part, plan.bytes())?;
        let fail = |error| Error::io(part, error);
        let out = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(part)
            .map_err(fail)?;
        if self.copy(&plan, &out)?.is_break() {
            return Ok(None);
        }
        out.sync_all().map_err(fail)?;
        let shown_us = plan.start_unix_us();
        let detail = self.prove(part, range, shown_us, &used)?;
        Ok(Some(Made {
            shown_us,
            bytes: std::fs::metadata(part).map_err(fail)?.len(),
            pictures: plan.pictures(),
            lost,
            detail,
        }))
    }

    /// The plan, the segments in it, and what could not be read.
    #[expect(
        clippy::type_complexity,
        reason = "three things that only its caller takes apart"
    )]
    fn plan(
        &self,
        range: &Range,
        rows: &[SegmentRow],
    ) -> Result<Option<(Plan, Vec<SegmentRow>, Vec<ExportGap>)>> {
        let mut flat = Flat::new(range.start_us, range.end_us);
        let (mut used, mut lost): (Vec<SegmentRow>, Vec<ExportGap>) = Default::default();
        for (place, row) in rows.iter().enumerate() {
            if (self.step)(0, 1).is_break() {
                return Ok(None);
            }
            let until = rows.get(place + 1).map_or(i64::MAX, |next| next.start_us);
            let added = (self.file_of)(row)
                .and_then(|path| flat.add(&path, row.start_us, until).map_err(failure));
            match added {
                Ok(true) => used.push(row.clone()),
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::FailedPrecondition => return Err(error),
                Err(error) => {
                    tracing::warn!(segment.id = row.id, %error, "an export goes on without a segment");
                    lost.push(lost_of(range, row, &error));
                }
            }
        }
        let plan = flat.finish().map_err(|error| match (error, lost.first()) {
            (FlatError::Nothing, Some(first)) => Error::data_loss(format!(
                "nothing of the range can be read: {}",
                first.detail.as_deref().unwrap_or_default()
            )),
            (error, _) => failure(error),
        })?;
        Ok(Some((plan, used, lost)))
    }

    fn copy(&self, plan: &Plan, out: &File) -> Result<ControlFlow<()>> {
        let mut synced = 0;
        let mut stuck = None;
        let flow = plan.write(out, &mut |done| {
            if done - synced >= SYNC_BYTES {
                synced = done;
                if let Err(error) = out.sync_data() {
                    stuck = Some(error);
                    return ControlFlow::Break(());
                }
            }
            (self.step)(done, plan.bytes())
        });
        match stuck {
            Some(error) => Err(failure(FlatError::Write(error))),
            None => flow.map_err(failure),
        }
    }

    /// Signs the file; answers why it is not signed, where it is not.
    fn prove(
        &self,
        part: &Path,
        range: &Range,
        shown_us: i64,
        rows: &[SegmentRow],
    ) -> Result<Option<String>> {
        let Some(evidence) = self.evidence else {
            return Ok(Some("it carries no proof".to_owned()));
        };
        match evidence.prove_export(part, &range.camera, shown_us..range.end_us, rows) {
            Ok(()) => Ok(None),
            // Recordings from before there was a chain are worth exporting too.
            Err(error) if error.kind() == ErrorKind::FailedPrecondition => {
                Ok(Some(format!("it carries no proof: {error}")))
            }
            Err(error) => Err(error),
        }
    }
}

/// Where the file is while it is written.
pub(super) fn part_of(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Sees that a file of that length fits beside it.
///
/// # Errors
/// `ResourceExhausted` with how much is needed.
pub(super) fn room_for(place: &Path, bytes: u64) -> Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(found) = rustix::fs::statvfs(folder) else {
        return Ok(());
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = bytes.saturating_add(SPARE_BYTES);
    if free >= needed {
        return Ok(());
    }
    let mega = |bytes: u64| bytes.div_ceil(1_000_000);
    Err(Error::exhausted(format!(
        "{}: the export needs {} MB of free space, {} MB of it to spare, and there are {} MB: free some, or export less",
        folder.display(),
        mega(needed),
        mega(SPARE_BYTES),
        free / 1_000_000
    )))
}

/// Removes a file; one that is not there is none.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

fn sync_folder(file: &Path) -> Result<()> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io(folder, error))
}

fn failure(error: FlatError) -> Error {
    let text = error.to_string();
    match error {
        FlatError::OtherCodec { .. } | FlatError::TooMuch => Error::precondition(text),
        FlatError::Nothing => Error::not_found(text),
        FlatError::Write(source) if source.kind() == std::io::ErrorKind::StorageFull => {
            Error::exhausted(text)
        }
        FlatError::Source { .. } | FlatError::Copy { .. } => Error::data_loss(text),
        FlatError::Write(_) | FlatError::Describe(_) => Error::internal(text),
    }
}

fn lost_of(range: &Range, row: &SegmentRow, error: &Error) -> ExportGap {
    let reason = match error.kind() {
        ErrorKind::Unavailable => "disk_gone",
        _ => "damaged",
    };
    ExportGap {
        start_us: row.start_us.max(range.start_us),
        end_us: row.end_us.min(range.end_us),
        reason: reason.to_owned(),
        detail: Some(error.to_string()),
    }
}
