//! One walk over a chain: are its entries all there, in order, linked and signed, and what is alive at its end.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use nvr_base::Result;

use super::chain;
use super::entry::{Entry, Kind};
use super::key::{PublicKey, hex, unhex};

/// Holes in the numbers that are told apart; a chain with more is beyond telling.
const MAX_HOLES: usize = 4096;

/// In which way something is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// It is there, but it is not what was recorded.
    Altered,
    /// It was recorded and not deleted by the daemon, but it is not there.
    Missing,
    /// It is there, but was never recorded.
    Inserted,
    /// It stands in the place of another.
    Reordered,
    /// Somebody else's signature is on it.
    Unsigned,
}

impl Fault {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Missing => "missing",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Unsigned => "not signed with this key",
        }
    }
}

/// What a chain says, in about 40 bytes a segment whatever the entries hold.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Entries that could be read.
    pub(crate) entries: u64,
    /// The number and the link of the last entry.
    pub(crate) head: Option<(u64, String)>,
    /// Segments that exist: the entry of each, by its file.
    pub(crate) live: HashMap<FileKey, u64>,
    /// The entries of those, by the beginning of their BLAKE3.
    pub(crate) by_content: HashMap<u64, u64>,
    /// Files that were deleted and not recorded again.
    pub(crate) deleted: HashSet<FileKey>,
    /// Segments that were found by a start, not reported by a recorder that ran.
    pub(crate) found_later: u64,
}

/// A file by a hash of its storage and path: a chain has far more of them than a path may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileKey(u64);

impl FileKey {
    /// The key of a file; the first storage has two names, of which the empty one is used.
    pub(crate) fn new(storage: &str, first: &str, path: &str) -> Self {
        let storage = if storage == first { "" } else { storage };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(storage.len() as u64).to_le_bytes());
        hasher.update(storage.as_bytes());
        hasher.update(path.as_bytes());
        Self(first_word(hasher.finalize().as_bytes()))
    }
}

/// The first eight bytes of a BLAKE3 in hex digits.
pub(crate) fn content_key(blake3: &str) -> Option<u64> {
    u64::from_str_radix(blake3.get(..16)?, 16).ok()
}

fn first_word(bytes: &[u8; 32]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("32 bytes have 8"))
}

/// The state between two lines.
struct Walk<'a> {
    camera: &'a str,
    first: &'a str,
    key: Option<&'a PublicKey>,
    expected: u64,
    /// The link of the entry before, where that one is known.
    previous: Option<String>,
    holes: Vec<std::ops::Range<u64>>,
    /// The entry that a chain begins with whose beginning was dropped, until a `carry` speaks for it.
    begins_with: Option<Entry>,
    walked: Walked,
    report: &'a mut dyn FnMut(Fault, u64, String),
}

/// Walks the chain in a folder; each thing that is wrong with the chain itself is reported with the number of the entry.
///
/// Without a key signatures and links are believed, which is enough to know what is alive.
pub(crate) fn walk(
    folder: &Path,
    camera: &str,
    first: &str,
    key: Option<&PublicKey>,
    report: &mut dyn FnMut(Fault, u64, String),
) -> Result<Walked> {
    let mut walk = Walk {
        camera,
        first,
        key,
        expected: 1,
        previous: Some(Entry::first_link(camera)),
        holes: Vec::new(),
        begins_with: None,
        walked: Walked::default(),
        report,
    };
    chain::read(folder, |line| {
        match line {
            Some(entry) => walk.entry(entry),
            None => walk.unreadable(),
        }
        Ok(())
    })?;
    Ok(walk.finish())
}

