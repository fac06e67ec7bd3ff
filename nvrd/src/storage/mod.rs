//! The storage folders: what lies where in them, which ones they are, and the lock that keeps a second daemon out.
//!
//! The first one holds the database and everything that is no recording; recordings may lie in any of them.

mod mount;
pub mod identity;
pub mod database;
mod volume;
mod arrival;
mod bell;
mod choice;
mod reserve;
mod watch;

use std::fs::{File, TryLockError};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use nvr_base::{Error, Result, Slug};
use nvr_store::SegmentRow;

use crate::config::StorageConfig;

pub use bell::Bell;
pub use volume::{Condition, Space, Volume};
pub use watch::Watch;

/// All storage folders of this daemon, locked for this process.
#[derive(Debug)]
pub struct Storage {
    /// In the order of the configuration; never empty.
    volumes: Vec<Arc<Volume>>,
    /// Which of them takes new files; `None` when none can.
    chosen: Mutex<Option<usize>>,
    /// Writes that failed, the last of each folder, until the watch has seen them.
    reports: Mutex<Vec<watch::Report>>,
    /// By folder: why retention cannot make room in it.
    full: Mutex<Vec<Option<String>>>,
    /// Wakes the watch.
    pub watch_bell: Bell,
    /// Wakes what deletes.
    pub retention_bell: Bell,
    /// Held, not read: the lock goes with it.
    _lock: File,
}

