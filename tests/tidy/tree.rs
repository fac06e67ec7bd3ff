//! The files under version control: their paths and their text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files of a repository by their path from its root, `/` between folders.
pub struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// This repository, or, where it was unpacked from an archive, every file that lies there.
    pub fn of_the_repository() -> Self {
        let root = root();
        let paths = tracked(&root).unwrap_or_else(|| {
            let mut paths = Vec::new();
            walk(&root, &root, &mut paths);
            paths
        });
        let files = paths
            .into_iter()
            // A file that is deleted but not yet committed is still listed.
            .filter(|path| root.join(path).is_file())
            .map(|path| {
                let text = std::fs::read_to_string(root.join(&path)).ok();
                (path, text)
            })
            .collect();
        Self { files }
    }

    /// A tree of the given paths and texts, for the tests of the checkers.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())))
                .collect(),
        }
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Path and text of every text file whose path ends in `suffix`.
    pub fn texts(&self, suffix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(move |(path, text)| {
            let text = text.as_deref()?;
            path.ends_with(suffix).then_some((path.as_str(), text))
        })
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether `path` is a file of the tree or a folder that holds one.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.paths().any(|file| file.starts_with(&folder))
    }

    /// Whether `name` is the first folder, or the file, of some path.
    pub fn has_at_root(&self, name: &str) -> bool {
        self.paths()
            .any(|path| path.split('/').next() == Some(name))
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests are a folder of the repository")
        .to_owned()
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    // The checkout of a build machine often belongs to another user, which git refuses otherwise.
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "-C"])
        .arg(root)
        .args(["ls-files", "-z"])
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.split_terminator('\0').map(ToOwned::to_owned).collect())
}

/// What git would not list: build results, fetched things, a demonstration's recordings.
const NOT_OURS: &[&str] = &["target", ".git", ".deps", "demo-data", "shared"];

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(relative) = path.strip_prefix(root) else {
            continue;
        };
        let Some(relative) = relative.to_str() else {
            continue;
        };
        if NOT_OURS.contains(&relative) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, paths);
        } else {
            paths.push(relative.to_owned());
        }
    }
}

#[test]
fn the_repository_is_found() {
    let tree = Tree::of_the_repository();
    assert!(tree.has("Cargo.toml"));
    assert!(tree.has("tests/tidy/tree.rs"));
    assert!(!tree.has("target"));
}

#[test]
fn an_unpacked_archive_is_walked() {
    let mut paths = Vec::new();
    walk(&root(), &root().join("tests"), &mut paths);
    assert!(paths.contains(&"tests/tidy/tree.rs".to_owned()));
}

#[test]
fn folders_are_known_by_their_files() {
    let tree = Tree::of(&[("a/b/c.rs", ""), ("d.md", "")]);
    for there in ["a", "a/", "a/b", "a/b/c.rs", "d.md"] {
        assert!(tree.has(there), "{there}");
    }
    for missing in ["a/c", "b", "d", "a/b/c"] {
        assert!(!tree.has(missing), "{missing}");
    }
    assert!(tree.has_at_root("a"));
    assert!(!tree.has_at_root("b"));
}
