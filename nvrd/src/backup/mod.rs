//! Backups: the database, the configuration and the keys as one folder or tar file, checked before anything is put
//! back.
//!
//! Recordings are not in it, and neither are their chains: they are large, and lie in storages of their own.

mod make;
mod package;
mod restore;
mod tar;
#[cfg(test)]
mod tests;

use std::path::Path;

use nvr_base::{Error, Result};
use serde::{Deserialize, Serialize};

pub(crate) use make::{Kept, make, make_in};
pub(crate) use package::Package;
#[cfg(test)]
use restore::Restored;
pub(crate) use restore::{Wanted, restore};

/// The way of packing; a later program reads this one.
const FORMAT: u32 = 1;
/// Name of the list of contents, which comes first.
const MANIFEST: &str = "manifest.json";
/// Name of the database inside.
const DATABASE: &str = "nvrd.db";
/// Folder of the configuration inside.
const CONFIG: &str = "config";
/// Folder inside of what lies in the first storage beside the database.
const STORAGE: &str = "storage";

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The way of packing.
    pub(crate) format: u32,
    /// Version of the program that made it.
    pub(crate) version: String,
    /// When it was made, microseconds since 1970-01-01 UTC.
    pub(crate) made_unix_us: i64,
    /// The same for people, RFC 3339.
    pub(crate) made: String,
    /// The index.
    pub(crate) database: Database,
    /// Name of the configuration file in its folder.
    pub(crate) config: String,
    /// Every file, in order.
    pub(crate) files: Vec<Item>,
    /// What the configuration names and that is not in it, one sentence each.
    pub(crate) left_out: Vec<String>,
}

/// Where the index is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Database {
    /// In the backup.
    Sqlite {
        /// Version of its schema.
        schema: String,
    },
    /// On a server, and not in the backup.
    Postgres {
        /// Its address, without a password.
        address: String,
    },
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    /// Its name inside, with `/` between folders.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// BLAKE3 of its content, 64 hex digits.
    pub(crate) blake3: String,
    /// Who may read it, as numbers of chmod.
    pub(crate) mode: u32,
}

impl Manifest {
    /// Reads one that somebody else may have written.
    ///
    /// # Errors
    /// `DataLoss` for what is none, `FailedPrecondition` for one of a newer program.
    fn read(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let bad = |error: &serde_json::Error| {
            Error::data_loss(format!(
                "{MANIFEST}: it is no manifest of a backup: {error}"
            ))
        };
        let format: Format = serde_json::from_slice(text).map_err(|error| bad(&error))?;
        if format.format != FORMAT {
            return Err(Error::precondition(format!(
                "{MANIFEST}: a newer program made this backup (format {}, this one reads {FORMAT}): install that one",
                format.format
            )));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|error| bad(&error))?;
        let mut names = std::collections::BTreeSet::new();
        for item in &manifest.files {
            if !is_inside(&item.name) || !names.insert(&item.name) {
                return Err(Error::data_loss(format!(
                    "{MANIFEST}: {:?} is no name for a file of a backup",
                    item.name
                )));
            }
        }
        let config = format!("{CONFIG}/{}", manifest.config);
        if manifest.config.contains('/') || !names.contains(&config) {
            return Err(Error::data_loss(format!(
                "{MANIFEST}: the configuration file is not in the backup"
            )));
        }
        Ok(manifest)
    }

    /// The length of all files together.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|item| item.bytes).sum()
    }
}

/// Whether a name leads to a file that a backup may hold: never out of the folders that it is put back to.
fn is_inside(name: &str) -> bool {
    let below = |folder: &str| {
        let rest = name
            .strip_prefix(folder)
            .and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(is_plain)
    };
    let plain =
        name.len() <= tar::MAX_NAME && !name.contains(|c: char| c.is_control() || c == '\\');
    plain && (name == DATABASE || below(CONFIG) || below(STORAGE))
}

fn is_plain(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    !path.is_empty()
        && parts
            .iter()
            .all(|part| !part.is_empty() && *part != "." && *part != "..")
        && !Path::new(path).is_absolute()
}

/// BLAKE3 of a file, 64 hex digits, and its length.
fn hash_of(file: &Path) -> Result<(String, u64)> {
    let fail = |error: std::io::Error| Error::io(file, error);
    let mut hasher = blake3::Hasher::new();
    let opened = std::fs::File::open(file).map_err(fail)?;
    hasher.update_reader(opened).map_err(fail)?;
    Ok((hasher.finalize().to_hex().to_string(), hasher.count()))
}
