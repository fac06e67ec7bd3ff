//! The chain of one camera on disk: files by month, one entry a line, added to at the end alone.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result};

use super::disk;
use super::entry::{Entry, Kind};
use super::key::PrivateKey;

/// No line of ours comes near this, bytes.
const MAX_LINE: u64 = 16 << 10;
/// What is read of the end of a file at first; doubled until it is enough.
const TAIL: u64 = 256 << 10;
/// Entries remembered, so that doing something again after an error adds nothing twice.
const RECENT: usize = 1024;

/// The end of a chain that may grow.
#[derive(Debug)]
pub(super) struct Chain {
    folder: PathBuf,
    camera: String,
    head: Option<Head>,
    /// The file that is written to, its name and its length after the last whole append.
    open: Option<(String, File, u64)>,
    recent: VecDeque<(Kind, String, String)>,
    /// Whether old files may have become superfluous since the last look.
    look: bool,
}

/// The last entry of a chain: who keeps it elsewhere can tell whether the chain was cut or rewritten since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its sequence number.
    pub seq: u64,
    /// Its link, 64 hex digits.
    pub link: String,
    /// Its signature, 128 hex digits.
    pub signature: String,
}

impl Chain {
    /// Opens the chain below a folder, which may not exist yet; a line that a crash tore is cut off.
    pub(super) fn open(folder: PathBuf, camera: &str) -> Result<Self> {
        let mut head = None;
        for file in files(&folder)?.iter().rev() {
            cut_torn_line(file)?;
            let mut lost = 0;
            for line in tail(file, |_| true)?.into_iter().rev() {
                let Some(entry) = line else {
                    lost += 1;
                    continue;
                };
                head = Some(Head {
                    // What cannot be read keeps its place: the check says that it is there.
                    seq: entry.seq + lost,
                    link: entry.link,
                    signature: entry.signature,
                });
                break;
            }
            if head.is_some() {
                break;
            }
        }
        Ok(Self {
            folder,
            camera: camera.to_owned(),
            head,
            open: None,
            recent: VecDeque::new(),
            look: true,
        })
    }

    /// The last entry; none in a chain that has not begun.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Numbers, links and signs drafts and adds them with one write and one sync; those added before are left out.
    pub(super) fn append(
        &mut self,
        drafts: Vec<Entry>,
        key: &PrivateKey,
        now_us: i64,
    ) -> Result<Vec<Entry>> {
        let (mut seq, mut link) = match &self.head {
            Some(head) => (head.seq, head.link.clone()),
            None => (0, Entry::first_link(&self.camera)),
        };
        let mut sealed = Vec::with_capacity(drafts.len());
        let mut text = String::new();
        for mut draft in drafts.into_iter().filter(|draft| !self.has(draft)) {
            seq += 1;
            draft.seq = seq;
            draft.at_unix_us = now_us;
            draft.camera.clone_from(&self.camera);
            let entry = draft.seal(&link, key);
            link.clone_from(&entry.link);
            let line = serde_json::to_string(&entry).map_err(|error| {
                Error::internal(format!("an entry of the chain has no JSON: {error}"))
            })?;
            text.push_str(&line);
            text.push('\n');
            sealed.push(entry);
        }
        let Some(last) = sealed.last() else {
            return Ok(sealed);
        };
        let head = Head {
            seq: last.seq,
            link: last.link.clone(),
            signature: last.signature.clone(),
        };
        self.write(text.as_bytes(), now_us)?;
        self.head = Some(head);
        for entry in &sealed {
            self.recent.push_back(key_of(entry));
        }
        let over = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..over);
        Ok(sealed)
    }

    fn has(&self, draft: &Entry) -> bool {
        let key = key_of(draft);
        // Only the last word on a file counts: what was deleted may be found again.
        let last = self
            .recent
            .iter()
            .rev()
            .find(|known| known.1 == key.1 && known.2 == key.2);
        last.is_some_and(|last| last.0 == key.0)
    }

    fn write(&mut self, bytes: &[u8], now_us: i64) -> Result<()> {
        let (name, mut file, length) = self.file(now_us)?;
        let path = self.folder.join(&name);
        match file.write_all(bytes).and_then(|()| file.sync_data()) {
            Ok(()) => {
                self.open = Some((name, file, length + bytes.len() as u64));
                Ok(())
            }
            Err(error) => {
                // Half a line would stand in the middle of the file; what cannot be cut now is cut by the next open.
                if let Err(error) = file.set_len(length) {
                    tracing::error!(%error, "{}: half an entry could not be taken back", path.display());
                }
                Err(Error::io(&path, error))
            }
        }
    }

    /// The file of the month, opened for adding at its end.
    fn file(&mut self, now_us: i64) -> Result<(String, File, u64)> {
        let month = month_of(now_us)?;
        if let Some(open) = self.open.take_if(|open| open.0 >= month) {
            return Ok(open);
        }
        // Files are read in the order of their names, so a clock that was set back must not begin an earlier one.
        let newest = files(&self.folder)?.pop();
        let newest = newest.and_then(|file| Some(file.file_name()?.to_str()?.to_owned()));
        let name = newest.unwrap_or_default().max(month);
        let parents = [self.folder.parent(), Some(self.folder.as_path())];
        let path = self.folder.join(&name);
        let fail = |error| Error::io(&path, error);
        std::fs::create_dir_all(&self.folder).map_err(fail)?;
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(fail)?;
        cut_torn_line(&path)?;
        let length = file.metadata().map_err(fail)?.len();
        if is_new {
            self.look = true;
            for folder in parents.into_iter().flatten() {
                disk::sync_folder(folder)?;
            }
        }
        Ok((name, file, length))
    }

    /// Whether it is time to look for files that are superfluous; once true, false until the next month.
    pub(super) fn may_drop_files(&mut self) -> bool {
        std::mem::take(&mut self.look)
    }

    /// Removes the oldest files in which every segment is deleted, the last file excepted, and says so in the chain.
    ///
    /// `is_live` says of a sequence number whether its segment still exists.
    pub(super) fn drop_files(
        &mut self,
        is_live: impl Fn(u64) -> bool,
        key: &PrivateKey,
        now_us: i64,
    ) -> Result<u64> {
        let mut files = files(&self.folder)?;
        files.pop();
        let mut gone = Vec::new();
        for file in files {
            let mut last = None;
            let mut droppable = true;
            read_file(&file, |line| {
                match line {
                    Some(entry) => {
                        droppable &= entry.kind != Kind::Segment || !is_live(entry.seq);
                        last = Some((entry.seq, entry.link));
                    }
                    // What cannot be read is evidence of something.
                    None => droppable = false,
                }
                Ok(())
            })?;
            match last {
                Some(last) if droppable => gone.push((file, last)),
                _ => break,
            }
        }
        let Some((newest, (seq, link))) = gone.last().cloned() else {
            return Ok(0);
        };
        let name = newest
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let draft = Entry {
            seq: 0,
            kind: Kind::Carry,
            at_unix_us: 0,
            camera: String::new(),
            storage: String::new(),
            path: name,
            start_unix_us: 0,
            end_unix_us: 0,
            bytes: seq,
            blake3: link,
            reason: Some("every segment in it was deleted".to_owned()),
            link: String::new(),
            signature: String::new(),
        };
        // The statement first: a crash here leaves files that the next turn removes.
        self.append(vec![draft], key, now_us)?;
        for (file, _) in &gone {
            std::fs::remove_file(file).map_err(|error| Error::io(file, error))?;
        }
        disk::sync_folder(&self.folder)?;
        Ok(gone.len() as u64)
    }
}

