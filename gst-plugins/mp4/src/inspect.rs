//! Reading back a recorded file, whole or torn, without trusting anything in it.
//!
//! Only the headers are read: memory stays below a few megabytes whatever the file claims.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use mp4_atom::Codec;

use crate::walk::{Fragment, Walk};

/// Why a file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file could not be read.
    #[error("could not read the file: {0}")]
    Io(#[from] io::Error),
    /// There is no movie header with a video track at the front.
    #[error("no MP4 header with an H.264 or H.265 track: {0}")]
    NoHeader(String),
    /// The index of its samples would take too much memory.
    #[error("the file holds more than {0} samples")]
    TooMany(usize),
    /// There is no whole fragment.
    #[error("the file holds no whole fragment")]
    NoFragment,
}

/// A key frame of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keyframe {
    /// Time from the start of the file, nanoseconds.
    pub offset_ns: u64,
    /// Position of its fragment (`moof`) in the file, bytes.
    pub byte: u64,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC; absent in files without `prft`.
    pub start_unix_us: Option<i64>,
    /// Wall time of the end of the last picture, microseconds since 1970-01-01 UTC.
    pub end_unix_us: Option<i64>,
    /// From the first picture to the end of the last, nanoseconds.
    pub duration_ns: u64,
    /// Pictures in whole fragments.
    pub frames: u64,
    /// `h264` or `h265`.
    pub codec: String,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Whether there is an audio track.
    pub has_audio: bool,
    /// The codec of the sound, `aac` or `opus`; absent where there is none of these.
    pub audio: Option<String>,
    /// Key frames, in order.
    pub keyframes: Vec<Keyframe>,
    /// End of the last whole fragment, or of the index that ends a finished file, bytes.
    pub valid_bytes: u64,
    /// Length of the file, bytes.
    pub file_bytes: u64,
    /// Whether the file was closed properly: it ends with its index.
    pub finalised: bool,
}

/// Reads what a file holds up to the end of its last whole fragment.
///
/// # Errors
/// When the file cannot be read, is no recording, or holds no whole fragment.
pub fn inspect(path: &Path) -> Result<Inspected, InspectError> {
    let mut walk = Walk::open(path)?;
    let mut report = Report::default();
    while let Some(fragment) = walk.next_fragment()? {
        report.take(&fragment);
    }
    report.finish(walk)
}

/// Cuts a torn end off, so that the file ends with its last whole fragment, and syncs it.
///
/// # Errors
/// As `inspect`, or when the file cannot be changed.
pub fn repair(path: &Path) -> Result<Inspected, InspectError> {
    let mut found = inspect(path)?;
    if found.valid_bytes < found.file_bytes {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(found.valid_bytes)?;
        file.sync_all()?;
        found.file_bytes = found.valid_bytes;
    }
    Ok(found)
}

/// BLAKE3 of a whole file, 64 hex digits, as in `SegmentClosed`.
///
/// # Errors
/// When the file cannot be read.
pub fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// What the fragments so far add up to.
#[derive(Default)]
struct Report {
    first_pts: Option<i64>,
    end_pts: i64,
    /// A presentation time of the track and its wall time.
    anchor: Option<(i64, i64)>,
    frames: u64,
    keyframes: Vec<(i64, u64)>,
}

impl Report {
    fn take(&mut self, fragment: &Fragment) {
        self.anchor = self.anchor.or(fragment.anchor);
        for picture in &fragment.video {
            let first = *self.first_pts.get_or_insert(picture.pts);
            let end = picture.pts + i64::from(picture.duration);
            self.end_pts = self.end_pts.max(end).max(first);
            self.frames += 1;
            if picture.sync {
                let offset = picture.pts.saturating_sub(first);
                self.keyframes.push((offset, fragment.moof));
            }
        }
    }

    fn finish(self, walk: Walk) -> Result<Inspected, InspectError> {
        let (valid_bytes, file_bytes) = (walk.valid_bytes(), walk.file_bytes());
        let finalised = walk.finalised();
        let (_, header) = walk.into_parts()?;
        let first = self.first_pts.ok_or(InspectError::NoFragment)?;
        let scaled = |ticks: i64, unit: i128| {
            let scaled = i128::from(ticks) * unit / i128::from(header.video.timescale);
            i64::try_from(scaled).unwrap_or(i64::MAX)
        };
        let wall = |pts: i64| {
            self.anchor.map(|(media, unix_us)| {
                unix_us.saturating_add(scaled(pts.saturating_sub(media), 1_000_000))
            })
        };
        let ns = |ticks| u64::try_from(scaled(ticks, 1_000_000_000)).unwrap_or(0);
        Ok(Inspected {
            start_unix_us: wall(first),
            end_unix_us: wall(self.end_pts),
            duration_ns: ns(self.end_pts.saturating_sub(first)),
            frames: self.frames,
            codec: header.codec.name().to_owned(),
            width: header.size.0,
            height: header.size.1,
            has_audio: header.has_audio,
            audio: header.audio.as_ref().and_then(|track| match track.entry {
                Codec::Mp4a(_) => Some("aac".to_owned()),
                Codec::Opus(_) => Some("opus".to_owned()),
                _ => None,
            }),
            keyframes: self
                .keyframes
                .iter()
                .map(|&(offset, byte)| Keyframe {
                    offset_ns: ns(offset),
                    byte,
                })
                .collect(),
            valid_bytes,
            file_bytes,
            finalised,
        })
    }
}
