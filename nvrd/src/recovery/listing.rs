//! What lies in a folder of recordings, in the order in which the index has it.

use std::fs;
use std::path::Path;

use nvr_base::{Error, Result};

/// Folders below a camera's are looked into so deep, no deeper.
const DEPTH: u32 = 3;

/// A file below a folder of recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Relative to the recordings, as the index has it.
    pub(super) path: String,
    /// Whether it is a plain file that may be a recording.
    pub(super) recording: bool,
}

/// The names of the folders in a folder, sorted; none where there is no such folder.
pub(super) fn folders(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in entries(folder)? {
        if entry.is_folder {
            names.push(entry.name.trim_end_matches('/').to_owned());
        }
    }
    Ok(names)
}

/// Calls `each` for every file of a camera, sorted by path as a whole; only names are read.
pub(super) fn files(
    recordings: &Path,
    camera: &str,
    each: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<()> {
    below(&recordings.join(camera), &format!("{camera}/"), DEPTH, each)
}

fn below(
    folder: &Path,
    prefix: &str,
    depth: u32,
    each: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<()> {
    for entry in entries(folder)? {
        let path = format!("{prefix}{}", entry.name);
        if entry.is_folder {
            if depth > 0 {
                below(&folder.join(&entry.name), &path, depth - 1, each)?;
            }
        } else {
            each(Found {
                recording: entry.is_file && path.ends_with(".mp4"),
                path,
            })?;
        }
    }
    Ok(())
}

struct Entry {
    /// Ends with a slash for a folder, so that names sort as paths do.
    name: String,
    is_folder: bool,
    is_file: bool,
}

fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let fail = |error| Error::io(folder, error);
    let reader = match fs::read_dir(folder) {
        Ok(reader) => reader,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut entries = Vec::new();
    for entry in reader {
        let entry = entry.map_err(fail)?;
        // What the folder itself says: no look at the file.
        let kind = entry.file_type().map_err(fail)?;
        let Ok(mut name) = entry.file_name().into_string() else {
            // Never a name of ours, and none that the index could hold.
            continue;
        };
        if kind.is_dir() {
            name.push('/');
        }
        entries.push(Entry {
            name,
            is_folder: kind.is_dir(),
            is_file: kind.is_file(),
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_in_the_order_of_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = [
            "front/2026-11-20/b.mp4",
            "front/2026-11-20/a.mp4",
            "front/2026-11-20-x/a.mp4",
            "front/2026-11-20.mp4",
            "front/notes.txt",
            "front/a/b/c/d.mp4",
        ];
        for path in paths {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        fs::create_dir_all(folder.path().join("front/a/b/c/d/e")).unwrap();
        fs::write(folder.path().join("front/a/b/c/d/e/too-deep.mp4"), "").unwrap();
        let mut found = Vec::new();
        files(folder.path(), "front", &mut |file| {
            found.push((file.path, file.recording));
            Ok(())
        })
        .unwrap();
        paths.sort_unstable();
        let expect: Vec<(String, bool)> = paths
            .iter()
            .map(|path| ((*path).to_owned(), path.ends_with(".mp4")))
            .collect();
        assert_eq!(found, expect);
        assert_eq!(folders(folder.path()).unwrap(), ["front"]);
        assert_eq!(
            folders(&folder.path().join("none")).unwrap(),
            Vec::<String>::new()
        );
    }
}
