//! `[storage]` and `[[storage.more]]`: where everything is kept.

use std::path::{Path, PathBuf};

use nvr_store::Server;
use serde::Deserialize;
use utoipa::ToSchema;

use super::retention::WhenFullConfig;
use super::units::Bytes;

/// Most folders beside the first.
const MAX_MORE: usize = 15;

/// `[storage]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// Folder of the database, the recordings and the thumbnails; relative to the configuration file.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// Address of a PostgreSQL database that holds the index, in place of a file in the folder.
    pub database: Option<String>,
    /// A file that holds the password for it; relative to the configuration file.
    #[schema(value_type = Option<String>)]
    pub database_password_file: Option<PathBuf>,
    /// Whether to start only when a disk is mounted exactly there.
    #[serde(default)]
    pub require_mount: bool,
    /// Most bytes of recordings in the folder; as many as there is room for unless given.
    pub max_bytes: Option<Bytes>,
    /// What always stays free on its disk; 1 GiB, or a twentieth of a smaller disk, unless given.
    pub min_free: Option<Bytes>,
    /// What happens when only protected recordings are left: `stop` unless given.
    #[serde(default)]
    pub when_full: WhenFullConfig,
    /// More folders for recordings, used in this order when the ones before cannot take more.
    #[serde(default)]
    pub more: Vec<MoreStorage>,
}

/// `[[storage.more]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoreStorage {
    /// The folder; relative to the configuration file.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// What it is called in answers and events; the last part of its path unless given.
    pub name: Option<String>,
    /// Most bytes of recordings in the folder.
    pub max_bytes: Option<Bytes>,
    /// What always stays free on its disk.
    pub min_free: Option<Bytes>,
}

impl StorageConfig {
    /// A single folder, with nothing else said.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            database: None,
            database_password_file: None,
            require_mount: false,
            max_bytes: None,
            min_free: None,
            when_full: WhenFullConfig::Stop,
            more: Vec::new(),
        }
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(Err(error)) = self.database.as_ref().map(|url| Server::new(url, None)) {
            problems.push(format!("storage.database: {error}"));
        }
        if self.database.is_none() && self.database_password_file.is_some() {
            problems.push(
                "storage.database_password_file: it is for storage.database, which is not given"
                    .to_owned(),
            );
        }
        if self.more.len() > MAX_MORE {
            problems.push(format!(
                "storage.more: {} folders are too many: use {MAX_MORE} at most",
                self.more.len()
            ));
        }
        for (index, more) in self.more.iter().enumerate() {
            let name = more.name.as_deref().unwrap_or("x");
            let fits = (1..=64).contains(&name.len()) && !name.contains(char::is_control);
            if !fits || name == "first" {
                problems.push(format!(
                    "storage.more[{index}].name: {name:?} is no name for a storage: use 1 to 64 bytes without control \
                     characters, and not \"first\""
                ));
            }
        }
        problems
    }
}

impl MoreStorage {
    /// A folder, with nothing else said.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            name: None,
            max_bytes: None,
            min_free: None,
        }
    }

    /// The name of a folder that was given none.
    pub fn default_name(&self) -> String {
        let last = self.path.file_name();
        last.map_or_else(
            || self.path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }
}