fn key_of(entry: &Entry) -> (Kind, String, String) {
    (entry.kind, entry.storage.clone(), entry.path.clone())
}

fn month_of(unix_us: i64) -> Result<String> {
    let at = jiff::Timestamp::from_microsecond(unix_us)
        .map_err(|error| Error::invalid(format!("the clock is out of range: {error}")))?;
    Ok(at.strftime("%Y-%m.jsonl").to_string())
}

/// The files of a chain, oldest first; none where there is no folder.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let reader = match std::fs::read_dir(folder) {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder, error)),
    };
    let mut files = Vec::new();
    for entry in reader {
        let path = entry.map_err(|error| Error::io(folder, error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Every line of a chain in order; `None` for one that is no entry. Memory stays below a line's length.
pub(super) fn read(folder: &Path, mut each: impl FnMut(Option<Entry>) -> Result<()>) -> Result<()> {
    for file in files(folder)? {
        read_file(&file, &mut each)?;
    }
    Ok(())
}

fn read_file(path: &Path, mut each: impl FnMut(Option<Entry>) -> Result<()>) -> Result<()> {
    let fail = |error| Error::io(path, error);
    let mut reader = BufReader::with_capacity(64 << 10, File::open(path).map_err(fail)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if read.map_err(fail)? == 0 {
            return Ok(());
        }
        // The pieces of a line that is too long are lines that are no entries.
        let whole = line.strip_suffix(b"\n");
        each(whole.and_then(|line| serde_json::from_slice(line).ok()))?;
    }
}

/// The entries at the end of a chain that were written at or after a moment, in order.
pub(super) fn since(folder: &Path, unix_us: i64) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    for file in files(folder)?.iter().rev() {
        let mut part = tail(file, |first| first.at_unix_us < unix_us)?;
        let reached = part.first().is_some_and(|first| {
            first
                .as_ref()
                .is_some_and(|first| first.at_unix_us < unix_us)
        });
        part.extend(found);
        found = part;
        if reached {
            break;
        }
    }
    let mut entries: Vec<Entry> = found.into_iter().flatten().collect();
    entries.retain(|entry| entry.at_unix_us >= unix_us);
    Ok(entries)
}

/// The lines at the end of a file, back to where `enough` says so of the first of them, or to the beginning.
fn tail(path: &Path, enough: impl Fn(&Entry) -> bool) -> Result<Vec<Option<Entry>>> {
    let fail = |error| Error::io(path, error);
    let mut file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let mut size = TAIL;
    loop {
        let start = length.saturating_sub(size);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start)).map_err(fail)?;
        (&mut file)
            .take(length - start)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        if start > 0 && !lines.is_empty() {
            // It began before.
            lines.remove(0);
        }
        let entries: Vec<Option<Entry>> = lines
            .iter()
            .map(|line| serde_json::from_slice(line).ok())
            .collect();
        let first = entries.iter().flatten().next();
        if start == 0 || first.is_some_and(&enough) {
            return Ok(entries);
        }
        size *= 2;
    }
}

