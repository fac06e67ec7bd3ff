//! One file while it is being written: created with its first fragment, closed with its index.

use std::io;
use std::path::{Path, PathBuf};

use std::sync::Arc;

use nvr_contract::segment::{FragmentWritten, GapReason, Keyframe, SegmentClosed, SegmentOpened};

use crate::fragment::Fragment;
use crate::hash::FileHasher;
use crate::identity::Identity;
use crate::naming::Place;
use crate::timeline::Stamp;
use crate::writer::{Output, Storage};
use nvr_mp4::fmp4::{self, IndexEntry, Room, VIDEO_TIMESCALE};
use nvr_mp4::track::{AudioTrack, VideoTrack};

/// How many names are tried when a file of that name is there already.
const NAMES: u32 = 100;

/// The index in memory is not longer than this.
const MAX_KEYFRAMES: usize = 200_000;

/// A correction of wall time up to this makes a segment longer, microseconds.
const SMALL_STEP_US: i64 = 1_000_000;

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An operation failed.
    #[error("{}: could not {action}: {source}", path.display())]
    Failed {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The storage is not the one that is meant.
    #[error("{0}")]
    Absent(String),
}

impl WriteError {
    fn of(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Failed {
            path,
            action,
            source,
        }
    }

    /// What it is called in the ledger, and what to do about it.
    pub fn reason(&self) -> (GapReason, &'static str) {
        match self {
            Self::Absent(_) => (GapReason::DiskGone, ""),
            Self::Failed { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
                    GapReason::DiskFull,
                    "; free space there, or let retention keep less",
                ),
                _ => (
                    GapReason::DiskError,
                    "; check the disk, its mount and the permissions of the folder",
                ),
            },
        }
    }
}

/// Where files go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub location: &'a Path,
    pub identity: Option<&'a Identity>,
}

/// What all pictures of a segment have in common.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub start: Stamp,
    pub start_unix_us: i64,
    pub discont: bool,
    pub video: Arc<VideoTrack>,
    pub audio: Option<Arc<AudioTrack>>,
}

struct OpenFile {
    path: PathBuf,
    location: PathBuf,
    folder: PathBuf,
    folder_is_new: bool,
    output: Box<dyn Output>,
}

/// A segment from its first picture on.
pub(crate) struct Segment {
    facts: Facts,
    file: Option<OpenFile>,
    len: u64,
    fragments: u32,
    frames: u64,
    keyframes: Vec<Keyframe>,
    index: Vec<IndexEntry>,
    hasher: Option<FileHasher>,
    room: Option<Room>,
    end_pts_ns: u64,
    audio_end: u64,
    synced_pts_ns: u64,
    folder_synced: bool,
    /// Whether the file may hold more than was written whole; then nobody knows its hash.
    torn: bool,
    /// Where the next segment begins, if wall time was corrected in between.
    end_unix_us: Option<i64>,
}

