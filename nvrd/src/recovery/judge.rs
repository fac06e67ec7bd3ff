//! What is wrong with a file, a row or both, and what is to be done about it.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use nvr_base::{Error, Principal, Result};
use nvr_mp4::inspect::{self, InspectError, Inspected};
use nvr_store::{FileRow, SegmentRow, Store};

use super::join::{Pair, join};
use super::{Level, Remedy, Walk, unreadable};
use crate::evidence::{self, Content, FileKey};
use crate::storage::Volume;

/// A shorter hole between two segments is none: nobody knows the length of the last picture exactly.
pub(super) const SEAM_US: i64 = 50_000;
/// So many rows without an entry are named one by one.
const NAMED_ALONE: usize = 20;
/// Files and rows may differ by so much in their times, microseconds: both are rounded.
const ROUNDING_US: u64 = 2_000;

impl Walk<'_> {
    /// One camera in one storage.
    pub(super) fn volume(&mut self, volume: &Volume) -> Result<()> {
        // What is put right here must not be met again further on: first look at all, then act.
        let mut pairs = Vec::new();
        let mut foreign = 0_u64;
        let mut newest = None;
        let check = *self.check;
        let camera = self.camera.clone();
        join(check.store, volume, &camera, &mut |pair| {
            match &pair {
                Pair::Foreign(_) => {
                    foreign += 1;
                    self.report.files += 1;
                    return Ok(());
                }
                Pair::File(path) => {
                    newest = Some(path.clone());
                    self.report.files += 1;
                }
                Pair::Both(row) => {
                    newest = Some(row.path.clone());
                    self.report.files += 1;
                    self.report.rows += 1;
                    let key = self.key(volume, &row.path);
                    self.unmatched.remove(&key);
                    if !self.needs_a_look(volume, row)? {
                        return Ok(());
                    }
                }
                Pair::Row(_) => self.report.rows += 1,
            }
            pairs.push(pair);
            Ok(())
        })?;
        if foreign > 0 {
            let note = format!("{camera}: {foreign} files that are no recordings are left alone");
            self.report.notes.push(note);
        }
        for pair in pairs {
            match pair {
                // The last one of a daemon that runs is the one that it writes.
                Pair::File(path) if check.running && newest.as_ref() == Some(&path) => {}
                Pair::File(path) => self.file(volume, path)?,
                Pair::Row(row) => self.row(volume, &row)?,
                Pair::Both(row) => self.both(volume, &row)?,
                Pair::Foreign(_) => {}
            }
        }
        self.enter();
        Ok(())
    }

    /// R12: rows without an entry; many are told as one, for then the chain as a whole was not there.
    fn enter(&mut self) {
        let unentered = std::mem::take(&mut self.unentered);
        if unentered.len() <= NAMED_ALONE {
            for (id, path) in unentered {
                let remedy = Remedy::Enter { rows: vec![id] };
                let what = "the chain has no entry for it".to_owned();
                self.found("R12", &path, what, Some(remedy));
            }
            return;
        }
        let first = unentered.first().map_or("", |(_, path)| path.as_str());
        let what = format!(
            "{} listed files have no entry in the chain, the first is {first}",
            unentered.len()
        );
        let rows = unentered.into_iter().map(|(id, _)| id).collect();
        let camera = self.camera.clone();
        self.found("R12", &camera, what, Some(Remedy::Enter { rows }));
    }

    /// Whether a file and its row are worth more than the sight that both are there.
    fn needs_a_look(&self, volume: &Volume, row: &FileRow) -> Result<bool> {
        if self.check.level == Level::Deep || self.last.as_ref() == Some(&row.id) {
            return Ok(true);
        }
        if row.start_us < self.since_us {
            return Ok(false);
        }
        if !self.said.live.contains_key(&self.key(volume, &row.path)) {
            return Ok(true);
        }
        let file = volume.recordings().join(&row.path);
        Ok(metadata(&file)?.is_none_or(|found| found.len() != row.bytes))
    }

    /// R2: a file without a row.
    fn file(&mut self, volume: &Volume, path: String) -> Result<()> {
        let file = volume.recordings().join(&path);
        let storage = volume.id().unwrap_or_default();
        if self.check.store.is_garbage(storage, &path)? {
            // R11: whoever deletes goes on with it.
            return Ok(());
        }
        let key = self.key(volume, &path);
        self.unmatched.remove(&key);
        let content = self.content(key, evidence::start_of(&file))?;
        let quarantine = |why: String, has_entry| Remedy::Quarantine {
            file: file.clone(),
            volume: volume.root().to_owned(),
            relative: path.clone(),
            why,
            row: None,
            has_entry,
        };
        if self.said.deleted.contains(&key) {
            let why = "the chain says that it was deleted".to_owned();
            let remedy = quarantine(why.clone(), false);
            self.found("R2", &path, format!("no row, and {why}"), Some(remedy));
            return Ok(());
        }
        let found = match inspect::inspect(&file) {
            Ok(found) => found,
            Err(InspectError::Io(error)) => {
                let what = format!("no row, and it cannot be read: {error}");
                self.found("R2", &path, what, None);
                return Ok(());
            }
            Err(error) => {
                let remedy = quarantine(error.to_string(), content.is_some());
                self.found("R2", &path, format!("no row, and {error}"), Some(remedy));
                return Ok(());
            }
        };
        if let Some(content) = content.filter(|content| content.bytes != found.file_bytes) {
            let why = format!(
                "it has {} bytes, but the chain says {}",
                found.file_bytes, content.bytes
            );
            let remedy = quarantine(why.clone(), true);
            self.found("R2", &path, format!("no row, and {why}"), Some(remedy));
            return Ok(());
        }
        let Some(row) = row_of(self.check.store, &self.camera, storage, &path, &found)? else {
            let why = "it holds no wall time".to_owned();
            let remedy = quarantine(why.clone(), content.is_some());
            self.found("R2", &path, format!("no row, and {why}"), Some(remedy));
            return Ok(());
        };
        let cut = (found.valid_bytes < found.file_bytes).then_some(found.valid_bytes);
        let torn = match cut {
            Some(valid) => format!(", and {} bytes of a torn end", found.file_bytes - valid),
            None => String::new(),
        };
        let what = format!(
            "no row; it holds {:.1} s{torn}",
            found.duration_ns as f64 / 1e9
        );
        let row = SegmentRow {
            blake3: content.and_then(|content| content.blake3()),
            ..row
        };
        let remedy = Remedy::List {
            row: Box::new(row),
            file: file.clone(),
            cut,
            has_entry: content.is_some(),
        };
        self.found("R2", &path, what, Some(remedy));
        Ok(())
    }

    /// R1: a row without a file.
    fn row(&mut self, volume: &Volume, row: &FileRow) -> Result<()> {
        let key = self.key(volume, &row.path);
        self.unmatched.remove(&key);
        let has_entry = self.content(key, None)?.is_some();
        let remedy = Remedy::Lose {
            row: row.id.clone(),
            why: "its file is gone".to_owned(),
            has_entry,
        };
        let what = "listed, but the file is gone".to_owned();
        self.found("R1", &row.path, what, Some(remedy));
        Ok(())
    }

    /// R1, R12 and, at the deepest level, R3, R4 and R7: a file and its row.
    fn both(&mut self, volume: &Volume, row: &FileRow) -> Result<()> {
        let file = volume.recordings().join(&row.path);
        let key = self.key(volume, &row.path);
        let content = self.content(key, None)?;
        let Some(metadata) = metadata(&file)? else {
            return self.row(volume, row);
        };
        if metadata.len() != row.bytes {
            let what = format!(
                "{} bytes long, but listed with {}",
                metadata.len(),
                row.bytes
            );
            return self.differs(volume, row, &file, content, what, None);
        }
        if content.is_none() {
            self.unentered.push((row.id.clone(), row.path.clone()));
        }
        if self.check.level == Level::Deep || self.last.as_ref() == Some(&row.id) {
            self.content_of(volume, row, &file, content)?;
        }
        Ok(())
    }

    /// The bytes of a file against its row.
    fn content_of(
        &mut self,
        volume: &Volume,
        row: &FileRow,
        file: &Path,
        content: Option<Content>,
    ) -> Result<()> {
        let listed = match self.check.store.segment(Principal::system(), &row.id) {
            Ok(listed) => listed,
            Err(error) if error.kind() == nvr_base::ErrorKind::DataLoss => {
                // A row that cannot be read is made anew from the file.
                let what = "its row cannot be read".to_owned();
                return self.differs(volume, row, file, content, what, None);
            }
            Err(error) => return Err(error),
        };
        let hash = match inspect::hash(file) {
            Ok(hash) => hash,
            Err(error) => {
                self.found("R1", &row.path, format!("it cannot be read: {error}"), None);
                return Ok(());
            }
        };
        self.report.bytes_read += row.bytes;
        if listed.blake3.as_ref().is_some_and(|listed| *listed != hash) {
            let what = "its bytes are not those that were recorded".to_owned();
            return self.differs(volume, row, file, content, what, Some(hash));
        }
        let found = match inspect::inspect(file) {
            Ok(found) => found,
            Err(error) => {
                let what = format!("its bytes are those that were recorded, but {error}");
                self.found("R4", &row.path, what, None);
                return Ok(());
            }
        };
        if found.valid_bytes < found.file_bytes {
            let what = format!(
                "{} bytes at its end are no whole fragment",
                found.file_bytes - found.valid_bytes
            );
            self.found("R3", &row.path, what, None);
        }
        if found.keyframes.first().is_none_or(|key| key.offset_ns != 0) {
            let what = "it does not begin with a key frame".to_owned();
            self.found("R7", &row.path, what, None);
        }
        if let Some(what) = difference(&listed, &found) {
            let storage = volume.id().unwrap_or_default();
            if let Some(made) = row_of(self.check.store, &self.camera, storage, &row.path, &found)?
            {
                let row = Box::new(kept(&listed, made, Some(hash)));
                let remedy = Remedy::Correct {
                    row,
                    has_entry: content.is_some(),
                };
                self.found("R4", &listed.path, what, Some(remedy));
            }
        } else if listed.blake3.is_none() {
            let row = Box::new(SegmentRow {
                blake3: Some(hash),
                ..listed
            });
            let path = row.path.clone();
            let remedy = Remedy::Correct {
                row,
                has_entry: content.is_some(),
            };
            self.found(
                "R1",
                &path,
                "its row has no BLAKE3".to_owned(),
                Some(remedy),
            );
        }
        Ok(())
    }

    /// A file that is not what its row says: the chain decides which of the two is right.
    fn differs(
        &mut self,
        volume: &Volume,
        row: &FileRow,
        file: &Path,
        content: Option<Content>,
        what: String,
        hash: Option<String>,
    ) -> Result<()> {
        let storage = volume.id().unwrap_or_default();
        let hash = match hash {
            Some(hash) => hash,
            None => inspect::hash(file).map_err(|error| unreadable(file, error))?,
        };
        let length = std::fs::metadata(file)
            .map_err(|error| unreadable(file, error))?
            .len();
        let listed = self.check.store.segment(Principal::system(), &row.id).ok();
        let was = |listed: &SegmentRow| listed.blake3.clone();
        let same = match &content {
            // The chain was written when the file was whole.
            Some(content) => {
                content.bytes == length && content.blake3().is_none_or(|known| known == hash)
            }
            None => listed
                .as_ref()
                .and_then(was)
                .is_none_or(|known| known == hash),
        };
        let made = match inspect::inspect(file) {
            Ok(found) if same && found.valid_bytes == found.file_bytes => {
                row_of(self.check.store, &self.camera, storage, &row.path, &found)?
            }
            Ok(_) | Err(_) => None,
        };
        let remedy = match made {
            Some(made) => Remedy::Correct {
                row: Box::new(match &listed {
                    Some(listed) => kept(listed, made, Some(hash)),
                    None => SegmentRow {
                        id: row.id.clone(),
                        blake3: Some(hash),
                        ..made
                    },
                }),
                has_entry: content.is_some(),
            },
            None => Remedy::Quarantine {
                file: file.to_owned(),
                volume: volume.root().to_owned(),
                relative: row.path.clone(),
                why: what.clone(),
                row: Some(row.id.clone()),
                has_entry: content.is_some(),
            },
        };
        self.found("R1", &row.path, what, Some(remedy));
        Ok(())
    }
}