impl Walk<'_> {
    fn unreadable(&mut self) {
        let at = self.expected;
        (self.report)(Fault::Altered, at, format!("entry {at} cannot be read"));
        self.expected += 1;
        self.previous = None;
    }

    fn entry(&mut self, entry: Entry) {
        self.walked.entries += 1;
        if let Some(key) = self.key {
            self.check(&entry, key);
        }
        if entry.seq >= self.expected || self.walked.head.is_none() {
            self.walked.head = Some((entry.seq, entry.link.clone()));
            self.expected = entry.seq + 1;
            self.previous = Some(entry.link.clone());
        }
        self.take(&entry);
    }

    fn check(&mut self, entry: &Entry, key: &PublicKey) {
        let seq = entry.seq;
        let named = |what: &str| match entry.kind {
            Kind::Carry => format!("entry {seq} {what}"),
            _ => format!("entry {seq} ({}) {what}", entry.path),
        };
        if self.walked.head.is_none() && seq > 1 {
            // The beginning may have been dropped by the daemon, which then says so further on.
            self.begins_with = Some(entry.clone());
        } else if seq > self.expected {
            if self.holes.len() < MAX_HOLES {
                self.holes.push(self.expected..seq);
            }
            self.previous = None;
        } else if seq < self.expected {
            let out_of_order = self.fill_hole(seq);
            let (fault, text) = if out_of_order {
                (Fault::Reordered, "stands behind later ones")
            } else {
                (Fault::Inserted, "stands in the chain twice")
            };
            (self.report)(fault, seq, named(text));
            return;
        } else if self
            .previous
            .as_ref()
            .is_some_and(|link| entry.link_after(link) != entry.link)
        {
            (self.report)(Fault::Altered, seq, named("is not what was signed"));
        }
        if entry.camera != self.camera {
            let text = format!("is of the camera {:?}", entry.camera);
            (self.report)(Fault::Inserted, seq, named(&text));
        } else if !entry.signed_by(key) {
            (self.report)(Fault::Unsigned, seq, named("is not signed with this key"));
        }
        if let (Kind::Carry, Some(first)) = (entry.kind, &self.begins_with)
            && entry.bytes + 1 == first.seq
            && first.link_after(&entry.blake3) == first.link
        {
            self.begins_with = None;
        }
    }

    /// Takes a number out of the holes; false where there was none.
    fn fill_hole(&mut self, seq: u64) -> bool {
        let Some(at) = self.holes.iter().position(|hole| hole.contains(&seq)) else {
            return false;
        };
        let hole = self.holes.remove(at);
        let parts = [hole.start..seq, seq + 1..hole.end];
        self.holes
            .extend(parts.into_iter().filter(|part| !part.is_empty()));
        true
    }

    fn take(&mut self, entry: &Entry) {
        let file = FileKey::new(&entry.storage, self.first, &entry.path);
        match entry.kind {
            Kind::Segment => {
                self.walked.deleted.remove(&file);
                self.walked.live.insert(file, entry.seq);
                self.walked.found_later += u64::from(entry.reason.is_some());
                if let Some(content) = content_key(&entry.blake3) {
                    self.walked.by_content.insert(content, entry.seq);
                }
            }
            Kind::Deleted => {
                self.walked.live.remove(&file);
                self.walked.deleted.insert(file);
            }
            Kind::Lost => drop(self.walked.live.remove(&file)),
            Kind::Carry => {}
        }
    }

    fn finish(mut self) -> Walked {
        if let Some(first) = self.begins_with.take() {
            self.holes.insert(0, 1..first.seq);
        }
        self.holes.sort_by_key(|hole| hole.start);
        for hole in &self.holes {
            let (first, last) = (hole.start, hole.end - 1);
            let text = if first == last {
                format!("entry {first} was taken out of the chain")
            } else {
                format!("entries {first} to {last} were taken out of the chain")
            };
            (self.report)(Fault::Missing, first, text);
        }
        self.walked
    }
}

/// What a chain says of the files of a camera, for whoever compares it with an index.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Segments that exist.
    pub(crate) live: HashMap<FileKey, Content>,
    /// Files that the daemon deleted and did not record again.
    pub(crate) deleted: HashSet<FileKey>,
    /// Whether the whole chain was read.
    pub(crate) complete: bool,
}

/// A segment as its entry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// Number of the entry.
    pub(crate) seq: u64,
    /// Length of the file, bytes.
    pub(crate) bytes: u64,
    /// BLAKE3 of the file, if it was taken.
    pub(crate) blake3: Option<[u8; 32]>,
}

impl Content {
    /// The BLAKE3 in hex digits.
    pub(crate) fn blake3(&self) -> Option<String> {
        self.blake3.map(|bytes| hex(&bytes))
    }
}

impl Said {
    /// Reads the chain in a folder, all of it or what was written at or after a moment, and believes it.
    pub(crate) fn read(folder: &Path, first: &str, since_us: Option<i64>) -> Result<Self> {
        let mut said = Self {
            complete: since_us.is_none(),
            ..Self::default()
        };
        match since_us {
            Some(since_us) => {
                for entry in chain::since(folder, since_us)? {
                    said.take(&entry, first);
                }
            }
            None => chain::read(folder, |line| {
                if let Some(entry) = line {
                    said.take(&entry, first);
                }
                Ok(())
            })?,
        }
        Ok(said)
    }

    fn take(&mut self, entry: &Entry, first: &str) {
        let file = FileKey::new(&entry.storage, first, &entry.path);
        match entry.kind {
            Kind::Segment => {
                self.deleted.remove(&file);
                let content = Content {
                    seq: entry.seq,
                    bytes: entry.bytes,
                    blake3: unhex(&entry.blake3),
                };
                self.live.insert(file, content);
            }
            Kind::Deleted | Kind::Lost => {
                self.live.remove(&file);
                if entry.kind == Kind::Deleted {
                    self.deleted.insert(file);
                }
            }
            Kind::Carry => {}
        }
    }
}
