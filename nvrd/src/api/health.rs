//! `/system/health`: whether all is well, and how much of everything there is.

use std::sync::Arc;
use std::time::Duration;

use nvr_base::principal::Actor;
use nvr_base::{Principal, Result};
use nvr_media::CameraState;
use nvr_store::{Health as StoreHealth, Share, Store};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::context::Lane;
use super::coverage::{DAY_US, MAX_ROWS};
use super::error::ApiResult;
use super::reply::Json;
use crate::cameras::CameraView;
use crate::live::{Counts, Live};

/// How long a request waits for the check of the database.
const PATIENCE: Duration = Duration::from_secs(2);
/// A check is repeated after so many times what it took, so that it costs a twentieth of one core at most.
const REST: u32 = 20;

/// The last check of the database.
#[derive(Debug)]
pub(super) struct LastCheck {
    found: Result<StoreHealth>,
    /// Seconds of the last day, over all cameras, that nobody explained.
    unknown_s: Option<f64>,
    /// Monotonic time of its end.
    at: Duration,
    took: Duration,
    unix_us: i64,
}

/// How the recorder is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `degraded` when a camera that shall run has a problem, or the database or a storage has.
    status: Verdict,
    /// Version of the program.
    version: &'static str,
    /// Seconds since the start.
    uptime_s: u64,
    cameras: CameraCounts,
    /// Whether each camera is recorded at this moment, by name.
    recording: Vec<CameraRecording>,
    /// What was counted since the start.
    counters: Counts,
    /// Pipelines that did not stop in time and were left behind, since the start.
    abandoned_pipelines: u64,
    /// What to change at cameras so that they cost less, one sentence each; no reason for `degraded`.
    advice: Vec<String>,
    /// Seconds of the last day, over all cameras, that are not recorded and that nobody explained; `null` until the
    /// first check of the database is done.
    unknown_seconds: Option<f64>,
    database: Database,
    storage: Space,
    rtsp: RtspAddress,
}

#[derive(Debug, Serialize, ToSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Degraded,
}

/// Cameras by what they are.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct CameraCounts {
    total: usize,
    starting: usize,
    running: usize,
    /// Something is missing, but pictures come.
    degraded: usize,
    /// Failed, and about to be tried again.
    backoff: usize,
    /// At the end of its file, or unable to run at all.
    stopped: usize,
    /// Not wanted.
    disabled: usize,
}

/// Whether a camera is recorded at this moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CameraRecording {
    camera: String,
    /// Whether pictures reached the disk within the last five seconds.
    recording: bool,
    /// Whether they should: it is enabled, records continuously or has an event, and has not reached the end of a file.
    should_record: bool,
    /// End of what is on disk, microseconds since 1970-01-01 UTC, as far as this process wrote it.
    recorded_until_unix_us: Option<i64>,
    /// Why it is not recorded though it should be: `not_recording`, `source_lost`, `disk_full`, …
    failure: Option<String>,
    /// Since when, microseconds since 1970-01-01 UTC.
    failure_since_unix_us: Option<i64>,
    /// One sentence for people.
    detail: Option<String>,
}

/// How the database is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Database {
    state: DatabaseState,
    /// When it was last checked, microseconds since 1970-01-01 UTC.
    checked_unix_us: Option<i64>,
    /// What is wrong with it, one sentence each.
    problems: Vec<String>,
    schema_version: Option<String>,
    /// Length of the file with its write-ahead log.
    file_bytes: Option<u64>,
    events: Option<u64>,
    open_events: Option<u64>,
    segments: Option<u64>,
    gaps: Option<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum DatabaseState {
    Ok,
    Damaged,
    /// It could not be checked.
    Unavailable,
    /// The first check still runs.
    Checking,
}

/// Where recordings go; more is at `/api/v1/storage`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Space {
    /// The name of the storage that takes new recordings; `null` when none can.
    in_use: Option<String>,
    /// What is wrong with storages, and with the clock that deletes by age, one sentence each.
    problems: Vec<String>,
    /// What is free on its disk; `null` when the system does not tell.
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
}

/// Where the cameras are served again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RtspAddress {
    /// Append the name of a camera.
    url: String,
}

