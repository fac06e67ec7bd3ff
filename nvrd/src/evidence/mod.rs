//! Proof of what was recorded: a signed chain for each camera, its check, and the proof that an export carries.
//!
//! The ingest says what is on disk and the deletion what goes, each before the database hears of it for good;
//! nothing here reads the database.

mod disk;
mod key;
mod entry;
mod chain;
mod walk;
mod verify;
mod proof;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nvr_base::{Clock, Error, Result, Slug};
use nvr_store::SegmentRow;

pub use chain::Head;
pub use entry::{Entry, Kind};
pub use key::PublicKey;
pub(crate) use key::hex;
pub use proof::{Checked, Proof, Source, check};
pub(crate) use verify::start_of;
pub use verify::{Finding, Place, Report, Wanted, cameras, is_running, verify};
pub use walk::Fault;
pub(crate) use walk::{Content, FileKey, Said, walk};

use chain::Chain;
use key::PrivateKey;

/// Entries of the sources of one export, at most: a week of files of ten seconds.
const MAX_SOURCES: usize = 65_536;

/// Told before what was deleted is forgotten.
pub trait Deletions: Send + Sync {
    /// These segments go, or went, for this reason; called before their files are unlinked, again after an error.
    ///
    /// # Errors
    /// When it could not be noted; the caller tries again later and unlinks nothing until then.
    fn on_deleted(&self, rows: &[SegmentRow], reason: &str) -> Result<()>;
}

/// The chains of all cameras of one daemon.
#[derive(Debug)]
pub struct Evidence {
    folder: PathBuf,
    key: PrivateKey,
    clock: Arc<dyn Clock>,
    /// Each has its own lock, held while it is written: who waits for it adds to the same chain.
    chains: Mutex<HashMap<String, Arc<Mutex<Chain>>>>,
}

