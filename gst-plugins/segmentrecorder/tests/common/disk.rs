//! A disk in memory whose operations can fail and whose power can go.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gstsegmentrecorder::writer::{Output, Storage};

/// What an operation does instead of working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It fails with this error of the system.
    Error(i32),
    /// It takes part of the bytes and fails with this error.
    Short(i32),
}

pub const ENOSPC: i32 = 28;
pub const EIO: i32 = 5;
pub const EROFS: i32 = 30;
pub const EINTR: i32 = 4;

#[derive(Debug, Default)]
pub struct File {
    pub bytes: Vec<u8>,
    /// What survives whatever comes.
    pub synced: usize,
    /// Ends of the writes since the last sync.
    unsynced: Vec<usize>,
    /// Whether its name survives.
    pub named: bool,
}

#[derive(Debug, Default)]
pub struct Content {
    pub files: BTreeMap<PathBuf, File>,
    /// Folders, and whether their names survive.
    folders: BTreeMap<PathBuf, bool>,
    pub operations: usize,
    /// Operations with these numbers fail.
    pub fail: std::ops::Range<usize>,
    pub failure: Option<Failure>,
    /// What each operation takes.
    pub takes: Duration,
    now: Duration,
    /// What is there to read.
    pub heads: BTreeMap<PathBuf, Vec<u8>>,
}

impl Content {
    fn step(&mut self) -> Result<(), Failure> {
        let number = self.operations;
        self.operations += 1;
        self.now += self.takes;
        match self.failure {
            Some(failure) if self.fail.contains(&number) => Err(failure),
            _ => Ok(()),
        }
    }

    fn plain(&mut self) -> io::Result<()> {
        self.step().map_err(|failure| match failure {
            Failure::Error(number) | Failure::Short(number) => io::Error::from_raw_os_error(number),
        })
    }

    fn file(&mut self, path: &Path) -> io::Result<&mut File> {
        self.files
            .get_mut(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Content>>);

struct MemoryFile(MemoryDisk, PathBuf);

impl MemoryDisk {
    pub fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }

    pub fn fail(&self, operations: std::ops::Range<usize>, failure: Failure) {
        let mut content = self.lock();
        content.fail = operations;
        content.failure = Some(failure);
    }

    /// What is left after the power goes: what was synced, and of the writes since then some, the last of them in
    /// part.
    ///
    /// Where a later one survives an earlier one there are zeros in between. A name that was not synced may be gone.
    pub fn power_cut(&self, seed: u64) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut random = Random(seed);
        let content = self.lock();
        let mut left = BTreeMap::new();
        for (path, file) in &content.files {
            let folder = path.parent().unwrap();
            let durable = content.folders.get(folder).copied().unwrap_or(true);
            if !(file.named && durable) && random.below(2) == 0 {
                continue;
            }
            let mut bytes = file.bytes[..file.synced].to_vec();
            let mut from = file.synced;
            for &end in &file.unsynced {
                let survives = match random.below(4) {
                    0 => 0,
                    1 => random.below(end - from + 1),
                    _ => end - from,
                };
                if survives > 0 {
                    bytes.resize(from, 0);
                    bytes.extend_from_slice(&file.bytes[from..from + survives]);
                }
                if survives > 0 && survives < end - from {
                    break;
                }
                from = end;
            }
            left.insert(path.clone(), bytes);
        }
        left
    }
}

/// Numbers that look random and follow from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).unwrap()
    }
}

impl Storage for MemoryDisk {
    fn create_folder(&mut self, path: &Path) -> io::Result<bool> {
        let mut content = self.lock();
        content.plain()?;
        let new = !content.folders.contains_key(path);
        content.folders.entry(path.to_owned()).or_insert(false);
        Ok(new)
    }

    fn create_new(&mut self, path: &Path) -> io::Result<Box<dyn Output>> {
        let mut content = self.lock();
        content.plain()?;
        if content.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        content.files.insert(path.to_owned(), File::default());
        Ok(Box::new(MemoryFile(self.clone(), path.to_owned())))
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let mut content = self.lock();
        content.plain()?;
        content.files.remove(path);
        Ok(())
    }

    fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        let mut content = self.lock();
        content.plain()?;
        for (file, state) in &mut content.files {
            state.named |= file.parent() == Some(path);
        }
        for (folder, named) in &mut content.folders {
            *named |= folder.parent() == Some(path);
        }
        Ok(())
    }

    fn read_head(&mut self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let mut content = self.lock();
        content.plain()?;
        let head = content.heads.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(head[..head.len().min(most)].to_vec())
    }

    fn now(&self) -> Duration {
        self.lock().now
    }
}

impl Output for MemoryFile {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut content = self.0.lock();
        let outcome = content.step();
        let file = content.file(&self.1)?;
        let before = file.bytes.len();
        for part in parts {
            file.bytes.extend_from_slice(part);
        }
        let whole = file.bytes.len();
        let (kept, error) = match outcome {
            Ok(()) => (whole, None),
            Err(Failure::Error(number)) => (before, Some(number)),
            Err(Failure::Short(number)) => (before + (whole - before) / 2, Some(number)),
        };
        file.bytes.truncate(kept);
        file.unsynced.push(kept);
        error.map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
    }

    fn overwrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.0.lock();
        content.plain()?;
        let file = content.file(&self.1)?;
        let at = usize::try_from(at).unwrap();
        file.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut content = self.0.lock();
        content.plain()?;
        let file = content.file(&self.1)?;
        let len = usize::try_from(len).unwrap();
        file.bytes.truncate(len);
        file.synced = file.synced.min(len);
        file.unsynced.retain(|&end| end <= len);
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut content = self.0.lock();
        content.plain()?;
        let file = content.file(&self.1)?;
        file.synced = file.bytes.len();
        file.unsynced.clear();
        Ok(())
    }
}
