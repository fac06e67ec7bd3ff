//! The identity of a storage folder: the file that says which one it is, so that no other disk is taken for it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result};
use serde::Deserialize;

/// Name of the file.
pub const FILE: &str = "nvrd-storage.toml";
/// A longer file is none of ours.
const MAX_BYTES: u64 = 4096;

#[derive(Deserialize)]
struct Marker {
    id: String,
}

/// The file of a folder.
pub fn file_of(root: &Path) -> PathBuf {
    root.join(FILE)
}

/// The identity that a folder says it has; `None` when it says nothing.
///
/// # Errors
/// When the file is there but cannot be read or is none of ours.
pub fn read(root: &Path) -> Result<Option<String>> {
    let path = file_of(root);
    let mut text = String::new();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io(&path, error)),
    };
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Error::io(&path, error))?;
    let marker: Option<Marker> = toml::from_str(&text).ok();
    let id = marker
        .map(|marker| marker.id)
        .filter(|id| uuid::Uuid::parse_str(id).is_ok());
    match id {
        Some(id) => Ok(Some(id)),
        None => Err(Error::data_loss(format!(
            "{}: holds no identity of a storage; restore the line `id = \"…\"` from a backup",
            path.display()
        ))),
    }
}

/// Writes the identity of a folder that has none; it is on disk when this returns.
///
/// # Errors
/// When the folder cannot be written to, or has an identity already.
pub fn write(root: &Path, id: &str, made_unix_us: i64) -> Result<()> {
    let path = file_of(root);
    let fail = |error: std::io::Error| Error::io(&path, error);
    let made = jiff::Timestamp::from_microsecond(made_unix_us)
        .map(|time| time.to_string())
        .unwrap_or_default();
    let text = format!(
        "# Which storage folder of nvrd this is. Leave it here: without it, nothing is recorded to this folder.\n\
         id = \"{id}\"\nmade = \"{made}\"\n"
    );
    if path.exists() {
        return Err(Error::already_exists(format!(
            "{}: there is one already",
            path.display()
        )));
    }
    // Whole or not at all: half an identity would keep the recordings out for ever.
    let unfinished = root.join(format!("{FILE}.unfinished"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&unfinished)
        .map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    std::fs::rename(&unfinished, &path).map_err(fail)?;
    sync_folder(root)
}

/// Makes names in a folder survive a power cut.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io(folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        assert_eq!(read(&folder.path().join("none")).unwrap(), None);
        write(folder.path(), ID, 1_767_225_600_000_000).unwrap();
        assert_eq!(read(folder.path()).unwrap().as_deref(), Some(ID));
        let text = std::fs::read_to_string(file_of(folder.path())).unwrap();
        assert!(text.contains("made = \"2026-01-01T00:00:00Z\""), "{text}");
        assert!(write(folder.path(), ID, 0).is_err(), "never replaced");
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_an_absent_one() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [
            &b""[..],
            b"id = 5",
            b"id = \"../..\"",
            b"\xff\xfe",
            &[b'#'; 9000],
        ] {
            std::fs::write(file_of(folder.path()), bytes).unwrap();
            assert!(read(folder.path()).is_err(), "{bytes:?}");
        }
    }
}
