//! The storage folder: what lies where, and the lock that keeps a second daemon out.

use std::fs::{File, TryLockError};
use std::path::{Component, Path, PathBuf};

use nvr_base::{Error, Result, Slug};
use nvr_store::SegmentRow;

/// The storage folder, locked for this process.
#[derive(Debug)]
pub struct Storage {
    root: PathBuf,
    /// Held, not read: the lock goes with it.
    _lock: File,
}

impl Storage {
    /// Makes the folder where it is missing and locks it.
    ///
    /// # Errors
    /// When it cannot be made or written to, or another daemon holds it.
    pub fn open(root: &Path) -> Result<Self> {
        let fail = |error: std::io::Error| {
            let error = Error::io(root, error);
            Error::precondition(format!(
                "storage.path: {error}: choose a folder that nvrd may write to"
            ))
        };
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
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::precondition(format!(
                "storage.path: another nvrd runs on {}: stop it, or choose another folder",
                root.display()
            ))),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// The SQLite file.
    pub fn database(&self) -> PathBuf {
        self.root.join("nvrd.db")
    }

    /// The folder of the keys and of the chains of recordings.
    pub fn evidence(&self) -> PathBuf {
        self.root.join("evidence")
    }

    /// The folder of all recordings; segments' paths are kept relative to it.
    pub fn recordings(&self) -> PathBuf {
        self.root.join("recordings")
    }

    /// The folder of a camera's segments.
    pub fn recordings_of(&self, camera: &Slug) -> PathBuf {
        self.recordings().join(camera.as_str())
    }

    /// The folder of the thumbnails of events.
    pub fn thumbnails(&self) -> PathBuf {
        self.root.join("thumbnails")
    }

    /// The thumbnail of an event; `None` when the id is no UUID, so that no id leads out of the folder.
    pub fn thumbnail(&self, event_id: &str) -> Option<PathBuf> {
        let id = uuid::Uuid::parse_str(event_id).ok()?;
        Some(
            self.thumbnails()
                .join(format!("{}.jpg", id.as_hyphenated())),
        )
    }

    /// The file of a segment; never one outside the folder, whatever the row says.
    ///
    /// # Errors
    /// `DataLoss` when the path of the row leads out of the recordings.
    pub fn segment_file(&self, row: &SegmentRow) -> Result<PathBuf> {
        let path = Path::new(&row.path);
        let below = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if row.path.is_empty() || !below {
            return Err(Error::data_loss(format!(
                "segment {:?}: its path leads out of the recordings",
                row.id
            )));
        }
        Ok(self.recordings().join(path))
    }

    /// A segment's path as it is kept in the store; `None` when it lies elsewhere.
    pub fn relative<'a>(&self, location: &'a Path) -> Option<&'a Path> {
        location.strip_prefix(self.recordings()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = Storage::open(folder.path()).unwrap();
        let error = Storage::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another nvrd runs on"), "{error}");
        drop(first);
        Storage::open(folder.path()).unwrap();
    }

    #[test]
    fn no_id_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path()).unwrap();
        assert_eq!(storage.thumbnail("../../etc/passwd"), None);
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(
            storage
                .thumbnail(id)
                .unwrap()
                .ends_with(format!("thumbnails/{id}.jpg"))
        );
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Storage::open(file.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("storage.path: ") && error.contains("choose a folder"),
            "{error}"
        );
    }
}
