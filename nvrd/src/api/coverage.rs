//! Coverage: every moment of a camera in a range, recorded or missing with one reason.

use nvr_base::{Error, Result, Slug};
use nvr_store::{Ledger, Share, Stretch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use super::access::{Caller, no_camera};
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::query::{Query, unix_us};
use super::reply::Json;

/// What is asked for unless the client says otherwise: the last day, in microseconds.
pub(super) const DAY_US: i64 = 86_400_000_000;
/// Longest range.
const MAX_DAYS: i64 = 366;
/// Segments and gaps of one answer, each: a day of files of 20 seconds.
pub(super) const MAX_ROWS: u32 = 5000;

/// How a range of a camera's time is covered; the segments and gaps touch each other and leave nothing out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Coverage {
    camera: String,
    /// Start of what this answer covers, seconds since 1970-01-01 UTC: the range that was asked for, inside the
    /// camera's lifetime.
    start_unix: f64,
    /// Its end, or where this answer stops because it is full.
    end_unix: f64,
    /// First known moment of the camera; `null` when nothing is known of it yet.
    first_unix: Option<f64>,
    /// Until when everything is known of it: about now for a camera that there is.
    last_unix: Option<f64>,
    /// The part that is recorded, 0..1; `null` when the range lies outside the lifetime.
    covered: Option<f64>,
    covered_seconds: f64,
    /// What is recorded, in the order of time.
    segments: Vec<Piece>,
    /// What is not, in the order of time.
    gaps: Vec<Missing>,
    /// Seconds that are missing, by reason.
    reasons: BTreeMap<String, f64>,
    /// Where to go on as `start_unix`, when the answer is full.
    next_start_unix: Option<f64>,
}

/// A recorded stretch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Piece {
    /// Id of the segment; `null` while the file is written or waits for its row.
    id: Option<String>,
    /// Seconds since 1970-01-01 UTC.
    start_unix: f64,
    /// Seconds since 1970-01-01 UTC.
    end_unix: f64,
    /// Path of the file.
    url: Option<String>,
}

/// A stretch that is not recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Missing {
    /// Seconds since 1970-01-01 UTC.
    start_unix: f64,
    /// Seconds since 1970-01-01 UTC.
    end_unix: f64,
    /// `source_lost`, `paused`, `daemon_down`, …
    reason: String,
    /// One sentence for people.
    detail: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CoverageQuery {
    /// Start of the range, seconds since 1970-01-01 UTC; a day before its end unless given.
    #[param(value_type = Option<f64>)]
    start_unix: Option<String>,
    /// End of the range, seconds since 1970-01-01 UTC; now unless given. A range is 366 days at most.
    #[param(value_type = Option<f64>)]
    end_unix: Option<String>,
}

impl CoverageQuery {
    fn range(&self, now_us: i64) -> ApiResult<(i64, i64)> {
        let end = unix_us("end_unix", self.end_unix.as_deref())?.unwrap_or(now_us);
        let start = unix_us("start_unix", self.start_unix.as_deref())?
            .unwrap_or(end.saturating_sub(DAY_US));
        if start >= end {
            return Err(ApiError::bad_request("start_unix: is not before end_unix"));
        }
        if end.saturating_sub(start) > MAX_DAYS * DAY_US {
            return Err(ApiError::bad_request(format!(
                "start_unix: the range is longer than {MAX_DAYS} days"
            )));
        }
        Ok((start, end))
    }
}

/// Which moments of a camera are recorded, and why the others are not.
#[utoipa::path(get, path = "/api/v1/cameras/{camera}/coverage", tag = "recordings", operation_id = "camera_coverage",
    params(("camera" = String, Path, description = "Name of the camera; one that was removed may be covered still."), CoverageQuery),
    responses(
        (status = 200, body = Coverage, description = "All of the range that lies in the camera's lifetime."),
        (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such camera, nor anything known under that name."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(
    caller: Caller,
    [name]: [String; 1],
    Query(query): Query<CoverageQuery>,
) -> ApiResult<Json<Coverage>> {
    let (start, end) = query.range(caller.clock.unix_us())?;
    let coverage = caller.run(Lane::Read, move |caller| {
        let camera: Slug = name.parse().map_err(|_| unknown(&name))?;
        let (ledger, exists) = ledger_of(caller, camera.as_str(), start, end)?;
        if ledger.first_us.is_none() && !exists {
            return Err(unknown(camera.as_str()));
        }
        Ok(coverage_of(camera.as_str(), (start, end), ledger))
    });
    coverage.await.map(Json)
}

/// The ledger of a camera, and whether there is such a camera.
fn ledger_of(caller: &Caller, camera: &str, start_us: i64, end_us: i64) -> Result<(Ledger, bool)> {
    let cameras = caller.cameras.list(caller.principal())?;
    let exists = cameras.iter().any(|view| view.input.name == camera);
    // Before the store is asked: what gets its row in between is found twice, which does no harm, and not never.
    let live = caller.live.camera(camera);
    let (now, now_us) = (caller.clock.monotonic(), caller.clock.unix_us());
    let until_us = exists.then(|| {
        live.as_ref()
            .map_or(now_us, |live| live.known_until(now, now_us))
    });
    let unlisted = live.map(|live| live.unlisted()).unwrap_or_default();
    let ledger = caller.store.ledger(
        caller.principal(),
        camera,
        start_us..end_us,
        &unlisted,
        until_us,
        MAX_ROWS,
    )?;
    Ok((ledger, exists))
}

fn coverage_of(camera: &str, asked: (i64, i64), ledger: Ledger) -> Coverage {
    let share = Share::of(&ledger.tiles);
    let start = ledger.tiles.first().map_or(asked.0, |tile| tile.start_us);
    let end = ledger.tiles.last().map_or(asked.1, |tile| tile.end_us);
    let mut coverage = Coverage {
        camera: camera.to_owned(),
        start_unix: seconds(start),
        end_unix: seconds(end),
        first_unix: ledger.first_us.map(seconds),
        last_unix: ledger.last_us.map(seconds),
        covered: (!ledger.tiles.is_empty()).then(|| share.covered()),
        covered_seconds: seconds(share.covered_us),
        segments: Vec::new(),
        gaps: Vec::new(),
        reasons: share
            .missing_us
            .into_iter()
            .map(|(reason, us)| (reason, seconds(us)))
            .collect(),
        next_start_unix: ledger.next_us.map(seconds),
    };
    for tile in ledger.tiles {
        let (start_unix, end_unix) = (seconds(tile.start_us), seconds(tile.end_us));
        match tile.what {
            Stretch::Recorded(id) => coverage.segments.push(Piece {
                url: id
                    .as_ref()
                    .map(|id| format!("/api/v1/recordings/{camera}/{id}/file.mp4")),
                id,
                start_unix,
                end_unix,
            }),
            Stretch::Missing { reason, detail } => coverage.gaps.push(Missing {
                start_unix,
                end_unix,
                reason,
                detail,
            }),
        }
    }
    coverage
}

/// Exact to the microsecond until the year 2255.
fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

fn unknown(camera: &str) -> Error {
    no_camera(camera)
}
