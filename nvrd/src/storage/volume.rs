//! One storage folder: where it is, which one it is expected to be, and how it is at the moment.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};

use nvr_base::Slug;

use super::identity;

/// How a storage folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It takes new files.
    Ready,
    /// Its identity file is not there: its disk is not mounted. The sentence says what to do.
    Missing(String),
    /// Another disk is in its place. The sentence names both identities.
    Foreign(String),
    /// It fails to write.
    Failing(String),
    /// It is full, and nothing may be deleted from it.
    Full(String),
}

impl Condition {
    /// The word for the API, the log and events.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Missing(_) => "missing",
            Self::Foreign(_) => "foreign",
            Self::Failing(_) => "failing",
            Self::Full(_) => "full",
        }
    }

    /// What is wrong, and what to do.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::Missing(text) | Self::Foreign(text) | Self::Failing(text) | Self::Full(text) => {
                Some(text)
            }
        }
    }

    /// Whether the folder is the expected one, so that its files may be read and deleted.
    pub fn is_present(&self) -> bool {
        !matches!(self, Self::Missing(_) | Self::Foreign(_))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Volume {
    name: String,
    root: PathBuf,
    /// Unset until the folder was found, or the database knew it.
    id: OnceLock<String>,
    condition: Mutex<Condition>,
}

impl Volume {
    pub(super) fn new(name: String, root: PathBuf) -> Self {
        Self {
            name,
            root,
            id: OnceLock::new(),
            condition: Mutex::new(Condition::Ready),
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The identity that is expected there; `None` before it was ever found.
    pub fn id(&self) -> Option<&str> {
        self.id.get().map(String::as_str)
    }

    /// The file that holds the identity.
    pub fn identity_file(&self) -> PathBuf {
        identity::file_of(&self.root)
    }

    /// The folder of all recordings; segments' paths are kept relative to it.
    pub fn recordings(&self) -> PathBuf {
        self.root.join("recordings")
    }

    /// The folder of a camera's segments.
    pub fn recordings_of(&self, camera: &Slug) -> PathBuf {
        self.recordings().join(camera.as_str())
    }

    /// How it is.
    pub fn condition(&self) -> Condition {
        self.lock().clone()
    }

    /// Says how it is; answers how it was.
    pub(super) fn set_condition(&self, condition: Condition) -> Condition {
        std::mem::replace(&mut *self.lock(), condition)
    }

    /// Says which one it is; the first word holds.
    pub(super) fn expect(&self, id: &str) {
        self.id.get_or_init(|| id.to_owned());
    }

    /// Total and free bytes as a program without privileges sees them; `None` when the system does not tell.
    pub fn space(&self) -> Option<Space> {
        let found = rustix::fs::statvfs(&self.root).ok()?;
        Some(Space {
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Condition> {
        self.condition
            .lock()
            .expect("no holder of this lock panics")
    }
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What may still be written.
    pub free_bytes: u64,
}
