//! Empties the list of garbage: tells the chain, unlinks files, syncs folders, and only then forgets them.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result};
use nvr_store::{GarbageRow, SegmentRow, Store};

use crate::evidence::Deletions;
use crate::storage::{Storage, Volume, identity};

/// Files that are handled between two transactions.
const BATCH: u32 = 256;

/// What became of garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Disposed {
    /// Files that are gone.
    pub(super) files: u64,
    /// Files that could not be unlinked; they are tried again.
    pub(super) failed: u64,
}

/// Unlinks what is on the list of garbage of a storage that is there, at most `most` files.
///
/// # Errors
/// Those of the database and of the chain; a file that cannot be unlinked is noted instead.
pub(super) fn dispose(
    storage: &Storage,
    volume: &Volume,
    store: &Store,
    deletions: Option<&dyn Deletions>,
    today: &str,
    most: u64,
) -> Result<Disposed> {
    let mut disposed = Disposed::default();
    let Some(id) = volume.id() else {
        return Ok(disposed);
    };
    while disposed.files + disposed.failed < most {
        let rows = store.garbage(id, BATCH)?;
        // What failed is at the end of the list: once only that is left, it waits for the next round.
        let tries = rows.first().map_or(0, |row| row.tries);
        let rows: Vec<GarbageRow> = rows.into_iter().filter(|row| row.tries == tries).collect();
        if rows.is_empty() {
            break;
        }
        if let Some(deletions) = deletions {
            for part in rows.chunk_by(|a, b| a.reason == b.reason) {
                let gone: Vec<SegmentRow> = part.iter().map(segment_of).collect();
                deletions.on_deleted(&gone, &part[0].reason)?;
            }
        }
        let (gone, failed) = unlink(storage, store, &rows, today)?;
        for row in &gone {
            crate::stills::forget_segment(storage, &row.id);
        }
        store.forget_garbage(&gone)?;
        disposed.files += gone.len() as u64;
        disposed.failed += failed;
        if failed > 0 {
            break;
        }
    }
    Ok(disposed)
}

/// Unlinks files; answers with those that are gone for good, and how many are not.
fn unlink(
    storage: &Storage,
    store: &Store,
    rows: &[GarbageRow],
    today: &str,
) -> Result<(Vec<GarbageRow>, u64)> {
    let mut folders = BTreeSet::new();
    let mut gone: Vec<(PathBuf, &GarbageRow)> = Vec::new();
    let mut failed = 0;
    for row in rows {
        let path = storage.file_at(&row.storage, &row.path)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let error = Error::io(&path, error);
                tracing::error!(%error, "a recording could not be deleted; it is tried again");
                store.garbage_failed(row, error.message())?;
                failed += 1;
            }
            _ => {
                let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
                folders.insert(folder.clone());
                gone.push((folder, row));
            }
        }
    }
    for folder in &folders {
        if let Err(error) = settle(folder, today) {
            tracing::error!(%error, "a folder could not be synced after deleting");
            gone.retain(|(other, _)| other != folder);
        }
    }
    Ok((
        gone.into_iter().map(|(_, row)| row.clone()).collect(),
        failed,
    ))
}

/// Makes the deletions in a folder of a day survive a power cut, and removes it when nothing is left in it.
///
/// The recorder may just be making today's folder, so that one stays.
fn settle(folder: &Path, today: &str) -> Result<()> {
    match identity::sync_folder(folder) {
        Err(error) if error.kind() == nvr_base::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    if name.as_ref() >= today {
        return Ok(());
    }
    match std::fs::remove_dir(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), identity::sync_folder),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(Error::io(folder, error)),
    }
}

/// The segment as the chain knows it; what only its row held is gone.
fn segment_of(row: &GarbageRow) -> SegmentRow {
    SegmentRow {
        id: row.id.clone(),
        camera: row.camera.clone(),
        path: row.path.clone(),
        start_us: row.start_us,
        end_us: row.end_us,
        frames: row.frames.cast_unsigned(),
        bytes: row.bytes.cast_unsigned(),
        codec: String::new(),
        width: 0,
        height: 0,
        blake3: row.blake3.clone(),
        discont: false,
        keyframes: Vec::new(),
        storage: row.storage.clone(),
        protected: false,
        audio: None,
    }
}
