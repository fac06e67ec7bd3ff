//! Where a segment lies: `<location>/<YYYY-MM-DD>/<HH-MM-SS>_<start_unix_us>.mp4`, in UTC.

use std::path::{Path, PathBuf};

/// Folder and file of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder of the day.
    pub folder: PathBuf,
    /// The file in it, without `.mp4`.
    stem: String,
}

impl Place {
    /// The place of a segment that starts at this wall time, microseconds since 1970-01-01 UTC.
    pub fn new(location: &Path, start_unix_us: i64) -> Self {
        let start = jiff::Timestamp::from_microsecond(start_unix_us).unwrap_or_default();
        let start = start.to_zoned(jiff::tz::TimeZone::UTC);
        Self {
            folder: location.join(start.strftime("%Y-%m-%d").to_string()),
            stem: format!("{}_{start_unix_us}", start.strftime("%H-%M-%S")),
        }
    }

    /// The path of the `nth` attempt: a name that is taken gets a number.
    pub fn path(&self, nth: u32) -> PathBuf {
        match nth {
            0 => self.folder.join(format!("{}.mp4", self.stem)),
            nth => self.folder.join(format!("{}_{nth}.mp4", self.stem)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_day_and_time_in_utc() {
        for (us, expected) in [
            (0, "r/1970-01-01/00-00-00_0.mp4"),
            (
                1_709_251_199_999_999,
                "r/2024-02-29/23-59-59_1709251199999999.mp4",
            ),
            (i64::MAX, "r/1970-01-01/00-00-00_9223372036854775807.mp4"),
        ] {
            let place = Place::new(Path::new("r"), us);
            assert_eq!(place.path(0), Path::new(expected));
        }
        let taken = Place::new(Path::new("r"), 0).path(2);
        assert_eq!(taken, Path::new("r/1970-01-01/00-00-00_0_2.mp4"));
    }
}
