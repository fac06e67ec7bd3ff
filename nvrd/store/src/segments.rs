//! Segments: which recorded files there are and what is in them. A row is added once its file is on disk.

use std::path::{Component, Path};

use diesel::dsl::{count_star, max, min, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use nvr_base::{Error, Principal, Result};

use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::page::checked_limit;
use crate::schema::{segment_bounds, segments};
use crate::tiers;

/// A recorded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// Name of the camera.
    pub camera: String,
    /// The file, relative to the recordings of its storage; only the recorder gives it a meaning.
    pub path: String,
    /// Wall time of the first picture, microseconds since 1970-01-01 UTC.
    pub start_us: i64,
    /// Wall time of the end of the last picture, microseconds since 1970-01-01 UTC.
    pub end_us: i64,
    /// Pictures in the file.
    pub frames: u64,
    /// Length of the file, bytes.
    pub bytes: u64,
    /// The codec: `h264`, `h265`.
    pub codec: String,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// BLAKE3 of the whole file, 64 hex digits, if it was computed.
    pub blake3: Option<String>,
    /// Whether the first picture does not follow on from the segment before.
    pub discont: bool,
    /// Key frames: time from the start of the segment in nanoseconds, position in the file in bytes.
    pub keyframes: Vec<(u64, u64)>,
    /// Identity of the storage folder that holds the file; empty for the first one.
    pub storage: String,
    /// Whether no policy may delete it.
    pub protected: bool,
    /// The codec of the sound: `aac`, `opus`; absent without sound.
    pub audio: Option<String>,
}

/// What is recorded of one camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraTotals {
    /// Name of the camera.
    pub camera: String,
    /// How many segments.
    pub segments: u64,
    /// Their length together, bytes.
    pub bytes: u64,
    /// Start of the first one, microseconds since 1970-01-01 UTC.
    pub first_us: i64,
    /// The latest end of one, microseconds since 1970-01-01 UTC.
    pub last_us: i64,
}

impl Store {
    /// Stores a segment; `false` if it is there already, with that id.
    ///
    /// # Errors
    /// `AlreadyExists` if another segment of the storage has that path, `InvalidArgument` if the path leads out of the
    /// storage.
    pub fn insert_segment(&self, segment: &SegmentRow) -> Result<bool> {
        self.write(|conn| insert(conn, segment))
    }

    /// The segments of a camera with a moment in `start_us..end_us`, in the order of time, the first `limit` of them;
    /// none of a camera that the asker may not know of.
    ///
    /// # Errors
    /// `InvalidArgument` for a limit out of range.
    pub fn segments(
        &self,
        principal: &Principal,
        camera: &str,
        start_us: i64,
        end_us: i64,
        limit: u32,
    ) -> Result<Vec<SegmentRow>> {
        let limit = checked_limit(limit)?;
        if !principal.sees(camera) {
            return Ok(Vec::new());
        }
        let records = self.read(|conn| Ok(overlapping(conn, camera, start_us, end_us, limit)?))?;
        records.into_iter().map(Record::into_row).collect()
    }

