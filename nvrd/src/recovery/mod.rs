//! Compares files, index and chains with one another and puts right what a crash, a disk or a person left.
//!
//! A start, `nvrd fsck` and its `--repair` are the same walk over the same findings; they differ in how closely they
//! look and in whether they act. The rules are numbered in `design/recording.md`.

mod listing;
mod join;
mod judge;
mod repair;
mod whole;
mod rebuild;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result, Slug};
use nvr_mp4::inspect::{self, InspectError};
use nvr_store::{SegmentRow, Store};
use serde::Serialize;

use crate::evidence::{self, Content, Evidence, FileKey, Said};
use crate::storage::{Storage, Volume};

pub use rebuild::{Rebuilt, rebuild};

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For a start: every name, and the last day of every camera by length; its last file by content.
    Start,
    /// Every name and length, every entry of the chains.
    Names,
    /// Every byte: contents, boxes, key frames, signatures, the pages of the database.
    Deep,
}

/// Something that is not as the rules say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, `R1` to `R12`; `DB` for the database itself.
    pub rule: &'static str,
    /// The file or the camera.
    pub subject: String,
    /// What is wrong.
    pub what: String,
    /// What a repair does about it; `None` where a person has to.
    pub remedy: Option<String>,
    /// Whether that was done.
    pub repaired: bool,
    /// Why it could not be done.
    pub failure: Option<String>,
}

impl Finding {
    /// The finding as a line for people.
    pub fn line(&self) -> String {
        let (rule, subject, what) = (self.rule, &self.subject, &self.what);
        let end = match (&self.remedy, self.repaired, &self.failure) {
            (None, ..) => "this needs a person".to_owned(),
            (Some(remedy), true, _) => format!("done: {remedy}"),
            (Some(remedy), false, Some(error)) => format!("could not {remedy}: {error}"),
            (Some(remedy), false, None) => format!("--repair will {remedy}"),
        };
        format!("{rule} {subject}: {what}; {end}")
    }
}

/// What a walk found, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Cameras that were looked at.
    pub cameras: u64,
    /// Files that were found.
    pub files: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Bytes that were read to compare contents.
    pub bytes_read: u64,
    /// Findings by rule.
    pub findings: BTreeMap<&'static str, u64>,
    /// How many of them were put right.
    pub repaired: u64,
    /// Files that have a row now.
    pub listed: u64,
    /// Files that were moved to quarantine.
    pub quarantined: u64,
    /// What is worth knowing and is against no rule.
    pub notes: Vec<String>,
}

impl Report {
    /// How many findings there were.
    pub fn count(&self) -> u64 {
        self.findings.values().sum()
    }

    /// Whether everything is as the rules say, now.
    pub fn is_clean(&self) -> bool {
        self.count() == self.repaired
    }
}

/// What is compared, how closely, and whether to act.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// The folders.
    pub storage: &'a Storage,
    /// The index.
    pub store: &'a Store,
    /// The chains, to write to; needed to act.
    pub evidence: Option<&'a Evidence>,
    /// How closely to look.
    pub level: Level,
    /// Whether another process records meanwhile: its open files are no findings, and nothing may be changed.
    pub running: bool,
}

/// What a start does: everything that costs little, and acting on it. Nothing may record meanwhile.
///
/// # Errors
/// When a folder cannot be read or the store not written; a damaged file is no error.
pub fn recover(storage: &Storage, store: &Store, evidence: &Evidence) -> Result<Report> {
    let check = Check {
        storage,
        store,
        evidence: Some(evidence),
        level: Level::Start,
        running: false,
    };
    let report = check.run(&mut |finding| tracing::warn!("{}", finding.line()))?;
    if report.count() > 0 {
        tracing::warn!(
            findings = report.count(),
            repaired = report.repaired,
            listed = report.listed,
            quarantined = report.quarantined,
            "files, index and chains did not agree: a crash, a disk or a person"
        );
    }
    Ok(report)
}

/// The row of a file that its recorder has closed; `None` when the file does not say when it was recorded.
///
/// # Errors
/// When it cannot be read, or holds nothing whole.
pub(crate) fn row_of_closed(
    store: &Store,
    camera: &str,
    storage: &str,
    path: &str,
    file: &Path,
) -> Result<Option<SegmentRow>> {
    let damaged = |error: InspectError| {
        Error::data_loss(format!("{} cannot be listed: {error}", file.display()))
    };
    let found = inspect::inspect(file).map_err(damaged)?;
    let row = judge::row_of(store, camera, storage, path, &found)?;
    let blake3 = Some(inspect::hash(file).map_err(|error| damaged(error.into()))?);
    Ok(row.map(|row| SegmentRow { blake3, ..row }))
}

