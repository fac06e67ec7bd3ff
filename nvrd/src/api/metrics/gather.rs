//! Gathers the figures of every part of the daemon, under the names that stay.

use nvr_base::Result;
use nvr_media::CameraState;
use nvr_store::ExportState;

use super::super::access::Caller;
use crate::cameras::CameraView;
use crate::live::{Camera, Totals};
use crate::metrics::{Figures, Labels, Unit, process};

/// A camera that the asker may know of, with what it records where it said anything yet.
struct Known {
    view: CameraView,
    live: Option<Camera>,
    totals: Totals,
}

impl Known {
    fn name(&self) -> &str {
        &self.view.input.name
    }

    fn labels(&self) -> Labels {
        vec![("camera", self.name().to_owned())]
    }
}

/// All figures of this moment that the asker may know of.
pub(super) fn figures(caller: &Caller) -> Result<Figures> {
    let mut figures = Figures::default();
    let now_us = caller.clock.unix_us();
    let views = caller.cameras.list(caller.principal())?;
    let cameras: Vec<Known> = views
        .into_iter()
        .map(|view| {
            let live = caller.live.camera(&view.input.name);
            let totals = live.as_ref().map(|live| live.totals(now_us));
            Known {
                view,
                live,
                totals: totals.unwrap_or_default(),
            }
        })
        .collect();
    program(caller, &mut figures);
    states(&cameras, &mut figures);
    recording(caller, &cameras, &mut figures);
    recorded(&cameras, &mut figures);
    events(caller, &mut figures);
    storages(caller, &mut figures)?;
    retention(caller, &mut figures);
    queues(caller, &mut figures)?;
    database(caller, &mut figures)?;
    listeners(caller, &mut figures);
    caller.http.figures(&mut figures);
    process(&mut figures);
    Ok(figures)
}

fn one(value: f64) -> [(Labels, f64); 1] {
    [(Vec::new(), value)]
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn by(label: &'static str, value: &str) -> Labels {
    vec![(label, value.to_owned())]
}

fn program(caller: &Caller, figures: &mut Figures) {
    figures.gauge(
        "nvrd_build_info",
        None,
        "Always 1; the label says which version runs.",
        [(by("version", caller.version), 1.0)],
    );
    let uptime = caller.clock.monotonic().saturating_sub(caller.started);
    figures.gauge(
        "nvrd_uptime",
        Some(Unit::Seconds),
        "Time since the daemon began.",
        one(uptime.as_secs_f64()),
    );
    let ages = caller.pulses.as_ref().map(|pulses| pulses.ages());
    let ages = ages.unwrap_or_default();
    figures.gauge(
        "nvrd_part_silent",
        Some(Unit::Seconds),
        "Time since a part of the daemon last said that it goes on.",
        ages.iter()
            .map(|age| (by("part", age.part), age.age.as_secs_f64())),
    );
    figures.gauge(
        "nvrd_part_stuck",
        None,
        "1 where a part of the daemon has been silent for too long.",
        ages.iter()
            .map(|age| (by("part", age.part), flag(age.stuck))),
    );
}

fn state_of(view: &CameraView) -> &'static str {
    match &view.status {
        _ if !view.input.enabled => "disabled",
        Some(status) => status.state.as_str(),
        None => CameraState::Stopped.as_str(),
    }
}

fn states(cameras: &[Known], figures: &mut Figures) {
    let words = [
        "starting", "running", "degraded", "backoff", "stopped", "disabled",
    ];
    figures.gauge(
        "nvrd_cameras",
        None,
        "Cameras by their state.",
        words.map(|word| {
            let those = cameras
                .iter()
                .filter(|camera| state_of(&camera.view) == word);
            (by("state", word), those.count() as f64)
        }),
    );
    figures.gauge(
        "nvrd_camera_state",
        None,
        "1 for the state in which a camera is.",
        cameras.iter().map(|camera| {
            let mut labels = camera.labels();
            labels.push(("state", state_of(&camera.view).to_owned()));
            (labels, 1.0)
        }),
    );
    let status = |camera: &Known| camera.view.status.clone();
    let statuses = || {
        cameras
            .iter()
            .filter_map(|it| Some((it.labels(), status(it)?)))
    };
    figures.counter(
        "nvrd_camera_restarts",
        None,
        "How often a camera's pipeline was built anew after a failure.",
        statuses().map(|(labels, status)| (labels, f64::from(status.restarts))),
    );
    figures.counter(
        "nvrd_camera_abandoned_pipelines",
        None,
        "Pipelines of a camera that hung and were left behind.",
        statuses().map(|(labels, status)| (labels, f64::from(status.abandoned))),
    );
    figures.gauge(
        "nvrd_camera_declared_frame_rate",
        None,
        "Pictures a second that a camera's stream declares.",
        statuses().filter_map(|(labels, status)| Some((labels, status.fps?))),
    );
}

