//! Key frames near given moments: what sheets and time-lapses are made of.

use std::path::PathBuf;
use std::sync::Arc;

use nvr_base::Result;

use super::{Source, Stills, camera};

/// A key frame of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// The file.
    pub path: Arc<PathBuf>,
    /// Its place in the file, nanoseconds from the first picture.
    pub offset_ns: i64,
    /// Wall time, microseconds since 1970-01-01 UTC.
    pub unix_us: i64,
    /// Width and height in pixels.
    pub size: (u32, u32),
}

impl Stills {
    /// For each moment, in ascending order, the key frame that is nearest in the file that holds it; `None` where
    /// nothing is recorded or its disk is not there.
    ///
    /// # Errors
    /// `NotFound` for what cannot be a camera; those of the database.
    pub fn picks(
        &self,
        name: &str,
        moments: impl Iterator<Item = i64>,
    ) -> Result<Vec<Option<Pick>>> {
        let camera = camera(name)?;
        let mut here: Option<(Arc<PathBuf>, Source)> = None;
        // Asked for once, and only when no segment holds a moment.
        let mut open: Option<Option<Source>> = None;
        let mut picks = Vec::new();
        for unix_us in moments {
            let holds = |source: &Source| (source.start_us..source.end_us).contains(&unix_us);
            if !here.as_ref().is_some_and(|(_, source)| holds(source)) {
                let row = self.store.segment_before(name, unix_us)?;
                let mut found = row.and_then(|row| self.source_of(&row).ok());
                if !found.as_ref().is_some_and(holds) {
                    let open = match &mut open {
                        Some(open) => open,
                        unknown => unknown.insert(self.open_source(&camera)?),
                    };
                    found = open.clone().filter(holds);
                }
                here = found.map(|source| (Arc::new(source.path.clone()), source));
            }
            picks.push(
                here.as_ref()
                    .and_then(|(path, source)| pick(path, source, unix_us)),
            );
        }
        Ok(picks)
    }
}

fn pick(path: &Arc<PathBuf>, source: &Source, unix_us: i64) -> Option<Pick> {
    let wanted = source.offset_ns(unix_us);
    let keys = source.keys_ns.iter();
    let offset_ns = *keys.min_by_key(|key| key.abs_diff(wanted))?;
    Some(Pick {
        path: Arc::clone(path),
        offset_ns,
        unix_us: source.unix_us(offset_ns),
        size: source.size,
    })
}
