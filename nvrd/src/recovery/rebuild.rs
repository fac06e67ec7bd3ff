//! Makes the index anew from the files of all storages, and saves of the old one what no file can give back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nvr_base::{Clock, Error, Result, Slug};
use nvr_mp4::inspect::{self, InspectError};
use nvr_store::{Salvaged, SegmentRow, Store};
use serde::Serialize;

use super::judge::{SEAM_US, row_of};
use super::listing;
use crate::config::StorageConfig;
use crate::evidence::{self, FileKey, Said};
use crate::storage::{Storage, Volume};

/// Rows in one transaction.
const BATCH: usize = 500;

/// What a rebuild did.
#[derive(Debug, Default, Serialize)]
pub struct Rebuilt {
    /// Where the old database lies now; none when there was none.
    pub aside: Option<PathBuf>,
    /// Segments that are listed.
    pub segments: u64,
    /// Of those, how many have the BLAKE3 of their entry in the chain.
    pub hashed_by_chain: u64,
    /// Of those, how many were read whole for their BLAKE3.
    pub hashed: u64,
    /// Files that are not listed, each with the reason; the first hundred.
    pub left_out: Vec<String>,
    /// How many those are.
    pub left_out_count: u64,
    /// Storages that are not there.
    pub missing: Vec<String>,
    /// What came out of the old database, by table.
    #[serde(skip)]
    pub salvaged: Vec<Salvaged>,
}

/// Makes the index of a configuration's storages anew. Nothing may record meanwhile: the storage is locked for it.
///
/// Only headers are read; with `hash`, the whole of every file whose BLAKE3 the chain does not know. The new index
/// takes the place of the old one when it is complete, so that a rebuild that fails leaves what was there.
///
/// # Errors
/// When the storage is in use, a folder cannot be read, or the new index not be written.
pub fn rebuild(
    config: &StorageConfig,
    clock: &Arc<dyn Clock>,
    hash: bool,
    progress: &mut dyn FnMut(u64),
) -> Result<Rebuilt> {
    if config.database.is_some() {
        return Err(Error::precondition(
            "storage.database: the index is on a PostgreSQL server, where it is not made anew in place: restore a \
             backup of the server, or give it an empty database, and `nvrd fsck --repair` lists what is on disk",
        ));
    }
    let storage = Storage::open_all(config)?;
    let fresh = storage.database().with_extension("db.rebuilding");
    for file in with_logs(&fresh) {
        remove(&file)?;
    }
    let mut rebuilt = Rebuilt::default();
    {
        let store = Store::open(&fresh, Arc::clone(clock))?;
        let old = Some(storage.database()).filter(|old| old.exists());
        // First what is known of storages and events: the one says which disk is which, the other what files show.
        if let Some(old) = &old {
            rebuilt.salvaged = store.salvage(old)?;
        }
        storage.identify(&store)?;
        let mut builder = Builder {
            storage: &storage,
            store: &store,
            hash,
            batch: Vec::new(),
            rebuilt: &mut rebuilt,
            progress,
        };
        builder.all()?;
        if let Some(old) = &old {
            rebuilt.salvaged.extend(store.salvage_marks(old)?);
        }
        store.settle()?;
    }
    if storage.database().exists() {
        rebuilt.aside = Some(put_aside(&storage.database(), clock.unix_us())?);
    }
    let target = storage.database();
    std::fs::rename(&fresh, &target).map_err(|error| Error::io(&target, error))?;
    for log in &with_logs(&fresh)[1..] {
        remove(log)?;
    }
    sync_folder(storage.first().root())?;
    Ok(rebuilt)
}

struct Builder<'a> {
    storage: &'a Storage,
    store: &'a Store,
    hash: bool,
    batch: Vec<SegmentRow>,
    rebuilt: &'a mut Rebuilt,
    progress: &'a mut dyn FnMut(u64),
}

