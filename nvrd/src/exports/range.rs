//! Which recordings a range needs, what is missing in it, and whether it can be exported at all.

use nvr_base::{Error, Principal, Result};
use nvr_store::{ExportGap, MAX_LIMIT, SegmentRow, Store, Stretch};

/// Segments of one export at most.
const MAX_SEGMENTS: usize = 65_536;
/// Gaps that are listed at most; more are told in one.
const MAX_GAPS: usize = 1000;
/// 10000-01-01 UTC; a time behind it is a mistake.
const MAX_UNIX_US: i64 = 253_402_300_800_000_000;

/// A range of a camera's time, microseconds since 1970-01-01 UTC; the end is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Name of the camera.
    pub camera: String,
    /// Its start.
    pub start_us: i64,
    /// Its end.
    pub end_us: i64,
}

impl Range {
    /// Sees that the range can be meant.
    ///
    /// # Errors
    /// `InvalidArgument` that names the field.
    pub fn check(&self, now_us: i64, max_hours: u32) -> Result<()> {
        for (field, us) in [("start_unix", self.start_us), ("end_unix", self.end_us)] {
            if !(0..=MAX_UNIX_US).contains(&us) {
                return Err(Error::invalid(format!(
                    "{field}: is no moment between 1970 and 9999"
                )));
            }
        }
        if self.start_us >= self.end_us {
            return Err(Error::invalid("start_unix: is not before end_unix"));
        }
        if self.end_us > now_us {
            return Err(Error::invalid("end_unix: lies in the future"));
        }
        let hours = (self.end_us - self.start_us) as f64 / 3.6e9;
        if hours > f64::from(max_hours) {
            return Err(Error::invalid(format!(
                "end_unix: the range is {hours:.1} h long and may be {max_hours} h: export it in parts"
            )));
        }
        Ok(())
    }

    /// The segments with a moment in the range, in the order of time.
    ///
    /// # Errors
    /// `NotFound` when there is none, `FailedPrecondition` when the codec changes among them or there are too many.
    pub fn segments(&self, store: &Store) -> Result<Vec<SegmentRow>> {
        let mut rows: Vec<SegmentRow> = Vec::new();
        let mut from = self.start_us;
        loop {
            let found = store.segments(
                Principal::system(),
                &self.camera,
                from,
                self.end_us,
                MAX_LIMIT,
            )?;
            let full = found.len() == MAX_LIMIT as usize;
            let known = rows.len();
            // A segment that reaches over the border of two answers comes twice.
            let seen = rows.iter().rev().take(MAX_LIMIT as usize);
            let seen: Vec<String> = seen.map(|row| row.id.clone()).collect();
            rows.extend(found.into_iter().filter(|row| !seen.contains(&row.id)));
            if rows.len() > MAX_SEGMENTS {
                return Err(Error::precondition(format!(
                    "the range has more than {MAX_SEGMENTS} recorded files: export it in parts"
                )));
            }
            match rows.last() {
                Some(last) if full && rows.len() > known => from = last.start_us,
                _ => break,
            }
        }
        let Some(first) = rows.first() else {
            return Err(Error::not_found(format!(
                "nothing of {:?} is recorded between {} and {}",
                self.camera,
                moment(self.start_us),
                moment(self.end_us)
            )));
        };
        match rows.iter().find(|row| row.codec != first.codec) {
            Some(other) => Err(Error::precondition(format!(
                "the codec changes from {} to {} at {}: export the parts before and after it apart",
                first.codec,
                other.codec,
                moment(other.start_us)
            ))),
            None => Ok(rows),
        }
    }