impl Segment {
    /// A segment of which nothing is on disk yet.
    pub fn begin(facts: Facts, hash: bool) -> Self {
        let start = facts.start.pts_ns;
        Self {
            facts,
            file: None,
            len: 0,
            fragments: 0,
            frames: 0,
            keyframes: Vec::new(),
            index: Vec::new(),
            hasher: hash.then(FileHasher::default),
            room: None,
            end_pts_ns: start,
            audio_end: 0,
            synced_pts_ns: start,
            folder_synced: false,
            torn: false,
            end_unix_us: None,
        }
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn has_fragments(&self) -> bool {
        self.fragments > 0
    }

    /// Whether the index should not grow any more, however long the file may be.
    pub fn is_full(&self) -> bool {
        self.keyframes.len() >= MAX_KEYFRAMES
    }

    /// Media time since the last sync, nanoseconds.
    pub fn unsynced_ns(&self) -> u64 {
        self.end_pts_ns.saturating_sub(self.synced_pts_ns)
    }

    /// Wall time of a moment of this segment.
    pub fn unix_us(&self, pts_ns: u64) -> i64 {
        let since = i128::from(pts_ns) - i128::from(self.facts.start.pts_ns);
        let since = i64::try_from(since.div_euclid(1000)).unwrap_or(0);
        self.facts.start_unix_us.saturating_add(since)
    }

    pub fn end_unix_us(&self) -> i64 {
        self.end_unix_us
            .unwrap_or_else(|| self.unix_us(self.end_pts_ns))
    }

    /// The next segment begins then; a small correction of the wall clock leaves no hole before it.
    pub fn ends_at(&mut self, unix_us: i64) {
        let later = unix_us.saturating_sub(self.unix_us(self.end_pts_ns));
        if (1..SMALL_STEP_US).contains(&later) {
            self.end_unix_us = Some(unix_us);
        }
    }

    /// Writes a fragment, and before the first one the header, in one call.
    pub fn write<D: AsRef<[u8]>>(
        &mut self,
        storage: &mut dyn Storage,
        target: Target<'_>,
        fragment: &Fragment<D>,
        next: Option<&Stamp>,
        next_key: bool,
    ) -> Result<(), WriteError> {
        let start = self.facts.start;
        let next_dts = next.map(|next| next.dts_ns);
        let video = fragment.video_run(start.dts_ns, next_dts);
        let audio = self
            .facts
            .audio
            .as_ref()
            .map_or_else(fmp4::Run::default, |audio| {
                fragment.audio_run(start.pts_ns, audio.rate(), self.audio_end)
            });
        let first_pts = fragment
            .video
            .first()
            .map_or(start.pts_ns, |p| p.stamp.pts_ns);
        let encode = |error: nvr_mp4::BoxError| {
            WriteError::of(target.location, "describe a fragment")(io::Error::other(error))
        };
        let head = fmp4::fragment_head(self.fragments + 1, self.unix_us(first_pts), &video, &audio)
            .map_err(encode)?;
        let (header, room) = self.header_if_first().map_err(encode)?;

        let mut parts: Vec<&[u8]> = vec![&header, &head.bytes];
        parts.extend(fragment.video.iter().map(|picture| picture.data.as_ref()));
        if self.facts.audio.is_some() {
            parts.extend(fragment.audio.iter().map(|packet| packet.data.as_ref()));
        }
        let file = self.file(storage, target)?;
        file.output
            .append(&parts)
            .map_err(WriteError::of(&file.path, "write a fragment"))?;

        for part in &parts {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(part);
            }
        }
        self.room = self.room.or(room);
        let moof = self.len + header.len() as u64 + head.moof;
        self.len += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        self.fragments += 1;
        self.audio_end = match audio.entries.is_empty() {
            true => self.audio_end,
            false => {
                let lengths = audio.entries.iter().map(|entry| u64::from(entry.duration));
                audio.decode_time + lengths.sum::<u64>()
            }
        };
        self.note_pictures(fragment, moof);
        let end = match next {
            // Where a key frame follows on, the last picture lasts until it.
            Some(next) if next_key => next.pts_ns,
            _ => fragment.end_pts_ns(),
        };
        self.end_unix_us = None;
        self.end_pts_ns = self.end_pts_ns.max(end);
        Ok(())
    }

    fn header_if_first(&self) -> Result<(Vec<u8>, Option<Room>), nvr_mp4::BoxError> {
        if self.file.is_some() {
            return Ok((Vec::new(), None));
        }
        let Facts {
            start,
            video,
            audio,
            ..
        } = &self.facts;
        let (header, room) = fmp4::header_with_room(
            video,
            audio.as_deref(),
            self.ticks(start.pts_ns),
            self.facts.start_unix_us,
        )?;
        Ok((header, Some(room)))
    }

    /// A presentation time in units of the video track of this file.
    fn ticks(&self, pts_ns: u64) -> u64 {
        let since = i128::from(pts_ns) - i128::from(self.facts.start.dts_ns);
        u64::try_from(fmp4::ticks(since, VIDEO_TIMESCALE)).unwrap_or(0)
    }

    fn file(
        &mut self,
        storage: &mut dyn Storage,
        target: Target<'_>,
    ) -> Result<&mut OpenFile, WriteError> {
        if self.file.is_none() {
            if let Some(identity) = target.identity {
                identity.check(storage).map_err(WriteError::Absent)?;
            }
            let place = Place::new(target.location, self.facts.start_unix_us);
            let folder_is_new = storage
                .create_folder(&place.folder)
                .map_err(WriteError::of(&place.folder, "create the folder"))?;
            let (path, output) = create(storage, &place)?;
            self.file = Some(OpenFile {
                path,
                location: target.location.to_owned(),
                folder: place.folder,
                folder_is_new,
                output,
            });
        }
        Ok(self.file.as_mut().expect("it was created above"))
    }

    fn note_pictures<D: AsRef<[u8]>>(&mut self, fragment: &Fragment<D>, moof: u64) {
        for (picture, sample) in fragment.video.iter().zip(1_u32..) {
            self.frames += 1;
            if picture.key {
                let pts_ns = picture.stamp.pts_ns;
                self.keyframes.push(Keyframe {
                    offset_ns: pts_ns.saturating_sub(self.facts.start.pts_ns),
                    byte: moof,
                });
                self.index.push(IndexEntry {
                    time: self.ticks(pts_ns),
                    moof,
                    sample,
                });
            }
        }
    }