impl Evidence {
    /// Opens the evidence below the first storage, `<storage>/evidence`; the keys are made where there is none yet.
    ///
    /// # Errors
    /// When the folder or the key cannot be read or made, or the key of existing chains is missing.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        if let Some(parent) = folder.parent() {
            disk::sync_folder(parent)?;
        }
        let has_chains = !chained_cameras(folder)?.is_empty();
        let key = PrivateKey::load_or_make(folder, !has_chains, seed)?;
        Ok(Self {
            folder: folder.to_owned(),
            key,
            clock,
            chains: Mutex::default(),
        })
    }

    /// Notes that segments are on disk, with one write and one sync a camera, before their rows are stored.
    ///
    /// `reason` is for those that no running recorder reported: how they were found. What was noted a moment ago is
    /// not noted twice, so a failed call may be repeated.
    ///
    /// # Errors
    /// Those of the disk; then nothing of the camera in question was noted.
    pub fn recorded(&self, rows: &[SegmentRow], reason: Option<&str>) -> Result<()> {
        self.note(Kind::Segment, rows, reason)
    }

    /// Notes that segments were deleted, and why, before their files are unlinked; may be repeated.
    ///
    /// # Errors
    /// As [`recorded`](Self::recorded).
    pub fn deleted(&self, rows: &[SegmentRow], reason: &str) -> Result<()> {
        self.note(Kind::Deleted, rows, Some(reason))
    }

    /// Notes that segments are gone or damaged, and how that was found: whoever checks the chain hears of it.
    ///
    /// # Errors
    /// As [`recorded`](Self::recorded).
    pub fn lost(&self, rows: &[SegmentRow], reason: &str) -> Result<()> {
        self.note(Kind::Lost, rows, Some(reason))
    }

    fn note(&self, kind: Kind, rows: &[SegmentRow], reason: Option<&str>) -> Result<()> {
        let mut drafts: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
        for row in rows {
            let draft = draft(kind, row, reason);
            drafts.entry(&row.camera).or_default().push(draft);
        }
        for (camera, drafts) in drafts {
            let chain = self.chain(camera)?;
            let mut chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
            chain.append(drafts, &self.key, self.clock.unix_us())?;
            if kind == Kind::Deleted && chain.may_drop_files() {
                self.drop_files(camera, &mut chain)?;
            }
        }
        Ok(())
    }

    /// Removes the oldest files of a chain whose segments are all deleted; the chain says so and stays whole.
    ///
    /// Reads the whole chain, so it happens once a start and once a month, on the thread that deletes.
    fn drop_files(&self, camera: &str, chain: &mut Chain) -> Result<()> {
        let folder = self.folder_of(camera)?;
        let walked = walk::walk(&folder, camera, "", None, &mut |_, _, _| {})?;
        let live: std::collections::HashSet<u64> = walked.live.into_values().collect();
        let dropped =
            chain.drop_files(|seq| live.contains(&seq), &self.key, self.clock.unix_us())?;
        if dropped > 0 {
            tracing::info!(
                camera.id = camera,
                files = dropped,
                "old files of the chain are gone"
            );
        }
        Ok(())
    }

    /// The last entries of segments with these paths.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn entries_of(
        &self,
        camera: &str,
        paths: &std::collections::HashSet<String>,
    ) -> Result<Vec<Entry>> {
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        read_chain(&self.folder_of(camera)?, &mut |entry| {
            if entry.kind == Kind::Segment && paths.contains(&entry.path) {
                found.insert(entry.path.clone(), entry);
            }
        })?;
        Ok(found.into_values().collect())
    }

    /// The end of the chain of a camera, to be kept elsewhere; none when it has no entry.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no name of a camera, and those of the disk.
    pub fn head(&self, camera: &str) -> Result<Option<Head>> {
        if chain::files(&self.folder_of(camera)?)?.is_empty() {
            return Ok(None);
        }
        let chain = self.chain(camera)?;
        let chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(chain.head().cloned())
    }

    /// The key that checks what this daemon signs.
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Ends an MP4 with the proof of where it comes from: the entries of its sources and its own BLAKE3, signed.
    ///
    /// `range` is what the export shows, in microseconds since 1970-01-01 UTC; `rows` are the segments it is made of.
    /// The file must be complete; it is synced.
    ///
    /// # Errors
    /// `FailedPrecondition` when a source has no entry in the chain, and those of the disk.
    pub fn prove_export(
        &self,
        path: &Path,
        camera: &str,
        range: Range<i64>,
        rows: &[SegmentRow],
    ) -> Result<()> {
        let sources = self.sources(camera, rows)?;
        let proof = Proof {
            camera: camera.to_owned(),
            start_unix_us: range.start,
            end_unix_us: range.end,
            made_unix_us: self.clock.unix_us(),
            sources,
        };
        proof::append(path, &proof, &self.key)
    }

    /// The entries of segments, each with the link before it, in the order of the rows.
    fn sources(&self, camera: &str, rows: &[SegmentRow]) -> Result<Vec<Source>> {
        if rows.len() > MAX_SOURCES {
            return Err(Error::exhausted(format!(
                "an export of {} segments is too long for its proof, {MAX_SOURCES} are the most: export less at once",
                rows.len()
            )));
        }
        let wanted: HashMap<(&str, &str), usize> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| ((row.storage.as_str(), row.path.as_str()), index))
            .collect();
        let mut found: Vec<Option<Source>> = vec![None; rows.len()];
        let mut previous = Entry::first_link(camera);
        chain::read(&self.folder_of(camera)?, |line| {
            let Some(entry) = line else { return Ok(()) };
            let link = entry.link.clone();
            let place = wanted.get(&(entry.storage.as_str(), entry.path.as_str()));
            if let (Kind::Segment, Some(&index)) = (entry.kind, place) {
                found[index] = Some(Source {
                    previous: std::mem::take(&mut previous),
                    entry,
                });
            }
            previous = link;
            Ok(())
        })?;
        let missing = found.iter().position(Option::is_none);
        if let Some(index) = missing {
            return Err(Error::precondition(format!(
                "{}: the chain of {camera} has no entry for it: run `nvrd fsck --repair`",
                rows[index].path
            )));
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn chain(&self, camera: &str) -> Result<Arc<Mutex<Chain>>> {
        let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = chains.get(camera) {
            return Ok(Arc::clone(chain));
        }
        let chain = Chain::open(self.folder_of(camera)?, camera)?;
        let chain = Arc::new(Mutex::new(chain));
        chains.insert(camera.to_owned(), Arc::clone(&chain));
        Ok(chain)
    }

    fn folder_of(&self, camera: &str) -> Result<PathBuf> {
        let camera: Slug = camera.parse()?;
        Ok(self.folder.join(camera.as_str()))
    }
}

