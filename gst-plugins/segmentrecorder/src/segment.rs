//! One file while it is being written: created with its first fragment, closed with its index.

use std::io;
use std::path::{Path, PathBuf};

use nvr_contract::segment::{FragmentWritten, Keyframe, SegmentClosed, SegmentOpened};

use crate::fragment::Fragment;
use crate::naming::Place;
use crate::timeline::Stamp;
use crate::writer::{Output, Storage};
use nvr_mp4::fmp4::{self, IndexEntry, VIDEO_TIMESCALE};
use nvr_mp4::track::{AudioTrack, VideoTrack};

/// How many names are tried when a file of that name is there already.
const NAMES: u32 = 100;

/// A file that has reached this ends at the next key frame: more than a day of a camera, bytes.
const MAX_BYTES: u64 = 64 << 30;
/// Nor is the index in memory longer than this.
const MAX_KEYFRAMES: usize = 200_000;

/// What could not be done to which file.
#[derive(Debug, thiserror::Error)]
#[error("{}: could not {action}: {source}", path.display())]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// What the system said.
    pub source: io::Error,
}

impl WriteError {
    fn of(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            path,
            action,
            source,
        }
    }
}

/// What all pictures of a segment have in common.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub start: Stamp,
    pub start_unix_us: i64,
    pub discont: bool,
    pub video: VideoTrack,
    pub audio: Option<AudioTrack>,
}

struct OpenFile {
    path: PathBuf,
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
    hasher: Option<blake3::Hasher>,
    end_pts_ns: u64,
    audio_end: u64,
    synced_pts_ns: u64,
    folder_synced: bool,
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
            hasher: hash.then(blake3::Hasher::new),
            end_pts_ns: start,
            audio_end: 0,
            synced_pts_ns: start,
            folder_synced: false,
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

    /// Whether the file should not grow any more, however long it may be.
    pub fn is_full(&self) -> bool {
        self.len >= MAX_BYTES || self.keyframes.len() >= MAX_KEYFRAMES
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
        self.unix_us(self.end_pts_ns)
    }

    /// Writes a fragment, and before the first one the header, in one call.
    pub fn write<D: AsRef<[u8]>>(
        &mut self,
        storage: &mut dyn Storage,
        location: &Path,
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
        let encode = |error: nvr_mp4::BoxError| WriteError {
            path: location.to_owned(),
            action: "describe a fragment",
            source: io::Error::other(error),
        };
        let head = fmp4::fragment_head(self.fragments + 1, self.unix_us(first_pts), &video, &audio)
            .map_err(encode)?;
        let header = self.header_if_first().map_err(encode)?;

        let mut parts: Vec<&[u8]> = vec![&header, &head.bytes];
        parts.extend(fragment.video.iter().map(|picture| picture.data.as_ref()));
        if self.facts.audio.is_some() {
            parts.extend(fragment.audio.iter().map(|packet| packet.data.as_ref()));
        }
        let file = self.file(storage, location)?;
        file.output
            .append(&parts)
            .map_err(WriteError::of(&file.path, "write a fragment"))?;

        for part in &parts {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(part);
            }
        }
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
        self.end_pts_ns = self.end_pts_ns.max(end);
        Ok(())
    }

    fn header_if_first(&self) -> Result<Vec<u8>, nvr_mp4::BoxError> {
        if self.file.is_some() {
            return Ok(Vec::new());
        }
        let Facts {
            start,
            video,
            audio,
            ..
        } = &self.facts;
        fmp4::header(
            video,
            audio.as_ref(),
            self.ticks(start.pts_ns),
            self.facts.start_unix_us,
        )
    }

    /// A presentation time in units of the video track of this file.
    fn ticks(&self, pts_ns: u64) -> u64 {
        let since = i128::from(pts_ns) - i128::from(self.facts.start.dts_ns);
        u64::try_from(fmp4::ticks(since, VIDEO_TIMESCALE)).unwrap_or(0)
    }

    fn file(
        &mut self,
        storage: &mut dyn Storage,
        location: &Path,
    ) -> Result<&mut OpenFile, WriteError> {
        if self.file.is_none() {
            let place = Place::new(location, self.facts.start_unix_us);
            let folder_is_new = storage
                .create_folder(&place.folder)
                .map_err(WriteError::of(&place.folder, "create the folder"))?;
            let (path, output) = create(storage, &place)?;
            self.file = Some(OpenFile {
                path,
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
    pub fn sync(&mut self, storage: &mut dyn Storage, location: &Path) -> Result<(), WriteError> {
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
                    .sync_folder(location)
                    .map_err(WriteError::of(location, "sync the folder"))?;
            }
            self.folder_synced = true;
        }
        self.synced_pts_ns = self.end_pts_ns;
        Ok(())
    }

    /// Appends the index that makes every player seek; without it the file is as good as after a crash.
    pub fn write_index(&mut self) -> Result<(), WriteError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let index = fmp4::index(&self.index)
            .map_err(io::Error::other)
            .map_err(WriteError::of(&file.path, "describe the index"))?;
        if let Err(error) = file.output.append(&[&index]) {
            self.cut_off();
            return Err(WriteError::of(&self.path(), "write the index")(error));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&index);
        }
        self.len += index.len() as u64;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.file
            .as_ref()
            .map(|file| file.path.clone())
            .unwrap_or_default()
    }

    /// Cuts off what was written in part. Where even that fails there is no hash, and `inspect` repairs.
    fn cut_off(&mut self) {
        let len = self.len;
        if let Some(file) = &mut self.file
            && file.output.truncate(len).is_err()
        {
            self.hasher = None;
        }
    }

    /// Gives up after a failed write: what is whole stays, an empty file goes.
    ///
    /// Returns the message when something stays.
    pub fn abandon(mut self, storage: &mut dyn Storage) -> Option<SegmentClosed> {
        if self.has_fragments() {
            self.cut_off();
            return Some(self.closed());
        }
        let file = self.file.take()?;
        drop(file.output);
        // A file without a fragment holds nothing; should it stay, `inspect` says so.
        storage.remove(&file.path).ok();
        None
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
        let hash = self.hasher.as_ref();
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