/// The walk over one camera, with what is known of it.
struct Walk<'a> {
    check: &'a Check<'a>,
    camera: String,
    /// What the chain says, and which of that nothing was found of yet.
    said: Said,
    unmatched: HashSet<FileKey>,
    /// Identity of the first storage.
    first: String,
    /// From when on a start looks at lengths and entries, microseconds since 1970-01-01 UTC.
    since_us: i64,
    /// The last segment that is listed.
    last: Option<String>,
    /// Id and path of those that the chain has no entry for.
    unentered: Vec<(String, String)>,
    report: &'a mut Report,
    tell: &'a mut dyn FnMut(&Finding),
}

impl Check<'_> {
    /// Walks over everything; each finding is told once, after the attempt to put it right.
    ///
    /// # Errors
    /// When a folder, the database or a chain cannot be read at all.
    pub fn run(&self, tell: &mut dyn FnMut(&Finding)) -> Result<Report> {
        let mut report = Report::default();
        self.storages(&mut report, tell)?;
        if self.level == Level::Deep {
            for problem in self.store.integrity()? {
                let what = format!("{problem}: run `nvrd rebuild`");
                self.tell("DB", self.store.place(), what, &mut report, tell);
            }
        }
        for camera in self.cameras()? {
            self.camera(camera, &mut report, tell)?;
        }
        Ok(report)
    }

    /// R9: each folder is the one that it is expected to be, and each row lies in one of them.
    fn storages(&self, report: &mut Report, tell: &mut dyn FnMut(&Finding)) -> Result<()> {
        for volume in self.storage.volumes() {
            let condition = volume.condition();
            if !condition.is_present() {
                let detail = condition.detail().unwrap_or("it is not there").to_owned();
                self.tell("R9", volume.root().display(), detail, report, tell);
            }
        }
        // A start has said of each what is the matter; here the rows behind it matter.
        for id in self.store.segment_storages()? {
            if self.storage.volume(&id).is_none() {
                let what = "segments lie in a storage that is not configured: add its folder to [[storage.more]]";
                self.tell("R9", id, what.to_owned(), report, tell);
            }
        }
        Ok(())
    }

    fn tell(
        &self,
        rule: &'static str,
        subject: impl std::fmt::Display,
        what: String,
        report: &mut Report,
        tell: &mut dyn FnMut(&Finding),
    ) {
        *report.findings.entry(rule).or_default() += 1;
        tell(&Finding {
            rule,
            subject: subject.to_string(),
            what,
            remedy: None,
            repaired: false,
            failure: None,
        });
    }

    /// Cameras with a folder, a row or a chain.
    fn cameras(&self) -> Result<BTreeSet<String>> {
        let mut cameras: BTreeSet<String> = evidence::chained_cameras(&self.storage.evidence())?
            .into_iter()
            .collect();
        for volume in self.present() {
            cameras.extend(self.store.cameras_in(volume.id().unwrap_or_default())?);
            for name in listing::folders(&volume.recordings())? {
                // Folders that no camera can have made are not ours.
                if name.parse::<Slug>().is_ok() {
                    cameras.insert(name);
                }
            }
        }
        Ok(cameras)
    }

    fn present(&self) -> impl Iterator<Item = &Volume> {
        let volumes = self.storage.volumes().iter().map(AsRef::as_ref);
        volumes.filter(|volume: &&Volume| volume.condition().is_present())
    }

    fn camera(
        &self,
        camera: String,
        report: &mut Report,
        tell: &mut dyn FnMut(&Finding),
    ) -> Result<()> {
        let last = self.store.file_before(&camera, i64::MAX)?;
        let first = self.storage.first().id().unwrap_or_default().to_owned();
        let folder = self.chain_folder(&camera);
        let since_us = match (&last, self.level) {
            // Recordings from before there were chains are entered once, all of them.
            (Some(last), Level::Start) if folder.exists() => last.start_us.saturating_sub(DAY_US),
            _ => i64::MIN,
        };
        let since = (since_us != i64::MIN).then_some(since_us);
        let said = Said::read(&folder, &first, since)?;
        report.cameras += 1;
        let mut walk = Walk {
            check: self,
            unmatched: said.live.keys().copied().collect(),
            camera,
            said,
            first,
            since_us,
            last: last.map(|last| last.id),
            unentered: Vec::new(),
            report,
            tell,
        };
        for volume in self.present() {
            walk.volume(volume)?;
        }
        if self.level > Level::Start {
            walk.overlaps()?;
            walk.unknown_time()?;
            walk.entries_without_anything()?;
        }
        if self.level == Level::Deep {
            walk.signatures()?;
        }
        Ok(())
    }

    fn chain_folder(&self, camera: &str) -> PathBuf {
        self.storage.evidence().join(camera)
    }
}