/// Cuts what follows the last line feed: a write that never came to its end.
fn cut_torn_line(path: &Path) -> Result<()> {
    let fail = |error| Error::io(path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let start = length.saturating_sub(2 * MAX_LINE);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).map_err(fail)?;
    (&mut file)
        .take(length - start)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    // A power cut may leave the length of a write and none of its bytes: zeros are no line either.
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let keep = if whole == 0 && start > 0 {
        length
    } else {
        start + whole as u64
    };
    if keep < length {
        tracing::warn!(
            bytes = length - keep,
            "{}: half an entry is cut off",
            path.display()
        );
        file.set_len(keep)
            .and_then(|()| file.sync_all())
            .map_err(fail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;
    /// 2026-11-20 00:00 UTC.
    const NOW_US: i64 = 1_795_132_800_000_000;

    fn draft(path: &str) -> Entry {
        Entry {
            seq: 0,
            kind: Kind::Segment,
            at_unix_us: 0,
            camera: String::new(),
            storage: String::new(),
            path: path.to_owned(),
            start_unix_us: 1,
            end_unix_us: 2,
            bytes: 3,
            blake3: "00".repeat(32),
            reason: None,
            link: String::new(),
            signature: String::new(),
        }
    }

    fn all(folder: &Path) -> Vec<Option<Entry>> {
        let mut lines = Vec::new();
        read(folder, |line| {
            lines.push(line);
            Ok(())
        })
        .unwrap();
        lines
    }

    #[test]
    fn a_chain_goes_on_where_it_ended_whatever_tore_its_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_seed(1);
        let at = folder.path().join("front");
        let file = at.join("2026-11.jsonl");
        for (round, torn) in ["", "{\"seq\":9", "\0\0\0\0"].iter().enumerate() {
            let mut chain = Chain::open(at.clone(), "front").unwrap();
            let name = format!("front/{round}.mp4");
            let added = chain.append(vec![draft(&name)], &key, NOW_US).unwrap();
            assert_eq!(added[0].seq, round as u64 + 1);
            let mut text = std::fs::read(&file).unwrap();
            text.extend(torn.as_bytes());
            std::fs::write(&file, text).unwrap();
        }
        drop(Chain::open(at.clone(), "front").unwrap());
        let mut previous = Entry::first_link("front");
        for (index, line) in all(&at).into_iter().enumerate() {
            let entry = line.unwrap();
            assert_eq!(entry.seq, index as u64 + 1);
            assert_eq!(entry.link, entry.link_after(&previous));
            previous = entry.link;
        }
    }

    #[test]
    fn doing_it_again_adds_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_seed(1);
        let mut chain = Chain::open(folder.path().join("front"), "front").unwrap();
        let deleted = Entry {
            kind: Kind::Deleted,
            ..draft("a")
        };
        let counts = [draft("a"), draft("a"), deleted.clone(), deleted, draft("a")]
            .map(|draft| chain.append(vec![draft], &key, NOW_US).unwrap().len());
        assert_eq!(counts, [1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_no_earlier_file() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_seed(1);
        let at = folder.path().join("front");
        for (days, path) in [(0, "a"), (20, "b"), (-60, "c"), (-60, "d")] {
            let mut chain = Chain::open(at.clone(), "front").unwrap();
            chain
                .append(vec![draft(path)], &key, NOW_US + days * DAY_US)
                .unwrap();
        }
        let paths: Vec<String> = all(&at)
            .into_iter()
            .map(|line| line.unwrap().path)
            .collect();
        assert_eq!(paths, ["a", "b", "c", "d"]);
        assert_eq!(files(&at).unwrap().len(), 2);
    }

    #[test]
    fn the_end_of_a_long_chain_is_read_alone() {
        let folder = tempfile::tempdir().unwrap();
        let key = PrivateKey::from_seed(1);
        let at = folder.path().join("front");
        let mut chain = Chain::open(at.clone(), "front").unwrap();
        for minute in 0..40 {
            let drafts = (0..50)
                .map(|n| draft(&format!("front/{minute}-{n}.mp4")))
                .collect();
            chain
                .append(drafts, &key, NOW_US + minute * 60_000_000)
                .unwrap();
        }
        assert!(std::fs::metadata(at.join("2026-11.jsonl")).unwrap().len() > 2 * TAIL);
        for (minute, expect) in [(0, 2000), (1, 1950), (39, 50), (40, 0)] {
            let found = since(&at, NOW_US + minute * 60_000_000).unwrap();
            assert_eq!(found.len(), expect, "minute {minute}");
        }
        assert_eq!(Chain::open(at, "front").unwrap().head().unwrap().seq, 2000);
    }
}