    /// The segment of a camera that begins last at a moment or before it, whether it reaches to it or not.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn segment_before(&self, camera: &str, unix_us: i64) -> Result<Option<SegmentRow>> {
        let found = self.read(|conn| {
            Ok(segments::table
                .filter(segments::camera.eq(camera))
                .filter(segments::start_us.le(unix_us))
                .order((segments::start_us.desc(), segments::id.desc()))
                .select(Record::as_select())
                .first(conn)
                .optional()?)
        })?;
        found.map(Record::into_row).transpose()
    }

    /// The segment with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none that the asker may know of.
    pub fn segment(&self, principal: &Principal, id: &str) -> Result<SegmentRow> {
        self.read(|conn| {
            let found = find(conn, id)?.filter(|segment| principal.sees(&segment.camera));
            found.ok_or_else(|| unknown(id).into())
        })?
        .into_row()
    }

    /// Whether a segment has that path in a storage.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn has_segment_path(&self, storage: &str, path: &str) -> Result<bool> {
        self.read(|conn| Ok(path_taken(conn, storage, path)?))
    }

    /// The paths of all segments of a camera, sorted: what recovery compares with the files.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn segment_paths(&self, camera: &str) -> Result<Vec<String>> {
        self.read(|conn| {
            Ok(segments::table
                .filter(segments::camera.eq(camera))
                .order(segments::path)
                .select(segments::path)
                .load(conn)?)
        })
    }

    /// Removes the row of a segment, not the file, and returns it.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn delete_segment(&self, id: &str) -> Result<SegmentRow> {
        self.write(|conn| {
            let record = find(conn, id)?.ok_or_else(|| unknown(id))?;
            diesel::delete(segments::table.find(id)).execute(conn)?;
            Ok(record)
        })?
        .into_row()
    }

    /// What is recorded, by camera; a camera without a segment is absent.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn camera_totals(&self) -> Result<Vec<CameraTotals>> {
        self.read(|conn| Ok(totals(conn)?))
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = segments)]
struct Record {
    id: String,
    camera: String,
    path: String,
    start_us: i64,
    end_us: i64,
    frames: i64,
    bytes: i64,
    codec: String,
    width: i32,
    height: i32,
    blake3: Option<String>,
    discont: bool,
    keyframes_json: String,
    storage: String,
    protected: bool,
    audio: Option<String>,
}

/// Stores a segment; `false` if it is there already.
pub(crate) fn insert(conn: &mut Conn, segment: &SegmentRow) -> Result<bool, Failure> {
    check(segment)?;
    if find(conn, &segment.id)?.is_some() {
        return Ok(false);
    }
    if path_taken(conn, &segment.storage, &segment.path)? {
        return Err(Error::already_exists(format!(
            "there is a segment with the path {:?} already",
            segment.path
        ))
        .into());
    }
    diesel::insert_into(segments::table)
        .values(&Record::from(segment))
        .execute(conn)?;
    widen_bound(conn, segment)?;
    tiers::on_segment(conn, segment)?;
    Ok(true)
}

/// How many segments there are.
pub(crate) fn count(conn: &mut Conn) -> QueryResult<i64> {
    segments::table.count().get_result(conn)
}

fn find(conn: &mut Conn, id: &str) -> QueryResult<Option<Record>> {
    segments::table
        .find(id)
        .select(Record::as_select())
        .first(conn)
        .optional()
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("no segment has the id {id:?}"))
}

fn path_taken(conn: &mut Conn, storage: &str, path: &str) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(
        segments::table
            .filter(segments::storage.eq(storage))
            .filter(segments::path.eq(path)),
    ))
    .get_result(conn)
}

fn overlapping(
    conn: &mut Conn,
    camera: &str,
    start_us: i64,
    end_us: i64,
    limit: i64,
) -> QueryResult<Vec<Record>> {
    // Without a lower bound for the start, every segment before the range would be looked at.
    let earliest_us = start_us.saturating_sub(longest(conn, camera)?.unwrap_or(0));
    segments::table
        .filter(segments::camera.eq(camera))
        .filter(segments::start_us.ge(earliest_us))
        .filter(segments::start_us.lt(end_us))
        .filter(segments::end_us.gt(start_us))
        .order((segments::start_us, segments::id))
        .limit(limit)
        .select(Record::as_select())
        .load(conn)
}

pub(crate) fn longest(conn: &mut Conn, camera: &str) -> QueryResult<Option<i64>> {
    segment_bounds::table
        .find(camera)
        .select(segment_bounds::longest_us)
        .first(conn)
        .optional()
}