/// Whether all is well. Needs no login.
#[utoipa::path(get, path = "/api/v1/system/health", tag = "system", operation_id = "system_health", responses(
    (status = 200, body = Health, description = "How it is."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn get(caller: Caller, []: [String; 0], (): ()) -> ApiResult<Json<Health>> {
    check_database(&caller).await;
    let health = caller.run(Lane::Read, |caller| {
        // Whether all is well is no secret; what is not well, and with which camera, is.
        let mut views = caller.cameras.list(Principal::system())?;
        let all = counts(&views);
        let mut recording: Vec<CameraRecording> = views
            .iter()
            .map(|view| recording_of(caller, &view.input.name))
            .collect();
        let mut database = database(caller);
        let mut storage = space(caller);
        let well = all.degraded + all.backoff == 0
            && storage.problems.is_empty()
            && recording.iter().all(|camera| camera.failure.is_none())
            && matches!(database.state, DatabaseState::Ok | DatabaseState::Checking);
        let who = caller.principal();
        views.retain(|view| who.sees(&view.input.name));
        recording.retain(|camera| who.sees(&camera.camera));
        if who.actor == Actor::Anonymous {
            database.problems.clear();
            storage.problems.clear();
        }
        let cameras = counts(&views);
        let abandoned = views.iter().filter_map(|view| view.status.as_ref());
        Ok(Health {
            status: if well { Verdict::Ok } else { Verdict::Degraded },
            version: caller.version,
            uptime_s: caller
                .clock
                .monotonic()
                .saturating_sub(caller.started)
                .as_secs(),
            cameras,
            recording,
            counters: caller.live.counters().counts(),
            advice: advice(&views),
            abandoned_pipelines: abandoned.map(|status| u64::from(status.abandoned)).sum(),
            unknown_seconds: unknown_seconds(caller),
            database,
            storage,
            rtsp: RtspAddress {
                url: format!("rtsp://{}/", caller.rtsp_authority()),
            },
        })
    });
    health.await.map(Json)
}

/// What the streams of cameras lack.
fn advice(views: &[CameraView]) -> Vec<String> {
    let lacking = views.iter().filter_map(|view| {
        let bypass = view.status.as_ref()?.decoding?.bypass?;
        Some(format!(
            "camera {:?}: {}",
            view.input.name,
            nvr_media::advice_on(bypass)
        ))
    });
    lacking.collect()
}

fn counts(views: &[CameraView]) -> CameraCounts {
    let mut counts = CameraCounts::default();
    for view in views {
        counts.total += 1;
        let state = view
            .status
            .as_ref()
            .map_or(CameraState::Stopped, |status| status.state);
        let count = match state {
            _ if !view.input.enabled => &mut counts.disabled,
            CameraState::Starting => &mut counts.starting,
            CameraState::Running => &mut counts.running,
            CameraState::Degraded => &mut counts.degraded,
            CameraState::Backoff => &mut counts.backoff,
            CameraState::Stopped => &mut counts.stopped,
        };
        *count += 1;
    }
    counts
}

/// As it is at this moment, not as it was when somebody last looked.
fn recording_of(caller: &Caller, camera: &str) -> CameraRecording {
    let (now, now_us) = (caller.clock.monotonic(), caller.clock.unix_us());
    let live = caller.live.camera(camera);
    let recording = live.as_ref().map(|live| live.recording(now));
    let failure = live.and_then(|live| live.problem(now, now_us));
    CameraRecording {
        camera: camera.to_owned(),
        recording: recording.as_ref().is_some_and(|it| it.writes),
        should_record: recording.as_ref().is_some_and(|it| it.should_write),
        recorded_until_unix_us: recording.and_then(|it| it.covered_us),
        failure: failure.as_ref().map(|failure| failure.label.clone()),
        failure_since_unix_us: failure.as_ref().map(|failure| failure.since_us),
        detail: failure.and_then(|failure| failure.detail),
    }
}

fn unknown_seconds(caller: &Caller) -> Option<f64> {
    let last = caller
        .last_check
        .lock()
        .expect("no holder of this lock panics");
    last.as_ref().and_then(|check| check.unknown_s)
}

/// What of the last day nobody explained, in seconds over all cameras.
fn unknown_of_a_day(
    store: &Store,
    live: &Live,
    now: Duration,
    now_us: i64,
    names: &[String],
) -> Result<f64> {
    let mut unknown_us = 0;
    for name in names {
        let here = live.camera(name);
        let until_us = here.as_ref().map(|here| here.known_until(now, now_us));
        let unlisted = here.map(|here| here.unlisted()).unwrap_or_default();
        let range = now_us.saturating_sub(DAY_US)..now_us;
        let ledger = store.ledger(
            Principal::system(),
            name,
            range,
            &unlisted,
            until_us,
            MAX_ROWS,
        )?;
        let missing = Share::of(&ledger.tiles).missing_us;
        unknown_us += missing.get("unknown").copied().unwrap_or(0);
    }
    Ok(unknown_us as f64 / 1e6)
}

/// Has the database checked where the last check is old; waits a little for the outcome.
async fn check_database(caller: &Caller) {
    let rested = |check: &LastCheck| caller.clock.monotonic() >= check.at + check.took * REST;
    let old = {
        let last = caller
            .last_check
            .lock()
            .expect("no holder of this lock panics");
        last.as_ref().is_none_or(rested)
    };
    let Some(turn) = old
        .then(|| Arc::clone(&caller.checks).try_acquire_owned().ok())
        .flatten()
    else {
        return;
    };
    // Not the whole caller: a long check must not keep the cameras alive when the daemon stops.
    let (store, clock, last, live) = (
        caller.store.clone(),
        Arc::clone(&caller.clock),
        Arc::clone(&caller.last_check),
        Arc::clone(&caller.live),
    );
    let check = tokio::task::spawn_blocking(move || {
        let start = clock.monotonic();
        let found = store.health();
        let (now, now_us) = (clock.monotonic(), clock.unix_us());
        let unknown = unknown_of_a_day(&store, &live, now, now_us, &live.names());
        let at = clock.monotonic();
        let done = LastCheck {
            found,
            unknown_s: unknown.ok(),
            at,
            took: at.saturating_sub(start),
            unix_us: clock.unix_us(),
        };
        *last.lock().expect("no holder of this lock panics") = Some(done);
        drop(turn);
    });
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the check of the database panicked"),
        Err(_) => tracing::debug!("the check of the database goes on"),
    }
}

