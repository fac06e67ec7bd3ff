//! Finds, at start, the files that a crash left without a row, cuts their torn ends off and lists them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result, Slug};
use nvr_mp4::inspect::{self, InspectError, Inspected};
use nvr_store::{SegmentRow, Store};

use crate::storage::{Storage, Volume};

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Files that have a row now.
    pub listed: u64,
    /// Files that hold no whole fragment, and are left where they are.
    pub unreadable: u64,
}

/// Lists every file of the storage that the store does not know. Nothing may record meanwhile.
///
/// # Errors
/// When a folder cannot be read or the store not written; a damaged file is no error.
pub fn recover(storage: &Storage, store: &Store) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    for volume in storage.volumes() {
        // Where a disk is missing there is nothing to find; its rows stay as they are.
        if volume.condition().is_present() {
            recover_volume(volume, store, &mut recovered)?;
        }
    }
    if recovered != Recovered::default() {
        tracing::warn!(
            listed = recovered.listed,
            unreadable = recovered.unreadable,
            "the last run ended in mid-segment"
        );
    }
    Ok(recovered)
}

fn recover_volume(volume: &Volume, store: &Store, recovered: &mut Recovered) -> Result<()> {
    for folder in entries(&volume.recordings())? {
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        // Folders that no camera can have made are not ours.
        if let (true, Ok(camera)) = (folder.is_dir(), name.parse::<Slug>()) {
            recover_camera(volume, store, &camera, recovered)?;
        }
    }
    Ok(())
}

fn recover_camera(
    volume: &Volume,
    store: &Store,
    camera: &Slug,
    recovered: &mut Recovered,
) -> Result<()> {
    let storage = volume.id().unwrap_or_default();
    let known = store.segment_paths_in(storage, camera.as_str())?;
    let known: HashSet<String> = known.into_iter().collect();
    for day in entries(&volume.recordings_of(camera))? {
        if !day.is_dir() {
            continue;
        }
        for file in entries(&day)? {
            let relative = file
                .strip_prefix(volume.recordings())
                .map(|path| path.display().to_string())
                .ok();
            let Some(relative) = relative.filter(|_| file.extension().is_some_and(|e| e == "mp4"))
            else {
                continue;
            };
            if known.contains(&relative) {
                continue;
            }
            match row(store, camera, &file, relative, storage) {
                Ok(segment) => {
                    store.insert_segment(&segment)?;
                    recovered.listed += 1;
                }
                Err(error) => {
                    tracing::warn!(segment.path = %file.display(), %error, "the file is not listed");
                    recovered.unreadable += 1;
                }
            }
        }
    }
    Ok(())
}

fn row(
    store: &Store,
    camera: &Slug,
    file: &Path,
    relative: String,
    storage: &str,
) -> Result<SegmentRow, InspectError> {
    let found: Inspected = inspect::repair(file)?;
    let start_us = found
        .start_unix_us
        .ok_or_else(|| InspectError::NoHeader("no wall time in it".to_owned()))?;
    let duration_us = i64::try_from(found.duration_ns / 1000).unwrap_or(i64::MAX);
    Ok(SegmentRow {
        id: store.new_id(),
        camera: camera.to_string(),
        path: relative,
        start_us,
        end_us: found
            .end_unix_us
            .unwrap_or_else(|| start_us.saturating_add(duration_us)),
        frames: found.frames,
        bytes: found.file_bytes,
        codec: found.codec,
        width: found.width,
        height: found.height,
        blake3: Some(inspect::hash(file)?),
        discont: true,
        keyframes: found
            .keyframes
            .iter()
            .map(|key| (key.offset_ns, key.byte))
            .collect(),
        storage: storage.to_owned(),
        protected: false,
        audio: None,
    })
}

/// The entries of a folder in the order of their names; none when there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let reader = match fs::read_dir(folder) {
        Ok(reader) => reader,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder, error)),
    };
    let paths: std::io::Result<Vec<PathBuf>> = reader
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut paths = paths.map_err(|error| Error::io(folder, error))?;
    paths.sort();
    Ok(paths)
}