/// A day, microseconds.
const DAY_US: i64 = 86_400_000_000;

impl Walk<'_> {
    /// Tells a finding, after `act` was tried where that is wanted and allowed.
    fn found(&mut self, rule: &'static str, subject: &str, what: String, remedy: Option<Remedy>) {
        let mut finding = Finding {
            rule,
            subject: subject.to_owned(),
            what,
            remedy: remedy.as_ref().map(Remedy::words),
            repaired: false,
            failure: None,
        };
        *self.report.findings.entry(rule).or_default() += 1;
        if let (Some(remedy), Some(evidence)) = (remedy, self.check.evidence) {
            match self.act(remedy, evidence) {
                Ok(()) => {
                    finding.repaired = true;
                    self.report.repaired += 1;
                }
                Err(error) => finding.failure = Some(error.to_string()),
            }
        }
        (self.tell)(&finding);
    }

    fn key(&self, volume: &Volume, path: &str) -> FileKey {
        FileKey::new(volume.id().unwrap_or_default(), &self.first, path)
    }

    /// What the chain says of a file; reads the whole chain where only its end was read and says nothing, unless the
    /// file is known to begin within that end. Segments may be ahead of the clock, so a row's time is no proof of it.
    fn content(&mut self, key: FileKey, start_us: Option<i64>) -> Result<Option<Content>> {
        let within = self.said.complete || start_us.is_some_and(|start| start >= self.since_us);
        if !within && !self.said.live.contains_key(&key) {
            let folder = self.check.chain_folder(&self.camera);
            self.said = Said::read(&folder, &self.first, None)?;
        }
        Ok(self.said.live.get(&key).copied())
    }
}

/// What is done about a finding.
#[derive(Debug)]
enum Remedy {
    /// The file gets a row, and an entry where it has none.
    List {
        row: Box<SegmentRow>,
        file: PathBuf,
        /// Length of what is whole, where more is there.
        cut: Option<u64>,
        has_entry: bool,
    },
    /// The file goes to quarantine, and its row and its entry with it.
    Quarantine {
        file: PathBuf,
        volume: PathBuf,
        relative: String,
        why: String,
        row: Option<String>,
        has_entry: bool,
    },
    /// The row goes, and the chain hears of it.
    Lose {
        row: String,
        why: String,
        has_entry: bool,
    },
    /// The row says what the file says.
    Correct {
        row: Box<SegmentRow>,
        has_entry: bool,
    },
    /// The chain gets the entries that it lacks.
    Enter { rows: Vec<String> },
    /// The chain hears that neither file nor row is there.
    Settle { row: Box<SegmentRow> },
}

impl Remedy {
    fn words(&self) -> String {
        match self {
            Self::List { cut: Some(_), .. } => "cut the torn end off and list it",
            Self::List { .. } => "list it",
            Self::Quarantine { row: Some(_), .. } => {
                "move it to quarantine, take it off the list and note the gap"
            }
            Self::Quarantine { .. } => "move it to quarantine",
            Self::Lose { .. } => "take it off the list and note the gap",
            Self::Correct { .. } => "correct the row",
            Self::Enter { rows } if rows.len() > 1 => "add the entries",
            Self::Enter { .. } => "add the entry",
            Self::Settle { .. } => "say so in the chain",
        }
        .to_owned()
    }
}

/// A file that cannot be read is not the same as one that is not there.
fn unreadable(path: &std::path::Path, error: std::io::Error) -> Error {
    Error::io(path, error)
}

#[cfg(test)]
mod tests;
