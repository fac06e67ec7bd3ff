//! Which storage folder is which: compares the identity files with what the database knows.

use std::sync::Arc;

use nvr_base::{Error, Result};
use nvr_store::{StorageRow, Store};

use super::volume::{Condition, Volume};
use super::{Storage, identity};

impl Storage {
    /// Finds out which folder is which, and says of segments without a storage that they lie in the first.
    ///
    /// A folder whose disk is missing, or that is another one than expected, is no error: nothing is written to it,
    /// its condition says why, and the watch looks again.
    ///
    /// # Errors
    /// When the database or the first folder cannot be written to.
    pub fn identify(&self, store: &Store) -> Result<()> {
        for index in 0..self.volumes().len() {
            let condition = self.look(index, store, true)?;
            self.volumes()[index].set_condition(condition);
        }
        // The first that can take files does, without the patience that one which failed needs.
        let ready = |volume: &Arc<Volume>| volume.condition() == Condition::Ready;
        self.set_chosen(self.volumes().iter().position(ready));
        if let (Some(id), true) = (self.first().id(), self.first().condition().is_present()) {
            store.place_segments(id)?;
        }
        Ok(())
    }

    /// How a folder is that was missing or foreign: what it was expected to be, or new where no disk was known.
    ///
    /// `opened` is for the start, when the database in the first folder has just been opened.
    ///
    /// # Errors
    /// When the database cannot be read or written to.
    pub(super) fn look(&self, index: usize, store: &Store, opened: bool) -> Result<Condition> {
        let volume = &self.volumes()[index];
        let path = volume.root().display().to_string();
        let rows = store.storages()?;
        let known = rows.iter().rfind(|row| row.path == path);
        let found = match identity::read(volume.root()) {
            Ok(found) => found,
            Err(error) => return Ok(Condition::Missing(error.to_string())),
        };
        let twin = |id: &str| {
            self.volumes()
                .iter()
                .enumerate()
                .find(|(other, volume)| *other != index && volume.id() == Some(id))
        };
        match (found, known) {
            (Some(found), Some(known)) if found != known.id => {
                volume.expect(&known.id);
                Ok(foreign(volume, &known.id, &found, &rows))
            }
            (Some(found), known) => {
                if let Some((_, other)) = twin(&found) {
                    return Ok(Condition::Foreign(format!(
                        "{path}: holds the identity {found} of {}: two folders cannot be one storage; remove {} if \
                         this one is a copy",
                        other.root().display(),
                        volume.identity_file().display()
                    )));
                }
                if let Some(expected) = volume.id().filter(|id| *id != found) {
                    return Ok(foreign(volume, expected, &found, &rows));
                }
                if known.is_none() {
                    tracing::info!(
                        storage.path = path,
                        storage.id = found,
                        "a storage was added"
                    );
                }
                settle(volume, store, &found)
            }
            // The database was just opened in the first folder, so its disk is there whatever else was removed. Later
            // it is no proof: an open file outlives the mount.
            (None, Some(known)) if index == 0 && opened => {
                tracing::warn!(
                    storage.path = path,
                    storage.id = known.id,
                    "the identity file was gone, and is written anew"
                );
                identity::write(volume.root(), &known.id, known.first_us)?;
                settle(volume, store, &known.id)
            }
            (None, Some(known)) => {
                volume.expect(&known.id);
                Ok(missing(volume))
            }
            (None, None) => match volume.id() {
                Some(_) => Ok(missing(volume)),
                None => found_new(index, volume, store),
            },
        }
    }
}

fn settle(volume: &Volume, store: &Store, id: &str) -> Result<Condition> {
    store.see_storage(id, &volume.root().display().to_string())?;
    volume.expect(id);
    let recordings = volume.recordings();
    Ok(match std::fs::create_dir_all(&recordings) {
        Ok(()) => Condition::Ready,
        Err(error) => Condition::Failing(Error::io(&recordings, error).to_string()),
    })
}

/// Nobody has seen a storage at this path: it is one from now on.
fn found_new(index: usize, volume: &Volume, store: &Store) -> Result<Condition> {
    let id = store.new_id();
    let made = std::fs::create_dir_all(volume.recordings())
        .map_err(|error| Error::io(volume.root(), error))
        .and_then(|()| identity::write(volume.root(), &id, store.now_unix_us()));
    match made {
        Ok(()) => {
            let path = volume.root().display().to_string();
            tracing::info!(storage.path = path, storage.id = id, "a new storage");
            settle(volume, store, &id)
        }
        Err(error) if index == 0 => Err(Error::precondition(format!(
            "storage.path: {error}: choose a folder that nvrd may write to"
        ))),
        Err(error) => Ok(Condition::Missing(format!(
            "{error}; mount its disk, or make the folder one that nvrd may write to"
        ))),
    }
}

/// The sentence for a folder without the expected identity file.
pub(super) fn missing(volume: &Volume) -> Condition {
    Condition::Missing(format!(
        "{}: the disk of storage {} is not there: mount it; if it is gone for good, give the new disk another path",
        volume.root().display(),
        volume.id().unwrap_or("?")
    ))
}

/// The sentence for a folder with another identity than expected.
pub(super) fn foreign(
    volume: &Volume,
    expected: &str,
    found: &str,
    rows: &[StorageRow],
) -> Condition {
    let whose = match rows.iter().find(|row| row.id == found) {
        Some(row) => format!("which was last seen at {}", row.path),
        None => "which is of no storage known here".to_owned(),
    };
    Condition::Foreign(format!(
        "{}: holds the identity {found}, {whose}, and not the expected {expected}: mount the right disk, or give this \
         one another path",
        volume.root().display()
    ))
}
