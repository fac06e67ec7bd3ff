//! The frames that clients left here to ask about, on disk and bounded, and the pictures drawn in answers, in memory.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use nvr_base::{Clock, Error, Result};

use super::uri::is_file;

/// What a frame's name ends with when it was drawn here.
pub(super) const DRAWN: &str = "_annotated.jpg";
/// Most frames that are kept.
const MAX_FRAMES: usize = 1000;
/// Most bytes of them.
const MAX_BYTES: u64 = 256 << 20;
/// How long a frame is kept, microseconds: 30 days.
const KEEP_US: i64 = 30 * 86_400_000_000;
/// Most drawn pictures, and their bytes.
const MAX_DRAWN: (usize, usize) = (256, 32 << 20);

/// See the module.
#[derive(Debug)]
pub(super) struct Frames {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    /// Read from the folder when it is first needed.
    kept: Mutex<Option<Kept>>,
    drawn: Mutex<VecDeque<(Name, Bytes)>>,
}

/// Camera and file.
type Name = (String, String);

/// What lies in the folder.
#[derive(Debug, Default)]
struct Kept {
    files: BTreeMap<Name, Entry>,
    bytes: u64,
}

/// A frame that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Size of the file.
    pub(super) bytes: u64,
    /// When it was left here, microseconds UTC.
    pub(super) at_us: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that these locks guard is half changed by a panic: the index is read anew from names.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That there is no such frame; the very words also for one that the asker may not know of.
pub(super) fn no_frame() -> Error {
    Error::not_found("Frame not found")
}

impl Frames {
    /// Frames in a folder, which is made when it is needed.
    pub(super) fn new(folder: PathBuf, clock: Arc<dyn Clock>) -> Self {
        Self {
            folder,
            clock,
            kept: Mutex::default(),
            drawn: Mutex::default(),
        }
    }

    /// The bytes of a frame; `camera` and `file` are names of ours.
    ///
    /// # Errors
    /// `NotFound` when there is none, or it has become too old.
    pub(super) fn get(&self, camera: &str, file: &str) -> Result<Bytes> {
        let name = name(camera, file);
        if file.ends_with(DRAWN) {
            let drawn = lock(&self.drawn);
            let found = drawn.iter().find(|(other, _)| *other == name);
            return found.map(|(_, jpeg)| jpeg.clone()).ok_or_else(no_frame);
        }
        let mut place = lock(&self.kept);
        let kept = self.current(&mut place);
        if !kept.files.contains_key(&name) {
            return Err(no_frame());
        }
        let path = self.path(&name);
        let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => no_frame(),
            _ => Error::io(&path, error),
        })?;
        Ok(bytes.into())
    }

    /// Keeps a frame under a name, in place of an older one; the oldest go when there are too many.
    ///
    /// # Errors
    /// `ResourceExhausted` when the disk is full, other kinds when it cannot be written.
    pub(super) fn put(&self, camera: &str, file: &str, jpeg: &[u8]) -> Result<Entry> {
        let name = name(camera, file);
        let path = self.path(&name);
        let mut place = lock(&self.kept);
        let kept = self.current(&mut place);
        write(&path, jpeg)?;
        let entry = Entry {
            bytes: jpeg.len() as u64,
            at_us: self.clock.unix_us(),
        };
        kept.remember(name, entry);
        while kept.files.len() > MAX_FRAMES || kept.bytes > MAX_BYTES {
            let oldest = kept.files.iter().min_by_key(|(_, entry)| entry.at_us);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            self.forget(kept, &oldest);
        }
        Ok(entry)
    }

    /// Removes a frame.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub(super) fn delete(&self, camera: &str, file: &str) -> Result<()> {
        let name = name(camera, file);
        let mut place = lock(&self.kept);
        let kept = self.current(&mut place);
        if !kept.files.contains_key(&name) {
            return Err(no_frame());
        }
        self.forget(kept, &name);
        Ok(())
    }

    /// The frames of a camera, by name.
    pub(super) fn list(&self, camera: &str) -> Vec<(String, Entry)> {
        let mut place = lock(&self.kept);
        let kept = self.current(&mut place);
        let of = kept.files.iter().filter(|((of, _), _)| of == camera);
        of.map(|((_, file), entry)| (file.clone(), *entry))
            .collect()
    }

    /// Keeps a drawn picture until too many came after it.
    pub(super) fn keep_drawn(&self, camera: &str, file: &str, jpeg: Bytes) {
        let name = name(camera, file);
        let mut drawn = lock(&self.drawn);
        drawn.retain(|(other, _)| *other != name);
        drawn.push_back((name, jpeg));
        let (count, bytes) = MAX_DRAWN;
        while drawn.len() > count || drawn.iter().map(|(_, it)| it.len()).sum::<usize>() > bytes {
            drawn.pop_front();
        }
    }

    fn path(&self, (camera, file): &Name) -> PathBuf {
        self.folder.join(camera).join(file)
    }

    /// What is kept, without what has become too old.
    fn current<'a>(&self, place: &'a mut Option<Kept>) -> &'a mut Kept {
        let kept = place.get_or_insert_with(|| Kept::of(&self.folder));
        let old = self.clock.unix_us() - KEEP_US;
        let expired: Vec<Name> = kept
            .files
            .iter()
            .filter(|(_, entry)| entry.at_us < old)
            .map(|(name, _)| name.clone())
            .collect();
        for name in expired {
            self.forget(kept, &name);
        }
        kept
    }

    fn forget(&self, kept: &mut Kept, name: &Name) {
        if let Some(entry) = kept.files.remove(name) {
            kept.bytes = kept.bytes.saturating_sub(entry.bytes);
        }
        remove(&self.path(name));
    }
}

