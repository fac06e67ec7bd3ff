//! Acts on findings, each in the order that a crash in between leaves nothing worse: chain, then index, then file.

use std::path::Path;

use nvr_base::{Error, Principal, Result};
use nvr_mp4::inspect;
use nvr_store::SegmentRow;

use super::judge::place_in_quarantine;
use super::{Remedy, Walk};
use crate::evidence::Evidence;

/// The reason of the entry of a file that no recorder reported.
const FOUND: &str = "found on disk after the daemon that recorded it had ended";
/// The reason of the entry of a row that had none.
const LATE: &str = "it was listed without an entry";
/// Entries that are written at once.
const ENTRIES: usize = 500;
/// The reason of a gap where a recording was.
const DAMAGED: &str = "damaged";

impl Walk<'_> {
    pub(super) fn act(&mut self, remedy: Remedy, evidence: &Evidence) -> Result<()> {
        let store = self.check.store;
        match remedy {
            Remedy::List {
                row,
                file,
                cut,
                has_entry,
            } => self.list(*row, &file, cut, has_entry, evidence),
            Remedy::Quarantine {
                file,
                volume,
                relative,
                why,
                row,
                has_entry,
            } => {
                let why = format!("{why}; the file is in quarantine");
                self.lose(row.as_deref(), &why, has_entry, &relative, evidence)?;
                quarantine(&file, &volume, &relative, &why)?;
                self.report.quarantined += 1;
                Ok(())
            }
            Remedy::Lose {
                row,
                why,
                has_entry,
            } => self.lose(Some(&row), &why, has_entry, "", evidence),
            Remedy::Correct { row, has_entry } => {
                if !has_entry {
                    evidence.recorded(std::slice::from_ref(&row), Some(LATE))?;
                }
                store.correct_segment(&row)
            }
            Remedy::Enter { rows } => self.enter_late(&rows, evidence),
            Remedy::Settle { row } => {
                evidence.lost(&[*row], "neither its file nor its row was found")
            }
        }
    }

    /// Entries for rows that have none, many with one sync.
    fn enter_late(&self, ids: &[String], evidence: &Evidence) -> Result<()> {
        for ids in ids.chunks(ENTRIES) {
            let mut rows = Vec::with_capacity(ids.len());
            for id in ids {
                let mut row = self.check.store.segment(Principal::system(), id)?;
                if row.blake3.is_none() {
                    let file = self.check.storage.segment_file(&row)?;
                    let hash = inspect::hash(&file).map_err(|error| Error::io(&file, error))?;
                    row.blake3 = Some(hash);
                }
                rows.push(row);
            }
            evidence.recorded(&rows, Some(LATE))?;
        }
        Ok(())
    }

    fn list(
        &mut self,
        mut row: SegmentRow,
        file: &Path,
        cut: Option<u64>,
        has_entry: bool,
        evidence: &Evidence,
    ) -> Result<()> {
        if cut.is_some() {
            inspect::repair(file)
                .map_err(|error| Error::data_loss(format!("{}: {error}", file.display())))?;
        } else {
            // What the recorder had not synced yet when it died must be durable before it is listed (R1).
            sync(file)?;
        }
        if let Some(folder) = file.parent() {
            sync(folder)?;
        }
        if row.blake3.is_none() {
            row.blake3 = Some(inspect::hash(file).map_err(|error| Error::io(file, error))?);
            self.report.bytes_read += row.bytes;
        }
        if !has_entry {
            evidence.recorded(std::slice::from_ref(&row), Some(FOUND))?;
        }
        self.check.store.insert_segment(&row)?;
        self.report.listed += 1;
        Ok(())
    }

    /// A segment that is lost: the chain says so, then its row goes and its time becomes a gap.
    fn lose(
        &mut self,
        row: Option<&str>,
        why: &str,
        has_entry: bool,
        path: &str,
        evidence: &Evidence,
    ) -> Result<()> {
        let store = self.check.store;
        if let Some(id) = row {
            // A row that cannot be read has no entry that could be named.
            if let (true, Ok(lost)) = (has_entry, store.segment(Principal::system(), id)) {
                evidence.lost(&[lost], why)?;
            }
            return store.lose_segment(id, DAMAGED, why);
        }
        if has_entry {
            let files = [path.to_owned()].into();
            let rows: Vec<SegmentRow> = evidence
                .entries_of(&self.camera, &files)?
                .iter()
                .map(row_of_entry)
                .collect();
            evidence.lost(&rows, why)?;
        }
        Ok(())
    }
}

/// What an entry knows of a row.
pub(super) fn row_of_entry(entry: &crate::evidence::Entry) -> SegmentRow {
    SegmentRow {
        id: String::new(),
        camera: entry.camera.clone(),
        path: entry.path.clone(),
        start_us: entry.start_unix_us,
        end_us: entry.end_unix_us,
        frames: 0,
        bytes: entry.bytes,
        codec: String::new(),
        width: 0,
        height: 0,
        blake3: Some(entry.blake3.clone()),
        discont: false,
        keyframes: Vec::new(),
        storage: entry.storage.clone(),
        protected: false,
        audio: None,
    }
}

/// Moves a file to quarantine, with a sentence beside it; nothing is ever deleted here.
fn quarantine(file: &Path, volume: &Path, relative: &str, why: &str) -> Result<()> {
    let place = place_in_quarantine(volume, relative);
    let fail = |error| Error::io(&place, error);
    let folder = place.parent().unwrap_or(volume);
    std::fs::create_dir_all(folder).map_err(fail)?;
    std::fs::write(place.with_extension("txt"), format!("{relative}: {why}\n")).map_err(fail)?;
    std::fs::rename(file, &place).map_err(fail)?;
    sync(folder)?;
    match file.parent() {
        Some(from) => sync(from),
        None => Ok(()),
    }
}

fn sync(path: &Path) -> Result<()> {
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Error::io(path, error))
}
