//! Deleting recordings: rows become garbage and a gap in one transaction, and garbage is forgotten once its file is gone.

use diesel::dsl::{count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use nvr_base::Result;

use crate::conn::Store;
use crate::gaps;
use crate::page::checked_limit;
use crate::schema::{clock_doubt, garbage, segments};
use crate::segments::longest;

/// A file that is to be unlinked; its row is gone.
#[derive(Queryable, Selectable, Insertable, Debug, Clone, PartialEq, Eq)]
#[diesel(table_name = garbage)]
pub struct GarbageRow {
    /// Identity of the storage that holds the file.
    pub storage: String,
    /// The file, relative to the recordings of its storage.
    pub path: String,
    /// The id that the segment had.
    pub id: String,
    /// Name of the camera.
    pub camera: String,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Wall time of the end of the last picture, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// Pictures in the file.
    pub frames: i64,
    /// Length of the file, bytes.
    pub bytes: i64,
    /// BLAKE3 of the file, if it was computed.
    pub blake3: Option<String>,
    /// Why it was deleted: `age`, `space`, `person`, …
    pub reason: String,
    /// Since when, microseconds since 1970-01-01 UTC.
    pub since_us: i64,
    /// How often it could not be unlinked.
    pub tries: i64,
    /// What stood in the way the last time.
    pub error: Option<String>,
}

/// What is still to be unlinked in one storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Identity of the storage.
    pub storage: String,
    /// How many files.
    pub files: u64,
    /// Their length together.
    pub bytes: u64,
}

/// Why the wall clock is not believed.
#[derive(Queryable, Selectable, Debug, Clone, PartialEq, Eq)]
#[diesel(table_name = clock_doubt)]
pub struct ClockDoubt {
    /// One sentence for people.
    pub reason: String,
    /// Since when, microseconds since 1970-01-01 UTC, by that very clock.
    pub since_us: i64,
}

impl Store {
    /// Removes the rows of segments, puts their files on the list of garbage and notes the gaps, in one transaction.
    ///
    /// Segments that are gone already are left out of the answer.
    ///
    /// # Errors
    /// Only those of the database; then nothing was removed.
    pub fn discard_segments(&self, ids: &[String], reason: &str) -> Result<Vec<GarbageRow>> {
        let since_us = self.now_us();
        self.write(|conn| {
            let mut discarded = Vec::with_capacity(ids.len());
            for id in ids {
                type Found = (String, String, String, i64, i64, i64, i64, Option<String>);
                let found: Option<Found> = segments::table
                    .find(id)
                    .select((
                        segments::storage,
                        segments::path,
                        segments::camera,
                        segments::start_us,
                        segments::end_us,
                        segments::frames,
                        segments::bytes,
                        segments::blake3,
                    ))
                    .first(conn)
                    .optional()?;
                let Some((storage, path, camera, start_us, end_us, frames, bytes, blake3)) = found
                else {
                    continue;
                };
                diesel::delete(segments::table.find(id)).execute(conn)?;
                let row = GarbageRow {
                    storage,
                    path,
                    id: id.clone(),
                    camera,
                    start_us,
                    end_us,
                    frames,
                    bytes,
                    blake3,
                    reason: reason.to_owned(),
                    since_us,
                    tries: 0,
                    error: None,
                };
                // A file of that name may have been deleted before, and be on the list still.
                diesel::delete(garbage::table.find((&row.storage, &row.path))).execute(conn)?;
                diesel::insert_into(garbage::table)
                    .values(&row)
                    .execute(conn)?;
                gaps::deleted(conn, self.new_id(), &row.camera, start_us, end_us)?;
                discarded.push(row);
            }
            Ok(discarded)
        })
    }

    /// Files that are to be unlinked in a storage, those that failed least first, at most `limit`.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit out of range.
    pub fn garbage(&self, storage: &str, limit: u32) -> Result<Vec<GarbageRow>> {
        let limit = checked_limit(limit)?;
        self.read(|conn| {
            Ok(garbage::table
                .filter(garbage::storage.eq(storage))
                .order((garbage::tries, garbage::since_us, garbage::path))
                .limit(limit)
                .select(GarbageRow::as_select())
                .load(conn)?)
        })
    }