/// What is there, `None` when nothing is.
fn metadata(file: &Path) -> Result<Option<Metadata>> {
    match std::fs::metadata(file) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(file, error)),
    }
}

/// The row of a file, without its BLAKE3; `None` when the file does not say when it was recorded.
pub(super) fn row_of(
    store: &Store,
    camera: &str,
    storage: &str,
    path: &str,
    found: &Inspected,
) -> Result<Option<SegmentRow>> {
    let Some(start_us) = found.start_unix_us else {
        return Ok(None);
    };
    let duration_us = i64::try_from(found.duration_ns / 1000).unwrap_or(i64::MAX);
    let end_us = found
        .end_unix_us
        .unwrap_or_else(|| start_us.saturating_add(duration_us));
    let before = store
        .file_before(camera, start_us)?
        .filter(|before| before.path != path);
    Ok(Some(SegmentRow {
        id: store.new_id(),
        camera: camera.to_owned(),
        path: path.to_owned(),
        start_us,
        end_us,
        frames: found.frames,
        bytes: found.valid_bytes,
        codec: found.codec.clone(),
        width: found.width,
        height: found.height,
        blake3: None,
        discont: before
            .is_none_or(|before| start_us.abs_diff(before.end_us) > SEAM_US.unsigned_abs()),
        keyframes: found
            .keyframes
            .iter()
            .map(|key| (key.offset_ns, key.byte))
            .collect(),
        storage: storage.to_owned(),
        protected: false,
        audio: found.audio.clone(),
    }))
}

