//! Files and rows of one camera in one storage, side by side, both in the order of their paths.
//!
//! Neither list is ever held whole: a page of rows and a folder of names at a time.

use std::collections::VecDeque;

use nvr_base::Result;
use nvr_store::{FileRow, Store};

use super::listing;
use crate::storage::Volume;

/// What stands at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pair {
    /// A file without a row.
    File(String),
    /// A row without a file.
    Row(FileRow),
    /// Both.
    Both(FileRow),
    /// A file that is no recording.
    Foreign(String),
}

/// The rows of a camera, a page at a time.
struct Rows<'a> {
    store: &'a Store,
    storage: &'a str,
    page: VecDeque<FileRow>,
    after: String,
    before: String,
    ended: bool,
}

impl Rows<'_> {
    fn peek(&mut self) -> Result<Option<&FileRow>> {
        if self.page.is_empty() && !self.ended {
            let page = self.store.files(self.storage, &self.after, &self.before)?;
            self.ended = page.is_empty();
            if let Some(last) = page.last() {
                self.after.clone_from(&last.path);
            }
            self.page = page.into();
        }
        Ok(self.page.front())
    }

    /// The next row if its path comes before `path`, or in any case without one.
    fn next_before(&mut self, path: Option<&str>) -> Result<Option<FileRow>> {
        let fits = self
            .peek()?
            .is_some_and(|row| path.is_none_or(|path| row.path.as_str() < path));
        Ok(if fits { self.page.pop_front() } else { None })
    }

    fn next_at(&mut self, path: &str) -> Result<Option<FileRow>> {
        let fits = self.peek()?.is_some_and(|row| row.path == path);
        Ok(if fits { self.page.pop_front() } else { None })
    }
}

/// Calls `each` for every path of a camera in a storage.
pub(super) fn join(
    store: &Store,
    volume: &Volume,
    camera: &str,
    each: &mut dyn FnMut(Pair) -> Result<()>,
) -> Result<()> {
    let mut rows = Rows {
        store,
        storage: volume.id().unwrap_or_default(),
        page: VecDeque::new(),
        after: format!("{camera}/"),
        // The character after the slash.
        before: format!("{camera}0"),
        ended: false,
    };
    listing::files(&volume.recordings(), camera, &mut |found| {
        while let Some(row) = rows.next_before(Some(&found.path))? {
            each(Pair::Row(row))?;
        }
        match rows.next_at(&found.path)? {
            Some(row) => each(Pair::Both(row)),
            None if found.recording => each(Pair::File(found.path)),
            None => each(Pair::Foreign(found.path)),
        }
    })?;
    while let Some(row) = rows.next_before(None)? {
        each(Pair::Row(row))?;
    }
    Ok(())
}
