//! Rows against files: what a check of the disk asks of the index, and how it puts the index right.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use nvr_base::{Error, Principal, Result};

use crate::conn::{Conn, Store};
use crate::dialect;
use crate::failure::{Failure, from_query};
use crate::gaps::GapRow;
use crate::page::checked_limit;
use crate::schema::{gaps, segments};
use crate::segments::{self as rows, SegmentRow};

/// Of a segment what a comparison with its file needs, without its key frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Id of the segment.
    pub id: String,
    /// The file, relative to the recordings of its storage.
    pub path: String,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Wall time of the end of the last picture, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// Length of the file, bytes.
    pub bytes: u64,
}

/// Two segments of a camera that cover the same time.
#[derive(QueryableByName, Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// The file of the later one, relative to the recordings of its storage.
    #[diesel(sql_type = Text)]
    pub path: String,
    /// When it begins, microseconds since 1970-01-01 UTC.
    #[diesel(sql_type = BigInt)]
    pub start_us: i64,
    /// When what came before ends, microseconds since 1970-01-01 UTC.
    #[diesel(sql_type = BigInt)]
    pub before_us: i64,
}

/// Rows at once: some hundred bytes each.
const PAGE: i64 = 4096;

/// The key frames are left out on purpose: they are most of a row.
type Columns = (String, String, i64, i64, i64);

#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = BigInt)]
    busy: i64,
}

impl Store {
    /// The cameras with segments in a storage, sorted.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn cameras_in(&self, storage: &str) -> Result<Vec<String>> {
        let found: Vec<String> = self.read(|conn| {
            Ok(segments::table
                .filter(segments::storage.eq(storage))
                .select(segments::camera)
                .distinct()
                .load(conn)?)
        })?;
        Ok(found
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect())
    }

    /// The storages that segments lie in, sorted.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn segment_storages(&self) -> Result<Vec<String>> {
        self.read(|conn| {
            Ok(segments::table
                .select(segments::storage)
                .distinct()
                .order(segments::storage)
                .load(conn)?)
        })
    }

    /// Segments of a storage in the order of their paths, from behind `after` on and before `before`: the first
    /// thousands, none when there are no more.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn files(&self, storage: &str, after: &str, before: &str) -> Result<Vec<FileRow>> {
        let found: Vec<Columns> = self.read(|conn| {
            Ok(segments::table
                .filter(segments::storage.eq(storage))
                .filter(segments::path.gt(after))
                .filter(segments::path.lt(before))
                .order(segments::path)
                .limit(PAGE)
                .select((
                    segments::id,
                    segments::path,
                    segments::start_us,
                    segments::end_us,
                    segments::bytes,
                ))
                .load(conn)?)
        })?;
        Ok(found.into_iter().map(file_row).collect())
    }

    /// The last segment of a camera that begins before a moment; in all storages.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn file_before(&self, camera: &str, before_us: i64) -> Result<Option<FileRow>> {
        let found: Option<Columns> = self.read(|conn| {
            Ok(segments::table
                .filter(segments::camera.eq(camera))
                .filter(segments::start_us.lt(before_us))
                .order((segments::start_us.desc(), segments::id.desc()))
                .select((
                    segments::id,
                    segments::path,
                    segments::start_us,
                    segments::end_us,
                    segments::bytes,
                ))
                .first(conn)
                .optional()?)
        })?;
        Ok(found.map(file_row))
    }

    /// Segments of a camera that begin more than `slack_us` before an earlier one ends, the first `limit`.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit out of range.
    pub fn overlaps(&self, camera: &str, slack_us: i64, limit: u32) -> Result<Vec<Overlap>> {
        let limit = checked_limit(limit)?;
        self.read(|conn| {
            let query = dialect::placeholders(
                conn,
                "SELECT path, start_us, before_us FROM (
                     SELECT path, start_us, MAX(end_us) OVER (ORDER BY start_us, id
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_us
                     FROM segments WHERE camera = ?) AS known
                 WHERE before_us - start_us > ? ORDER BY start_us LIMIT ?",
            );
            Ok(diesel::sql_query(query)
                .bind::<Text, _>(camera)
                .bind::<BigInt, _>(slack_us)
                .bind::<BigInt, _>(limit)
                .load(conn)?)
        })
    }

    /// Stores segments that were found on disk, in one transaction; says how many were not there yet.
    ///
    /// # Errors
    /// As [`insert_segment`](Self::insert_segment) for the first that is refused; then none is stored.
    pub fn insert_segments(&self, found: &[SegmentRow]) -> Result<u64> {
        self.write(|conn| {
            let mut stored = 0;
            for row in found {
                stored += u64::from(rows::insert(conn, row)?);
            }
            Ok(stored)
        })
    }

    /// Replaces the row of a segment by what its file says; the id stays.
    ///
    /// # Errors
    /// `NotFound` if there is none, and as [`insert_segment`](Self::insert_segment).
    pub fn correct_segment(&self, row: &SegmentRow) -> Result<()> {
        self.write(|conn| {
            remove(conn, &row.id)?;
            rows::insert(conn, row)?;
            Ok(())
        })
    }

    /// Removes the row of a segment whose file is gone or damaged, and notes its time as missing for that reason.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn lose_segment(&self, id: &str, reason: &str, detail: &str) -> Result<()> {
        let lost = self.segment(Principal::system(), id)?;
        let gap = GapRow {
            id: self.new_id(),
            camera: lost.camera,
            start_us: lost.start_us,
            end_us: Some(lost.end_us.max(lost.start_us)),
            reason: reason.to_owned(),
            detail: Some(detail.to_owned()),
        };
        self.write(|conn| {
            remove(conn, id)?;
            diesel::insert_into(gaps::table)
                .values(&gap)
                .execute(conn)?;
            Ok(())
        })
    }

    /// Brings everything from the write-ahead log into the database file, so that the file alone may be moved.
    ///
    /// # Errors
    /// `Unavailable` while somebody reads.
    pub fn settle(&self) -> Result<()> {
        self.alone(|conn| {
            let Conn::Sqlite(conn) = conn else {
                // What is committed on a server needs nothing more.
                return Ok(());
            };
            let done: Checkpoint = diesel::sql_query("PRAGMA wal_checkpoint(TRUNCATE)")
                .get_result(conn)
                .map_err(|error| from_query(self.place(), error))?;
            if done.busy == 0 {
                Ok(())
            } else {
                Err(Error::unavailable(format!(
                    "{}: somebody reads the database; try again",
                    self.place()
                )))
            }
        })
    }

    /// Reads the whole database for damage; at most ten sentences, none if it is whole.
    ///
    /// # Errors
    /// Those of the database, when it is too damaged to be checked.
    pub fn integrity(&self) -> Result<Vec<String>> {
        self.read(dialect::integrity)
    }
}

fn remove(conn: &mut Conn, id: &str) -> Result<(), Failure> {
    match diesel::delete(segments::table.find(id)).execute(conn)? {
        0 => Err(Error::not_found(format!("no segment has the id {id:?}")).into()),
        _ => Ok(()),
    }
}

fn file_row((id, path, start_us, end_us, bytes): Columns) -> FileRow {
    FileRow {
        id,
        path,
        start_us,
        end_us,
        bytes: bytes.cast_unsigned(),
    }
}