impl Storage {
    /// A single folder: makes it where it is missing and locks it.
    ///
    /// # Errors
    /// When it cannot be made or written to, or another daemon holds it.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_all(&StorageConfig::at(root))
    }

    /// Makes the first folder where it is missing and locks it; the others wait for [`Storage::identify`].
    ///
    /// # Errors
    /// When it cannot be made or written to, another daemon holds it, or it is no mount point and must be one.
    pub fn open_all(config: &StorageConfig) -> Result<Self> {
        Self::open_with(config, true)
    }

    /// The same without the lock, to look at what another process holds; nothing may be changed through it.
    ///
    /// # Errors
    /// As [`Storage::open_all`], but for the lock.
    pub fn open_beside(config: &StorageConfig) -> Result<Self> {
        Self::open_with(config, false)
    }

    fn open_with(config: &StorageConfig, exclusive: bool) -> Result<Self> {
        let root = config.path.as_path();
        let fail = |error: std::io::Error| {
            let error = Error::io(root, error);
            Error::precondition(format!(
                "storage.path: {error}: choose a folder that nvrd may write to"
            ))
        };
        // Before anything is made: what is written below an empty mount point is hidden once the disk is back.
        if config.require_mount && mount::is_mount_point(root) != Some(true) {
            return Err(Error::precondition(format!(
                "storage.path: no disk is mounted at {}: mount it, or leave require_mount out",
                root.display()
            )));
        }
        for folder in [
            root.to_owned(),
            root.join("recordings"),
            root.join("thumbnails"),
        ] {
            std::fs::create_dir_all(&folder).map_err(fail)?;
        }
        // Absolute, so that rows and elements agree whatever the working directory is.
        let root = std::fs::canonicalize(root).map_err(fail)?;
        let lock = File::create(root.join("nvrd.lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if !exclusive => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::precondition(format!(
                    "storage.path: another nvrd runs on {}: stop it, or choose another folder",
                    root.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let mut volumes = vec![Arc::new(Volume::new("first".to_owned(), root))];
        for (index, more) in config.more.iter().enumerate() {
            let root = mount::resolved(&more.path).map_err(|error| {
                let error = Error::io(&more.path, error);
                Error::invalid(format!("storage.more[{index}].path: {error}"))
            })?;
            if let Some(other) = volumes
                .iter()
                .find(|other| other.root().starts_with(&root) || root.starts_with(other.root()))
            {
                return Err(Error::invalid(format!(
                    "storage.more[{index}].path: {} and {} lie in one another: choose folders apart",
                    root.display(),
                    other.root().display()
                )));
            }
            let name = more.name.clone().unwrap_or_else(|| more.default_name());
            volumes.push(Arc::new(Volume::new(name, root)));
        }
        Ok(Self {
            full: Mutex::new(vec![None; volumes.len()]),
            volumes,
            chosen: Mutex::new(Some(0)),
            reports: Mutex::default(),
            watch_bell: Bell::default(),
            retention_bell: Bell::default(),
            _lock: lock,
        })
    }

    /// The first folder: the one with the database.
    pub fn first(&self) -> &Volume {
        &self.volumes[0]
    }

    /// All folders, in the order in which they are to be used.
    pub fn volumes(&self) -> &[Arc<Volume>] {
        &self.volumes
    }

    /// The folder with an identity; the empty one is the first's.
    pub fn volume(&self, id: &str) -> Option<&Arc<Volume>> {
        match id {
            "" => self.volumes.first(),
            id => self.volumes.iter().find(|volume| volume.id() == Some(id)),
        }
    }

    /// The folder that takes new files; `None` when none can.
    pub fn in_use(&self) -> Option<&Arc<Volume>> {
        self.volumes.get(self.chosen()?)
    }

    fn chosen(&self) -> Option<usize> {
        *self.chosen.lock().expect("no holder of this lock panics")
    }

    fn set_chosen(&self, index: Option<usize>) {
        *self.chosen.lock().expect("no holder of this lock panics") = index;
    }

    /// Says that retention cannot make room in a folder, and why, or that it can again.
    pub fn set_full(&self, storage: &str, why: Option<String>) {
        let index = self.volumes.iter().position(|v| v.id() == Some(storage));
        if let Some(index) = index {
            let mut full = self.full.lock().expect("no holder of this lock panics");
            if full[index].is_some() != why.is_some() {
                self.watch_bell.ring();
            }
            full[index] = why;
        }
    }

    fn fullness(&self, index: usize) -> Option<String> {
        self.full.lock().expect("no holder of this lock panics")[index].clone()
    }

    /// The SQLite file.
    pub fn database(&self) -> PathBuf {
        self.first().root().join("nvrd.db")
    }

    /// The folder of the keys that seal secrets and sign tokens.
    pub fn keys(&self) -> PathBuf {
        self.first().root().join("keys")
    }

    /// The folder of the keys and of the chains of recordings.
    pub fn evidence(&self) -> PathBuf {
        self.first().root().join("evidence")
    }

    /// The folder of all recordings in the first storage.
    pub fn recordings(&self) -> PathBuf {
        self.first().recordings()
    }

    /// The folder of a camera's segments in the first storage.
    pub fn recordings_of(&self, camera: &Slug) -> PathBuf {
        self.first().recordings_of(camera)
    }

    /// The folder of the thumbnails of events.
    pub fn thumbnails(&self) -> PathBuf {
        self.first().root().join("thumbnails")
    }

    /// The folder of the frames that clients left here to ask about.
    pub fn frames(&self) -> PathBuf {
        self.first().root().join("frames")
    }

    /// The folder of the photos that people are known by.
    pub fn faces(&self) -> PathBuf {
        self.first().root().join("faces")
    }

    /// The thumbnail of an event; `None` when the id is no UUID, so that no id leads out of the folder.
    pub fn thumbnail(&self, event_id: &str) -> Option<PathBuf> {
        let id = uuid::Uuid::parse_str(event_id).ok()?;
        Some(
            self.thumbnails()
                .join(format!("{}.jpg", id.as_hyphenated())),
        )
    }

    /// The file of a segment; never one outside the recordings, whatever the row says.
    ///
    /// # Errors
    /// `DataLoss` when the path of the row leads out of the recordings, `Unavailable` when its storage is not
    /// configured or its disk is not there.
    pub fn segment_file(&self, row: &SegmentRow) -> Result<PathBuf> {
        self.file_at(&row.storage, &row.path)
    }

    /// The file at a path below the recordings of a storage; see [`Storage::segment_file`].
    ///
    /// # Errors
    /// As [`Storage::segment_file`].
    pub fn file_at(&self, storage: &str, path: &str) -> Result<PathBuf> {
        let below = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !below {
            return Err(Error::data_loss(format!(
                "segment {path:?}: its path leads out of the recordings"
            )));
        }
        let Some(volume) = self.volume(storage) else {
            return Err(Error::unavailable(format!(
                "segment {path:?}: its storage {storage} is not configured: add its folder to [[storage.more]]"
            )));
        };
        match volume.condition() {
            Condition::Missing(detail) | Condition::Foreign(detail) => {
                Err(Error::unavailable(format!("segment {path:?}: {detail}")))
            }
            _ => Ok(volume.recordings().join(path)),
        }
    }

    /// The storage of a file of the recordings, and its path as it is kept in the store; `None` when it lies
    /// elsewhere.
    pub fn relative<'a>(&self, location: &'a Path) -> Option<(String, &'a Path)> {
        self.volumes.iter().find_map(|volume| {
            let path = location.strip_prefix(volume.recordings()).ok()?;
            Some((volume.id().unwrap_or_default().to_owned(), path))
        })
    }
}

#[cfg(test)]
mod tests;
