//! Where events go besides the bus: lines in a file, pictures in a folder.

use std::io;
use std::path::Path;
use std::sync::Arc;

use nvr_contract::event::Change;

use crate::album::Album;
use crate::events::Told;
use crate::lines::Lines;
use crate::thumbnail::Thumbnail;

/// The open file and folder.
#[derive(Debug)]
pub(crate) struct Outlet {
    lines: Option<Lines>,
    album: Option<Album>,
    failed: bool,
}

/// What became of a list of changes.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Bytes of lines.
    pub(crate) bytes: u64,
    /// Thumbnails for which there was no room.
    pub(crate) dropped: u64,
    /// Why a line was not written, the first time that happens.
    pub(crate) first_error: Option<io::Error>,
}

impl Outlet {
    /// Opens what is asked for; `report` hears of the first thumbnail that cannot be written.
    ///
    /// # Errors
    /// One sentence that says what to change, when the file or the folder cannot be written.
    pub(crate) fn open(
        location: Option<&str>,
        truncate: bool,
        thumbnails: Option<&str>,
        report: impl FnOnce(String) + Send + 'static,
    ) -> Result<Self, String> {
        let lines = location.map(|location| {
            Lines::open(location, truncate).map_err(|error| {
                format!("Cannot write events to {location:?} ({error}): set location to a file in a folder that can be written")
            })
        });
        let album = thumbnails.map(|folder| {
            Album::open(Path::new(folder), report).map_err(|error| {
                format!("Cannot write thumbnails to {folder:?} ({error}): set thumbnails to a folder that can be written")
            })
        });
        Ok(Self {
            lines: lines.transpose()?,
            album: album.transpose()?,
            failed: false,
        })
    }

    /// Hands thumbnails over and writes one line for each change; a line that fails does not stop the next.
    pub(crate) fn write(&mut self, told: &[Told<Arc<Thumbnail>>]) -> Written {
        let mut written = Written::default();
        for Told { event, shot } in told {
            if let (Some(album), Some(shot)) = (&self.album, shot) {
                let last = event.change == Change::Closed;
                written.dropped += u64::from(!album.put(&event.id, Arc::clone(shot), last));
            }
            let Some(lines) = &mut self.lines else {
                continue;
            };
            match lines.write(&event.to_json()) {
                Ok(bytes) => written.bytes += bytes as u64,
                Err(error) if !self.failed => {
                    self.failed = true;
                    written.first_error = Some(error);
                }
                // Told once: a full disk would say the same of every event.
                Err(_) => {}
            }
        }
        written
    }

    /// Waits until the thumbnails handed over are written.
    pub(crate) fn settle(&self) {
        if let Some(album) = &self.album {
            album.settle();
        }
    }
}
