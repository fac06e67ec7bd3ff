//! A file of secret keys: made at the first start, for its owner alone, the newest key first.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use nvr_base::{Error, Result};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::evidence::hex;
use crate::storage::identity::sync_folder;

/// Longest file of keys.
const MAX_BYTES: u64 = 16 << 10;
/// Keys that a file holds: the one in use and the one before it.
const KEPT: usize = 2;

/// A secret key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is called in what was made with it.
    pub id: String,
    /// When it was made, seconds since 1970-01-01 UTC; 0 where nobody asked.
    pub made_unix: i64,
    /// The key itself.
    pub bytes: [u8; 32],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The keys of a file; never empty.
#[derive(Debug, Clone)]
pub struct Keyring {
    file: PathBuf,
    keys: Vec<Key>,
}

/// Random bytes of the system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("a system that has booted gives random bytes");
    bytes
}

impl Keyring {
    /// Reads the keys of a file, or makes one where there is no file; `now_unix` is noted as its birth.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds no keys; it is never replaced.
    pub fn load_or_make(file: &Path, now_unix: i64) -> Result<Self> {
        if let Some(keys) = read(file)? {
            return Ok(Self::of(file, keys));
        }
        let folder = folder_of(file);
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        set_mode(folder, 0o700)?;
        let unfinished = write_beside(file, &[fresh(now_unix)])?;
        // Whoever comes second, the command line beside the daemon say, takes the key of the first.
        match std::fs::hard_link(&unfinished, file) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io(file, error));
            }
            Ok(()) => tracing::info!(
                "{}: made; a backup without it cannot be read",
                file.display()
            ),
            Err(_) => {}
        }
        std::fs::remove_file(&unfinished).map_err(|error| Error::io(&unfinished, error))?;
        sync_folder(folder)?;
        let keys = read(file)?.ok_or_else(|| no_keys(file, "it went away"))?;
        Ok(Self::of(file, keys))
    }

    /// Makes a new key the current one and forgets all but the one before it.
    ///
    /// # Errors
    /// Those of the disk; then the keys stay as they were.
    pub fn rotate(&mut self, now_unix: i64) -> Result<()> {
        let mut keys = self.keys.clone();
        keys.insert(0, fresh(now_unix));
        keys.truncate(KEPT);
        let unfinished = write_beside(&self.file, &keys)?;
        std::fs::rename(&unfinished, &self.file).map_err(|error| Error::io(&self.file, error))?;
        sync_folder(folder_of(&self.file))?;
        self.keys = keys;
        Ok(())
    }

    /// The key for what is made now.
    pub fn current(&self) -> &Key {
        &self.keys[0]
    }

    /// The key with an id.
    pub fn find(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn of(file: &Path, keys: Vec<Key>) -> Self {
        Self {
            file: file.to_owned(),
            keys,
        }
    }
}

fn fresh(made_unix: i64) -> Key {
    Key {
        id: hex(&random::<4>()),
        made_unix,
        bytes: random(),
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).map_err(|error| Error::io(path, error))
}

/// A file beside the one meant, with its content on disk.
fn write_beside(file: &Path, keys: &[Key]) -> Result<PathBuf> {
    let name = format!(".{}.unfinished", hex(&random::<8>()));
    let beside = folder_of(file).join(name);
    let text: String = keys
        .iter()
        .map(|key| {
            let bytes = STANDARD_NO_PAD.encode(key.bytes);
            format!("{} {} {bytes}\n", key.id, key.made_unix)
        })
        .collect();
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&beside)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()
    };
    write().map_err(|error| Error::io(&beside, error))?;
    Ok(beside)
}

/// The keys of a file; `None` when there is none.
fn read(file: &Path) -> Result<Option<Vec<Key>>> {
    let mut opened = match std::fs::File::open(file) {
        Ok(opened) => opened.take(MAX_BYTES),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(file, error)),
    };
    let mut text = String::new();
    opened
        .read_to_string(&mut text)
        .map_err(|error| Error::io(file, error))?;
    let mode = std::fs::metadata(file).map_err(|error| Error::io(file, error))?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
    if mode & 0o077 != 0 {
        tracing::warn!("{}: others may read it: chmod 600", file.display());
    }
    let keys: Option<Vec<Key>> = text.lines().map(key_of).collect();
    match keys {
        Some(keys) if !keys.is_empty() => Ok(Some(keys)),
        _ => Err(no_keys(file, "a line of it is no key")),
    }
}

fn key_of(line: &str) -> Option<Key> {
    let mut words = line.split_whitespace();
    let (id, made, bytes) = (words.next()?, words.next()?, words.next()?);
    let whole = words.next().is_none() && id.len() == 8;
    let bytes = STANDARD_NO_PAD.decode(bytes).ok()?;
    whole.then_some(Key {
        id: id.to_owned(),
        made_unix: made.parse().ok()?,
        bytes: bytes.try_into().ok()?,
    })
}

fn no_keys(file: &Path, why: &str) -> Error {
    Error::precondition(format!(
        "{}: it holds no keys ({why}): put it back from a copy; without it stored passwords must be entered again",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_for_their_owner_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys/a.key");
        let first = Keyring::load_or_make(&file, 0).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let again = Keyring::load_or_make(&file, 0).unwrap();
        assert_eq!(first.current(), again.current());
        let left = std::fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "something unfinished stays");
    }

    #[test]
    fn a_new_key_leaves_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.key");
        let mut ring = Keyring::load_or_make(&file, 0).unwrap();
        let first = ring.current().clone();
        ring.rotate(5).unwrap();
        let second = ring.current().clone();
        assert_ne!(first, second);
        let read = Keyring::load_or_make(&file, 0).unwrap();
        assert_eq!(read.current(), &second);
        assert_eq!(read.find(&first.id), Some(&first));
        ring.rotate(6).unwrap();
        assert_eq!(ring.find(&first.id), None);
        assert_eq!(ring.find(&second.id).unwrap().made_unix, 5);
    }

    #[test]
    fn a_damaged_file_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.key");
        for bad in ["", "rubbish\n", "01234567 0 AAAA\n", "01234567 x x y\n"] {
            std::fs::write(&file, bad).unwrap();
            let error = Keyring::load_or_make(&file, 0).unwrap_err();
            assert!(error.to_string().contains("put it back"), "{bad}: {error}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), bad);
        }
    }
}
