//! Compares the recordings of a camera with its chain, without the database and beside a daemon that runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nvr_base::{Error, ErrorKind, Result};
use serde::Serialize;

use super::chain;
use super::entry::{Entry, Kind};
use super::key::PublicKey;
use super::walk::{self, Fault, FileKey, Walked, content_key};

/// Findings kept in words; the others are counted.
const MAX_FINDINGS: usize = 100;

/// A folder of recordings and the identity of its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Identity of the storage.
    pub id: String,
    /// Its folder of recordings.
    pub recordings: PathBuf,
}

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The folder of the chains.
    pub evidence: &'a Path,
    /// The storages; the first also answers for entries that name none.
    pub places: &'a [Place],
    /// The key that the chains have to be signed with.
    pub key: &'a PublicKey,
    /// Files with a moment in this range are compared, microseconds since 1970-01-01 UTC; the chain is always whole.
    pub range: std::ops::Range<i64>,
    /// An entry that has to be in the chain, as its head was kept elsewhere: number and link.
    pub head: Option<(u64, String)>,
    /// Whether a daemon runs, which has a file open that no entry names yet.
    pub running: bool,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In which way.
    pub fault: Fault,
    /// Number of the entry, where there is one.
    pub seq: Option<u64>,
    /// What, in a sentence.
    pub text: String,
}

/// The outcome for one camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its name.
    pub camera: String,
    /// Entries in its chain.
    pub entries: u64,
    /// Number and link of the last one.
    pub head: Option<(u64, String)>,
    /// Segments whose files were compared.
    pub compared: u64,
    /// Their bytes.
    pub compared_bytes: u64,
    /// Segments of which only the length could be compared, for no BLAKE3 was taken of them.
    pub without_hash: u64,
    /// Segments that the daemon deleted, as far as the chain goes back.
    pub deleted: u64,
    /// Segments that a start found on disk after a crash.
    pub found_later: u64,
    /// Files at the end that are still being written.
    pub being_recorded: u64,
    /// The first findings, in the order of the chain.
    pub findings: Vec<Finding>,
    /// How many findings there are of each kind.
    pub counts: BTreeMap<Fault, u64>,
}

impl Report {
    /// Whether everything is as it was recorded.
    pub fn is_whole(&self) -> bool {
        self.counts.is_empty()
    }

    fn add(&mut self, fault: Fault, seq: Option<u64>, text: String) {
        let count = self.counts.entry(fault).or_default();
        *count += 1;
        // The first of each kind is always named.
        if self.findings.len() < MAX_FINDINGS || *count == 1 {
            self.findings.push(Finding { fault, seq, text });
        }
    }
}

/// The cameras that have a chain or recordings, sorted.
///
/// # Errors
/// Those of the disk.
pub fn cameras(evidence: &Path, places: &[Place]) -> Result<Vec<String>> {
    let mut cameras = super::chained_cameras(evidence)?;
    for place in places {
        for name in entries(&place.recordings)? {
            let name = name
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.parse::<nvr_base::Slug>().is_ok() {
                cameras.push(name);
            }
        }
    }
    cameras.sort();
    cameras.dedup();
    Ok(cameras)
}

/// Compares one camera; `progress` hears of every file with its length in bytes.
///
/// # Errors
/// When the chain cannot be read at all; a file that cannot be read is a finding.
pub fn verify(camera: &str, wanted: &Wanted<'_>, progress: &mut dyn FnMut(u64)) -> Result<Report> {
    let folder = wanted.evidence.join(camera);
    let mut report = Report {
        camera: camera.to_owned(),
        entries: 0,
        head: None,
        compared: 0,
        compared_bytes: 0,
        without_hash: 0,
        deleted: 0,
        found_later: 0,
        being_recorded: 0,
        findings: Vec::new(),
        counts: BTreeMap::new(),
    };
    let first = wanted.places.first().map_or("", |place| place.id.as_str());
    let mut on_fault = |fault, seq, text| report.add(fault, Some(seq), text);
    let walked = walk::walk(&folder, camera, first, Some(wanted.key), &mut on_fault)?;
    check_head(&folder, wanted, &walked, &mut report)?;
    chain::read(&folder, |line| {
        let Some(entry) = line else { return Ok(()) };
        let file = FileKey::new(&entry.storage, first, &entry.path);
        let in_range =
            entry.start_unix_us < wanted.range.end && entry.end_unix_us > wanted.range.start;
        if entry.kind == Kind::Segment && in_range && walked.live.get(&file) == Some(&entry.seq) {
            compare(&entry, wanted, &walked, &mut report, progress);
        }
        if entry.kind == Kind::Lost && in_range && !walked.live.contains_key(&file) {
            let why = entry.reason.as_deref().unwrap_or("it was lost");
            let text = format!("entry {}, {}: {why}", entry.seq, entry.path);
            report.add(Fault::Missing, Some(entry.seq), text);
        }
        Ok(())
    })?;
    for place in wanted.places {
        find_inserted(camera, place, wanted, first, &walked, &mut report)?;
    }
    report.entries = walked.entries;
    report.deleted = walked.deleted.len() as u64;
    report.found_later = walked.found_later;
    report.head = walked.head;
    Ok(report)
}

