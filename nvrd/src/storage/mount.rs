//! Whether a folder is a mount of its own, and the one spelling of a path under which the database knows it.

use std::path::{Component, Path, PathBuf};

/// Whether a disk is mounted exactly there; `None` when the system does not tell.
pub(super) fn is_mount_point(path: &Path) -> Option<bool> {
    let path = std::fs::canonicalize(path).ok()?;
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    Some(
        table
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .any(|point| Path::new(&unescaped(point)) == path),
    )
}

/// A field of the table of mounts: blanks and backslashes stand as `\040`.
fn unescaped(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = (first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The absolute path with every link followed that is there now; the same whether the disk is mounted or not.
pub(super) fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for (depth, ancestor) in path.ancestors().enumerate() {
        if let Ok(found) = std::fs::canonicalize(ancestor) {
            let parts: Vec<_> = path.components().collect();
            let rest = &parts[parts.len() - depth..];
            return Ok(rest.iter().fold(found, |mut path, part| {
                match part {
                    Component::ParentDir => drop(path.pop()),
                    part => path.push(part),
                }
                path
            }));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_known_by_their_points() {
        assert_eq!(is_mount_point(Path::new("/")), Some(true));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(is_mount_point(folder.path()), Some(false));
        assert_eq!(is_mount_point(&folder.path().join("none")), None);
        assert_eq!(unescaped(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescaped(r"/a\9\"), r"/a\9\");
    }

    #[test]
    fn a_path_has_one_spelling_whether_it_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let real = std::fs::canonicalize(folder.path()).unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        let check = |path: &str| {
            let got = resolved(&real.join("link").join(path)).unwrap();
            assert_eq!(got, real.join("disk/data"), "{path}");
        };
        check("disk/data");
        check("disk/./other/../data");
        std::fs::create_dir_all(real.join("disk/data")).unwrap();
        check("disk/data");
        check("disk/../disk/data");
    }
}