/// Every entry of the chain in a folder, in order, without a look at signatures.
///
/// # Errors
/// Those of the disk.
pub(crate) fn read_chain(folder: &Path, each: &mut dyn FnMut(Entry)) -> Result<()> {
    chain::read(folder, |line| {
        if let Some(entry) = line {
            each(entry);
        }
        Ok(())
    })
}

impl Deletions for Evidence {
    fn on_deleted(&self, rows: &[SegmentRow], reason: &str) -> Result<()> {
        self.deleted(rows, reason)
    }
}

fn draft(kind: Kind, row: &SegmentRow, reason: Option<&str>) -> Entry {
    Entry {
        seq: 0,
        kind,
        at_unix_us: 0,
        camera: String::new(),
        storage: row.storage.clone(),
        path: row.path.clone(),
        start_unix_us: row.start_us,
        end_unix_us: row.end_us,
        bytes: row.bytes,
        blake3: row.blake3.clone().unwrap_or_default(),
        reason: reason.map(str::to_owned),
        link: String::new(),
        signature: String::new(),
    }
}

/// The cameras that have a chain, sorted.
pub(crate) fn chained_cameras(folder: &Path) -> Result<Vec<String>> {
    let reader = match std::fs::read_dir(folder) {
        Ok(reader) => reader,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder, error)),
    };
    let mut cameras = Vec::new();
    for entry in reader {
        let entry = entry.map_err(|error| Error::io(folder, error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse::<Slug>().is_ok() && !chain::files(&entry.path())?.is_empty() {
            cameras.push(name);
        }
    }
    cameras.sort();
    Ok(cameras)
}

fn seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    let flags = rustix::rand::GetRandomFlags::empty();
    match rustix::rand::getrandom(&mut seed, flags) {
        Ok(32) => Ok(seed),
        _ => Err(Error::unavailable(
            "the system gives no random numbers for a key",
        )),
    }
}

#[cfg(test)]
mod tamper_tests;

#[cfg(test)]
mod tests {
    use nvr_base::SimulatedClock;

    use super::*;

    #[test]
    fn chains_are_per_camera_and_go_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("evidence");
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::at(1_795_132_800_000_000));
        let heads: Vec<(u64, u64)> = (0..3)
            .map(|round| {
                let evidence = Evidence::open(&at, Arc::clone(&clock)).unwrap();
                let rows = ["front", "back"].map(|camera| tests_support::row(camera, round));
                evidence.recorded(&rows, None).unwrap();
                evidence.recorded(&rows[..1], None).unwrap();
                evidence.deleted(&rows[1..], "age").unwrap();
                let seq = |camera| evidence.head(camera).unwrap().unwrap().seq;
                (seq("front"), seq("back"))
            })
            .collect();
        assert_eq!(heads, [(1, 2), (2, 4), (3, 6)]);
        let evidence = Evidence::open(&at, clock).unwrap();
        assert_eq!(evidence.head("garden").unwrap(), None);
        assert!(evidence.head("../front").is_err());
    }
}

#[cfg(test)]
pub(crate) mod tests_support {
    use nvr_store::SegmentRow;

    /// A segment of ten seconds, the `n`th of a camera; only the numbers matter.
    pub(crate) fn row(camera: &str, n: i64) -> SegmentRow {
        let start_us = 1_795_132_800_000_000 + n * 10_000_000;
        SegmentRow {
            id: format!("{camera}-{n}"),
            camera: camera.to_owned(),
            path: format!("{camera}/2026-11-20/{n:05}.mp4"),
            start_us,
            end_us: start_us + 10_000_000,
            frames: 250,
            bytes: 1000,
            codec: "h264".to_owned(),
            width: 640,
            height: 360,
            blake3: Some("00".repeat(32)),
            discont: false,
            keyframes: vec![(0, 0)],
            storage: String::new(),
            protected: false,
            audio: None,
        }
    }
}