fn recording(caller: &Caller, cameras: &[Known], figures: &mut Figures) {
    let (now, now_us) = (caller.clock.monotonic(), caller.clock.unix_us());
    let recordings = || {
        cameras.iter().map(|camera| {
            let recording = camera.live.as_ref().map(|live| live.recording(now));
            (camera.labels(), recording)
        })
    };
    figures.gauge(
        "nvrd_camera_recording",
        None,
        "1 where pictures reached the disk within the last five seconds.",
        recordings().map(|(labels, it)| (labels, flag(it.is_some_and(|it| it.writes)))),
    );
    figures.gauge(
        "nvrd_camera_recording_wanted",
        None,
        "1 where pictures should reach the disk.",
        recordings().map(|(labels, it)| (labels, flag(it.is_some_and(|it| it.should_write)))),
    );
    figures.gauge(
        "nvrd_camera_recording_failure",
        None,
        "1 while a camera is not recorded though it should be; the label says why.",
        cameras.iter().filter_map(|camera| {
            let failure = camera.live.as_ref()?.problem(now, now_us)?;
            let mut labels = camera.labels();
            labels.push(("reason", failure.label));
            Some((labels, 1.0))
        }),
    );
    figures.gauge(
        "nvrd_camera_recorded_until_timestamp",
        Some(Unit::Seconds),
        "End of what is on disk of a camera, seconds since 1970-01-01 UTC.",
        recordings().filter_map(|(labels, it)| Some((labels, it?.covered_us? as f64 / 1e6))),
    );
    let failures = caller.live.counters().counts().failures;
    figures.counter(
        "nvrd_recording_failures",
        None,
        "Failures that cost recording, each once.",
        one(failures as f64),
    );
}

fn recorded(cameras: &[Known], figures: &mut Figures) {
    let rows = |of: fn(&Totals) -> f64| cameras.iter().map(move |it| (it.labels(), of(&it.totals)));
    figures.counter(
        "nvrd_recorded_frames",
        None,
        "Pictures in files that are complete.",
        rows(|totals| totals.frames as f64),
    );
    figures.counter(
        "nvrd_recorded",
        Some(Unit::Bytes),
        "What was written of recordings.",
        rows(|totals| totals.bytes as f64),
    );
    figures.counter(
        "nvrd_recorded_segments",
        None,
        "Files that are complete.",
        rows(|totals| totals.segments as f64),
    );
    figures.counter(
        "nvrd_recorded_time",
        Some(Unit::Seconds),
        "Time that is on disk.",
        rows(|totals| seconds(totals.recorded_us)),
    );
    let missed = || {
        cameras.iter().flat_map(|camera| {
            camera.totals.missed.iter().map(|(reason, missed)| {
                let mut labels = camera.labels();
                labels.push(("reason", reason.as_str().to_owned()));
                (labels, missed)
            })
        })
    };
    figures.counter(
        "nvrd_gaps",
        None,
        "Stretches of time that are not on disk, by the reason.",
        missed().map(|(labels, missed)| (labels, missed.gaps as f64)),
    );
    figures.counter(
        "nvrd_missed_time",
        Some(Unit::Seconds),
        "Time that is not on disk, by the reason; gaps that last are in it.",
        missed().map(|(labels, missed)| (labels, seconds(missed.us))),
    );
}

fn events(caller: &Caller, figures: &mut Figures) {
    let events = caller.hub.events().into_iter();
    let rows = events
        .filter(|((camera, _), _)| caller.principal().sees(camera))
        .map(|((camera, kind), count)| (vec![("camera", camera), ("kind", kind)], count as f64));
    figures.counter(
        "nvrd_events",
        None,
        "New events, by camera and kind; those of the daemon itself have the camera @nvrd.",
        rows,
    );
}

fn storages(caller: &Caller, figures: &mut Figures) -> Result<()> {
    let held = caller.store.held()?;
    let garbage = caller.store.pending_garbage()?;
    let volumes = caller.storage.volumes();
    let in_use = caller
        .storage
        .in_use()
        .map(|volume| volume.root().to_owned());
    let rows = || volumes.iter().map(|it| (by("storage", it.name()), it));
    figures.gauge(
        "nvrd_storage_ready",
        None,
        "1 where a storage can take recordings.",
        rows().map(|(labels, it)| (labels, flag(it.condition().as_str() == "ready"))),
    );
    figures.gauge(
        "nvrd_storage_in_use",
        None,
        "1 for the storage that takes new recordings.",
        rows().map(|(labels, it)| (labels, flag(in_use.as_deref() == Some(it.root())))),
    );
    let spaces = || {
        rows().filter_map(|(labels, volume)| {
            let space = volume.space().filter(|_| volume.condition().is_present());
            Some((labels, space?))
        })
    };
    figures.gauge(
        "nvrd_storage_free",
        Some(Unit::Bytes),
        "What is free on the disk of a storage.",
        spaces().map(|(labels, space)| (labels, space.free_bytes as f64)),
    );
    figures.gauge(
        "nvrd_storage_size",
        Some(Unit::Bytes),
        "The disk of a storage.",
        spaces().map(|(labels, space)| (labels, space.total_bytes as f64)),
    );
    let sums = || {
        rows().map(|(labels, volume)| {
            let own = held
                .iter()
                .filter(|it| Some(it.storage.as_str()) == volume.id());
            let sum = own.fold((0, 0), |(segments, bytes), it| {
                (segments + it.segments, bytes + it.bytes)
            });
            (labels, sum)
        })
    };
    figures.gauge(
        "nvrd_storage_recordings",
        Some(Unit::Bytes),
        "What recordings take of a storage.",
        sums().map(|(labels, (_, bytes))| (labels, bytes as f64)),
    );
    figures.gauge(
        "nvrd_storage_segments",
        None,
        "Files of recordings in a storage.",
        sums().map(|(labels, (segments, _))| (labels, segments as f64)),
    );
    figures.gauge(
        "nvrd_storage_garbage",
        Some(Unit::Bytes),
        "What is deleted already and still to be unlinked.",
        rows().map(|(labels, volume)| {
            let pending = garbage
                .iter()
                .find(|it| Some(it.storage.as_str()) == volume.id());
            (labels, pending.map_or(0.0, |pending| pending.bytes as f64))
        }),
    );
    Ok(())
}

