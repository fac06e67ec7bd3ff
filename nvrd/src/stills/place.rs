//! Which recorded file holds a moment, the one that is being written included, or why none does.

use std::path::{Path, PathBuf};

use nvr_base::{Error, ErrorKind, Principal, Result, Slug};
use nvr_media::stills::Recording;
use nvr_store::SegmentRow;

use super::{Stills, camera};

/// A hole that is shorter belongs to the segment before it: pictures have a length that nobody knows exactly.
const HOLE_US: i64 = 50_000;

/// A recorded file and its place in history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Id of its segment; absent while it is being written.
    pub segment: Option<String>,
    /// Wall time of its first picture, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Wall time of the end of its last picture so far, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// Its key frames, nanoseconds from its first picture.
    pub keys_ns: Vec<i64>,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

impl Source {
    /// A wall time as one of the file, nanoseconds from its first picture.
    pub fn offset_ns(&self, unix_us: i64) -> i64 {
        unix_us.saturating_sub(self.start_us).saturating_mul(1000)
    }

    /// A time of the file as wall time, microseconds since 1970-01-01 UTC.
    pub fn unix_us(&self, offset_ns: i64) -> i64 {
        self.start_us.saturating_add(offset_ns.div_euclid(1000))
    }
}

/// Which picture is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// The moment, microseconds since 1970-01-01 UTC.
    pub unix_us: i64,
    /// The very picture, or the key frame before it.
    pub exact: bool,
    /// Largest height in pixels.
    pub height: Option<u32>,
}

/// A picture and when it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WallPicture {
    /// When it was shown first, microseconds since 1970-01-01 UTC.
    pub unix_us: i64,
    /// The picture.
    pub jpeg: Vec<u8>,
    /// Whether the decoder had to make up parts of it.
    pub damaged: bool,
}

impl Stills {
    /// The recording that holds a moment of a camera.
    ///
    /// # Errors
    /// `NotFound` when none does: with the reason, and with the moments before and after it that are recorded.
    pub fn source(&self, name: &str, unix_us: i64) -> Result<Source> {
        let camera = camera(name)?;
        let row = self.store.segment_before(name, unix_us)?;
        if let Some(row) = row.as_ref().filter(|row| unix_us < row.end_us) {
            return self.source_of(row);
        }
        if let Some(open) = self.open_source(&camera)?
            && (open.start_us..open.end_us).contains(&unix_us)
        {
            return Ok(open);
        }
        // The open file may have been closed between the two looks.
        match self.store.segment_before(name, unix_us)? {
            Some(row) if unix_us < row.end_us.saturating_add(HOLE_US) => self.source_of(&row),
            _ => Err(self.missing(&camera, unix_us)?),
        }
    }

    /// The picture that a camera showed at a moment.
    ///
    /// # Errors
    /// As [`source`](Self::source); `DataLoss` when the recording is damaged there, `Unavailable` when decoding takes
    /// too long or the disk is not there.
    pub fn picture(&self, source: &Source, wanted: Instant) -> Result<WallPicture> {
        let at_ns = source.offset_ns(wanted.unix_us);
        let mut recording = open(&source.path)?;
        let still = recording.still(at_ns, wanted.exact, wanted.height)?;
        Ok(WallPicture {
            unix_us: source.unix_us(still.offset_ns),
            jpeg: still.jpeg,
            damaged: still.damaged,
        })
    }

    pub(super) fn source_of(&self, row: &SegmentRow) -> Result<Source> {
        let keys = row.keyframes.iter();
        Ok(Source {
            path: self.storage.segment_file(row)?,
            segment: Some(row.id.clone()),
            start_us: row.start_us,
            end_us: row.end_us,
            keys_ns: keys
                .map(|(offset_ns, _)| i64::try_from(*offset_ns).unwrap_or(i64::MAX))
                .collect(),
            size: (row.width, row.height),
        })
    }

