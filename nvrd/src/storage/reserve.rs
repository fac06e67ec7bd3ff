//! The reserve: a file in the first storage that is given up first when the disk is full, so that the database can
//! still be written to.

use std::fs::OpenOptions;
use std::io::ErrorKind;

use nvr_base::{Error, Result};

use super::Storage;
use super::volume::Space;

/// What is held back, bytes; a hundredth of a disk that is smaller than a hundred times that.
const BYTES: u64 = 64 << 20;

impl Storage {
    fn reserve_file(&self) -> std::path::PathBuf {
        self.first().root().join("nvrd.reserve")
    }

    /// Makes the reserve where there is none and more than enough room; says whether there is one now.
    pub(super) fn hold_reserve(&self, space: Space) -> Result<bool> {
        let path = self.reserve_file();
        let bytes = BYTES.min(space.total_bytes / 100);
        match std::fs::metadata(&path) {
            Ok(found) if found.len() >= bytes => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(&path, error)),
        }
        if bytes == 0 || space.free_bytes < bytes.saturating_mul(4) {
            return Ok(false);
        }
        let made = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| Error::io(&path, error))?;
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&made, flags, 0, bytes) {
            Ok(()) => Ok(true),
            Err(error) => {
                drop(made);
                // Half a reserve would be taken for a whole one.
                std::fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
                tracing::debug!(%error, "no reserve is held");
                Ok(false)
            }
        }
    }

    /// Gives the reserve up; says whether there was one.
    pub fn release_reserve(&self) -> bool {
        match std::fs::remove_file(self.reserve_file()) {
            Ok(()) => {
                tracing::warn!("the disk is full: the reserve was given up for the database");
                true
            }
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => {
                tracing::error!(%error, "the reserve could not be given up");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_real_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path()).unwrap();
        let space = |total_bytes: u64, free_bytes: u64| Space {
            total_bytes,
            free_bytes,
        };
        assert!(!storage.hold_reserve(space(10 << 20, 300 << 10)).unwrap());
        assert!(storage.hold_reserve(space(10 << 20, 5 << 20)).unwrap());
        let found = std::fs::metadata(storage.reserve_file()).unwrap();
        assert_eq!(found.len(), (10 << 20) / 100);
        let blocks = std::os::unix::fs::MetadataExt::blocks(&found);
        assert!(blocks * 512 >= found.len(), "no hole");
        assert!(storage.hold_reserve(space(10 << 20, 0)).unwrap(), "held");
        assert!(storage.release_reserve());
        assert!(!storage.release_reserve());
        assert!(storage.hold_reserve(space(10 << 20, 5 << 20)).unwrap());
    }
}