impl Builder<'_> {
    fn all(&mut self) -> Result<()> {
        for volume in self.storage.volumes() {
            let condition = volume.condition();
            if !condition.is_present() {
                let detail = condition.detail().unwrap_or("it is not there");
                self.rebuilt.missing.push(detail.to_owned());
                continue;
            }
            for camera in listing::folders(&volume.recordings())? {
                if camera.parse::<Slug>().is_ok() {
                    self.camera(volume, &camera)?;
                }
            }
        }
        self.store_batch()
    }

    fn camera(&mut self, volume: &Volume, camera: &str) -> Result<()> {
        let first = self.storage.first().id().unwrap_or_default();
        let said = Said::read(&self.storage.evidence().join(camera), first, None)?;
        let recordings = volume.recordings();
        let mut before: Option<i64> = None;
        listing::files(&recordings, camera, &mut |found| {
            if !found.recording {
                return Ok(());
            }
            let key = FileKey::new(volume.id().unwrap_or_default(), first, &found.path);
            let storage = volume.id().unwrap_or_default();
            if self.store.is_garbage(storage, &found.path)? {
                return Ok(());
            }
            if said.deleted.contains(&key) {
                self.leave_out(&found.path, "the chain says that it was deleted");
                return Ok(());
            }
            match self.row(volume, camera, &found.path, &recordings.join(&found.path)) {
                Ok(mut row) => {
                    let content = said.live.get(&key);
                    if content.is_some_and(|content| content.bytes != row.bytes) {
                        self.leave_out(&found.path, "its length is not the one in the chain");
                        return Ok(());
                    }
                    row.blake3 = content.and_then(evidence::Content::blake3);
                    self.rebuilt.hashed_by_chain += u64::from(row.blake3.is_some());
                    // Files come in the order of time.
                    row.discont = before
                        .is_none_or(|end| row.start_us.abs_diff(end) > SEAM_US.unsigned_abs());
                    before = Some(row.end_us);
                    self.take(row, &recordings.join(&found.path))
                }
                Err(InspectError::Io(error)) => {
                    Err(Error::io(&recordings.join(&found.path), error))
                }
                Err(error) => {
                    self.leave_out(&found.path, &error.to_string());
                    Ok(())
                }
            }
        })
    }

    fn row(
        &self,
        volume: &Volume,
        camera: &str,
        path: &str,
        file: &Path,
    ) -> Result<SegmentRow, InspectError> {
        let found = inspect::inspect(file)?;
        if found.valid_bytes < found.file_bytes {
            // The next start cuts it, or `nvrd fsck --repair`.
            return Err(InspectError::NoHeader("its end is torn".to_owned()));
        }
        let storage = volume.id().unwrap_or_default();
        let row = row_of(self.store, camera, storage, path, &found);
        let row = row.map_err(|error| InspectError::NoHeader(error.to_string()))?;
        row.ok_or_else(|| InspectError::NoHeader("it holds no wall time".to_owned()))
    }

    fn take(&mut self, mut row: SegmentRow, file: &Path) -> Result<()> {
        if self.hash && row.blake3.is_none() {
            row.blake3 = Some(inspect::hash(file).map_err(|error| Error::io(file, error))?);
            self.rebuilt.hashed += 1;
        }
        self.rebuilt.segments += 1;
        (self.progress)(self.rebuilt.segments);
        self.batch.push(row);
        if self.batch.len() >= BATCH {
            self.store_batch()?;
        }
        Ok(())
    }

    fn store_batch(&mut self) -> Result<()> {
        self.store
            .insert_segments(&std::mem::take(&mut self.batch))
            .map(drop)
    }

    fn leave_out(&mut self, path: &str, why: &str) {
        self.rebuilt.left_out_count += 1;
        if self.rebuilt.left_out.len() < 100 {
            self.rebuilt.left_out.push(format!("{path}: {why}"));
        }
    }
}

/// Moves a database and its logs to a name with the time, and says which.
fn put_aside(database: &Path, now_us: i64) -> Result<PathBuf> {
    let at = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
    let wanted = format!("db.damaged-{}", at.strftime("%Y%m%dT%H%M%SZ"));
    let mut aside = database.with_extension(&wanted);
    let mut nth = 1_u32;
    while aside.exists() {
        nth += 1;
        aside = database.with_extension(format!("{wanted}-{nth}"));
    }
    for (from, to) in with_logs(database).iter().zip(with_logs(&aside)) {
        match std::fs::rename(from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&to, error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// A database file and the logs that belong to it.
fn with_logs(file: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(file, error)),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io(folder, error))
}