impl super::context::ApiContext {
    /// How many problems the database had when it was last checked.
    pub(super) fn database_problems(&self) -> Option<usize> {
        let last = self
            .last_check
            .lock()
            .expect("no holder of this lock panics");
        let found = last.as_ref()?.found.as_ref().ok()?;
        Some(found.problems.len())
    }
}

fn database(caller: &Caller) -> Database {
    let last = caller
        .last_check
        .lock()
        .expect("no holder of this lock panics");
    let mut database = Database {
        state: DatabaseState::Checking,
        checked_unix_us: last.as_ref().map(|check| check.unix_us),
        problems: Vec::new(),
        schema_version: None,
        file_bytes: None,
        events: None,
        open_events: None,
        segments: None,
        gaps: None,
    };
    match last.as_ref().map(|check| &check.found) {
        None => {}
        Some(Err(error)) => {
            database.state = DatabaseState::Unavailable;
            database.problems = vec![error.to_string()];
        }
        Some(Ok(found)) => {
            let whole = found.problems.is_empty();
            database.state = if whole {
                DatabaseState::Ok
            } else {
                DatabaseState::Damaged
            };
            database.problems.clone_from(&found.problems);
            database.schema_version = Some(found.schema_version.clone());
            database.file_bytes = Some(found.file_bytes);
            database.events = Some(found.events);
            database.open_events = Some(found.open_events);
            database.segments = Some(found.segments);
            database.gaps = Some(found.gaps);
        }
    }
    database
}

fn space(caller: &Caller) -> Space {
    let storage = &caller.storage;
    let in_use = storage.in_use();
    let room = in_use.and_then(|volume| volume.space());
    let mut problems: Vec<String> = storage
        .volumes()
        .iter()
        .filter_map(|volume| volume.condition().detail().map(str::to_owned))
        .collect();
    if let Some((reason, _)) = caller.retention.clock_doubt() {
        problems.push(format!(
            "nothing is deleted by age: the clock is not trusted: {reason}"
        ));
    }
    Space {
        in_use: in_use.map(|volume| volume.name().to_owned()),
        problems,
        free_bytes: room.map(|room| room.free_bytes),
        total_bytes: room.map(|room| room.total_bytes),
    }
}