/// What a file says, with what only the row knows.
fn kept(listed: &SegmentRow, made: SegmentRow, blake3: Option<String>) -> SegmentRow {
    SegmentRow {
        id: listed.id.clone(),
        discont: listed.discont,
        protected: listed.protected,
        blake3,
        ..made
    }
}

/// In what a row is not what its file says.
fn difference(row: &SegmentRow, found: &Inspected) -> Option<String> {
    let keyframes: Vec<(u64, u64)> = found
        .keyframes
        .iter()
        .map(|key| (key.offset_ns, key.byte))
        .collect();
    let apart =
        |row: i64, found: Option<i64>| found.is_some_and(|found| found.abs_diff(row) > ROUNDING_US);
    let rounding_ns = ROUNDING_US * 1000;
    let same_keys = row.keyframes.len() == keyframes.len()
        && row
            .keyframes
            .iter()
            .zip(&keyframes)
            .all(|(a, b)| a.1 == b.1 && a.0.abs_diff(b.0) <= rounding_ns);
    let what = if apart(row.start_us, found.start_unix_us) {
        "another start"
    } else if apart(row.end_us, found.end_unix_us) {
        "another end"
    } else if row.frames != found.frames {
        "another number of pictures"
    } else if !same_keys {
        "other key frames"
    } else if (row.width, row.height) != (found.width, found.height) || row.codec != found.codec {
        "another codec or size of pictures"
    } else {
        return None;
    };
    Some(format!("the file has {what} than its row"))
}

/// The place of a file in quarantine: one that is taken gets a number.
pub(super) fn place_in_quarantine(root: &Path, relative: &str) -> PathBuf {
    let wanted = root.join("quarantine").join(relative);
    let mut place = wanted.clone();
    let mut nth = 1_u32;
    while place.exists() {
        nth += 1;
        place = wanted.with_extension(format!("{nth}.mp4"));
    }
    place
}

/// The key of a row.
pub(super) fn key_of(row: &SegmentRow, first: &str) -> FileKey {
    FileKey::new(&row.storage, first, &row.path)
}