    /// Makes what is written survive a power cut, the name of the file included.
    pub fn sync(&mut self, storage: &mut dyn Storage) -> Result<(), WriteError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.output
            .sync_data()
            .map_err(WriteError::of(&file.path, "sync the file"))?;
        if !self.folder_synced {
            storage
                .sync_folder(&file.folder)
                .map_err(WriteError::of(&file.folder, "sync the folder"))?;
            if file.folder_is_new {
                storage
                    .sync_folder(&file.location)
                    .map_err(WriteError::of(&file.location, "sync the folder"))?;
            }
            self.folder_synced = true;
        }
        self.synced_pts_ns = self.end_pts_ns;
        Ok(())
    }

    /// Puts the length into the header and appends the index, by which every player seeks; without them the file is
    /// as good as after a crash.
    pub fn write_index(&mut self) -> Result<(), WriteError> {
        self.write_length()?;
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let index = fmp4::index(&self.index)
            .map_err(io::Error::other)
            .map_err(WriteError::of(&file.path, "describe the index"))?;
        file.output
            .append(&[&index])
            .map_err(WriteError::of(&file.path, "write the index"))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&index);
        }
        self.len += index.len() as u64;
        Ok(())
    }

    fn write_length(&mut self) -> Result<(), WriteError> {
        let (Some(file), Some(room)) = (&mut self.file, self.room.take()) else {
            return Ok(());
        };
        let since = self.end_pts_ns.saturating_sub(self.facts.start.pts_ns);
        let length = Room::duration(since);
        let hasher = self.hasher.as_mut();
        if hasher.is_some_and(|hasher| !hasher.can_change(room.at, length.len())) {
            return Ok(());
        }
        if let Err(error) = file.output.overwrite(room.at as u64, &length) {
            // Nobody knows what is there now.
            self.hasher = None;
            return Err(WriteError::of(&file.path, "write the length")(error));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.change(room.at, &length);
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.file
            .as_ref()
            .map(|file| file.path.clone())
            .unwrap_or_default()
    }

    /// After a failed operation: cuts the file back to what is whole, and syncs that. Says whether both worked.
    pub fn mend(&mut self, storage: &mut dyn Storage, sync: bool) -> bool {
        let len = self.len;
        if let Some(file) = &mut self.file {
            self.torn = file.output.truncate(len).is_err();
        }
        !self.torn && (!sync || self.sync(storage).is_ok())
    }

    /// Removes a file that holds nothing yet.
    pub fn discard(mut self, storage: &mut dyn Storage) {
        if let Some(file) = self.file.take() {
            drop(file.output);
            // A file without a fragment holds nothing; should it stay, `inspect` says so.
            storage.remove(&file.path).ok();
        }
    }

    pub fn opened(&self) -> SegmentOpened {
        SegmentOpened {
            location: self.path().to_string_lossy().into_owned(),
            start_ns: self.facts.start.pts_ns,
            start_unix_us: self.facts.start_unix_us,
        }
    }

    pub fn fragment_written(&self, synced: bool) -> FragmentWritten {
        FragmentWritten {
            location: self.path().to_string_lossy().into_owned(),
            bytes: self.len,
            end_ns: self.end_pts_ns,
            end_unix_us: self.end_unix_us(),
            synced,
        }
    }

    pub fn closed(&self) -> SegmentClosed {
        let facts = &self.facts;
        let hash = self.hasher.as_ref().filter(|_| !self.torn);
        SegmentClosed {
            location: self.path().to_string_lossy().into_owned(),
            start_ns: facts.start.pts_ns,
            end_ns: self.end_pts_ns,
            start_unix_us: facts.start_unix_us,
            end_unix_us: self.end_unix_us(),
            frames: self.frames,
            bytes: self.len,
            codec: facts.video.codec().name().to_owned(),
            width: u32::from(facts.video.width()),
            height: u32::from(facts.video.height()),
            keyframes: self.keyframes.clone(),
            blake3: hash
                .map(|hasher| hasher.finalize().to_hex().to_string())
                .unwrap_or_default(),
            discont: facts.discont,
            audio: facts.audio.as_ref().map(|audio| audio.name().to_owned()),
        }
    }
}

fn create(
    storage: &mut dyn Storage,
    place: &Place,
) -> Result<(PathBuf, Box<dyn Output>), WriteError> {
    let mut nth = 0;
    loop {
        let path = place.path(nth);
        match storage.create_new(&path) {
            Ok(output) => return Ok((path, output)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && nth < NAMES => nth += 1,
            Err(error) => return Err(WriteError::of(&path, "create the file")(error)),
        }
    }
}
