//! The few things that evidence does with files: bounded reading, and syncing a folder.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use nvr_base::{Error, Result};

/// Makes the names of a folder as durable as the files they stand for.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io(folder, error))
}

/// A whole file that may have `limit` bytes at most.
pub(super) fn read_bounded(file: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(file)
        .and_then(|opened| opened.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| Error::io(file, error))?;
    if read as u64 > limit {
        return Err(Error::invalid(format!(
            "{}: longer than {limit} bytes",
            file.display()
        )));
    }
    Ok(bytes)
}