/// Compares the chain with a head that was kept elsewhere: the only thing that shows that its end was cut off.
fn check_head(
    folder: &Path,
    wanted: &Wanted<'_>,
    walked: &Walked,
    report: &mut Report,
) -> Result<()> {
    let Some((seq, link)) = &wanted.head else {
        return Ok(());
    };
    let last = walked.head.as_ref().map_or(0, |head| head.0);
    if last < *seq {
        let text =
            format!("the chain ends with entry {last}, but it had {seq}: its end was cut off");
        report.add(Fault::Missing, Some(last), text);
        return Ok(());
    }
    let mut same = false;
    chain::read(folder, |line| {
        same |= line.is_some_and(|entry| entry.seq == *seq && entry.link == *link);
        Ok(())
    })?;
    if !same {
        let text = format!(
            "entry {seq} is another one than the head that was kept: the chain was written anew"
        );
        report.add(Fault::Altered, Some(*seq), text);
    }
    Ok(())
}

fn compare(
    entry: &Entry,
    wanted: &Wanted<'_>,
    walked: &Walked,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) {
    let named = |what: &str| format!("entry {}, {}: {what}", entry.seq, entry.path);
    let Some(file) = file_of(entry, wanted.places) else {
        let text = match wanted.places.iter().any(|place| place.id == entry.storage) {
            true => named("its path leads out of the recordings"),
            false => named(&format!("the storage {} is not there", entry.storage)),
        };
        return report.add(Fault::Missing, Some(entry.seq), text);
    };
    let length = match std::fs::metadata(&file) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return report.add(Fault::Missing, Some(entry.seq), named("the file is gone"));
        }
        Err(error) => {
            let text = named(&format!("the file cannot be read: {error}"));
            return report.add(Fault::Missing, Some(entry.seq), text);
        }
    };
    report.compared += 1;
    report.compared_bytes += length;
    progress(length);
    if entry.blake3.is_empty() {
        report.without_hash += 1;
        if length != entry.bytes {
            let text = named(&format!(
                "{length} bytes long, but {} were recorded",
                entry.bytes
            ));
            report.add(Fault::Altered, Some(entry.seq), text);
        }
        return;
    }
    let found = match nvr_mp4::inspect::hash(&file) {
        Ok(found) => found,
        Err(error) => {
            let text = named(&format!("the file cannot be read: {error}"));
            return report.add(Fault::Altered, Some(entry.seq), text);
        }
    };
    if found == entry.blake3 {
        return;
    }
    let other = content_key(&found).and_then(|key| walked.by_content.get(&key));
    match other {
        Some(other) => {
            let text = named(&format!("the file holds what entry {other} recorded"));
            report.add(Fault::Reordered, Some(entry.seq), text);
        }
        None if length != entry.bytes => {
            let text = named(&format!(
                "{length} bytes long, but {} were recorded",
                entry.bytes
            ));
            report.add(Fault::Altered, Some(entry.seq), text);
        }
        None => {
            let text = named("its bytes are not those that were recorded");
            report.add(Fault::Altered, Some(entry.seq), text);
        }
    }
}

/// Files that no entry names.
fn find_inserted(
    camera: &str,
    place: &Place,
    wanted: &Wanted<'_>,
    first: &str,
    walked: &Walked,
    report: &mut Report,
) -> Result<()> {
    let mut files = Vec::new();
    for day in entries(&place.recordings.join(camera))? {
        match day.is_dir() {
            true => files.extend(entries(&day)?),
            false => files.push(day),
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "mp4"));
    let newest = files.iter().max().cloned();
    for file in files {
        let Ok(path) = file.strip_prefix(&place.recordings) else {
            continue;
        };
        let path = path.to_string_lossy();
        let key = FileKey::new(&place.id, first, &path);
        if walked.live.contains_key(&key)
            || start_of(&file).is_some_and(|start| !wanted.range.contains(&start))
        {
            continue;
        }
        if wanted.running && newest.as_ref() == Some(&file) {
            report.being_recorded += 1;
            continue;
        }
        let text = match walked.deleted.contains(&key) {
            true => format!("{path}: the chain says that it was deleted"),
            false => format!(
                "{path}: no entry names it: put there by somebody, or left by a crash (then `nvrd fsck` says so too)"
            ),
        };
        report.add(Fault::Inserted, None, text);
    }
    Ok(())
}

/// The start in the name of a file, microseconds since 1970-01-01 UTC.
pub(crate) fn start_of(file: &Path) -> Option<i64> {
    let stem = file.file_stem()?.to_str()?;
    stem.split('_').nth(1)?.parse().ok()
}

fn file_of(entry: &Entry, places: &[Place]) -> Option<PathBuf> {
    let place = match entry.storage.as_str() {
        "" => places.first(),
        id => places.iter().find(|place| place.id == id),
    }?;
    let path = Path::new(&entry.path);
    let below = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    (below && !entry.path.is_empty()).then(|| place.recordings.join(path))
}

/// What a folder holds, sorted; nothing where there is no folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let reader = match std::fs::read_dir(folder) {
        Ok(reader) => reader,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder, error)),
    };
    let paths: std::io::Result<Vec<PathBuf>> = reader
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut paths = paths.map_err(|error| Error::io(folder, error))?;
    paths.sort();
    Ok(paths)
}

/// Whether a daemon holds the lock of a storage.
///
/// # Errors
/// When the lock is there but cannot be tried.
pub fn is_running(root: &Path) -> Result<bool> {
    let path = root.join("nvrd.lock");
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) => {
            let error = Error::io(&path, error);
            return if error.kind() == ErrorKind::NotFound {
                Ok(false)
            } else {
                Err(error)
            };
        }
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::io(&path, error)),
    }
}
