//! Small pictures that were made once, on disk, bounded in bytes: the oldest go first.
//!
//! Everything here can be made again, so nothing is synced, and what cannot be read or written is done without.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// See the module.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    limit: u64,
    /// Read from the folder when it is first needed.
    index: Mutex<Option<Index>>,
}

/// What lies in the folder, oldest first.
#[derive(Debug, Default)]
struct Index {
    files: VecDeque<(String, u64)>,
    bytes: u64,
}

impl Cache {
    /// A cache in a folder, which is made when it is needed.
    pub(super) fn new(folder: PathBuf, limit: u64) -> Self {
        Self {
            folder,
            limit,
            index: Mutex::new(None),
        }
    }

    /// The JPEG of that name, if it is there and whole.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.folder.join(name)).ok()?;
        // A power cut may have left a file without its content.
        (bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9])).then_some(bytes)
    }

    /// Keeps a JPEG; `name` is a file name of ours.
    pub(super) fn put(&self, name: &str, jpeg: &[u8]) {
        let length = jpeg.len() as u64;
        if length > self.limit {
            return;
        }
        if let Err(error) = self.write(name, jpeg) {
            tracing::debug!(%error, "a small picture is not kept");
            return;
        }
        let mut place = self.lock();
        let index = place.get_or_insert_with(|| Index::of(&self.folder));
        if let Some(known) = index.files.iter().position(|(known, _)| known == name)
            && let Some((_, bytes)) = index.files.remove(known)
        {
            index.bytes -= bytes;
        }
        index.files.push_back((name.to_owned(), length));
        index.bytes += length;
        while index.bytes > self.limit
            && let Some((oldest, bytes)) = index.files.pop_front()
        {
            index.bytes -= bytes;
            remove(&self.folder.join(oldest));
        }
    }

    fn write(&self, name: &str, jpeg: &[u8]) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(name);
        // Two requests may make the same picture at once, and readers see a whole one only.
        let half = self
            .folder
            .join(format!("{name}.{:?}.tmp", std::thread::current().id()));
        std::fs::write(&half, jpeg)?;
        std::fs::rename(&half, &path)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Index>> {
        self.index.lock().expect("no holder of this lock panics")
    }
}

impl Index {
    fn of(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let (name, about) = (
                    entry.file_name().into_string().ok()?,
                    entry.metadata().ok()?,
                );
                // Whoever was writing it has ended.
                if name.ends_with(".tmp") {
                    remove(&entry.path());
                    return None;
                }
                Some((about.modified().ok()?, name, about.len()))
            })
            .collect();
        found.sort();
        Self {
            bytes: found.iter().map(|(.., bytes)| bytes).sum(),
            files: found
                .into_iter()
                .map(|(_, name, bytes)| (name, bytes))
                .collect(),
        }
    }
}

/// Removes a file that may have gone already.
pub(super) fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::debug!(%error, path = %path.display(), "a small picture stays");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(size: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; size];
        bytes[1] = 0xd8;
        bytes[size - 1] = 0xd9;
        bytes
    }

    #[test]
    fn the_oldest_goes_first_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("made");
        let cache = Cache::new(place.clone(), 1000);
        for name in ["a.jpg", "b.jpg", "c.jpg"] {
            cache.put(name, &jpeg(400));
        }
        assert!(cache.get("a.jpg").is_none() && cache.get("b.jpg").is_some());
        // The same again costs nothing.
        cache.put("c.jpg", &jpeg(400));
        assert!(cache.get("b.jpg").is_some());
        cache.put("huge.jpg", &jpeg(1001));
        assert!(cache.get("huge.jpg").is_none() && cache.get("b.jpg").is_some());

        std::fs::write(place.join("left.tmp"), "x").unwrap();
        let old = std::fs::File::options()
            .write(true)
            .open(place.join("c.jpg"))
            .unwrap();
        old.set_modified(std::time::UNIX_EPOCH).unwrap();
        let again = Cache::new(place.clone(), 1000);
        again.put("d.jpg", &jpeg(400));
        assert!(
            again.get("c.jpg").is_none(),
            "the oldest by the time of its file"
        );
        assert!(again.get("b.jpg").is_some() && again.get("d.jpg").is_some());
        assert!(!place.join("left.tmp").exists());
    }

    #[test]
    fn what_is_torn_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 1000);
        std::fs::write(folder.path().join("a.jpg"), [0xff, 0xd8, 0]).unwrap();
        assert_eq!(cache.get("a.jpg"), None);
        // A folder that cannot be: the picture is done without.
        let nowhere = Cache::new(folder.path().join("a.jpg"), 1000);
        nowhere.put("b.jpg", &jpeg(10));
        assert_eq!(nowhere.get("b.jpg"), None);
    }
}
