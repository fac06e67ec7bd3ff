//! A small picture of each segment and event: made when it is first asked for, and kept.

use nvr_base::{Error, ErrorKind, Result};
use nvr_store::{EventRow, SegmentRow};

use super::cache::remove;
use super::{Instant, Stills};
use crate::storage::Storage;

/// Height of a segment's picture in pixels.
const SEGMENT_HEIGHT: u32 = 180;
/// Height of an event's picture in pixels: it is looked at more closely.
const EVENT_HEIGHT: u32 = 360;

impl Stills {
    /// The small picture of a segment, if it was made already.
    pub fn kept_of_segment(&self, row: &SegmentRow) -> Option<Vec<u8>> {
        self.kept.get(&file_name(&row.id)?)
    }

    /// The small picture of a segment: the key frame nearest to its middle.
    ///
    /// # Errors
    /// `NotFound` when the file has gone, `DataLoss` when the picture cannot be decoded, `Unavailable` when that takes
    /// too long or the disk is not there.
    pub fn thumbnail_of_segment(&self, row: &SegmentRow) -> Result<Vec<u8>> {
        let source = self.source_of(row)?;
        let middle = source.start_us.midpoint(source.end_us);
        let near = source.offset_ns(middle);
        let key = source.keys_ns.iter().min_by_key(|key| key.abs_diff(near));
        let wanted = Instant {
            unix_us: source.unix_us(*key.unwrap_or(&0)),
            exact: false,
            height: Some(SEGMENT_HEIGHT),
        };
        let jpeg = self.picture(&source, wanted)?.jpeg;
        if let Some(name) = file_name(&row.id) {
            self.kept.put(&name, &jpeg);
        }
        Ok(jpeg)
    }

    /// The picture of an event that is there already: the best one that was seen, else the one made before.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn kept_of_event(&self, id: &str) -> Result<Option<Vec<u8>>> {
        let Some(path) = self.storage.thumbnail(id) else {
            return Ok(None);
        };
        match std::fs::read(&path) {
            Ok(jpeg) => Ok(Some(jpeg)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(file_name(id).and_then(|name| self.kept.get(&name)))
            }
            Err(error) => Err(Error::io(&path, error)),
        }
    }

    /// A picture of an event out of the recording: of its middle, else of its start.
    ///
    /// # Errors
    /// `NotFound` when neither is recorded, with the reason; the others as for segments.
    pub fn thumbnail_of_event(&self, event: &EventRow) -> Result<Vec<u8>> {
        let end_us = event.end_us.unwrap_or(event.start_us).max(event.start_us);
        let middle = event.start_us.midpoint(end_us);
        let at = |unix_us: i64| {
            let wanted = Instant {
                unix_us,
                exact: true,
                height: Some(EVENT_HEIGHT),
            };
            let source = self.source(&event.camera, unix_us)?;
            self.picture(&source, wanted)
        };
        let picture = match at(middle) {
            Err(error) if error.kind() == ErrorKind::NotFound => at(event.start_us)?,
            other => other?,
        };
        // An event that goes on has no middle yet.
        if let (Some(name), true) = (file_name(&event.id), event.end_us.is_some()) {
            self.kept.put(&name, &picture.jpeg);
        }
        Ok(picture.jpeg)
    }

    /// Removes the picture that was made of an event.
    pub fn forget_event(&self, id: &str) {
        forget(&self.storage, id);
    }
}

/// Removes the picture that was made of a segment; whoever deletes a segment calls it.
pub fn forget_segment(storage: &Storage, id: &str) {
    forget(storage, id);
}

fn forget(storage: &Storage, id: &str) {
    if let Some(name) = file_name(id) {
        remove(&storage.thumbnails().join(super::MADE).join(name));
    }
}

/// The name of a picture; `None` when the id is no UUID, so that no id leads out of the folder.
fn file_name(id: &str) -> Option<String> {
    let id = uuid::Uuid::parse_str(id).ok()?;
    Some(format!("{}.jpg", id.as_hyphenated()))
}