    /// What is missing in the range, in the order of time.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn missing(&self, store: &Store) -> Result<Vec<ExportGap>> {
        let mut missing: Vec<ExportGap> = Vec::new();
        let mut covered_us = self.start_us;
        let mut from = self.start_us;
        while from < self.end_us && missing.len() < MAX_GAPS {
            let until = Some(self.end_us);
            let part = store.ledger(
                Principal::system(),
                &self.camera,
                from..self.end_us,
                &[],
                until,
                MAX_LIMIT,
            )?;
            for tile in part.tiles {
                if tile.start_us > covered_us {
                    missing.push(before_first(covered_us, tile.start_us));
                }
                covered_us = covered_us.max(tile.end_us);
                if let Stretch::Missing { reason, detail } = tile.what {
                    missing.push(ExportGap {
                        start_us: tile.start_us,
                        end_us: tile.end_us,
                        reason,
                        detail,
                    });
                }
            }
            match part.next_us {
                Some(next) if next > from => from = next,
                _ => break,
            }
        }
        if covered_us < self.end_us {
            let gap = match missing.len() < MAX_GAPS {
                true => before_first(covered_us, self.end_us),
                false => more_gaps(covered_us, self.end_us),
            };
            missing.push(gap);
        }
        Ok(missing)
    }

    /// Whether what happened in the range is known for good: nothing of it is being written any more.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn is_settled(&self, store: &Store) -> Result<bool> {
        let last_us = self.end_us - 1;
        Ok(!store
            .segments(Principal::system(), &self.camera, last_us, i64::MAX, 1)?
            .is_empty()
            || !store
                .gaps(Principal::system(), &self.camera, last_us, self.end_us, 1)?
                .is_empty())
    }

    /// Bytes that the export takes at most.
    pub fn bytes(rows: &[SegmentRow]) -> u64 {
        rows.iter().map(|row| row.bytes).sum()
    }
}

fn before_first(start_us: i64, end_us: i64) -> ExportGap {
    ExportGap {
        start_us,
        end_us,
        reason: "unknown".to_owned(),
        detail: Some("the camera has no recording from that time".to_owned()),
    }
}

fn more_gaps(start_us: i64, end_us: i64) -> ExportGap {
    ExportGap {
        start_us,
        end_us,
        reason: "unknown".to_owned(),
        detail: Some("there are more gaps from here on than are listed".to_owned()),
    }
}

/// A moment for people, UTC.
pub fn moment(unix_us: i64) -> String {
    match jiff::Timestamp::from_microsecond(unix_us) {
        Ok(moment) => moment.to_string(),
        Err(_) => unix_us.to_string(),
    }
}

/// A moment as part of a file's name, UTC, to the second.
pub fn moment_in_name(unix_us: i64) -> String {
    match jiff::Timestamp::from_microsecond(unix_us) {
        Ok(moment) => moment.strftime("%Y-%m-%d_%H-%M-%SZ").to_string(),
        Err(_) => unix_us.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_767_225_600_000_000;
    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn a_range_that_cannot_be_meant_names_its_field() {
        let check = |start_us: i64, end_us: i64, expect: &str| {
            let camera = "front".to_owned();
            let range = Range {
                camera,
                start_us,
                end_us,
            };
            let got = range.check(NOW_US, 24).err();
            let got = got.map_or_else(String::new, |error| error.to_string());
            assert!(got.starts_with(expect), "{got:?} {expect:?}");
            assert_eq!(got.is_empty(), expect.is_empty(), "{got}");
        };
        check(NOW_US - HOUR_US, NOW_US, "");
        check(NOW_US - 24 * HOUR_US, NOW_US, "");
        check(
            NOW_US - 25 * HOUR_US,
            NOW_US,
            "end_unix: the range is 25.0 h",
        );
        check(NOW_US, NOW_US, "start_unix: is not before end_unix");
        check(NOW_US, NOW_US - 1, "start_unix: is not before");
        check(NOW_US - 1, NOW_US + 1, "end_unix: lies in the future");
        check(-1, NOW_US, "start_unix: is no moment");
        check(0, i64::MAX, "end_unix: is no moment");
    }

    #[test]
    fn moments_in_names_need_no_quoting() {
        assert_eq!(moment_in_name(NOW_US), "2026-01-01_00-00-00Z");
        assert_eq!(moment(NOW_US + 250_000), "2026-01-01T00:00:00.25Z");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}