/// Keeps the bound true; it never falls, for a bound that is too wide only costs time.
fn widen_bound(conn: &mut Conn, segment: &SegmentRow) -> QueryResult<()> {
    let length_us = segment.end_us.saturating_sub(segment.start_us).max(0);
    match longest(conn, &segment.camera)? {
        None => diesel::insert_into(segment_bounds::table)
            .values((
                segment_bounds::camera.eq(&segment.camera),
                segment_bounds::longest_us.eq(length_us),
            ))
            .execute(conn)
            .map(drop),
        Some(known) if known < length_us => {
            diesel::update(segment_bounds::table.find(&segment.camera))
                .set(segment_bounds::longest_us.eq(length_us))
                .execute(conn)
                .map(drop)
        }
        Some(_) => Ok(()),
    }
}

/// A row of the totals: camera, segments, bytes, first start, last end.
type Totals = (String, i64, i64, Option<i64>, Option<i64>);

fn totals(conn: &mut Conn) -> QueryResult<Vec<CameraTotals>> {
    // A sum has another type in each database; the cast makes it one.
    let bytes = sql::<BigInt>("CAST(SUM(bytes) AS BIGINT)");
    let rows: Vec<Totals> = segments::table
        .group_by(segments::camera)
        .order(segments::camera)
        .select((
            segments::camera,
            count_star(),
            bytes,
            min(segments::start_us),
            max(segments::end_us),
        ))
        .load(conn)?;
    Ok(rows.into_iter().filter_map(total_of).collect())
}

fn total_of((camera, count, bytes, first_us, last_us): Totals) -> Option<CameraTotals> {
    Some(CameraTotals {
        camera,
        segments: count.cast_unsigned(),
        bytes: bytes.cast_unsigned(),
        // A group has a row, so both are there.
        first_us: first_us?,
        last_us: last_us?,
    })
}

fn check(segment: &SegmentRow) -> Result<()> {
    for (name, text) in [("id", &segment.id), ("camera", &segment.camera)] {
        if text.is_empty() {
            return Err(Error::invalid(format!(
                "segment {:?}: {name} is empty",
                segment.id
            )));
        }
    }
    // The path will be joined to the storage's: it must stay below it.
    let below = Path::new(&segment.path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if segment.path.is_empty() || segment.path.contains('\0') || !below {
        return Err(Error::invalid(format!(
            "segment {:?}: the path {:?} does not stay below the storage",
            segment.id, segment.path
        )));
    }
    Ok(())
}

impl From<&SegmentRow> for Record {
    fn from(segment: &SegmentRow) -> Self {
        let segment = segment.clone();
        Self {
            id: segment.id,
            camera: segment.camera,
            path: segment.path,
            start_us: segment.start_us,
            end_us: segment.end_us,
            frames: segment.frames.cast_signed(),
            bytes: segment.bytes.cast_signed(),
            codec: segment.codec,
            width: segment.width.cast_signed(),
            height: segment.height.cast_signed(),
            blake3: segment.blake3,
            discont: segment.discont,
            keyframes_json: serde_json::to_string(&segment.keyframes)
                .expect("numbers in lists always serialise"),
            storage: segment.storage,
            protected: segment.protected,
            audio: segment.audio,
        }
    }
}

impl Record {
    fn into_row(self) -> Result<SegmentRow> {
        let keyframes = serde_json::from_str(&self.keyframes_json).map_err(|error| {
            Error::data_loss(format!(
                "segment {:?}: its key frame list cannot be read; rebuild the row from the file",
                self.id
            ))
            .with_source(error)
        })?;
        Ok(SegmentRow {
            id: self.id,
            camera: self.camera,
            path: self.path,
            start_us: self.start_us,
            end_us: self.end_us,
            frames: self.frames.cast_unsigned(),
            bytes: self.bytes.cast_unsigned(),
            codec: self.codec,
            width: self.width.cast_unsigned(),
            height: self.height.cast_unsigned(),
            blake3: self.blake3,
            discont: self.discont,
            keyframes,
            storage: self.storage,
            protected: self.protected,
            audio: self.audio,
        })
    }
}