    /// Whether a file is on the list of garbage.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn is_garbage(&self, storage: &str, path: &str) -> Result<bool> {
        self.read(|conn| {
            let found = garbage::table.find((storage, path)).count();
            Ok(found.get_result::<i64>(conn)? > 0)
        })
    }

    /// How much is still to be unlinked, by storage.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn pending_garbage(&self) -> Result<Vec<Pending>> {
        let rows: Vec<(String, i64, i64)> = self.read(|conn| {
            Ok(garbage::table
                .group_by(garbage::storage)
                .order(garbage::storage)
                .select((
                    garbage::storage,
                    count_star(),
                    sql::<BigInt>("CAST(SUM(bytes) AS BIGINT)"),
                ))
                .load(conn)?)
        })?;
        Ok(rows
            .into_iter()
            .map(|(storage, files, bytes)| Pending {
                storage,
                files: files.cast_unsigned(),
                bytes: bytes.cast_unsigned(),
            })
            .collect())
    }

    /// Takes files off the list of garbage: they are gone, and their folders were synced.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn forget_garbage(&self, rows: &[GarbageRow]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.write(|conn| {
            for row in rows {
                diesel::delete(garbage::table.find((&row.storage, &row.path))).execute(conn)?;
            }
            Ok(())
        })
    }

    /// Notes that a file could not be unlinked, and why.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn garbage_failed(&self, row: &GarbageRow, error: &str) -> Result<()> {
        self.write(|conn| {
            diesel::update(garbage::table.find((&row.storage, &row.path)))
                .set((
                    garbage::tries.eq(garbage::tries + 1),
                    garbage::error.eq(error),
                ))
                .execute(conn)?;
            Ok(())
        })
    }

    /// Marks the segments of a camera with a moment in `start_us..end_us` as protected, or not; says how many of
    /// them there are.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn protect_segments(
        &self,
        camera: &str,
        start_us: i64,
        end_us: i64,
        protected: bool,
    ) -> Result<u64> {
        self.write(|conn| {
            let earliest_us = start_us.saturating_sub(longest(conn, camera)?.unwrap_or(0));
            let marked = diesel::update(
                segments::table
                    .filter(segments::camera.eq(camera))
                    .filter(segments::start_us.ge(earliest_us))
                    .filter(segments::start_us.lt(end_us))
                    .filter(segments::end_us.gt(start_us)),
            )
            .set(segments::protected.eq(protected))
            .execute(conn)?;
            Ok(marked as u64)
        })
    }

    /// Whether a camera has a protected segment with a moment in `start_us..end_us`.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn has_protected(&self, camera: &str, start_us: i64, end_us: i64) -> Result<bool> {
        self.read(|conn| {
            let found = segments::table
                .filter(segments::camera.eq(camera))
                .filter(segments::protected.eq(true))
                .filter(segments::start_us.lt(end_us))
                .filter(segments::end_us.gt(start_us));
            Ok(diesel::select(diesel::dsl::exists(found)).get_result(conn)?)
        })
    }

    /// The latest moment that is recorded of any camera, microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn last_recorded_us(&self) -> Result<Option<i64>> {
        // One step into the index for each camera, instead of all rows.
        let cameras = self.held()?;
        let mut last = None;
        for held in cameras {
            let end: Option<i64> = self.read(|conn| {
                Ok(segments::table
                    .filter(segments::camera.eq(&held.camera))
                    .order(segments::start_us.desc())
                    .select(segments::end_us)
                    .first(conn)
                    .optional()?)
            })?;
            last = last.max(end);
        }
        Ok(last)
    }

    /// Why the wall clock is not believed, if it is not.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn clock_doubt(&self) -> Result<Option<ClockDoubt>> {
        self.read(|conn| {
            Ok(clock_doubt::table
                .select(ClockDoubt::as_select())
                .first(conn)
                .optional()?)
        })
    }

    /// Notes that the wall clock is not believed, and why, or that it is again.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn set_clock_doubt(&self, doubt: Option<&ClockDoubt>) -> Result<()> {
        self.write(|conn| {
            diesel::delete(clock_doubt::table).execute(conn)?;
            if let Some(doubt) = doubt {
                diesel::insert_into(clock_doubt::table)
                    .values((
                        clock_doubt::one.eq(1),
                        clock_doubt::reason.eq(&doubt.reason),
                        clock_doubt::since_us.eq(doubt.since_us),
                    ))
                    .execute(conn)?;
            }
            Ok(())
        })
    }
}