fn name(camera: &str, file: &str) -> Name {
    (camera.to_owned(), file.to_owned())
}

impl Kept {
    fn of(folder: &Path) -> Self {
        let mut kept = Self::default();
        let cameras = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for camera in cameras {
            let Ok(of) = camera.file_name().into_string() else {
                continue;
            };
            let files = std::fs::read_dir(camera.path()).into_iter().flatten();
            for file in files.flatten() {
                let (Ok(name), Ok(about)) = (file.file_name().into_string(), file.metadata())
                else {
                    continue;
                };
                if !is_file(&name) {
                    // Whoever was writing it has ended.
                    remove(&file.path());
                    continue;
                }
                let at_us = about.modified().ok().and_then(|at| {
                    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
                    i64::try_from(since.as_micros()).ok()
                });
                let entry = Entry {
                    bytes: about.len(),
                    at_us: at_us.unwrap_or_default(),
                };
                kept.remember((of.clone(), name), entry);
            }
        }
        kept
    }

    fn remember(&mut self, name: Name, entry: Entry) {
        let before = self.files.insert(name, entry);
        let before = before.map_or(0, |entry| entry.bytes);
        self.bytes = self.bytes.saturating_sub(before) + entry.bytes;
    }
}

/// Writes a whole file or none.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let half = path.with_extension("tmp");
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&half, bytes))
        .and_then(|()| std::fs::File::open(&half)?.sync_all())
        .and_then(|()| std::fs::rename(&half, path));
    written.map_err(|error| {
        remove(&half);
        Error::io(path, error)
    })
}

/// Removes a file that may have gone already.
fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "a frame stays");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nvr_base::SimulatedClock;

    use super::*;

    /// 2026-01-01 00:00 UTC.
    const NOW_US: i64 = 1_767_225_600_000_000;

    #[test]
    fn frames_come_back_until_they_are_old() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::at(NOW_US));
        let frames = Frames::new(folder.path().join("frames"), clock.clone());
        assert!(frames.get("a", "x.jpg").is_err());
        assert!(frames.list("a").is_empty());
        frames.put("a", "x.jpg", b"one").unwrap();
        frames.put("a", "x.jpg", b"another").unwrap();
        frames.put("b", "x.jpg", b"b").unwrap();
        assert_eq!(frames.get("a", "x.jpg").unwrap(), "another");
        assert_eq!(frames.get("b", "x.jpg").unwrap(), "b");
        let entry = Entry {
            bytes: 7,
            at_us: NOW_US,
        };
        assert_eq!(frames.list("a"), [("x.jpg".to_owned(), entry)]);
        frames.delete("b", "x.jpg").unwrap();
        assert!(frames.delete("b", "x.jpg").is_err());
        clock.advance(Duration::from_secs(30 * 86_400));
        assert!(frames.get("a", "x.jpg").is_ok());
        clock.advance(Duration::from_secs(1));
        assert!(frames.get("a", "x.jpg").is_err());
        assert!(!folder.path().join("frames/a/x.jpg").exists());
    }

    #[test]
    fn a_new_start_finds_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        // Files carry the time of the file system.
        let clock = Arc::new(nvr_base::RealClock::new());
        let frames = Frames::new(folder.path().to_owned(), clock.clone());
        frames.put("a", "x.jpg", b"one").unwrap();
        std::fs::write(folder.path().join("a/x.tmp"), "half").unwrap();
        let frames = Frames::new(folder.path().to_owned(), clock);
        assert_eq!(frames.get("a", "x.jpg").unwrap(), "one");
        assert!(!folder.path().join("a/x.tmp").exists());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::at(NOW_US));
        let frames = Frames::new(folder.path().to_owned(), clock.clone());
        for number in 0..=MAX_FRAMES {
            clock.advance(Duration::from_millis(1));
            frames.put("a", &format!("{number}.jpg"), b"x").unwrap();
        }
        assert_eq!(frames.list("a").len(), MAX_FRAMES);
        assert!(frames.get("a", "0.jpg").is_err());
        assert!(frames.get("a", "1.jpg").is_ok());
    }

    #[test]
    fn drawn_pictures_stay_in_memory_and_few() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::at(NOW_US));
        let frames = Frames::new(folder.path().to_owned(), clock);
        let large = Bytes::from(vec![0; 10 << 20]);
        for camera in ["a", "b", "c", "d"] {
            frames.keep_drawn(camera, "x_annotated.jpg", large.clone());
        }
        assert!(frames.get("a", "x_annotated.jpg").is_err());
        assert_eq!(frames.get("d", "x_annotated.jpg").unwrap().len(), 10 << 20);
        for number in 0..300 {
            frames.keep_drawn("e", &format!("{number}_annotated.jpg"), Bytes::new());
        }
        assert!(frames.get("d", "x_annotated.jpg").is_err());
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
    }
}