    /// What has been written so far of the file that a camera writes to, if there is one with anything whole in it.
    pub(super) fn open_source(&self, camera: &Slug) -> Result<Option<Source>> {
        let folders = self.storage.volumes().iter();
        let newest = folders
            .filter_map(|volume| newest_file(&volume.recordings_of(camera)))
            .max();
        let Some((_, path)) = newest else {
            return Ok(None);
        };
        let Some((storage, relative)) = self.storage.relative(&path) else {
            return Ok(None);
        };
        if self
            .store
            .has_segment_path(&storage, &relative.display().to_string())?
        {
            return Ok(None);
        }
        let recording = match Recording::open(&path) {
            Ok(recording) => recording,
            // Nothing whole in it yet, or it has gone meanwhile.
            Err(error) if matches!(error.kind(), ErrorKind::DataLoss | ErrorKind::NotFound) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Some(start_us) = recording.start_unix_us() else {
            return Ok(None);
        };
        let mut source = Source {
            path,
            segment: None,
            start_us,
            end_us: start_us,
            keys_ns: recording.keys().collect(),
            size: recording.size(),
        };
        source.end_us = source.unix_us(recording.end_ns());
        Ok(Some(source))
    }

    /// Why a moment is not there, and which ones are nearest.
    fn missing(&self, camera: &Slug, unix_us: i64) -> Result<Error> {
        let name = camera.as_str();
        let now_us = self.clock.unix_us();
        let gaps = self.store.gaps(
            Principal::system(),
            name,
            unix_us,
            unix_us.saturating_add(1),
            1,
        )?;
        let mut before = self
            .store
            .segment_before(name, unix_us)?
            .map(|row| row.end_us);
        let after = self
            .store
            .segments(Principal::system(), name, unix_us, i64::MAX, 1)?
            .pop();
        let mut after = after.map(|row| row.start_us);
        let open = self.open_source(camera)?;
        match &open {
            Some(open) if open.end_us <= unix_us => before = Some(open.end_us),
            Some(open) if after.is_none() => after = Some(open.start_us),
            _ => {}
        }
        let why = match gaps.into_iter().next() {
            _ if unix_us > now_us => "that moment has not come yet".to_owned(),
            Some(gap) => match gap.detail {
                Some(detail) => format!("{} ({detail})", gap.reason),
                None => gap.reason,
            },
            None if open.is_some_and(|open| open.end_us <= unix_us) => {
                "it is not on disk yet".to_owned()
            }
            None => "the reason is unknown".to_owned(),
        };
        let near = match (before, after) {
            (None, None) => "nothing of it is recorded".to_owned(),
            (Some(before), None) => format!("what is before it ends at {}", seconds(before)),
            (None, Some(after)) => format!("what is after it begins at {}", seconds(after)),
            (Some(before), Some(after)) => format!(
                "what is before it ends at {} and what is after it begins at {}",
                seconds(before),
                seconds(after)
            ),
        };
        Ok(Error::not_found(format!(
            "camera {name:?} has no picture at {}: {why}; {near}",
            seconds(unix_us)
        )))
    }
}

/// Opens a recording that a row or a look at the disk has named.
pub(super) fn open(path: &Path) -> Result<Recording> {
    Recording::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::not_found("the file of this segment has gone"),
        _ => error,
    })
}

/// Seconds since 1970, as they stand in a query.
pub(super) fn seconds(unix_us: i64) -> String {
    format!(
        "{}.{:06}",
        unix_us.div_euclid(1_000_000),
        unix_us.rem_euclid(1_000_000)
    )
}

/// The recorded file below the folder of a camera that was begun last, by the names of folders and files.
fn newest_file(folder: &Path) -> Option<(i64, PathBuf)> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let day = entries(folder)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    // The names of the days sort by time.
    let files = entries(&day.max()?);
    files
        .filter_map(|entry| Some((begun_us(&entry.path())?, entry.path())))
        .max()
}

/// When a file was begun, by its name: `<HH-MM-SS>_<start>.mp4`, or with a number behind it where that was taken.
fn begun_us(file: &Path) -> Option<i64> {
    if file.extension()? != "mp4" {
        return None;
    }
    file.file_stem()?.to_str()?.split('_').nth(1)?.parse().ok()
}