fn retention(caller: &Caller, figures: &mut Figures) {
    let done = caller.retention.counters();
    figures.counter(
        "nvrd_retention_deleted_files",
        None,
        "Files that were deleted by the policy or by people.",
        one(done.deleted_files as f64),
    );
    figures.counter(
        "nvrd_retention_deleted",
        Some(Unit::Bytes),
        "Their length together.",
        one(done.deleted_bytes as f64),
    );
    figures.counter(
        "nvrd_retention_failures",
        None,
        "Attempts to delete that failed.",
        one((done.failed + done.failed_rounds) as f64),
    );
    figures.gauge(
        "nvrd_clock_trusted",
        None,
        "1 where the wall clock is believed, so that recordings are deleted by their age.",
        one(flag(caller.retention.clock_doubt().is_none())),
    );
}

fn queues(caller: &Caller, figures: &mut Figures) -> Result<()> {
    let counts = caller.live.counters().counts();
    figures.gauge(
        "nvrd_ingest_waiting",
        None,
        "Changes that wait for the database.",
        one(counts.waiting as f64),
    );
    figures.counter(
        "nvrd_ingest_dropped",
        None,
        "What was left out because too much waited; rows of segments are found again on disk.",
        [
            (by("what", "event_update"), counts.dropped_updates as f64),
            (by("what", "segment_row"), counts.dropped_segments as f64),
            (by("what", "other"), counts.dropped_changes as f64),
        ],
    );
    figures.counter(
        "nvrd_ingest_found_segments",
        None,
        "Files that were found on disk and have their row now.",
        one(counts.found_segments as f64),
    );
    figures.counter(
        "nvrd_ingest_retries",
        None,
        "Attempts to write to the database that failed and were repeated.",
        one(counts.store_retries as f64),
    );
    let mut rows = Vec::new();
    for state in [ExportState::Queued, ExportState::Running] {
        let exports = caller.store.exports_in(state)?.len();
        rows.push((by("state", state.as_str()), exports as f64));
    }
    figures.gauge("nvrd_exports", None, "Exports that are not over.", rows);
    Ok(())
}

fn database(caller: &Caller, figures: &mut Figures) -> Result<()> {
    let kinds = [
        ("read", caller.store.reading()),
        ("write", caller.store.writing()),
    ];
    figures.counter(
        "nvrd_database_failures",
        None,
        "Transactions that failed.",
        kinds
            .iter()
            .map(|(kind, latency)| (by("kind", kind), latency.failed as f64)),
    );
    figures.durations(
        "nvrd_database_transaction_duration",
        "Time that transactions took, the wait for a connection included.",
        kinds.map(|(kind, latency)| (by("kind", kind), latency.spent)),
    );
    let size = caller.store.size()?;
    figures.gauge(
        "nvrd_database_size",
        Some(Unit::Bytes),
        "The database with its write-ahead log.",
        one(size as f64),
    );
    figures.gauge(
        "nvrd_database_problems",
        None,
        "What the last check of the database found.",
        caller
            .database_problems()
            .map(|problems| (Vec::new(), problems as f64)),
    );
    Ok(())
}

fn listeners(caller: &Caller, figures: &mut Figures) {
    figures.gauge(
        "nvrd_live_listeners",
        None,
        "WebSockets and event streams that listen to what happens.",
        one(caller.hub.listeners() as f64),
    );
    figures.gauge(
        "nvrd_rtsp_clients",
        None,
        "Clients of the RTSP server.",
        one(caller.cameras.rtsp_clients() as f64),
    );
    let tls = caller.tls.as_ref().map(|tls| tls.certificate());
    figures.gauge(
        "nvrd_certificate_expiry_timestamp",
        Some(Unit::Seconds),
        "Until when the certificate of the listener is valid, seconds since 1970-01-01 UTC.",
        tls.map(|it| (Vec::new(), it.facts().not_after_us as f64 / 1e6)),
    );
}
